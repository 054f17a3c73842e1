"""Mipmap: a texture at halved sizes, so that a pixel that covers many texels shows their mean and nothing shimmers.

Letters: l level of detail, log2 of the texels under one pixel's side; level k has size / 2^k.
All levels lie in one picture (level 0 at the left, the others stacked at its right): one loop reads any mix of them.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.texture import Texture
from render.mix import compiled

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

    def sample(self, uv: Float[np.ndarray, "*n 2"], level: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3"]:
        """Colours 0..255 (sRGB) at texture coordinates; the edge colour outside [0, 1]."""
        out = np.empty((*uv.shape[:-1], 3), np.float32)
        trilinear(self.atlas, self.corners_xy, self.sizes_wh, np.ascontiguousarray(uv, np.float32).reshape(-1, 2),
                  np.ascontiguousarray(level, np.float32).reshape(-1), out.reshape(-1, 3))
        return out


@compiled
def trilinear(atlas, corners_xy, sizes_wh, uv, level, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write the colours of N points: bilinear in the two levels around theirs, linear between them."""
    half, one, top = np.float32(0.5), np.float32(1), len(sizes_wh) - 1
    for n in range(len(level)):
        exact = min(max(level[n], np.float32(0)), np.float32(top))
        below = int(exact)
        share = exact - np.float32(below)
        out[n, 0] = out[n, 1] = out[n, 2] = 0
        for k in range(below, below + (2 if share > 0 else 1)):
            weight = share if k > below else one - share
            width, height = sizes_wh[k]
            x = min(max(uv[n, 0] * np.float32(width) - half, np.float32(0)), np.float32(width - 1))
            y = min(max(uv[n, 1] * np.float32(height) - half, np.float32(0)), np.float32(height - 1))
            left, up = int(x), int(y)
            across, down = x - np.float32(left), y - np.float32(up)
            right, low = corners_xy[k, 0] + min(left + 1, width - 1), corners_xy[k, 1] + min(up + 1, height - 1)
            left, up = left + corners_xy[k, 0], up + corners_xy[k, 1]
            for c in range(3):
                first = (one - across) * np.float32(atlas[up, left, c]) + across * np.float32(atlas[up, right, c])
                second = (one - across) * np.float32(atlas[low, left, c]) + across * np.float32(atlas[low, right, c])
                out[n, c] += weight * ((one - down) * first + down * second)


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
