"""Zones of a mask: what the operation changes, the seam, and the rest, which must not change."""

import cv2
import numpy as np
from jaxtyping import Bool, Float

ZONES = ("whole", "inside", "boundary", "outside")
LEAST_RING_PX = 2
RING_SHARE = 0.03
"""Half width of the boundary, as a share of the mask's width (the root of its area)."""
OPAQUE = 1 - 1 / 255
"""From here on a mask is 1: 8-bit files round."""


def zones(mask: Float[np.ndarray, "h w"] | None, shape: tuple[int, int]) -> dict[str, Bool[np.ndarray, "h w"]]:
    """Pixels by zone; `whole` always, the other three, which share the picture out between them, with a mask.

    boundary: where the mask is neither 0 nor 1, and a ring on both sides of its half. Empty zones are left out.
    """
    found = {"whole": np.ones(shape, bool)}
    if mask is None:
        return found
    half = (mask > 0.5).astype(np.uint8)
    ring = max(LEAST_RING_PX, round(RING_SHARE * float(np.sqrt(half.sum()))))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * ring + 1, 2 * ring + 1))
    seam = (cv2.dilate(half, disc) > 0) & ~(cv2.erode(half, disc, borderValue=1) > 0)
    boundary = seam | ((mask > 0) & (mask < OPAQUE))
    parts = {"inside": (mask >= OPAQUE) & ~boundary, "boundary": boundary, "outside": (mask <= 0) & ~boundary}
    return found | {name: part for name, part in parts.items() if part.any()}
