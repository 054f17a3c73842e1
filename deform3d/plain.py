"""The head without the vertices that carry no shape: where triangles were cut into finer ones on the same surface.

A vertex is left out when it lies on the plane of its triangles, or on the straight edge between two planes, and all
regions' weights there are what its neighbours say. So a head and the same head on finer triangles are one and the same
to whatever is solved on it; each of the head's vertices lies on a triangle of the plain one, and moves with it.
One vertex after the other slides onto a neighbour w. That changes nothing when every triangle (v, p, q) around it that
is left holds w in its plane, the triangles (w, p, q) cover the same area the same way round, and v is to each of them
what they say: with v = b_0 w + b_1 p + b_2 q, its weights are b_0 of w's, b_1 of p's and b_2 of q's.
How flat parts are cut into triangles is no shape either: what is left has Delaunay's diagonals there, whatever the
order in which vertices went.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.plan import FreeMove
from core.records import record
from core.surface import SurfacePoints
from deform3d.chains import around, chains, holds, lift
from deform3d.compiled import compiled
from deform3d.diagonals import turned
from deform3d.flat import alike, area, lay
from deform3d.nearest import nearest

FLAT_MM = (1e-9, 2e-5)
"""A vertex may lie so far off the plane: rounding in memory, then that of a stored head. What was cut finer in memory
comes back first, as it was, before anything that hardly carries shape is left out."""
THIN = 1e-6
"""No triangle may be left with less than this share of the area around the vertex."""
ROUNDS = 100
"""So often diagonals are turned, and vertices left out after it: far more than any head asks for."""
MOST = 64
"""A vertex with more triangles stays."""


@record
class Plain:
    """The plain head, and where each of the given head's vertices (V) lies on it."""

    mesh: Mesh
    anatomy: Anatomy
    on: SurfacePoints

    def place(self, mesh: Mesh, hand: FreeMove) -> dict:
        """Where a free move takes hold, when it names a triangle of the given head: one of the plain head."""
        if hand.face is None or hand.bary is None or hand.face >= len(mesh.faces):
            return {}
        point = SurfacePoints(face=np.array([hand.face]), bary=np.array([hand.bary]))
        found = nearest(self.mesh, mesh.points(point)[0])
        return {"face": int(found.face[0]), "bary": tuple(found.bary[0].tolist())}

    @property
    def whole(self) -> bool:
        """Whether every vertex is left, and diagonals alone were turned."""
        return len(self.on) == len(self.mesh.vertices_mm)

    def spread(self, values: Float[np.ndarray, "*s w 3"]) -> Float[np.ndarray, "*s v 3"]:
        """Displacements of the plain head's vertices, at the given head's."""
        corner = self.mesh.faces[self.on.face]
        return np.asarray(sum(self.on.bary[:, k, None] * values[..., corner[:, k], :] for k in range(3)))


@lru_cache(maxsize=2)
def plain_of(mesh: Mesh, anatomy: Anatomy) -> Plain | None:
    """The plain head; None when every vertex carries shape."""
    vertices, faces = mesh.vertices_mm, mesh.faces.astype(np.int64)
    weights = weights_of(anatomy)
    pins = [anatomy.pins478, anatomy.pin_points]
    face = np.concatenate([p.face for p in pins]).astype(np.int64)
    place = np.concatenate([p.on(vertices, mesh.faces) for p in pins])
    points = np.concatenate([vertices, place])
    of, bary = np.full(len(points), -1), np.zeros((len(points), 3))
    of[len(vertices):], bary[len(vertices):] = face, np.concatenate([p.bary for p in pins])
    normals = mesh.face_normals()
    normals /= np.where((size := np.linalg.norm(normals, axis=1, keepdims=True)) > 0, size, np.nan)
    gone = np.zeros(len(vertices), bool)
    at, on_face = chains(faces, len(vertices)), chains(of[:, None], len(faces))
    todo, changed = np.arange(len(vertices)), False
    some = bool(any_flat(vertices, faces, normals, weights, *at, FLAT_MM[1]))
    if some:
        left_out(todo, vertices, faces, normals, weights, points, of, bary, gone, *at, *on_face, FLAT_MM[0])
    for number in range(ROUNDS):
        before = gone.sum()
        if some or number:
            left_out(todo, vertices, faces, normals, weights, points, of, bary, gone, *at, *on_face, FLAT_MM[1])
        if number and gone.sum() == before:  # nothing has come to be turned
            break
        todo = turned(vertices, faces, normals, weights, points, of, bary, *at, *on_face, FLAT_MM[1])
        if not len(todo):
            break
        changed = True
    if not (changed or gone.any()):
        return None
    alive = np.flatnonzero(faces[:, 0] >= 0)
    row, column = np.full(len(faces), -1), np.full(len(vertices), -1)
    row[alive], column[~gone] = np.arange(len(alive)), np.arange(int((~gone).sum()))
    corner = faces[alive].ravel()
    of[corner], bary[corner] = np.repeat(alive, 3), np.tile(np.eye(3), (len(alive), 1))
    on = SurfacePoints(face=row[of], bary=bary)
    first = len(vertices) + len(anatomy.pins478)
    return Plain(
        mesh=Mesh(vertices_mm=vertices[~gone], faces=column[faces[alive]], uv=np.zeros((1, 2)),
                  faces_uv=np.zeros((len(alive), 3), int)),
        anatomy=Anatomy(pins478=on[len(vertices):first], pin_names=anatomy.pin_names, pin_points=on[first:],
                        region_names=anatomy.region_names, region_weights=anatomy.region_weights[:, ~gone]),
        on=on[:len(vertices)])


@lru_cache(maxsize=4)
def weights_of(anatomy: Anatomy) -> Float[np.ndarray, "v r"]:
    """All regions' weights, vertex by vertex."""
    return np.ascontiguousarray(anatomy.region_weights.T, float)


@compiled
def any_flat(vertices, faces, normals, weights, head, after, flat_mm):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether some vertex may be left out: on most heads none."""
    ring, other = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    for v in range(len(vertices)):
        here = ring[:around(v, faces, head, after, ring)]
        if onto(v, vertices, faces, normals, weights, head, after, here, other, flat_mm) >= 0:
            return True
    return False


@compiled
def left_out(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0913
        first, vertices, faces, normals, weights, points, of, bary, gone, head, after, lies, beside, flat_mm):  # noqa: ANN001
    """Leave vertices out, those of `first` and what comes to be next to them. gone (V,): which ones. faces (F, 3)
    become those of the plain head, -1 for triangles that are gone; of (N,) and bary (N, 3) say where the points (N, 3)
    lie, the first V of them the vertices, and go on saying so. head and after: the chains of the corners at each
    vertex; lies and beside: of the points on each triangle."""
    waits = np.zeros(len(vertices), np.bool_)
    ring, other = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    waits[first] = True
    todo = [v for v in first if not gone[v]]
    while len(todo):
        again = [0 for _ in range(0)]
        for v in todo:
            waits[v] = False
            here = ring[:around(v, faces, head, after, ring)]
            w = onto(v, vertices, faces, normals, weights, head, after, here, other, flat_mm)
            if w < 0:
                continue
            for f in here:
                for u in faces[f]:
                    if u != v and not waits[u]:
                        waits[u] = True
                        again.append(u)
            gone[v], loose = True, v
            for f in here:
                loose = lift(f, loose, lies, beside)
            slide(v, w, faces, head, after, here)
            lay(loose, v, vertices, faces, here, points, of, bary, lies, beside)
        todo = again


@compiled
def slide(v, w, faces, head, after, ring):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Put w in the place of v; triangles that had both are gone."""
    for f in ring:
        if holds(faces[f], w):
            faces[f] = -1
            continue
        for c in range(3):
            if faces[f, c] == v:
                faces[f, c] = w
                after[3 * f + c] = head[w]
                head[w] = 3 * f + c


@compiled
def onto(v, vertices, faces, normals, weights, head, after, ring, other, flat_mm):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """A neighbour that v may slide onto; -1 for none."""
    for f in ring:
        for w in faces[f]:
            if w == v or not flat(v, w, vertices, faces, normals, ring, flat_mm):
                continue
            if fits(v, w, vertices, faces, weights, ring, flat_mm) and joined(v, w, faces, head, after, ring, other):
                return w
    return -1


@compiled
def flat(v, w, vertices, faces, normals, ring, flat_mm):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether w lies in the planes of all triangles at v."""
    x, y, z = vertices[w, 0] - vertices[v, 0], vertices[w, 1] - vertices[v, 1], vertices[w, 2] - vertices[v, 2]
    for f in ring:
        if not abs(x * normals[f, 0] + y * normals[f, 1] + z * normals[f, 2]) <= flat_mm:
            return False
    return True


@compiled
def fits(v, w, vertices, faces, weights, ring, flat_mm):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether the triangles at v, with w in its place, cover what they did, and say of v what it is."""
    whole, left = 0.0, 0.0
    for f in ring:
        a, b, c = faces[f]
        whole += np.sqrt((area(vertices, a, b, c)**2).sum())
    for f in ring:
        if holds(faces[f], w):
            continue
        a, b, c = faces[f]
        before = area(vertices, a, b, c)
        a, b, c = w if a == v else a, w if b == v else b, w if c == v else c
        now = area(vertices, a, b, c)
        size = np.sqrt((now**2).sum())
        if (before * now).sum() <= 0 or size <= THIN * whole:
            return False
        left += size
        if not alike(a, b, c, v, vertices, weights, flat_mm):
            return False
    return left > 0 and abs(left - whole) <= THIN * whole


@compiled
def joined(v, w, faces, head, after, ring, other):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether v and w have as many neighbours in common as there are triangles on the edge between them: else the
    surface would be pinched."""
    triangles, common, size = 0, 0, around(w, faces, head, after, other)
    for n in range(len(ring)):
        if holds(faces[ring[n]], w):
            triangles += 1
        for u in faces[ring[n]]:
            known = u == v or u == w
            for f in ring[:n]:
                known = known or holds(faces[f], u)
            if known:
                continue
            for f in other[:size]:
                if holds(faces[f], u):
                    common += 1
                    break
    return size > 0 and common == triangles
