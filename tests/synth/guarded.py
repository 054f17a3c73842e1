"""A face for the guard: a globe with skin-like texture whose front is pulled, filmed before a wall."""

from functools import cache

import cv2
import numpy as np

from core.correspondence import Correspondence
from core.mesh import Mesh
from core.texture import Texture
from render.flow import correspondence
from render.picture import AS_SEEN, photograph
from render.rasterize import Rasterizer
from tests.core.builders import sphere
from tests.render.scenes import front_camera

SIZE_WH = (400, 360)


def skin(seed: int = 0, size: int = 512) -> Texture:
    """Coarse and fine blotches around a skin colour."""
    rng = np.random.default_rng(seed)
    grain = sum(a * cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), s) * s
                for a, s in ((25.0, 1.5), (25.0, 4.0), (25.0, 12.0)))
    rgb = np.clip(np.array([190, 140, 115]) + grain[..., None], 0, 255).astype(np.uint8)
    return Texture(rgb=rgb, seen=np.full((size, size), 255, np.uint8))


def pulled(mesh: Mesh, sides: tuple[float, float] = (5.0, 5.0)) -> np.ndarray:
    """Two cheeks of the globe pulled upwards and outwards by so many mm, the patient's left first."""
    out = np.zeros_like(mesh.vertices_mm)
    for sign, size_mm in zip((1, -1), sides, strict=True):
        centre = np.array([sign * 26.0, -10.0, 0.0])
        centre[2] = np.sqrt(60.0**2 - centre @ centre)
        near = np.clip(1 - np.linalg.norm(mesh.vertices_mm - centre, axis=1) / 24, 0, 1)
        out += size_mm * (near * near * (3 - 2 * near))[:, None] * np.array([0.5 * sign, 0.8, 0.0])
    return out


class Scene:
    """before, the frame; asked, the plan in it; lateral_mm; made(shares), an honest result that shows so much."""

    def __init__(self, sides_mm: tuple[float, float]) -> None:
        mesh = sphere(60, 80, 160)
        self.camera = front_camera(1200.0, SIZE_WH)
        self.rasterizer, self.skin = Rasterizer(mesh), skin()
        moved_mm = pulled(mesh, sides_mm)
        seen = correspondence(self.rasterizer, Rasterizer(mesh.moved(moved_mm)), self.camera)
        assert seen is not None
        self.before = photograph(self.rasterizer, self.camera, self.skin, AS_SEEN)
        self.asked: Correspondence = seen.correspondence
        self.lateral_mm = seen.after.interpolate(mesh.vertices_mm[:, :1], mesh.faces)[..., 0]

    def made(self, left: float = 1.0, right: float = 1.0) -> np.ndarray:
        """The frame with that share of the motion on each side, under the mask, with a sensor's noise inside."""
        window = self.asked.window
        height, width = self.asked.mask.shape
        share = np.where(self.lateral_mm > 0, left, right)[..., None]
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        there = (np.stack([x, y], -1) + share * self.asked.flow_px).astype(np.float32)
        part = self.before[window]
        moved = cv2.remap(np.ascontiguousarray(part), there, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        moved = moved + np.random.default_rng(1).normal(0, 1.5, moved.shape)
        mask = self.asked.mask[..., None]
        out = self.before.copy()
        mixed = np.rint(np.clip(mask * moved + (1 - mask) * part, 0, 255)).astype(np.uint8)
        out[window] = np.where(mask > 0, mixed, part)
        return out


@cache
def scene(left_mm: float = 5.0, right_mm: float = 5.0) -> Scene:
    """Made once."""
    return Scene((left_mm, right_mm))
