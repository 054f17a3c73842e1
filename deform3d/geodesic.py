"""Distances along the surface, by the heat method on a refined patch around the sources.

d(v, h) distance (mm) from pinned point h to vertex v along the mesh. The heat method (Crane, Weischedel, Wardetzky,
"Geodesics in heat", ACM ToG 2013; potpourri3d) solves from vertices. A source inside a triangle takes the barycentric
mean of its corners' distances: exact to second order in the edge length far away, but wrong close by. There, within
NEAR_EDGES edges, the straight distance takes over smoothly; on a smooth surface it is exact to third order.
"""

from collections.abc import Sequence

import numpy as np
import potpourri3d
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from core.mesh import Mesh
from core.records import freeze, record
from core.subdivide import split_all
from core.surface import SurfacePoints

NEAR_EDGES = (2.0, 5.0)
"""Straight distance below the first number of edge lengths, heat method above the second, blended between."""
WELL_AWAY = 0.1
"""A point with a smaller weight lies so near an edge that a vertex there would make threads of triangles."""
MOST_LEVELS = 3
"""A patch is refined at most this often: 64 times the triangles."""


@record
class Patch:
    """The part of a mesh around some points, refined; other connected pieces of the mesh are left out.

    vertices_mm, faces: the refined surface, whose first K vertices are the mesh's vertices `kept` (K,), and whose last
    ones are the points that became vertices of their own: `own` says where on the refined `old_faces` they lie.
    points: the given points, pinned to the refined surface. coarse_faces: triangles before refinement, over `kept`.
    """

    vertices_mm: Float[np.ndarray, "w 3"]
    faces: Int[np.ndarray, "g 3"]
    points: SurfacePoints
    kept: Int[np.ndarray, "k"]
    coarse_faces: Int[np.ndarray, "f 3"]
    levels: int
    old_faces: Int[np.ndarray, "h 3"]
    own: SurfacePoints

    def __post_init__(self) -> None:
        freeze(self, vertices_mm=(self.vertices_mm, float), faces=(self.faces, np.int32), kept=(self.kept, np.int64),
               coarse_faces=(self.coarse_faces, np.int32), old_faces=(self.old_faces, np.int32))

    def refined(self, values: Float[np.ndarray, "v"]) -> Float[np.ndarray, "w"]:
        """Values of the whole mesh's vertices, interpolated to the patch."""
        out, faces = values[self.kept][:, None], self.coarse_faces
        for _ in range(self.levels):
            fine = split_all(faces, len(out))
            out, faces = fine.values(out), fine.faces
        return np.concatenate([out, self.own.on(out, self.old_faces)])[:, 0]


def patch_around(mesh: Mesh, points: SurfacePoints, within_mm: float, edge_mm: float) -> Patch:
    """The triangles within a straight `within_mm` of the points, refined until their mean edge is below `edge_mm`.

    A path along the surface that is shorter than `within_mm` lies inside, so distances up to there are not changed.
    """
    kept, faces, pinned = cut_out(mesh, points, within_mm)
    vertices, levels = mesh.vertices_mm[kept], 0
    coarse = faces
    while mean_edge_mm(vertices, faces) > edge_mm and levels < MOST_LEVELS:
        fine = split_all(faces, len(vertices))
        vertices, faces, pinned, levels = fine.values(vertices), fine.faces, fine.points(pinned), levels + 1
    old = faces
    vertices, faces, pinned, own = with_points(vertices, faces, pinned)
    return Patch(vertices_mm=vertices, faces=faces, points=pinned, kept=kept, coarse_faces=coarse, levels=levels,
                 old_faces=old, own=own)


def with_points(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], points: SurfacePoints) -> tuple[
        Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"], SurfacePoints, SurfacePoints]:
    """The surface with points as vertices of their own, so that a distance from one costs one solve instead of three.

    Only those that lie alone in a triangle, well away from its edges; the last value is where they lay.
    """
    times = np.bincount(points.face, minlength=len(faces))[points.face]
    rows = np.flatnonzero((times == 1) & (points.bary.min(1) > WELL_AWAY))
    own, count = points[rows], len(vertices)
    face, bary, split = points.face.copy(), points.bary.copy(), faces.copy()
    extra = []
    for number, row in enumerate(rows):
        a, b, c = faces[points.face[row]]
        split[points.face[row]] = [a, b, count + number]
        extra += [[b, c, count + number], [c, a, count + number]]
        bary[row] = [0, 0, 1]
    new = np.concatenate([split, np.reshape(extra, (-1, 3)).astype(split.dtype)])
    return (np.concatenate([vertices, own.on(vertices, faces)]), new, SurfacePoints(face=face, bary=bary), own)


def cut_out(mesh: Mesh, points: SurfacePoints, within_mm: float) -> tuple[
        Int[np.ndarray, "k"], Int[np.ndarray, "f 3"], SurfacePoints]:
    """Vertices, triangles and points of the mesh near the points, on the connected pieces that hold them."""
    centres = mesh.points(points)
    near = np.zeros(len(mesh.vertices_mm), bool)
    for centre in centres:
        near |= np.linalg.norm(mesh.vertices_mm - centre, axis=1) <= within_mm
    chosen = near[mesh.faces].any(1)
    chosen[points.face] = True
    rows = np.flatnonzero(chosen)
    piece = components(len(mesh.vertices_mm), mesh.faces[rows])
    rows = rows[np.isin(piece[mesh.faces[rows, 0]], piece[mesh.faces[points.face, 0]])]
    kept, faces = np.unique(mesh.faces[rows], return_inverse=True)
    pinned = SurfacePoints(face=np.searchsorted(rows, points.face), bary=points.bary)
    return kept, faces.reshape(-1, 3).astype(np.int32), pinned


class Heat:
    """Heat-method solvers of a patch, one for each connected piece: factored once, for all sources."""

    def __init__(self, patch: Patch) -> None:
        """Factor; pieces that hold no source are factored in vain, so `patch_around` leaves them out."""
        piece = components(len(patch.vertices_mm), patch.faces)
        self.count = len(piece)
        self.pieces = []
        for number in np.unique(piece[patch.faces[:, 0]]):
            members = np.flatnonzero(piece == number)
            local = np.searchsorted(members, patch.faces[piece[patch.faces[:, 0]] == number])
            solver = potpourri3d.MeshHeatMethodDistanceSolver(patch.vertices_mm[members], local)
            self.pieces.append((members, solver))

    def away_mm(self, sources: Sequence[Int[np.ndarray, "_"]]) -> Float[np.ndarray, "s w"]:
        """The distance to each set of source vertices; inf on pieces that the set does not touch."""
        out = np.full((len(sources), self.count), np.inf)
        for members, solver in self.pieces:
            for row, group in enumerate(sources):
                here = np.searchsorted(members, group[np.isin(group, members)])
                if len(here):
                    out[row, members] = solver.compute_distance_multisource(here)
        return out


def distances_mm(patch: Patch, sets: Sequence[Int[np.ndarray, "_"]], heat: Heat | None = None,
                 points: bool = True) -> tuple[Float[np.ndarray, "n w"], Float[np.ndarray, "s w"]]:
    """Surface distances to all refined vertices, inf on a connected piece without the source.

    First from every point of the patch (from none without `points`); second from sets of refined vertices, exactly 0 on
    the set. heat: the patch's solvers, when there is more to ask of them.
    """
    heat = heat or Heat(patch)
    centres = patch.points if points else patch.points[:0]
    used = centres.bary > 1e-9  # a corner without weight adds nothing but a solve
    corners, slot = np.unique(patch.faces[centres.face][used], return_inverse=True)
    away = heat.away_mm([*corners[:, None], *(rim(patch.faces, members) for members in sets)])
    far = np.zeros((len(centres), len(patch.vertices_mm)))
    np.add.at(far, np.nonzero(used)[0], centres.bary[used][:, None] * away[slot])
    straight = np.linalg.norm(patch.vertices_mm - centres.on(patch.vertices_mm, patch.faces)[:, None], axis=2)
    edges = far / mean_edge_mm(patch.vertices_mm, patch.faces)
    blend = smoothstep((edges - NEAR_EDGES[0]) / (NEAR_EDGES[1] - NEAR_EDGES[0]))
    from_sets = np.maximum(away[len(corners):], 0)
    for row, members in zip(from_sets, sets, strict=True):
        row[members] = 0
    return straight + blend * (far - straight), from_sets


def rim(faces: Int[np.ndarray, "g 3"], members: Int[np.ndarray, "_"]) -> Int[np.ndarray, "_"]:
    """The members of a vertex set that touch others: a heat source without an inside, whose noise would bias it."""
    inside = np.isin(faces, members)
    return np.unique(faces[inside & ~inside.all(1, keepdims=True)])


def components(count: int, faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "v"]:
    """The connected piece of every vertex, by shared edges."""
    rows, columns = faces.ravel(), faces[:, [1, 2, 0]].ravel()
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def mean_edge_mm(vertices: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> float:
    """Mean length of the triangles' edges."""
    corners = vertices[faces]
    return float(np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).mean())


def smoothstep(t: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """0 below 0, 1 above 1, and 6 t^5 - 15 t^4 + 10 t^3 between: two continuous derivatives."""
    t = np.clip(t, 0, 1)
    return t**3 * (t * (6 * t - 15) + 10)
