"""Lead: what advances before the wall beside skin that stays leaves no step in the outline.

A chin that advances comes to light before the far jaw; where the fitted head ends within the pictured one, or the
chin's edge crosses the jaw's, the picture's outline would step from one to the other. Skin drapes over such a step: the
corner is filled as far as a disc of `ROUND_MM` rolls along the outline, its edge rounded by one of `EDGE_MM`, and the
new outline is drawn from the stretch of the one before that lay there. Corners that the picture had before (chin and
neck) stay as they are.
Letters: A, B ends of a filled corner on the outline after, u motion (picture before minus picture after, px).
"""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from core.channels import length
from synth.blur import blurred
from synth.far_outline import around, traced
from synth.outlines import marked, nearest

ROUND_MM, EDGE_MM = 18.0, 7.0
"""Radius of the disc that rolls along the outline, outside; and inside, where a step's edge stands out."""
AHEAD_MM = 1.0
"""A corner is one that comes of an advance where the outline is so far ahead of the one before."""
LEAST_MM = 0.5
"""A corner is filled when it is so much deeper than the outline before was there."""
BESIDE_MM, GAP_MM, SOFT_PX = 4.0, 0.7, 2.0
"""Beside a filled corner the outline is led less and less; corners nearer to each other than the second are one; what
the lens mixes of the outline with the wall goes along."""
LEAST_PX = 1e-3
"""Motion that leaves no trace in a byte."""
STEEPEST = 0.5
"""Skin inside parts from the outline by this share of its distance: it is stretched twofold at most."""
OLD = 0.5
"""A corner whose outline before was hollow by more than this share of it is the person's own."""
OFF_MM = 4.0
"""So far from the outline before the ends of a corner may be drawn from: where the picture would tear, its edge is not
the outline."""
LONGEST_MM, LONGEST = 24.0, 2.5
"""A corner's edge is no longer; it is drawn from a stretch of the outline before that is at most so many times as long,
or as short."""


def led(own_px: Float[np.ndarray, "h w 2"], person: Float[np.ndarray, "h w"], after: Float[np.ndarray, "h w"],
        px_per_mm: float) -> tuple[Float[np.ndarray, "h w 2"], Bool[np.ndarray, "h w"]]:
    """The motion with new corners of the outline filled, and the pixels that this changes.

    person, after: the mattes of who is seen, before, and after that motion.
    """
    was, now = around(person, px_per_mm), around(after, px_per_mm)
    none = np.zeros(person.shape, bool)
    if not (now & ~was).any():
        return own_px, none
    even = ~rolled(~rolled(now, ROUND_MM * px_per_mm), EDGE_MM * px_per_mm)
    old, new = ([p for p in traced(m) if len(p) > 2 * px_per_mm] for m in (was, now))
    to, edge, corner = np.zeros((*person.shape, 3), np.float32), none.copy(), none.copy()
    _, piece = cv2.connectedComponents((even != now).astype(np.uint8))
    rim = now & (cv2.erode(now.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    ahead = cv2.distanceTransform((~was).astype(np.uint8), cv2.DIST_L2, 5) > AHEAD_MM * px_per_mm
    for points in traced(even):
        for run in corners(points, rim, GAP_MM * px_per_mm):
            if not ahead[points[run, 1], points[run, 0]].any():
                continue
            u = drawn_from(points[run], own_px, old, new, px_per_mm)
            if u is None:
                continue
            mark(to, edge, points, run, u, own_px, px_per_mm)
            x, y = points[run[1:-1]].T
            beside = cv2.dilate(marked(now.shape, y, x), np.ones((3, 3), np.uint8)) > 0
            corner |= np.isin(piece, np.setdiff1d(piece[beside], 0))
    if not edge.any():
        return own_px, none
    out = carried(own_px, to, edge, np.where(corner, even, now), now, px_per_mm)
    changed = length(out - own_px) > LEAST_PX
    return np.where(changed[..., None], out, own_px), changed


def carried(own_px: Float[np.ndarray, "h w 2"], to: Float[np.ndarray, "h w 3"], edge: Bool[np.ndarray, "h w"],
            even: Bool[np.ndarray, "h w"], now: Bool[np.ndarray, "h w"], px_per_mm: float) -> Float[
                np.ndarray, "h w 2"]:
    """The motion with that of the corners' edges carried inwards, and as far outwards as the lens mixes, or a corner
    stood. to: of edge pixels, their motion and how much it counts."""
    away, number, y, x = nearest(edge)
    told = to[y, x][number]
    u, share = blurred(told[..., :2], max(px_per_mm / 2, 1.0)), told[..., 2:]
    _, beside, ny, nx = nearest(now)
    out = np.where((even & ~now)[..., None], own_px[ny, nx][beside], own_px)
    apart = out - u
    into = np.minimum(1, STEEPEST * np.maximum(away - SOFT_PX, 0) / np.maximum(length(apart), 1e-6))
    stood, _, _, _ = nearest(even | now)
    beyond = np.maximum(np.clip(stood / SOFT_PX - 1, 0, 1), into)
    return out + share * (u + np.where(even, into, beyond)[..., None] * apart - out)


def corners(points: Int[np.ndarray, "n 2"], rim: Bool[np.ndarray, "h w"], gap_px: float) -> Iterator[
        Int[np.ndarray, "m"]]:
    """Numbers of an outline's points, run by run, that lie off the rim of who is seen, with the points at both ends.
    Runs that are nearer than the gap are one."""
    x, y = points.T
    beyond = ~rim[y, x]
    if beyond.all() or not beyond.any():
        return
    start = int(np.flatnonzero(~beyond)[0])
    turned = np.roll(beyond, -start).astype(int)
    first, last = np.flatnonzero(np.diff(turned) == 1), np.flatnonzero(np.diff(np.append(turned, 0)) == -1) + 1
    apart = first[1:] - last[:-1] > gap_px
    for a, b in zip(first[np.append(True, apart)], last[np.append(apart, True)], strict=True):
        yield (start + np.arange(a, b + 1)) % len(points)


def drawn_from(points: Int[np.ndarray, "m 2"], own_px: Float[np.ndarray, "h w 2"], old: list[Int[np.ndarray, "_ 2"]],
               new: list[Int[np.ndarray, "_ 2"]], px_per_mm: float) -> Float[np.ndarray, "m 2"] | None:
    """The motion of a filled corner's outline, from the stretch of the outline before between its ends. None: that
    stretch had the corner already, or is none."""
    ends = points[[0, -1]]
    before = between(ends + own_px[ends[:, 1], ends[:, 0]], old, OFF_MM * px_per_mm)
    after = between(ends.astype(float), new, 2.0)
    if before is None or after is None or len(points) > LONGEST_MM * px_per_mm:
        return None
    if not 1 / LONGEST < (len(before) + 4) / (len(points) + 4) < LONGEST:
        return None
    is_so, was_so = bulge(after, len(points)), bulge(before, len(points))
    if was_so.max() > OLD * is_so.max() or np.abs(is_so - was_so).max() < LEAST_MM * px_per_mm:
        return None
    t = np.linspace(0, len(before) - 1, len(points))
    return np.stack([np.interp(t, np.arange(len(before)), before[:, k]) for k in (0, 1)], 1) - points


def between(ends: Float[np.ndarray, "2 2"], outlines: list[Int[np.ndarray, "_ 2"]], most_px: float) -> Int[
        np.ndarray, "m 2"] | None:
    """The stretch of an outline from near one place to near another."""
    for outline in outlines:
        off = np.linalg.norm(outline[None] - ends[:, None], axis=2)
        a, b = off.argmin(1)
        if off.min(1).max() <= most_px:
            return outline[(a + np.arange((b - a) % len(outline) + 1)) % len(outline)]
    return None


def bulge(points: Int[np.ndarray, "m 2"], count: int) -> Float[np.ndarray, "c"]:
    """How far a stretch of an outline lies beside the line between its ends, px, at so many places along it."""
    chord = points[-1] - points[0]
    off = ((points - points[0]) * np.array([-chord[1], chord[0]])).sum(1) / max(float(np.linalg.norm(chord)), 1.0)
    return np.interp(np.linspace(0, len(off) - 1, count), np.arange(len(off)), off)


def mark(to: Float[np.ndarray, "h w 3"], edge: Bool[np.ndarray, "h w"], points: Int[np.ndarray, "n 2"],
         run: Int[np.ndarray, "m"], u: Float[np.ndarray, "m 2"], own_px: Float[np.ndarray, "h w 2"],
         px_per_mm: float) -> None:
    """Write a corner's motion on its edge, and beside it the outline's own, which counts less and less."""
    beside = np.arange(1, max(2, round(BESIDE_MM * px_per_mm)))
    for end, way, own in ((run[0], -1, u[0]), (run[-1], 1, u[-1])):
        x, y = points[(end + way * beside) % len(points)].T
        left = (1 - beside / len(beside))[:, None]
        off = own - own_px[points[end, 1], points[end, 0]]
        less = to[y, x, 2] <= left[:, 0]  # the next corner's edge is its own
        x, y, left = x[less], y[less], left[less]
        to[y, x, :2], to[y, x, 2:], edge[y, x] = own_px[y, x] + left * off, left, True
    x, y = points[run].T
    to[y, x, :2], to[y, x, 2], edge[y, x] = u, 1, True


def rolled(mask: Bool[np.ndarray, "h w"], radius_px: float) -> Bool[np.ndarray, "h w"]:
    """A mask with its corners filled as far as a disc outside does not reach; the picture's edge is no corner."""
    room = int(np.ceil(radius_px)) + 2
    wide = cv2.copyMakeBorder(mask.astype(np.uint8), room, room, room, room, cv2.BORDER_REPLICATE)
    grown = cv2.distanceTransform(1 - wide, cv2.DIST_L2, 5) <= radius_px
    kept = cv2.distanceTransform(grown.astype(np.uint8), cv2.DIST_L2, 5) > radius_px
    return np.asarray(kept[room:-room, room:-room] | mask)
