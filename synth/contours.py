"""Contours: the motion of a silhouette goes on beyond it, over what lies behind.

A fitted head meets the photographed silhouette to a pixel or two, no better. If only the head's own pixels were bent, a
rim of the person would stay behind: a second edge. So the motion at a contour is carried outwards over the rim and a
little more, and what the picture shows there, the soft edge too, moves with it.
Letters: p pixel, E the nearest contour pixel, t = |p - E|, u motion (picture before minus picture after, px).
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from core.channels import largest, length, sum_of
from core.records import freeze, record
from synth.blur import blurred
from synth.outlines import FAR_MM, nearest

Landing = Callable[[Int[np.ndarray, "n"], Int[np.ndarray, "n"]], Float[np.ndarray, "n 2"]]
"""For contour pixels (y, x) after: from where their skin was before to where the contour was, px."""

BEHIND_MM, APART_MM = 1.0, 6.0
"""A pixel so much deeper than a contour lies behind it; one less deep than the second may be of the same skin, which
runs away from the eye."""


@record
class ContourOptions:
    """jump_mm, jump_px: steps of depth, beyond those beside it, and of motion that make a contour. rim_mm: how far the
    photographed silhouette may lie beyond the fitted one, and bare times that before the background. fade_mm: over
    which its motion ends where what lies behind is another layer, or where nothing is uncovered. stretch: elsewhere the
    motion ends over so many times the width that it uncovers, so that nothing folds (above 1.5). even_mm: over which a
    contour's motion is evened along it, a pixel at least."""

    jump_mm: float = 1.5
    jump_px: float = 0.25
    rim_mm: float = 0.35
    fade_mm: float = 0.8
    bare: float = 2.5
    stretch: float = 1.7
    even_mm: float = 0.4


CONTOUR = ContourOptions()


@record
class Beyond:
    """For every pixel: flow_px of the contour before it; share, 0..1, how far it belongs to the thing before it when
    what lies behind is a layer of its own; stretched, 0..1, how far it takes part in the motion when it is not;
    behind: it lies behind a moving contour at all; apart: so far that it is another thing's; distance_px to it, and how
    deep it is, front_mm."""

    flow_px: Float[np.ndarray, "h w 2"]
    share: Float[np.ndarray, "h w"]
    stretched: Float[np.ndarray, "h w"]
    behind: Bool[np.ndarray, "h w"]
    apart: Bool[np.ndarray, "h w"]
    distance_px: Float[np.ndarray, "h w"]
    front_mm: Float[np.ndarray, "h w"]

    def __post_init__(self) -> None:
        freeze(self, flow_px=(self.flow_px, np.float32), share=(self.share, np.float32),
               stretched=(self.stretched, np.float32), behind=(self.behind, bool),
               apart=(self.apart, bool), distance_px=(self.distance_px, np.float32),
               front_mm=(self.front_mm, np.float32))


def contours(depth_mm: Float[np.ndarray, "h w"], flow_px: Float[np.ndarray, "h w 2"],
             options: ContourOptions = CONTOUR) -> Bool[np.ndarray, "h w"]:
    """The nearer pixel of every pair of neighbours between which both depth and motion jump."""
    found = np.zeros(depth_mm.shape, bool)
    for axis in (0, 1):
        first = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        second = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        step = steeper(depth_mm[second] - depth_mm[first], axis)
        apart = largest(np.abs(flow_px[second] - flow_px[first])) > options.jump_px
        found[first] |= apart & (step > options.jump_mm)
        found[second] |= apart & (step < -options.jump_mm)
    return found


def steeper(step_mm: Float[np.ndarray, "a b"], axis: int) -> Float[np.ndarray, "a b"]:
    """By how much each step of depth goes beyond those beside it that are alike: in its direction, up to twice as
    large. A flank that is seen to run away from the eye has many of them, and is no contour."""
    if not step_mm.size:
        return step_mm
    edges = cv2.copyMakeBorder(step_mm, *((1, 1, 0, 0) if axis == 0 else (0, 0, 1, 1)), cv2.BORDER_REPLICATE)
    size, most = np.abs(step_mm), np.zeros_like(step_mm)
    for beside in (edges[:-2], edges[2:]) if axis == 0 else (edges[:, :-2], edges[:, 2:]):
        alike = (beside * step_mm > 0) & (np.abs(beside) <= 2 * size)
        most = np.maximum(most, np.where(alike, np.abs(beside), 0))
    return np.sign(step_mm) * (size - most)


def beyond(depth_mm: Float[np.ndarray, "h w"], flow_px: Float[np.ndarray, "h w 2"], px_per_mm: float,
           seen: Bool[np.ndarray, "h w"], bare: Bool[np.ndarray, "h w"], options: ContourOptions = CONTOUR,
           landing: Landing | None = None) -> Beyond | None:
    """The motion of every contour, carried over what lies behind it; None where no contour moves.

    seen: pixels whose skin the picture before shows: what was hidden has no contour there that could move. bare: where
    no skin is behind, so that a contour may take more of its surroundings along. landing: None takes the contour for
    the same skin before and after.
    """
    depth = np.minimum(depth_mm, np.float32(FAR_MM))
    edge = contours(depth, flow_px, options) & seen
    if not edge.any():
        return None
    away, number, y, x = nearest(edge)
    ends = flow_px[y, x]
    if landing is not None:
        ends = ends + landing(y, x)
    own = along(ends, edge, y, x, options.even_mm * px_per_mm)[number]
    front = depth[y, x][number]
    deeper = depth - front
    outline = (cv2.dilate(bare.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)[y, x][number]
    behind = (deeper > BEHIND_MM) & (bare | ~outline | (deeper > APART_MM))  # nearer skin only runs away from the eye
    carried = evened(own, behind | edge, away, px_per_mm)
    rim = options.rim_mm * px_per_mm
    wide = np.maximum(options.stretch * withdrawn(carried - flow_px, away, behind, px_per_mm),
                      options.fade_mm * px_per_mm)
    around = np.where(bare & outline, options.bare * rim, rim)  # not beyond a cheek that a nose stands before
    return Beyond(flow_px=carried, share=ending(away, rim, max(options.fade_mm * px_per_mm, 1.0)) * behind,
                  stretched=ending(away, around, np.maximum(wide, 1.0)) * behind, behind=behind,
                  apart=deeper > APART_MM, distance_px=away, front_mm=front)


def along(ends: Float[np.ndarray, "n 2"], edge: Bool[np.ndarray, "h w"], y: Int[np.ndarray, "n"],
          x: Int[np.ndarray, "n"], sigma_px: float) -> Float[np.ndarray, "n 2"]:
    """The contour pixels' motions, evened along the contour: skin that runs away from the eye moves otherwise from step
    to step of its outline."""
    spread = np.zeros((*edge.shape, 3), np.float32)
    spread[y, x, :2], spread[y, x, 2] = ends, 1
    spread = blurred(spread, max(sigma_px, 1.0))[y, x]
    evened: np.ndarray = spread[:, :2] / spread[:, 2:]
    return evened


def withdrawn(apart_px: Float[np.ndarray, "h w 2"], away: Float[np.ndarray, "h w"], where: Bool[np.ndarray, "h w"],
              px_per_mm: float) -> Float[np.ndarray, "h w"]:
    """How far the contour withdraws from what lies behind it, uncovering it; zero where it advances and covers it.

    The motion is that from after to before, so it points away from the head where the head withdraws.
    """
    even = blurred(away, max(0.5 * px_per_mm, 1.0))
    out = np.stack([cv2.Sobel(even, cv2.CV_32F, 1, 0), cv2.Sobel(even, cv2.CV_32F, 0, 1)], -1)
    out /= np.maximum(length(out), 1e-6)[..., None]
    weight, sigma = where.astype(np.float32), max(px_per_mm, 1.0)
    along = blurred(np.maximum(sum_of(apart_px * out), 0) * weight, sigma)
    return along / np.maximum(blurred(weight, sigma), 1e-3)


def ending(away: Float[np.ndarray, "h w"], rim_px: float | np.ndarray, fade_px: float | np.ndarray) -> Float[
        np.ndarray, "h w"]:
    """One up to the rim, smoothly to zero over the fade."""
    level = np.clip(1 + (rim_px - away) / fade_px, 0, 1)
    return level * level * (3 - 2 * level)


def evened(own: Float[np.ndarray, "h w 2"], where: Bool[np.ndarray, "h w"], away: Float[np.ndarray, "h w"],
           px_per_mm: float) -> Float[np.ndarray, "h w 2"]:
    """The nearest contour's motion at the contour, and further out the mean of its neighbours': no rays."""
    sigma = max(px_per_mm, 1.0)
    weight = where.astype(np.float32)
    mean = blurred(own * weight[..., None], sigma)
    mean /= np.maximum(blurred(weight, sigma), 1e-3)[..., None]
    near = np.exp(-away / sigma)[..., None]
    return (near * own + (1 - near) * mean).astype(np.float32)
