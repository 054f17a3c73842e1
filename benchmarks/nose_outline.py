"""Where the nose of a head fitted to one photo ends before the far cheek, against the truth.

    python benchmarks/nose_outline.py [--data ../shared/data] [-o benchmarks/nose_outline.md]

The photos are frames of the three rendered captures in which the head is turned by 20 to 46 degrees, each taken alone.
True less fitted outline in mm along rays across the fitted one, 4 mm from its ends on: of the fit to the landmarks
alone, and with `recon.nose_outline`.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.camera import Camera  # noqa: E402  (the repository need not be installed)
from core.errors import PrevisageError  # noqa: E402
from core.mesh import Mesh  # noqa: E402
from previsage.photo import begin  # noqa: E402
from previsage.photo_study import Study  # noqa: E402
from previsage.rasterizer import rasterizer  # noqa: E402
from recon.nose_outline import ALONG_MM, BEHIND_MM, close_up, outline_of  # noqa: E402

YAW_DEG, EVERY, FAR_MM, ENDS = (20.0, 46.0), 3, 8.0, round(4 / ALONG_MM)


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for capture in sorted(given.data.glob("capture_*")):
            for yaw, photo, depth_mm in frames(capture, Path(folder)):
                try:
                    study = begin(photo)
                    gaps = [gaps_mm(study, mesh, depth_mm) for mesh in (study.head.mesh, study.drawn.mesh)]
                except PrevisageError as error:
                    print(photo.name, error.message, file=sys.stderr)
                    continue
                rows.append((capture.name, yaw, *(g.mean() for g in gaps), *(np.sqrt((g**2).mean()) for g in gaps)))
                print(row(rows[-1]), flush=True)
    page = written(rows)
    print(page)
    if given.output:
        given.output.write_text(page, "utf-8")
    return 0


def frames(capture: Path, folder: Path) -> Iterator[tuple[float, Path, np.ndarray]]:
    """Yaw, file and true depth (mm) of every third frame that is turned so far."""
    truth = np.load(capture / "truth.npz")
    faces = truth["tris"]
    head = Mesh(vertices_mm=truth["verts"].astype(float), faces=faces, uv=np.zeros((1, 2)),
                faces_uv=np.zeros_like(faces))
    film = cv2.VideoCapture(str(capture / "video.mp4"))
    for k, pose in enumerate(truth["cam_from_head"]):
        frame = film.read()[1]
        camera = Camera(K_px=truth["K"], cam_from_head=pose, size_wh=(frame.shape[1], frame.shape[0]))
        yaw = float(np.degrees(camera.head_angles_rad[0]))
        if k % EVERY == 0 and YAW_DEG[0] < abs(yaw) < YAW_DEG[1]:
            photo = folder / f"{capture.name}_{k:03d}.png"
            Image.fromarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).save(photo)
            drawn = rasterizer()(head, camera)
            yield yaw, photo, np.where(drawn.covered, drawn.depth_mm, 1e6).astype(np.float32)


def gaps_mm(study: Study, mesh: Mesh, depth_mm: np.ndarray) -> np.ndarray:
    """True less fitted outline on the rays where there is a true one within `FAR_MM`."""
    head, camera = study.head, study.camera
    middle = head.mesh.points(head.anatomy.pin("prn"))[0]
    per_mm = float(camera.K_px[0, 0] / camera.cam_from_points(middle)[2])
    part = np.zeros((camera.size_wh[1], camera.size_wh[0], 3), np.uint8)
    near = close_up(camera, middle, per_mm, part, part[..., 0] > 0)[0]
    outline = outline_of(mesh, head.anatomy, near, rasterizer(), 1 if head.angles_deg[0] > 0 else -1)
    if outline is None:
        return np.zeros(1)
    d = np.arange(-FAR_MM, FAR_MM, 0.1)
    px = outline.at(np.broadcast_to(d, (len(outline.px), len(d))))
    scale = camera.K_px[0, 0] / near.K_px[0, 0]
    whole = (px - near.K_px[:2, 2]) * scale + head.camera.K_px[:2, 2]
    deep = cv2.remap(depth_mm, whole.astype(np.float32), None, cv2.INTER_NEAREST, borderValue=1e6)
    away = np.where(np.diff(deep, axis=1) > BEHIND_MM - 1, np.abs(d[:-1]), np.inf)
    found = d[away.argmin(1)][ENDS:-ENDS]
    return np.asarray(found[np.isfinite(away.min(1)[ENDS:-ENDS])])


def row(values: tuple) -> str:
    """One line of the table."""
    return f"| {values[0]} | {values[1]:+.0f} | " + " | ".join(f"{v:.2f}" for v in values[2:]) + " |"


def written(rows: list[tuple]) -> str:
    """The page."""
    rms = np.array([r[4:] for r in rows])
    whole, median, worst = np.sqrt((rms**2).mean(0)), np.median(rms, axis=0), rms.max(0)
    return "\n".join([
        "# The outline of a turned nose in one photo", "",
        "Made by `python benchmarks/nose_outline.py -o benchmarks/nose_outline.md`; that file says how.",
        f"{len(rows)} frames: root mean square {whole[0]:.2f} mm by the landmarks alone, {whole[1]:.2f} mm drawn to",
        f"the photo (`recon/nose_outline.py`); median frame {median[0]:.2f} and {median[1]:.2f}, worst {worst[0]:.2f} "
        f"and {worst[1]:.2f}.", "",
        "| capture | yaw, degrees | mean, landmarks | mean, drawn | root mean square, landmarks | drawn |",
        "|---|---:|---:|---:|---:|---:|", *(row(r) for r in rows), ""])


if __name__ == "__main__":
    sys.exit(main())
