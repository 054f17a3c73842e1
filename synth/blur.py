"""Blur: a Gaussian whose price does not grow with its width. Wide ones are taken of a smaller picture."""

import cv2
import numpy as np
from jaxtyping import Float

FINE = 4.0
"""The reduced picture still has a standard deviation of so many pixels or more."""


def blurred(values: Float[np.ndarray, "h w *c"], sigma_px: float) -> Float[np.ndarray, "h w *c"]:
    """`cv2.GaussianBlur`, to 0.7 per cent of a step; what lies beyond the edge is its mirror image.

    Averaging s x s pixels adds (s^2 - 1) / 12 to the variance, and drawing a line between their middles (s^2 - 1) / 6;
    the blur between gives the rest.
    """
    step = int(sigma_px / FINE)
    if step < 2:
        return cv2.GaussianBlur(values, (0, 0), sigma_px)
    height, width = values.shape[:2]
    down, right = -height % step, -width % step
    whole = cv2.copyMakeBorder(values, 0, down, 0, right, cv2.BORDER_REFLECT_101) if down or right else values
    small = cv2.resize(whole, (whole.shape[1] // step, whole.shape[0] // step), interpolation=cv2.INTER_AREA)
    rest = np.sqrt(sigma_px**2 - (step**2 - 1) / 4) / step
    small = cv2.GaussianBlur(small, (0, 0), rest)
    return cv2.resize(small, (whole.shape[1], whole.shape[0]), interpolation=cv2.INTER_LINEAR)[:height, :width]
