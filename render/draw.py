"""Lettering on pictures: text, scale bar, colour bar, and the mark that every simulated picture carries."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

MARK = "SIMULATION - not a promise of the result"
"""On every picture of a predicted face."""

INK, PAPER, RED = (28, 32, 36), (255, 255, 255), (168, 28, 28)

Corner = tuple[int | float, int | float]


def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own scalable font: the same letters on every machine."""
    return ImageFont.load_default(size_px)


def text_size(text: str, size_px: int) -> tuple[int, int]:
    """Width and height in px that `text` takes."""
    left, top, right, bottom = font(size_px).getbbox(text)
    return int(np.ceil(right - left)), int(np.ceil(bottom - top))


def write(canvas: Image.Image, at: Corner, text: str, size_px: int, anchor: str = "la",
          ink: tuple[int, int, int] = INK) -> None:
    """Draw text; `anchor` as in Pillow (l, m, r then a, m, s, d)."""
    ImageDraw.Draw(canvas).text(at, text, fill=ink, font=font(size_px), anchor=anchor)


def tagged(picture: UInt8[np.ndarray, "h w 3"], text: str, ink: tuple[int, int, int] = INK,
           bottom: bool = False) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with text on a light strip in its top left corner, or across its bottom; shrunk to fit."""
    canvas = Image.fromarray(picture)
    height, width = picture.shape[:2]
    size = max(9, height // 34)
    while text_size(text, size)[0] > width - 2 * size and size > 6:
        size -= 1
    wide, tall = text_size(text, size)
    pad = size // 2
    box = (0, height - tall - 2 * pad, width, height) if bottom else (0, 0, wide + 2 * pad, tall + 2 * pad)
    strip = Image.new("RGB", (box[2] - box[0], box[3] - box[1]), PAPER)
    canvas.paste(Image.blend(canvas.crop(box), strip, 0.82), box)
    if bottom:
        write(canvas, (width / 2, (box[1] + box[3]) / 2), text, size, "mm", ink)
    else:
        write(canvas, (pad, (box[1] + box[3]) / 2), text, size, "lm", ink)
    return np.asarray(canvas)


def marked(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with the permanent mark of a simulation."""
    return tagged(picture, MARK, RED, bottom=True)


def scaled(picture: UInt8[np.ndarray, "h w 3"], px_per_mm: float, length_mm: float = 10.0) -> UInt8[
        np.ndarray, "h w 3"]:
    """The picture with a scale bar at the right edge above the mark: exactly `length_mm` at the depth of the face."""
    canvas = Image.fromarray(picture)
    draw = ImageDraw.Draw(canvas)
    height, width = picture.shape[:2]
    size = max(9, height // 40)
    length = round(length_mm * px_per_mm)
    right, y = width - 1 - size, height - 1 - 4 * size
    left = right - length + 1  # both ends are drawn: the bar covers `length` pixels
    thick = max(2, size // 5)
    draw.rectangle((left - 1, y - 1, right + 1, y + thick), fill=PAPER)
    draw.rectangle((left, y, right, y + thick - 1), fill=INK)
    words = f"{length_mm:g} mm"
    middle = min((left + right) / 2, width - 2 - size / 4 - text_size(words, size)[0] / 2)  # within the picture
    draw.text((middle, y - size // 3), words, fill=INK, font=font(size), anchor="md",
              stroke_width=max(1, size // 8), stroke_fill=PAPER)
    return np.asarray(canvas)
