"""Springs: a mesh whose edges are springs of strength one, each vertex held to its place by a spring of its own.

Letters: L degrees less neighbours along the edges, w the vertices' own springs; (L + diag w) x = b is solved by
elimination, A = U' D U row by row (Davis, Algorithm 849: LDL, ACM TOMS 31(4), 2005, section 2). Which entries fill in
depends on the triangles alone: the order that fills in least is found once per topology, the numbers each time. That
takes a quarter of a general solver's time, which looks for an order whenever it is asked.
"""

import functools

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csc_matrix, diags, identity, triu
from scipy.sparse.linalg import splu

from core.mesh import Mesh
from core.records import freeze, record
from recon.compiled import compiled
from recon.graph import edges_of, neighbours


@record
class Springs:
    """order (V,): vertices in the order of elimination; all else is in that order. degree (V,). start (V+1,), above:
    of each vertex its neighbours that come before it. parent (V,): the next vertex that its elimination touches, or
    -1; first (V+1,): where its row of U begins."""

    order: Int[np.ndarray, "v"]
    degree: Float[np.ndarray, "v"]
    start: Int[np.ndarray, "v1"]
    above: Int[np.ndarray, "e"]
    parent: Int[np.ndarray, "v"]
    first: Int[np.ndarray, "v1"]

    def __post_init__(self) -> None:
        freeze(self, degree=(self.degree, float), **{name: (getattr(self, name), np.int64) for name in (
            "order", "start", "above", "parent", "first")})

    def at_rest(self, own: Float[np.ndarray, "v"], pull: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "v c"]:
        """x of (L + diag own) x = pull. own: positive somewhere in each piece of the mesh, nowhere negative."""
        x = np.ascontiguousarray(pull[self.order], float)
        eliminate(self.start, self.above, self.parent, self.first, self.degree + own[self.order], x)
        out = np.empty_like(x)
        out[self.order] = x
        return out


def springs(mesh: Mesh) -> Springs:
    """Those of a mesh's edges; kept, for heads of one model share them."""
    return of_faces(mesh.faces.tobytes(), mesh.faces.dtype.str, len(mesh.vertices_mm))


@functools.lru_cache(maxsize=2)
def of_faces(faces: bytes, kind: str, count: int) -> Springs:
    """The order by minimum degree, and what fills in."""
    graph = neighbours(*edges_of(np.frombuffer(faces, kind).reshape(-1, 3)), count)
    degree = np.asarray(graph.sum(1)).ravel()
    system = csc_matrix(diags(degree) - graph + identity(count))
    place = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}).perm_c
    order = np.argsort(place)
    before = csc_matrix(triu(csc_matrix(graph)[order][:, order], 1))
    before.sort_indices()
    start, above = before.indptr.astype(np.int64), before.indices.astype(np.int64)
    parent, fill = filled(start, above)
    return Springs(order=order, degree=degree[order], start=start, above=above, parent=parent,
                   first=np.concatenate([[0], np.cumsum(fill)]))


@compiled
def filled(start, above):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The parents, and how many entries each row of U has."""
    count = len(start) - 1
    parent, fill, met = np.full(count, -1), np.zeros(count, np.int64), np.full(count, -1)
    for k in range(count):
        met[k] = k
        for i in above[start[k]:start[k + 1]]:
            while met[i] != k:
                if parent[i] < 0:
                    parent[i] = k
                fill[i] += 1
                met[i] = k
                i = parent[i]
    return parent, fill


@compiled
def eliminate(start, above, parent, first, own, x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Solve in place: x (V,C) comes as the right side. own (V,): the diagonal; becomes D."""
    count = len(own)
    column, value = np.zeros(first[count], np.int64), np.zeros(first[count])
    used, met, y = np.zeros(count, np.int64), np.full(count, -1), np.zeros(count)
    path, row = np.zeros(count, np.int64), np.zeros(count, np.int64)
    for k in range(count):
        top = count
        met[k] = k
        for i in above[start[k]:start[k + 1]]:
            y[i] -= 1.0
            steps = 0
            while met[i] != k:
                path[steps], met[i] = i, k
                steps += 1
                i = parent[i]
            while steps:  # whoever is touched later stands behind
                steps, top = steps - 1, top - 1
                row[top] = path[steps]
        for i in row[top:]:
            here, y[i] = y[i], 0.0
            end = first[i] + used[i]
            for p in range(first[i], end):
                y[column[p]] -= value[p] * here
            share = here / own[i]
            own[k] -= share * here
            column[end], value[end] = k, share
            used[i] += 1
    for i in range(count):
        for p in range(first[i], first[i + 1]):
            for c in range(x.shape[1]):
                x[column[p], c] -= value[p] * x[i, c]
    for i in range(count - 1, -1, -1):
        for c in range(x.shape[1]):
            x[i, c] /= own[i]
        for p in range(first[i], first[i + 1]):
            for c in range(x.shape[1]):
                x[i, c] -= value[p] * x[column[p], c]
