"""Accuracy: how far a reconstructed face lies from a true surface, in millimetres.

Letters: s, R, t with true ~ s R x + t. Two alignments, each from the 478 landmarks and then refined by iterated closest
points: `metric` turns and moves only, which is what somebody who reads millimetres off the head meets; `shape` may
scale too. The face is the true surface within `FACE_MM` of the nose tip that looks forward.
"""

import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float

from core.mesh import Mesh
from core.transforms import umeyama

NOSE_TIP = 4
FACE_MM = 95.0
LEAST_FORWARD = 0.15
"""Cosine between a point's normal and straight ahead; ears, scalp and the mouth's lining are left out."""
ROUNDS = 30


def face_error(found: Mesh, found_landmarks_mm: Float[np.ndarray, "478 3"], true: Mesh,
               true_landmarks_mm: Float[np.ndarray, "478 3"]) -> dict[str, dict[str, float]]:
    """Mean, median and 90th percentile of the distance (mm) from true face points to the found surface.

    Under `metric` and `shape`; `shape` also holds `scale_error_percent`, positive when the found head is too large.
    """
    seen = forward_face(true, true_landmarks_mm[NOSE_TIP])
    points = true.vertices_mm[seen]
    out = {}
    for name, with_scale in (("metric", False), ("shape", True)):
        scale, distance = aligned(found, found_landmarks_mm, points, true_landmarks_mm, with_scale)
        out[name] = {"mean": float(distance.mean()), "median": float(np.median(distance)),
                     "p90": float(np.percentile(distance, 90))}
        if with_scale:
            out[name]["scale_error_percent"] = 100 * (1 / scale - 1)
    return out


def forward_face(true: Mesh, nose_tip_mm: Float[np.ndarray, "3"]) -> Bool[np.ndarray, "v"]:
    """Vertices of the face: near the nose tip, looking forward, and the first surface seen from in front."""
    near = np.linalg.norm(true.vertices_mm - nose_tip_mm, axis=1) < FACE_MM
    forward = true.vertex_normals()[:, 2] > LEAST_FORWARD
    ahead = np.tile([0.0, 0.0, 1.0], (len(true.vertices_mm), 1))
    rays = np.concatenate([true.vertices_mm + 0.05 * ahead, ahead], 1).astype(np.float32)
    free = ~np.isfinite(scene_of(true.vertices_mm, true).cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy())
    return near & forward & free


def aligned(found: Mesh, found_landmarks_mm: Float[np.ndarray, "478 3"], points_mm: Float[np.ndarray, "n 3"],
            true_landmarks_mm: Float[np.ndarray, "478 3"], with_scale: bool) -> tuple[float, Float[np.ndarray, "n"]]:
    """The scale of the best alignment and the distances (mm) that remain."""
    scene = scene_of(found.vertices_mm, found)
    s, R, t = umeyama(found_landmarks_mm, true_landmarks_mm, with_scale=with_scale)
    for _ in range(ROUNDS):
        back = ((points_mm - t) @ R / s).astype(np.float32)
        nearest = scene.compute_closest_points(o3d.core.Tensor(back))["points"].numpy().astype(float)
        off = np.linalg.norm(s * nearest @ R.T + t - points_mm, axis=1)
        kept = off <= 3 * np.median(off) + 1e-6  # an exact fit has a median of zero
        s, R, t = umeyama(nearest[kept], points_mm[kept], with_scale=with_scale)
    back = ((points_mm - t) @ R / s).astype(np.float32)
    return s, s * scene.compute_distance(o3d.core.Tensor(back)).numpy().astype(float)


def scene_of(vertices_mm: Float[np.ndarray, "v 3"], mesh: Mesh) -> o3d.t.geometry.RaycastingScene:
    """Open3D's tree over the mesh's triangles."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(vertices_mm.astype(np.float32)), o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    return scene
