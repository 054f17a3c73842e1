"""Subdivision: a finer mesh with the same surface, everywhere or only where it is wanted.

V vertices, F triangles of the coarse mesh. Chosen edges are halved; a triangle becomes two, three or four depending on
how many of its edges were (so no vertex hangs on a neighbour's edge). The first V fine vertices are the coarse ones,
unmoved.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.records import freeze, record
from core.surface import SurfacePoints

NODES = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0.5, 0.5, 0], [0, 0.5, 0.5], [0.5, 0, 0.5]])
"""Barycentric coordinates of a triangle's corners a b c and of the middles of its edges ab bc ca."""
PATTERNS = {0b000: [(0, 1, 2)], 0b001: [(0, 3, 2), (3, 1, 2)], 0b010: [(0, 1, 4), (0, 4, 2)],
            0b100: [(0, 1, 5), (5, 1, 2)], 0b011: [(3, 1, 4), (0, 3, 4), (0, 4, 2)],
            0b110: [(5, 4, 2), (0, 1, 4), (0, 4, 5)], 0b101: [(0, 3, 5), (3, 1, 2), (3, 2, 5)],
            0b111: [(0, 3, 5), (3, 1, 4), (5, 4, 2), (3, 4, 5)]}
"""Children of a triangle whose edges ab (bit 1), bc (2), ca (4) are halved, as NODES."""


@record
class Split:
    """ends (E,2): the coarse vertices between which each new vertex lies. faces (G,3): the fine triangles; triangle g
    covers `nodes[g]` (three rows of NODES) of the coarse triangle `parent[g]`, parents in order."""

    ends: Int[np.ndarray, "e 2"]
    faces: Int[np.ndarray, "g 3"]
    parent: Int[np.ndarray, "g"]
    nodes: Int[np.ndarray, "g 3"]

    def __post_init__(self) -> None:
        freeze(self, ends=(self.ends, np.int64), faces=(self.faces, np.int32), parent=(self.parent, np.int64),
               nodes=(self.nodes, np.int64))

    def values(self, coarse: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "w c"]:
        """Per-vertex values on the fine mesh: the coarse ones, then their means over the halved edges."""
        return np.concatenate([coarse, (coarse[self.ends[:, 0]] + coarse[self.ends[:, 1]]) / 2])

    def points(self, coarse: SurfacePoints) -> SurfacePoints:
        """The same points on the fine mesh."""
        first = np.searchsorted(self.parent, coarse.face)
        count = np.searchsorted(self.parent, coarse.face, side="right") - first
        child, bary, depth = first.copy(), coarse.bary.copy(), np.full(len(coarse), -np.inf)
        for k in range(4):
            rows = np.flatnonzero(k < count)
            inside = np.linalg.solve(NODES[self.nodes[first[rows] + k]].transpose(0, 2, 1),
                                     coarse.bary[rows][..., None])[..., 0]
            better = inside.min(1) > depth[rows]
            child[rows[better]], bary[rows[better]] = first[rows[better]] + k, inside[better]
            depth[rows[better]] = inside[better].min(1)
        return SurfacePoints(face=child, bary=bary)


def split(faces: Int[np.ndarray, "f 3"], vertices: int, halved: Bool[np.ndarray, "f 3"]) -> Split:
    """Halve the edges ab, bc, ca of the triangles marked in `halved` (neighbours must agree about a shared edge)."""
    low, high = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].astype(np.int64)[halved], axis=1).T
    number, inverse = np.unique(low * vertices + high, return_inverse=True)
    ends = np.stack(np.divmod(number, vertices), 1)
    middle = np.full(halved.shape, -1)
    middle[halved] = vertices + inverse.ravel()
    corner = np.concatenate([faces, middle], 1)
    code = halved @ np.array([1, 2, 4])
    parent, nodes = [], []
    for pattern, children in PATTERNS.items():
        rows = np.flatnonzero(code == pattern)
        parent.append(np.repeat(rows, len(children)))
        nodes.append(np.tile(np.array(children), (len(rows), 1)))
    order = np.argsort(np.concatenate(parent), kind="stable")
    of, at = np.concatenate(parent)[order], np.concatenate(nodes)[order]
    return Split(ends=ends, faces=corner[of[:, None], at], parent=of, nodes=at)


def split_all(faces: Int[np.ndarray, "f 3"], vertices: int) -> Split:
    """Halve every edge: each triangle becomes four."""
    return split(faces, vertices, np.ones(faces.shape, bool))


def split_within(faces: Int[np.ndarray, "f 3"], chosen: Bool[np.ndarray, "v"]) -> Split:
    """Halve the edges between chosen vertices."""
    return split(faces, len(chosen), chosen[faces] & chosen[np.roll(faces, -1, axis=1)])


def finer(mesh: Mesh, anatomy: Anatomy, chosen: Bool[np.ndarray, "v"]) -> tuple[Mesh, Anatomy, Split]:
    """Mesh and anatomy, finer between the chosen vertices; the surface, the texture and every pin stay in place."""
    return halved(mesh, anatomy, between(mesh, chosen))


def between(mesh: Mesh, chosen: Bool[np.ndarray, "v"]) -> Bool[np.ndarray, "f 3"]:
    """The edges ab, bc, ca whose both ends are chosen."""
    return chosen[mesh.faces] & chosen[np.roll(mesh.faces, -1, axis=1)]


def halved(mesh: Mesh, anatomy: Anatomy, edges: Bool[np.ndarray, "f 3"]) -> tuple[Mesh, Anatomy, Split]:
    """The same with these edges ab, bc, ca of the triangles halved (neighbours must agree about a shared edge)."""
    skin = split(mesh.faces, len(mesh.vertices_mm), edges)
    layout = split(mesh.faces_uv, len(mesh.uv), edges)
    fine = Mesh(vertices_mm=skin.values(mesh.vertices_mm), faces=skin.faces, uv=layout.values(mesh.uv),
                faces_uv=layout.faces)
    return fine, Anatomy(
        pins478=skin.points(anatomy.pins478), pin_names=anatomy.pin_names, pin_points=skin.points(anatomy.pin_points),
        region_names=anatomy.region_names,
        region_weights=skin.values(anatomy.region_weights.T.astype(float)).T), skin
