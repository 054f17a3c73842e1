"""Layout: which point of the surface each texel of a texture lies on."""

from functools import cached_property, lru_cache

import numpy as np
import open3d as o3d
from jaxtyping import Bool, Float, Int
from scipy.ndimage import distance_transform_edt

from core.mesh import Mesh
from recon.foreign import bare
from recon.scene import scene_of

BAND_ROWS = 256
"""Rows worked at once: memory stays small."""


class Layout:
    """face (S,T): triangle of every texel or -1; bary (S,T,3). Of a whole texture S = T, and texel centres lie at
    (i + 1/2) / T."""

    def __init__(self, face: Int[np.ndarray, "s t"], bary: Float[np.ndarray, "s t 3"]) -> None:
        self.face, self.bary = face, bary

    @cached_property
    def inside(self) -> Bool[np.ndarray, "s t"]:
        """Texels that lie on the surface."""
        return self.face >= 0

    @cached_property
    def nearest(self) -> tuple[Int[np.ndarray, "s t"], Int[np.ndarray, "s t"]]:
        """Row and column of the surface's texel nearest to every texel: the values that go on beyond an outline."""
        if not self.inside.any():
            rows, columns = np.indices(self.face.shape)
            return rows, columns
        rows, columns = distance_transform_edt(~self.inside, return_distances=False, return_indices=True)
        return rows, columns


_layouts: dict[tuple[bytes, bytes, int], Layout] = {}


def layout(mesh: Mesh, side: int) -> Layout:
    """Rasterise the texture coordinates once per topology: rays down on the flat layout."""
    key = (mesh.uv.tobytes(), mesh.faces_uv.tobytes(), side)
    if key not in _layouts:
        flat = np.column_stack([mesh.uv * side - 0.5, np.zeros(len(mesh.uv))])
        scene = scene_of(bare(flat, mesh.faces_uv))
        face, bary = np.full((side, side), -1, np.int32), np.zeros((side, side, 3), np.float32)
        rays = np.zeros((min(side, BAND_ROWS), side, 6), np.float32)
        rays[..., 0], rays[..., 2], rays[..., 5] = np.arange(side), 1, -1
        for start in range(0, side, BAND_ROWS):
            band = rays[:min(BAND_ROWS, side - start)]
            band[..., 1] = np.arange(start, start + len(band))[:, None]
            hit = scene.cast_rays(o3d.core.Tensor.from_numpy(band))
            rows = slice(start, start + len(band))
            face[rows] = hit["primitive_ids"].numpy().view(np.int32)  # Embree's invalid number is all ones: -1
            bary[rows, :, 1:] = hit["primitive_uvs"].numpy()
        bary[..., 0] = 1 - bary[..., 1] - bary[..., 2]
        _layouts[key] = Layout(face, bary)
    return _layouts[key]


def on_texels(values: Float[np.ndarray, "v c"], mesh: Mesh, flat: Layout) -> Float[np.ndarray, "s t c"]:
    """Per-vertex values at every texel, zero outside the layout."""
    corner = mesh.faces[np.maximum(flat.face, 0)]
    table = values.astype(np.float32)
    out = sum(flat.bary[..., k:k + 1] * table[corner[..., k]] for k in range(3))
    return np.where(flat.face[..., None] >= 0, out, 0).astype(np.float32)


def at_vertices(values: Float[np.ndarray, "t t c"], mesh: Mesh) -> Float[np.ndarray, "v c"]:
    """A texture's value at every vertex; on a seam, the mean of its sides."""
    rows, columns = uv_texels(mesh, values.shape[0])
    return of_sides(values[rows, columns], mesh)


def uv_texels(mesh: Mesh, side: int) -> tuple[Int[np.ndarray, "u"], Int[np.ndarray, "u"]]:
    """Row and column of the texel at every texture coordinate."""
    place = np.clip(mesh.uv * side, 0, side - 1).astype(int)
    return place[:, 1], place[:, 0]


def of_sides(at_uv: Float[np.ndarray, "u c"], mesh: Mesh) -> Float[np.ndarray, "v c"]:
    """Values at texture coordinates, for every vertex the mean of its sides."""
    vertex, corner = sides_of(mesh.faces.tobytes(), mesh.faces_uv.tobytes(), mesh.faces.dtype.str, len(at_uv))
    sides = np.bincount(vertex, minlength=len(mesh.vertices_mm))
    total = np.stack([np.bincount(vertex, at_uv[corner, c], len(sides)) for c in range(at_uv.shape[1])], 1)
    return total / np.maximum(sides, 1)[:, None]


@lru_cache(maxsize=2)
def sides_of(faces: bytes, faces_uv: bytes, kind: str, count: int) -> tuple[Int[np.ndarray, "s"], Int[np.ndarray, "s"]]:
    """Vertex and texture coordinate (of so many) of every side of a vertex, worked out once per topology."""
    vertex, corner = (np.frombuffer(part, kind).astype(np.int64) for part in (faces, faces_uv))
    return np.divmod(np.unique(vertex * count + corner), count)
