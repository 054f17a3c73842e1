"""Rasteriser: what each pixel of a camera sees of a mesh, on the CPU: by scanning its triangles (`scan`), or by casting
rays (Open3D, Embree) through bent lenses, between pixels, and where a mesh reaches the camera.

Letters: p pixel (x, y) in px; n its undistorted normalised image point (x/z, y/z); a ray of direction (n, 1) in camera
axes reaches depth z at parameter t = z, so Embree's hit distance is the depth along the optical axis.
"""

import functools

import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float, Int

from core.camera import Camera, distort
from core.fragments import Fragments
from core.mesh import Mesh
from core.records import given, record
from render.scan import scanned
from render.surface import Surface

UNDISTORT_STEPS = 20
"""Fixed-point steps; a phone lens (|k1| < 0.3) contracts by 2 to 5 per step, so 20 reach double precision nearly."""

MARGIN_PX = 1.5
"""Rays are cast this far around the projected vertices, so that rounding never trims the silhouette."""


BAND_ROWS = 128
"""Rows cast at once: a band's rays stay near the processor's cache, and memory stays small."""


@record
class Hits:
    """What N rays meet: face (N,) or -1, bary (N,3), depth_mm (N,), inf where a ray meets nothing."""

    face: Int[np.ndarray, "n"]
    bary: Float[np.ndarray, "n 3"]
    depth_mm: Float[np.ndarray, "n"]


class Rasterizer:
    """A mesh made ready once (bounding-volume tree) and seen through any number of cameras."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh
        self.surface = Surface(mesh)

    @functools.cached_property
    def _origin_mm(self) -> Float[np.ndarray, "3"]:
        """The middle: single precision is best near zero."""
        return (self.mesh.vertices_mm.min(0) + self.mesh.vertices_mm.max(0)) / 2

    @functools.cached_property
    def _radius_mm(self) -> float:
        """How far the mesh reaches from its middle."""
        return float(np.linalg.norm(self.mesh.vertices_mm - self._origin_mm, axis=1).max())

    @functools.cached_property
    def _scene(self) -> o3d.t.geometry.RaycastingScene:
        """The tree, made for the first ray."""
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(tensor(self.mesh.vertices_mm - self._origin_mm, np.float32),
                            tensor(self.mesh.faces, np.uint32))
        return scene

    def __call__(self, camera: Camera) -> Fragments:
        """Every pixel of the camera."""
        seen = scanned(self.mesh, camera)
        return self.by_rays(camera) if seen is None else seen

    def by_rays(self, camera: Camera) -> Fragments:
        """The same with a ray for each pixel."""
        width, height = camera.size_wh
        rows, columns = seen_rectangle(self.mesh.vertices_mm, camera)
        face = np.full((height, width), -1, np.int32)
        bary = np.zeros((height, width, 3), np.float32)
        depth_mm = np.full((height, width), np.inf, np.float32)
        x = np.arange(columns.start, columns.stop, dtype=float)
        for start in range(rows.start, rows.stop, BAND_ROWS):
            part = slice(start, min(start + BAND_ROWS, rows.stop))
            y = np.arange(part.start, part.stop, dtype=float)
            hits = self._cast(pixel_grid_rays(x, y, camera), camera)
            face[part, columns] = hits.face.reshape(len(y), len(x))
            bary[part, columns] = hits.bary.reshape(len(y), len(x), 3)
            depth_mm[part, columns] = hits.depth_mm.reshape(len(y), len(x))
        return Fragments(face=given(face), bary=given(bary), depth_mm=given(depth_mm))

    def at(self, pixels_px: Float[np.ndarray, "n 2"], camera: Camera) -> Hits:
        """What the camera sees at any image points, also between pixel centres."""
        rotation = camera.cam_from_head[:3, :3]
        return self._cast(normalised_from_px(pixels_px, camera) @ rotation[:2] + rotation[2], camera)

    def _cast(self, direction: Float[np.ndarray, "n 3"], camera: Camera) -> Hits:
        """Follow rays from the camera centre; directions in head axes with unit length along the optical axis."""
        start_mm = self._start_mm(camera)
        rays = np.empty((len(direction), 6), np.float32)
        rays[:, :3] = direction * start_mm + (camera.position_mm - self._origin_mm)
        rays[:, 3:] = direction
        cast = self._scene.cast_rays(tensor(rays, np.float32))
        uv = cast["primitive_uvs"].numpy()
        bary = np.empty((len(rays), 3), np.float32)
        bary[:, 1:] = uv
        bary[:, 0] = 1 - uv[:, 0] - uv[:, 1]
        face = cast["primitive_ids"].numpy().view(np.int32)  # Embree's invalid id is all ones: -1
        bary[face < 0] = 0
        return Hits(face=face, bary=bary, depth_mm=cast["t_hit"].numpy() + np.float32(start_mm))

    def _start_mm(self, camera: Camera) -> float:
        """Depth just in front of the mesh: rays that start there keep single precision good to a thousandth px."""
        towards = camera.cam_from_head[2, :3]
        nearest = self._origin_mm @ towards + camera.cam_from_head[2, 3] - self._radius_mm
        return max(0.0, float(nearest) - 1.0)

    def visible(self, points_mm: Float[np.ndarray, "n 3"], camera: Camera, tolerance_mm: float = 1.0
                ) -> Bool[np.ndarray, "n"]:
        """Whether each head-frame point lies in the picture with no surface more than `tolerance_mm` in front of it."""
        start = camera.position_mm
        towards = points_mm - start
        distance = np.linalg.norm(towards, axis=1)
        direction = towards / np.maximum(distance, 1e-9)[:, None]  # a point at the camera centre has no direction
        rays = np.concatenate([np.broadcast_to(start - self._origin_mm, towards.shape), direction], 1)
        met = self._scene.cast_rays(tensor(rays, np.float32))["t_hit"].numpy()
        px = camera.px_from_points(points_mm)
        with np.errstate(invalid="ignore"):  # NaN behind the camera compares false
            inside = np.all((px >= -0.5) & (px < np.array(camera.size_wh) - 0.5), axis=1)
        return inside & (met >= distance - tolerance_mm)


def rasterize(mesh: Mesh, camera: Camera) -> Fragments:
    """See a mesh through one camera (`core.fragments.Rasterize`); for many cameras keep a `Rasterizer`."""
    return Rasterizer(mesh)(camera)


def tensor(values: np.ndarray, dtype: type) -> o3d.core.Tensor:
    """Open3D's view of an array, copied only when its type or order must change."""
    return o3d.core.Tensor.from_numpy(np.ascontiguousarray(values, dtype))


def pixel_grid_rays(x: Float[np.ndarray, "w"], y: Float[np.ndarray, "h"], camera: Camera) -> Float[np.ndarray, "n 3"]:
    """Ray directions (head axes) of a grid of pixel centres, row by row; without distortion they are affine in x, y."""
    rotation = camera.cam_from_head[:3, :3]
    if np.any(camera.distortion):
        grid = np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1).reshape(-1, 2)
        return normalised_from_px(grid, camera) @ rotation[:2] + rotation[2]
    head_from_px = rotation.T @ np.linalg.inv(camera.K_px)
    across = x[:, None] * head_from_px[:, 0] + head_from_px[:, 2]
    down = y[:, None] * head_from_px[:, 1]
    return (down[:, None] + across[None]).reshape(-1, 3)


def normalised_from_px(pixels_px: Float[np.ndarray, "n 2"], camera: Camera) -> Float[np.ndarray, "n 2"]:
    """Undistorted normalised image points: the fixed point of n = distorted - (distort(n) - n)."""
    inverse_K = np.linalg.inv(camera.K_px)
    distorted = pixels_px @ inverse_K[:2, :2].T + inverse_K[:2, 2]
    point = distorted
    if np.any(camera.distortion):
        for _ in range(UNDISTORT_STEPS):
            point = distorted - (distort(point, camera.distortion) - point)
    return point


def seen_rectangle(points_mm: Float[np.ndarray, "n 3"], camera: Camera) -> tuple[slice, slice]:
    """Rows and columns of the picture that can hold the points' triangles: everything when that is not known.

    With lens distortion the picture edge of a triangle is curved, and points beyond the lens's range fold back: then,
    and when a point lies behind the camera, no pixel is left out.
    """
    width, height = camera.size_wh
    px = camera.px_from_points(points_mm)
    if np.any(camera.distortion) or not np.isfinite(px).all():
        return slice(0, height), slice(0, width)
    low = np.clip(np.floor(px.min(0) - MARGIN_PX), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(px.max(0) + MARGIN_PX) + 1, 0, (width, height)).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))
