"""The diagonals of flat parts: the same ones, however the parts were cut."""

import numpy as np

from deform3d.chains import beyond, lift, met, move
from deform3d.compiled import compiled
from deform3d.flat import alike, area, lay, off_plane

EVEN = 1e-6
"""Cotangents that sum to less than this are of four corners on one circle, which have no better diagonal."""


@compiled
def turned(  # type: ignore[no-untyped-def]  # noqa: ANN201, PLR0913
        vertices, faces, normals, weights, points, of, bary, head, after, lies, beside, flat_mm):  # noqa: ANN001
    """Turn the diagonal (a, b) of two triangles (v, a, b) and (u, b, a) that are one plane and one straight run of
    weights, where (u, v) is Delaunay's; the vertices at what was turned (N,). The arrays are those of
    `plain.left_out`."""
    about, here, again = [0 for _ in range(0)], np.empty(2, np.int64), [0 for _ in range(0)]
    todo = [f for f in range(len(faces)) if faces[f, 0] >= 0]
    while len(todo):
        for f in todo:
            for c in range(3):
                v, a, b = faces[f, c], faces[f, (c + 1) % 3], faces[f, (c + 2) % 3]
                g = beyond(f, a, b, faces, head, after)
                if g < 0:
                    continue
                u = faces[g, 0] + faces[g, 1] + faces[g, 2] - a - b
                if not (off_plane(u, v, f, vertices, normals) <= flat_mm
                        and off_plane(u, v, g, vertices, normals) <= flat_mm and spans(v, a, b, u, vertices)
                        and alike(v, a, b, u, vertices, weights, flat_mm)
                        and alike(u, b, a, v, vertices, weights, flat_mm)) or met(u, v, faces, head, after):
                    continue
                here[0], here[1] = f, g
                move(3 * f + (c + 2) % 3, b, u, faces, head, after)
                for k in range(3):
                    if faces[g, k] == a:
                        move(3 * g + k, a, v, faces, head, after)
                loose = lift(g, lift(f, -1, lies, beside), lies, beside)
                lay(loose, -1, vertices, faces, here, points, of, bary, lies, beside)
                again += [f, g]
                about += [v, a, b, u]
        todo, again = again, [0 for _ in range(0)]
    return np.array(about)


@compiled
def spans(v, a, b, u, vertices):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether the angles at v and u over the edge from a to b are more than two right ones: the sum of their cotangents
    says it."""
    total = 0.0
    for at in (v, u):
        one, two = vertices[a] - vertices[at], vertices[b] - vertices[at]
        size = np.sqrt((area(vertices, at, a, b)**2).sum())
        if size <= 0:
            return False
        total += (one * two).sum() / size
    return total < -EVEN
