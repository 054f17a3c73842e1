"""Mipmap: a texture at halved sizes, so that a pixel that covers many texels shows their mean and nothing shimmers.

Letters: l level of detail, log2 of the texels under one pixel's side; level k has size / 2^k.
All levels lie in one picture (level 0 at the left, the others stacked at its right): one gather reads any mix of them.
"""

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from core.texture import Texture

LIST_WIDTH = 4096
"""Lists are sampled as pictures of this width."""

SMALLEST_PX = 8
"""Levels stop at this size: a whole head in eight texels is a single colour already."""


class Mipmap:
    """Colours of a texture, bilinear in the picture and linear between levels."""

    def __init__(self, texture: Texture) -> None:
        levels = halvings(texture.rgb)
        self.sizes_wh = np.array([level.shape[1::-1] for level in levels])
        self.size_wh = (texture.rgb.shape[1], texture.rgb.shape[0])
        self.corners_xy = np.zeros((len(levels), 2), int)
        if len(levels) > 1:
            self.corners_xy[1:, 0] = levels[0].shape[1]
            self.corners_xy[2:, 1] = np.cumsum(self.sizes_wh[1:-1, 1])
        size = (self.corners_xy + self.sizes_wh).max(0)
        self.atlas = np.zeros((size[1], size[0], 3), np.uint8)
        for level, (x, y) in zip(levels, self.corners_xy, strict=True):
            self.atlas[y:y + level.shape[0], x:x + level.shape[1]] = level

    def sample(self, uv: Float[np.ndarray, "h w 2"], level: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 3"]:
        """Colours 0..255 (sRGB) at texture coordinates; the edge colour outside [0, 1]. h and w below 32768."""
        level = np.clip(level, 0, len(self.sizes_wh) - 1).astype(np.float32)
        below = level.astype(np.int32)
        share = (level - below)[..., None]
        color = self._gather(uv, below).astype(np.float32)
        if share.any():
            above = self._gather(uv, np.minimum(below + 1, len(self.sizes_wh) - 1)).astype(np.float32)
            color += share * (above - color)
        return color

    def sample_list(self, uv: Float[np.ndarray, "n 2"], level: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
        """Colours of a list of points of any length, none included."""
        if not len(uv):
            return np.zeros((0, 3), np.float32)
        rows = -(-len(uv) // LIST_WIDTH)
        grid_uv = np.zeros((rows * LIST_WIDTH, 2), np.float32)
        grid_level = np.zeros(rows * LIST_WIDTH, np.float32)
        grid_uv[:len(uv)], grid_level[:len(uv)] = uv, level
        grid = self.sample(grid_uv.reshape(rows, LIST_WIDTH, 2), grid_level.reshape(rows, LIST_WIDTH))
        return grid.reshape(-1, 3)[:len(uv)]

    def _gather(self, uv: Float[np.ndarray, "h w 2"], level: Int[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
        one = level if level.any() else 0  # most close pictures need level 0 only
        size = self.sizes_wh.astype(np.float32)[one]
        place = uv.astype(np.float32) * size
        place -= 0.5
        np.minimum(place, size - 1, out=place)
        np.maximum(place, 0, out=place)
        place += self.corners_xy.astype(np.float32)[one]
        return cv2.remap(self.atlas, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def halvings(rgb: UInt8[np.ndarray, "h w 3"]) -> list[np.ndarray]:
    """The picture and its area-averaged halves."""
    levels = [rgb]
    while min(levels[-1].shape[:2]) >= 2 * SMALLEST_PX:
        height, width = levels[-1].shape[:2]
        levels.append(cv2.resize(levels[-1], (width // 2, height // 2), interpolation=cv2.INTER_AREA))
    return levels


def texel_levels(uv: Float[np.ndarray, "h w 2"], size_wh: tuple[int, int]) -> Float[np.ndarray, "h w"]:
    """Level of detail of each pixel from its neighbours' texture coordinates.

    The nearer neighbour on each side counts, so that seams and silhouettes, where coordinates jump, do not blur; the
    mean of the two directions (in log) keeps grazing skin sharper than the longest side would.
    """
    texels = uv * np.array(size_wh, np.float32)
    return 0.25 * np.log2(square_step(texels, 0) * square_step(texels, 1))


def square_step(texels: Float[np.ndarray, "h w 2"], axis: int) -> Float[np.ndarray, "h w"]:
    """Squared distance from each pixel to the nearer of its two neighbours along an image axis; at least 1e-6."""
    values = texels if axis == 0 else texels.transpose(1, 0, 2)
    apart = values[1:] - values[:-1]
    step = apart[..., 0] ** 2 + apart[..., 1] ** 2
    near = np.full(values.shape[:2], np.inf, np.float32)
    near[:-1] = step
    np.minimum(near[1:], step, out=near[1:])
    near = np.clip(near, 1e-6, 1e12)  # a thousandth of a texel is level 0 by far; a lone pixel is the coarsest
    return near if axis == 0 else near.T
