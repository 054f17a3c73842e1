"""Thin spectacles: the edges of rimless and wire ones, which are no darker than a wrinkle, but close around each eye.

About an eye the picture is unrolled by angle and distance. Thin lines there, darker or lighter than what lies on both
their sides, are followed by the closed path that crosses most of them (dynamic programming). A bare face has no such
path: below the eyes it would have to cross plain cheek. Bridge and side pieces are followed likewise, from lens to lens
and outwards, and count where they are seen.
Letters: R how much a line stands out, as a share of the brightness around; all lengths as shares of the distance
between the outer eye corners.
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from synth.compiled import compiled
from synth.rigid_parts import EYES
from synth.spectacles import BROWS, grown

CORNERS = ((33, 133), (263, 362))
"""Outer and inner corner of the right and the left eye."""
TEMPLES = (127, 356)
ANGLES, STEPS = 128, 90
NEAREST, FARTHEST, WIDER, LOWER = 0.13, 0.42, 1.2, 0.05
"""Lenses reach so far from a point so much below the eye's middle, and more across."""
LINE, SOFT = 0.016, 0.001
"""A line differs from what lies so far beside it; the picture is evened by so much first."""
SEEN = 0.045
"""R in the weakest quarter of the lower half of both lenses from which spectacles are worn: at most 0.023 in 58 photos
of bare faces, 0.15 with black rims; 0.07 in nine of ten into which lens edges were drawn a fifth darker than skin."""
MOST, BEND = 0.12, 0.012
"""What stands out more counts no more; what a step sideways costs."""
HALF = 0.02
"""Half the width of what stays: an edge, its shadow and its gleam."""
LASHES = 0.07
"""So far around eyes and brows nothing is taken for an edge."""
SMALL_PX = 50.0
"""In smaller faces lines are no wider than a pixel."""
LOWER_HALF = slice(ANGLES // 32, ANGLES // 2 - ANGLES // 32)
ABOVE, BELOW = 0.2, 0.12
"""Bridge and side pieces lie so far above and below the lenses' inner and outer ends."""


class Lens(NamedTuple):
    """path_px (N,2): around the eye, from the outer side down; stands_out (N,): R there."""

    path_px: Float[np.ndarray, "n 2"]
    stands_out: Float[np.ndarray, "n"]


def rims(picture: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "478 2"]) -> Bool[np.ndarray, "h w"]:
    """Pixels of the edges of thin spectacles that are worn; none where they are not seen around both eyes."""
    whole = np.zeros(picture.shape[:2], np.uint8)
    ends = points_px[[CORNERS[0][0], CORNERS[1][0]]]
    span = float(np.linalg.norm(ends[1] - ends[0]))
    if span < SMALL_PX:
        return whole > 0
    low = np.clip(np.floor(ends.min(0) - span), 0, np.array(picture.shape[1::-1]) - 2).astype(int)
    high = np.clip(np.ceil(ends.max(0) + span), low + 2, picture.shape[1::-1]).astype(int)
    window = (slice(low[1], high[1]), slice(low[0], high[0]))
    across = (ends[1] - ends[0]) / span
    down = np.array([-across[1], across[0]])
    grey = cv2.cvtColor(np.ascontiguousarray(picture[window]), cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.GaussianBlur(grey, (0, 0), max(SOFT * span, 0.3))
    lenses = []
    for pair in CORNERS:
        lenses.append(lens(grey, points_px[list(pair)].mean(0) - low + LOWER * span * down, span * across, span * down))
        if np.percentile(lenses[-1].stands_out[LOWER_HALF], 25) < SEEN:
            return whole > 0
    drawn(whole[window], grey, lenses, points_px[list(TEMPLES)] - low, span * across, span * down)
    for part in (*EYES, *BROWS):  # lids, lashes and brows are lines, too
        whole[window][grown(grey.shape, points_px[list(part)] - low, LASHES * span)] = 0
    return whole > 0


def drawn(out: UInt8[np.ndarray, "h w"], grey: Float[np.ndarray, "h w"], lenses: list[Lens],
          temples_px: Float[np.ndarray, "2 2"], across_px: Float[np.ndarray, "2"], down_px: Float[np.ndarray, "2"]
          ) -> None:
    """Mark the lenses' edges, and bridge and side pieces that are seen."""
    wide = max(1, round(2 * HALF * float(np.linalg.norm(across_px))))
    for one in lenses:
        draw(out, np.append(one.path_px, one.path_px[:1], 0), np.append(one.stands_out, one.stands_out[0]), wide)
    right, left = (one.path_px for one in lenses)
    first, last = ([path[at(path @ across_px)] for path in (right, left)] for at in (np.argmin, np.argmax))
    for start, end in ((last[0], first[1]), (first[0], temples_px[0]), (last[1], temples_px[1])):
        reach = float((end - start) @ across_px) / float(across_px @ across_px)
        if abs(reach) > 2 * HALF:
            path, stands_out = bar(grey, start, reach * across_px, down_px)
            if np.median(stands_out) > SEEN:
                draw(out, path, stands_out, wide)


def lens(grey: Float[np.ndarray, "h w"], centre_px: Float[np.ndarray, "2"], across_px: Float[np.ndarray, "2"],
         down_px: Float[np.ndarray, "2"]) -> Lens:
    """The closed path around an eye that crosses most of thin lines."""
    angle = np.arange(ANGLES) * 2 * np.pi / ANGLES
    away = np.linspace(NEAREST, FARTHEST, STEPS)
    direction = WIDER * np.cos(angle)[:, None] * across_px + np.sin(angle)[:, None] * down_px
    place = centre_px + away[None, :, None] * direction[:, None]
    R = standing_out(grey, place, (FARTHEST - NEAREST) / STEPS)
    turns = np.concatenate([R, R, R])  # the middle one of three turns is closed
    at = best_path(np.minimum(turns, MOST), BEND)[ANGLES:2 * ANGLES]
    rows = np.arange(ANGLES)
    return Lens(place[rows, at], R[rows, at])


def bar(grey: Float[np.ndarray, "h w"], start_px: Float[np.ndarray, "2"], along_px: Float[np.ndarray, "2"],
        down_px: Float[np.ndarray, "2"]) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n"]]:
    """The path of a bridge or a side piece, and R there."""
    beside = np.linspace(-ABOVE, BELOW, STEPS)
    along = np.linspace(0, 1, ANGLES // 2)
    place = start_px + along[:, None, None] * along_px + beside[None, :, None] * down_px
    R = standing_out(grey, place, (ABOVE + BELOW) / STEPS)
    at = best_path(np.minimum(R, MOST), BEND)
    rows = np.arange(len(along))
    return place[rows, at], R[rows, at]


def standing_out(grey: Float[np.ndarray, "h w"], place_px: Float[np.ndarray, "n s 2"], step: float) -> Float[
        np.ndarray, "n s"]:
    """R of thin lines that run from row to row."""
    x, y = (np.ascontiguousarray(place_px[..., k], np.float32) for k in (0, 1))
    there = cv2.remap(grey, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    beside = max(1, round(LINE / step))
    before, after = np.roll(there, beside, 1), np.roll(there, -beside, 1)
    R = np.maximum(np.minimum(before, after) - there, there - np.maximum(before, after))
    R = np.maximum(R, 0) / np.maximum(cv2.GaussianBlur(there, (0, 0), 8), 10)
    R[:, :beside] = R[:, -beside:] = 0
    return cv2.GaussianBlur(R, (1, 0), sigmaX=1e-3, sigmaY=2)


@compiled
def best_path(gain, bend):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The column in every row of the path with the largest sum, which may go two columns aside in a row."""
    rows, columns = gain.shape
    total, back = gain.copy(), np.zeros((rows, columns), np.int64)
    for row in range(1, rows):
        for column in range(columns):
            best = -1e9
            for step in range(-2, 3):
                if 0 <= column + step < columns:
                    one = total[row - 1, column + step] - bend * abs(step)
                    if one > best:
                        best, back[row, column] = one, column + step
            total[row, column] += best
    out = np.zeros(rows, np.int64)
    out[-1] = np.argmax(total[-1])
    for row in range(rows - 1, 0, -1):
        out[row - 1] = back[row, out[row]]
    return out


def draw(out: UInt8[np.ndarray, "h w"], path_px: Float[np.ndarray, "n 2"], stands_out: Float[np.ndarray, "n"],
         wide: int) -> None:
    """Mark those stretches of a path that are seen."""
    shown: Int[np.ndarray, n] = np.flatnonzero(stands_out > SEEN / 2)
    places = np.rint(path_px).astype(np.int32)
    for k in shown[:-1]:
        if stands_out[k + 1] > SEEN / 2:
            cv2.line(out, places[k].tolist(), places[k + 1].tolist(), 1, wide)
