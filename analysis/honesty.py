"""Honesty: whether what a reconstruction states of itself is true: its uncertainty, its size, its cameras."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from analysis.accuracy import Placed, face_vertices, nearest, scene_of
from core.camera import Camera
from core.mesh import Mesh
from core.transforms import inverse

WITHIN_95 = 1.96
"""Standard deviations that hold 95 % of a normal error."""


def shape_sd(full_sd_mm: Float[np.ndarray, "v"], vertices_mm: Float[np.ndarray, "v 3"], size_sd: float) -> Float[
        np.ndarray, "v"]:
    """The sd (mm) of the shape alone: the stated one without the share of the head's uncertain size.

    size_sd: the scale's sd as a share of it. The inverse of `recon.head.with_size`: full² = shape² + (d size_sd)² / 3,
    d the distance from the mean of the vertices.
    """
    away = np.linalg.norm(vertices_mm - vertices_mm.mean(0), axis=1)
    return np.sqrt(np.maximum(full_sd_mm**2 - (away * size_sd) ** 2 / 3, 0))


def coverage(found: Mesh, sd_mm: Float[np.ndarray, "v"], skin: Bool[np.ndarray, "v"], true: Mesh,
             nose_tip_mm: Float[np.ndarray, "3"], place: Placed) -> float:
    """Share of the found face's vertices that lie no further than 1.96 sd from the true surface once laid on it.

    sd_mm: one stated sd per vertex, in the found head's own mm. skin: the vertices that may count. The face is that of
    `analysis.accuracy`, around the true nose tip. NaN when no vertex is left.
    """
    laid = found.with_vertices(place.of(found.vertices_mm))
    counts = face_vertices(laid, nose_tip_mm) & skin
    vertices = laid.vertices_mm[counts]
    off = np.linalg.norm(nearest(scene_of(true), vertices) - vertices, axis=1)
    return float((off <= WITHIN_95 * place.scale * sd_mm[counts]).mean()) if counts.any() else float("nan")


def size_is_held(place: Placed, interval95_percent: float) -> bool:
    """Whether every true length lies in the interval stated for it: found length ± interval95_percent."""
    return abs(100 * (place.scale - 1)) <= interval95_percent


def camera_errors(found: Sequence[Camera], true_cam_from_head: Float[np.ndarray, "n 4 4"], place: Placed) -> tuple[
        Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """Angle (deg) and distance between the centres (mm) of every found camera and the true one, on the true head.

    With the head laid on the truth (y = s R x + t), a camera (Q, q) that saw x at Q x + q sees y at Q R' y + ..., and
    its centre c moves to s R c + t.
    """
    turned, moved = np.zeros(len(found)), np.zeros(len(found))
    for k, (camera, cam_from_head) in enumerate(zip(found, true_cam_from_head, strict=True)):
        between = camera.cam_from_head[:3, :3] @ place.R.T @ cam_from_head[:3, :3].T
        sine = np.linalg.norm([between[2, 1] - between[1, 2], between[0, 2] - between[2, 0],
                               between[1, 0] - between[0, 1]])
        turned[k] = np.degrees(np.arctan2(sine, np.trace(between) - 1))  # |2 sin| and 2 cos: exact at small angles
        centre = inverse(cam_from_head)[:3, 3]
        moved[k] = np.linalg.norm(place.of(camera.position_mm[None])[0] - centre)
    return turned, moved
