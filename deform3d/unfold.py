"""Where a field would turn triangles over, it is drawn smooth: the skin of a fold goes with what surrounds it.

V vertices, H handles. f cardinal field (V, H), S the vertices of triangles that turn, and their neighbours. On S the
field becomes harmonic: every value is a mean of its neighbours' values, the others are held,
    L_SS f_S = -L_SO f_O,   L the Laplacian of the mesh's edges with weights 1 / length^2:
that is the least sum of squared strains of the edges, so that thin triangles, which turn first, go as one. With B the
barycentric weights of the handles, B f stays as it was: a handle that lies in the fold still lands,
    f_S -> f_S + L_SS^-1 B^T (B L_SS^-1 B^T)^-1 B (old f_S - f_S).
It is still linear in what the handles are asked, so a plan keeps its laws; nothing changes where nothing turns.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csc_array, diags
from scipy.sparse.linalg import splu

from core.mesh import Mesh
from core.surface import SurfacePoints
from deform3d.compiled import compiled
from deform3d.volume import COLLAPSED, seen

SHORTEST_MM = 0.02
"""Shorter edges count as so long: below that they are rounding."""
TOUGHER = 100.0
"""Edges of triangles that turned hold so much better: where one is so thin that the smooth field turns it, too."""
NONE = np.zeros((0, 3), np.int64)
ROUNDS = 6
"""Each round takes one more ring of neighbours; the field with the fewest turned triangles is taken."""


def unfolded(mesh: Mesh, cardinal: Float[np.ndarray, "v h"], held: Bool[np.ndarray, "v"],
             asked_mm: Sequence[Float[np.ndarray, "h 3"]], pins: SurfacePoints | None = None) -> Float[
                 np.ndarray, "v h"]:
    """The field, smooth where any of these displacements of the handles would turn a triangle over, or flatten it.

    held: vertices whose values do not change. pins: places where the field does not change: the handles'.
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
    chosen, rows, values, tough = np.zeros(len(cardinal), bool), moves[:0], cardinal[moves[:0]], bad
    best = (int(bad.sum()), rows, values)
    for rings in range(1, ROUNDS):
        if not bad.any():
            break
        chosen[corners[bad]] = True
        for _ in range(rings):
            chosen[mesh.faces[touched(chosen, mesh.faces)]] = True
        rows = np.flatnonzero(chosen & ~held)
        tough = tough | bad
        values = harmonic(mesh, cardinal, rows, pins, corners[tough])
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


def harmonic(mesh: Mesh, values: Float[np.ndarray, "v h"], rows: Int[np.ndarray, "s"],
             pins: SurfacePoints | None = None, tough: Int[np.ndarray, "t 3"] = NONE) -> Float[np.ndarray, "s h"]:
    """Values at the vertices `rows` that are their neighbours' mean, the near ones more; as they were at pins. The
    corners of `tough` triangles go together."""
    if not len(rows):
        return values[rows]
    place = np.full(len(values), -1)
    place[rows] = np.arange(len(rows))
    edges = edges_of(mesh.faces[touched(place >= 0, mesh.faces)], len(values))
    one, two = np.divmod(edges, len(values))
    length = np.linalg.norm(mesh.vertices_mm[one] - mesh.vertices_mm[two], axis=1)
    stiff = np.where(np.isin(edges, edges_of(tough, len(values))), TOUGHER, 1) / np.maximum(length, SHORTEST_MM)**2
    one, two, stiff = np.concatenate([one, two]), np.concatenate([two, one]), np.tile(stiff, 2)
    kept = place[one] >= 0
    one, two, stiff = one[kept], two[kept], stiff[kept]
    shape, inner = (len(rows), len(rows)), place[two] >= 0
    diagonal = np.bincount(place[one], stiff, len(rows))
    system = csc_array(diags(diagonal) - coo_array((stiff[inner], (place[one[inner]], place[two[inner]])), shape=shape))
    around, column = np.unique(two[~inner], return_inverse=True)
    outer = coo_array((stiff[~inner], (place[one[~inner]], column)), shape=(len(rows), len(around))).tocsr()
    solver = splu(system)
    out = np.asarray(solver.solve(outer @ values[around]))
    column = np.full((0, 3), -1) if pins is None else place[mesh.faces[pins.face]]
    near_by = np.flatnonzero((column >= 0).any(1))
    if pins is None or not len(near_by):
        return out
    at_pins = np.zeros((len(near_by), len(rows) + 1))
    np.put_along_axis(at_pins, column[near_by], pins.bary[near_by], 1)  # -1, no row, is the last column
    at_pins = at_pins[:, :-1]
    spread = np.asarray(solver.solve(at_pins.T))
    return out + spread @ np.linalg.lstsq(at_pins @ spread, at_pins @ (values[rows] - out), rcond=None)[0]


def edges_of(faces: Int[np.ndarray, "f 3"], vertices: int) -> Int[np.ndarray, "e"]:
    """The edges of some triangles, each once, as a number: lower vertex * vertices + higher."""
    ends = np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1).astype(np.int64)
    return np.unique(ends[:, 0] * vertices + ends[:, 1])


@compiled
def turned(vertices, corners, where, moved, asked):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Which of some triangles look the other way, or have collapsed, after any of K displacements; corners (F, 3): of
    the triangles, where: their rows in `moved` (R, 3 K), asked (F,): which triangles to look at."""
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
            size, alike, size_after = 0.0, 0.0, 0.0
            for k in range(3):
                one, two = (k + 1) % 3, (k + 2) % 3
                now = after[one] * after[3 + two] - after[two] * after[3 + one]
                size, alike, size_after = size + normal[k]**2, alike + normal[k] * now, size_after + now**2
            if alike <= 0 or size_after < COLLAPSED**2 * size:
                out[n] = True
                break
    return out
