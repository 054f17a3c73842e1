"""The mark in the corner of a picture that leaves the program: discreet, legible on light and dark, never on the face.

It is drawn on the exported copy, after every check: the guard's rule that nothing outside the mask changes is about the
picture itself.
"""

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from render.draw import INK, MARK, PAPER, font, text_size

SIZE_SHARE, SMALLEST_PX = 1 / 48, 9
"""Height of the letters over the picture's shorter side; smaller than nine pixels nobody reads them."""
OPACITY = 0.85


def marked_corner(picture: UInt8[np.ndarray, "h w 3"], face: Bool[np.ndarray, "h w"] | None = None,
                  details: str = "") -> UInt8[np.ndarray, "g w 3"]:
    """The picture with "simulation, not a promise" in a corner, and `details` (date, plan, settings) below it.

    face: pixels that show the head (`Fragments.covered`); the corner where the text covers none of them is taken, in
    smaller letters or on more lines where it must be. Where no corner is free, a strip below the picture carries the
    text and the picture grows by it: a face is never written on, and a simulation never leaves without its mark.
    """
    height, width = picture.shape[:2]
    taken = np.zeros((height, width), bool) if face is None else face
    size = max(round(min(height, width) * SIZE_SHARE), SMALLEST_PX)
    for letters in dict.fromkeys((size, max(round(0.75 * size), SMALLEST_PX), SMALLEST_PX)):
        for lines in ((MARK, details), (*halved(MARK), details)):
            shown = [line for line in lines if line]
            for box in corners(shown, letters, width, height):
                if not taken[box[1]:box[3], box[0]:box[2]].any():
                    return lettered(picture, shown, letters, box)
    return below(picture, [line for line in (*halved(MARK), details) if line], size)


def halved(text: str) -> tuple[str, str]:
    """Two lines, split at the hyphen that stands for a pause."""
    first, _, second = text.partition(" - ")
    return first, second


def block_size(lines: list[str], letters: int) -> tuple[int, int]:
    """Width and height of some lines, with a margin of half a letter."""
    return max(text_size(line, letters)[0] for line in lines) + letters, round((1.3 * len(lines) + 0.7) * letters)


def corners(lines: list[str], letters: int, width: int, height: int) -> list[tuple[int, int, int, int]]:
    """Boxes of the text at the bottom right, bottom left, top right and top left; none when it does not fit."""
    wide, tall = block_size(lines, letters)
    if wide > width or tall > height:
        return []
    return [(x, y, x + wide, y + tall) for y in (height - tall, 0) for x in (width - wide, 0)]


def lettered(picture: UInt8[np.ndarray, "h w 3"], lines: list[str], letters: int,
             box: tuple[int, int, int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """Light letters with a dark rim, a little transparent, in the box."""
    canvas = Image.fromarray(picture)
    part = canvas.crop(box)
    written = part.copy()
    draw = ImageDraw.Draw(written)
    right = box[0] > 0
    x = part.width - letters / 2 if right else letters / 2
    for number, line in enumerate(lines):
        draw.text((x, letters * (0.95 + 1.3 * number)), line, fill=PAPER, font=font(letters),
                  anchor="rm" if right else "lm", stroke_width=max(1, letters // 9), stroke_fill=INK)
    canvas.paste(Image.blend(part, written, OPACITY), box[:2])
    return np.asarray(canvas)


def below(picture: UInt8[np.ndarray, "h w 3"], lines: list[str], size: int) -> UInt8[np.ndarray, "g w 3"]:
    """The picture with a strip under it that carries the lines, in letters that fit."""
    width = picture.shape[1]
    letters = size
    while letters > 5 and block_size(lines, letters)[0] > width:
        letters -= 1
    strip = np.full((block_size(lines, letters)[1], width, 3), INK, np.uint8)
    wide, tall = block_size(lines, letters)
    return np.concatenate([picture, lettered(strip, lines, letters, (0, 0, min(wide, width), tall))])
