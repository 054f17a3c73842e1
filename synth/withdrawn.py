"""Withdrawn: an outline that withdraws before the wall is drawn from the outline before.

The skin that is the outline after an operation need not have been it before: a lifted neck shows, as its outline, skin
that lay in front of it and hardly moves. Carried outwards, such a motion leaves the old outline standing, whole or in
crumbs. So the pictured outline withdraws as far as the fitted head's does, and where the bent picture shows it
elsewhere, each of its points is drawn from the nearest one of the outline before. Loose hair stays.
Letters: E a point of the outline after, C the one before nearest to it, u motion (picture before minus picture after).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from core.channels import length, sum_of
from core.correspondence import Correspondence
from synth.backdrop import DARKEST, signed_distance
from synth.blur import blurred
from synth.far_outline import around
from synth.outlines import nearest

RIM_MM, FARTHEST_MM, ALIKE, SEAM_ALIKE = 4.0, 12.0, 45.0, 65.0
"""A fitted outline so near to the pictured one, with nothing between that differs from the skin inside by more than the
third (grey levels: a scarf, hair), tells by how much it withdraws: by no more than the second. So it does farther away,
less and less until the second, where the person's last millimetres are that skin, or shaded, within the fourth."""
EVEN_MM, ALONG_MM = 1.0, 2.5
"""The outline after is evened over the first, its motion over the second (standard deviations)."""
OFF_MM, BESIDE = 0.4, 6.0
"""A stretch is drawn anew where the bent picture's outline is off by more than the first, wholly while a share of its
neighbours of more than one over the second is."""
STEEPEST, SOFT_PX, CLEAR_PX = 0.6, 2.0, 5.0
"""Skin inside parts from the outline by this share of its distance, less what the lens mixes with the wall; nothing of
that mixture is drawn beyond the third."""
BARE, CLEAN, KNOWN = 0.1, 0.02, 0.85
"""What shows more of the person than the first is a crumb, and less than the second the wall: where the matte is sure
of more than the third share of what the outline left."""
FOLD_MM, BEHIND_MM = 2.5, 18.0
"""What of the head after is thinner than the first is a fold. A part so far behind an outline is another's
(necks behind chins: 20 to 45 mm from three quarters; from the side the neck itself lies up to 18 mm deeper)."""
FRAYED_MM = 0.15
"""An outline so far off itself evened, on average, is loose hair's (jaws before hair: 0.27 in two of 16 stills, beards
0.12 at most)."""
LOST_MM = 10.0
"""So near to what comes to light all that must stand does."""
LEAST_PX = 1e-3
"""Motion that leaves no trace in a byte."""


def withdrawn(own_px: Float[np.ndarray, "h w 2"], frame: Float[np.ndarray, "h w 3"], person: Float[np.ndarray, "h w"],
              after: Float[np.ndarray, "h w"], flow: Correspondence) -> tuple[Float[np.ndarray, "h w 2"],
                                                                              Bool[np.ndarray, "h w"]]:
    """The motion with outlines that withdraw drawn anew, and the pixels that this changes.

    frame: before. person, after: the mattes of who is seen, before, and after that motion.
    """
    mm, none = flow.px_per_mm, np.zeros(person.shape, bool)
    was = around(person, mm)
    back = withdrawal(frame, was, flow)
    if not (back > OFF_MM * mm).any():
        return own_px, none
    inside = np.clip(signed_distance(was), -FARTHEST_MM * mm, FARTHEST_MM * mm) - back
    then = blurred(inside, EVEN_MM * mm) > 0
    out, wrong = own_px, astray(then, after > 0.5, was & (inside < 0), mm)
    if wrong.any():
        u, share, away = outline_motion(then, was, wrong, mm)
        far, apart = length(u), own_px - u
        into = np.minimum(1, STEEPEST * np.maximum(away - SOFT_PX, 0) / np.maximum(length(apart), 1e-6))
        beyond = np.clip((away - far - RIM_MM * mm) / (far + SOFT_PX), 0, 1)
        out = own_px + share * (u + np.where(then, into, beyond)[..., None] * apart - own_px)
        out = bare_beyond(out, was & ~then & (away > SOFT_PX) & (share[..., 0] > 0.5), person)
    out = bare_rim(out, was, then, person)
    changed = length(out - own_px) > LEAST_PX
    return np.where(changed[..., None], out, own_px) if changed.any() else own_px, changed


def bare_rim(drawn_px: Float[np.ndarray, "h w 2"], was: Bool[np.ndarray, "h w"], then: Bool[np.ndarray, "h w"],
             person: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 2"]:
    """The motion without what the lens mixed of the outline before and the wall, where the outline has gone."""
    rim = np.ones((5, 5), np.uint8)
    mixed = cv2.dilate(was.astype(np.uint8), rim) > 0  # lashes are none of it
    gone = cv2.distanceTransform((~then).astype(np.uint8), cv2.DIST_L2, 5) > CLEAR_PX
    return bare_beyond(drawn_px, mixed & gone, cv2.dilate(np.where(mixed, person, 0), rim))


def bare_beyond(drawn_px: Float[np.ndarray, "h w 2"], left: Bool[np.ndarray, "h w"], person: Float[np.ndarray, "h w"]
                ) -> Float[np.ndarray, "h w 2"]:
    """The motion with what it draws where the outline left, and is no wall, drawn from where the nearest wall is: in
    a corner, as between chin and neck, what lies beyond one side of it is the other."""
    y, x = np.mgrid[:left.shape[0], :left.shape[1]].astype(np.float32)
    shown = cv2.remap(person, x + drawn_px[..., 0], y + drawn_px[..., 1], cv2.INTER_LINEAR,
                      borderMode=cv2.BORDER_REPLICATE)
    crumb = left & (shown >= BARE)
    wall = cv2.erode((shown < CLEAN).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    told = person[left & (person >= 0.5)]
    if not wall.any() or not crumb.any() or not told.size or (told > 1 - BARE).mean() < KNOWN:
        return drawn_px
    _, number, wall_y, wall_x = nearest(wall)
    from_y, from_x = wall_y[number[crumb]], wall_x[number[crumb]]
    out = drawn_px.copy()
    out[crumb] = drawn_px[from_y, from_x] + np.stack([from_x - x[crumb], from_y - y[crumb]], 1)
    return out


def withdrawal(frame: Float[np.ndarray, "h w 3"], was: Bool[np.ndarray, "h w"], flow: Correspondence) -> Float[
        np.ndarray, "h w"]:
    """By how much the fitted outline nearest to each pixel withdraws before the wall, px, evened along it. was: who is
    seen; an outline before hair or clothes does not withdraw before the wall."""
    before, after = np.isfinite(flow.depth_before_mm), broad(np.isfinite(flow.depth_after_mm), flow.px_per_mm)
    edge, rim = rim_of(before), RIM_MM * flow.px_per_mm
    if not edge.any() or not after.any():
        return np.zeros(was.shape, np.float32)
    _, number, y, x = nearest(edge)
    away = inwards(before, after, flow, y, x)
    within = signed_distance(was)
    far = within[y, x] >= rim
    fades = np.clip(2 - within[y, x] / (FARTHEST_MM / 2 * flow.px_per_mm), 0, 1)
    asks = far & (fades > 0) & (away > OFF_MM * flow.px_per_mm)
    if asks.any() and not alike(frame, before, was & ~before & (within < rim / 2), rim, y[asks], x[asks]):
        fades = np.zeros_like(fades)
    away *= np.where(far, fades, 1)
    away *= ~(dressed(frame, before, was, rim)[y, x] | far & frayed(was, flow.px_per_mm)[y, x])
    line = np.zeros((*was.shape, 2), np.float32)
    line[y, x] = np.stack([away, np.ones(len(y))], 1)
    line = blurred(line, max(ALONG_MM / 2 * flow.px_per_mm, 1.0))[y, x]
    even: np.ndarray = (line[:, 0] / np.maximum(line[:, 1], 1e-6))[number]
    return even


def broad(head: Bool[np.ndarray, "h w"], mm: float) -> Bool[np.ndarray, "h w"]:
    """The head without what is thin: a fold that hangs is no outline."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(FOLD_MM / 2 * mm) + 1,) * 2)
    return cv2.morphologyEx(head.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0


def inwards(before: Bool[np.ndarray, "h w"], after: Bool[np.ndarray, "h w"], flow: Correspondence,
            y: Int[np.ndarray, "n"], x: Int[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """From places of the outline before to the head after, px: to its nearest part, or, where that lies behind, as the
    neck does beside a chin that rises, straight in."""
    away, number, after_y, after_x = nearest(after)
    away, to = away[y, x], number[y, x]
    behind = flow.depth_after_mm[after_y[to], after_x[to]] > flow.depth_before_mm[y, x] + BEHIND_MM
    if not behind.any():
        return away
    even = blurred(signed_distance(before), max(ALONG_MM / 2 * flow.px_per_mm, 1.0))
    way = np.stack([cv2.Sobel(even, cv2.CV_32F, 1, 0), cv2.Sobel(even, cv2.CV_32F, 0, 1)], -1)[y[behind], x[behind]]
    way /= np.maximum(length(way), 1e-6)[:, None]
    step = np.arange(1, round(FARTHEST_MM * flow.px_per_mm))
    at = [np.clip(np.rint(start[behind, None] + step * way[:, k, None]), 0, most - 1).astype(int)
          for k, (start, most) in enumerate(zip((x, y), before.shape[::-1], strict=True))]
    met = after[at[1], at[0]]
    through = np.logical_and.accumulate(before[at[1], at[0]], 1)
    first = met.argmax(1)
    found = met.any(1) & through[np.arange(len(first)), first]
    away[behind] = np.where(found, np.maximum(step[first], away[behind]), away[behind])
    return away


def dressed(frame: Float[np.ndarray, "h w 3"], before: Bool[np.ndarray, "h w"], was: Bool[np.ndarray, "h w"],
            rim_px: float) -> Bool[np.ndarray, "h w"]:
    """Where the person beyond the fitted outline is unlike the skin within it."""
    skin, _ = mean_colour(frame, before, rim_px)
    other, share = mean_colour(frame, was & ~before, rim_px)
    return (length(skin - other) > ALIKE) & (share > 0.1)


def frayed(was: Bool[np.ndarray, "h w"], px_per_mm: float) -> Bool[np.ndarray, "h w"]:
    """Where the nearest outline of who is seen is loose hair's."""
    rim = rim_of(was)
    if not rim.any():
        return np.zeros_like(was)
    off = was ^ (blurred(was.astype(np.float32), EVEN_MM * px_per_mm) > 0.5)
    near = blurred(np.stack([off, rim], -1).astype(np.float32), RIM_MM / 2 * px_per_mm)
    _, number, y, x = nearest(rim)
    rough: np.ndarray = near[y, x, 0] > FRAYED_MM * px_per_mm * near[y, x, 1]
    return rough[number]


def alike(frame: Float[np.ndarray, "h w 3"], before: Bool[np.ndarray, "h w"], seam: Bool[np.ndarray, "h w"],
          rim_px: float, y: Int[np.ndarray, "n"], x: Int[np.ndarray, "n"]) -> bool:
    """Whether the person's last millimetres, nearest to places of the fitted outline, are mostly like the skin there,
    or that skin in the shade."""
    if not seam.any():
        return False
    _, number, seam_y, seam_x = nearest(seam)
    at = number[y, x]
    skin, other = (mean_colour(frame, mask, rim_px)[0] for mask in (before, seam))
    own, there = skin[y, x], other[seam_y[at], seam_x[at]]
    k = np.clip(sum_of(own * there) / np.maximum(sum_of(own**2), 1), DARKEST, 1)[:, None]
    return bool(np.median(length(k * own - there)) < SEAM_ALIKE)


def mean_colour(frame: Float[np.ndarray, "h w 3"], where: Bool[np.ndarray, "h w"], rim_px: float) -> tuple[
        Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """Of what lies near in a mask, and how much of it does."""
    even = blurred(np.dstack([np.where(where[..., None], frame, 0), where]).astype(np.float32), max(rim_px / 2, 1.0))
    return even[..., :3] / np.maximum(even[..., 3:], 1e-3), even[..., 3]


def astray(then: Bool[np.ndarray, "h w"], now: Bool[np.ndarray, "h w"], bare: Bool[np.ndarray, "h w"], mm: float
           ) -> Bool[np.ndarray, "h w"]:
    """Where what withdraws is shown else than it must be, beside what comes to light; farther off, where skin that must
    stand is not shown: a full cheek whose lower end was drawn up with the skin beneath it."""
    near, about = (cv2.dilate(bare.astype(np.uint8), np.ones((2 * round(by * mm) + 1,) * 2, np.uint8)) > 0
                   for by in (1.0, LOST_MM))
    wrong = ((then ^ now) & near) | (then & ~now & about)
    speck = np.ones((max(2, round(OFF_MM * mm)),) * 2, np.uint8)
    return cv2.morphologyEx(wrong.astype(np.uint8), cv2.MORPH_OPEN, speck) > 0


def outline_motion(then: Bool[np.ndarray, "h w"], was: Bool[np.ndarray, "h w"], wrong: Bool[np.ndarray, "h w"],
                   mm: float) -> tuple[Float[np.ndarray, "h w 2"], Float[np.ndarray, "h w 1"],
                                       Float[np.ndarray, "h w"]]:
    """u of the outline nearest to each pixel, evened along it; how much it counts; and the distance to it, px."""
    away, number, y, x = nearest(rim_of(then))
    _, at, old_y, old_x = nearest(rim_of(was))
    found = at[y, x]
    line = np.zeros((*then.shape, 4), np.float32)
    line[y, x, 0], line[y, x, 1], line[y, x, 2] = old_x[found] - x, old_y[found] - y, 1
    asked = np.unique(number[wrong])
    line[y[asked], x[asked], 3] = 1
    even = blurred(line, max(ALONG_MM * mm, 1.0))[y, x]
    even[:, [0, 1, 3]] /= np.maximum(even[:, 2:3], 1e-6)
    even[:, 3] = np.minimum(1, BESIDE * even[:, 3])
    spread = blurred(even[number][..., [0, 1, 3]], max(mm / 2, 1.0))  # no rays
    return spread[..., :2], spread[..., 2:], away


def rim_of(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """A region's last pixels."""
    return np.asarray(mask & (cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0))
