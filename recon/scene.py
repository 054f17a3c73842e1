"""Scene: a mesh made ready for rays and nearest points. `analysis` has its own, for it knows nothing of ours."""

import numpy as np
import open3d as o3d
from jaxtyping import Float

from core.mesh import Mesh
from core.surface import SurfacePoints


def scene_of(mesh: Mesh) -> o3d.t.geometry.RaycastingScene:
    """Open3D's tree over the mesh's triangles (single precision)."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices_mm.astype(np.float32)),
                        o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    return scene


def cast(scene: o3d.t.geometry.RaycastingScene, origin_mm: Float[np.ndarray, "*n 3"],
         towards: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n"]:
    """How many lengths of `towards` each ray goes before it meets the mesh; inf where it meets nothing."""
    rays = np.concatenate([origin_mm, towards], -1).astype(np.float32)
    return np.asarray(scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy())


def closest(scene: o3d.t.geometry.RaycastingScene, points_mm: Float[np.ndarray, "n 3"]) -> SurfacePoints:
    """The nearest points of the mesh."""
    near = scene.compute_closest_points(o3d.core.Tensor(points_mm.astype(np.float32)))
    uv = near["primitive_uvs"].numpy().astype(float)
    return SurfacePoints(face=near["primitive_ids"].numpy().astype(np.int32),
                         bary=np.column_stack([1 - uv.sum(1), uv]))
