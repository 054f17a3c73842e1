"""Questions put to a surface: what is nearest to a point, what does an onlooker see along straight lines.

Lengths are millimetres, axes the head frame's (x the patient's left, y up, z forward).
"""

import numpy as np
import open3d as o3d

from core.mesh import Mesh
from core.surface import SurfacePoints
from tools.head_model.sample import components

FORWARD, SIDEWAYS = np.array([0.0, 0, 1]), np.array([1.0, 0, 0])
AWAY = 400.0


def scene_of(mesh: Mesh):
    """A mesh ready for rays."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices_mm.astype(np.float32)),
                        o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    return scene


def closest(mesh: Mesh, points_mm, among=slice(None)) -> SurfacePoints:
    """The nearest surface points of a mesh; `among` picks the triangles that count."""
    row = np.arange(len(mesh.faces))[among]
    part = Mesh(vertices_mm=mesh.vertices_mm, faces=mesh.faces[row], uv=mesh.uv, faces_uv=mesh.faces_uv[row])
    near = scene_of(part).compute_closest_points(o3d.core.Tensor(np.asarray(points_mm, np.float32)))
    uv = near["primitive_uvs"].numpy().astype(float)
    return settled(mesh, row[near["primitive_ids"].numpy()], np.column_stack([1 - uv.sum(1), uv]))


def settled(mesh: Mesh, face, bary) -> SurfacePoints:
    """Surface points to 1e-4 of a triangle; one on an edge or a corner is counted to the first triangle there, of the
    largest texture island.

    Which of the triangles that meet in an edge a search names is chance; so a build gives the same file twice.
    """
    bary = np.round(np.clip(bary, 0, 1), 4)
    face, bary = face.copy(), bary / bary.sum(1, keepdims=True)
    island = components(mesh.faces_uv, len(mesh.uv))[mesh.faces_uv[:, 0]]
    for row in np.flatnonzero((bary == 0).any(1)):
        weight = dict(zip(mesh.faces[face[row]].tolist(), bary[row].tolist(), strict=True))
        needed = [vertex for vertex, share in weight.items() if share > 0]
        there = np.flatnonzero(np.isin(mesh.faces, needed).sum(1) == len(needed))
        face[row] = there[np.argmin(island[there])]
        bary[row] = [weight.get(vertex, 0) for vertex in mesh.faces[face[row]].tolist()]
    return SurfacePoints(face=face, bary=bary)


class Sight:
    """The surface as an onlooker sees it."""

    def __init__(self, mesh: Mesh):
        self.mesh, self.scene = mesh, scene_of(mesh)

    def cast(self, origins, directions):
        """Points (n,3) first met by rays, NaN where nothing is, and their triangles (n,), -1 there."""
        rays = np.concatenate(np.broadcast_arrays(origins, directions), 1).astype(np.float32)
        hit = self.scene.cast_rays(o3d.core.Tensor(rays))
        t = hit["t_hit"].numpy().astype(float)
        ok = np.isfinite(t)
        face = np.where(ok, hit["primitive_ids"].numpy().astype(np.int64), -1)
        return rays[:, :3] + np.where(ok, t, np.nan)[:, None] * rays[:, 3:], face

    def front(self, x, y):
        """Points (n,3) and triangles (n,) seen from straight in front at x, y."""
        x, y = np.broadcast_arrays(x, y)
        return self.cast(np.column_stack([x, y, np.full(len(x), AWAY)]), -FORWARD[None])

    def left(self, y, z):
        """How far (mm, x) the left side reaches at heights y and depths z (same shape); NaN where nothing is."""
        points = self.cast(np.column_stack([np.full(y.size, AWAY), y.ravel(), z.ravel()]), -SIDEWAYS[None])[0]
        return points[:, 0].reshape(y.shape)

    def profile(self, y_high, y_low, step=0.25):
        """Mid-sagittal profile (y, z) from above down: the foremost point of the surface at each height."""
        y = np.arange(y_high, y_low, -step)
        z = self.front(np.zeros(len(y)), y)[0][:, 2]
        return y[np.isfinite(z)], z[np.isfinite(z)]
