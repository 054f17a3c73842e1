"""Nearest surface points that face the same way: a pin on the upper lip must not land on the lower one's back."""

import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from core.mesh import Mesh
from core.surface import SurfacePoints
from recon.scene import closest, scene_of

SAME_WAY = 0.0
"""Cosine between two normals above which the closest point is believed."""
TURN_MM = 8.0
"""In the search among samples, a normal turned by 60 degrees counts as this much distance."""
SAMPLE_MM2 = 1.5
"""Surface per sample."""


class Nearby:
    """A mesh made ready for many queries."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.normals = mesh.vertex_normals()
        self._scene = scene_of(mesh)
        self._samples = evenly(mesh)
        self._tree = cKDTree(np.column_stack([mesh.points(self._samples), TURN_MM * self.at(self._samples)]))

    def at(self, points: SurfacePoints) -> Float[np.ndarray, "n 3"]:
        """Unit normals at surface points."""
        normal = points.on(self.normals, self.mesh.faces)
        return normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)

    def closest(self, points_mm: Float[np.ndarray, "n 3"]) -> SurfacePoints:
        """The nearest surface points, whichever way they face."""
        return closest(self._scene, points_mm)

    def alike(self, points_mm: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]) -> SurfacePoints:
        """The nearest surface points that face as `normals` do: the closest, or else the best of the samples."""
        found = self.closest(points_mm)
        wrong = np.flatnonzero((self.at(found) * normals).sum(1) < SAME_WAY)
        sample = self._tree.query(np.column_stack([points_mm[wrong], TURN_MM * normals[wrong]]))[1]
        face, bary = found.face.copy(), found.bary.copy()
        face[wrong], bary[wrong] = self._samples.face[sample], self._samples.bary[sample]
        return SurfacePoints(face=face, bary=bary)

    def free(self, points_mm: Float[np.ndarray, "n 3"], towards: Float[np.ndarray, "3"]) -> Bool[np.ndarray, "n"]:
        """True where nothing of the mesh stands in one direction."""
        rays = np.concatenate([points_mm, np.tile(towards, (len(points_mm), 1))], 1).astype(np.float32)
        return np.asarray(~self._scene.test_occlusions(o3d.core.Tensor(rays)).numpy())

    def on_border(self, points: SurfacePoints) -> Bool[np.ndarray, "n"]:
        """True where a point lies on a triangle of the mesh's border: beyond it there may be more of the other mesh."""
        faces = self.mesh.faces
        edge = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        _, inverse, count = np.unique(edge, axis=0, return_inverse=True, return_counts=True)
        single = np.zeros(len(self.mesh.vertices_mm), bool)
        single[edge[count[inverse.ravel()] == 1]] = True
        return np.asarray(single[faces[points.face]].any(1))


def evenly(mesh: Mesh, seed: int = 0) -> SurfacePoints:
    """Random points of a mesh, as many per area everywhere."""
    rng = np.random.default_rng(seed)
    area = np.linalg.norm(mesh.face_normals(), axis=1) / 2
    count = max(1000, int(area.sum() / SAMPLE_MM2))
    face = rng.choice(len(area), count, p=area / area.sum())
    a, b = np.sqrt(rng.random(count)), rng.random(count)
    return SurfacePoints(face=face, bary=np.column_stack([1 - a, a * (1 - b), a * b]))
