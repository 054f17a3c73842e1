"""The head without the vertices that carry no shape: where triangles were cut into finer ones on the same surface.

A vertex is left out when it lies on the plane of its triangles, or on the straight edge between two planes, and all
regions' weights there are what its neighbours say. So a head and the same head on finer triangles are one and the same
to whatever is solved on it; each of the head's vertices lies on a triangle of the plain one, and moves with it.
One vertex after the other slides onto a neighbour w. That changes nothing when every triangle (v, p, q) around it that
is left holds w in its plane, the triangles (w, p, q) cover the same area the same way round, and v is to each of them
what they say: with v = b_0 w + b_1 p + b_2 q, its weights are b_0 of w's, b_1 of p's and b_2 of q's.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.plan import FreeMove
from core.records import record
from core.surface import SurfacePoints
from deform3d.compiled import compiled
from deform3d.nearest import nearest

FLAT_MM = (1e-9, 2e-5)
"""A vertex may lie so far off the plane: rounding in memory, then that of a stored head. What was cut finer in memory
comes back first, as it was, before anything that hardly carries shape is left out."""
ALIKE = 1e-5
"""Its weights may differ so much from its neighbours': rounding, too."""
THIN = 1e-6
"""No triangle may be left with less than this share of the area around the vertex."""
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

    def spread(self, values: Float[np.ndarray, "*s w 3"]) -> Float[np.ndarray, "*s v 3"]:
        """Displacements of the plain head's vertices, at the given head's."""
        corner = self.mesh.faces[self.on.face]
        return np.asarray(sum(self.on.bary[:, k, None] * values[..., corner[:, k], :] for k in range(3)))


@lru_cache(maxsize=2)
def plain_of(mesh: Mesh, anatomy: Anatomy) -> Plain | None:
    """The plain head; None when every vertex carries shape."""
    vertices, faces = mesh.vertices_mm, mesh.faces.astype(np.int64)
    weights = np.ascontiguousarray(anatomy.region_weights.T, float)
    pins = [anatomy.pins478, anatomy.pin_points]
    face = np.concatenate([p.face for p in pins]).astype(np.int64)
    place = np.concatenate([p.on(vertices, mesh.faces) for p in pins])
    points = np.concatenate([vertices, place])
    of, bary = np.full(len(points), -1), np.zeros((len(points), 3))
    of[len(vertices):], bary[len(vertices):] = face, np.concatenate([p.bary for p in pins])
    normals = mesh.face_normals()
    normals /= np.where((size := np.linalg.norm(normals, axis=1, keepdims=True)) > 0, size, np.nan)
    gone = np.asarray(left_out(vertices, faces, normals, weights, points, of, bary))
    if not gone.any():
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


@compiled
def left_out(vertices, faces, normals, weights, points, of, bary):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Which vertices are left out. faces (F, 3) become those of the plain head, -1 for triangles that are gone; of (N,)
    and bary (N, 3) say where the points (N, 3) lie, the first V of them the vertices, and go on saying so."""
    count = len(vertices)
    gone, waits = np.zeros(count, np.bool_), np.ones(count, np.bool_)
    head, after = np.full(count, -1, np.int64), np.full(faces.size, -1, np.int64)  # the corners at each vertex
    for corner in range(faces.size):
        after[corner] = head[faces[corner // 3, corner % 3]]
        head[faces[corner // 3, corner % 3]] = corner
    lies, beside = np.full(len(faces), -1, np.int64), np.full(len(points), -1, np.int64)  # the points on each triangle
    for n in range(count, len(points)):
        beside[n] = lies[of[n]]
        lies[of[n]] = n
    ring, other = np.empty(MOST, np.int64), np.empty(MOST, np.int64)
    todo, step = [0 for _ in range(0)], -1
    while len(todo) or step + 1 < len(FLAT_MM):
        if not len(todo):
            todo, step = [v for v in range(count) if not gone[v]], step + 1
        again = [0 for _ in range(0)]
        for v in todo:
            waits[v] = False
            here = ring[:around(v, faces, head, after, ring)]
            w = onto(v, vertices, faces, normals, weights, head, after, here, other, FLAT_MM[step])
            if w < 0:
                continue
            for f in here:
                for u in faces[f]:
                    if u != v and not waits[u]:
                        waits[u] = True
                        again.append(u)
            gone[v], loose = True, v
            for f in here:
                while lies[f] >= 0:
                    n = lies[f]
                    lies[f], beside[n], loose = beside[n], loose, n
            slide(v, w, faces, head, after, here)
            lay(loose, v, vertices, faces, here, points, of, bary, lies, beside)
        todo = again
    return gone


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
def lay(loose, last, vertices, faces, ring, points, of, bary, lies, beside):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Lay points, a list from `loose` to `last`, each on the one of these triangles that it lies on."""
    n = loose
    while True:
        following, best = beside[n], -np.inf
        for f in ring:
            if faces[f, 0] < 0:
                continue
            part, off = within(points[n], vertices[faces[f, 0]], vertices[faces[f, 1]], vertices[faces[f, 2]])
            depth = min(part.min(), 0.0) - off
            if depth > best:
                best, of[n], bary[n] = depth, f, part
        beside[n] = lies[of[n]]
        lies[of[n]] = n
        if n == last:
            break
        n = following


@compiled
def around(v, faces, head, after, ring):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """How many triangles are at a vertex; their numbers come into `ring`. 0 for more than that holds."""
    size, corner = 0, head[v]
    while corner >= 0:
        if faces[corner // 3, corner % 3] == v:
            if size == len(ring):
                return 0
            ring[size] = corner // 3
            size += 1
        corner = after[corner]
    return size


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
        part, off = within(vertices[v], vertices[a], vertices[b], vertices[c])
        if off > flat_mm:
            return False
        for r in range(weights.shape[1]):
            said = part[0] * weights[a, r] + part[1] * weights[b, r] + part[2] * weights[c, r]
            if abs(said - weights[v, r]) > ALIKE:
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


@compiled
def holds(face, v):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a triangle has this corner."""
    return face[0] == v or face[1] == v or face[2] == v


@compiled
def area(vertices, i, j, k):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The normal (3,) of a triangle, as long as twice its area."""
    a, b, c = vertices[i], vertices[j], vertices[k]
    x, y = b - a, c - a
    return np.array([x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]])


@compiled
def within(x, a, b, c):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The barycentric coordinates of a place on the plane of a triangle, and how far (mm) it lies off it."""
    one, two, to = b - a, c - a, x - a
    p, q, r = (one * one).sum(), (one * two).sum(), (two * two).sum()
    s, t = (to * one).sum(), (to * two).sum()
    det = p * r - q * q
    if det <= 0:
        return np.array([-np.inf, 0.0, 0.0]), np.inf
    m, n = (r * s - q * t) / det, (p * t - q * s) / det
    return np.array([1 - m - n, m, n]), np.sqrt(((to - m * one - n * two)**2).sum())
