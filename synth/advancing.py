"""Advancing: the outline that the photo shows advances as the fitted head's does.

Skin that bulges before the wall is drawn from the last sliver beside its outline, several times as wide: there a
fitted head half a millimetre off tells skin from wall over as many millimetres, and an augmented cheek ended under the
eye in a shelf, an advanced jaw in one beside the lower lip. So each point of the pictured outline goes outwards by as
much as the fitted outline beside it does, evened along it, and the skin inside follows. An outline beside it that does
not advance, as the neck's under a chin, is not drawn along.
Letters: P a point of the pictured outline, n the direction out of it, a the advance, px.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from core.channels import length
from core.correspondence import Correspondence
from synth.backdrop import signed_distance
from synth.blur import blurred
from synth.far_outline import along, around, traced
from synth.outlines import nearest

NEAR_MM, FAR_MM, LEAST_NEAR, EVEN_MM, OUT_MM = 4.0, 7.0, 0.3, 2.0, 2.5
"""A pictured outline so near to the fitted one is the same thing's, and one as far as the second off another's; at
least so much of an outline tells. Standard deviations along the outline, of the advance and of the outline whose
normals are taken."""
LEAST_MM, WHOLE_MM, SOME_MM = 0.2, 0.8, 1.5
"""An outline that advances by less than the first is left as it is drawn, by more than the second drawn anew; only
where it advances by the third somewhere near."""
ABOUT_MM, WISP_MM = 25.0, 50.0
"""Near is within this, along the outline. One that is shorter than the second is a wisp of hair's."""
INSIDE_MM, OTHER_MM = 2.0, 20.0
"""Skin so far inside an outline, and so much nearer than what advances, is another thing's."""
STEEPEST, SOFT_PX = 0.6, 2.0
"""Skin inside parts from the outline by this share of its distance; what the lens mixes with the wall goes along."""
LEAST_PX = 1e-3
"""Motion that leaves no trace in a byte."""


class Advance(NamedTuple):
    """An outline of who was seen. points: in order; out: directions out of it; px: a; share: how much that counts;
    about: how much, if the outline is drawn farther out than a; hidden: where another thing hides what advances."""

    points: Int[np.ndarray, "n 2"]
    out: Float[np.ndarray, "n 2"]
    px: Float[np.ndarray, "n"]
    share: Float[np.ndarray, "n"]
    about: Float[np.ndarray, "n"]
    hidden: Bool[np.ndarray, "n"]


def advanced(own_px: Float[np.ndarray, "h w 2"], person: Float[np.ndarray, "h w"], before_mm: Float[np.ndarray, "h w"],
             after_mm: Float[np.ndarray, "h w"], where: Bool[np.ndarray, "h w"], px_per_mm: float) -> tuple[
                 Float[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """The motion with the outline advanced, and the pixels that this changes. person: the matte of who is seen, before;
    before_mm, after_mm: depth of the fitted head; where: pixels beside which an outline may be drawn anew."""
    was, none = around(person, px_per_mm), np.zeros(person.shape, bool)
    to, edge, target = np.zeros((*person.shape, 3), np.float32), none.copy(), was.astype(np.uint8)
    for found in advances(was, before_mm, after_mm, where, px_per_mm):
        if found.hidden.sum() > SOME_MM * px_per_mm:
            continue  # nothing here shows what advances; the guard says so
        points, (x, y) = found.points, found.points.T
        too_far = -(own_px[y, x] * found.out).sum(1) - found.px
        share = np.maximum(found.share, found.about * counted(too_far / px_per_mm))
        new = points + found.px[:, None] * found.out
        for i in np.flatnonzero(share > 0):
            k = (i + 1) % len(points)
            quad = np.rint([points[i], points[k], new[k], new[i]]).astype(np.int32)
            cv2.fillPoly(target, [quad], 1)
        inside = (share > 0) & (new >= 0).all(1) & (new < np.array(person.shape[::-1]) - 0.5).all(1)
        nx, ny = np.rint(new[inside]).astype(int).T
        to[ny, nx, :2], to[ny, nx, 2], edge[ny, nx] = (points - new)[inside], share[inside], True
    if not edge.any():
        return own_px, none
    out = carried(own_px, to, edge, cv2.morphologyEx(target, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0, px_per_mm)
    changed = length(out - own_px) > LEAST_PX
    return np.where(changed[..., None], out, own_px), changed


def advances(was: Bool[np.ndarray, "h w"], before_mm: Float[np.ndarray, "h w"], after_mm: Float[np.ndarray, "h w"],
             where: Bool[np.ndarray, "h w"], px_per_mm: float) -> Iterator[Advance]:
    """Outlines of who was seen that advance."""
    at = signed_distance(np.isfinite(before_mm))
    ahead = signed_distance(np.isfinite(after_mm)) - at
    for points in traced(was):
        if len(points) < WISP_MM * px_per_mm:
            continue
        (x, y), out = points.T, outwards(points, px_per_mm)
        near = where[y, x] * np.clip((FAR_MM - np.abs(at[y, x]) / px_per_mm) / (FAR_MM - NEAR_MM), 0, 1)
        a, near = along(np.stack([near * np.maximum(ahead[y, x], 0), near], 1), EVEN_MM * px_per_mm).T
        a = a / np.maximum(near, LEAST_NEAR)
        some = a > SOME_MM * px_per_mm
        if not some.any():
            continue
        about = near * np.minimum(1, 4 * along(some[:, None].astype(np.float32), ABOUT_MM / 2 * px_per_mm)[:, 0])
        share = about * counted(a / px_per_mm)
        hidden = nearer(points, out, a, before_mm, after_mm, px_per_mm) & (share > 0)
        yield Advance(points, out, a, share, about, hidden)


def counted(off_mm: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """How much an outline that must go on by so much counts."""
    return np.clip((off_mm - LEAST_MM) / (WHOLE_MM - LEAST_MM), 0, 1)


def hidden_mm(person: Bool[np.ndarray, "h w"], asked: Correspondence) -> float:
    """Length of the outline that would advance and of which the photo shows nothing, for another thing stands there."""
    was, mm = around(person.astype(np.float32), asked.px_per_mm), asked.px_per_mm
    found = advances(was, asked.depth_before_mm, asked.depth_after_mm, asked.mask > 0, mm)
    return sum(float(each.hidden.sum()) for each in found) / mm


def carried(own_px: Float[np.ndarray, "h w 2"], to: Float[np.ndarray, "h w 3"], edge: Bool[np.ndarray, "h w"],
            target: Bool[np.ndarray, "h w"], px_per_mm: float) -> Float[np.ndarray, "h w 2"]:
    """The motion with that of the new outline carried inwards; beyond it the wall stays. to: of the outline's pixels,
    their motion and how much it counts."""
    away, number, y, x = nearest(edge)
    told = to[y, x][number]
    u = blurred(told[..., :2], max(px_per_mm / 2, 1.0))
    far = np.where(target, STEEPEST * np.maximum(away - SOFT_PX, 0), away)
    reach = length(u) + SOFT_PX
    share = told[..., 2:] * np.where(target, 1, np.clip(2 - away / (2 * reach), 0, 1))[..., None]
    goes_on = np.where(target[..., None], own_px, 0)
    apart = goes_on - u
    into = np.where(target, np.minimum(1, far / np.maximum(length(apart), 1e-6)), np.clip(away / SOFT_PX - 1, 0, 1))
    return own_px + share * (u + into[..., None] * apart - own_px)


def nearer(points: Int[np.ndarray, "n 2"], out: Float[np.ndarray, "n 2"], a: Float[np.ndarray, "n"],
           before_mm: Float[np.ndarray, "h w"], after_mm: Float[np.ndarray, "h w"], px_per_mm: float) -> Bool[
               np.ndarray, "n"]:
    """Where the outline is that of a thing before what advances, as a nose before a far cheek."""
    last = np.array(before_mm.shape[::-1]) - 1

    def at(depth: Float[np.ndarray, "h w"], off_px: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        x, y = np.clip(np.rint(points + off_px[:, None] * out), 0, last).astype(int).T
        return np.asarray(depth[y, x])

    ahead, own = at(after_mm, a / 2), at(before_mm, np.full(len(a), -INSIDE_MM * px_per_mm))
    both = np.isfinite(ahead) & np.isfinite(own)
    return np.asarray(np.where(both, ahead, 0) - np.where(both, own, 0) > OTHER_MM)


def outwards(points: Int[np.ndarray, "n 2"], px_per_mm: float) -> Float[np.ndarray, "n 2"]:
    """Directions out of a region, of its outline evened along itself."""
    even = along(points.astype(np.float32), OUT_MM * px_per_mm)
    ahead = np.roll(even, -2, 0) - np.roll(even, 2, 0)
    out = np.stack([ahead[:, 1], -ahead[:, 0]], 1)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
