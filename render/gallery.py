"""Gallery: pictures of one size on a page, each with a word, and the mark that simulations carry."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from render.draw import INK, MARK, PAPER, RED, font, tagged, text_size, write


def gallery(cells: Mapping[str, UInt8[np.ndarray, "h w 3"]], title: str, columns: int) -> UInt8[np.ndarray, "y x 3"]:
    """The cells by their words, row by row, under a title; the mark stands beside it."""
    pictures = [tagged(picture, word) for word, picture in cells.items()]
    height, width = pictures[0].shape[:2]
    gap, size = max(4, width // 60), max(12, height // 24)
    across = min(columns, len(pictures))
    rows = -(-len(pictures) // across)
    needed = text_size(title, round(1.2 * size))[0] + text_size(MARK, size)[0] + 5 * gap
    two_lines = needed > across * (width + gap)
    head = (5 if two_lines else 3) * size
    page = Image.new("RGB", (across * (width + gap) + gap, head + rows * (height + gap)), PAPER)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, across)
        page.paste(Image.fromarray(picture), (gap + column * (width + gap), head + row * (height + gap)))
    write(page, (gap, 1.5 * size), title, round(1.2 * size), "lm")
    mark_at = (gap, 3.5 * size) if two_lines else (page.width - gap, 1.5 * size)
    write(page, mark_at, MARK, size, "lm" if two_lines else "rm", RED)
    return np.asarray(page)


def note_card(lines: str, size_wh: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """An empty cell that says why it is empty; the words are broken to its width."""
    canvas = Image.new("RGB", size_wh, (236, 236, 232))
    letters = max(10, size_wh[1] // 30)
    rows: list[str] = []
    for word in lines.split():
        longer = f"{rows[-1]} {word}" if rows else word
        if rows and font(letters).getlength(longer) <= size_wh[0] - 2 * letters:
            rows[-1] = longer
        else:
            rows.append(word)
    top = size_wh[1] / 2 - 0.7 * letters * (len(rows) - 1)
    for number, row in enumerate(rows):
        write(canvas, (size_wh[0] / 2, top + 1.4 * letters * number), row, letters, "mm", INK)
    return np.asarray(canvas)
