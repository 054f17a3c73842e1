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
"""The same for a vertex that the front has gone on from, to go on from it again."""
TIMES = 8
"""So often a front goes on from a vertex: thin triangles would send ever smaller gains to and fro."""
PASSED = -2
"""The place in the heap of a vertex that the front has gone on from."""
FLAT = 1e-9
"""A source on the edge itself may lie beyond it by this part of the edge's square: that is rounding, too."""


@compiled
def rings(vertices, faces):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The triangles jab at each vertex j: where its row starts (V + 1,); a and b (T, 2); and ja, jb, the cosine and the
    sine of the angle at j (T, 4)."""
    start = np.zeros(len(vertices) + 1, np.int64)
    for f in range(len(faces)):
        for c in range(3):
            start[faces[f, c] + 1] += 1
    start = np.cumsum(start)
    count = np.zeros(len(vertices), np.int64)
    who = np.empty((start[-1], 2), np.int32)
    shape = np.empty((start[-1], 4))
    for f in range(len(faces)):
        for c in range(3):
            j, a, b = faces[f, c], faces[f, (c + 1) % 3], faces[f, (c + 2) % 3]
            t = start[j] + count[j]
            who[t] = a, b
            shape[t] = angle(vertices[j], vertices[a], vertices[b])
            count[j] += 1
    return start, who, shape


@compiled
def longest(net):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The longest edge (mm) at every vertex."""
    start, _, shape = net
    out = np.zeros(len(start) - 1)
    for v in range(len(out)):
        for t in range(start[v], start[v + 1]):
            out[v] = max(out[v], shape[t, 0], shape[t, 1])
    return out


@compiled
def angle(j, a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The lengths ja and jb, and the cosine and the sine of the angle between them."""
    dot, square = 0.0, 0.0
    for k in range(3):
        one, two = (k + 1) % 3, (k + 2) % 3
        dot += (a[k] - j[k]) * (b[k] - j[k])
        square += ((a[one] - j[one]) * (b[two] - j[two]) - (a[two] - j[two]) * (b[one] - j[one]))**2
    ja, jb = gap(a, j), gap(b, j)
    area = ja * jb
    return ja, jb, dot / area if area > 0 else 1.0, np.sqrt(square) / area if area > 0 else 0.0


@compiled
def across(ja, ji, cos, sin, u_j, u_a, best):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """How far i is by way of the edge ja, if that is less than `best`; else, and where no straight line crosses the
    edge, `best`. cos, sin: of the angle between ja and ji.

    In the plane, with j at (0, 0) and a at (ja, 0), the source lies at (s, -d) and i at (x, y) = ji (cos, sin): that is
    sqrt((x - s)^2 + (y + d)^2) away. Squared it is u_j^2 + ji^2 - 2 x s + 2 y d; most edges are told without d.
    """
    if ja <= 0:
        return best
    source = (ja * ja + u_j * u_j - u_a * u_a) / (2 * ja)
    x, y = ji * cos, ji * sin
    rest = u_j * u_j + ji * ji - 2 * x * source
    if rest >= best * best:
        return best
    under = u_j * u_j - source * source
    if under < -FLAT * ja * ja:
        return best
    depth = np.sqrt(max(under, 0.0))
    crossing = source * y + x * depth
    square = rest + 2 * y * depth
    if square >= best * best or crossing < 0 or crossing > ja * (depth + y):
        return best
    return np.sqrt(max(square, 0.0))


@compiled
def run(net, sources, lengths, limit, u, work, straight=True):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Let one front run from vertices at given distances; u (V,) must be inf and is to be put back.

    It does not go on from a vertex further off than its `limit` (V,). work: of `workshop`. Returns how many vertices
    were reached; `touched` names them.
    """
    start, who, shape = net
    heap, keys, place, times, touched = work
    size, reached = 0, 0
    for q in range(len(sources)):
        v = sources[q]
        if lengths[q] < u[v]:
            if u[v] == np.inf:
                touched[reached] = v
                reached += 1
            u[v] = lengths[q]
            if u[v] <= limit[v]:
                size = lift(heap, keys, place, v, u[v], size)
    while size > 0:
        j = heap[0]
        size = drop(heap, keys, place, size)
        place[j] = PASSED
        times[j] += 1
        for t in range(start[j], start[j + 1]):
            a, b = who[t]
            ja, jb, cos, sin = shape[t]
            u_j, u_a, u_b = u[j], u[a], u[b]
            new_a, new_b = u_a, u_b
            if u_a > u_j - ja and times[a] <= TIMES:  # else no path by way of j is shorter
                new_a = min(u_a, u_j + ja)
                if straight and place[b] == PASSED:
                    new_a = across(jb, ja, cos, sin, u_j, u_b, new_a)
            if u_b > u_j - jb and times[b] <= TIMES:
                new_b = min(u_b, u_j + jb)
                if straight and place[a] == PASSED:
                    new_b = across(ja, jb, cos, sin, u_j, u_a, new_b)
            for i, before, after in ((a, u_a, new_a), (b, u_b, new_b)):
                if after >= before * (1 - SHORTER):
                    continue
                if before == np.inf:
                    touched[reached] = i
                    reached += 1
                u[i] = after
                if after <= limit[i] and (place[i] != PASSED or after < before * (1 - AGAIN)):
                    size = lift(heap, keys, place, i, after, size)
    return reached


@compiled
def workshop(vertices):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The heap and its keys, every vertex's place in it (-1: not there), how often the front went on from it, and room
    for names."""
    return (np.empty(vertices, np.int32), np.empty(vertices), np.full(vertices, -1, np.int32),
            np.zeros(vertices, np.int8), np.empty(vertices, np.int32))


@compiled
def forget(work, v):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Make a vertex as new for the next front."""
    work[2][v], work[3][v] = -1, 0


@compiled
def lift(heap, keys, place, v, key, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Put v into the heap by its key, or up in it; the heap's new size. Four below each: half the levels of two."""
    c = place[v]
    if c < 0:
        c = size
        size += 1
    while c > 0:
        parent = (c - 1) >> 2
        if keys[parent] <= key:
            break
        heap[c], keys[c] = heap[parent], keys[parent]
        place[heap[c]] = c
        c = parent
    heap[c], keys[c] = v, key
    place[v] = c
    return size


@compiled
def drop(heap, keys, place, size):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Take the first out of the heap; the heap's new size."""
    place[heap[0]] = -1
    size -= 1
    if size == 0:
        return 0
    v, key, c = heap[size], keys[size], 0
    while 4 * c + 1 < size:
        child = 4 * c + 1
        for other in range(child + 1, min(child + 4, size)):
            if keys[other] < keys[child]:
                child = other
        if keys[child] >= key:
            break
        heap[c], keys[c] = heap[child], keys[child]
        place[heap[c]] = c
        c = child
    heap[c], keys[c] = v, key
    place[v] = c
    return size


@compiled
def each(net, sources, lengths, limit, column, columns):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Distances (S, columns) from every row of sources (S, K) alone; inf beyond the vertex's limit (V,). column (V,):
    where a vertex's distance goes, -1 where it is not asked for."""
    vertices = len(net[0]) - 1
    out, u = np.full((len(sources), columns), np.inf), np.full(vertices, np.inf)
    work = workshop(vertices)
    for s in range(len(sources)):
        reached = run(net, sources[s], lengths[s], limit, u, work)
        for v in work[4][:reached]:
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
    vertices = len(net[0]) - 1
    best, u, bound = np.full(vertices, np.inf), np.full(vertices, np.inf), limit.copy()
    before, owner = np.empty(vertices), np.full(vertices, -1, np.int32)
    work, most = workshop(vertices), links.max()
    reached = run(net, sources.ravel(), lengths.ravel(), limit, u, work, False)
    for v in work[4][:reached]:
        bound[v] = min(u[v] + max(slack[v], most), limit[v])
        u[v] = np.inf
        forget(work, v)
    for s in range(len(sources)):
        reached = run(net, sources[s], lengths[s], bound, u, work)
        link = links[s - 1] if s else 0.0
        for v in work[4][:reached]:
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
            jk, ji, cos, sin = angle(corners[n, c], corners[n, d], point)
            for s in range(len(u)):
                if on_j:
                    out[s, n] = min(out[s, n], u[s, j] + ji)
                if on_j and on_k and u[s, j] < np.inf and u[s, k] < np.inf:
                    out[s, n] = across(jk, ji, cos, sin, u[s, j], u[s, k], out[s, n])
    return out
