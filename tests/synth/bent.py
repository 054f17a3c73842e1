"""A globe with a nose, before a wall, whose nose an operation makes smaller: what warp3d draws, and what is true."""

from functools import cache

import cv2
import numpy as np

from core.camera import Camera
from core.mesh import Mesh
from core.texture import Texture
from core.transforms import head_rotation
from render.flow import Seen, correspondence, skins
from render.mipmap import Mipmap
from render.picture import AS_SEEN, Skin, as_bytes, smooth
from render.rasterize import Rasterizer
from synth.backdrop import Plate
from tests.core.builders import sphere
from tests.render.scenes import front_camera

SIZE_WH = (301, 261)


def skin(size: int = 1024) -> Texture:
    """Blotches and grain, the same on both sides."""
    rng = np.random.default_rng(3)
    grain = sum(25.0 * s * cv2.GaussianBlur(rng.normal(size=(size, size)), (0, 0), s) for s in (2.0, 5.0, 14.0))
    rgb = np.clip(np.array([190, 140, 115]) + (grain + grain[:, ::-1])[..., None] / 1.5, 0, 255).astype(np.uint8)
    return Texture(rgb=rgb, seen=np.full((size, size), 255, np.uint8))


def wall(seed: int = 0) -> np.ndarray:
    """A background with edges and blotches, 0..255."""
    rng = np.random.default_rng(seed)
    width, height = SIZE_WH
    rough = cv2.resize(rng.uniform(40, 220, (9, 11, 3)), SIZE_WH, interpolation=cv2.INTER_NEAREST)
    return cv2.GaussianBlur(rough.astype(np.float32), (0, 0), 1.5).reshape(height, width, 3)


def bell(points_mm: np.ndarray) -> np.ndarray:
    """1 at the nose's tip, 0 from 15 mm on."""
    t = np.clip(1 - np.linalg.norm(points_mm - [0.0, 0.0, 60.0], axis=1) / 15, 0, 1)
    return (t * t * (3 - 2 * t))[:, None]


class Bent:
    """before, true_after (pictures), seen (the correspondence) of a camera that the head has turned away from."""

    def __init__(self, yaw_deg: float, by_mm: tuple[float, float, float]) -> None:
        globe = sphere(60, 120, 240)
        self.mesh: Mesh = globe.moved(bell(globe.vertices_mm) * [0, 0, 12.0])
        self.displacement_mm = bell(globe.vertices_mm) * np.array(by_mm)
        turn = head_rotation(float(np.radians(yaw_deg)), 0.0, 0.0)
        self.camera: Camera = front_camera(900.0, SIZE_WH, rotation=turn)
        self.rasterizers = Rasterizer(self.mesh), Rasterizer(self.mesh.moved(self.displacement_mm))
        self.skin, self.wall = Mipmap(skin()), wall()
        self.before, self.true_after = (self.filmed(r) for r in self.rasterizers)
        found = correspondence(*self.rasterizers, self.camera)
        assert found is not None
        self.seen: Seen = found
        self.inside = np.zeros(self.before.shape[:2], np.float32)
        self.inside[found.correspondence.window] = found.correspondence.mask
        self.plate = Plate(rgb=self.wall, known=np.ones(self.wall.shape[:2], bool))

    def filmed(self, rasterizer: Rasterizer) -> np.ndarray:
        """The head in front of the wall."""
        drawn = Skin(rasterizer.surface, self.camera, self.skin, AS_SEEN)
        drawn.background = self.wall
        return as_bytes(smooth(rasterizer, self.camera, drawn, rasterizer(self.camera)))

    def skins(self) -> tuple[np.ndarray, np.ndarray]:
        """The texture in the window, before and after."""
        return skins(self.seen, *self.rasterizers, self.skin)

    def psnr(self, picture: np.ndarray) -> float:
        """dB against the true picture inside the mask."""
        error = (picture.astype(float) - self.true_after)[self.inside > 0.5]
        return float(10 * np.log10(255**2 / max(np.mean(error**2), 1e-9)))


@cache
def bent(yaw_deg: float = 0.0, by_mm: tuple[float, float, float] = (0.0, 2.0, -4.0)) -> Bent:
    """The scene, made once."""
    return Bent(yaw_deg, by_mm)
