"""Rigid and similarity transforms, as 4x4 matrices named `to_from_source` so that compositions cancel visibly."""

import numpy as np
from jaxtyping import Float


def rigid(rotation: Float[np.ndarray, "3 3"], translation: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 4"]:
    """The 4x4 matrix of x -> rotation x + translation."""
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation
    return matrix


def inverse(to_from_source: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "4 4"]:
    """The inverse of a rigid transform (rotation and translation only)."""
    rotation = to_from_source[:3, :3].T
    return rigid(rotation, -rotation @ to_from_source[:3, 3])


def apply(to_from_source: Float[np.ndarray, "4 4"], points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Transform points."""
    return points @ to_from_source[:3, :3].T + to_from_source[:3, 3]


def rotation_from_vector(vector_rad: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation matrix of an axis-angle vector (Rodrigues' formula)."""
    angle = float(np.linalg.norm(vector_rad))
    x, y, z = vector_rad
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    if angle < 1e-7:  # below this the second-order series is exact to double precision
        return np.eye(3) + cross + cross @ cross / 2
    return np.eye(3) + np.sin(angle) / angle * cross + (1 - np.cos(angle)) / angle**2 * cross @ cross


def head_rotation(yaw_rad: float, pitch_rad: float, roll_rad: float) -> Float[np.ndarray, "3 3"]:
    """Rotation of the head in the head frame's axes: roll about z, then pitch about x, then yaw about y.

    Positive yaw turns the face to the patient's left, positive pitch nods it down,
    positive roll tilts the crown towards the patient's right.
    """
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw_rad, pitch_rad, roll_rad) for f in (np.cos, np.sin))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return about_y @ about_x @ about_z


OPENCV_FROM_HEAD = np.diag([1.0, -1.0, -1.0])
"""Rotation of a camera that looks straight at the face: image x is the patient's left, y is down, z into the head."""


def head_angles_rad(cam_from_head: Float[np.ndarray, "4 4"]) -> Float[np.ndarray, "3"]:
    """Yaw, pitch and roll (rad) of the head seen by a camera; the inverse of `head_rotation`."""
    r = OPENCV_FROM_HEAD @ cam_from_head[:3, :3]
    return np.array([np.arctan2(r[0, 2], r[2, 2]), np.arcsin(np.clip(-r[1, 2], -1, 1)), np.arctan2(r[1, 0], r[1, 1])])


def umeyama(
    source: Float[np.ndarray, "n 3"], target: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, "n"] | None = None,
    with_scale: bool = True,
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Least-squares s, R, t with target ~ s R source + t (Umeyama, PAMI 1991)."""
    w = np.full(len(source), 1 / len(source)) if weights is None else weights / weights.sum()
    mean_s, mean_t = w @ source, w @ target
    a, b = source - mean_s, target - mean_t
    u, singular, vt = np.linalg.svd((b * w[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(sign) @ vt
    scale = float((singular * sign).sum() / (w @ (a**2).sum(1))) if with_scale else 1.0
    return scale, rotation, mean_t - scale * rotation @ mean_s
