"""A plain painted skin and a quick renderer, so that the landmark detector can be asked where its points fall.

Pictures here are only for the detector: orthonormal lights, painted lips, brows and irises.
"""

import numpy as np
import open3d as o3d

SKIN, LIP, BROW = np.array([205, 160, 138.0]), np.array([168, 88, 84.0]), np.array([70, 50, 42.0])
SCLERA, IRIS, PUPIL = np.array([236, 232, 228.0]), np.array([96, 66, 44.0]), np.array([12, 10, 10.0])


class Studio:
    """Renders one head of the model's topology with a colour per vertex."""

    def __init__(self, vertices_mm, faces, colors, normals):
        self.v, self.f, self.colors, self.normals = vertices_mm.astype(np.float32), faces, colors, normals
        self.scene = o3d.t.geometry.RaycastingScene()
        self.scene.add_triangles(o3d.core.Tensor(self.v), o3d.core.Tensor(faces.astype(np.uint32)))

    def cast(self, K, cam_from_head, size):
        """t, triangle, barycentrics of every pixel of a square picture."""
        rays = o3d.t.geometry.RaycastingScene.create_rays_pinhole(
            o3d.core.Tensor(K), o3d.core.Tensor(cam_from_head), size, size)
        return self.scene.cast_rays(rays)

    def picture(self, K, cam_from_head, size, light):
        """(size, size, 3) uint8 RGB."""
        hit = self.cast(K, cam_from_head, size)
        ok = np.isfinite(hit["t_hit"].numpy())
        tri = hit["primitive_ids"].numpy()[ok].astype(int)
        uv = hit["primitive_uvs"].numpy()[ok]
        bary = np.column_stack([1 - uv.sum(1), uv])
        corner = self.f[tri]
        color = np.einsum("nk,nkc->nc", bary, self.colors[corner])
        normal = np.einsum("nk,nkc->nc", bary, self.normals[corner])
        normal = normal @ cam_from_head[:3, :3].T
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        facing = np.clip(-normal @ light, 0, None)
        gloss = 38 * np.clip(-normal @ ((light + [0, 0, 1]) / np.linalg.norm(light + [0, 0, 1])), 0, None) ** 20
        out = np.full((size, size, 3), 150.0)
        out[ok] = color * (0.22 + 0.85 * facing)[:, None] + gloss[:, None]
        return np.clip(out, 0, 255).astype(np.uint8)

    def surface_under(self, px, K, cam_from_head):
        """Triangle (n,) or -1 and barycentrics (n,3) under pixels, eyes of the surface first met."""
        d = np.column_stack([(px - [K[0, 2], K[1, 2]]) / [K[0, 0], K[1, 1]], np.ones(len(px))])
        R, t = cam_from_head[:3, :3], cam_from_head[:3, 3]
        rays = np.concatenate([np.tile(-R.T @ t, (len(px), 1)), d @ R], 1).astype(np.float32)
        hit = self.scene.cast_rays(o3d.core.Tensor(rays))
        ok = np.isfinite(hit["t_hit"].numpy())
        uv = hit["primitive_uvs"].numpy()
        return np.where(ok, hit["primitive_ids"].numpy().astype(np.int64), -1), np.column_stack([1 - uv.sum(1), uv])

    def distance_along(self, origin, directions):
        """Distance (n,) mm to the first surface from one origin along unit directions (n,3)."""
        rays = np.concatenate([np.tile(origin, (len(directions), 1)), directions], 1).astype(np.float32)
        return self.scene.cast_rays(o3d.core.Tensor(rays))["t_hit"].numpy()


def camera_about(yaw_rad, pitch_rad, size, distance_mm=600.0, centre_mm=(0, -20, 40)):
    """K and cam_from_head of a camera that sees the head turned by yaw and nodded by pitch."""
    from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid

    R = OPENCV_FROM_HEAD @ head_rotation(yaw_rad, pitch_rad, 0.0)
    focal = 1.75 * size
    K = np.array([[focal, 0, size / 2 - 0.5], [0, focal, size / 2 - 0.5], [0, 0, 1.0]])
    return K, rigid(R, np.array([0, 0, distance_mm]) - R @ np.asarray(centre_mm, float))


def iris_colors(sphere_points, radius_share):
    """Colours of an eyeball's vertices: pupil, iris, sclera; radius_share = iris radius / eyeball radius."""
    polar = np.arccos(np.clip(sphere_points[:, 2], -1, 1))
    limbus = np.arcsin(radius_share)
    color = np.where((polar < limbus)[:, None], IRIS, SCLERA)
    return np.where((polar < 0.4 * limbus)[:, None], PUPIL, color)
