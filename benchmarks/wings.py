"""Where the nose's wings of a head fitted to one photo end, against hand-placed marks.

    python benchmarks/wings.py [--data ../shared/data] [-o benchmarks/wings.md]

The marks are those that come with the frontal photos of the Face Research Lab London Set (`*_03.tem`, CC BY 4.0): four
along each wing. Marked less fitted distance from the wing's front, along rays from -40 to 44 degrees, the mean over
them; of the fit to the landmarks alone, and with `recon.wings`.
"""

import argparse
import sys
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


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path)
    given = parser.parse_args()
    rows = []
    for marks in sorted((given.data / "stills_london_shared").glob("*_03.tem")):
        photo = marks.with_suffix(".jpg")
        try:
            found = begin(photo).head
            with patch("recon.one_photo.with_wings", lambda mesh, *_: mesh):
                plain = begin(photo).head
        except PrevisageError as error:
            print(photo.name, error.message, file=sys.stderr)
            continue
        told = [gap_mm(head, template(marks), side) for head in (plain, found) for side in (0, 1)]
        rows.append(told)
        print(photo.stem, *(f"{t:+.1f}" for t in told), flush=True)
    page = written(np.array(rows))
    print(page)
    if given.output:
        given.output.write_text(page, "utf-8")
    return 0


def template(path: Path) -> np.ndarray:
    """The marks (n,2), px."""
    lines = path.read_text().splitlines()
    return np.array([[float(v) for v in line.split()[:2]] for line in lines[1:int(lines[0]) + 1]])


def gap_mm(head: PhotoHead, marks_px: np.ndarray, side: int) -> float:
    """Marked less fitted end of a wing, mean over the rays between the first and the last mark."""
    wing = wing_of(head.mesh, head.anatomy, head.camera, side)
    ends = fitted_end(head.mesh, head.camera, wing, rasterizer())
    along = np.linspace(0, 3, 200)
    line = np.column_stack([np.interp(along, np.arange(4), marks_px[list(MARKS[side]), k]) for k in (0, 1)])
    angle, r = wing.polar(line)
    order = np.argsort(angle)
    return float(np.nanmean(np.interp(ANGLES_DEG, angle[order], r[order], np.nan, np.nan) - ends))


def written(rows: np.ndarray) -> str:
    """The page."""
    lines = ["# The nose's wings in one photo", "", "Made by `python benchmarks/wings.py -o benchmarks/wings.md`:",
             f"{len(rows)} frontal photos of as many people, four hand-placed marks along each wing. Marked less",
             "fitted end, mm; both wings.", "", "| | mean | sd over people and sides | root mean square | worst |",
             "|---|---:|---:|---:|---:|"]
    for name, gaps in (("fitted to the landmarks alone", rows[:, :2]), ("drawn to the photo (`recon/wings.py`)",
                                                                        rows[:, 2:])):
        lines.append(f"| {name} | {gaps.mean():+.2f} | {gaps.std():.2f} | {np.sqrt((gaps**2).mean()):.2f} | "
                     f"{np.abs(gaps).max():.1f} |")
    return "\n".join([*lines, "", "The constants of `recon/wings.py` were measured on these photos, so this says how",
                      "well they serve, not how well they carry to other people.", ""])


if __name__ == "__main__":
    sys.exit(main())
