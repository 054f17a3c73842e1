"""Far eye: seen beyond the bridge of a turned nose, it belongs to what lies behind the nose, and stays.

A fitted head has it a millimetre or two beside where the picture does, so it may lie before the backdrop there. It is
told by its colour, which is neither the skin's nor the backdrop's. Under the nose it goes on where nothing else that
the picture shows behind the nose is nearer.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from synth.backdrop import NOISE, skin_beside, unlike
from synth.outlines import nearest

REACH_MM = 3.0
"""So far from its fitted place an eye may be pictured, and it goes on so far under the nose."""
EYE, SOME = 5 * NOISE, 2 * NOISE
"""An eye is somewhere so unlike skin and backdrop (grey levels), and all around that which is by the second."""


def with_eye(behind: Float[np.ndarray, "h w 3"], frame: Float[np.ndarray, "h w 3"], person: Float[np.ndarray, "h w"],
             s: Float[np.ndarray, "h w"], rim_px: float, eyes: Bool[np.ndarray, "h w"], reach_px: float) -> Float[
                 np.ndarray, "h w 3"] | None:
    """The backdrop with the eye that is seen before it, which goes on under the nose; None where none is.

    person: the matte of who is seen before `behind`. s: signed distance from the fitted outline. eyes: where eyes may
    be.
    """
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
