"""True after-frames: the true head of a rendered capture, deformed by a plan's displacement and filmed again.

The film is that of `head_capture.py` (its module is handed in as `tool`): same cameras, light and background; paint and
freckles stay on the skin that they were painted on. Nothing of Previsage draws these pictures.
"""

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import open3d as o3d
from jaxtyping import Float

AMBIENT, GAMMA, SAMPLES = 0.30, 1.3, 2
DETAIL = 0.12
"""Skin detail of the three captures; found by comparing a frame filmed again with the video's."""
OCTAVES = ((14.0, 0.5), (5.0, 0.6), (2.0, 0.9), (0.9, 0.9))
REACH_MM = (6.0, 12.0)
"""True skin nearer than the first to the fitted head moves with it; farther than the second it stays."""


class Truth:
    """A capture's head, cameras, light and room."""

    def __init__(self, folder: Path, tool: ModuleType) -> None:
        kept, film = np.load(folder / "head.npz"), np.load(folder / "truth.npz")
        self.tool, self.seed = tool, int(folder.name.rpartition("_")[2])
        self.verts_mm, self.tris, self.colors = kept["verts"].astype(float), kept["tris"], kept["colors"]
        self.K, self.poses, self.landmarks = film["K"], film["cam_from_head"], film["landmarks478"]
        self.size_wh = (720, 1280)
        rng = np.random.default_rng(self.seed)
        tool.trajectory(len(self.poses), 65, 18, rng, 420, kept["centre"])  # the room is drawn after it
        self.room = tool.room(*self.size_wh, rng)
        def towards(v: list[float]) -> np.ndarray:
            return np.asarray(v, float) / np.linalg.norm(v)
        self.lights = [(towards([-.5, -.7, -1]), np.array([.62, .58, .54])),
                       (towards([.8, -.2, -.6]), np.array([.22, .24, .28]))]
        self.noise = np.random.default_rng(self.seed)

    def frame(self, number: int, moved_mm: Float[np.ndarray, "v 3"] | None = None) -> Float[np.ndarray, "h w 3"]:
        """One frame as the lens gives it, 0..255, without sensor noise and video compression."""
        width, height = self.size_wh
        shape = self.verts_mm if moved_mm is None else self.verts_mm + moved_mm
        head, pose = self.tool.Head(shape, self.tris), self.poses[number]
        K = self.K.copy()
        K[:2] *= SAMPLES
        K[:2, 2] += (SAMPLES - 1) / 2
        seen, tri, bary = head.cast(K, pose, width * SAMPLES, height * SAMPLES)
        big = np.zeros((*seen.shape, 4), np.float32)
        big[seen, :3] = self.lit(head, tri, bary, pose)
        big[seen, 3] = 1
        small = big.reshape(height, SAMPLES, width, SAMPLES, 4).mean((1, 3))
        picture = small[..., :3] + (1 - small[..., 3:]) * self.room
        return (255 * np.clip(picture, 0, 1) ** (1 / GAMMA)).astype(np.float32)

    def lit(self, head: Any, tri: np.ndarray, bary: np.ndarray, pose: np.ndarray) -> np.ndarray:
        """Colours of what rays met: paint from where the skin was, light where it is (head_capture's formula)."""
        corner = self.tris[tri].astype(int)
        paint = self.paint(np.einsum("nk,nkc->nc", bary, self.verts_mm[corner]), bary, corner)
        unit = lambda v: v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9)  # noqa: E731
        normal = unit(np.einsum("nk,nkc->nc", bary, head.normals[corner])) @ pose[:3, :3].T
        view = unit(-(np.einsum("nk,nkc->nc", bary, head.verts[corner]) @ pose[:3, :3].T + pose[:3, 3]))
        normal = normal * np.where((normal * view).sum(1, keepdims=True) < 0, -1, 1)
        diffuse, gloss = np.full((len(tri), 3), AMBIENT), np.zeros((len(tri), 1))
        for direction, color in self.lights:
            diffuse += np.clip(normal @ direction, 0, None)[:, None] * color
            half = unit(direction + view)
            gloss += 0.06 * np.clip((normal * half).sum(1), 0, None)[:, None] ** 24 * color.mean()
        return np.clip(paint * diffuse + gloss, 0, 1)

    def paint(self, point_mm: np.ndarray, bary: np.ndarray, corner: np.ndarray) -> np.ndarray:
        """Reflectance with pores and freckles of points on the unmoved head."""
        rng, noise = np.random.default_rng(self.seed), self.tool.solid_noise
        albedo = np.einsum("nk,nkc->nc", bary, self.colors[corner].astype(np.float32)) / 255
        grain = sum(weight * noise(point_mm, cell, rng) for cell, weight in OCTAVES)
        spots = np.clip(noise(point_mm, 2.6, rng) - 0.55, 0, 1) * 1.6
        return albedo * (1 + DETAIL * grain[:, None]) * (1 - 2.5 * DETAIL * spots[:, None])


class Surface:
    """A mesh that is asked for its nearest points."""

    def __init__(self, vertices_mm: np.ndarray, faces: np.ndarray) -> None:
        self.vertices_mm, self.faces = vertices_mm, faces
        self.scene = o3d.t.geometry.RaycastingScene()
        self.scene.add_triangles(o3d.core.Tensor(vertices_mm.astype(np.float32)),
                                 o3d.core.Tensor(faces.astype(np.uint32)))

    def nearest(self, points_mm: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Nearest points, their distances, triangles and barycentric coordinates."""
        found = self.scene.compute_closest_points(o3d.core.Tensor(points_mm.astype(np.float32)))
        place, uv = found["points"].numpy().astype(float), found["primitive_uvs"].numpy().astype(float)
        return (place, np.linalg.norm(place - points_mm, axis=1), found["primitive_ids"].numpy().astype(int),
                np.column_stack([1 - uv.sum(1), uv]))


def similarity(a: np.ndarray, b: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation, translation that bring points a to b (Umeyama 1991)."""
    middle_a, middle_b = a.mean(0), b.mean(0)
    U, S, Vt = np.linalg.svd((b - middle_b).T @ (a - middle_a))
    sign = np.array([1, 1, np.sign(np.linalg.det(U @ Vt))])
    R = (U * sign) @ Vt
    scale = (S * sign).sum() / ((a - middle_a) ** 2).sum()
    return scale, R, middle_b - scale * R @ middle_a


def fitted(ours_mm: np.ndarray, ours478_mm: np.ndarray, truth: Truth, face: np.ndarray) -> tuple[
        float, np.ndarray, np.ndarray]:
    """The similarity that lays our head on the true one: landmarks, then the skin of the `face` vertices."""
    known = np.isfinite(truth.landmarks).all(1)
    s, R, t = similarity(ours478_mm[known], truth.landmarks[known])
    surface = Surface(truth.verts_mm, truth.tris)
    for _ in range(12):
        points = s * ours_mm[face] @ R.T + t
        place, distance, _, _ = surface.nearest(points)
        near = distance < np.percentile(distance, 80)
        s, R, t = similarity(ours_mm[face][near], place[near])
    return s, R, t


def carried(displacement_mm: np.ndarray, ours_mm: np.ndarray, faces: np.ndarray, truth: Truth,
            to_truth: tuple[float, np.ndarray, np.ndarray]) -> np.ndarray:
    """Our displacement at the true head's vertices, each from the nearest point of our surface."""
    s, R, t = to_truth
    surface = Surface(s * ours_mm @ R.T + t, faces)
    _, distance, triangle, bary = surface.nearest(truth.verts_mm)
    moved = np.einsum("nk,nkc->nc", bary, displacement_mm[faces[triangle]]) @ R.T * s
    low, high = REACH_MM
    return moved * np.clip((high - distance) / (high - low), 0, 1)[:, None]
