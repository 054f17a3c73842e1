"""Mesh: a triangle mesh in millimetres in the head frame, with its texture coordinates."""

import functools

import numpy as np
from jaxtyping import Float, Int

from core.records import freeze, record
from core.surface import SurfacePoints


@record
class Mesh:
    """vertices_mm (V,3), faces (F,3) counter-clockwise from outside; uv (T,2) and faces_uv (F,3).

    Texture coordinates follow glTF: (0, 0) is the top-left corner of the picture, v runs down.
    """

    vertices_mm: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "t 2"]
    faces_uv: Int[np.ndarray, "f 3"]

    def __post_init__(self) -> None:
        freeze(self, vertices_mm=(self.vertices_mm, float), faces=(self.faces, np.int32),
               uv=(self.uv, float), faces_uv=(self.faces_uv, np.int32))
        if self.faces.size and not 0 <= self.faces.min() <= self.faces.max() < len(self.vertices_mm):
            raise ValueError("a face names a vertex that does not exist")
        if self.faces_uv.shape != self.faces.shape:
            raise ValueError("faces and faces_uv must have the same shape")
        if self.faces_uv.size and not 0 <= self.faces_uv.min() <= self.faces_uv.max() < len(self.uv):
            raise ValueError("a face names a texture coordinate that does not exist")

    def moved(self, displacement_mm: Float[np.ndarray, "v 3"]) -> "Mesh":
        """The mesh with every vertex displaced."""
        return self.with_vertices(self.vertices_mm + displacement_mm)

    def with_vertices(self, vertices_mm: Float[np.ndarray, "v 3"]) -> "Mesh":
        """The same topology and texture coordinates with other positions."""
        return Mesh(vertices_mm=vertices_mm, faces=self.faces, uv=self.uv, faces_uv=self.faces_uv)

    def points(self, pins: SurfacePoints) -> Float[np.ndarray, "n 3"]:
        """Positions (mm) of pinned points."""
        return pins.on(self.vertices_mm, self.faces)

    def face_normals(self) -> Float[np.ndarray, "f 3"]:
        """Outward normals with length twice the triangle's area (mm2)."""
        return self._face_normals.copy()

    @functools.cached_property
    def _face_normals(self) -> Float[np.ndarray, "f 3"]:
        a, b, c = (self.vertices_mm[self.faces[:, k]].T for k in range(3))
        (ux, uy, uz), (vx, vy, vz) = b - a, c - a
        return np.stack([uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx], 1)  # a third of np.cross's time

    def vertex_normals(self) -> Float[np.ndarray, "v 3"]:
        """Unit normals, area weighted; zero for a vertex without a face."""
        return self._vertex_normals.copy()

    @functools.cached_property
    def _vertex_normals(self) -> Float[np.ndarray, "v 3"]:
        normals = scatter_add(len(self.vertices_mm), self.faces, np.repeat(self.face_normals(), 3, axis=0))
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        return normals / np.where(length > 0, length, 1)


def scatter_add(count: int, faces: Int[np.ndarray, "f 3"], corner_values: Float[np.ndarray, "c 3"]) -> Float[
        np.ndarray, "v 3"]:
    """Sum values given per face corner (row-major over faces) into `count` vertices."""
    index = faces.ravel()
    return np.stack([np.bincount(index, corner_values[:, k], minlength=count) for k in range(3)], 1)
