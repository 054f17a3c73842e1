"""PSNR and SSIM over any set of pixels; nothing beyond the set has a say in them.

SSIM (Z. Wang et al., IEEE TIP 13, 2004) with its Gaussian window (sd 1.5 px, 11 px wide), K1 = 0.01, K2 = 0.03, per
channel, then averaged. At the rim of a set the window is cut to the set and its weights add up to 1 again (normalised
convolution), so that pixels outside neither lower nor raise it.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

SD_PX, WIDTH_PX = 1.5, 11
C1, C2 = (0.01 * 255)**2, (0.03 * 255)**2


def psnr_db(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"],
            where: Bool[np.ndarray, "h w"] | None = None) -> float:
    """Peak signal-to-noise ratio, dB: 10 log10(255^2 / mean squared difference); inf when the pixels are the same.

    ValueError: the set is empty.
    """
    difference = one.astype(np.float32) - other
    chosen = difference if where is None else difference[where]
    if chosen.size == 0:
        raise ValueError("no pixel to compare")
    error = float(np.mean(np.square(chosen, dtype=np.float64)))
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def ssim(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"],
         where: Bool[np.ndarray, "h w"] | None = None) -> float:
    """Mean structural similarity over a set of pixels. ValueError: the set is empty."""
    chosen = np.ones(one.shape[:2], bool) if where is None else where
    if not chosen.any():
        raise ValueError("no pixel to compare")
    return float(ssim_map(one, other, chosen)[chosen].mean(dtype=np.float64))


def ssim_map(one: UInt8[np.ndarray, "h w 3"], other: UInt8[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"],
             ) -> Float[np.ndarray, "h w"]:
    """SSIM at each pixel of a set, the mean of the channels; 0 outside the set."""
    rows, columns = np.flatnonzero(where.any(1)), np.flatnonzero(where.any(0))
    near = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    weight = where[near].astype(np.float64)
    covered = np.maximum(smooth(weight), 1e-12)
    total = np.zeros(weight.shape)
    for k in range(3):
        # about 128, so that the variances do not drown in the squares' rounding
        a, b = (p[near][..., k].astype(np.float64) - 128 for p in (one, other))
        mean_a, mean_b = (smooth(weight * v) / covered for v in (a, b))
        var_a, var_b, both = (smooth(weight * v) / covered - m for v, m in (
            (a * a, mean_a**2), (b * b, mean_b**2), (a * b, mean_a * mean_b)))
        light = (2 * (mean_a + 128) * (mean_b + 128) + C1) / ((mean_a + 128)**2 + (mean_b + 128)**2 + C1)
        total += light * (2 * both + C2) / (var_a + var_b + C2)
    result = np.zeros(where.shape)
    result[near] = np.where(where[near], total / 3, 0)
    return result


def ssim_of_grey(one: UInt8[np.ndarray, "a b"], other: UInt8[np.ndarray, "a b"]) -> Float[np.ndarray, "a b"]:
    """SSIM at every pixel, in single precision, which about a middle grey keeps the variances exact."""
    x, y = (p.astype(np.float32) - 128 for p in (one, other))
    mx, my = smooth(x), smooth(y)
    vx, vy, both = smooth(x * x) - mx * mx, smooth(y * y) - my * my, smooth(x * y) - mx * my
    mx, my, c1, c2 = mx + 128, my + 128, np.float32(C1), np.float32(C2)
    return (2 * mx * my + c1) * (2 * both + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))


def smooth(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """The window's weighted mean; beyond the border the picture is mirrored."""
    return cv2.GaussianBlur(values, (WIDTH_PX, WIDTH_PX), SD_PX, borderType=cv2.BORDER_REFLECT)
