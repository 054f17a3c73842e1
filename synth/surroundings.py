"""Surroundings: what a picture shows of a person where it should show the wall, and new bulges of the outline.

Where an outline withdraws, the wall comes to light. What stands there instead is what the motion left behind: crumbs,
a cloud, an edge that stayed while all around it went. Before a plain wall that can be seen in the two pictures alone,
whatever the warp believes. An outline that advances is new by plan, and hollows are: only bulges of one that withdrew
are judged, against those that the photo has nearby.
Letters: B the wall, continued over the person; f, g an outline evened a little and much; out of the person is positive.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy.ndimage import binary_fill_holes

from core.channels import largest, length
from core.correspondence import Correspondence
from core.records import record
from synth.backdrop import nearest_known, signed_distance
from synth.blur import blurred
from synth.far_outline import along, traced
from synth.findings import Check, judge

FINEST_PX = 3.0
"""Pixels per mm: finer pictures are reduced."""
AROUND_MM, AWAY_MM, RING_MM = 12.0, 3.0, 12.0
"""So far around what changed is looked at. The wall begins so far from the person as found; within the third it shows
how plain it is."""
UNEVEN = 10.0
"""What differs more from B (grey levels, nine tenths of it less) is no plain wall."""
FAINT, CLEAR = 12.0, 22.0
"""A pixel that differs by more than the first from B is not the wall alone, by more than the second it is the person;
or by 1.5 and 2 times as much as the wall itself does."""
MOST = 20.0
"""Grey levels beyond the first that count as one whole pixel."""
LASH_MM, THIN_MM = 0.7, 4.0
"""Hairs thinner than twice this are no outline; beside hair in the photo nothing is judged over the second."""
RIM_MM = 0.6
"""So far beyond an outline the lens mixes it with the wall."""
MOVED_MM, NEAR_MM = 0.5, 3.0
"""A bulge is new near an outline that moved by more than the first."""
LITTLE_MM, MUCH_MM, OLD_MM = 0.35, 2.5, 5.0
"""Standard deviations of f and g along the outline; and how far off an old bulge may lie."""
EDGE_PX = 3
"""Nearer to the edge of what is looked at an outline is cut off."""


@record
class Surroundings:
    """stained_mm2: of the wall; bulge_mm: by how much the worst new one stands out beyond the photo's."""

    stained_mm2: float
    bulge_mm: float


def surroundings(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"],
                 asked: Correspondence) -> Surroundings | None:
    """Of a window before and after. person: who is seen before, roughly. None: no plain wall tells.

    Nothing is stained where nothing changes within reach of the wall.
    """
    changed = largest(cv2.absdiff(before, after)) > 3
    part = near_the_wall(changed, person, asked.px_per_mm)
    if part is None:
        return Surroundings(stained_mm2=0.0, bulge_mm=0.0)
    shrink = min(1.0, FINEST_PX / asked.px_per_mm)
    mm = shrink * asked.px_per_mm
    head = np.isfinite(asked.depth_after_mm)
    before, after, person, changed, head = (reduced(p[part], shrink) for p in (before, after, person, changed, head))
    away = -signed_distance(person)
    free = away > AWAY_MM * mm
    if free.mean() < 0.02:
        return None
    wall = blurred(nearest_known(before, free).astype(np.float32), AWAY_MM / 2 * mm)
    was, now = (length(p - wall) for p in (before.astype(np.float32), after.astype(np.float32)))
    uneven = float(np.percentile(was[free & (away < RING_MM * mm)], 90))
    if not uneven < UNEVEN:
        return None
    faint, clear = max(FAINT, 1.5 * uneven), max(CLEAR, 2 * uneven)
    whole = [cv2.morphologyEx((p > clear).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
             for p in (was, now)]
    old, new = (largest_piece(opened(p, LASH_MM * mm)) for p in whole)
    hair = (was > faint) & ~grown(largest_piece(opened(whole[0], 1.4 * LASH_MM * mm)), RIM_MM * mm)
    judged = changed & ~grown(binary_fill_holes(new), RIM_MM * mm) & ~grown(hair, THIN_MM * mm)  # pale skin is no wall
    stains = np.clip(now - faint, 0, MOST) - np.where(old, 0, np.clip(was - faint, 0, MOST))
    return Surroundings(stained_mm2=float(np.maximum(stains, 0)[judged].sum()) / MOST / mm**2,
                        bulge_mm=new_bulge_mm(old, new, head, mm))


def checks_on(found: Surroundings | None, stained_mm2: float, bulge_mm: float) -> list[Check]:
    """The guard's checks, with their limits."""
    if found is None:
        return [Check(name="outline", status="not measurable", value=None, limit="",
                      sentence="What lies behind the person is not plain enough to check the outline before it.")]
    stained, bulge = found.stained_mm2, found.bulge_mm
    return [judge("backdrop", stained, None, stained_mm2, f"The wall is clean ({stained:.1f} mm2 of stains).",
                  f"The wall beside the person is stained: {stained:.1f} mm2 show what the photo does not have there."),
            judge("outline", bulge, None, bulge_mm, f"The outline is even (bulges of {bulge:.1f} mm).",
                  f"The person's outline has a bulge of {bulge:.1f} mm that neither photo nor plan has.")]


def near_the_wall(changed: Bool[np.ndarray, "h w"], person: Bool[np.ndarray, "h w"], mm: float) -> tuple[
        slice, slice] | None:
    """Rows and columns around what changed, if any of it lies near the wall."""
    if not (changed & (signed_distance(person) < AWAY_MM * mm)).any():
        return None
    rows, columns = (np.flatnonzero(changed.any(axis)) for axis in (1, 0))
    room = round(AROUND_MM * mm)
    return (slice(max(rows[0] - room, 0), rows[-1] + room + 1),
            slice(max(columns[0] - room, 0), columns[-1] + room + 1))


def reduced(picture: Shaped[np.ndarray, "h w *c"], shrink: float) -> Shaped[np.ndarray, "a b *c"]:
    """A picture, or a mask, no finer than need be."""
    size = tuple(max(2, round(n * shrink)) for n in picture.shape[1::-1])
    if picture.dtype == bool:
        return cv2.resize(picture.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def new_bulge_mm(old: Bool[np.ndarray, "h w"], new: Bool[np.ndarray, "h w"], head: Bool[np.ndarray, "h w"], mm: float
                 ) -> float:
    """By how much an outline that moved stands out, beyond what the old one nearby does, or the head's. old, new: the
    person; head: the fitted one after."""
    had = np.zeros(old.shape, np.float32)
    for points, out in [*bulges(old, mm), *bulges(head, mm)]:
        np.maximum.at(had, (points[:, 1], points[:, 0]), out)
    had = cv2.dilate(had, disc(OLD_MM * mm))
    line = old & ~(cv2.erode(old.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    off = cv2.distanceTransform((~line).astype(np.uint8), cv2.DIST_L2, 5)
    most = 0.0
    for points, out in bulges(new, mm):
        x, y = points.T
        height, width = old.shape
        whole = (x >= EDGE_PX) & (x < width - EDGE_PX) & (y >= EDGE_PX) & (y < height - EDGE_PX)
        moved = np.zeros(old.shape, np.uint8)
        moved[y, x] = off[y, x] > MOVED_MM * mm
        counts = whole & (grown(moved > 0, NEAR_MM * mm)[y, x])
        most = max(most, float(np.max((out - had[y, x])[counts], initial=0.0)))
    return most


def bulges(person: Bool[np.ndarray, "h w"], mm: float) -> list[tuple[Int[np.ndarray, "n 2"], Float[np.ndarray, "n"]]]:
    """Outlines, and by how much f lies out of g, mm."""
    found = []
    for points in traced(person):
        if len(points) < MUCH_MM * mm:
            continue
        f, g = (along(points, sigma * mm) for sigma in (LITTLE_MM, MUCH_MM))
        ahead = np.roll(g, -2, 0) - np.roll(g, 2, 0)
        out = np.stack([ahead[:, 1], -ahead[:, 0]], 1)
        out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-6)
        found.append((points, ((f - g) * out).sum(1) / mm))
    return found


def largest_piece(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The largest connected piece of a mask."""
    count, piece, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return mask if count < 2 else piece == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())


def opened(mask: UInt8[np.ndarray, "h w"], radius_px: float) -> Bool[np.ndarray, "h w"]:
    """A mask without what is thinner."""
    return cv2.morphologyEx(mask, cv2.MORPH_OPEN, disc(radius_px)) > 0


def grown(mask: Bool[np.ndarray, "h w"], radius_px: float) -> Bool[np.ndarray, "h w"]:
    """A mask and all that is so near to it."""
    return cv2.dilate(mask.astype(np.uint8), disc(radius_px)) > 0


def disc(radius_px: float) -> UInt8[np.ndarray, "k k"]:
    """A disc of at least one pixel around its middle."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(1, round(radius_px)) + 1,) * 2)
