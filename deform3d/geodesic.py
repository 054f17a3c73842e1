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
MOST_LEVELS = 3
"""A patch is refined at most this often: 64 times the triangles."""


@record
class Patch:
    """The part of a mesh around some points, refined; other connected pieces of the mesh are left out.

    vertices_mm, faces: the refined surface, whose first K vertices are the mesh's vertices `kept` (K,).
    points: the given points, pinned to the refined surface. coarse_faces: triangles before refinement, over `kept`.
    """

    vertices_mm: Float[np.ndarray, "w 3"]
    faces: Int[np.ndarray, "g 3"]
    points: SurfacePoints
    kept: Int[np.ndarray, "k"]
    coarse_faces: Int[np.ndarray, "f 3"]
    levels: int

    def __post_init__(self) -> None:
        freeze(self, vertices_mm=(self.vertices_mm, float), faces=(self.faces, np.int32), kept=(self.kept, np.int64),
               coarse_faces=(self.coarse_faces, np.int32))

    def refined(self, values: Float[np.ndarray, "v"]) -> Float[np.ndarray, "w"]:
        """Values of the whole mesh's vertices, interpolated to the patch."""
        out, faces = values[self.kept][:, None], self.coarse_faces
        for _ in range(self.levels):
            fine = split_all(faces, len(out))
            out, faces = fine.values(out), fine.faces
        return out[:, 0]


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
    return Patch(vertices_mm=vertices, faces=faces, points=pinned, kept=kept, coarse_faces=coarse, levels=levels)


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


def distances_mm(patch: Patch, sets: Sequence[Int[np.ndarray, "_"]]) -> tuple[Float[np.ndarray, "n w"], Float[
        np.ndarray, "s w"]]:
    """Surface distances to all refined vertices, inf on a connected piece without the source.

    First from every point of the patch; second from sets of refined vertices, exactly 0 on the set.
    """
    points = patch.points
    used = points.bary > 1e-9  # a corner without weight adds nothing but a solve
    corners, slot = np.unique(patch.faces[points.face][used], return_inverse=True)
    rims = [rim(patch.faces, members) for members in sets]
    heat = heat_mm(patch.vertices_mm, patch.faces, [*corners[:, None], *rims])
    far = np.zeros((len(points), len(patch.vertices_mm)))
    np.add.at(far, np.nonzero(used)[0], points.bary[used][:, None] * heat[slot])
    straight = np.linalg.norm(patch.vertices_mm - points.on(patch.vertices_mm, patch.faces)[:, None], axis=2)
    edges = far / mean_edge_mm(patch.vertices_mm, patch.faces)
    blend = smoothstep((edges - NEAR_EDGES[0]) / (NEAR_EDGES[1] - NEAR_EDGES[0]))
    from_sets = np.maximum(heat[len(corners):], 0)
    for row, members in zip(from_sets, sets, strict=True):
        row[members] = 0
    return straight + blend * (far - straight), from_sets


def rim(faces: Int[np.ndarray, "g 3"], members: Int[np.ndarray, "_"]) -> Int[np.ndarray, "_"]:
    """The members of a vertex set that touch others: a heat source without an inside, whose noise would bias it."""
    inside = np.isin(faces, members)
    return np.unique(faces[inside & ~inside.all(1, keepdims=True)])


def heat_mm(vertices: Float[np.ndarray, "w 3"], faces: Int[np.ndarray, "g 3"],
            sources: Sequence[Int[np.ndarray, "_"]]) -> Float[np.ndarray, "s w"]:
    """Heat-method distance to each set of source vertices; inf on connected pieces that the set does not touch."""
    piece = components(len(vertices), faces)
    out = np.full((len(sources), len(vertices)), np.inf)
    for number in np.unique(piece[np.concatenate(sources)]):
        members = np.flatnonzero(piece == number)
        local = np.searchsorted(members, faces[piece[faces[:, 0]] == number])
        solver = potpourri3d.MeshHeatMethodDistanceSolver(vertices[members], local)
        for row, group in enumerate(sources):
            here = np.searchsorted(members, group[piece[group] == number])
            if len(here):
                out[row, members] = solver.compute_distance_multisource(here)
    return out


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
