"""Distances along the surface, from points and from a line on it; and lines on it where a value passes zero."""

import numpy as np
from jaxtyping import Float, Int
from scipy.ndimage import gaussian_filter1d

from core.records import freeze, record
from core.surface import SurfacePoints
from deform3d.compiled import compiled
from deform3d.front import at_points, each, longest, nearest, rings

SAMPLES = 8
"""So many samples of a line to the spacing of the points that are taken on it; it is smoothed over half the spacing."""


class Surface:
    """A mesh's triangles (V vertices in mm), ready to be measured along."""

    def __init__(self, vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> None:
        """The neighbours of every vertex; they are found faster when neighbours have near numbers."""
        self.vertices_mm, self.faces = np.ascontiguousarray(vertices_mm), np.ascontiguousarray(faces, np.int64)
        self.net = rings(self.vertices_mm, self.faces)
        self.longest_mm = longest(self.net)

    def from_points(self, points: SurfacePoints, limit_mm: Float[np.ndarray, "v"],
                    wanted: Int[np.ndarray, "c"] | None = None) -> Float[np.ndarray, "n c"]:
        """The distance from each point to every vertex, or the wanted ones; inf beyond the vertex's limit, and on
        another piece.

        No path runs through vertices beyond their limit: a negative one closes a part.
        """
        wanted = np.arange(len(self.vertices_mm)) if wanted is None else wanted
        column = np.full(len(self.vertices_mm), -1, np.int32)
        column[wanted] = np.arange(len(wanted))
        out = np.asarray(each(self.net, *self.corners(points), limit_mm, column, len(wanted)))
        return out if len(np.unique(wanted)) == len(wanted) else out[:, column[wanted]]

    def from_line(self, line: "Line", limit_mm: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v"]:
        """The distance to a line; inf beyond the vertex's limit."""
        if not len(line.points):
            return np.full(len(self.vertices_mm), np.inf)
        return np.asarray(nearest(self.net, *self.corners(line.points), line.links_mm, limit_mm, self.longest_mm))

    def at(self, away_mm: Float[np.ndarray, "n c"], columns: Int[np.ndarray, "n 3"], points: SurfacePoints) -> Float[
            np.ndarray, "n n"]:
        """Distances between points, from those to vertices; columns: where those of their triangles' corners are."""
        corners = self.vertices_mm[self.faces[points.face]]
        found = np.asarray(at_points(corners, away_mm, columns, points.bary))
        place = points.on(self.vertices_mm, self.faces)
        together = points.face[:, None] == points.face
        return np.where(together, np.linalg.norm(place[:, None] - place, axis=2), found)

    def corners(self, points: SurfacePoints) -> tuple[Int[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
        """The corners of the points' triangles, and how far they are."""
        corner = self.faces[points.face]
        place = points.on(self.vertices_mm, self.faces)
        return corner, np.linalg.norm(self.vertices_mm[corner] - place[:, None], axis=2)


@record
class Line:
    """Points on the surface, and how far it is straight on to the next one; 0 at the end of a line."""

    points: SurfacePoints
    links_mm: Float[np.ndarray, "n"]

    def __post_init__(self) -> None:
        freeze(self, links_mm=(self.links_mm, float))


def edge_line(surface: Surface, scores: Float[np.ndarray, "s v"], step_mm: float,
              far: Float[np.ndarray, "v"] | None = None) -> Line:
    """The line where one of the scores, linear on each triangle, passes zero while all others are negative, as points
    at most `step_mm` apart; only where `far` is negative, too.

    A straight line is exact; a bent one of radius r is taken for chords, up to step^2 / 8 r away.
    """
    far = np.full(len(surface.vertices_mm), -1.0) if far is None else far
    rows = np.asarray(mixed(surface.faces, np.ascontiguousarray(scores), far))
    vertices_mm, faces = surface.vertices_mm, surface.faces[rows]
    at_corners = np.vstack([scores, far])[:, faces].transpose(1, 2, 0)
    of, bary, last = [np.zeros(0, int)], [np.zeros((0, 3))], [np.zeros(0, bool)]
    over = at_corners >= 0
    whole = over.all(1)
    for number in range(len(scores)):
        crossed = over[:, :, number].any(1) & (whole.sum(1) == 0)  # no line where another score is nowhere negative
        if not crossed.any():
            continue
        own, others = at_corners[crossed, :, number], np.delete(at_corners[crossed], number, axis=2)
        face, ends, edges = clipped(*crossings(faces[crossed], own), others)
        face = np.flatnonzero(crossed)[face]
        place = np.einsum("mek,mkd->med", ends, vertices_mm[faces[face]])
        length = np.linalg.norm(place[:, 1] - place[:, 0], axis=1)
        for line in chains(edges):
            along = np.concatenate([[0.0], np.cumsum(length[line])])
            at = np.linspace(0, along[-1], max(int(np.ceil(along[-1] / step_mm)), 1) + 1)
            if (edges[line[-1], 1] == edges[line[0], 0]).all():  # closed: chords begin where they do on a mirrored head
                at = (at + start_of(place[line], along)) % along[-1]
            row = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(line) - 1)
            part = np.clip((at - along[row]) / np.maximum(along[row + 1] - along[row], 1e-12), 0, 1)[:, None]
            first, second = ends[line[row], 0], ends[line[row], 1]
            of, bary = [*of, face[line[row]]], [*bary, first + part * (second - first)]
            last.append(np.arange(len(row)) == len(row) - 1)
    points = SurfacePoints(face=rows[np.concatenate(of)], bary=np.concatenate(bary))
    here = points.on(vertices_mm, surface.faces)
    links = np.linalg.norm(np.diff(here, axis=0, append=here[-1:]), axis=1)
    return Line(points=points, links_mm=np.where(np.concatenate(last), 0.0, links))


@compiled
def mixed(faces, scores, far):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The triangles whose corners do not agree about the sign of some score (S, V), unless all lie too far."""
    out = np.empty(len(faces), np.int64)
    count = 0
    for f in range(len(faces)):
        a, b, c = faces[f]
        if far[a] >= 0 and far[b] >= 0 and far[c] >= 0:
            continue
        for s in range(len(scores)):
            if (scores[s, a] >= 0) != (scores[s, b] >= 0) or (scores[s, b] >= 0) != (scores[s, c] >= 0):
                out[count] = f
                count += 1
                break
    return out[:count]


def clipped(face: Int[np.ndarray, "m"], ends: Float[np.ndarray, "m 2 3"], edges: Int[np.ndarray, "m 2 2"],
            others: Float[np.ndarray, "f 3 o"]) -> tuple[
                Int[np.ndarray, "k"], Float[np.ndarray, "k 2 3"], Int[np.ndarray, "k 2 2"]]:
    """The parts of crossings where all other scores, known at the triangles' corners, are negative; an end that was cut
    off lies on no edge."""
    first, last = np.moveaxis(np.einsum("mek,mko->meo", ends, others[face]), 1, 0)
    cut = first / np.where(first != last, first - last, 1)
    start = np.max(np.where(first >= 0, np.where(last < 0, cut, 2), 0), axis=1, initial=0)
    end = np.min(np.where((last >= 0) & (first < 0), cut, 1), axis=1, initial=1)
    rows = np.flatnonzero(start < end)
    along = ends[rows, 1] - ends[rows, 0]
    part = np.stack([ends[rows, 0] + start[rows, None] * along, ends[rows, 0] + end[rows, None] * along], 1)
    own, number = edges[rows].copy(), np.arange(len(rows))
    own[start[rows] > 0, 0] = np.stack([-1 - 2 * number, -1 - 2 * number], 1)[start[rows] > 0]
    own[end[rows] < 1, 1] = np.stack([-2 - 2 * number, -2 - 2 * number], 1)[end[rows] < 1]
    return face[rows], part, own


def crossings(faces: Int[np.ndarray, "f 3"], values: Float[np.ndarray, "f 3"]) -> tuple[
        Int[np.ndarray, "m"], Float[np.ndarray, "m 2 3"], Int[np.ndarray, "m 2 2"]]:
    """The triangles that the line of value zero crosses (values: at their corners), the barycentric coordinates of both
    its ends there, and the edges (lower vertex first) on which these lie. Values above lie to the left from the first
    end to the second."""
    above = values >= 0
    mixed = np.flatnonzero((above[:, 0] != above[:, 1]) | (above[:, 1] != above[:, 2]))
    single = above[mixed].sum(1) == 1  # the corner that is alone on its side is above
    alone = np.argmax(above[mixed] == single[:, None], axis=1)
    rows, of = np.arange(len(mixed)), values[mixed]
    ends, edges = np.zeros((len(mixed), 2, 3)), np.zeros((len(mixed), 2, 2), np.int64)
    for number in range(2):
        other = (alone + np.where(single, 1 + number, 2 - number)) % 3
        share = of[rows, alone] / (of[rows, alone] - of[rows, other])
        ends[rows, number, alone], ends[rows, number, other] = 1 - share, share
        edges[:, number] = np.sort(np.stack([faces[mixed, alone], faces[mixed, other]], 1), axis=1)
    return mixed, ends, edges


def spaced(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], values: Float[np.ndarray, "v"],
           spacing_mm: float, far: Float[np.ndarray, "v"]) -> SurfacePoints:
    """Points evenly spaced along each line of value zero, about so far apart; none on a line half as short as that.
    Lines end where `far` passes zero.

    A closed line starts where it crosses the mid-plane, at its highest crossing, or else at its highest point; the
    points of an open one stand about its middle, each place counting as it lies inside of `far`. These do not depend on
    the triangles, and a mirrored head has them mirrored; where an open line ends, which does depend, hardly matters.
    """
    rows = np.asarray(mixed(faces, values[None], far))
    here = faces[rows]
    face, ends, edges = clipped(*crossings(here, values[here]), far[here][:, :, None])
    face = rows[face]
    place = np.einsum("mek,mkd->med", ends, vertices_mm[faces[face]])
    outside = np.einsum("mek,mk->me", ends, far[faces[face]])
    found = [SurfacePoints(face=face[:0], bary=ends[:0, 0])]
    for line in chains(edges):
        length = np.linalg.norm(place[line, 1] - place[line, 0], axis=1)
        along = np.concatenate([[0.0], np.cumsum(length)])
        closed = bool((edges[line[-1], 1] == edges[line[0], 0]).all())
        start = start_of(place[line], along) if closed else None
        inside = np.maximum(-np.append(outside[line, 0], outside[line[-1], 1]), 0)
        at = evenly(np.concatenate([place[line, 0], place[line[-1:], 1]]), along, start, inside, spacing_mm)
        row = np.clip(np.searchsorted(along, at, side="right") - 1, 0, len(line) - 1)
        part = np.clip((at - along[row]) / np.maximum(length[row], 1e-12), 0, 1)
        first, last = ends[line[row], 0], ends[line[row], 1]
        found.append(SurfacePoints(face=face[line[row]], bary=first + part[:, None] * (last - first)))
    return SurfacePoints(face=np.concatenate([p.face for p in found]), bary=np.concatenate([p.bary for p in found]))


def evenly(place: Float[np.ndarray, "n 3"], along: Float[np.ndarray, "n"], start: float | None,
           inside: Float[np.ndarray, "n"], spacing_mm: float) -> Float[np.ndarray, "_"]:
    """Where along a line to take points about so far apart; start: of a closed line, whose last place is its first;
    inside: how much each place counts for the middle of an open one.

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
    if start is None:
        counts = np.interp(raw, along, inside)
        middle = float(smooth @ counts / max(counts.sum(), 1e-12))
        at = np.arange(middle % spacing_mm, smooth[-1], spacing_mm)
        return np.interp(at, smooth, fine)
    count = int(round(smooth[-1] / spacing_mm))
    return (np.interp(np.arange(count) * smooth[-1] / max(count, 1), smooth, fine) + start) % along[-1]


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
    if not len(edges):
        return []
    low = edges.min()
    first, last = ((edges[:, k, 0] - low) * (edges.max() - low + 1) + edges[:, k, 1] - low for k in range(2))
    order = np.argsort(first, kind="stable")
    place = order[np.maximum(np.searchsorted(first[order], last, side="right") - 1, 0)]
    after = np.where(first[place] == last, place, -1).tolist()
    todo = dict.fromkeys([*np.flatnonzero(~np.isin(first, last)).tolist(), *range(len(edges))])
    lines = []
    while todo:
        row = next(iter(todo))
        line: list[int] = []
        while row in todo:
            del todo[row]
            line.append(row)
            row = after[row]
        lines.append(np.array(line))
    return lines


def smoothstep(t: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """0 below 0, 1 above 1, and 6 t^5 - 15 t^4 + 10 t^3 between: two continuous derivatives."""
    t = np.clip(t, 0, 1)
    return t**3 * (t * (6 * t - 15) + 10)
