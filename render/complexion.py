"""Complexion: a made-up skin for a head whose regions are known, so that training sees many people and none in truth.

Invented from the ground up (tone, redness, blotches, freckles, grain, brows, hair, eyes); no photograph is used.
"""

from functools import lru_cache

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from core.anatomy import Anatomy
from core.camera import Camera
from core.mesh import Mesh
from core.records import record
from core.texture import Texture
from render.rasterize import Rasterizer

TONES = np.array([[246, 214, 190], [234, 190, 160], [214, 164, 128], [182, 126, 88], [138, 90, 58], [88, 58, 42]],
                 float)
"""sRGB from the lightest to the darkest of six steps, by eye."""
IRISES = np.array([[66, 44, 30], [96, 70, 44], [88, 108, 84], [96, 124, 148]], float)
HAIRS = np.array([[28, 22, 20], [66, 44, 30], [118, 84, 54], [176, 146, 104], [150, 150, 150]], float)
IRIS_MM, PUPIL_MM = 5.9, 1.9
"""Radii: the iris of adults hardly varies."""
IRIS_PINS = (468, 473)
FAR_MM = 1000.0


@record
class Layout:
    """What each texel of a topology shows: triangle (-1: none) and weights in it, side x side."""

    face: Int[np.ndarray, "s s"]
    bary: Float[np.ndarray, "s s 3"]

    def spread(self, mesh: Mesh, values: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "s s c"]:
        """Values of vertices over the texels, zero where there is no skin."""
        out = np.zeros((*self.face.shape, values.shape[1]), np.float32)
        seen = self.face >= 0
        out[seen] = np.einsum("nk,nkc->nc", self.bary[seen], values[mesh.faces[self.face[seen]]])
        return out


def layout(mesh: Mesh, side: int) -> Layout:
    """Where the texels of a mesh's texture coordinates lie on it."""
    return laid_out(mesh.uv.tobytes(), mesh.faces_uv.tobytes(), len(mesh.uv), side)


@lru_cache(maxsize=2)
def laid_out(uv: bytes, faces: bytes, count: int, side: int) -> Layout:
    """The same by the arrays' bytes: heads of one topology share it. The texture is looked at like a flat mesh."""
    points = np.frombuffer(uv, float).reshape(count, 2) * side - 0.5
    triangles = np.frombuffer(faces, np.int32).reshape(-1, 3)
    flat = Mesh(vertices_mm=np.column_stack([points, np.full(count, FAR_MM)]), faces=triangles,
                uv=np.zeros((1, 2)), faces_uv=np.zeros_like(triangles))
    seen = Rasterizer(flat)(Camera(K_px=np.diag([FAR_MM, FAR_MM, 1.0]), cam_from_head=np.eye(4), size_wh=(side, side)))
    return Layout(face=seen.face, bary=seen.bary)


def complexion(mesh: Mesh, anatomy: Anatomy, seed: int, side: int = 1024) -> tuple[Texture, dict[str, float]]:
    """A skin for a head, and what it is: `tone` 1 (light) to 6 (dark), `freckles`, `hair`."""
    rng = np.random.default_rng([seed, 11])
    place = layout(mesh, side)
    names = [n for n in ("lips", "brow_l", "brow_r", "cheek_l", "cheek_r", "nose", "scalp", "eye_l", "eye_r",
                         "ear_l", "ear_r", "mouth_interior") if anatomy.has(n)]
    spread = place.spread(mesh, np.stack([anatomy.region(n) for n in names], 1).astype(float))
    weight = {n: spread[..., k:k + 1] for k, n in enumerate(names)}
    none = np.zeros((side, side, 1), np.float32)

    def region(*wanted: str) -> Float[np.ndarray, "s s 1"]:
        return np.max([weight.get(n, none) for n in wanted], axis=0)

    step = float(rng.uniform(0, len(TONES) - 1))
    tone = between(TONES, step)
    skin = tone + 10 * blotches(rng, side, 5) + 5 * blotches(rng, side, 24) * np.array([1.0, 0.7, 0.7])
    skin = mixed(skin, tone * [1.04, 0.84, 0.82], region("cheek_l", "cheek_r", "nose") * rng.uniform(0.05, 0.4))
    skin = mixed(skin, tone * [0.86, 0.62, 0.62], region("lips") * rng.uniform(0.5, 1.0))
    freckles = float(max(rng.uniform(-1, 1), 0))
    skin = mixed(skin, tone * 0.68, np.clip((blotches(rng, side, 160) - (2.6 - freckles)) * 2, 0, 1) * 0.7)
    skin += rng.normal(0, rng.uniform(2, 6), (side, side, 1)) + 3 * blotches(rng, side, side // 4)
    number = int(rng.integers(len(HAIRS)))
    strands = HAIRS[number] * (1 + 0.35 * rng.normal(0, 1, (side, side, 1)))
    skin = mixed(skin, strands, np.clip(region("scalp") * 1.5, 0, 1) * (1 - region("ear_l", "ear_r")))
    skin = mixed(skin, strands, np.clip(region("brow_l", "brow_r") * rng.uniform(0.4, 1.0), 0, 1)
                 * (0.6 + 0.4 * (rng.uniform(0, 1, (side, side, 1)) > 0.4)))
    skin = mixed(skin, np.array([120.0, 60, 58]), region("mouth_interior"))
    skin = with_eyes(skin, place.spread(mesh, mesh.vertices_mm), mesh, anatomy, region("eye_l", "eye_r"), rng)
    rgb = np.clip(skin, 0, 255).round().astype(np.uint8)
    seen = place.face >= 0
    return Texture(rgb=filled(rgb, seen), seen=np.where(seen, 255, 0).astype(np.uint8)), {
        "tone": step + 1, "freckles": freckles, "hair": float(number)}


def with_eyes(skin: Float[np.ndarray, "s s 3"], at_mm: Float[np.ndarray, "s s 3"], mesh: Mesh, anatomy: Anatomy,
              eyes: Float[np.ndarray, "s s 1"], rng: np.random.Generator) -> Float[np.ndarray, "s s 3"]:
    """White, iris and pupil around the two iris landmarks."""
    skin = mixed(skin, np.array([226.0, 218, 212]), (eyes > 0.5).astype(float))
    colour = IRISES[rng.integers(len(IRISES))] * rng.uniform(0.8, 1.2)
    for pin in IRIS_PINS:
        distance = np.linalg.norm(at_mm - mesh.points(anatomy.pins478[[pin]])[0], axis=2, keepdims=True)
        for radius, shade in ((IRIS_MM, colour), (PUPIL_MM, np.array([14.0, 12, 12]))):
            skin = mixed(skin, shade, np.clip((radius - distance) * 2, 0, 1) * (eyes > 0.5))
    return skin


def between(table: Float[np.ndarray, "n 3"], at: float) -> Float[np.ndarray, "3"]:
    """A table's row at a place between its rows."""
    return np.array([np.interp(at, np.arange(len(table)), column) for column in table.T])


def mixed(one: np.ndarray, other: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Some of `other` in place of `one`."""
    return one + share * (other - one)


def blotches(rng: np.random.Generator, side: int, cells: int) -> Float[np.ndarray, "s s 1"]:
    """Smooth noise of unit variance, about `cells` spots across."""
    coarse = rng.normal(0, 1, (cells + 2, cells + 2)).astype(np.float32)
    smooth = cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)
    return (smooth / smooth.std())[..., None]


def filled(rgb: np.ndarray, seen: Bool[np.ndarray, "s s"]) -> np.ndarray:
    """The gaps between the texture's islands, in the nearest island's colour, so that no seam shows."""
    _, labels = cv2.distanceTransformWithLabels((~seen).astype(np.uint8), cv2.DIST_L2, 3,
                                                labelType=cv2.DIST_LABEL_PIXEL)
    colours = np.zeros((labels.max() + 1, 3), np.uint8)
    colours[labels[seen]] = rgb[seen]
    return colours[labels]
