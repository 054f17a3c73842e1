"""Strokes: hair that was drawn out into lines, all in the direction in which the skin was stretched.

Where skin comes to light that no picture shows, the skin beside it is stretched. Smooth skin bears that; stubble under
a chin becomes a curtain of lines. What tells them: the map stretches there, the picture has strong edges across the
stretch and hardly any along it, and at the place it was drawn from its edges ran more evenly in all directions.
Letters: p pixel after, q from where it was drawn, s the smaller singular value of dq/dp: one over how far skin is
stretched; a, c edges along and across the stretch (grey levels per mm); k coherence of the structure tensor, 0..1.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.channels import length
from core.correspondence import Correspondence
from synth.backdrop import signed_distance
from synth.tears import reduced

STRETCHED = 0.42
"""Skin is stretched where s is smaller: 2.4-fold and more. Twofold, shaven cheeks of face lifts were taken along."""
CLEAR, ACROSS, ALIGNED = 10.0, 2.0, 0.25
"""Lines show where c is larger than the first and than a times the second, and k has grown by more than the third."""
SOFT_MM, AROUND_MM, EVEN_MM = 0.15, 1.5, 0.3
"""Standard deviations: of edges, of their neighbourhood, and of the map."""
INSIDE_MM, WHOLE = 2.0, 0.3
"""Nearer to the head's outline, or where the mask is fainter, nothing is judged."""


def stroked_mm2(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"],
                drawn_px: Float[np.ndarray, "..."], asked: Correspondence) -> float:
    """How much of the head shows strokes, in the window of `asked`. drawn_px: q - p. ValueError: of another size."""
    skin = np.isfinite(asked.depth_after_mm)
    judged = (asked.mask > WHOLE) & (signed_distance(skin) > INSIDE_MM * asked.px_per_mm)
    before, after, drawn_px, judged, shrink = reduced(before, after, drawn_px.astype(np.float32), judged,
                                                      asked.px_per_mm, cv2.INTER_LINEAR)
    mm = asked.px_per_mm * shrink
    if min(judged.shape) < 2:
        return 0.0
    y, x = np.mgrid[:judged.shape[0], :judged.shape[1]].astype(np.float32)
    q_x, q_y = x + drawn_px[..., 0], y + drawn_px[..., 1]
    s, stretch = stretching(q_x, q_y, mm)
    judged = judged & (s < STRETCHED)
    return float((judged & lines(before, after, (q_x, q_y), stretch, mm)).sum()) / mm**2


def stretching(q_x: Float[np.ndarray, "h w"], q_y: Float[np.ndarray, "h w"], mm: float) -> tuple[
        Float[np.ndarray, "h w"], Float[np.ndarray, "h w 2"]]:
    """s, and the direction after in which skin is stretched most: the weaker axis of J'J, J = dq/dp."""
    sigma = max(EVEN_MM * mm, 0.7)
    (x_y, x_x), (y_y, y_x) = (np.gradient(cv2.GaussianBlur(q, (0, 0), sigma)) for q in (q_x, q_y))
    xx, xy, yy, turned = x_x**2 + y_x**2, x_x * x_y + y_x * y_y, x_y**2 + y_y**2, 2 * np.abs(x_x * y_y - x_y * y_x)
    s = (np.sqrt(xx + yy + turned) - np.sqrt(np.maximum(xx + yy - turned, 0))) / 2
    angle = np.arctan2(2 * xy, xx - yy) / 2 + np.pi / 2
    return s, np.stack([np.cos(angle), np.sin(angle)], -1)


def lines(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"],
          at: tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]], stretch: Float[np.ndarray, "h w 2"],
          mm: float) -> Bool[np.ndarray, "h w"]:
    """Pixels whose surroundings show lines along the stretch that the photo does not have there."""
    was = [cv2.remap(t, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for t in tensor(before, mm)]
    xx, xy, yy = tensor(after, mm)
    to_x, to_y = stretch[..., 0], stretch[..., 1]
    along = xx * to_x**2 + 2 * xy * to_x * to_y + yy * to_y**2
    across = np.maximum(xx + yy - along, 0)
    grown = coherence(xx, xy, yy) - coherence(*was) > ALIGNED
    return np.asarray((across > CLEAR**2) & (across > ACROSS**2 * along) & grown)


def tensor(picture: UInt8[np.ndarray, "h w 3"], mm: float) -> list[Float[np.ndarray, "h w"]]:
    """The structure tensor of the brightness, xx, xy and yy, averaged around each pixel."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    soft = cv2.GaussianBlur(grey, (0, 0), max(SOFT_MM * mm, 0.6))
    x, y = (cv2.Sobel(soft, cv2.CV_32F, *d, scale=mm / 8) for d in ((1, 0), (0, 1)))
    return [cv2.GaussianBlur(t, (0, 0), AROUND_MM * mm) for t in (x * x, x * y, y * y)]


def coherence(xx: Float[np.ndarray, "h w"], xy: Float[np.ndarray, "h w"], yy: Float[np.ndarray, "h w"]) -> Float[
        np.ndarray, "h w"]:
    """k: 0 where edges run in all directions alike, 1 where in one."""
    return length(np.stack([xx - yy, 2 * xy], -1)) / np.maximum(xx + yy, 1e-3)
