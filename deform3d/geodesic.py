"""Distances along the surface, from points and from a line on it; and lines on it where a value passes zero."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter1d

from core.surface import SurfacePoints
from deform3d.front import at_points, each, nearest, rings

SAMPLES = 8
"""So many samples of a line to the spacing of the points that are taken on it; it is smoothed over half the spacing."""
CELL_MM = 6.0
"""Vertices are kept in the order of cells of this size."""


class Surface:
    """A mesh's triangles (V vertices in mm), or those that touch a part of its vertices, ready to be measured along."""

    def __init__(self, vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"],
                 part: Bool[np.ndarray, "v"] | None = None) -> None:
        """part: what lies beyond it is infinitely far, and no point that is measured from may lie there."""
        self.vertices_mm, self.faces = np.ascontiguousarray(vertices_mm), np.ascontiguousarray(faces, np.int64)
        chosen = self.faces if part is None else self.faces[part[self.faces].any(1)]
        used = np.zeros(len(vertices_mm), bool)
        used[chosen] = True
        kept = np.flatnonzero(used)
        self.kept = kept[np.lexsort(np.floor(vertices_mm[kept] / CELL_MM).T)]  # what is near lies near in memory, too
        self.local = np.full(len(vertices_mm), -1)
        self.local[self.kept] = np.arange(len(kept))
        self.net = rings(self.vertices_mm[self.kept], self.local[chosen])

    def from_points(self, points: SurfacePoints, limit_mm: Float[np.ndarray, "v"]) -> Float[np.ndarray, "n v"]:
        """The distance from each point to every vertex; inf beyond the vertex's limit, and on another piece.

        No path runs through vertices beyond their limit: a negative one closes a part.
        """
        out = np.full((len(points), len(self.vertices_mm)), np.inf)
        out[:, self.kept] = each(self.net, *self.corners(points), limit_mm[self.kept])
        return out

    def from_line(self, line: SurfacePoints, limit_mm: Float[np.ndarray, "v"], slack_mm: float) -> Float[
            np.ndarray, "v"]:
        """The distance to the nearest of the points of a `level_line`; inf beyond the vertex's limit.

        slack_mm: an edge of the mesh; how far a point's front runs into the part that another point is nearer to.
        """
        out = np.full(len(self.vertices_mm), np.inf)
        if len(line):
            out[self.kept] = nearest(self.net, *self.corners(line), limit_mm[self.kept], slack_mm)
        return out

    def at(self, away_mm: Float[np.ndarray, "s v"], points: SurfacePoints, own: SurfacePoints) -> Float[
            np.ndarray, "s n"]:
        """Distances at points, from those at the vertices; own: the sources, to which a straight line may lead."""
        found = np.asarray(at_points(self.vertices_mm, self.faces, away_mm, points.face, points.bary))
        here, there = (p.on(self.vertices_mm, self.faces) for p in (own, points))
        together = own.face[:, None] == points.face
        return np.where(together, np.linalg.norm(here[:, None] - there, axis=2), found)

    def corners(self, points: SurfacePoints) -> tuple[Int[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """The corners of the points' triangles, as numbers of `net`, and how far they are."""
        corner = self.faces[points.face]
        place = points.on(self.vertices_mm, self.faces)
        return self.local[corner], np.linalg.norm(self.vertices_mm[corner] - place[:, None], axis=2)


def level_line(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], values: Float[np.ndarray, "v"],
               step_mm: float) -> SurfacePoints:
    """Points at most `step_mm` apart on the line where values, linear on each triangle, pass zero.

    Zero itself counts as above. Taken for the line, they lie too far by at most step^2 / 8 e at a distance e from it.
    """
    face, ends, _ = crossings(faces, values)
    place = np.einsum("mek,mkd->med", ends, vertices_mm[faces[face]])
    count = np.maximum(np.ceil(np.linalg.norm(place[:, 1] - place[:, 0], axis=1) / step_mm), 1).astype(int)
    row = np.repeat(np.arange(len(face)), count)
    part = (np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count) + 0.5) / count[row]
    return SurfacePoints(face=face[row], bary=ends[row, 0] + part[:, None] * (ends[row, 1] - ends[row, 0]))


def crossings(faces: Int[np.ndarray, "f 3"], values: Float[np.ndarray, "v"]) -> tuple[
        Int[np.ndarray, "m"], Float[np.ndarray, "m 2 3"], Int[np.ndarray, "m 2 2"]]:
    """The triangles that the line of value zero crosses, the barycentric coordinates of both its ends there, and the
    edges (lower vertex first) on which these lie. Values above lie to the left from the first end to the second."""
    above = (values >= 0)[faces]
    mixed = np.flatnonzero((above[:, 0] != above[:, 1]) | (above[:, 1] != above[:, 2]))
    single = above[mixed].sum(1) == 1  # the corner that is alone on its side is above
    alone = np.argmax(above[mixed] == single[:, None], axis=1)
    rows, of = np.arange(len(mixed)), values[faces[mixed]]
    ends, edges = np.zeros((len(mixed), 2, 3)), np.zeros((len(mixed), 2, 2), np.int64)
    for number in range(2):
        other = (alone + np.where(single, 1 + number, 2 - number)) % 3
        share = of[rows, alone] / (of[rows, alone] - of[rows, other])
        ends[rows, number, alone], ends[rows, number, other] = 1 - share, share
        edges[:, number] = np.sort(np.stack([faces[mixed, alone], faces[mixed, other]], 1), axis=1)
    return mixed, ends, edges


def spaced(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], values: Float[np.ndarray, "v"],
           spacing_mm: float) -> SurfacePoints:
    """Points evenly spaced along each line of value zero, about so far apart; none on a line half as short as that.

    A closed line starts where it crosses the mid-plane, at its highest crossing, or else at its highest point: places
    that do not depend on the triangles, and that a mirrored head has mirrored.
    """
    face, ends, edges = crossings(faces, values)
    place = np.einsum("mek,mkd->med", ends, vertices_mm[faces[face]])
    found = [SurfacePoints(face=face[:0], bary=ends[:0, 0])]
    for line in chains(edges):
        length = np.linalg.norm(place[line, 1] - place[line, 0], axis=1)
        along = np.concatenate([[0.0], np.cumsum(length)])
        closed = bool((edges[line[-1], 1] == edges[line[0], 0]).all())
        start = start_of(place[line], along) if closed else None
        at = evenly(np.concatenate([place[line, 0], place[line[-1:], 1]]), along, start, spacing_mm)
        row = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(line) - 1)
        part = np.clip((at - along[row]) / np.maximum(length[row], 1e-12), 0, 1)
        first, last = ends[line[row], 0], ends[line[row], 1]
        found.append(SurfacePoints(face=face[line[row]], bary=first + part[:, None] * (last - first)))
    return SurfacePoints(face=np.concatenate([p.face for p in found]), bary=np.concatenate([p.bary for p in found]))


def evenly(place: Float[np.ndarray, "n 3"], along: Float[np.ndarray, "n"], start: float | None,
           spacing_mm: float) -> Float[np.ndarray, "_"]:
    """Where along a line to take points about so far apart; start: of a closed line, whose last place is its first.

    Lengths are those of the line drawn smoothly, so that the jags of its triangles do not count.
    """
    if along[-1] < spacing_mm / 2:
        return np.zeros(0)
    fine = np.linspace(0, along[-1], int(np.ceil(along[-1] / spacing_mm * SAMPLES)) + 1)
    raw = fine if start is None else (fine + start) % along[-1]  # a mirrored line, run the other way, has these places
    drawn = np.stack([np.interp(raw, along, place[:, k]) for k in range(3)], 1)
    if start is None:
        drawn = gaussian_filter1d(drawn, SAMPLES / 2, axis=0, mode="nearest")
    else:
        drawn[:-1] = gaussian_filter1d(drawn[:-1], SAMPLES / 2, axis=0, mode="wrap")
        drawn[-1] = drawn[0]
    smooth = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(drawn, axis=0), axis=1))])
    count = int(round(smooth[-1] / spacing_mm))
    at = (np.arange(count) + (0.5 if start is None else 0.0)) * smooth[-1] / max(count, 1)
    return (np.interp(at, smooth, fine) + (start or 0.0)) % along[-1]


def start_of(place: Float[np.ndarray, "m 2 3"], along: Float[np.ndarray, "n"]) -> float:
    """Where along a closed line its count begins."""
    crossing = np.flatnonzero((place[:, 0, 0] >= 0) != (place[:, 1, 0] >= 0))
    if len(crossing):
        x = place[crossing, :, 0]
        part = x[:, 0] / (x[:, 0] - x[:, 1])
        height = place[crossing, 0, 1] + part * (place[crossing, 1, 1] - place[crossing, 0, 1])
        best = int(np.argmax(height))
        row = crossing[best]
        return float(along[row] + part[best] * (along[row + 1] - along[row]))
    return float(along[np.argmax(place[:, 0, 1])])


def chains(edges: Int[np.ndarray, "m 2 2"]) -> list[Int[np.ndarray, "_"]]:
    """Segments (from an edge to an edge) joined to lines, each in order."""
    after = {tuple(first): row for row, first in enumerate(edges[:, 0].tolist())}
    ends = {tuple(last) for last in edges[:, 1].tolist()}
    todo = dict.fromkeys([row for first, row in after.items() if first not in ends] + list(range(len(edges))))
    lines = []
    while todo:
        row: int | None = next(iter(todo))
        line: list[int] = []
        while row is not None and row in todo:
            del todo[row]
            line.append(row)
            row = after.get(tuple(edges[row, 1].tolist()))
        lines.append(np.array(line))
    return lines


def smoothstep(t: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """0 below 0, 1 above 1, and 6 t^5 - 15 t^4 + 10 t^3 between: two continuous derivatives."""
    t = np.clip(t, 0, 1)
    return t**3 * (t * (6 * t - 15) + 10)
