"""Keyframes: a few dozen frames that show the head from evenly spread sides, each the best of its neighbourhood."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from core.records import record
from recon.quality import Measure, drifts


@record
class KeyframeOptions:
    """Which frames are kept.

    spacing_deg: two chosen frames differ by at least this angle (yaw and pitch together). frames: at least (where the
    clip has them) and at most so many; the spacing is narrowed or widened to get there. blur: a frame this much less
    sharp than the clip's median is not chosen.
    """

    spacing_deg: float = 4.2
    frames: tuple[int, int] = (28, 42)
    blur: float = 0.4


def worth(measures: Sequence[Measure]) -> Float[np.ndarray, "n"]:
    """Value of each frame: sharpness against frames from about the same side, less for grimaces and blinks."""
    yaw = np.array([m.angles_deg[0] for m in measures])
    sharp = np.array([m.sharpness for m in measures])
    drift = drifts(measures)
    value = np.empty(len(measures))
    for k in range(len(measures)):
        usual = np.median(sharp[np.abs(yaw - yaw[k]) <= 15])
        value[k] = min(sharp[k] / max(usual, 1e-9), 2.0) - 0.5 * drift[k].amount - (2.0 if drift[k].blink else 0.0)
    return value


DEFAULTS = KeyframeOptions()


def choose(measures: Sequence[Measure], options: KeyframeOptions = DEFAULTS) -> list[int]:
    """Indices of the chosen frames, in time.

    Frames are taken best first; each keeps others nearer than the spacing away, so that every side is shown by the best
    frame of its neighbourhood. Blinking and blurred frames are left out unless too few would remain.
    """
    angles = np.array([m.angles_deg[:2] for m in measures])
    value = worth(measures)
    sharp = np.array([m.sharpness for m in measures])
    fit = np.array([not d.blink for d in drifts(measures)]) & (sharp >= options.blur * np.median(sharp))
    allowed = np.flatnonzero(fit) if fit.sum() >= min(len(measures), 10) else np.arange(len(measures))
    ranked = allowed[np.argsort(-value[allowed], kind="stable")]
    low, high = options.frames
    if len(ranked) <= low:
        return sorted(ranked.tolist())
    spacing = options.spacing_deg
    while len(chosen := spread(ranked, angles, spacing)) < low and spacing > 0.05:
        spacing *= 0.7
    while len(chosen) > high:
        spacing *= 1.1
        chosen = spread(ranked, angles, spacing)
    return sorted(fill(chosen, ranked, angles, 0.7 * spacing, high))


def fill(taken: list[int], ranked: np.ndarray, angles_deg: Float[np.ndarray, "n 2"], spacing_deg: float,
         most: int) -> list[int]:
    """Add the frames that lie farthest from all taken ones while they still close a gap."""
    taken = list(taken)
    while len(taken) < most:
        gaps = np.linalg.norm(angles_deg[ranked][:, None] - angles_deg[taken], axis=2).min(1)
        if gaps.max() < spacing_deg:
            break
        taken.append(int(ranked[gaps.argmax()]))
    return taken


def spread(ranked: np.ndarray, angles_deg: Float[np.ndarray, "n 2"], spacing_deg: float) -> list[int]:
    """Greedy cover: each frame in rank order that is far enough from all taken before it."""
    taken: list[int] = []
    for k in ranked:
        if not taken or np.linalg.norm(angles_deg[taken] - angles_deg[k], axis=1).min() >= spacing_deg:
            taken.append(int(k))
    return taken
