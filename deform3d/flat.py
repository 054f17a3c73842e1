"""What lies on the plane of a triangle, and how."""

import numpy as np

from deform3d.compiled import compiled

ALIKE = 1e-5
"""Its weights may differ so much from its neighbours': rounding, too."""


@compiled
def off_plane(u, v, f, vertices, normals):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """How far (mm) one vertex lies from another across the plane of a triangle."""
    return abs((vertices[u, 0] - vertices[v, 0]) * normals[f, 0] + (vertices[u, 1] - vertices[v, 1]) * normals[f, 1]
               + (vertices[u, 2] - vertices[v, 2]) * normals[f, 2])


@compiled
def alike(a, b, c, v, vertices, weights, flat_mm):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether v lies on the plane of three vertices, and its weights are what they say."""
    part, off = within(vertices[v], vertices[a], vertices[b], vertices[c])
    if off > flat_mm:
        return False
    for r in range(weights.shape[1]):
        said = part[0] * weights[a, r] + part[1] * weights[b, r] + part[2] * weights[c, r]
        if abs(said - weights[v, r]) > ALIKE:
            return False
    return True


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


@compiled
def area(vertices, i, j, k):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The normal (3,) of a triangle, as long as twice its area."""
    a, b, c = vertices[i], vertices[j], vertices[k]
    x, y = b - a, c - a
    return np.array([x[1] * y[2] - x[2] * y[1], x[2] * y[0] - x[0] * y[2], x[0] * y[1] - x[1] * y[0]])


@compiled
def lay(loose, last, vertices, faces, ring, points, of, bary, lies, beside):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Lay points, a list from `loose` to `last` (-1: its end), each on the one of these triangles that it lies on."""
    n = loose
    while n >= 0:
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
