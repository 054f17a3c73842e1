"""The control picture's contours against MediaPipe's own drawing of the same frames.

    python benchmarks/wireframe.py -o benchmarks/wireframe.md --group "real people, photos" CASE CASE --group films CASE
    python benchmarks/wireframe.py --fit data/landmarks/mediapipe478_oval.json --group training CASE CASE ...

MediaPipe's face mesh (static, refined, as the annotator of CrucibleAI's ControlNet runs it) looks at each frame; ours
are the 478 points of the case's head, projected by the case's camera. Both are drawn as the same polylines; a distance
is measured from points every half pixel of each polyline to the nearest point of the other, both ways.
--fit: where the detector draws the oval, as offsets (mm, head frame) from the pins on the skin: least squares over all
frames under 60 degrees, the same on both sides, Huber at 4 mm. Use other people than those of the table.
"""

import argparse
import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.camera import Camera  # noqa: E402  (the repository need not be installed)
from core.records import record  # noqa: E402
from core.store import load_picture, load_reconstruction, write_json  # noqa: E402
from render.conditions import drawn478  # noqa: E402
from render.rasterize import Rasterizer  # noqa: E402
from render.wireframe import edges478, pinned, project_landmarks  # noqa: E402

ROWS = {"face oval": ("drawn", ("face_oval",)), "oval on the skin": ("skin", ("face_oval",)),
        "eyes": ("skin", ("eye_l", "eye_r")), "brows": ("skin", ("brow_l", "brow_r")), "lips": ("skin", ("lips",))}
"""Label: where our points are taken from, and the groups of edges."""
YAW_DEG = ((0, 15), (15, 35), (35, 50), (50, 75))
FRAMES = 9
"""Of each case, evenly over the turn."""
FIT_YAW_DEG, HUBER_MM, ROUNDS = 60.0, 4.0, 8


@record
class Frame:
    """One frame: theirs (478,2) px; skin, drawn: our points (478,2) px; seen (478,); points_mm and camera to fit."""

    yaw_deg: float
    theirs: np.ndarray
    skin: np.ndarray
    drawn: np.ndarray
    seen: np.ndarray
    points_mm: np.ndarray
    camera: Camera

    @property
    def height_px(self) -> float:
        """The face's height in the frame."""
        return float(np.ptp(self.theirs[:, 1]))


def main() -> int:
    """Write the table, or fit the oval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--fit", type=Path)
    parser.add_argument("--group", nargs="+", action="append", required=True, metavar=("NAME", "CASE"))
    given = parser.parse_args()
    found = {name: [frames(Path(case)) for case in cases] for name, *cases in given.group}
    if given.fit:
        card = json.loads(given.fit.read_text("utf-8")) if given.fit.is_file() else {}
        every = [f for cases in found.values() for _, those in cases for f in those]
        offsets = {str(k): np.round(v, 1).tolist() for k, v in sorted(fitted(every).items())}
        write_json(given.fit, {**card, "frames": len(every), "offset_mm": offsets})
    text = page(found, {name: [Path(case).name for case in cases] for name, *cases in given.group})
    if given.output:
        given.output.write_text(text)
    else:
        print(text)
    return 0


def frames(case: Path) -> tuple[int, list[Frame]]:
    """How many frames of a case were looked at, and those in which MediaPipe finds a face."""
    from mediapipe.python.solutions.face_mesh import FaceMesh

    head = load_reconstruction(case / "recon")
    rasterizer = Rasterizer(head.mesh)
    on_skin, as_drawn = (way(head.mesh, head.anatomy.pins478) for way in (pinned, drawn478))
    ordered = sorted(head.views, key=lambda v: v.camera.head_angles_rad[0])
    chosen = [ordered[k] for k in np.unique(np.linspace(0, len(ordered) - 1, FRAMES).round().astype(int))]
    out = []
    with FaceMesh(static_image_mode=True, max_num_faces=1, refine_landmarks=True) as mesh:
        for view in chosen:
            picture = np.ascontiguousarray(load_picture(case / view.path)[..., :3])
            faces = mesh.process(picture).multi_face_landmarks
            if not faces:
                continue
            height, width = picture.shape[:2]
            skin = project_landmarks(on_skin, view.camera, rasterizer)
            out.append(Frame(
                yaw_deg=float(np.degrees(view.camera.head_angles_rad[0])), camera=view.camera, skin=skin.points,
                theirs=np.array([(p.x * width - 0.5, p.y * height - 0.5) for p in faces[0].landmark]),
                drawn=view.camera.px_from_points(as_drawn.points), seen=skin.confidence > 0, points_mm=on_skin.points))
    return len(chosen), out


def sampled(points: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Points every half pixel along the edges."""
    parts = [np.zeros((0, 2))]
    for a, b in points[pairs]:
        share = np.linspace(0, 1, max(2, int(2 * np.linalg.norm(b - a)) + 1))[:, None]
        parts.append(a + share * (b - a))
    return np.concatenate(parts)


def distances(frame: Frame, ours: np.ndarray, groups: tuple[str, ...], left_out: bool = False) -> np.ndarray:
    """Both ways (px); left_out: edges with a hidden end are not drawn by us."""
    out = [np.zeros(0)]
    for group in groups:
        pairs = edges478()[group]
        mine = sampled(ours, pairs[frame.seen[pairs].all(1)] if left_out else pairs)
        theirs = sampled(frame.theirs, pairs)
        if len(mine):
            out += [cKDTree(mine).query(theirs)[0], cKDTree(theirs).query(mine)[0]]
    return np.concatenate(out)


def cell(those: list[Frame], way: str, groups: tuple[str, ...], left_out: bool = False) -> str:
    """Mean and 95th percentile in px, and the mean as a share of the face's height."""
    px = [distances(f, getattr(f, way), groups, left_out) for f in those]
    both = np.concatenate([np.zeros(0), *px])
    if not both.size:
        return "| – | – | – "
    share = np.concatenate([d / f.height_px for d, f in zip(px, those, strict=True)])
    return f"| {both.mean():.1f} | {np.percentile(both, 95):.1f} | {100 * share.mean():.2f} "


def page(found: dict[str, list[tuple[int, list[Frame]]]], names: dict[str, list[str]]) -> str:
    """The Markdown file."""
    out = [HEAD.format(python=platform.python_version(), mediapipe=version("mediapipe"),
                       opencv=version("opencv-contrib-python"))]
    for name, cases in found.items():
        those, looked = [f for _, some in cases for f in some], sum(count for count, _ in cases)
        face = f"{np.median([f.height_px for f in those]):.0f}" if those else "–"
        out += [f"\n## {name}\n", f"{', '.join(names[name])}: {looked} frames; MediaPipe found a face in {len(those)}. "
                f"Median height of a face: {face} px.\n",
                "| | yaw | frames | mean px | 95 % px | % of height | left out: mean px | 95 % px | % |",
                "|---|---|---:|---:|---:|---:|---:|---:|---:|"]
        for label, (way, groups) in ROWS.items():
            for low, high in YAW_DEG:
                some = [f for f in those if low <= abs(f.yaw_deg) < high]
                if some:
                    out.append(f"| {label} | {low}–{high}° | {len(some)} {cell(some, way, groups)}"
                               f"{cell(some, way, groups, True)}|")
    return "\n".join(out) + "\n"


HEAD = """\
# The control picture against MediaPipe's own drawing

Written by `python benchmarks/wireframe.py` ([how](wireframe.py)). Python {python}, mediapipe {mediapipe}, OpenCV
{opencv}. Distances between contours, both ways, in px of the frame and in % of the face's height there.

As the control picture is drawn: every point, hidden or not, as the annotator draws them, and the oval where the
detector draws it (`render.conditions.drawn478`; offsets fitted on other heads). *Oval on the skin*: without those
offsets. *Left out*: without the edges that the head hides, which is farther from the detector's drawing in every row
that differs clearly: that is why the control picture draws them."""


def fitted(those: list[Frame]) -> dict[int, np.ndarray]:
    """Offsets (mm) of the oval's points."""
    mirror = json.loads((ROOT / "data" / "landmarks" / "mediapipe478.json").read_text())["mirror"]
    flip = np.diag([-1.0, 1, 1])
    near = [f for f in those if abs(f.yaw_deg) < FIT_YAW_DEG]
    out: dict[int, np.ndarray] = {}
    for number in np.unique(edges478()["face_oval"]).tolist():
        twin = mirror[number]
        if twin in out:
            out[number] = flip @ out[twin]
            continue
        looks = [(number, np.eye(3))] if twin == number else [(number, np.eye(3)), (twin, flip)]
        out[number] = offset_of(near, looks, twin == number)
    return out


def offset_of(those: list[Frame], looks: list[tuple[int, np.ndarray]], middle: bool) -> np.ndarray:
    """One point's offset: Gauss-Newton on its distance in the frames, in mm at the face's depth."""
    offset = np.zeros(3)
    for _ in range(ROUNDS):
        normal, right = 5e-4 * len(those) * np.eye(3), np.zeros(3)  # holds what no frame sees
        normal[0, 0] += 1e6 * middle
        for frame in those:
            for number, turn in looks:
                place = frame.points_mm[number] + turn @ offset
                px = frame.camera.px_from_points(place)
                slope = np.stack([frame.camera.px_from_points(place + 0.01 * e) - px for e in np.eye(3)], 1) / 0.01
                px_per_mm = np.linalg.norm(slope) / np.sqrt(2)
                error, jacobian = (frame.theirs[number] - px) / px_per_mm, slope @ turn / px_per_mm
                weight = 1 / max(1.0, float(np.linalg.norm(error)) / HUBER_MM)
                normal += weight * jacobian.T @ jacobian
                right += weight * jacobian.T @ error
        offset = offset + np.linalg.solve(normal, right)
    return offset


if __name__ == "__main__":
    sys.exit(main())
