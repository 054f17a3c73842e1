"""Where a field would turn triangles over, it gives way: their heights stay, or their corners go as one.

V vertices, H handles. f cardinal field (V, H); S the vertices of the triangles that turn, and so many rings around;
w = 1 / length^2, so that thin triangles, which turn first, go as one; c = TOUGHER. The change d of f on S is the least,
and the most even, with which what a triangle must keep, rows C of weights on its corners that sum to 0, is kept:
    sum_ij w |d_i - d_j|^2 + c sum_C w |C (f + d)|^2  least,  d = 0 elsewhere:
    (L + c C^T w C) d = -c C^T w C f,   L the edges' Laplacian.
A triangle keeps its height, drawn from its longest edge: its tip goes as the foot does, w = 1 / height^2. Where
triangles turn all the same, they keep their edges: their corners go as one.
With B the barycentric weights of the handles, B f stays as it was: a handle that lies in a fold still lands,
    d -> d - K^-1 B^T (B K^-1 B^T)^-1 B d,   K = L + c C^T w C.
Where the whole change turns what is beside, a part of it may do. Each fold then takes the least share of its change
with which nothing turns. So the field changes by what the fold needs, and hardly where on other triangles nothing turns
at all. It is still linear in what the handles are asked, so a plan keeps its laws; nothing changes where nothing turns.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_array, csc_array, csr_array, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from core.mesh import Mesh
from core.surface import SurfacePoints
from deform3d.compiled import compiled
from deform3d.volume import COLLAPSED, seen

SHORTEST_MM = 0.02
"""Shorter edges count as so long: below that they are rounding."""
TOUGHER = 100.0
"""Edges of triangles that turn hold so much better than the field around keeps its shape."""
SHARES = (1.0, 0.5, 0.25)
"""Of each change these parts are tried: the whole of it may turn what is beside."""
HALVINGS = 5
"""So often it is tried whether half of a change does: the field changes by little more than a fold takes."""
ROUNDS = 6
"""Each round takes one more ring of neighbours; the field with the fewest turned triangles is taken."""


def unfolded(mesh: Mesh, cardinal: Float[np.ndarray, "v h"], held: Bool[np.ndarray, "v"],
             asked_mm: Sequence[Float[np.ndarray, "h 3"]], pins: SurfacePoints | None = None) -> Float[
                 np.ndarray, "v h"]:
    """The field, giving way where any of these displacements of the handles would turn a triangle over, or flatten it.

    held: vertices whose values do not change. pins: places where the field does not change: the handles'.
    """
    moves = np.flatnonzero(~held | cardinal.any(1))
    local = np.full(len(cardinal), len(moves))
    local[moves] = np.arange(len(moves))
    moving = np.flatnonzero(touched(local < len(moves), mesh.faces) & seen(mesh))
    corners, where = mesh.faces[moving], local[mesh.faces[moving]]
    asked = np.concatenate(asked_mm, axis=1) if len(asked_mm) else np.zeros((cardinal.shape[1], 0))
    moved = np.zeros((len(moves) + 1, asked.shape[1]))
    moved[:-1] = cardinal[moves] @ asked

    def turning(rows: Int[np.ndarray, "s"], change: Float[np.ndarray, "s h"], looked_at: Bool[np.ndarray, "m"]) -> Bool[
            np.ndarray, "m"]:
        """Which of the triangles looked at turn when the field changes so at these vertices."""
        moved[local[rows]] = (cardinal[rows] + change) @ asked
        return np.asarray(turned(mesh.vertices_mm, corners, where, moved, looked_at))

    bad = turning(moves[:0], cardinal[moves[:0]], np.ones(len(moving), np.bool_))
    chosen, tough = np.zeros(len(cardinal), bool), bad
    best = (int(bad.sum()), moves[:0], cardinal[moves[:0]])
    for rings in range(1, ROUNDS):
        if not bad.any():
            break
        chosen[corners[bad]] = True
        for _ in range(rings):
            chosen[mesh.faces[touched(chosen, mesh.faces)]] = True
        rows, near = np.flatnonzero(chosen & ~held), touched(chosen, corners)
        tough = tough | bad
        for kept in (heights, sides):
            whole = together(mesh, cardinal, rows, kept(mesh, corners[tough]), pins) - cardinal[rows]
            tried = [(share * whole, turning(rows, share * whole, near)) for share in SHARES]
            change, bad = min(tried, key=lambda one: int(one[1].sum()))
            if bad.sum() < best[0]:
                best = (int(bad.sum()), rows, change)
            if not bad.any():
                break
    left, rows, change = best
    if not len(rows):
        return cardinal
    if not left:
        fold, of = folds(mesh.faces, corners, rows, len(cardinal))
        least, most = np.zeros(fold.max() + 1), np.ones(fold.max() + 1)
        for _ in range(HALVINGS):
            middle = (least + most) / 2
            too_little = np.isin(np.arange(len(most)), of[turning(rows, middle[fold, None] * change, of >= 0)])
            least, most = np.where(too_little, middle, least), np.where(too_little, most, middle)
        change = most[fold, None] * change
    out = cardinal.copy()
    out[rows] += change
    return out


def folds(faces: Int[np.ndarray, "f 3"], corners: Int[np.ndarray, "m 3"], rows: Int[np.ndarray, "s"],
          vertices: int) -> tuple[Int[np.ndarray, "s"], Int[np.ndarray, "m"]]:
    """The number of the connected piece that each of the vertices `rows` is in, and each triangle; -1 for none."""
    place = np.full(vertices, -1)
    place[rows] = np.arange(len(rows))
    one, two = np.divmod(edges_of(faces[touched(place >= 0, faces)], vertices), vertices)
    inner = (place[one] >= 0) & (place[two] >= 0)
    joined = coo_array((np.ones(int(inner.sum())), (place[one[inner]], place[two[inner]])), shape=(len(rows),) * 2)
    fold = connected_components(joined, directed=False)[1]
    return fold, np.where(place[corners] >= 0, fold[place[corners]], -1).max(1)


def touched(chosen: Bool[np.ndarray, "v"], faces: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, "f"]:
    """The triangles with a chosen corner."""
    a, b, c = chosen[faces.T]
    return np.asarray(a | b | c)


def sides(mesh: Mesh, triangles: Int[np.ndarray, "t 3"]) -> csr_array:
    """The edges of some triangles, which keep their length when their ends go as one: a row each, for all vertices."""
    one, two = np.divmod(edges_of(triangles, len(mesh.vertices_mm)), len(mesh.vertices_mm))
    stiff = 1 / np.maximum(np.linalg.norm(mesh.vertices_mm[one] - mesh.vertices_mm[two], axis=1), SHORTEST_MM)
    return rows_of(np.stack([one, two], 1), np.stack([stiff, -stiff], 1), len(mesh.vertices_mm))


def heights(mesh: Mesh, triangles: Int[np.ndarray, "t 3"]) -> csr_array:
    """The heights of some triangles, from the foot on the longest edge to the tip: a row each, for all vertices."""
    place = mesh.vertices_mm[triangles]
    tip = np.argmax(np.linalg.norm(place[:, [1, 2, 0]] - place[:, [2, 0, 1]], axis=2), axis=1)
    order = (tip[:, None] + np.arange(3)) % 3
    tip_mm, first, last = np.moveaxis(np.take_along_axis(place, order[..., None], 1), 1, 0)
    along = last - first
    share = np.einsum("tc,tc->t", tip_mm - first, along) / np.maximum((along**2).sum(1), SHORTEST_MM**2)
    tall = np.maximum(np.linalg.norm(tip_mm - first - share[:, None] * along, axis=1), SHORTEST_MM)
    parts = np.stack([np.ones(len(share)), share - 1, -share], 1) / tall[:, None]
    return rows_of(np.take_along_axis(triangles, order, 1), parts, len(mesh.vertices_mm))


def rows_of(vertex: Int[np.ndarray, "t k"], weight: Float[np.ndarray, "t k"], vertices: int) -> csr_array:
    """Sparse rows with these weights at these vertices."""
    return csr_array((weight.ravel(), vertex.ravel(), np.arange(len(vertex) + 1) * vertex.shape[1]),
                     shape=(len(vertex), vertices))


def together(mesh: Mesh, values: Float[np.ndarray, "v h"], rows: Int[np.ndarray, "s"], kept: csr_array,
             pins: SurfacePoints | None = None) -> Float[np.ndarray, "s h"]:
    """Values at the vertices `rows` with which what must be `kept` (C, by all vertices) is near 0 while all change as
    little, and as evenly, as that takes; as they were at pins."""
    if not len(rows):
        return values[rows]
    place = np.full(len(values), -1)
    place[rows] = np.arange(len(rows))
    edges = edges_of(mesh.faces[touched(place >= 0, mesh.faces)], len(values))
    one, two = np.divmod(edges, len(values))
    even = 1 / np.maximum(np.linalg.norm(mesh.vertices_mm[one] - mesh.vertices_mm[two], axis=1), SHORTEST_MM)**2
    one, two, stiff = np.concatenate([one, two]), np.concatenate([two, one]), np.tile(even, 2)
    here = place[one] >= 0
    one, two, stiff = place[one[here]], place[two[here]], stiff[here]
    inner, shape = two >= 0, (len(rows), len(rows))
    beside = coo_array((stiff[inner], (one[inner], two[inner])), shape=shape)
    own = kept[:, rows]
    system = diags(np.bincount(one, stiff, len(rows))) - beside + TOUGHER * (own.T @ own)
    solver = splu(csc_array(system))
    change = -np.asarray(solver.solve(TOUGHER * (own.T @ (kept @ values))))
    column = np.full((0, 3), -1) if pins is None else place[mesh.faces[pins.face]]
    near_by = np.flatnonzero((column >= 0).any(1))
    if pins is None or not len(near_by):
        return values[rows] + change
    at_pins = np.zeros((len(near_by), len(rows) + 1))
    np.put_along_axis(at_pins, column[near_by], pins.bary[near_by], 1)  # -1, no row, is the last column
    at_pins = at_pins[:, :-1]
    spread = np.asarray(solver.solve(at_pins.T))
    return values[rows] + change - spread @ np.linalg.lstsq(at_pins @ spread, at_pins @ change, rcond=None)[0]


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
