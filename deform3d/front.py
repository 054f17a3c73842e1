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
"""The same for a vertex that the front has gone on from."""
TIMES = 8
"""So often a front goes on from a vertex: thin triangles would send ever smaller gains to and fro."""
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
def longest(net):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The longest edge (mm) at every vertex."""
    out = np.zeros(len(net[1]))
    for v in range(len(out)):
        for e in range(net[0][v], net[0][v] + net[1][v]):
            out[v] = max(out[v], net[3][e])
    return out


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
def run(net, sources, lengths, limit, u, work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Let one front run from vertices at given distances; u (V,) must be inf and is to be put back.

    It does not go on from a vertex further off than its `limit` (V,). work: of `workshop`. Returns how many vertices
    were reached; `touched` names them.
    """
    start, count, who, far, third, plane = net
    heap, place, times, touched = work
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
        times[j] += 1
        for e in range(start[j], start[j] + count[j]):
            i = who[e]
            if u[i] <= u[j] - far[e] or times[i] > TIMES:  # no path by way of j is shorter
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
def workshop(vertices):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The heap, every vertex's place in it (-1: not there), how often the front went on from it, and room for names."""
    return (np.empty(vertices, np.int32), np.full(vertices, -1, np.int32), np.zeros(vertices, np.int8),
            np.empty(vertices, np.int32))


@compiled
def forget(work, v):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Make a vertex as new for the next front."""
    work[1][v], work[2][v] = -1, 0


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
def each(net, sources, lengths, limit, column, columns):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Distances (S, columns) from every row of sources (S, K) alone; inf beyond the vertex's limit (V,). column (V,):
    where a vertex's distance goes, -1 where it is not asked for."""
    vertices = len(net[1])
    out, u = np.full((len(sources), columns), np.inf), np.full(vertices, np.inf)
    work = workshop(vertices)
    for s in range(len(sources)):
        reached = run(net, sources[s], lengths[s], limit, u, work)
        for v in work[3][:reached]:
            if column[v] >= 0 and u[v] <= limit[v]:
                out[s, column[v]] = u[v]
            u[v] = np.inf
            forget(work, v)
    return out


@compiled
def nearest(net, sources, lengths, links, limit, slack):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Distances (V,) from the nearest of all rows of sources (S, K), each unfolded on its own; inf beyond the limits.

    A source that `links` (S,) joins to the next one, so many mm away, stands for the straight line between both: with
    u and w the distances from its ends, the foot lies (u^2 - w^2 + l^2) / 2 l from the first. A front that starts
    everywhere at once comes first, a little too short because it takes all sources for one; each front of its own ends
    where it is longer than that by more than the vertex's `slack` (V,), or than the link.
    """
    vertices = len(net[1])
    best, u, bound = np.full(vertices, np.inf), np.full(vertices, np.inf), np.full(vertices, -1.0)
    before, owner = np.empty(vertices), np.full(vertices, -1, np.int32)
    work, most = workshop(vertices), links.max()
    reached = run(net, sources.ravel(), lengths.ravel(), limit, u, work)
    for v in work[3][:reached]:
        bound[v] = min(u[v] + max(slack[v], most), limit[v])
        u[v] = np.inf
        forget(work, v)
    for s in range(len(sources)):
        reached = run(net, sources[s], lengths[s], bound, u, work)
        link = links[s - 1] if s else 0.0
        for v in work[3][:reached]:
            least = u[v]
            if link > 0 and owner[v] == s - 1:
                foot = (before[v]**2 - u[v]**2 + link**2) / (2 * link)
                if 0 < foot < link:
                    least = min(least, np.sqrt(max(before[v]**2 - foot**2, 0.0)))
            if least <= limit[v]:
                best[v] = min(best[v], least)
            before[v], owner[v] = u[v], s
            u[v] = np.inf
            forget(work, v)
    return best


@compiled
def at_points(corners, u, columns, bary):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Distances (S, N) at points inside triangles (N, 3, 3), from those of the corners, which stand in `columns` (N, 3)
    of u (S, C), by the same unfolding."""
    out = np.full((len(u), len(corners)), np.inf)
    for n in range(len(corners)):
        point = bary[n] @ corners[n]
        for c in range(3):
            d = (c + 1) % 3
            j, k = columns[n, c], columns[n, d]
            on_j, on_k = bary[n, c] > FLAT, bary[n, d] > FLAT  # a point on an edge belongs to both its sides
            ij, ik = gap(corners[n, c], point), gap(corners[n, d], point)
            jk, x, y = flat(gap(corners[n, c], corners[n, d]), ij, ik)
            for s in range(len(u)):
                if on_j:
                    out[s, n] = min(out[s, n], u[s, j] + ij)
                if on_j and on_k and u[s, j] < np.inf and u[s, k] < np.inf:
                    out[s, n] = min(out[s, n], across(jk, x, y, u[s, j], u[s, k]))
    return out
