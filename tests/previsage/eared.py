"""A photo whose ears are known: the demo's head with ears pulled down and out, painted as skin, before a plain wall."""

from functools import cache

import cv2
import numpy as np
from scipy.spatial import cKDTree

from core.camera import Camera
from core.mesh import Mesh
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from previsage.portrait import portrait_head
from recon.models import load_model
from render.picture import PictureOptions, photograph
from render.rasterize import Rasterizer

SIZE_WH, FOCAL_PX, AWAY_MM = (900, 1100), 2400.0, 900.0
WALL, SKIN, HAIR = (205, 210, 208), np.array([200.0, 150, 125]), (45, 38, 34)


def camera(yaw_deg: float = 0.0) -> Camera:
    """A metre away."""
    R = OPENCV_FROM_HEAD @ head_rotation(np.radians(yaw_deg), 0.0, 0.0)
    at = rigid(R, np.array([0, 0, AWAY_MM]) - R @ np.array([0, -10.0, -30]))
    K = np.array([[FOCAL_PX, 0, SIZE_WH[0] / 2], [0, FOCAL_PX, SIZE_WH[1] / 2], [0, 0, 1]])
    return Camera(K_px=K, cam_from_head=at, size_wh=SIZE_WH)


def pulled(mesh: Mesh, down_mm: float = 9.0, wider: float = 1.2) -> Mesh:
    """The head with its ears lower, and standing out farther."""
    v, moved = mesh.vertices_mm, np.zeros_like(mesh.vertices_mm)
    for ear, side in (("ear_l", 1), ("ear_r", -1)):
        near = np.clip(1 - cKDTree(v[load_model().anatomy.region(ear) > 0.5]).query(v)[0] / 20, 0, 1)
        share = near * near * (3 - 2 * near) * (v[:, 0] * side > 40)
        moved[:, 1] -= down_mm * share
        moved[:, 0] += side * share * (wider - 1) * np.clip(np.abs(v[:, 0]) - 72, 0, None)
    return mesh.moved(moved)


@cache
def photographed(yaw_deg: float = 0.0, wider: float = 1.2) -> tuple[np.ndarray, np.ndarray]:
    """The photo (RGB), and what of it the head covers."""
    head, anatomy = portrait_head(side=1024), load_model().anatomy
    drawn, at = Rasterizer(pulled(head.mesh, wider=wider)), camera(yaw_deg)
    fragments = drawn(at)
    picture = photograph(drawn, at, head.texture, PictureOptions(background=WALL), fragments=fragments).astype(float)
    lit = fragments.interpolate(drawn.surface.normals.astype(float), drawn.mesh.faces) @ np.array([0.3, 0.4, 0.85])
    weight = np.stack([anatomy.region(n) for n in ("ear_l", "ear_r", "scalp")], 1).astype(float)
    ear_l, ear_r, scalp = np.moveaxis(fragments.interpolate(weight, drawn.mesh.faces), 2, 0)
    ear = np.maximum(ear_l, ear_r) > 0.5
    picture[ear] = (SKIN * (0.6 + 0.4 * np.clip(lit, 0, 1))[..., None])[ear]
    picture[(scalp > 0.5) & ~ear & fragments.covered] = HAIR
    soft = cv2.GaussianBlur(picture, (0, 0), 0.7)
    grain = np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(np.rint(soft + grain), 0, 255).astype(np.uint8), fragments.covered
