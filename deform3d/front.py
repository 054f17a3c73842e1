"""Distances along a triangle mesh by a front that runs outwards from a source.

Every vertex keeps the length u of the shortest path found so far. When the front passes the edge jk of a triangle ijk,
the source is unfolded into the triangle's plane, at u_j from j and u_k from k, and i is as far as the straight line
from there; where that line misses the edge, the path runs along an edge of the triangle instead. (Reimers' triangle
update, "Discrete geodesic polar coordinates", Melvaer and Reimers, Computer Graphics Forum 2012: exact on a plane and
on a cone; up to 3 % too long behind a corner.) Vertices leave a heap in the order of u, and return to it when a shorter
path is found.
"""

import numpy as np

from deform3d.compiled import compiled, gap

SHORTER = 1e-12
"""A path must be shorter by this part to count; below it is rounding."""
AGAIN = 1e-7
"""The same for a vertex that the front has gone on from: thin triangles would send ever smaller gains to and fro."""
PASSED = -2
"""The place in the heap of a vertex that the front has gone on from."""
FLAT = 1e-9
"""A source on the edge itself may lie beyond it by this part of the edge's square: that is rounding, too."""


@compiled
def rings(vertices, faces):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The neighbours of each vertex j: where its row starts, how many, who (i), how far; and for both triangles ijk at
    that edge k (-1: none) with the length jk, and where i lies in the plane with k at (0, 0) and j at (jk, 0)."""
    start = np.zeros(len(vertices) + 1, np.int64)
    for f in range(len(faces)):
        for c in range(3):
            start[faces[f, c] + 1] += 2
    start = np.cumsum(start)
    count = np.zeros(len(vertices), np.int64)
    who = np.empty(start[-1], np.int32)
    far = np.empty(start[-1])
    third = np.full((start[-1], 2), -1, np.int32)
    plane = np.empty((start[-1], 2, 3))
    for f in range(len(faces)):
        for c in range(3):
            for turn in range(1, 3):
                a, b, other = faces[f, c], faces[f, (c + turn) % 3], faces[f, (c + 3 - turn) % 3]
                e = start[a]
                while e < start[a] + count[a] and who[e] != b:
                    e += 1
                if e == start[a] + count[a]:
                    who[e] = b
                    far[e] = gap(vertices[a], vertices[b])
                    count[a] += 1
                slot = 0 if third[e, 0] < 0 else 1
                third[e, slot] = other
                plane[e, slot] = flat(gap(vertices[a], vertices[other]), far[e], gap(vertices[b], vertices[other]))
    return start, count, who, far, third, plane


@compiled
def flat(jk, ij, ik):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """jk, and the place of i in the plane with k at (0, 0) and j at (jk, 0)."""
    x = (jk * jk + ik * ik - ij * ij) / (2 * jk) if jk > 0 else 0.0
    return jk, x, np.sqrt(max(ik * ik - x * x, 0.0))


@compiled
def across(jk, x, y, u_j, u_k):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """How far i, at (x, y), is by way of the edge from k (0, 0) to j (jk, 0); inf where no straight line crosses it."""
    if jk <= 0:
        return np.inf
    source = (jk * jk + u_k * u_k - u_j * u_j) / (2 * jk)
    under = u_k * u_k - source * source
    if under < -FLAT * jk * jk:
        return np.inf
    depth = np.sqrt(max(under, 0.0))
    crossing = source * (depth + y) + (x - source) * depth
    if crossing < 0 or crossing > jk * (depth + y):
        return np.inf
    return np.sqrt((x - source)**2 + (y + depth)**2)


@compiled
def run(net, sources, lengths, limit, u, heap, place, touched):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Let one front run from vertices at given distances; u (V,) must be inf, place (V,) -1, and are to be put back.

    It does not go on from a vertex further off than its `limit` (V,). Returns how many vertices were reached; `touched`
    names them.
    """
    start, count, who, far, third, plane = net
    size, reached = 0, 0
    for q in range(len(sources)):
        v = sources[q]
        if lengths[q] < u[v]:
            if u[v] == np.inf:
                touched[reached] = v
                reached += 1
            u[v] = lengths[q]
            size = lift(heap, place, u, v, size)
    while size > 0:
        j = heap[0]
        size = drop(heap, place, u, size)
        if u[j] > limit[j]:
            continue
        place[j] = PASSED
        for e in range(start[j], start[j] + count[j]):
            i = who[e]
            if u[i] <= u[j] - far[e]:  # no path by way of j is shorter
                continue
            shortest = u[j] + far[e]
            for s in range(2):
                k = third[e, s]
                if k >= 0 and place[k] == PASSED:
                    shortest = min(shortest, across(plane[e, s, 0], plane[e, s, 1], plane[e, s, 2], u[j], u[k]))
            if shortest < u[i] * (1 - (AGAIN if place[i] == PASSED else SHORTER)):
                if u[i] == np.inf:
                    touched[reached] = i
                    reached += 1
                u[i] = shortest
                size = lift(heap, place, u, i, size)
    return reached


@compiled
def lift(heap, place, u, v, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Put v into the heap, or up in it; the heap's new size."""
    c = place[v]
    if c < 0:
        c = size
        size += 1
    while c > 0 and u[heap[(c - 1) // 2]] > u[v]:
        heap[c] = heap[(c - 1) // 2]
        place[heap[c]] = c
        c = (c - 1) // 2
    heap[c] = v
    place[v] = c
    return size


@compiled
def drop(heap, place, u, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Take the first out of the heap; the heap's new size."""
    place[heap[0]] = -1
    size -= 1
    if size == 0:
        return 0
    v, c = heap[size], 0
    while 2 * c + 1 < size:
        child = 2 * c + 1
        if child + 1 < size and u[heap[child + 1]] < u[heap[child]]:
            child += 1
        if u[heap[child]] >= u[v]:
            break
        heap[c] = heap[child]
        place[heap[c]] = c
        c = child
    heap[c] = v
    place[v] = c
    return size


@compiled
def each(net, sources, lengths, limit):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Distances (S, V) from every row of sources (S, K) alone; inf beyond the vertex's limit (V,)."""
    vertices = len(net[1])
    out = np.full((len(sources), vertices), np.inf)
    heap, place, touched = np.empty(vertices, np.int32), np.full(vertices, -1, np.int32), np.empty(vertices, np.int32)
    for s in range(len(sources)):
        reached = run(net, sources[s], lengths[s], limit, out[s], heap, place, touched)
        for t in range(reached):
            v = touched[t]
            place[v] = -1
            if out[s, v] > limit[v]:
                out[s, v] = np.inf
    return out


@compiled
def nearest(net, sources, lengths, limit, slack):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Distances (V,) from the nearest of all rows of sources (S, K), each unfolded on its own; inf beyond the limits.

    A front that starts everywhere at once comes first, a little too short because it takes all sources for one; each
    front of its own ends where it is longer than that by more than `slack`.
    """
    vertices = len(net[1])
    best, u, bound = np.full(vertices, np.inf), np.full(vertices, np.inf), np.full(vertices, -1.0)
    heap, place, touched = np.empty(vertices, np.int32), np.full(vertices, -1, np.int32), np.empty(vertices, np.int32)
    reached = run(net, sources.ravel(), lengths.ravel(), limit, u, heap, place, touched)
    for t in range(reached):
        v = touched[t]
        bound[v] = min(u[v] + slack, limit[v])
        u[v] = np.inf
        place[v] = -1
    for s in range(len(sources)):
        reached = run(net, sources[s], lengths[s], bound, u, heap, place, touched)
        for t in range(reached):
            v = touched[t]
            if u[v] <= limit[v]:
                best[v] = min(best[v], u[v])
            u[v] = np.inf
            place[v] = -1
    return best


@compiled
def at_points(vertices, faces, u, face, bary):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Distances (S, N) at points inside triangles, from those of the vertices (S, V), by the same unfolding."""
    out = np.full((len(u), len(face)), np.inf)
    for n in range(len(face)):
        corner = faces[face[n]]
        point = np.zeros(3)
        for c in range(3):
            point += bary[n, c] * vertices[corner[c]]
        for c in range(3):
            j, k = corner[c], corner[(c + 1) % 3]
            on_j, on_k = bary[n, c] > FLAT, bary[n, (c + 1) % 3] > FLAT  # a point on an edge belongs to both its sides
            ij, ik = gap(vertices[j], point), gap(vertices[k], point)
            jk, x, y = flat(gap(vertices[j], vertices[k]), ij, ik)
            for s in range(len(u)):
                if on_j:
                    out[s, n] = min(out[s, n], u[s, j] + ij)
                if on_j and on_k and u[s, j] < np.inf and u[s, k] < np.inf:
                    out[s, n] = min(out[s, n], across(jk, x, y, u[s, j], u[s, k]))
    return out
