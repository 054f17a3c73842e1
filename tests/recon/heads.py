"""Known heads seen by known cameras: what a perfect detector would report, for tests that must find the head again."""

import cv2
import numpy as np
from scipy.spatial import cKDTree

from core.camera import Camera
from core.face_model import FaceModel
from core.mesh import Mesh
from core.texture import Texture
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid, umeyama
from recon.bundle import trusted_offsets
from recon.observations import UNKNOWN_FOCAL, UNKNOWN_FOCAL_SD, Observations

CENTRE_MM = np.array([0.0, -30.0, -30.0])


def camera_at(yaw_deg: float, pitch_deg: float = 0.0, size_wh: tuple[int, int] = (480, 640), focal_px: float = 560.0,
              distance_mm: float = 480.0, centre_mm: np.ndarray = CENTRE_MM) -> Camera:
    """A camera that sees the head turned and nodded, its middle in the middle of the picture."""
    turned = OPENCV_FROM_HEAD @ head_rotation(float(np.radians(yaw_deg)), float(np.radians(pitch_deg)), 0.0)
    K = np.array([[focal_px, 0, (size_wh[0] - 1) / 2], [0, focal_px, (size_wh[1] - 1) / 2], [0, 0, 1.0]])
    return Camera(K_px=K, cam_from_head=rigid(turned, np.array([0, 0, distance_mm]) - turned @ centre_mm),
                  size_wh=size_wh)


def sweep(count: int, yaw_deg: float = 40.0, **kind) -> list[Camera]:
    """A head rotation from right to left that nods a little and comes nearer in the middle."""
    return [camera_at(yaw, 8 * np.sin(k), distance_mm=480 - 60 * np.cos(np.radians(2 * yaw)), **kind)
            for k, yaw in enumerate(np.linspace(-yaw_deg, yaw_deg, count))]


def detected(model: FaceModel, pins_mm: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (478,2) of pins that slide as the model says, and which of them the detector knows at this yaw."""
    yaw, bins = camera.head_angles_rad[0], model.view_yaw_rad
    table = trusted_offsets(model).reshape(len(bins), -1)
    offset = np.array([np.interp(yaw, bins, column) for column in table.T]).reshape(478, 3)
    high = int(np.clip(np.searchsorted(bins, yaw), 1, len(bins) - 1))
    return camera.px_from_points(pins_mm + offset), np.isfinite(model.view_sd_mm[[high - 1, high]]).all(0)


def observed(model: FaceModel, mesh: Mesh, cameras: list[Camera], noise_px: float, seed: int) -> Observations:
    """Landmarks of a mesh in every camera with noise; nothing is known about the lens."""
    rng = np.random.default_rng(seed)
    seen = [detected(model, mesh.points(model.anatomy.pins478), c) for c in cameras]
    points = np.stack([px for px, _ in seen])
    return Observations(
        points_px=points + rng.normal(0, noise_px, points.shape), visible=np.stack([v for _, v in seen]).astype(float),
        size_wh=np.array([c.size_wh for c in cameras]), lens=np.zeros(len(cameras), int),
        focal_px=np.array([UNKNOWN_FOCAL * np.hypot(*cameras[0].size_wh)]), focal_sd=np.array([UNKNOWN_FOCAL_SD]))


def person(model: FaceModel, seed: int, modes: int = 60, sd: float = 0.7) -> np.ndarray:
    """Identity coefficients (K,) of a random head."""
    identity = np.zeros(len(model.identity_basis_mm))
    identity[:modes] = np.random.default_rng(seed).normal(0, sd, modes)
    return identity


def head_of(model: FaceModel, identity: np.ndarray) -> Mesh:
    """The neutral head of an identity."""
    return model.shape(identity).pose(np.zeros(len(model.expression_names))).mesh()


def aligned(points: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Points moved, turned and scaled onto their truth."""
    scale, rotation, translation = umeyama(points, truth)
    return scale * points @ rotation.T + translation


def rms(difference: np.ndarray) -> float:
    """Root mean square length of vectors (N, D)."""
    return float(np.sqrt((difference**2).sum(1).mean()))


def mirror_distance(points: np.ndarray) -> np.ndarray:
    """Distance of every point's mirror image (x negated) to the nearest point."""
    return cKDTree(points).query(points * [-1, 1, 1])[0]


def freckled(side: int, seed: int) -> Texture:
    """Skin with blotches and freckles of several sizes, so that flow finds corners everywhere."""
    rng = np.random.default_rng(seed)
    grey = sum(weight * cv2.resize(rng.standard_normal((cells, cells)).astype(np.float32), (side, side),
                                   interpolation=cv2.INTER_CUBIC) for cells, weight in ((16, 6), (64, 14), (160, 18)))
    rgb = np.clip(np.array([190, 140, 120]) + grey[..., None] * [1.0, 0.9, 0.8], 0, 255)
    return Texture(rgb=rgb.astype(np.uint8), seen=np.full((side, side), 255, np.uint8))
