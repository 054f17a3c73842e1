"""Outlines: where the outline of after was before, and how much of the picture beside the old one is the head's.

A turning or moving surface shows another line of itself as its outline: the skin that is the outline after was not the
outline before. So what lies beyond an outline is fetched from beyond the outline before, not from beside that skin.
Letters: E an outline pixel after, q where its skin was before, C the outline before nearest to q.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from core.correspondence import Correspondence
from core.records import record
from synth.blur import blurred

FAR_MM = 1e6
"""The depth of what is not the head."""


@record
class OutlineOptions:
    """jump_mm: a step of depth that makes an outline. across_mm: so far from q the outline before may lie, in the
    picture, and along_mm in depth; smooth_mm: over which the difference is evened. known: where more than this share of
    what lies around the outline before is the person (a neck, hair), it does not tell where the head ends;
    carry_mm: then its neighbours do, about so far along. soft_px: beyond what is the head's; the lens mixes it."""

    jump_mm: float = 2.0
    across_mm: float = 3.0
    along_mm: float = 8.0
    smooth_mm: float = 3.5
    known: float = 0.7
    count_mm: float = 0.5
    carry_mm: float = 6.0
    soft_px: float = 0.75


OUTLINE = OutlineOptions()


def nearest(edge: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "h w"], Int[np.ndarray, "h w"],
                                                    Int[np.ndarray, "n"], Int[np.ndarray, "n"]]:
    """Every pixel's distance to the nearest edge pixel and that one's number; the edge pixels' y and x. Some are."""
    away, label = cv2.distanceTransformWithLabels((~edge).astype(np.uint8), cv2.DIST_L2, 5,
                                                  labelType=cv2.DIST_LABEL_PIXEL)
    y, x = np.nonzero(edge)
    order = np.zeros(int(label.max()) + 1, np.int64)
    order[label[y, x]] = np.arange(len(y))
    return away, order[label], y, x


def last_before_jumps(depth_mm: Float[np.ndarray, "h w"], jump_mm: float) -> Bool[np.ndarray, "h w"]:
    """Pixels whose neighbour on some side is deeper by a jump, and is not such a pixel on that side itself: the last
    one of skin that runs away from pixel to pixel."""
    edge = np.zeros(depth_mm.shape, bool)
    for turned in (lambda a: a, lambda a: a[::-1], lambda a: a.T, lambda a: a[:, ::-1].T):
        step = np.diff(turned(depth_mm), axis=0) > jump_mm
        step[:-1] &= ~step[1:]
        turned(edge)[:-1] |= step
    return edge


def landing(flow: Correspondence, y: Int[np.ndarray, "n"], x: Int[np.ndarray, "n"],
            options: OutlineOptions = OUTLINE) -> Float[np.ndarray, "n 2"]:
    """C - q, px, for outline pixels after, evened along the outline; zero where no outline was near q before."""
    depth = np.minimum(flow.depth_before_mm, np.float32(FAR_MM))
    edge = last_before_jumps(depth, options.jump_mm)
    shift = np.zeros((*depth.shape, 3), np.float32)
    shift[y, x, 2] = 1
    if edge.any():
        _, number, edge_y, edge_x = nearest(edge)
        q = np.stack([x, y], 1) + flow.flow_px[y, x]
        at = np.clip(np.rint(q), 0, np.array(depth.shape[::-1]) - 1).astype(int)
        found = number[at[:, 1], at[:, 0]]
        apart = np.stack([edge_x[found], edge_y[found]], 1) - q
        same = (np.linalg.norm(apart, axis=1) < options.across_mm * flow.px_per_mm) & (
            np.abs(depth[edge_y[found], edge_x[found]] - flow.from_depth_mm[y, x]) < options.along_mm)
        shift[y[same], x[same], :2] = apart[same]
    shift = blurred(shift, max(options.smooth_mm * flow.px_per_mm, 1.0))
    evened: np.ndarray = (shift[..., :2] / np.maximum(shift[..., 2:], 1e-6))[y, x]
    return evened


def shown_beside(person: Float[np.ndarray, "h w"], head: Bool[np.ndarray, "h w"], rim_px: float, px_per_mm: float,
                 inside: bool = False, options: OutlineOptions = OUTLINE) -> Float[np.ndarray, "h w"]:
    """How far beyond the fitted head's outline the head goes on, px, where the outline lies before more of the person
    and the picture does not show it: there its neighbours tell. Elsewhere, and where none tells, `2 rim_px`.

    person: the matte of who is seen. inside: the head's own pixels are told, too, what the outline near them is: one
    that lies before another part of it goes on as far.
    """
    limit = 2 * rim_px
    edge = head & (cv2.dilate((~head).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    told = np.full(head.shape, limit, np.float32)
    if not edge.any():
        return told
    away, number, y, x = nearest(edge)
    ring = ~head & (away <= limit)
    count = np.zeros((*head.shape, 2), np.float32)
    for k, weight in enumerate((person[ring], None)):
        count[y, x, k] = np.bincount(number[ring], weight, minlength=len(y))
    count = blurred(count, max(options.count_mm * px_per_mm, 1.0))[y, x]
    share = count[:, 0] / np.maximum(count[:, 1], 1e-3)
    known = (share < options.known) & (count[:, 1] > 1e-3)
    spread = np.zeros((*head.shape, 2), np.float32)
    spread[y[known], x[known]] = np.stack([limit * share[known], np.ones(known.sum())], 1)
    spread = blurred(spread, max(options.carry_mm * px_per_mm, 1.0))
    asked = y[~known], x[~known]
    near = cv2.dilate(marked(head.shape, *asked), np.ones((2 * round(limit) + 1,) * 2, np.uint8)) > 0
    near |= head & inside
    some = near & (spread[..., 1] > 1e-7)  # beyond, nobody tells
    told[some] = spread[some, 0] / spread[some, 1]
    return told


def marked(shape: tuple[int, ...], y: Int[np.ndarray, "n"], x: Int[np.ndarray, "n"]) -> UInt8[np.ndarray, "h w"]:
    """One at the given pixels."""
    out = np.zeros(shape, np.uint8)
    out[y, x] = 1
    return out
