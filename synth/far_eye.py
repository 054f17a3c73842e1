"""Far eye: seen beyond the bridge of a turned nose, it belongs to what lies behind the nose, and stays.

A fitted head has it a millimetre or two beside where the picture does, so it may lie before the backdrop there. It is
told by its colour, which is neither the skin's nor the backdrop's. Under the nose it goes on where nothing else that
the picture shows behind the nose is nearer.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from synth.backdrop import NOISE, matte, skin_beside, unlike
from synth.outlines import nearest

REACH_MM = 3.0
"""So far from its fitted place an eye may be pictured, and it goes on so far under the nose."""
EYE, SOME = 5 * NOISE, 2 * NOISE
"""An eye is somewhere so unlike skin and backdrop (grey levels), and all around that which is by the second."""


def with_eye(behind: Float[np.ndarray, "h w 3"], frame: Float[np.ndarray, "h w 3"], person: Float[np.ndarray, "h w"],
             s: Float[np.ndarray, "h w"], rim_px: float, eyes: Bool[np.ndarray, "h w"], reach_px: float) -> tuple[
                 Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]] | None:
    """The backdrop with the eye that is seen before it, and the matte before both; None where no eye is.

    person: the matte of who is seen before `behind`. s: signed distance from the fitted outline. eyes: where eyes may
    be; only what is near them is looked at.
    """
    rows, columns = (np.flatnonzero(eyes.any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    reach = round(reach_px + 3 * rim_px)  # beyond, nothing is felt of the matte's blur
    near = tuple(slice(max(at[0] - reach, 0), at[-1] + reach + 1) for at in (rows, columns))
    found = eye_behind(behind[near], frame[near], person[near], s[near], rim_px, eyes[near], reach_px)
    if found is None:
        return None
    changed = np.any(found != behind[near], axis=-1)
    changed = cv2.dilate(changed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    behind, person = behind.copy(), person.copy()
    behind[near] = found
    person[near][changed] = matte(frame[near], found, s[near], rim_px)[changed]
    return behind, person


def eye_behind(behind: Float[np.ndarray, "h w 3"], frame: Float[np.ndarray, "h w 3"], person: Float[np.ndarray, "h w"],
               s: Float[np.ndarray, "h w"], rim_px: float, eyes: Bool[np.ndarray, "h w"], reach_px: float) -> Float[
                   np.ndarray, "h w 3"] | None:
    """The backdrop with the eye, which goes on under the nose; None where none is seen."""
    eye = seen_beyond(frame, behind, s, rim_px, eyes)
    if not eye.any():
        return None
    front = (person > 0.5) & ~eye
    away, number, y, x = nearest(~front)
    under = front & eye[y, x][number] & (away < reach_px)
    shown = ~front & (cv2.dilate(eye.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    out = behind.copy()
    out[shown] = frame[shown]
    out[under] = frame[y, x][number][under]
    return out


def seen_beyond(frame: Float[np.ndarray, "h w 3"], behind: Float[np.ndarray, "h w 3"], s: Float[np.ndarray, "h w"],
                rim_px: float, eyes: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The eye's pixels about the fitted outline."""
    where = eyes & (s <= 0) & (s > -2 * rim_px)
    if not where.any():
        return where
    other = unlike(frame, behind, skin_beside(frame, s, rim_px))
    _, piece = cv2.connectedComponents((where & (other > SOME)).astype(np.uint8), connectivity=4)
    sure = np.unique(piece[where & (other > EYE)])
    return np.isin(piece, sure[sure > 0])
