"""First poses: each view against the mean head by PnP, before anything is adjusted."""

import cv2
import numpy as np
from jaxtyping import Float

from core.errors import InputRefused
from core.transforms import rigid
from recon.observations import Observations

STABLE = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 61, 291, 0, 17, 9, 151, 152, 10, 50, 280,
                   205, 425, 70, 300, 107, 336])
"""Landmarks that sit on bone or at corners, and stay put while the head turns."""


def first_poses(pins_mm: Float[np.ndarray, "478 3"], seen: Observations, visible: Float[np.ndarray, "n 478"]) -> Float[
        np.ndarray, "n 4 4"]:
    """cam_from_head of every view; InputRefused when a view fits no head at all."""
    poses = []
    for view, points in enumerate(seen.points_px):
        use = STABLE[visible[view, STABLE] > 0]
        if len(use) < 6:
            use = np.flatnonzero(visible[view] > 0)
        focal = seen.focal_px[seen.lens[view]]
        center = (seen.size_wh[view] - 1) / 2
        K = np.array([[focal, 0, center[0]], [0, focal, center[1]], [0, 0, 1.0]])
        ok, turn, place = cv2.solvePnP(pins_mm[use], points[use], K, None, flags=cv2.SOLVEPNP_SQPNP)
        if not ok:
            raise InputRefused("no_pose", "The head's position could not be found in one of the pictures.",
                               "Film again with the whole face in the picture.")
        turn, place = cv2.solvePnPRefineLM(pins_mm[use], points[use], K, None, turn, place)
        poses.append(rigid(cv2.Rodrigues(turn)[0], place[:, 0]))
    return np.stack(poses)
