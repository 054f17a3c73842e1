"""Drift: what changed while a film was taken, read from pairs of frames that show the head from the same side.

A head that turns and comes back is seen twice from most sides. What differs then is light or expression, not the pose,
and errors of the landmarks that go with the pose cancel.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from core.records import record
from recon.eyes import open_eyes
from recon.face478 import BROW_OVER_EYE, FOREHEAD, INNER_LIPS, MOUTH_CORNERS, OUTER_EYE, UNDER_NOSE
from recon.quality import Measure

SAME_DEG, APART_S, SEEN_WELL_DEG = 4.0, 0.25, 45.0
"""Pairs lie within this angle (yaw and pitch each), this far apart in time, and no further to the side."""
LEAST_PAIRS = 10
CHIN = 152
BROWS = "height of the brows"
BOUNDS_MM = {"width of the mouth": 4.0, "height of the jaw": 8.0, "gap of the lips": 3.0, BROWS: 4.0}
"""Above the noise of the detected points (95th percentile over 15 calm films: 2.9, 5, 1.7 and 3 mm)."""


@record
class Change:
    """How much a thing changed (95th percentile over the pairs), its bound, and the two frames that differ most."""

    name: str
    amount: float
    bound: float
    frames: tuple[int, int]


def same_pose(measures: Sequence[Measure], times_s: Sequence[float]) -> Int[np.ndarray, "p 2"]:
    """Pairs (earlier, later) of frames from the same side; none when there are too few to say anything."""
    angles, times = np.array([m.angles_deg[:2] for m in measures]), np.asarray(times_s, float)
    first, second = np.triu_indices(len(angles), 1)
    near = (np.abs(angles[first] - angles[second]) < SAME_DEG).all(1) & (times[second] - times[first] >= APART_S)
    near &= np.abs(angles[first, 0]) < SEEN_WELL_DEG
    pairs = np.stack([first, second], 1)[near]
    return pairs if len(pairs) >= LEAST_PAIRS else pairs[:0]


def brightness(measures: Sequence[Measure], pairs: Int[np.ndarray, "p 2"]) -> Change:
    """Change of the face's mean in photographic stops (factors of two of the stored value)."""
    stops = np.log2(np.maximum([m.luma for m in measures], 1.0))
    return change("light", stops, pairs, 0.25)


def expressions(measures: Sequence[Measure], pairs: Int[np.ndarray, "p 2"], corners_mm: float) -> list[Change]:
    """Changes in mm, on a face whose outer eye corners lie `corners_mm` apart; brows in frames with open eyes only.

    Lengths are taken against the rigid height from the forehead to the base of the nose, which the jaw does not move.
    """
    points = np.array([m.face.points_px for m in measures])
    height = between(points[:, FOREHEAD].mean(1), points[:, UNDER_NOSE].mean(1))
    frontal = np.argsort(np.abs([m.angles_deg[0] for m in measures]))[:15]
    corners = between(points[:, OUTER_EYE[0]], points[:, OUTER_EYE[1]])
    mm = corners_mm * float(np.median((height / corners)[frontal])) / height
    turned = np.array([m.angles_deg[0] for m in measures])
    right, left = (between(points[:, a], points[:, b]) for a, b in BROW_OVER_EYE)
    brows = np.where(turned > 0, right, left)
    lengths: dict[str, np.ndarray] = {
        "width of the mouth": between(points[:, MOUTH_CORNERS[0]], points[:, MOUTH_CORNERS[1]]),
        "height of the jaw": between(points[:, UNDER_NOSE[0]], points[:, CHIN]),
        "gap of the lips": between(points[:, INNER_LIPS[0]], points[:, INNER_LIPS[1]]), BROWS: brows}
    awake = open_eyes(points[..., :2]).all(1)[pairs].all(1)
    same_eye = (turned[pairs[:, 0]] > 0) == (turned[pairs[:, 1]] > 0)
    return [change(name, length * mm, pairs[awake & same_eye] if name == BROWS else pairs, BOUNDS_MM[name])
            for name, length in lengths.items()]


def change(name: str, values: Float[np.ndarray, "n"], pairs: Int[np.ndarray, "p 2"], bound: float) -> Change:
    """The 95th percentile of |difference| over the pairs; no change where there are no pairs."""
    if not len(pairs):
        return Change(name=name, amount=0.0, bound=bound, frames=(0, 0))
    differ = np.abs(values[pairs[:, 0]] - values[pairs[:, 1]])
    first, second = pairs[differ.argmax()]
    return Change(name=name, amount=float(np.percentile(differ, 95)), bound=bound, frames=(int(first), int(second)))


def between(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n"]:
    """Lengths."""
    return np.linalg.norm(a - b, axis=1)
