"""Where a field would turn triangles over, it is drawn smooth: the skin of a fold goes with what surrounds it.

V vertices, H handles. f cardinal field (V, H), S the vertices of triangles that turn, and their neighbours. On S the
field becomes harmonic: every value is a mean of its neighbours' values, the others are held,
    L_SS f_S = -L_SO f_O,   L the Laplacian of the mesh's edges with weights 1 / length^2:
that is the least sum of squared strains of the edges, so that thin triangles, which turn first, go as one.
It is still linear in what the handles are asked, so a plan keeps its laws; nothing changes where nothing turns.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import coo_array, csc_array, diags
from scipy.sparse.linalg import splu

from core.mesh import Mesh
from deform3d.compiled import compiled
from deform3d.volume import seen

SHORTEST_MM = 0.02
"""Shorter edges count as so long: below that they are rounding."""
ROUNDS = 6
"""Each round takes one more ring of neighbours; the field with the fewest turned triangles is taken."""


def unfolded(mesh: Mesh, cardinal: Float[np.ndarray, "v h"], held: Bool[np.ndarray, "v"],
             asked_mm: Sequence[Float[np.ndarray, "h 3"]]) -> Float[np.ndarray, "v h"]:
    """The field, smooth where any of these displacements of the handles would turn a triangle over.

    held: vertices whose values do not change: what must be still, and the handles' own triangles.
    """
    moves = np.flatnonzero(~held | cardinal.any(1))
    inside = np.zeros(len(cardinal), bool)
    inside[moves] = True
    moving = np.flatnonzero(inside[mesh.faces].any(1) & seen(mesh))
    together = np.concatenate(asked_mm, axis=1) if len(asked_mm) else np.zeros((cardinal.shape[1], 0))
    best, fewest, chosen = cardinal, len(moving), np.zeros(len(cardinal), bool)
    for rings in range(1, ROUNDS + 1):
        bad = np.zeros(len(moving), bool)
        moved = np.zeros((len(cardinal), together.shape[1]))
        moved[moves] = cardinal[moves] @ together
        for k in range(len(asked_mm)):
            bad |= turned(mesh.vertices_mm, mesh.faces, moving, moved[:, 3 * k:3 * k + 3])
        if bad.sum() < fewest:
            best, fewest = cardinal, int(bad.sum())
        if not bad.any():
            break
        chosen[mesh.faces[moving[bad]]] = True
        for _ in range(rings):
            chosen[mesh.faces[chosen[mesh.faces].any(1)]] = True
        cardinal = harmonic(mesh, cardinal, chosen & ~held)
    return best


def harmonic(mesh: Mesh, values: Float[np.ndarray, "v h"], chosen: Bool[np.ndarray, "v"]) -> Float[np.ndarray, "v h"]:
    """Values that are, on the chosen vertices, the mean of their neighbours', the near ones more."""
    faces = mesh.faces
    rows = np.flatnonzero(chosen)
    if not len(rows):
        return values
    near = faces[chosen[faces].any(1)]
    ends = np.concatenate([near[:, [0, 1]], near[:, [1, 2]], near[:, [2, 0]]])
    ends = np.unique(np.sort(ends, axis=1), axis=0)
    one, two = np.concatenate([ends, ends[:, ::-1]]).T
    length = np.linalg.norm(mesh.vertices_mm[one] - mesh.vertices_mm[two], axis=1)
    stiff = 1 / np.maximum(length, SHORTEST_MM)**2
    graph = coo_array((stiff, (one, two)), shape=(len(values), len(values))).tocsr()[rows]
    system = csc_array(diags(graph.sum(1)) - graph[:, rows])
    out = values.copy()
    out[rows] = 0
    out[rows] = splu(system).solve(graph @ out)
    return out


@compiled
def turned(vertices, faces, rows, moved):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Which of some triangles (numbers `rows`) look the other way after a displacement (V, 3)."""
    out = np.zeros(len(rows), np.bool_)
    before, after = np.zeros(6), np.zeros(6)
    for n in range(len(rows)):
        a, b, c = faces[rows[n]]
        for k in range(3):
            before[k], before[3 + k] = vertices[b, k] - vertices[a, k], vertices[c, k] - vertices[a, k]
            after[k] = before[k] + moved[b, k] - moved[a, k]
            after[3 + k] = before[3 + k] + moved[c, k] - moved[a, k]
        alike = 0.0
        for k in range(3):
            one, two = (k + 1) % 3, (k + 2) % 3
            alike += ((before[one] * before[3 + two] - before[two] * before[3 + one])
                      * (after[one] * after[3 + two] - after[two] * after[3 + one]))
        out[n] = alike < 0
    return out
