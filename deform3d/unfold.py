"""Where a field would turn triangles over, it is drawn smooth: the skin of a fold goes with what surrounds it.

V vertices, H handles. f cardinal field (V, H), S the vertices of triangles that turn, and their neighbours. On S the
field becomes harmonic: every value is a mean of its neighbours' values, the others are held,
    L_SS f_S = -L_SO f_O,   L the Laplacian of the mesh's edges with weights 1 / length^2:
that is the least sum of squared strains of the edges, so that thin triangles, which turn first, go as one.
It is still linear in what the handles are asked, so a plan keeps its laws; nothing changes where nothing turns.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
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
    local = np.full(len(cardinal), len(moves))
    local[moves] = np.arange(len(moves))
    moving = np.flatnonzero(touched(local < len(moves), mesh.faces) & seen(mesh))
    corners, where = mesh.faces[moving], local[mesh.faces[moving]]
    together = np.concatenate(asked_mm, axis=1) if len(asked_mm) else np.zeros((cardinal.shape[1], 0))
    moved = np.zeros((len(moves) + 1, together.shape[1]))
    moved[:-1] = cardinal[moves] @ together
    bad = turned(mesh.vertices_mm, corners, where, moved, np.ones(len(moving), np.bool_))
    chosen, rows, values = np.zeros(len(cardinal), bool), moves[:0], cardinal[moves[:0]]
    best = (int(bad.sum()), rows, values)
    for rings in range(1, ROUNDS):
        if not bad.any():
            break
        chosen[corners[bad]] = True
        for _ in range(rings):
            chosen[mesh.faces[touched(chosen, mesh.faces)]] = True
        rows = np.flatnonzero(chosen & ~held)
        values = harmonic(mesh, cardinal, rows)
        moved[local[rows]] = values @ together
        again = touched(chosen, corners)
        bad = np.where(again, turned(mesh.vertices_mm, corners, where, moved, again), bad)
        if bad.sum() < best[0]:
            best = (int(bad.sum()), rows, values)
    _, rows, values = best
    if not len(rows):
        return cardinal
    out = cardinal.copy()
    out[rows] = values
    return out


def touched(chosen: Bool[np.ndarray, "v"], faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, "f"]:
    """The triangles with a chosen corner."""
    a, b, c = chosen[faces.T]
    return np.asarray(a | b | c)


def harmonic(mesh: Mesh, values: Float[np.ndarray, "v h"], rows: Int[np.ndarray, "s"]) -> Float[np.ndarray, "s h"]:
    """Values at the vertices `rows` that are the mean of their neighbours', the near ones more."""
    if not len(rows):
        return values[rows]
    place = np.full(len(values), -1)
    place[rows] = np.arange(len(rows))
    near = mesh.faces[touched(place >= 0, mesh.faces)].astype(np.int64)
    ends = np.sort(np.concatenate([near[:, [0, 1]], near[:, [1, 2]], near[:, [2, 0]]]), axis=1)
    one, two = np.divmod(np.unique(ends[:, 0] * len(values) + ends[:, 1]), len(values))
    one, two = np.concatenate([one, two]), np.concatenate([two, one])
    kept = place[one] >= 0
    one, two = one[kept], two[kept]
    length = np.linalg.norm(mesh.vertices_mm[one] - mesh.vertices_mm[two], axis=1)
    stiff = 1 / np.maximum(length, SHORTEST_MM)**2
    shape, inner = (len(rows), len(rows)), place[two] >= 0
    diagonal = np.bincount(place[one], stiff, len(rows))
    system = csc_array(diags(diagonal) - coo_array((stiff[inner], (place[one[inner]], place[two[inner]])), shape=shape))
    around, column = np.unique(two[~inner], return_inverse=True)
    outer = coo_array((stiff[~inner], (place[one[~inner]], column)), shape=(len(rows), len(around))).tocsr()
    return np.asarray(splu(system).solve(outer @ values[around]))


@compiled
def turned(vertices, corners, where, moved, asked):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Which of some triangles look the other way after any of K displacements; corners (F, 3): of the triangles, where:
    their rows in `moved` (R, 3 K), asked (F,): which triangles to look at."""
    out = np.zeros(len(corners), np.bool_)
    before, after, normal = np.zeros(6), np.zeros(6), np.zeros(3)
    for n in range(len(corners)):
        if not asked[n]:
            continue
        a, b, c = corners[n]
        at, bt, ct = where[n]
        for k in range(3):
            before[k], before[3 + k] = vertices[b, k] - vertices[a, k], vertices[c, k] - vertices[a, k]
        for k in range(3):
            one, two = (k + 1) % 3, (k + 2) % 3
            normal[k] = before[one] * before[3 + two] - before[two] * before[3 + one]
        for first in range(0, moved.shape[1], 3):
            for k in range(3):
                after[k] = before[k] + moved[bt, first + k] - moved[at, first + k]
                after[3 + k] = before[3 + k] + moved[ct, first + k] - moved[at, first + k]
            alike = (normal[0] * (after[1] * after[5] - after[2] * after[4])
                     + normal[1] * (after[2] * after[3] - after[0] * after[5])
                     + normal[2] * (after[0] * after[4] - after[1] * after[3]))
            if alike < 0:
                out[n] = True
                break
    return out
