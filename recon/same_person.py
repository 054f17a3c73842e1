"""Same person: whether a film shows one face from beginning to end.

Two people filmed one after the other give an average of both. Of every pair of frames that show a head from the same
side, how differently its bones lie (lids, brows, mouth and jaw are not asked) is measured; where two people meet, pairs
across that moment differ much more than pairs on one side of it.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from core.errors import InputRefused
from core.records import record
from core.transforms import umeyama
from recon.drift import between, same_pose
from recon.face478 import OUTER_EYE
from recon.quality import Measure

BONES = (10, 67, 297, 109, 338, 151, 9, 8, 168, 6, 197, 195, 5, 4, 1, 2, 33, 133, 362, 263, 127, 356, 234, 454, 116,
         345)
"""Forehead, nose, corners of the eyes, temples and cheekbones."""
DIFFERENT_MM, DIFFERENT_TIMES = 0.72, 2.1
"""Medians across the moment beyond this, and beyond so many times those beside it, are two faces: 34 of 36 pairs of
films of two heads, one after the other (0.73 to 1.9 mm, 1.9 to 6 times). One head: at most 0.53 mm and 1.9 times in 21
films, 0.76 and 2.0 in two sittings, 0.93 and 2.5 when glasses are put on."""
SUDDEN, GAP_S, AROUND = 0.6, 0.3, 2
"""Where two people meet, this share of the difference comes from one frame to the next (0.52 where a broad smile began,
0.76 and more in 36 joined films), within so many frames, or the face is lost for so long."""
LEAST_FRAMES, LEAST_PAIRS, MOST_PAIRS = 10, 10, 3000


@record
class Meeting:
    """The moment (frame) at which a film's halves differ most, by how much (median, mm), how often that beside it, and
    whether it came at once: a smile also stays, but grows."""

    frame: int
    across_mm: float
    times: float
    sudden: bool = False

    @property
    def two(self) -> bool:
        """Whether two faces meet there."""
        return self.sudden and self.across_mm > DIFFERENT_MM and self.times > DIFFERENT_TIMES


def meeting(measures: Sequence[Measure], times_s: Sequence[float], corners_mm: float) -> Meeting:
    """Where two people would meet; frame 0 when too few sides are seen twice to say anything."""
    nowhere = Meeting(frame=0, across_mm=0.0, times=0.0)
    if len(measures) < 2 * LEAST_FRAMES:
        return nowhere
    pairs = same_pose(measures, times_s)
    pairs = pairs[::max(1, len(pairs) // MOST_PAIRS)]
    bones = [m.face.points_px[list(BONES)].astype(float) for m in measures]
    corners = np.array([m.face.points_px[list(OUTER_EYE)] for m in measures])
    unit = corners_mm / np.maximum(between(corners[:, 0], corners[:, 1]), 1.0)
    differ = np.array([unit[i] * apart(bones[i], bones[j]) for i, j in pairs])
    best = nowhere
    for frame in range(LEAST_FRAMES, len(measures) - LEAST_FRAMES):
        across = (pairs[:, 0] < frame) & (pairs[:, 1] >= frame)
        if min(across.sum(), (~across).sum()) < LEAST_PAIRS:
            continue
        there = float(np.median(differ[across]))
        times = there / max(float(np.median(differ[~across])), 1e-6)
        if times > best.times:
            best = Meeting(frame=frame, across_mm=there, times=times)
    if best.frame == 0:
        return best
    near = range(best.frame - AROUND, best.frame + AROUND + 1)
    step = max(unit[k] * apart(bones[k - 1], bones[k]) for k in near)
    gap = max(times_s[k] - times_s[k - 1] for k in near)
    return dataclasses.replace(best, sudden=bool(step > SUDDEN * best.across_mm or gap > GAP_S))


def apart(one: Float[np.ndarray, "b 3"], other: Float[np.ndarray, "b 3"]) -> float:
    """Root mean square distance of two sets of points, after what place, turn, size and distance to the camera explain:
    nearer by, what is in front is larger."""
    size, R, t = umeyama(other, one)
    off = size * other @ R.T + t - one
    x = one - one.mean(0)
    depth, nothing = x[:, 2:], np.zeros((len(x), 2))
    by = np.stack([np.column_stack([x[:, :2] * depth, nothing[:, :1]]).ravel(),
                   np.column_stack([nothing, depth]).ravel()], 1)
    by /= np.maximum(np.linalg.norm(by, axis=0), 1e-9)
    left = off.ravel() - by @ np.linalg.lstsq(by, off.ravel(), rcond=None)[0]
    return float(np.sqrt((left**2).sum() / len(x)))


def refuse_another(measures: Sequence[Measure], times_s: Sequence[float], corners_mm: float) -> None:
    """InputRefused when a film shows two people one after the other."""
    found = meeting(measures, times_s, corners_mm)
    if found.two:
        raise InputRefused("two_people", f"The face before {times_s[found.frame]:.1f} s is not the one after it.",
                           "Film one person in one go, with or without glasses from beginning to end.")
