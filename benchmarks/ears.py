"""Where one photo's ears end, against hand-placed marks, and how far an otoplasty moves them.

    python benchmarks/ears.py [--data ../shared/data] [-o benchmarks/ears.md]

Marks: five along each ear that come with the frontal photos of the Face Research Lab London Set (`*_03.tem`, CC BY
4.0), and 10 to 19 along ten ears of seven other photos (`ears_marks.json`), placed for this project on enlarged crops,
to about 0.5 mm. Of every ear: how far the marks lie from the outline found, the area that the fitted head's ear has in
common with it before and after it is drawn to it, and whether the photo is believed. Of every photo that is: the rim's
motion in the picture, found anew by the same search, over what the plan asks, between 15 and 75 % of the ear's height.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.errors import PrevisageError  # noqa: E402  (the repository need not be installed)
from previsage.photo import asked_plan, begin, carried_out  # noqa: E402
from previsage.photo_modes import studio_of  # noqa: E402
from previsage.photo_study import Study  # noqa: E402
from previsage.rasterizer import rasterizer  # noqa: E402
from recon.ear_outline import find_outline, silhouette  # noqa: E402
from recon.ears import EARS, in_common  # noqa: E402

MARKS = {"ear_r": range(115, 120), "ear_l": range(120, 125)}
"""Rows of a template round an ear, from its top to its lobe."""
OTHERS = Path(__file__).with_name("ears_marks.json")
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
    page = written(groups)
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
    """How far each mark lies from a line of points."""
    share = np.linspace(0, 1, 8, endpoint=False)[:, None, None]
    fine = (line[:-1] + share * np.diff(line, axis=0)).reshape(-1, 2)
    return np.linalg.norm(marks[:, None] - fine, axis=2).min(1)


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


def written(groups: dict[str, list[dict]]) -> str:
    """The page."""
    lines = ["# Ears in one photo", "", "Made by `python benchmarks/ears.py -o benchmarks/ears.md`. Believed ears only, "
             "but for the first", "column; marks from the outline found, mm; area shared by the head's ear and that outline.",
             "", "| | ears, believed | marks: rms | half of the ears within | 95 % of the marks within | worst mark "
             "| area shared: fitted head | drawn to the photo, least and mean |", "|---|---:|---:|---:|---:|---:|---:|---:|"]
    for name, rows in groups.items():
        sure = [r for r in rows if not r["doubt"]]
        gaps = np.concatenate([r["gaps"] for r in sure])
        before, after = ([r[k] for r in sure] for k in ("before", "after"))
        lines.append(f"| {name} | {len(rows)}, {len(sure)} | {rms(gaps):.2f} | {np.median([rms(r['gaps']) for r in sure]):.2f} "
                     f"| {np.percentile(gaps, 95):.1f} | {gaps.max():.1f} | {min(before):.2f} to {max(before):.2f} "
                     f"| {min(after):.2f}, {np.mean(after):.2f} |")
    lines += ["", "The rim's motion over what the plan asks (both found by the same search, which reads to 0.3 mm), photos of "
              "which", "both ears are believed:", "", "| intensity | " + " | ".join(f"{i} %" for i in INTENSITIES) + " |",
              "|---|" + "---:|" * len(INTENSITIES)]
    shares = np.array([r["shares"] for rows in groups.values() for r in rows if r["shares"]])
    for word, values in (("least", shares.min(0)), ("middle", np.median(shares, 0)), ("most", shares.max(0))):
        lines.append(f"| {word} of {len(shares)} ears | " + " | ".join(f"{v:.2f}" for v in values) + " |")
    lines += ["", "Not believed, and why:", ""]
    lines += [f"- {r['photo']}, {r['ear']}: {r['doubt']}" for rows in groups.values() for r in rows if r["doubt"]]
    return "\n".join([*lines, "", "What a usual ear looks like, and the weights of the search, were chosen on the studio "
                      "portraits; the other", "photos were looked at, too. The limits of what is believed were chosen on both.",
                      ""])


if __name__ == "__main__":
    sys.exit(main())
