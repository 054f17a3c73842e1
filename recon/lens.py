"""Lens: how a film's lens bends, how sure that and its focal length are, and what a straight lens would show.

Letters: f focal length (px), k radial distortion: a point at r from the axis (r = 1 at 45 degrees) is seen at
r (1 + k r^2), which is OpenCV's k1 and COLMAP's SIMPLE_RADIAL.

A head fills a part of the picture and moves little over it, so that k is often lost in the noise: it is believed only
where it is both known and there.
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.records import record
from recon.bundle import intrinsics

MOST_SD = 0.02
"""k is known when its spread is no larger: at the edge of a face in the middle of the picture (r = 0.3), 0.4 px."""
THERE = 3.0
"""k is there when it lies so many spreads from zero."""


@record
class Lens:
    """Of one lens: focal_px with the spread of its logarithm, and k with its spread; `bends`: k is to be believed."""

    focal_px: float
    focal_sd: float
    k: float
    k_sd: float

    @property
    def bends(self) -> bool:
        """True where k is known and there."""
        return self.k_sd <= MOST_SD and abs(self.k) > THERE * self.k_sd


def bending(focal_px: float, k: float, size_wh: tuple[int, int]) -> Camera:
    """A camera with this lens at the head's own origin."""
    return Camera(K_px=intrinsics(focal_px, np.array(size_wh)), cam_from_head=np.eye(4), size_wh=size_wh,
                  distortion=np.array([k, 0, 0, 0, 0]))


def straight_px(px: Float[np.ndarray, "*n 2"], camera: Camera) -> Float[np.ndarray, "*n 2"]:
    """Where the camera would show points without its distortion."""
    if not np.any(camera.distortion):
        return px
    flat = cv2.undistortPointsIter(px.reshape(-1, 1, 2).astype(float), camera.K_px, camera.distortion, None,
                                   camera.K_px, (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 40, 1e-6))
    return np.asarray(flat.reshape(px.shape))


def straightened(picture: UInt8[np.ndarray, "h w 3"], camera: Camera) -> UInt8[np.ndarray, "h w 3"]:
    """The picture as the camera would show it without its distortion."""
    if not np.any(camera.distortion):
        return picture
    maps = cv2.initUndistortRectifyMap(camera.K_px, camera.distortion, None, camera.K_px, camera.size_wh, cv2.CV_32FC1)
    return np.asarray(cv2.remap(picture, *maps, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE))
