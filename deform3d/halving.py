"""Halving: a mesh's long edges cut at their middles until none is left, in compiled loops; `core.subdivide`, which says
how triangles are cut, is its slow twin.

Which of two diagonals cuts a triangle with two long edges depends on its shape alone, so that a mirrored head is cut as
its mirror image.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from core.subdivide import PATTERNS, Split
from core.surface import SurfacePoints
from deform3d.compiled import compiled, gap

CHILDREN = np.array([len(PATTERNS[code]) for code in range(8)])
CUTS = np.array([[*PATTERNS[code], *[(0, 0, 0)] * (4 - len(PATTERNS[code]))] for code in range(8)])


class Halved(NamedTuple):
    """One round: the order in which it names the corners of every coarse triangle, and the split."""

    turn: Int[np.ndarray, "f 3"]
    split: Split

    def points(self, coarse: SurfacePoints) -> SurfacePoints:
        """The same points on the finer mesh."""
        bary = np.take_along_axis(coarse.bary, self.turn[coarse.face], 1)
        return self.split.points(SurfacePoints(face=coarse.face, bary=bary))


def halved(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], largest_mm: float) -> tuple[
        list[Halved], Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"]]:
    """Every round that it takes until no edge is longer, and the mesh after them."""
    rounds: list[Halved] = []
    while True:
        long = np.asarray(longer(vertices_mm, faces, largest_mm))
        if not long.any():
            return rounds, vertices_mm, faces
        turn = np.asarray(turns(vertices_mm, faces, long))
        ends, faces, parent, nodes = cut(faces, long, turn, len(vertices_mm))
        rounds.append(Halved(turn, Split(ends=ends, faces=faces, parent=parent, nodes=nodes)))
        vertices_mm = rounds[-1].split.values(vertices_mm)


@compiled
def longer(vertices, faces, largest):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Which edges ab, bc, ca (F, 3) are longer."""
    out = np.empty(faces.shape, np.bool_)
    for f in range(len(faces)):
        for k in range(3):
            out[f, k] = gap(vertices[faces[f, k]], vertices[faces[f, (k + 1) % 3]]) > largest
    return out


@compiled
def turns(vertices, faces, long):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The order in which to name the corners of every triangle (F, 3), so that one with two halved edges is cut along
    the shorter diagonal: it is cut from the first corner to the middle of the edge across."""
    out = np.empty(faces.shape, np.int64)
    for f in range(len(faces)):
        start = 0
        if int(long[f, 0]) + int(long[f, 1]) + int(long[f, 2]) == 2:
            whole = 0 if not long[f, 0] else 1 if not long[f, 1] else 2
            following, before, apex = faces[f, whole], faces[f, (whole + 1) % 3], faces[f, (whole + 2) % 3]
            one, other = 0.0, 0.0
            for c in range(3):
                one += (vertices[before, c] - (vertices[apex, c] + vertices[following, c]) / 2)**2
                other += (vertices[following, c] - (vertices[apex, c] + vertices[before, c]) / 2)**2
            start = (whole + 1) % 3 if one < other else whole
        for k in range(3):
            out[f, k] = (start + k) % 3
    return out


@compiled
def cut(faces, long, turn, vertices):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """`core.subdivide.split` of the triangles with corners and edges named in turn: its ends, faces, parent and nodes.
    New vertices are numbered by the lower, then the higher end of their edge."""
    start, higher, number = middles(faces, long, vertices)
    ends = np.empty((number[-1], 2), np.int64)
    for v in range(vertices):
        for n in range(number[v], number[v + 1]):
            ends[n] = v, higher[start[v] + n - number[v]]
    count = 0
    for f in range(len(faces)):
        count += CHILDREN[int(long[f, 0]) + 2 * int(long[f, 1]) + 4 * int(long[f, 2])]
    fine, nodes, parent = np.empty((count, 3), np.int64), np.empty((count, 3), np.int64), np.empty(count, np.int64)
    corner, at = np.empty(6, np.int64), 0
    for f in range(len(faces)):
        code = 0
        for k in range(3):
            a, b = faces[f, turn[f, k]], faces[f, turn[f, (k + 1) % 3]]
            corner[k] = a
            if long[f, turn[f, k]]:
                code += 1 << k
                low, high = min(a, b), max(a, b)
                place = start[low]
                while higher[place] != high:
                    place += 1
                corner[3 + k] = vertices + number[low] + place - start[low]
        for child in range(CHILDREN[code]):
            for k in range(3):
                nodes[at, k] = CUTS[code, child, k]
                fine[at, k] = corner[CUTS[code, child, k]]
            parent[at] = f
            at += 1
    return ends, fine, parent, nodes


@compiled
def middles(faces, long, vertices):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The long edges, each once: of every vertex the higher ends of those of which it is the lower one, in order, from
    `start` on in `higher`; and how many edges come before its first (V + 1,)."""
    start = np.zeros(vertices + 1, np.int64)
    for f in range(len(faces)):
        for k in range(3):
            if long[f, k]:
                start[min(faces[f, k], faces[f, (k + 1) % 3]) + 1] += 1
    start = np.cumsum(start)
    higher, count, number = np.empty(start[-1], np.int64), np.zeros(vertices, np.int64), np.zeros(
        vertices + 1, np.int64)
    for f in range(len(faces)):
        for k in range(3):
            if long[f, k]:
                low, high = min(faces[f, k], faces[f, (k + 1) % 3]), max(faces[f, k], faces[f, (k + 1) % 3])
                place = start[low] + count[low]
                while place > start[low] and higher[place - 1] > high:
                    higher[place] = higher[place - 1]
                    place -= 1
                if place > start[low] and higher[place - 1] == high:  # seen from the other side: close up again
                    for n in range(place, start[low] + count[low]):
                        higher[n] = higher[n + 1]
                else:
                    higher[place] = high
                    count[low] += 1
    for v in range(vertices):
        number[v + 1] = number[v] + count[v]
    return start, higher, number
