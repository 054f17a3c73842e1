"""Rims: where the fitted head's nose ends before the cheek, and a nostril's rim before its inside, the picture's own
edge is looked for, and the head is moved there.

A fitted nostril lies up to a millimetre beside the pictured one. Its texture, the mean of many frames that each have it
a little elsewhere, cannot tell (`register`); the edge in the picture can. Fetched over a rim that lies beside it, the
inside would move with the skin before it.
Letters: E the last pixel before a step of depth, n its normal towards what lies behind, t along it (px), g(t) slope of
brightness, r the motion of a piece of the fitted head, as in `register`.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from core.channels import length, sum_of
from core.correspondence import Correspondence
from core.records import record
from synth.backdrop import smoothstep
from synth.contours import contours
from synth.outlines import FAR_MM, last_before_jumps, nearest
from synth.silhouette import spread

FEWEST = 10
"""Rim pixels that tell; fewer are chance."""
STEP_PX, SOFT_PX = 0.5, 0.5
"""Between the places along t, and of the blur that takes the sensor's noise."""
FARTHEST_MM = 8.0
"""What lies behind counts as no deeper than this when the way there is asked."""


@record
class RimOptions:
    """jump_mm: a step of depth that makes a rim. reach_mm: so far from the fitted rim the pictured one is looked for,
    and near_mm (standard deviation) how far it is expected. along_mm: over which slopes are evened along the rim, and
    even_mm r. slope: of brightness (grey levels per px) that an edge has at least. inside_mm: r ends so far from it."""

    jump_mm: float = 3.0
    reach_mm: float = 1.25
    near_mm: float = 0.7
    along_mm: float = 1.0
    even_mm: float = 2.0
    slope: float = 3.0
    inside_mm: float = 2.0


RIMS = RimOptions()


def rims_off(frame: Float[np.ndarray, "h w 3"], flow: Correspondence, options: RimOptions = RIMS) -> Float[
        np.ndarray, "h w 2"] | None:
    """r of every pixel of the window, px; None where no rim tells. frame: its window."""
    mm, depth = flow.px_per_mm, np.minimum(flow.depth_before_mm, np.float32(FAR_MM))
    skin = cv2.erode((depth < FAR_MM).astype(np.uint8), np.ones((5, 5), np.uint8))  # the matte meets outlines
    edge = last_before_jumps(depth, options.jump_mm) & (skin > 0) & moving(flow, options)
    y, x = np.nonzero(edge)
    if len(y) < FEWEST:
        return None
    n = backwards(depth, mm)[y, x]
    off, told = displaced(frame, skin, (y, x), n, mm, options)
    if told.sum() < FEWEST:
        return None
    r = spread(depth.shape, (y, x), n * off[:, None], told, options.even_mm * mm)
    away, _, _, _ = nearest(edge)
    faded: np.ndarray = r * smoothstep(1 - away / (options.inside_mm * mm))[..., None]
    return faded.astype(np.float32)


def moving(flow: Correspondence, options: RimOptions) -> Bool[np.ndarray, "h w"]:
    """Where, before, lie the rims that move before what is behind them, within `reach_mm`: others may lie anywhere."""
    y, x = np.nonzero(contours(np.minimum(flow.depth_after_mm, np.float32(FAR_MM)), flow.flow_px))
    q = np.rint(np.stack([x, y], 1) + flow.flow_px[y, x]).astype(int)
    was = np.zeros(flow.mask.shape, np.uint8)
    to = np.clip(q, 0, np.array(was.shape[::-1]) - 1)
    was[to[:, 1], to[:, 0]] = 1
    reach = max(1, round(options.reach_mm * flow.px_per_mm))
    return cv2.dilate(was, np.ones((2 * reach + 1,) * 2, np.uint8)) > 0


def backwards(depth_mm: Float[np.ndarray, "h w"], px_per_mm: float) -> Float[np.ndarray, "h w 2"]:
    """Unit directions in the picture towards what lies deeper."""
    near = np.minimum(depth_mm, cv2.erode(depth_mm, np.ones((5, 5), np.uint8)) + np.float32(FARTHEST_MM))
    even = cv2.GaussianBlur(near, (0, 0), max(0.5 * px_per_mm, 1.0))
    n = np.stack([cv2.Sobel(even, cv2.CV_32F, 1, 0), cv2.Sobel(even, cv2.CV_32F, 0, 1)], -1)
    unit: np.ndarray = n / np.maximum(length(n), 1e-6)[..., None]
    return unit


def displaced(frame: Float[np.ndarray, "h w 3"], skin: UInt8[np.ndarray, "h w"],
              rim: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]], n: Float[np.ndarray, "n 2"], px_per_mm: float,
              options: RimOptions) -> tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """How far along n the picture's strongest edge lies beyond E, px, and whether there is one. A rim is as bright or
    dark against what lies behind as it is beside: slopes that differ in sign along it cancel. skin: other than there,
    the head's own outline may be what is seen."""
    y, x = rim
    count = int(np.ceil(options.reach_mm * px_per_mm / STEP_PX))
    t = np.arange(-count - 1, count + 2, dtype=np.float32) * STEP_PX
    grey = cv2.GaussianBlur(sum_of(frame) / 3, (0, 0), SOFT_PX)
    at = [(place[:, None] + n[:, k:k + 1] * (t + 0.5)).astype(np.float32)  # E's own edge is at 1/2
          for k, place in ((0, x), (1, y))]
    seen = cv2.remap(grey, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    own = cv2.remap(skin, *at, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)[:, 1:-1]
    t, slope = t[1:-1], own * (seen[:, 2:] - seen[:, :-2]) / np.float32(2 * STEP_PX)
    slope = evened(slope, rim, grey.shape, max(options.along_mm * px_per_mm, 1.0))
    likely = np.abs(slope) * np.exp(-(t / (options.near_mm * px_per_mm)) ** 2 / 2)
    each, best = np.arange(len(y)), likely.argmax(1)
    told = (np.abs(slope[each, best]) > options.slope) & (best > 0) & (best < len(t) - 1)
    best = np.clip(best, 1, len(t) - 2)
    before, there, after = (likely[each, best + k] for k in (-1, 0, 1))
    finer = 0.5 * (before - after) / np.minimum(before - 2 * there + after, -1e-6)  # a parabola's top
    return t[best] + STEP_PX * np.clip(finer, -1, 1), told


def evened(values: Float[np.ndarray, "n k"], rim: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]],
           shape: tuple[int, ...], sigma_px: float) -> Float[np.ndarray, "n k"]:
    """Values of the rim's pixels evened along it."""
    y, x = rim
    spot = np.zeros(shape[:2], np.float32)
    out = np.empty_like(values)
    spot[y, x] = 1
    weight = cv2.GaussianBlur(spot, (0, 0), sigma_px)[y, x]
    for k in range(values.shape[1]):
        spot[y, x] = values[:, k]
        out[:, k] = cv2.GaussianBlur(spot, (0, 0), sigma_px)[y, x] / weight
    return out
