"""Lips that touch go as one: neither a jaw nor a filler parts lips that are closed, nor closes lips that are open.

x a vertex of one lip or of the lining behind it, p the nearest point of the other lip or its lining; e how far x is
from the line of the mouth, c from its ends; a the way from the red border of its own lip to x, b that from the other
lip's, round the corner of the mouth; f a field, w its window, S the smooth step:

    s(x)  = (1 - S((|p - x| - T) / (P - T))) (1 - S((e - D) / B)) S(c / C) S((b - a) / 2 C)
                                                      1 where the lips touch, within T; 0 from P on, deep in the mouth,
                                                      and at its corners, where both lips are one
    f(x) -> f(x) + s w (f(p) - f(x)) / 2

So both lips meet half way between what each would do alone, and it fades as they part from each other on the way out of
the seam. What is still stays still, and f stays linear in what the handles are asked. The half is an assumption: lips
at rest slide on each other, and no study says how far either one goes. It is also what a closed mouth means here: the
patient closes the lips before and after, whatever the jaws below do.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.records import freeze, record
from core.surface import SurfacePoints
from deform3d.compiled import compiled
from deform3d.geodesic import smoothstep
from deform3d.nearest import BLOCK, Triangles, off, on_triangle

LINE = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308)
"""Along the closed mouth, from the patient's right corner to the left: MediaPipe's numbers."""
UPPER, LOWER = (40, 39, 37, 0, 267, 269, 270), (91, 181, 84, 17, 314, 405, 321)
"""The borders of the red. They lie far enough from the seam for each to be on its own lip on every head."""
TOUCH_MM, PARTED_MM = 0.5, 6.0
"""T and P. Lips of a face model touch to half a millimetre. Nearer than P the fade would fold the lips, which turn away
from each other within some millimetres; further it would reach the handles at their borders."""
DEEP_MM, BEHIND_MM = 8.0, 4.0
"""D and B: lips are about so thick; further in the lining goes its own way."""
CORNER_MM = 6.0
"""C: nearer to the corners lips part by the bend of the skin, and the nearest point of the other one jumps."""
FAR_MM = 1000.0
"""For what is on no way from the lips."""


@record
class Seal:
    """The lip seal: N vertices that touch, the point of the other lip before each, and s of the formula."""

    vertex: Int[np.ndarray, "n"]
    across: SurfacePoints
    touch: Float[np.ndarray, "n"]

    def __post_init__(self) -> None:
        freeze(self, vertex=(self.vertex, int), touch=(self.touch, float))


@lru_cache(maxsize=2)
def seal_of(mesh: Mesh, anatomy: Anatomy) -> Seal:
    """A head's lip seal, kept for the last heads; empty when the lips are open."""
    line, *borders = (mesh.points(anatomy.pins478[list(pins)]) for pins in (LINE, UPPER, LOWER))
    face = about_the_mouth(mesh, line, borders)
    vertex, corner = np.unique(mesh.faces[face], return_inverse=True)
    corner, place = corner.reshape(-1, 3), mesh.vertices_mm[vertex]
    depth, way = from_line(place, line), ways(place, corner, borders)
    lip = np.where(depth < DEEP_MM + BEHIND_MM, np.sign(way[1] - way[0]), 0)
    row, bary, away = facing(place, corner, lip)
    corner_mm = np.linalg.norm(place - line[[0, -1], None], axis=2).min(0)
    touch = ((1 - smoothstep((away - TOUCH_MM) / (PARTED_MM - TOUCH_MM)))
             * (1 - smoothstep((depth - DEEP_MM) / BEHIND_MM)) * smoothstep(corner_mm / CORNER_MM)
             * smoothstep(np.abs(way[1] - way[0]) / (2 * CORNER_MM)))
    kept = np.flatnonzero((row >= 0) & (touch > 0))
    return Seal(vertex=vertex[kept], across=SurfacePoints(face=face[row[kept]], bary=bary[kept]), touch=touch[kept])


def about_the_mouth(mesh: Mesh, line_mm: Float[np.ndarray, "k 3"], borders_mm: list[Float[np.ndarray, "b 3"]]) -> Int[
        np.ndarray, "f"]:
    """The triangles in a box about the line of the mouth that holds the borders of the red and what may touch."""
    apart = np.linalg.norm(np.concatenate(borders_mm)[:, None] - line_mm, axis=2).min(1).max()
    low, high = line_mm.min(0) - apart - DEEP_MM - BEHIND_MM, line_mm.max(0) + apart + DEEP_MM + BEHIND_MM
    near = ((mesh.vertices_mm > low) & (mesh.vertices_mm < high)).all(1)
    return np.flatnonzero(near[mesh.faces].all(1))


def ways(place_mm: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "f 3"],
         borders_mm: list[Float[np.ndarray, "b 3"]]) -> Float[np.ndarray, "2 n"]:
    """How far it is along the triangles' edges from the border of either lip; FAR_MM where none is reached."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    length = np.linalg.norm(place_mm[ends[:, 0]] - place_mm[ends[:, 1]], axis=1)
    net = coo_array((length + 1e-9, ends.T), shape=(len(place_mm),) * 2).tocsr()  # a length of 0 is no edge
    start = [np.argmin(np.linalg.norm(place_mm - border[:, None], axis=2), axis=1) for border in borders_mm]
    way = [dijkstra(net, directed=False, indices=np.unique(of), min_only=True) for of in start]
    return np.minimum(way, FAR_MM)


def facing(place_mm: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "f 3"], lip: Float[np.ndarray, "n"]) -> tuple[
        Int[np.ndarray, "n"], Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """The triangle of the other lip that comes nearest to each vertex (-1: none within P), the barycentric coordinates
    of the nearest point, and how far it is. lip: 1 upper, -1 lower, 0 neither."""
    of = np.where((lip[faces] == lip[faces[:, :1]]).all(1), lip[faces[:, 0]], 0)
    row, bary, away = np.full(len(lip), -1), np.zeros((len(lip), 3)), np.full(len(lip), PARTED_MM)
    for own in (-1, 1):
        here, there = np.flatnonzero(lip == own), np.flatnonzero(of == -own)
        if len(there):
            t = Triangles(place_mm[faces[there]])
            found, bary[here], away[here] = across(t.corners, t.middle, t.reach, t.block, t.block_reach,
                                                   place_mm[here], PARTED_MM)
            row[here] = np.where(found >= 0, there[found], -1)
    return row, bary, away


def from_line(place_mm: Float[np.ndarray, "n 3"], line_mm: Float[np.ndarray, "k 3"]) -> Float[np.ndarray, "n"]:
    """How far places lie from a line through some points."""
    away = np.full(len(place_mm), np.inf)
    for start, end in zip(line_mm[:-1], line_mm[1:], strict=True):
        along = end - start
        part = np.clip((place_mm - start) @ along / max(along @ along, 1e-12), 0, 1)
        away = np.minimum(away, ((place_mm - start - part[:, None] * along)**2).sum(1))
    return np.sqrt(away)


def as_one(seal: Seal, values: Float[np.ndarray, "c m"], over: Float[np.ndarray, "n m"], window: Float[np.ndarray, "c"],
           column: Int[np.ndarray, "v"]) -> Float[np.ndarray, "c m"]:
    """Values at C rows of the head's vertices (`column` says which), with both lips of the seam as one. over: the
    values at `seal.across`."""
    out, row = values.copy(), column[seal.vertex]
    moves = row >= 0
    row, share = row[moves], seal.touch[moves] / 2
    out[row] += (share * window[row])[:, None] * (over[moves] - values[row])
    return out


@compiled
def across(  # type: ignore[no-untyped-def]  # noqa: ANN201
        corners, middle, reach, block, block_reach, points, most):  # noqa: ANN001
    """For every point (N, 3) the nearest of some triangles within `most`: its number or -1, barycentric coordinates of
    the nearest point, and how far it is. Triangles lie in blocks, as in `Triangles`; what was nearest to the last point
    comes first, for it is likely to be near the next, too."""
    face, bary, away = np.full(len(points), -1), np.zeros((len(points), 3)), np.full(len(points), most)
    last = 0
    for n in range(len(points)):
        x, y, z = points[n]
        for b in range(-1, len(block)):
            first, end = b * BLOCK, min((b + 1) * BLOCK, len(corners))
            if b < 0:
                first, end = last, last + 1
            elif outside(x - block[b, 0], y - block[b, 1], z - block[b, 2], away[n] + block_reach[b]):
                continue
            for t in range(first, end):
                if outside(x - middle[t, 0], y - middle[t, 1], z - middle[t, 2], away[n] + reach[t]):
                    continue
                found = on_triangle(corners[t], points[n])
                here = off(corners[t], found, points[n])
                if here < away[n]:
                    face[n], away[n], last = t, here, t
                    bary[n, 0], bary[n, 1], bary[n, 2] = found
    return face, bary, away


@compiled
def outside(x, y, z, radius):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a place lies no nearer than so."""
    return x * x + y * y + z * z >= radius * radius
