"""A small JPEG of a case for docs: photographs above, the head before and after a plan below.

    python benchmarks/result_sheets.py CASE PLAN OUT.jpg --photos front.jpg oblique.jpg profile.jpg \\
        --views frontal right_oblique right_lateral --zoom 1.27 --caption "..."
    python benchmarks/result_sheets.py CASE PLAN OUT.jpg    # without photographs: one row of pairs, before and after

Photographs are cut to the views' shape, `--zoom` times closer than the whole picture; nothing else is done to them.
"""

import argparse
import io
import itertools
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL_WH, PAIR_WH = (320, 400), (266, 332)
HEADER_PX, CAPTION_PX = 20, 34
LARGEST = 250_000
"""Bytes of a committed picture."""
INK, PAPER, MARK = (40, 46, 52), (255, 255, 255), (163, 38, 28)


def main() -> int:
    """Write the sheet; exit 1 when it cannot be made small enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", type=Path)
    parser.add_argument("plan")
    parser.add_argument("output", type=Path)
    parser.add_argument("--photos", nargs="+", type=Path)
    parser.add_argument("--views", nargs="+", default=["frontal", "right_oblique", "right_lateral"])
    parser.add_argument("--zoom", type=float, default=1.0)
    parser.add_argument("--quarter-turns", type=int, default=0, help="turn the photographs clockwise")
    parser.add_argument("--caption", default="")
    given = parser.parse_args()
    data = small(sheet(given) if given.photos else pairs(given))
    if data is None:
        print(f"{given.output} would be larger than {LARGEST} bytes.", file=sys.stderr)
        return 1
    given.output.write_bytes(data)
    print(f"{given.output}: {len(data) // 1000} kB")
    return 0


def sheet(given: argparse.Namespace) -> Image.Image:
    """Three rows: photographs, before, after."""
    views = given.case / "plans" / given.plan / "views"
    rows = {"photographs": [photograph(p, given.zoom, given.quarter_turns) for p in given.photos],
            "reconstruction": [cell(views / f"{name}_before.png") for name in given.views],
            f"simulated {given.plan}": [cell(views / f"{name}_after.png") for name in given.views]}
    width, height = CELL_WH
    page = Image.new("RGB", (width * len(given.views), (height + HEADER_PX) * len(rows) + CAPTION_PX), PAPER)
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for number, (name, pictures) in enumerate(rows.items()):
        top = number * (height + HEADER_PX)
        pen.text((6, top + 2), name, MARK if name.startswith("simulated") else INK, font)
        for column, picture in enumerate(pictures):
            page.paste(picture, (column * width, top + HEADER_PX))
    pen.multiline_text((6, page.height - CAPTION_PX + 2), given.caption.replace("\\n", "\n"), INK,
                       ImageFont.load_default(12), spacing=2)
    return page


def pairs(given: argparse.Namespace) -> Image.Image:
    """One row: every view before and after."""
    views = given.case / "plans" / given.plan / "views"
    width, height = PAIR_WH
    page = Image.new("RGB", (2 * width * len(given.views), height), PAPER)
    for column, (name, when) in enumerate(itertools.product(given.views, ("before", "after"))):
        picture = cell(views / f"{name}_{when}.png").resize((width - 2, height), Image.Resampling.LANCZOS)
        page.paste(picture, (column * width + 1, 0))
    return page


def photograph(path: Path, zoom: float, quarter_turns: int) -> Image.Image:
    """The middle of a photograph."""
    with Image.open(path) as image:
        upright = Image.fromarray(np.rot90(np.asarray(image.convert("RGB")), -quarter_turns))
    height = min(upright.height, upright.width * CELL_WH[1] / CELL_WH[0]) / zoom
    width = height * CELL_WH[0] / CELL_WH[1]
    left, top = (upright.width - width) / 2, (upright.height - height) / 2
    return upright.resize(CELL_WH, Image.Resampling.LANCZOS, (left, top, left + width, top + height))


def cell(path: Path) -> Image.Image:
    """A view at the size of the sheet."""
    with Image.open(path) as image:
        return image.convert("RGB").resize(CELL_WH, Image.Resampling.LANCZOS)


def small(page: Image.Image) -> bytes | None:
    """The JPEG of the best quality that is small enough."""
    for quality in range(88, 50, -4):
        buffer = io.BytesIO()
        page.save(buffer, "JPEG", quality=quality, optimize=True)
        if buffer.tell() <= LARGEST:
            return buffer.getvalue()
    return None


if __name__ == "__main__":
    sys.exit(main())
