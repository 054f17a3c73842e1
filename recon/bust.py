"""Bust: a head that can be looked at from all sides: round where the model's triangles are large, its neck cut level.

Nothing of this is measured. The model's skull has edges of up to 40 mm, which show as corners in the outline; its neck
ends in a cut that rises by 5 cm from the throat to the nape, so that from the side the throat looks like a beak.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import spsolve

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.subdivide import between
from recon.fairing import faired
from recon.shape import curved, on_face
from recon.skin import all_skin, others, still_skin

SKIN_MM, SCALP_MM = 4.0, 10.0
"""Longer edges of skin are halved (an operation moves a triangle only as one straight piece), and longer ones of the
scalp: on a skull's curve such a chord is 0.15 mm off."""
PART = 0.01
"""Weight beyond which a vertex belongs to a part."""
STRETCH, REACH_MM = 1.6, 70.0
"""The neck is stretched this many times as far above the cut as the cut goes down, and no farther."""


def bust(mesh: Mesh, anatomy: Anatomy, sd_mm: Float[np.ndarray, "v"], face_too: bool) -> tuple[
        Mesh, Anatomy, Float[np.ndarray, "w"]]:
    """The head with finer triangles and a level neck, its anatomy, and the sd of its vertices. face_too: the face has
    the model's own triangles, and becomes finer as well. The first V vertices stay where they are but on the neck."""
    mesh, known = mesh.with_vertices(levelled(mesh, anatomy)), len(sd_mm)

    def halve(edges: Bool[np.ndarray, "f 3"]) -> None:
        nonlocal mesh, anatomy, sd_mm
        mesh, anatomy, made = curved(mesh, anatomy, edges)
        sd_mm = made.values(sd_mm[:, None])[:, 0]

    def halve_long() -> None:
        while (edges := long_edges(mesh, anatomy)).any():
            halve(edges)

    for _ in range(2 if face_too else 0):
        halve(between(mesh, on_face(mesh, anatomy)))
    halve_long()
    mesh = faired(mesh, (np.arange(len(sd_mm)) < known) | as_it_is(anatomy))
    halve_long()  # smoothing draws a few out again
    even, rim = mesh.vertices_mm.copy(), neck_rim(mesh)
    even[rim, 1] = even[rim, 1].min(initial=np.inf)  # the middles of its edges lie on a curve beside it
    return mesh.with_vertices(even), anatomy, sd_mm


def long_edges(mesh: Mesh, anatomy: Anatomy) -> Bool[np.ndarray, "f 3"]:
    """The edges ab, bc, ca that are too long to look round; not those of eyes and mouth."""
    ends = np.stack([mesh.faces, np.roll(mesh.faces, -1, axis=1)])
    length = np.linalg.norm(mesh.vertices_mm[ends[0]] - mesh.vertices_mm[ends[1]], axis=2)
    skin, other = all_skin(anatomy)[ends].max(0) > 0.5, others(anatomy)[ends].max(0) > 0.5
    return np.asarray((length > np.where(skin, SKIN_MM, SCALP_MM)) & ~other)


def as_it_is(anatomy: Anatomy) -> Bool[np.ndarray, "v"]:
    """What is not made smooth: eyes and mouth, and ears, whose rims are too sharp for their triangles."""
    parts = [others(anatomy), *(anatomy.region(n) for n in ("ear_l", "ear_r"))]
    return np.asarray(np.max(parts, axis=0) > PART)


def levelled(mesh: Mesh, anatomy: Anatomy) -> Float[np.ndarray, "v 3"]:
    """The vertices, those near the neck's cut moved down so that it is level; as they are where there is no cut."""
    rim = neck_rim(mesh)
    if not len(rim):
        return mesh.vertices_mm
    graph = edge_graph(mesh)
    down = np.zeros(len(mesh.vertices_mm))
    down[rim] = mesh.vertices_mm[rim, 1].min() - mesh.vertices_mm[rim, 1]
    away, _, nearest = dijkstra(graph, indices=rim, limit=REACH_MM, min_only=True, return_predecessors=True)
    near = np.isfinite(away)
    near[near] = away[near] < -STRETCH * down[nearest[near]]
    free = near & (np.maximum(still_skin(anatomy), others(anatomy)) < 0.02)
    free[rim] = False
    weight = graph.copy()
    weight.data = 1 / weight.data
    bend = diags(1 / np.asarray(weight.sum(1)).ravel()) @ (diags(np.asarray(weight.sum(1)).ravel()) - weight)
    energy = csr_matrix(bend.T @ bend)
    down[free] = spsolve(energy[free][:, free].tocsc(), -energy[free][:, ~free] @ down[~free])
    moved = mesh.vertices_mm.copy()
    moved[:, 1] += down
    return moved


def neck_rim(mesh: Mesh) -> Int[np.ndarray, "_"]:
    """The vertices of the lowest open edge of the head; empty for a closed one."""
    size = len(mesh.vertices_mm)
    low, high = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2).astype(np.int64), axis=1).T
    edges, count = np.unique(low * size + high, return_counts=True)
    open_ = np.stack(np.divmod(edges[count == 1], size), 1)
    if not len(open_):
        return np.zeros(0, int)
    _, label = connected_components(coo_matrix((np.ones(len(open_)), open_.T), (size, size)), directed=False)
    lowest = np.unique(open_)[mesh.vertices_mm[np.unique(open_), 1].argmin()]
    return np.flatnonzero(label == label[lowest])


def edge_graph(mesh: Mesh) -> csr_matrix:
    """Edges and their lengths (mm), both ways."""
    a, b = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]).T
    length = np.linalg.norm(mesh.vertices_mm[a] - mesh.vertices_mm[b], axis=1)
    size = len(mesh.vertices_mm)
    one = coo_matrix((length, (a, b)), (size, size)).tocsr()
    return one.maximum(one.T)
