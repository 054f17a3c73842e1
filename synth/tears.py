"""Tears: where neighbouring pixels were drawn from places far apart, and an edge shows that neither place had.

Before an honest contour (a nose before a cheek) such pixels stand, too, but the contour is an edge of the photo itself,
which came along. A tear cuts through skin that was whole.
Letters: p, p' two pixels after, BASE_MM apart; q, q' where they were drawn from; g strength of an edge, grey levels per
mm, of the channel that shows it best.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import map_coordinates

from core.channels import largest, length
from core.correspondence import Correspondence
from synth.backdrop import signed_distance

BASE_MM, APART_MM = 0.6, 0.8
"""Pixels so far apart are drawn from afar when q - p and q' - p' differ by more than the second, and than the first."""
SOFT_MM, NEAR_MM = 0.25, 0.5
"""Edges are those of the smoothed picture; so far around q and q' an edge may lie."""
MORE, FAINT = 1.3, 18.0
"""An edge after is new when it is so many times as strong as before; fainter ones (grey levels per mm) do not
show: where a face lift presses the jowl together, smooth skin has edges of 10 to 17."""
INSIDE_MM = 6.0
"""Nearer to the fitted outline nothing is judged: what bends there, ears too, depends on the wall behind it."""
FINEST_PX = 4.0
"""Pixels per mm: finer pictures are reduced."""


def torn_mm2(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"], drawn_px: Float[np.ndarray, "..."],
             asked: Correspondence) -> float:
    """How much of the head is torn, in the window of `asked`. drawn_px: q - p. ValueError: it is not of this window."""
    px_per_mm = asked.px_per_mm
    skin = np.isfinite(asked.depth_after_mm) & np.isfinite(asked.depth_before_mm)
    judged = (asked.mask > 0) & (signed_distance(skin) > INSIDE_MM * px_per_mm)
    before, after, drawn_px, judged, shrink = reduced(before, after, drawn_px, judged, px_per_mm,
                                                      cv2.INTER_NEAREST_EXACT)
    scale = px_per_mm * shrink
    old, new = (edges(p, scale) for p in (before, after))
    around = 2 * max(1, round(NEAR_MM * scale)) + 1
    old = cv2.dilate(old, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (around, around)))
    torn = np.zeros(judged.shape, bool)
    mark(drawn_px, judged, new, torn, old, scale, across=False)
    mark(drawn_px.swapaxes(0, 1), judged.T, new.T, torn.T, old, scale, across=True)
    return float(torn.sum()) / scale**2


def reduced(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"], drawn_px: Float[np.ndarray, "..."],
            judged: Bool[np.ndarray, "h w"], px_per_mm: float, how: int) -> tuple[
                UInt8[np.ndarray, "a b 3"], UInt8[np.ndarray, "a b 3"], Float[np.ndarray, "a b 2"],
                Bool[np.ndarray, "a b"], float]:
    """The same no finer than need be, and how much smaller. how: to sample the motion. ValueError: it is not of this
    window."""
    if drawn_px.shape != (*judged.shape, 2) or not np.isfinite(drawn_px).all():
        raise ValueError("the motion that was drawn has another size than the window, or holds what is no number")
    shrink = min(1.0, FINEST_PX / px_per_mm)
    if shrink == 1:
        return before, after, drawn_px, judged, shrink
    size = tuple(max(2, round(n * shrink)) for n in judged.shape[::-1])
    before, after = (cv2.resize(p, size, interpolation=cv2.INTER_AREA) for p in (before, after))
    drawn_px = cv2.resize(drawn_px, size, interpolation=how) * np.float32(shrink)
    judged = cv2.resize(judged.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    return before, after, drawn_px, judged, shrink


def edges(picture: UInt8[np.ndarray, "h w 3"], px_per_mm: float) -> Float[np.ndarray, "h w"]:
    """g of every pixel."""
    even = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), max(SOFT_MM * px_per_mm, 0.6))
    return largest(np.hypot(*(cv2.Sobel(even, cv2.CV_32F, *d, scale=1 / 8) for d in ((1, 0), (0, 1))))) * px_per_mm


def mark(drawn_px: Float[np.ndarray, "a b 2"], judged: Bool[np.ndarray, "a b"], new: Float[np.ndarray, "a b"],
         torn: Bool[np.ndarray, "a b"], old: Float[np.ndarray, "h w"], px_per_mm: float, across: bool) -> None:
    """Tears between p and p' = p + BASE_MM along the first axis, which is x when `across`; written to `torn`."""
    step = max(1, round(BASE_MM * px_per_mm))
    apart = length(drawn_px[step:] - drawn_px[:-step])
    y, x = np.nonzero((apart > max(APART_MM * px_per_mm, step)) & judged[step:] & judged[:-step])
    known = np.zeros(len(y), np.float32)
    for row in (y, y + step):
        at = np.stack([row, x] if across else [x, row], 1) + drawn_px[row, x]
        known = np.maximum(known, map_coordinates(old, at.T[::-1], order=1, mode="nearest"))
    middle = y + step // 2
    fresh = new[middle, x] > np.maximum(MORE * known, FAINT)
    torn[middle[fresh], x[fresh]] = True
