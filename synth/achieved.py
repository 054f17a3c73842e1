"""Achieved: how much of the motion that a plan asks for a picture shows, by optical flow, never by landmarks.

Detectors pull a changed face back to an average one; flow follows the skin's own texture. It has a bias of its own:
where there is little texture it stays near where it starts. So it is started twice, from no motion and from the
asked motion, and each start is moved to where its flow ends until it stays there. Where there is texture both end at
one value; where there is none they stay apart, and the motion cannot be measured, which is said.

Letters: a the asked motion of a pixel, m the measured one (both from the pixel after to its place before, px); s the
share of a that a part of the face shows, the median of m.a / a.a over its pixels weighted by a.a.
"""

import functools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.channels import length
from core.correspondence import Correspondence
from core.records import record
from synth.contours import contours
from synth.outlines import FAR_MM

ROUNDS, REST = 3, 0.005
"""Each start is moved so often, or until no part's share moves by more than the second; the third changes the share by
less than 0.02 on pictures with texture."""
FINEST_PX = 8.0
"""Neighbourhood (px, standard deviation) in which brightness and contrast are made equal: new shading is no motion."""
RIM_PX = 7
"""The flow of a pixel is the mean of all patches (8 x 8 px) that hold it: nearer to the edge of a part, or to a contour
that moves before what lies behind it, they see the neighbour, too."""
DEPTH_TOLERANCE_MM = 2.0
"""Skin that was nearer than this to what the picture showed before was in sight."""
ENOUGH_PIXELS, LEAST_LARGE_PX = 80_000, 2.0
"""A window with more pixels is compared smaller, which takes less time, as long as the motion stays that large."""
STARTS = ThreadPoolExecutor(2)
"""Both starts are followed side by side."""
FEWEST_PIXELS = 60
"""Of a part: fewer say nothing."""


@record
class Achieved:
    """How much of the asked motion a part shows: 1 is all of it. spread: how far apart the two starts ended.

    asked_px: the motion asked of it, 95th percentile. pixels: how many were used; share and spread are NaN for none.
    """

    share: float
    spread: float
    asked_px: float
    pixels: int

    def measurable(self, least_px: float, largest_spread: float) -> bool:
        """Whether the motion is large enough, and the texture good enough, for the share to mean something."""
        return self.pixels >= FEWEST_PIXELS and self.asked_px >= least_px and self.spread <= largest_spread


def achieved(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"], asked: Correspondence,
             parts: Mapping[str, Bool[np.ndarray, "h w"]]) -> dict[str, Achieved]:
    """The share of the asked motion in each part.

    before, after: the pictures in the correspondence's window. parts: pixels after, for instance those of the
    patient's left side and of the right; only those count that move clearly and were in sight before.
    """
    flow = np.ascontiguousarray(asked.flow_px)
    size = length(flow)
    usable = asked.moved & in_sight(asked) & (size > 0)
    shrink = shrunk_to({name: strong(usable & part, size) for name, part in parts.items()}, size)
    rim = np.ones((2 * int(np.ceil(RIM_PX / shrink)) + 1,) * 2, np.uint8)
    inner = ~contours(np.minimum(asked.depth_after_mm, np.float32(FAR_MM)), flow)
    used = {name: strong(usable & (cv2.erode((part & inner).astype(np.uint8), rim) > 0), size)
            for name, part in parts.items()}
    first, second = (even(cv2.resize(p, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA))
                     for p in (before, after))
    to = (first.shape[1], first.shape[0])
    small = cv2.resize(flow, to, interpolation=cv2.INTER_LINEAR) * np.float32(shrink)
    places = {name: cv2.resize(where.astype(np.uint8), to, interpolation=cv2.INTER_NEAREST) > 0
              for name, where in used.items()}
    near = {name: cv2.GaussianBlur(where.astype(np.float32), (0, 0), FINEST_PX) for name, where in places.items()}
    ends = list(STARTS.map(functools.partial(settled, first, second, small, places, near), (0.0, 1.0)))
    return {name: Achieved(share=(ends[0][name] + ends[1][name]) / 2, spread=abs(ends[0][name] - ends[1][name]),
                           asked_px=float(np.percentile(size[where], 95)) if where.any() else 0.0,
                           pixels=int(where.sum())) for name, where in used.items()}


def shrunk_to(used: Mapping[str, Bool[np.ndarray, "h w"]], size_px: Float[np.ndarray, "h w"]) -> float:
    """The size, at most 1, at which large pictures are compared: while the least moving part keeps LEAST_LARGE_PX."""
    asked = [float(np.percentile(size_px[where], 95)) for where in used.values() if where.any()]
    if not asked or size_px.size <= ENOUGH_PIXELS:
        return 1.0
    return min(1.0, max(float(np.sqrt(ENOUGH_PIXELS / size_px.size)), LEAST_LARGE_PX / min(asked)))


def strong(where: Bool[np.ndarray, "h w"], size_px: Float[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Those that move by at least 0.3 of what the part's fastest move: the rest says little of the plan."""
    if not where.any():
        return where
    return where & (size_px >= 0.3 * np.percentile(size_px[where], 95))


def in_sight(asked: Correspondence) -> Bool[np.ndarray, "h w"]:
    """Pixels after whose skin the picture before showed, too."""
    there = pixels(asked.mask.shape) + asked.flow_px
    depth = np.where(np.isfinite(asked.depth_before_mm), asked.depth_before_mm, 1e4)  # beyond any head
    seen_mm = cv2.remap(depth.astype(np.float32), there, None, cv2.INTER_LINEAR, borderValue=1e4)
    own_mm = np.where(np.isfinite(asked.from_depth_mm), asked.from_depth_mm, 0)
    return np.abs(seen_mm - own_mm) < DEPTH_TOLERANCE_MM


def settled(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"], flow_px: Float[np.ndarray, "h w 2"],
            used: Mapping[str, Bool[np.ndarray, "h w"]], near: Mapping[str, Float[np.ndarray, "h w"]], start: float,
            ) -> dict[str, float]:
    """Where the share of each part comes to rest from one start. near: the parts, blurred."""
    shares = dict.fromkeys(used, start)
    base = pixels(flow_px.shape)
    dense = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)  # as exact here as the slower ones
    dense.setFinestScale(0)
    for _ in range(ROUNDS):
        guess = np.ascontiguousarray(flow_px * share_map(near, shares)[..., None])
        there = cv2.remap(before, base + guess, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        rest = dense.calc(after, there, None)  # from a pixel after to its place in `there`; from there on the guess
        found = rest + cv2.remap(guess, base + rest, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        last, shares = shares, {name: share_of(found[where], flow_px[where]) for name, where in used.items()}
        if all(abs(shares[name] - last[name]) <= REST for name in used):
            break
    return shares


def share_of(measured_px: Float[np.ndarray, "n 2"], asked_px: Float[np.ndarray, "n 2"]) -> float:
    """The weighted median of m.a / a.a; NaN for no pixels."""
    weight = (asked_px**2).sum(1)
    asking = weight > 0
    measured_px, asked_px, weight = measured_px[asking], asked_px[asking], weight[asking]
    if not len(weight):
        return float("nan")
    share = (measured_px * asked_px).sum(1) / weight
    order = np.argsort(share)
    total = np.cumsum(weight[order], dtype=float)
    return float(share[order][np.searchsorted(total, total[-1] / 2)])


def share_map(near: Mapping[str, Float[np.ndarray, "h w"]], shares: Mapping[str, float]) -> Float[np.ndarray, "h w"]:
    """The parts' shares over the window, running smoothly from one to the next. near: the parts, blurred."""
    known = {name: float(np.clip(s, -1, 3)) for name, s in shares.items() if np.isfinite(s)}
    shape = next(iter(near.values())).shape
    total, weight = np.zeros(shape, np.float32), np.full(shape, 1e-6, np.float32)
    total += 1e-6 * float(np.mean(list(known.values()))) if known else 0.0  # far from every part: their mean
    for name, share in known.items():
        total += near[name] * share
        weight += near[name]
    return total / weight


def even(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    """Brightness with the same mean and contrast everywhere, so that only texture is left."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    rest = grey - cv2.GaussianBlur(grey, (0, 0), FINEST_PX)
    contrast = np.sqrt(cv2.GaussianBlur(rest**2, (0, 0), FINEST_PX) + 4)  # two grey levels: the sensor's own noise
    return np.clip(128 + 40 * rest / contrast, 0, 255).astype(np.uint8)


def pixels(shape: tuple[int, ...]) -> Float[np.ndarray, "h w 2"]:
    """Every pixel's own place (x, y)."""
    height, width = shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return np.stack([x, y], -1)


def carried(before: UInt8[np.ndarray, "h w 3"], asked: Correspondence) -> UInt8[np.ndarray, "h w 3"]:
    """The window's picture with its skin moved as asked and nothing else done: what an honest result resembles."""
    there = pixels(asked.mask.shape) + asked.flow_px
    return cv2.remap(before, there, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
