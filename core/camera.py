"""Camera: a pinhole with OpenCV lens distortion, placed relative to the head."""

import dataclasses

import numpy as np
from jaxtyping import Float

from core.records import freeze, record
from core.transforms import apply, head_angles_rad, inverse


@record
class Camera:
    """OpenCV axes (x right, y down, z forward); pixel centres at integers, the top-left centre is (0, 0).

    K_px: intrinsics in pixels. cam_from_head: rigid, millimetres. size_wh: width and height in pixels.
    distortion: OpenCV k1, k2, p1, p2, k3 (zeros for a perfect pinhole).
    """

    K_px: Float[np.ndarray, "3 3"]
    cam_from_head: Float[np.ndarray, "4 4"]
    size_wh: tuple[int, int]
    distortion: Float[np.ndarray, "5"] = dataclasses.field(default_factory=lambda: np.zeros(5))

    def __post_init__(self) -> None:
        freeze(self, K_px=(self.K_px, float), cam_from_head=(self.cam_from_head, float),
               distortion=(self.distortion, float))

    @property
    def position_mm(self) -> Float[np.ndarray, "3"]:
        """Camera centre in the head frame."""
        return inverse(self.cam_from_head)[:3, 3]

    @property
    def head_angles_rad(self) -> Float[np.ndarray, "3"]:
        """Yaw, pitch and roll of the head as this camera sees it."""
        return head_angles_rad(self.cam_from_head)

    def cam_from_points(self, points_mm: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Head-frame points in camera axes (mm)."""
        return apply(self.cam_from_head, points_mm)

    def px_from_points(self, points_mm: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 2"]:
        """Project head-frame points; points behind the camera give NaN."""
        cam = self.cam_from_points(points_mm)
        depth = np.where(cam[..., 2] > 1e-6, cam[..., 2], np.nan)
        xy = distort(cam[..., :2] / depth[..., None], self.distortion)
        return xy @ self.K_px[:2, :2].T + self.K_px[:2, 2]

    def resized(self, size_wh: tuple[int, int]) -> "Camera":
        """The same camera with another number of pixels; the aspect ratio may change."""
        scale = np.array([size_wh[0] / self.size_wh[0], size_wh[1] / self.size_wh[1]])
        K = self.K_px.copy()
        K[:2] *= scale[:, None]
        K[:2, 2] += (scale - 1) / 2  # pixel centres are integers, so the corner is at -0.5
        return Camera(K_px=K, cam_from_head=self.cam_from_head, size_wh=size_wh, distortion=self.distortion)


def distort(xy: Float[np.ndarray, "*n 2"], k: Float[np.ndarray, "5"]) -> Float[np.ndarray, "*n 2"]:
    """Brown-Conrady distortion of normalised image points (OpenCV's k1, k2, p1, p2, k3)."""
    if not np.any(k):
        return xy
    x, y = xy[..., 0], xy[..., 1]
    r2 = x * x + y * y
    radial = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
    return np.stack([x * radial + 2 * k[2] * x * y + k[3] * (r2 + 2 * x * x),
                     y * radial + k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y], -1)
