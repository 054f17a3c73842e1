"""Skin patches on a photo: which skin was measured, and the colour that was found, so that a person can see it."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from render.draw import INK, PAPER, write

LINE = (60, 220, 200)
"""Around what was measured: a colour that skin never has."""


def skin_patches(picture: UInt8[np.ndarray, "h w 3"], used: Mapping[str, Bool[np.ndarray, "h w"]],
                 lab: Mapping[str, Float[np.ndarray, "3"]], lines: Sequence[str] = ()) -> UInt8[np.ndarray, "h2 w 3"]:
    """The photo with what was measured outlined, its colours as swatches (CIELAB as given), and the result in words."""
    out = picture.copy()
    thick = max(1, picture.shape[0] // 500)
    for mask in used.values():
        edges, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, edges, -1, LINE, thick)
    size = max(11, picture.shape[1] // 55)
    wide, tall = picture.shape[1], round(4.2 * size + 1.5 * size * len(lines))
    strip = Image.new("RGB", (wide, tall), PAPER)
    draw = ImageDraw.Draw(strip)
    for k, (name, colour) in enumerate(lab.items()):
        x = size + k * wide // max(len(lab), 1)
        draw.rectangle((x, size, x + 2 * size, 3 * size), fill=rgb_of(colour), outline=INK)
        write(strip, (x + 2.5 * size, 2 * size), f"{name}: L* {colour[0]:.0f}, b* {colour[2]:.0f}", size, "lm")
    for k, line in enumerate(lines):
        write(strip, (size, 3.8 * size + 1.5 * size * k), line, size)
    return np.concatenate([out, np.asarray(strip)], 0)


def rgb_of(lab: Float[np.ndarray, "3"]) -> tuple[int, int, int]:
    """sRGB bytes of a CIELAB colour."""
    rgb = cv2.cvtColor(np.asarray(lab, np.float32).reshape(1, 1, 3), cv2.COLOR_LAB2RGB)[0, 0]
    r, g, b = (int(v) for v in np.clip(np.rint(rgb * 255), 0, 255))
    return r, g, b
