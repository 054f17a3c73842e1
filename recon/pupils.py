"""Pupils: where both irises lie in the head, from the pictures: the centres of the limbus, triangulated.

What is typed as interpupillary distance is measured at far gaze, with parallel lines of sight. In a film the patient
looks ahead of the face or at the phone, and triangulation gives the far distance either way. Looking ahead, each iris
keeps its place in the head, and that place is found. Looking at the phone, the eyes converge and the irises come closer
together; but then every line from the camera through an iris goes on through that eye's centre of rotation, which is
the only point that all views agree on, and two centres of rotation lie as far apart as the pupils at far gaze. So the
distance counts, and the depth of the points does not.

Letters: X a point of the head, J its picture's derivative (px per unit), r residuals in px.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.camera import Camera
from core.records import record
from recon.iris import IRISES, limbus

MOST_YAW_RAD = np.radians(20.0)
"""Views that turn further show one eye foreshortened and behind the nose."""
LEAST_VIEWS = 4
"""Of each eye."""
START_SD = 5.0
"""Units by which the model's own pupil may be off: decides only the depth, and only where all views look from about
the same side."""
LIMBUS_SHARED, NETWORK_SHARED = 0.006, 0.012
"""Of ln(distance): what all readings of one film share (cameras, light on the limbus), and the network's own habit of
placing irises. Measured on six heads with known pupils: RMS 0.4 % and 0.8 %, largest 0.8 % and 1.7 %."""


@record
class Distance:
    """Between both pupils at far gaze, in model units, and the standard deviation of its logarithm."""

    units: float
    sd: float


def pupil_distance(points_px: Float[np.ndarray, "n 478 2"], cameras: list[Camera],
                   landmarks: Float[np.ndarray, "478 3"], is_open: Bool[np.ndarray, "n 2"],
                   picture: Callable[[int], UInt8[np.ndarray, "h w 3"]]) -> Distance | None:
    """The distance from the limbus in the views that look from in front; where too few show it, from the landmark
    network's iris centres; None where fewer than `LEAST_VIEWS` show both eyes open.

    is_open: right and left eye of every view.
    """
    yaw = np.abs([c.head_angles_rad[0] for c in cameras])
    views = [[k for k in np.flatnonzero(yaw <= MOST_YAW_RAD).tolist() if is_open[k, eye]] for eye in (0, 1)]
    if min(map(len, views)) < LEAST_VIEWS:
        return None
    read = [{k: seen.centre_px for k in views[eye] if (seen := limbus(picture(k), points_px[k], eye)) is not None}
            for eye in (0, 1)]
    shared = LIMBUS_SHARED
    if min(map(len, read)) < LEAST_VIEWS:
        read = [{k: points_px[k, IRISES[eye][2]] for k in views[eye]} for eye in (0, 1)]
        shared = NETWORK_SHARED
    (right, right_cov), (left, left_cov) = (
        nearest_point(np.stack(list(centres.values())), [cameras[k] for k in centres], landmarks[IRISES[eye][2]])
        for eye, centres in enumerate(read))
    apart = left - right
    length = float(np.linalg.norm(apart))
    along = apart / length
    return Distance(units=length, sd=float(np.hypot(shared, np.sqrt(along @ (right_cov + left_cov) @ along) / length)))


def nearest_point(points_px: Float[np.ndarray, "n 2"], cameras: list[Camera], start: Float[np.ndarray, "3"]) -> tuple[
        Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """The point that n views see where they see it, and its covariance: robust Gauss-Newton (Geman-McClure), held
    within about `START_SD` of the start.

    The noise is the views' own scatter; at least 0.1 px, since a few views may agree by chance.
    """
    X = start.copy()
    for _ in range(15):
        r = np.stack([c.px_from_points(X) for c in cameras]) - points_px
        J = np.stack([derivative(c, X) for c in cameras])
        off2 = (r**2).sum(1)
        noise2 = max(float(np.median(off2)) / (2 * np.log(2)), 0.1**2)  # the median of a squared 2-D error
        weight = 1 / (1 + off2 / (9 * noise2)) ** 2 / noise2
        H = np.einsum("n,nia,nib->ab", weight, J, J) + np.eye(3) / START_SD**2
        X = X - np.linalg.solve(H, np.einsum("n,nia,ni->a", weight, J, r) + (X - start) / START_SD**2)
    return X, np.linalg.inv(H)


def derivative(camera: Camera, X: Float[np.ndarray, "3"]) -> Float[np.ndarray, "2 3"]:
    """How a camera without distortion moves the picture (px) of a head-frame point that moves by a unit."""
    x, y, z = camera.cam_from_points(X)
    by_cam = np.array([[camera.K_px[0, 0], 0, -camera.K_px[0, 0] * x / z],
                       [0, camera.K_px[1, 1], -camera.K_px[1, 1] * y / z]]) / z
    out: np.ndarray = by_cam @ camera.cam_from_head[:3, :3]
    return out
