"""The surface that a head is measured along: its own triangles, the large ones split, so that a distance and the line
where it passes a value are known as well below the jaw as at the nose, and depend little on how the head was meshed."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.subdivide import Split, split
from core.surface import SurfacePoints
from deform3d.compiled import compiled
from deform3d.geodesic import Surface

LARGEST_MM = 5.0
"""Longer edges are halved until none is left."""
CELL_MM = 6.0
"""Vertices are kept in the order of cells of this size: what is near lies near in memory, too."""


class Ground:
    """One head's ground. Its first vertices are not the head's: `own` names those."""

    def __init__(self, mesh: Mesh) -> None:
        """Split, and ready to be measured along."""
        vertices, faces = mesh.vertices_mm, mesh.faces.astype(np.int64)
        self.splits: list[tuple[Int[np.ndarray, "f 3"], Split]] = []
        while (long := edges_mm(vertices, faces) > LARGEST_MM).any():
            turn = turns(vertices, faces, long)
            one = split(np.take_along_axis(faces, turn, 1), len(vertices), np.take_along_axis(long, turn, 1))
            self.splits.append((turn, one))
            vertices, faces = one.values(vertices), one.faces.astype(np.int64)
        self.order = np.lexsort(np.floor(vertices / CELL_MM).T)
        place = np.empty(len(vertices), np.int64)
        place[self.order] = np.arange(len(vertices))
        self.own = place[:len(mesh.vertices_mm)]
        self.surface = Surface(vertices[self.order], place[faces])
        self.vertices_mm, self.faces = self.surface.vertices_mm, self.surface.faces

    def values(self, of_mesh: Float[np.ndarray, "v k"]) -> Float[np.ndarray, "w k"]:
        """Values known at the head's vertices and linear on its triangles, at the ground's vertices."""
        for _, one in self.splits:
            of_mesh = one.values(of_mesh)
        return of_mesh[self.order]

    def points(self, of_mesh: SurfacePoints) -> SurfacePoints:
        """The same points on the ground's triangles."""
        for turn, one in self.splits:
            bary = np.take_along_axis(of_mesh.bary, turn[of_mesh.face], 1)
            of_mesh = one.points(SurfacePoints(face=of_mesh.face, bary=bary))
        return of_mesh


def turns(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], halved: Bool[np.ndarray, "f 3"]) -> Int[
        np.ndarray, "f 3"]:
    """The order in which to name the corners of every triangle, so that one with two halved edges is cut along the
    shorter diagonal, as on a mirrored head: `split` cuts from the first corner to the middle of the edge across."""
    whole, start = np.argmin(halved, axis=1), np.zeros(len(faces), np.int64)
    row = np.flatnonzero(halved.sum(1) == 2)
    k = whole[row]
    following, before, apex = (vertices_mm[faces[row, (k + n) % 3]] for n in (0, 1, 2))
    first = ((before - (apex + following) / 2)**2).sum(1) < ((following - (apex + before) / 2)**2).sum(1)
    start[row] = np.where(first, k + 1, k) % 3
    return (start[:, None] + np.arange(3)) % 3


def edges_mm(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "f 3"]:
    """The lengths of the edges ab, bc, ca."""
    corners = vertices_mm[faces]
    return np.sqrt(((corners - corners[:, [1, 2, 0]])**2).sum(2))


@lru_cache(maxsize=2)
def ground_of(mesh: Mesh) -> Ground:
    """A head's ground, kept for the last heads."""
    return Ground(mesh)


@lru_cache(maxsize=64)
def region_of(mesh: Mesh, anatomy: Anatomy, name: str) -> Float[np.ndarray, "w"]:
    """The weight of a region at the ground's vertices."""
    return ground_of(mesh).values(anatomy.region(name).astype(float)[:, None])[:, 0]


@compiled
def from_nearest(vertices, places):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """How far (mm) every vertex lies straight from the nearest of some places."""
    out = np.empty(len(vertices))
    for v in range(len(vertices)):
        least = np.inf
        for p in range(len(places)):
            x, y, z = vertices[v, 0] - places[p, 0], vertices[v, 1] - places[p, 1], vertices[v, 2] - places[p, 2]
            least = min(least, x * x + y * y + z * z)
        out[v] = np.sqrt(least)
    return out
