"""Rectify: a photo of a posed head, looked at straight on: every skin point where it lies in the frontal plane.

The fitted head gives each frontal place (x, y) its depth z, so that its pixel in the photo is known; yaw, pitch, roll
and perspective are gone. The depth is made symmetric first, z(x, y) <- (z(x, y) + z(-x, y)) / 2: what is left and right
different in the fitted head must not hide, or add to, what is different in the photo.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import freeze, record
from core.transforms import OPENCV_FROM_HEAD, rigid

STEP_MM = 0.5
HALF_MM, TOP_MM, BOTTOM_MM = 75.0, 80.0, -130.0
"""The window of the frontal plane; its origin lies between the outer eye corners."""
FAR_MM = 1e5
"""From so far away a picture is orthographic to a thousandth of a millimetre."""
WORKING_PX_PER_MM = 2.5
"""A finer photo is reduced to this first: nothing that is measured is smaller than half a millimetre."""
LEAST_COSINE, BEHIND_MM = 0.2, 3.0
"""Skin seen more edge-on than this, or so far behind the first surface, is not seen."""
FLAT_MM, FINE_MM = 10.0, 0.6
"""Light that varies over more than FLAT_MM is taken out; detail below FINE_MM is smoothed."""
DARK = 10.0
"""Added to grey levels before the logarithm: noise in the shadows does not become contrast."""


@record
class Rectified:
    """The frontal picture. detail (H,W): log brightness without the light's slow changes, zero where not seen.
    seen (H,W): the photo shows this skin. z_mm (H,W): symmetric depth, NaN beside the head."""

    detail: Float[np.ndarray, "h w"]
    seen: Bool[np.ndarray, "h w"]
    z_mm: Float[np.ndarray, "h w"]

    def __post_init__(self) -> None:
        freeze(self, detail=(self.detail, np.float32), seen=(self.seen, bool), z_mm=(self.z_mm, float))

    def place(self, x_mm: float, y_mm: float) -> tuple[int, int]:
        """Column and row of a frontal place."""
        return round((x_mm + HALF_MM) / STEP_MM), round((TOP_MM - y_mm) / STEP_MM)

    def depth_mm(self, x_mm: float, y_mm: float) -> float:
        """z of a frontal place; NaN beside the head or the window."""
        column, row = self.place(x_mm, y_mm)
        inside = 0 <= row < self.z_mm.shape[0] and 0 <= column < self.z_mm.shape[1]
        return float(self.z_mm[row, column]) if inside else float("nan")


def frontal_camera() -> Camera:
    """Looks straight at the face from afar, one pixel per STEP_MM."""
    width, height = round(2 * HALF_MM / STEP_MM) + 1, round((TOP_MM - BOTTOM_MM) / STEP_MM) + 1
    focal = FAR_MM / STEP_MM
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, TOP_MM / STEP_MM], [0, 0, 1.0]])
    return Camera(K_px=K, cam_from_head=rigid(OPENCV_FROM_HEAD, np.array([0, 0, FAR_MM])), size_wh=(width, height))


def rectified(picture: UInt8[np.ndarray, "h w 3"], camera: Camera, mesh: Mesh, rasterize: Rasterize) -> Rectified:
    """The frontal picture of a photo. camera, mesh: the fitted head in mm, posed as in the photo (with its expression),
    in its head frame. `rasterize` is render's skill."""
    picture, camera = reduced(picture, camera)
    from_front = rasterize(mesh, frontal_camera())
    z = np.where(from_front.covered, FAR_MM - from_front.depth_mm, np.nan)
    z = (z + z[:, ::-1]) / 2
    rows, columns = np.indices(z.shape)
    known = np.isfinite(z)
    points = np.stack([columns * STEP_MM - HALF_MM, TOP_MM - rows * STEP_MM, np.nan_to_num(z)], -1)
    px = camera.px_from_points(points).astype(np.float32)
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.remap(grey, px[..., 0], px[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    first = cv2.remap(rasterize(mesh, camera).depth_mm, px[..., 0], px[..., 1], cv2.INTER_NEAREST,
                      borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    seen = known & (camera.cam_from_points(points)[..., 2] < first + BEHIND_MM)
    seen &= facing(z, points, camera) > LEAST_COSINE
    return Rectified(detail=detail_of(grey, seen), seen=seen, z_mm=z)


def reduced(picture: UInt8[np.ndarray, "h w 3"], camera: Camera) -> tuple[UInt8[np.ndarray, "h2 w2 3"], Camera]:
    """The photo and its camera at WORKING_PX_PER_MM, if it is finer."""
    share = WORKING_PX_PER_MM / (camera.K_px[0, 0] / max(camera.cam_from_head[2, 3], 1.0))
    if share >= 1:
        return picture, camera
    size = (max(round(camera.size_wh[0] * share), 1), max(round(camera.size_wh[1] * share), 1))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA), camera.resized(size)


def facing(z_mm: Float[np.ndarray, "h w"], points_mm: Float[np.ndarray, "h w 3"], camera: Camera) -> Float[
        np.ndarray, "h w"]:
    """Cosine between the symmetric surface's normal and the way to the camera; NaN becomes edge-on."""
    down, across = np.gradient(cv2.blur(z_mm, (5, 5)), STEP_MM)
    normal = np.stack([-across, down, np.ones_like(z_mm)], -1)
    towards = camera.position_mm - points_mm
    cosine = (normal * towards).sum(-1) / np.linalg.norm(normal, axis=-1) / np.linalg.norm(towards, axis=-1)
    return np.nan_to_num(cosine)


def detail_of(grey: Float[np.ndarray, "h w"], seen: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Log brightness less its mean over FLAT_MM of seen skin, so that a lamp on one side does not count."""
    bright, weight = np.log(grey + DARK), seen.astype(np.float32)
    wide = FLAT_MM / STEP_MM
    mean = cv2.GaussianBlur(bright * weight, (0, 0), wide) / np.maximum(cv2.GaussianBlur(weight, (0, 0), wide), 1e-3)
    return cv2.GaussianBlur(np.where(seen, bright - mean, 0).astype(np.float32), (0, 0), FINE_MM / STEP_MM)
