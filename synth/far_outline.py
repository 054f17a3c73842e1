"""Far outline: of the cheek behind a turned nose. It stays where the nose moves before it, or comes to light.

Whether the pictured nose ends before the far cheek or before the wall, a fitted head does not know to a millimetre; the
picture's own outline does. Where a stretch of it would move that skin which stays adjoins at both ends, a curve joins
these ends: the cheek's outline, had the nose not been there. The outline may withdraw to that curve, no further; where
it lies on the curve already it is the cheek's and stays. Skin inside it parts from it no more than `STEEPEST` allows.
Where the fitted head ends far within the pictured one (a full cheek) the outline's motion is evened along it.
Letters: P a point of the pictured outline, C the curve beside it, u motion (picture before minus picture after, px), k
how much of it is left.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from core.channels import length
from synth.blur import blurred
from synth.contours import Beyond
from synth.outlines import nearest

STEEPEST, SOFT_PX = 0.8, 1.5
"""Skin parts from the outline by this share of its distance to it, less what the lens mixes with the wall: steeper than
`follow`'s, for the strip beside it is narrow, and a far wing held back farther would not show its plan."""
LEAST_PX = 0.3
"""A point of the outline that moves less stays."""
LASH_MM = 0.7
"""Lashes and single hairs, thinner than twice this, are no outline."""
GRAZING = 0.25
"""Motion along the outline counts as so much towards the curve, at least."""
LONGEST_MM, NEAR_MM, GAP_MM, TANGENT_MM = 40.0, 8.0, 2.0, 5.0
"""A stretch is no longer than the first, has skin of another thing within the second of each end, and goes on where it
stays over less than the third; its curve goes on as the outline does over the last."""
NOTCH_DEG, ARM_MM, ABOUT_MM = 20.0, 2.5, 6.0
"""A notch is a turn inwards by more than the first, over arms of the second, so near a stretch's end."""
LOOSE_MM, EVEN_MM = 2.0, 3.0
"""Where the fitted head ends so far within the pictured one, the outline's motion is evened along it over the second.
"""
BESIDE_MM = 5.0
"""Beside a stretch the outline holds the skin inside it less and less."""


def held(own_px: Float[np.ndarray, "h w 2"], person: Float[np.ndarray, "h w"], contour: Beyond,
         skin: Bool[np.ndarray, "h w"], fitted_px: Float[np.ndarray, "h w"], taper: Float[np.ndarray, "h w 1"],
         px_per_mm: float) -> Float[np.ndarray, "h w 2"]:
    """The motion with the far outline held. person: the matte of who is seen; skin: where the head is after; fitted_px:
    signed distance from the fitted outline before, positive on the head; taper: how much of motion may count."""
    size = length(own_px)
    inside = around(person, px_per_mm)
    other = contour.apart & skin
    near = cv2.distanceTransform((~other).astype(np.uint8), cv2.DIST_L2, 5) < NEAR_MM * px_per_mm
    to = np.zeros((*size.shape, 3), np.float32)  # the outline's own motion, and how much it counts
    edge = np.zeros(size.shape, bool)
    for points in traced(inside):
        x, y = points.T
        edge[y, x] = True
        out = normals(points, px_per_mm)
        of, counts = own_px[y, x].astype(np.float32), np.zeros(len(points), np.float32)
        for stretch in stretches(size[y, x] > LEAST_PX, near[y, x], px_per_mm):
            crosses, ahead = joined(points, stretch, px_per_mm)
            withdraws = contour.flow_px[y, x][crosses]
            if (withdraws * out[crosses]).sum() <= 0:
                continue
            k = kept(points[crosses], withdraws, curve(points[crosses[[0, -1]]].astype(float), ahead), px_per_mm)
            beside = np.arange(1, round(BESIDE_MM * px_per_mm))
            for end, outwards in ((stretch[0], -1), (stretch[-1], 1), (crosses[0], -1), (crosses[-1], 1)):
                at = (end + outwards * beside) % len(points)
                counts[at] = np.maximum(counts[at], 1 - beside / len(beside))
            counts[stretch] = counts[crosses] = 1
            of[stretch] = 0
            of[crosses] = withdraws * k[:, None]
        loose = (fitted_px[y, x] < -LOOSE_MM * px_per_mm) & (counts == 0)
        to[y, x] = evened(of, counts, loose, out, px_per_mm)
    if not to[..., 2].any():
        return own_px
    away, number, y, x = nearest(edge)
    of_outline = to[y, x][number]
    whole = blurred(of_outline[..., :2], max(px_per_mm, 1.0))  # no rays
    far = length(whole)
    apart = own_px - whole
    into = np.minimum(1, STEEPEST * np.maximum(away - far - SOFT_PX, 0) / np.maximum(length(apart), 1e-6))
    fades = np.clip(2 - away / (far + 2), 0, 1)
    asked = np.where(inside[..., None], whole + into[..., None] * apart, fades[..., None] * whole)
    return own_px + of_outline[..., 2:] * (taper * asked - own_px)


def around(person: Float[np.ndarray, "h w"], px_per_mm: float) -> Bool[np.ndarray, "h w"]:
    """Who is seen, without lashes and single hairs."""
    wide = 2 * round(LASH_MM * px_per_mm) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    return cv2.morphologyEx((person > 0.5).astype(np.uint8), cv2.MORPH_OPEN, disc) > 0


def normals(points: Int[np.ndarray, "n 2"], px_per_mm: float) -> Float[np.ndarray, "n 2"]:
    """Directions out of the region, over a millimetre of its outline; what advances along them is left as it is."""
    arm = max(1, round(px_per_mm / 2))
    along = np.roll(points, -arm, 0) - np.roll(points, arm, 0)
    return np.stack([along[:, 1], -along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)


def evened(own_px: Float[np.ndarray, "n 2"], counts: Float[np.ndarray, "n"], loose: Bool[np.ndarray, "n"],
           out: Float[np.ndarray, "n 2"], px_per_mm: float) -> Float[np.ndarray, "n 3"]:
    """The motion of an outline's points and how much it counts: evened along it where the fitted head ends far within,
    for there the mask ends anywhere, and a motion that breaks off would leave a point."""
    sigma = EVEN_MM * px_per_mm
    even = along(own_px, sigma)
    loose = loose & ((own_px * out).sum(1) >= 0) & ((even * out).sum(1) >= 0)
    uneven = loose & (np.linalg.norm(even - own_px, axis=1) > LEAST_PX)
    fades = np.clip(2 * along(loose[:, None], sigma), 0, 1) * (counts == 0)[:, None]  # it goes on a little
    share = np.minimum(4 * along(uneven[:, None], sigma), 1) * fades
    return np.concatenate([own_px + share * (even - own_px), np.maximum(share, counts[:, None])], 1)


def along(values: Shaped[np.ndarray, "n c"], sigma_px: float) -> Float[np.ndarray, "n c"]:
    """Values along a closed outline, evened."""
    room = min(len(values), 1 + round(4 * sigma_px))
    padded = np.pad(values.astype(np.float32), ((room, room), (0, 0)), mode="wrap")
    return cv2.GaussianBlur(padded, (1, 0), sigmaX=1e-3, sigmaY=sigma_px)[room:-room].reshape(values.shape)


def traced(inside: Bool[np.ndarray, "h w"]) -> list[Int[np.ndarray, "n 2"]]:
    """Outlines of a region, x and y in order, the region at the right hand in the picture."""
    found, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    turned = [p if area(p) > 0 else p[::-1] for p in (f[:, 0].astype(int) for f in found)]
    return [p for p in turned if len(p) > 8]


def area(points: Int[np.ndarray, "n 2"]) -> float:
    """Inside an outline, px^2; positive when it runs clockwise in the picture."""
    x, y = points.T
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def stretches(moves: Bool[np.ndarray, "n"], near: Bool[np.ndarray, "n"], px_per_mm: float) -> Iterator[
        Int[np.ndarray, "m"]]:
    """Numbers of the outline's points, stretch by stretch, that move between others that stay."""
    count = len(moves)
    stays = np.flatnonzero(~moves)
    if not len(stays) or len(stays) == count:
        return
    after = np.diff(np.append(stays, stays[0] + count))
    runs = [(int(s), int(g)) for s, g in zip(stays, after, strict=True) if g > 1]
    whole: list[list[int]] = []
    for start, gap in runs:
        if whole and start - sum(whole[-1]) < GAP_MM * px_per_mm:
            whole[-1][1] = start + gap - whole[-1][0]
        else:
            whole.append([start, gap])
    for start, gap in whole:
        if gap < LONGEST_MM * px_per_mm and near[start % count] and near[(start + gap) % count]:
            yield np.arange(start, start + gap + 1) % count


def joined(points: Int[np.ndarray, "n 2"], stretch: Int[np.ndarray, "m"], px_per_mm: float) -> tuple[
        Int[np.ndarray, "c"], Float[np.ndarray, "2 2"]]:
    """Numbers of the points beside the curve, and its directions at its ends, each into it. Where the outline has a
    notch near the stretch's end, what crosses it begins there, and the curve goes straight on."""
    count, arm = len(points), max(2, round(ARM_MM * px_per_mm))
    reach = round(ABOUT_MM * px_per_mm)
    about = np.concatenate([np.arange(reach + 1), -np.arange(1, min(reach, len(stretch) // 3) + 1)])
    at, notched = [0, 0], [False, False]
    for number, (end, outwards) in enumerate(((int(stretch[0]), -1), (int(stretch[0]) + len(stretch) - 1, 1))):
        tried = end + outwards * about
        before, after = (points[(tried + d) % count] - points[(tried + d - arm) % count] for d in (0, arm))
        turn = np.degrees(np.arctan2(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0], (before * after).sum(1)))
        pick = int(np.argmin(turn[:reach + 1]))  # rather beyond the end than within the stretch
        pick = pick if turn[pick] < -NOTCH_DEG else int(np.argmin(turn))
        notched[number] = bool(turn[pick] < -NOTCH_DEG)
        at[number] = int(tried[pick]) if notched[number] else end
    ends = points[np.array(at) % count].astype(float)
    back = max(2, round(TANGENT_MM * px_per_mm))
    ahead = ends - points[(np.array(at) + [-back, back]) % count]
    ahead = np.where(np.array(notched)[:, None], (ends[1] - ends[0]) * [[1], [-1]], ahead)
    return np.arange(at[0], at[1] + 1) % count, ahead / np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-6)


def curve(ends: Float[np.ndarray, "2 2"], ahead: Float[np.ndarray, "2 2"]) -> Float[np.ndarray, "c 2"]:
    """Points of a cubic between two ends with unit directions into it."""
    chord = float(np.linalg.norm(ends[1] - ends[0]))
    t = np.linspace(0, 1, max(8, 2 * round(chord)))[:, None]
    return ((2 * t**3 - 3 * t**2 + 1) * ends[0] + (t**3 - 2 * t**2 + t) * chord * ahead[0]
            + (3 * t**2 - 2 * t**3) * ends[1] - (t**3 - t**2) * chord * ahead[1])


def kept(p: Int[np.ndarray, "m 2"], withdraws_px: Float[np.ndarray, "m 2"], along: Float[np.ndarray, "c 2"],
         px_per_mm: float) -> Float[np.ndarray, "m"]:
    """k of the points beside a curve: as far as P lies beyond C, of what it would withdraw towards it."""
    apart = p[:, None] - along[None]
    pick = np.argmin((apart**2).sum(-1), 1)
    t = np.gradient(along, axis=0)[pick]
    out = np.stack([t[:, 1], -t[:, 0]], 1) / np.maximum(np.linalg.norm(t, axis=1, keepdims=True), 1e-6)
    beyond = (apart[np.arange(len(p)), pick] * out).sum(1)
    towards = (withdraws_px * out).sum(1)
    k = np.clip(beyond / np.maximum(towards, GRAZING * np.linalg.norm(withdraws_px, axis=1) + 1e-6), 0, 1)
    return cv2.GaussianBlur(k.astype(np.float32)[None], (0, 0), max(px_per_mm, 1.0), borderType=cv2.BORDER_REPLICATE)[0]
