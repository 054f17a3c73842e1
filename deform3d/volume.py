"""Volume that a displacement adds and removes, and triangles that it spoils.

For corners moving straight from a, b, c to a', b', c', with n(t) the (twice-area) normal at time t and u the mean of
the three displacements, the triangle sweeps exactly V = u . (n(0) + 4 n(1/2) + n(1)) / 12 (n is quadratic in t, so
Simpson's rule is exact). The sum over a closed mesh is its change of volume. Added and removed are the sums of the
positive and of the negative sweeps: outward motion adds, inward motion removes, sliding does neither.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from core.mesh import Mesh
from deform3d.compiled import compiled, gap

COLLAPSED = 0.05
"""A triangle that keeps less than this part of its area has collapsed."""
THREAD_MM = 0.05
"""A triangle of less height than this cannot be seen: no camera here resolves it."""
SHARPER_DEG = 5.0
"""Edges sharpened by less are as they were: the folds of lids and nostrils were sharp before."""


def swept_mm3(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "f"]:
    """Signed volume (mm3) swept by every triangle, positive outward."""
    return np.asarray(swept(mesh.vertices_mm, mesh.faces, np.asarray(displacement_mm, float)))


def added_removed_ml(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> tuple[float, float]:
    """Volumes added and removed (ml, both positive)."""
    swept = swept_mm3(mesh, displacement_mm) / 1000
    return float(swept[swept > 0].sum()), abs(float(swept[swept < 0].sum()))


def spoiled(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> tuple[Bool[np.ndarray, "f"], Bool[
        np.ndarray, "f"]]:
    """Triangles that the displacement flips (normal turned by over 90 degrees) and that it collapses; threads thinner
    than `THREAD_MM`, which dense refinement leaves in the folds of nostrils and lids, do not count.
    """
    flipped, collapsed = spoils(mesh.vertices_mm, mesh.faces, np.asarray(displacement_mm, float))
    return flipped & seen(mesh), collapsed & seen(mesh)


@lru_cache(maxsize=4)
def seen(mesh: Mesh) -> Bool[np.ndarray, "f"]:
    """The triangles that are not mere threads."""
    return np.asarray(no_threads(mesh.vertices_mm, mesh.faces))


def min_dihedral_deg(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> float:
    """The sharpest edge (angle between its two triangles, 180 is flat) among those that the displacement sharpens by
    more than `SHARPER_DEG`; 180 when there is none.
    """
    first, second = neighbours(mesh.faces.tobytes())
    return float(sharpest(mesh.vertices_mm, mesh.faces, np.asarray(displacement_mm, float), first, second))


@lru_cache(maxsize=2)
def neighbours(faces: bytes) -> tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]:
    """The two triangles of every edge that has two. faces (F,3): the bytes of a mesh's."""
    triangles = np.frombuffer(faces, np.int32).reshape(-1, 3)
    return pairs(triangles, int(triangles.max(initial=-1)) + 1)


@compiled
def pairs(faces, vertices):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """`neighbours`: two triangles each that have an edge's lower and higher end in common."""
    start = np.zeros(vertices + 1, np.int64)
    for f in range(len(faces)):
        for k in range(3):
            start[min(faces[f, k], faces[f, (k + 1) % 3]) + 1] += 1
    start = np.cumsum(start)
    count, higher, of = np.zeros(vertices, np.int64), np.empty(start[-1], np.int64), np.empty(start[-1], np.int64)
    first, second, found = np.empty(start[-1], np.int64), np.empty(start[-1], np.int64), 0
    for f in range(len(faces)):
        for k in range(3):
            low, high = min(faces[f, k], faces[f, (k + 1) % 3]), max(faces[f, k], faces[f, (k + 1) % 3])
            for n in range(start[low] + count[low] - 1, start[low] - 1, -1):
                if higher[n] == high:
                    first[found], second[found], found = of[n], f, found + 1
                    break
            higher[start[low] + count[low]], of[start[low] + count[low]] = high, f
            count[low] += 1
    return first[:found], second[:found]


@compiled
def normal(vertices, face, moves, part):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """A triangle's normal, twice its area long, after a part of the motion."""
    a, b, c = face
    x, y, z = vertices[a, 0] + part * moves[a, 0], vertices[a, 1] + part * moves[a, 1], vertices[a, 2] + part * moves[
        a, 2]
    ux, vx = vertices[b, 0] + part * moves[b, 0] - x, vertices[c, 0] + part * moves[c, 0] - x
    uy, vy = vertices[b, 1] + part * moves[b, 1] - y, vertices[c, 1] + part * moves[c, 1] - y
    uz, vz = vertices[b, 2] + part * moves[b, 2] - z, vertices[c, 2] + part * moves[c, 2] - z
    return uy * vz - uz * vy, uz * vx - ux * vz, ux * vy - uy * vx


@compiled
def moved(face, moves):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a corner of a triangle moves."""
    for v in face:
        if moves[v, 0] != 0 or moves[v, 1] != 0 or moves[v, 2] != 0:
            return True
    return False


@compiled
def swept(vertices, faces, moves):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """`swept_mm3` (F,)."""
    out = np.zeros(len(faces))
    for f in range(len(faces)):
        if not moved(faces[f], moves):
            continue
        n0, half, n1 = (normal(vertices, faces[f], moves, 0.0), normal(vertices, faces[f], moves, 0.5),
                        normal(vertices, faces[f], moves, 1.0))
        for k in range(3):
            mean = (moves[faces[f, 0], k] + moves[faces[f, 1], k] + moves[faces[f, 2], k]) / 3
            out[f] += mean * (n0[k] + 4 * half[k] + n1[k]) / 12
    return out


@compiled
def spoils(vertices, faces, moves):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """`spoiled`, threads too; what does not move is not."""
    flipped, collapsed = np.zeros(len(faces), np.bool_), np.zeros(len(faces), np.bool_)
    for f in range(len(faces)):
        if not moved(faces[f], moves):
            continue
        x, y, z = normal(vertices, faces[f], moves, 0.0)
        u, v, w = normal(vertices, faces[f], moves, 1.0)
        flipped[f] = x * u + y * v + z * w <= 0
        collapsed[f] = not flipped[f] and np.sqrt(u * u + v * v + w * w) < COLLAPSED * np.sqrt(x * x + y * y + z * z)
    return flipped, collapsed


@compiled
def no_threads(vertices, faces):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """`seen` (F,)."""
    out = np.empty(len(faces), np.bool_)
    for f in range(len(faces)):
        x, y, z = normal(vertices, faces[f], vertices, 0.0)
        longest = 0.0
        for k in range(3):
            longest = max(longest, gap(vertices[faces[f, k]], vertices[faces[f, (k + 1) % 3]]))
        out[f] = np.sqrt(x * x + y * y + z * z) > THREAD_MM * longest
    return out


@compiled
def sharpest(vertices, faces, moves, first, second):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The least angle after of the edges between these pairs of triangles that are sharpened."""
    least, angle, moving = 180.0, np.empty(2), np.zeros(len(faces), np.bool_)
    for f in range(len(faces)):
        moving[f] = moved(faces[f], moves)
    for e in range(len(first)):
        if not moving[first[e]] and not moving[second[e]]:
            continue
        for k in range(2):
            x, y, z = normal(vertices, faces[first[e]], moves, float(k))
            u, v, w = normal(vertices, faces[second[e]], moves, float(k))
            size = np.sqrt(x * x + y * y + z * z) * np.sqrt(u * u + v * v + w * w)
            if size > 0:
                angle[k] = 180 - np.degrees(np.arccos(min(max((x * u + y * v + z * w) / size, -1.0), 1.0)))
            else:
                angle[k] = 180.0  # one of them has no area
        if angle[1] < angle[0] - SHARPER_DEG:
            least = min(least, angle[1])
    return least
