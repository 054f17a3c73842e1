"""Where the nose's wings of a head fitted to one photo end, against hand-placed marks.

    python benchmarks/wings.py [--data ../shared/data] [-o benchmarks/wings.md]

The marks are those that come with the frontal photos of the Face Research Lab London Set (`*_03.tem`, CC BY 4.0): four
along each wing. Marked less fitted distance from the wing's front, along rays from -40 to 44 degrees, the mean over
them; of the fit to the landmarks alone, and with `recon.wings`. Eight more portraits, most of them
smiling or lit from one side, have such marks in `wings_marks.json`, placed for this project on enlarged crops, to about
0.5 mm.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.errors import PrevisageError  # noqa: E402  (the repository need not be installed)
from previsage.photo import begin  # noqa: E402
from previsage.rasterizer import rasterizer  # noqa: E402
from recon.one_photo import PhotoHead  # noqa: E402
from recon.wings import ANGLES_DEG, fitted_end, wing_of  # noqa: E402

MARKS = ((61, 62, 63, 64), (66, 67, 68, 69))
"""Rows of a template along the right and the left wing, from above to below."""
OTHERS = Path(__file__).with_name("wings_marks.json")
"""Photo: the marks (4,2) along its right and its left wing, px."""


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    studio = measured(studio_marks(given.data / "stills_london_shared"))
    others = measured((given.data / name, [np.array(wing) for wing in marks])
                      for name, marks in json.loads(OTHERS.read_text("utf-8")).items())
    page = written(studio, others)
    print(page)
    if given.output:
        given.output.write_text(page, "utf-8")
    return 0


def studio_marks(folder: Path) -> Iterator[tuple[Path, list[np.ndarray]]]:
    """The marked frontal photos, and the marks along their wings."""
    for path in sorted(folder.glob("*_03.tem")):
        yield path.with_suffix(".jpg"), [template(path)[list(wing)] for wing in MARKS]


def measured(marked: Iterator[tuple[Path, list[np.ndarray]]]) -> np.ndarray:
    """Gaps (n,4) in mm: of the right and the left wing fitted to the landmarks alone, then drawn to the photo."""
    rows = []
    for photo, marks in marked:
        try:
            found = begin(photo).head
            with patch("recon.one_photo.with_wings", lambda mesh, *_: mesh):
                plain = begin(photo).head
        except PrevisageError as error:
            print(photo.name, error.message, file=sys.stderr)
            continue
        rows.append([gap_mm(head, marks[side], side) for head in (plain, found) for side in (0, 1)])
        print(photo.stem, *(f"{t:+.1f}" for t in rows[-1]), flush=True)
    return np.array(rows)


def template(path: Path) -> np.ndarray:
    """The marks (n,2), px."""
    lines = path.read_text().splitlines()
    return np.array([[float(v) for v in line.split()[:2]] for line in lines[1:int(lines[0]) + 1]])


def gap_mm(head: PhotoHead, marks_px: np.ndarray, side: int) -> float:
    """Marked less fitted end of a wing, mean over the rays between the first and the last mark."""
    wing = wing_of(head.mesh, head.anatomy, head.camera, side)
    ends = fitted_end(head.mesh, head.camera, wing, rasterizer())
    along = np.linspace(0, 3, 200)
    line = np.column_stack([np.interp(along, np.arange(4), marks_px[:, k]) for k in (0, 1)])
    angle, r = wing.polar(line)
    order = np.argsort(angle)
    return float(np.nanmean(np.interp(ANGLES_DEG, angle[order], r[order], np.nan, np.nan) - ends))


def written(studio: np.ndarray, others: np.ndarray) -> str:
    """The page."""
    lines = ["# The nose's wings in one photo", "", "Made by `python benchmarks/wings.py -o benchmarks/wings.md`:",
             "four hand-placed marks along each wing, marked less fitted end, mm; both wings.", "",
             "| | mean | sd over people and sides | root mean square | worst |", "|---|---:|---:|---:|---:|"]
    for photos, rows in ((f"{len(studio)} studio portraits", studio), (f"{len(others)} other portraits", others)):
        lines += [row(f"{photos}: fitted to the landmarks alone", rows[:, :2]),
                  row(f"{photos}: drawn to the photo (`recon/wings.py`)", rows[:, 2:])]
    return "\n".join([*lines, "", "The constants of `recon/wings.py` were measured on the studio portraits, and which",
                      "lights an edge is sought in was chosen on both: this says how well they serve, not how",
                      "well they carry to other people.", ""])


def row(name: str, gaps: np.ndarray) -> str:
    """One line of the table."""
    return (f"| {name} | {gaps.mean():+.2f} | {gaps.std():.2f} | {np.sqrt((gaps**2).mean()):.2f} | "
            f"{np.abs(gaps).max():.1f} |")


if __name__ == "__main__":
    sys.exit(main())
