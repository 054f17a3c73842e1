"""The corners at each vertex and the points on each triangle, in chains that a triangle more or less hardly costs."""

import numpy as np

from deform3d.compiled import compiled


@compiled
def chains(of, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The first of the entries of `of` that hold each number (size,), and after each entry (of.size,) the next; -1:
    none."""
    first, after = np.full(size, -1, np.int64), np.full(of.size, -1, np.int64)
    for n in range(of.size):
        at = of[n // of.shape[1], n % of.shape[1]]
        if at >= 0:
            after[n] = first[at]
            first[at] = n
    return first, after


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
def beyond(f, a, b, faces, head, after):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The triangle beyond the edge of triangle f from a to b; -1 when it has none, or more than one."""
    found, corner = -1, head[a]
    while corner >= 0:
        g = corner // 3
        if g != f and faces[g, corner % 3] == a and holds(faces[g], b):
            if found >= 0:
                return -1
            found = g
        corner = after[corner]
    return found


@compiled
def met(u, v, faces, head, after):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether an edge goes between two vertices."""
    corner = head[u]
    while corner >= 0:
        if faces[corner // 3, corner % 3] == u and holds(faces[corner // 3], v):
            return True
        corner = after[corner]
    return False


@compiled
def holds(face, v):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a triangle has this corner."""
    return face[0] == v or face[1] == v or face[2] == v


@compiled
def move(corner, old, new, faces, head, after):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Put a corner that was at one vertex at another."""
    if head[old] == corner:
        head[old] = after[corner]
    else:
        at = head[old]
        while after[at] != corner:
            at = after[at]
        after[at] = after[corner]
    faces[corner // 3, corner % 3] = new
    after[corner], head[new] = head[new], corner


@compiled
def lift(f, loose, lies, beside):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Take the points off a triangle, to the front of the list that begins with `loose`; where it begins then."""
    while lies[f] >= 0:
        n = lies[f]
        lies[f], beside[n], loose = beside[n], loose, n
    return loose
