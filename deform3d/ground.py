"""The surface that a head is measured along: its own triangles, the large ones split, so that a distance and the line
where it passes a value are known as well below the jaw as at the nose, and depend little on how the head was meshed."""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.surface import SurfacePoints
from deform3d.compiled import compiled, gap
from deform3d.geodesic import Surface
from deform3d.halving import halved

LARGEST_MM = 5.0
"""Longer edges are halved until none is left."""
PART_OF = 20_000
"""Of a head with fewer triangles, as one photo's, only what an operation can reach is made ready: a quarter for a nose,
and most photos are asked for one operation. A film's head is asked for many, which share its ground."""
CELL_MM = 6.0
"""Vertices are kept in the order of cells of this size: what is near lies near in memory, too."""


class Ground:
    """One head's ground, or a part of it. Its first vertices are not the head's: `own` names those, -1 where a part has
    none."""

    def __init__(self, mesh: Mesh, kept: Bool[np.ndarray, "f"] | None = None) -> None:
        """Split, and ready to be measured along. kept: the triangles of the part; None: all."""
        kept = np.ones(len(mesh.faces), bool) if kept is None else kept
        self.number = np.cumsum(kept) - 1
        within = np.zeros(len(mesh.vertices_mm), bool)
        within[mesh.faces[kept]] = True
        self.used = np.flatnonzero(within)
        vertices, faces = mesh.vertices_mm[self.used], (np.cumsum(within) - 1)[mesh.faces[kept]]
        self.rounds, vertices, faces = halved(vertices, faces, LARGEST_MM)
        self.order = np.argsort(cells(vertices), kind="stable")
        place = np.empty(len(vertices), np.int64)
        place[self.order] = np.arange(len(vertices))
        self.own = np.full(len(mesh.vertices_mm), -1)
        self.own[self.used] = place[:len(self.used)]
        self.surface = Surface(vertices[self.order], place[faces])
        self.vertices_mm, self.faces = self.surface.vertices_mm, self.surface.faces

    def values(self, of_mesh: Float[np.ndarray, "v k"]) -> Float[np.ndarray, "w k"]:
        """Values known at the head's vertices and linear on its triangles, at the ground's vertices."""
        on_ground = of_mesh[self.used]
        for one in self.rounds:
            on_ground = one.split.values(on_ground)
        return on_ground[self.order]

    def points(self, of_mesh: SurfacePoints) -> SurfacePoints:
        """The same points, of triangles that were kept, on the ground's."""
        of_mesh = SurfacePoints(face=self.number[of_mesh.face], bary=of_mesh.bary)
        for one in self.rounds:
            of_mesh = one.points(of_mesh)
        return of_mesh


def cells(vertices_mm: Float[np.ndarray, "v 3"]) -> Int[np.ndarray, "v"]:
    """The number of the cell in which every vertex lies."""
    cell = np.floor(vertices_mm / CELL_MM).astype(np.int64)
    cell -= cell.min(0, initial=0)
    x, y, _ = cell.max(0, initial=0) + 1
    return (cell[:, 2] * y + cell[:, 1]) * x + cell[:, 0]


@compiled
def around(vertices, faces, places, reach):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Which triangles may come within reach (mm) of some place: by the circle that holds each."""
    out, middle = np.zeros(len(faces), np.bool_), np.zeros(3)
    for f in range(len(faces)):
        a, b, c = vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]]
        for k in range(3):
            middle[k] = (a[k] + b[k] + c[k]) / 3
        square = (reach + max(gap(middle, a), gap(middle, b), gap(middle, c)))**2
        for p in range(len(places)):
            x, y, z = middle[0] - places[p, 0], middle[1] - places[p, 1], middle[2] - places[p, 2]
            if x * x + y * y + z * z <= square:
                out[f] = True
                break
    return out


@lru_cache(maxsize=2)
def ground_of(mesh: Mesh) -> Ground:
    """A head's ground, kept for the last heads."""
    return Ground(mesh)


def ground_near(mesh: Mesh, places_mm: Float[np.ndarray, "n 3"], reach_mm: float) -> Ground:
    """The ground where it comes within reach of some places, at least; all of it, kept, of a head of many triangles."""
    if len(mesh.faces) > PART_OF:
        return ground_of(mesh)
    return Ground(mesh, np.asarray(around(mesh.vertices_mm, mesh.faces, places_mm, reach_mm)))


@lru_cache(maxsize=8)
def regions_on(ground: Ground, anatomy: Anatomy, names: tuple[str, ...]) -> Float[np.ndarray, "r w"]:
    """The weights of regions at the ground's vertices."""
    weights = np.array([anatomy.region(name) for name in names], float)
    return np.ascontiguousarray(ground.values(weights.T).T)


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
