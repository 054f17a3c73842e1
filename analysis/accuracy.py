"""Accuracy: how far a reconstructed face lies from a true surface, in millimetres.

Letters: s, R, t with true ~ s R x + t. Two alignments, each from stable landmarks and then refined by iterated closest
points: `metric` turns and moves only, which is what somebody who reads millimetres off the head meets; `shape` may
scale too. The face is the true surface within `FACE_MM` of the nose tip that can be seen from in front or from
`SIDES_DEG` to either side, sampled evenly by area. x is the person's left, y up, z out of the face.
"""

import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float, Int

from core.mesh import Mesh
from core.records import freeze, record
from core.transforms import umeyama

NOSE_TIP, CHIN = 4, 152
FACE_MM, PART_MM = 95.0, 25.0
"""Radius of the face around the nose tip, and of the nose and the chin around theirs."""
SIDES_DEG = (-60.0, 0.0, 60.0)
LEAST_FACING = 0.15
"""Cosine between a point's normal and the direction it is seen from."""
LIFT_MM = 0.05
"""A ray that asks what is in front of a point starts this far off it, so as not to meet its own triangle."""
SAMPLES, DRAWN, SEED = 40_000, 240_000, 0
ROUNDS, STILL = 40, 1e-5
STABLE = np.array([33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 2, 98, 327, 61, 291, 0, 17, 10, 151, 9, 152, 234, 454,
                   127, 356])
"""Landmarks that a detector repeats well, all over the face: the first alignment."""
LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409)
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 48, 278, 64, 294, 129, 358)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)
INNER = np.array([*LIPS, *RIGHT_EYE, *LEFT_EYE, *NOSE, *BROWS])


@record
class Placed:
    """A found head laid on the true one: true ~ scale R x + t; how far (mm) each true point lies from it."""

    scale: float
    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    points_mm: Float[np.ndarray, "n 3"]
    distance_mm: Float[np.ndarray, "n"]

    def __post_init__(self) -> None:
        freeze(self, R=(self.R, float), t=(self.t, float), points_mm=(self.points_mm, float),
               distance_mm=(self.distance_mm, float))

    def of(self, found_mm: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "m 3"]:
        """Points of the found head (mm), laid on the true one."""
        return self.scale * found_mm @ self.R.T + self.t

    @property
    def scale_error_percent(self) -> float:
        """Positive when the found head is too large."""
        return 100 * (1 / self.scale - 1)


def face_error(found: Mesh, found_landmarks_mm: Float[np.ndarray, "478 3"], true: Mesh,
               true_landmarks_mm: Float[np.ndarray, "478 3"]) -> dict[str, dict[str, float]]:
    """`errors` of both alignments, under `metric` and `shape`; `shape` also holds `scale_error_percent`."""
    both = placed(found, found_landmarks_mm, true, true_landmarks_mm)
    out = {name: errors(one, found_landmarks_mm, true_landmarks_mm) for name, one in both.items()}
    out["shape"]["scale_error_percent"] = both["shape"].scale_error_percent
    return out


def errors(one: Placed, found_landmarks_mm: Float[np.ndarray, "478 3"],
           true_landmarks_mm: Float[np.ndarray, "478 3"]) -> dict[str, float]:
    """mean, median, p90 of the distance (mm) from true face points to the found surface; nose and chin: its mean there.

    inner_landmarks: median distance between found and true landmarks of lips, eyes, nose and brows.
    """
    def near(landmark: int) -> float:
        part = np.linalg.norm(one.points_mm - true_landmarks_mm[landmark], axis=1) < PART_MM
        return float(one.distance_mm[part].mean()) if part.any() else float("nan")

    off = np.linalg.norm(one.of(found_landmarks_mm)[INNER] - true_landmarks_mm[INNER], axis=1)
    return {"mean": float(one.distance_mm.mean()), "median": float(np.median(one.distance_mm)),
            "p90": float(np.percentile(one.distance_mm, 90)), "nose": near(NOSE_TIP), "chin": near(CHIN),
            "inner_landmarks": float(np.nanmedian(off))}


def placed(found: Mesh, found_landmarks_mm: Float[np.ndarray, "478 3"], true: Mesh,
           true_landmarks_mm: Float[np.ndarray, "478 3"]) -> dict[str, Placed]:
    """The found head laid on the true one without scaling (`metric`) and with (`shape`).

    Landmarks that were not seen are NaN. ValueError: too few were seen, or no face lies around the nose tip.
    """
    use = STABLE[np.isfinite(found_landmarks_mm[STABLE]).all(1) & np.isfinite(true_landmarks_mm[STABLE]).all(1)]
    if len(use) < 4 or not np.isfinite(true_landmarks_mm[[NOSE_TIP, CHIN]]).all():
        raise ValueError("the truth has too few landmarks to align with")
    points = face_points(true, true_landmarks_mm[NOSE_TIP])
    if not len(points):
        raise ValueError("the truth has no surface around its nose tip that looks along +z")
    scene = scene_of(found)
    return {name: aligned(scene, points, found_landmarks_mm[use], true_landmarks_mm[use], name == "shape")
            for name in ("metric", "shape")}


def aligned(found: o3d.t.geometry.RaycastingScene, points_mm: Float[np.ndarray, "n 3"],
            found_landmarks_mm: Float[np.ndarray, "k 3"], true_landmarks_mm: Float[np.ndarray, "k 3"],
            with_scale: bool) -> Placed:
    """The best alignment and what remains: iterated closest points, far ones left out."""
    s, R, t = umeyama(found_landmarks_mm, true_landmarks_mm, with_scale=with_scale)
    for _ in range(ROUNDS):
        near = nearest(found, (points_mm - t) @ R / s)
        off = np.linalg.norm(s * near @ R.T + t - points_mm, axis=1)
        kept = off < max(3 * np.median(off), 1e-6)  # an exact fit has a median of zero
        before, turned, moved = s, R, t
        s, R, t = umeyama(near[kept], points_mm[kept], with_scale=with_scale)
        if abs(s - before) + np.abs(R - turned).max() + np.abs(t - moved).max() < STILL:
            break
    near = nearest(found, (points_mm - t) @ R / s)
    return Placed(scale=s, R=R, t=t, points_mm=points_mm,
                  distance_mm=np.linalg.norm(s * near @ R.T + t - points_mm, axis=1))


def face_points(true: Mesh, nose_tip_mm: Float[np.ndarray, "3"]) -> Float[np.ndarray, "n 3"]:
    """At most `SAMPLES` points (mm) of the face, evenly by area; the same ones every time."""
    points, face = sampled(true, DRAWN, np.random.default_rng(SEED))
    near = np.linalg.norm(points - nose_tip_mm, axis=1) < FACE_MM
    normals = true.face_normals()[face[near]]
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return points[near][seen(scene_of(true), points[near], normals / np.where(length > 0, length, 1))][:SAMPLES]


def face_vertices(mesh: Mesh, nose_tip_mm: Float[np.ndarray, "3"]) -> Bool[np.ndarray, "v"]:
    """The vertices of a mesh that belong to the face, by the same rule."""
    near = np.linalg.norm(mesh.vertices_mm - nose_tip_mm, axis=1) < FACE_MM
    near[near] = seen(scene_of(mesh), mesh.vertices_mm[near], mesh.vertex_normals()[near])
    return near


def seen(scene: o3d.t.geometry.RaycastingScene, points_mm: Float[np.ndarray, "n 3"],
         normals: Float[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n"]:
    """Points of the scene's surface that are seen from in front or from one of the sides."""
    found = np.zeros(len(points_mm), bool)
    for yaw in np.radians(SIDES_DEG):
        towards = np.array([np.sin(yaw), 0.0, np.cos(yaw)])
        rays = np.concatenate([points_mm + LIFT_MM * towards, np.tile(towards, (len(points_mm), 1))], 1)
        hit = scene.cast_rays(o3d.core.Tensor(rays.astype(np.float32)))["t_hit"].numpy()
        found |= ~np.isfinite(hit) & (normals @ towards > LEAST_FACING)
    return found


def sampled(mesh: Mesh, count: int, rng: np.random.Generator) -> tuple[
        Float[np.ndarray, "n 3"], Int[np.ndarray, "n"]]:
    """Points evenly by area and their faces: a triangle by its share, then a point of its parallelogram, folded in.

    mathworld.wolfram.com/TrianglePointPicking.html. The numbers are drawn in trimesh's order, whose points these are.
    """
    area = np.cumsum(np.linalg.norm(mesh.face_normals(), axis=1))
    face = np.searchsorted(area, rng.random(count) * area[-1])
    along = rng.random((count, 2, 1))
    outside = along.sum((1, 2)) > 1
    along[outside] = 1 - along[outside]
    a, b, c = (mesh.vertices_mm[mesh.faces[face, k]] for k in range(3))
    return a + along[:, 0] * (b - a) + along[:, 1] * (c - a), face


def nearest(scene: o3d.t.geometry.RaycastingScene, points_mm: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3"]:
    """The closest points of a surface (mm; single precision, about 1e-5 mm on a head)."""
    query = o3d.core.Tensor(points_mm.astype(np.float32))
    return scene.compute_closest_points(query)["points"].numpy().astype(float)


def scene_of(mesh: Mesh) -> o3d.t.geometry.RaycastingScene:
    """Open3D's tree over the mesh's triangles."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices_mm.astype(np.float32)),
                        o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    return scene
