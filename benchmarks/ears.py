"""Where one photo's ears end, against hand-placed marks, and how far an otoplasty moves them.

    python benchmarks/ears.py [--data ../shared/data] [-o benchmarks/ears.md]

Marks: five along each ear that come with the frontal photos of the Face Research Lab London Set (`*_03.tem`, CC BY
4.0), and 10 to 19 along ten ears of seven other photos (`ears_marks.json`), placed for this project on enlarged crops,
to about 0.5 mm. Frames of the rendered captures, whose ears are known, turned by up to 15 degrees to either side: how
far the outline found (beyond 2 mm from the cheek) lies from the head's silhouette. Of every marked ear: how far the
marks lie from the outline found, the area that the fitted head's ear has in common with it before and after it is drawn
to it, and whether it is believed. Of every photo of which both are: the rim's motion in the picture, found anew by the
same search, over what the plan asks, between 15 and 75 % of the ear's height.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.errors import PrevisageError  # noqa: E402  (the repository need not be installed)
from core.transforms import head_angles_rad  # noqa: E402
from previsage.photo import asked_plan, begin, carried_out  # noqa: E402
from previsage.photo_modes import studio_of  # noqa: E402
from previsage.photo_study import Study  # noqa: E402
from previsage.rasterizer import rasterizer  # noqa: E402
from recon.ear_outline import find_outline, silhouette  # noqa: E402
from recon.ears import EARS, in_common  # noqa: E402

MARKS = {"ear_r": range(115, 120), "ear_l": range(120, 125)}
"""Rows of a template round an ear, from its top to its lobe."""
OTHERS = Path(__file__).with_name("ears_marks.json")
TURNED_DEG = 15.0
INTENSITIES = (20, 40, 60, 80, 100)
Marked = tuple[Path, dict[str, np.ndarray]]


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    groups = {"studio portraits": measured(studio_marks(given.data / "stills_london_shared")),
              "other photos": measured((given.data / name, {ear: np.array(m) for ear, m in ears.items()})
                                       for name, ears in json.loads(OTHERS.read_text("utf-8")).items())}
    with tempfile.TemporaryDirectory() as scratch:
        frames = [row for folder in sorted(given.data.glob("capture_*")) for row in rendered(folder, Path(scratch))]
    page = written(groups, frames)
    print(page)
    if given.output:
        given.output.write_text(page, "utf-8")
    return 0


def studio_marks(folder: Path) -> Iterator[Marked]:
    """The marked frontal photos, and the marks along their ears."""
    for path in sorted(folder.glob("*_03.tem")):
        lines = path.read_text().splitlines()
        points = np.array([[float(v) for v in line.split()[:2]] for line in lines[1:int(lines[0]) + 1]])
        yield path.with_suffix(".jpg"), {ear: points[list(rows)] for ear, rows in MARKS.items()}


def measured(marked: Iterator[Marked]) -> list[dict]:
    """A row for every marked ear."""
    rows = []
    for photo, marks in marked:
        try:
            study = begin(photo)
            found = study.eared.ears
        except PrevisageError as error:
            print(photo.name, error.message, file=sys.stderr)
            continue
        covered = rasterizer()(study.head.mesh, study.camera).covered
        shares = landed(study) if not any(e.doubt for e in found.values()) else {}
        corner = [study.window[1].start, study.window[0].start]
        for ear, points in marks.items():
            seen = found[ear]
            rows.append({"photo": photo.stem, "ear": ear, "doubt": seen.doubt, "after": seen.shared,
                         "before": in_common(silhouette(seen.frame, covered), seen.outline),
                         "gaps": gaps_mm(seen.outline.points_mm, seen.frame.mm(points - corner)),
                         "shares": shares.get(ear)})
            print(photo.stem, ear, f"{rms(rows[-1]['gaps']):.2f} mm", seen.doubt or "believed", flush=True)
    return rows


def gaps_mm(line: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """How far each mark lies from a line of points; without those beyond its ends, which hair or the cheek hides."""
    share = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    fine = (line[:-1] + share * np.diff(line, axis=0)).transpose(1, 0, 2).reshape(-1, 2)
    apart = np.linalg.norm(marks[:, None] - fine, axis=2)
    at = apart.argmin(1)
    return apart.min(1)[(at > 0) & (at < len(fine) - 1)]


def rendered(folder: Path, scratch: Path) -> Iterator[tuple[float, float, bool]]:
    """Of every ear in some frames of a capture: how far the head is turned towards it (deg), how far its outline
    lies from the true silhouette (rms, mm), and whether it is believed."""
    truth = dict(np.load(folder / "truth.npz"))
    with av.open(str(folder / "video.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    for k in range(0, len(frames), 3):
        yaw = float(np.degrees(head_angles_rad(truth["cam_from_head"][k])[0]))
        if abs(yaw) > TURNED_DEG:
            continue
        Image.fromarray(frames[k]).save(scratch / f"{k}.png")
        study = begin(scratch / f"{k}.png")
        edge = silhouette_px(truth, k, frames[k].shape)
        for ear, seen in study.eared.ears.items():
            line = seen.outline.points_mm[seen.outline.points_mm[:, 0] > 2]
            at = (seen.frame.px(line) + [study.window[1].start, study.window[0].start]).astype(np.float32)
            gaps = cv2.remap(edge, at[None], None, cv2.INTER_LINEAR)[0] / seen.frame.px_per_mm
            if len(gaps):
                yield yaw if ear == "ear_r" else -yaw, rms(gaps), not seen.doubt


def silhouette_px(truth: dict, k: int, shape: tuple[int, ...]) -> np.ndarray:
    """Every pixel's distance to the edge of what a known head covers."""
    pose = truth["cam_from_head"][k]
    px = (truth["verts"] @ pose[:3, :3].T + pose[:3, 3]) @ truth["K"].T
    px = (px[:, :2] / px[:, 2:])[truth["tris"].astype(int)]
    covered = np.zeros(shape[:2], np.uint8)
    for triangle in np.rint(px * 16).astype(np.int32):
        cv2.fillConvexPoly(covered, triangle, 1, shift=4)
    edge = cv2.morphologyEx(covered, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    return cv2.distanceTransform(1 - edge, cv2.DIST_L2, 5)


def landed(study: Study) -> dict[str, list[float]]:
    """The rim's motion in the picture over what is asked, by ear, at every intensity."""
    whole, shares = study.eared, {ear: [] for ear in EARS}
    px = study.camera.px_from_points(study.head.mesh.points(study.head.anatomy.pins478))
    for intensity in INTENSITIES:
        plan = asked_plan("otoplasty", intensity, None)
        picture = np.ascontiguousarray(carried_out(study, plan).raw[study.window])
        studio = studio_of(whole, study.prediction(plan).shown(), ["otoplasty"], False)
        for ear, back in zip(EARS, studio.setbacks(), strict=True):
            seen = whole.ears[ear]
            after = find_outline(seen.frame, px, picture, study.person).points_mm
            part = (back.y_mm - back.y_mm[0]) / np.ptp(back.y_mm)
            y = back.y_mm[(part > 0.15) & (part < 0.75)]
            moved = rim(seen.outline.points_mm, y) - rim(after, y)
            shares[ear].append(float(np.median(moved) / np.median(np.interp(y, back.y_mm, back.asked_mm))))
    return shares


def rim(line: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far out a line reaches at some heights."""
    return np.array([np.max(line[np.abs(line[:, 1] - v) < 1.5, 0], initial=0) for v in y])


def rms(values: np.ndarray) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(np.square(values))))


def written(groups: dict[str, list[dict]], frames: list[tuple[float, float, bool]]) -> str:
    """The page."""
    lines = ["# Ears in one photo", "",
             "Made by `python benchmarks/ears.py -o benchmarks/ears.md`. Of believed ears: marks from the outline",
             "found, mm, and the area that the head's ear shares with that outline.", "",
             "| | marked ears, believed | marks: root mean square | of half of the ears at most | 95 % of the marks "
             "within | worst | area shared: fitted head | drawn to the photo: least, mean |",
             "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for name, rows in groups.items():
        sure = [r for r in rows if not r["doubt"]]
        gaps, each = np.concatenate([r["gaps"] for r in sure]), [rms(r["gaps"]) for r in sure]
        before, after = ([r[k] for r in sure] for k in ("before", "after"))
        lines.append(f"| {name} | {len(rows)}, {len(sure)} | {rms(gaps):.2f} | {np.median(each):.2f} "
                     f"| {np.percentile(gaps, 95):.1f} | {gaps.max():.1f} | {min(before):.2f} to {max(before):.2f} "
                     f"| {min(after):.2f}, {np.mean(after):.2f} |")
    lines += ["", "Frames of rendered captures, outline from the true silhouette, root mean square of each ear, mm:",
              "",
              "| turned | ears, believed | middle of the believed | worst of the believed |",
              "|---|---:|---:|---:|"]
    for word, low, high in (("away from the ear, 3 to 15°", -15, -3), ("by less than 3°", -3, 3),
                            ("towards the ear, 3 to 15°", 3, 15)):
        there = [(gap, sure) for yaw, gap, sure in frames if low <= yaw < high]
        sure = [gap for gap, believed in there if believed]
        told = f"{np.median(sure):.2f} | {max(sure):.2f}" if sure else "- | -"
        lines.append(f"| {word} | {len(there)}, {len(sure)} | {told} |")
    shares = np.array([r["shares"] for rows in groups.values() for r in rows if r["shares"]])
    lines += ["", "The rim's motion in the picture over what the plan asks, of photos of which both ears are believed "
              "(the search reads", "to 0.3 mm, which is a third of what 20 % asks):", "",
              "| intensity | " + " | ".join(f"{i} %" for i in INTENSITIES) + " |", "|---|" + "---:|" * len(INTENSITIES)]
    for word, values in (("least", shares.min(0)), ("middle", np.median(shares, 0)), ("most", shares.max(0))):
        lines.append(f"| {word} of {len(shares)} ears | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    lines += ["", "Marked and not believed:", ""]
    lines += [f"- {r['photo']}, {r['ear']}: {r['doubt']}" for rows in groups.values() for r in rows if r["doubt"]]
    return "\n".join([*lines, "", "What a usual ear looks like, and the weights of the search, were chosen on the "
                      "studio portraits; the limits of", "what is believed on all of these photos.", ""])


if __name__ == "__main__":
    sys.exit(main())
