"""Within: what the judged part of a picture looks like: its colour from cell to cell, and its grain."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from skimage.color import rgb2lab

GRAIN_MM, GRAIN_PX = 0.5, (0.7, 1.5)
"""Finer detail (standard deviation of the blur that removes it, within so many px) is grain: pores, lines, noise."""


def averaged(picture: UInt8[np.ndarray, "a b 3"], judged: Float[np.ndarray, "a b"], weight: Float[np.ndarray, "c d"],
             size: tuple[int, int]) -> Float[np.ndarray, "c d 3"]:
    """CIELAB of the judged pixels' mean colour in each cell; zero in cells without any."""
    part = cv2.resize(picture * judged[..., None].astype(np.float32), size, interpolation=cv2.INTER_AREA)
    lab = np.zeros((*weight.shape, 3))
    some = weight > 0
    lab[some] = rgb2lab(np.clip(part[some] / np.maximum(weight[some], 1e-6)[:, None] / 255, 0, 1))
    return lab


def grain(grey: UInt8[np.ndarray, "a b"], judged: Float[np.ndarray, "a b"], fine_px: float) -> float:
    """The finest detail's median strength over the judged pixels (grey levels); edges of features count as few."""
    values = grey.astype(np.float32)
    local = cv2.GaussianBlur(np.abs(values - cv2.GaussianBlur(values, (0, 0), fine_px)), (0, 0), 2 * GRAIN_PX[1])
    return float(np.median(local[judged > 0.5])) + 0.25 if (judged > 0.5).any() else 0.25  # half a rounding step
