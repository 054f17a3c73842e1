"""Lobe: a cheek that is lifted slides past the ear, which stays whole.

The ear of a head fitted to one photo may be much shorter than the pictured one, and its cheek wider: the motion of the
cheek then goes on over the pictured lobe and draws it to a point. No operation does that: a lobe that is pulled down or
along is a complication. So within a pictured ear nothing moves; before it the skin slides along its edge, as it does
where what is left over is cut away, and beyond it what the cheek's outline takes along is let go of evenly.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float

from core.channels import length, sum_of
from core.correspondence import Correspondence
from synth.backdrop import smoothstep
from synth.blur import blurred
from synth.follow import STEEPEST
from synth.shear import as_steep

SLIDES_MM = 1.2
"""Before an ear's edge the cheek slides wholly from so far on."""
EVEN_MM = 1.5
"""Over so much the direction of the ear's edge is evened (standard deviation)."""
NEAR_MM = 1.5
"""So near to the cheek all moves as the cheek does: its outline must not step below the lobe."""
AROUND_MM = 16.0
"""Farther from an ear nothing is let go of."""
LEAST_PX = 0.25
"""Where no more is let go of, the plan is still asked for."""


def past_ears(own_px: Float[np.ndarray, "h w 2"], flow: Correspondence, person: Float[np.ndarray, "h w"],
              rings_px: Sequence[Float[np.ndarray, "_ 2"]]) -> tuple[Float[np.ndarray, "h w 2"], Correspondence]:
    """The motion of the window with its ears at rest, and what is asked of it. rings_px: around the pictured ears, in
    the window; each ends with the edge of the cheek. What the photo shows within them is not the fitted head, and their
    edge is no tear. person: the matte of who is seen before."""
    out, seen = own_px, flow.depth_before_mm
    for ring in rings_px:
        part = around(ring, own_px.shape, AROUND_MM * flow.px_per_mm)
        if part is None or not (length(out[part]) > LEAST_PX).any():
            continue
        corner = [part[1].start, part[0].start]
        out, seen = (out.copy(), seen.copy()) if out is own_px else (out, seen)
        out[part], ear = past(out[part], np.isfinite(flow.depth_after_mm[part]), person[part], ring - corner,
                              flow.px_per_mm)
        seen[part][ear] = np.inf
    if out is own_px:
        return own_px, flow
    return out, dataclasses.replace(flow, moved=flow.moved & (length(out - own_px) <= LEAST_PX), depth_before_mm=seen)


def past(own_px: Float[np.ndarray, "h w 2"], head: Bool[np.ndarray, "h w"], person: Float[np.ndarray, "h w"],
         ring: Float[np.ndarray, "_ 2"], mm: float) -> tuple[Float[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """The motion of a part of the window past one ear, and where that is."""
    ear = np.zeros(head.shape, np.uint8)
    cv2.fillPoly(ear, [np.rint(ring * 16).astype(np.int32)], 1, shift=4)
    off = cv2.distanceTransform(1 - ear, cv2.DIST_L2, 5)
    way = blurred(off - cv2.distanceTransform(ear, cv2.DIST_L2, 5), max(EVEN_MM * mm, 1.0))
    out = np.stack([cv2.Sobel(way, cv2.CV_32F, 1, 0), cv2.Sobel(way, cv2.CV_32F, 0, 1)], -1)
    out /= np.maximum(length(out), 1e-6)[..., None]
    edge = ring[-1] - ring[-2]
    normal = np.array([-edge[1], edge[0]], np.float32) / max(float(np.linalg.norm(edge)), 1e-6)
    across = sum_of(own_px * normal)[..., None] * normal
    level = np.minimum(1, np.abs(sum_of(out * normal)))
    slides = smoothstep(off / max(SLIDES_MM * mm, 1.0))
    skin = cv2.distanceTransform((~head | (person < 0.5)).astype(np.uint8), cv2.DIST_L2, 5)
    skin = np.clip(2 - skin / (NEAR_MM * mm), 0, 1)
    evenly = as_steep(own_px, off)
    whole = evenly + skin * (slides - evenly)
    part = whole + level * (np.minimum(slides, as_steep(across, STEEPEST * off)) - whole)
    kept = whole[..., None] * (own_px - across) + part[..., None] * across
    return np.where((ear > 0)[..., None], 0, kept).astype(np.float32), ear > 0


def around(ring: Float[np.ndarray, "_ 2"], shape: tuple[int, ...], reach_px: float) -> tuple[slice, slice] | None:
    """Rows and columns about a ring; None where it lies outside the window."""
    low = np.clip(np.floor(ring.min(0) - reach_px), 0, None).astype(int)
    high = np.minimum(np.ceil(ring.max(0) + reach_px) + 1, shape[1::-1]).astype(int)
    return None if (high - low < 2).any() else (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))
