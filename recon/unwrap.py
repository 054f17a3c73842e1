"""Texture layout of a head that brings none, or none for one picture: one island for the skin, boxes for the rest.

Letters: F triangles, T texture vertices, w_ij > 0 how strongly texture vertex i is drawn to its neighbour j.
The skin is cut open down the back of the head, its border laid on a convex outline, and every other vertex put at the
weighted mean of its neighbours, which never folds the layout (Tutte, How to draw a graph, 1963; Floater 1997). Then the
weights towards a vertex are divided by how much its surroundings are stretched and the means taken again (Yoshizawa,
Belyaev & Seidel, A fast and simple stretch-minimizing mesh parameterization, 2004), with the surface scaled by the
detail it deserves, so that the face gets most of the picture. The layout of a symmetric head is symmetric, u -> 1 - u.
"""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.sparse.linalg import spsolve

STRIP = 0.14
"""Height of the strip below the skin for the boxes of eyes and linings."""
MARGIN = 0.004
ROUNDS = 60
STEP = 0.35
"""Exponent of the stretch in each round's weights; small steps do not overshoot."""
OUTLINE_POWER = 8.0
"""Superellipse: nearly the whole rectangle, yet strictly convex, so that no triangle of the border is flat."""
MIDLINE_MM = 4.0
"""The cut pays for leaving the mid-plane as if edges were longer by (x / 4 mm)^2."""
HIDDEN_POLAR_RAD = np.radians(150)
"""Triangles of an eyeball farther round than this are collapsed in the layout: no camera sees them."""


def unwrap(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"], island: Int[np.ndarray, "f"],
           detail: Float[np.ndarray, "v"]) -> tuple[Float[np.ndarray, "t 2"], Int[np.ndarray, "f 3"]]:
    """Texture coordinates (glTF: v down) and triangles of a whole head.

    island: 0 for the skin, 1 for linings (each connected piece gets a box), 2 and 3 for the left and the right eyeball.
    detail (V,): how much picture a place deserves per area, > 0.
    """
    skin = np.flatnonzero(island == 0)
    cut = seam(vertices_mm, faces[skin])
    corner = corner_vertices(faces, island, cut)
    at = np.zeros(corner.max() + 1, int)
    at[corner.ravel()] = faces.ravel()
    position, uv = vertices_mm[at], np.zeros((corner.max() + 1, 2))
    used = np.unique(corner[skin])
    uv[used] = into_box(flat_skin(position, corner[skin], detail[at])[used], (0.0, 0.0), (1.0, 1 - STRIP))
    boxes: list[tuple[np.ndarray, np.ndarray, float]] = []  # texture vertices, their places, how far to the left
    for piece in pieces(corner, np.flatnonzero(island == 1)):
        used = np.unique(corner[piece])
        boxes.append((used, flat_lining(position, corner[piece])[used], float(position[used, 0].mean())))
    for eye in (2, 3):
        chosen = np.flatnonzero(island == eye)
        flat, corner[chosen] = flat_eye(position, corner[chosen])
        used = np.unique(corner[chosen])
        boxes.append((used, flat[used], float(position[used, 0].mean())))
    boxes.sort(key=lambda box: box[2])  # from the patient's right to the left, as the skin: twins mirror each other
    for k, (used, flat, _) in enumerate(boxes):
        uv[used] = into_box(flat, (k / len(boxes), 1 - STRIP), ((k + 1) / len(boxes), 1.0))
    return uv, corner


def into_box(points: Float[np.ndarray, "n 2"], low: tuple[float, float], high: tuple[float, float]) -> Float[
        np.ndarray, "n 2"]:
    """Points stretched to fill a box but for its margin."""
    least, size = points.min(0), np.ptp(points, axis=0)
    inner = np.array(low) + MARGIN
    return inner + (points - least) / np.maximum(size, 1e-12) * (np.array(high) - MARGIN - inner)


def edges_of(faces: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "e 2"]:
    """Directed edges, three rows per triangle."""
    return faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)


def border_loops(faces: Int[np.ndarray, "f 3"]) -> list[np.ndarray]:
    """Closed border loops, each in the direction of its triangles; a vertex with two borders ends a loop there."""
    edge = edges_of(faces)
    count = int(edge.max()) + 1
    key, back = edge[:, 0] * count + edge[:, 1], edge[:, 1] * count + edge[:, 0]
    border = edge[~np.isin(key, back)]
    following: dict[int, list[int]] = {}
    for a, b in border.tolist():
        following.setdefault(a, []).append(b)
    loops = []
    while following:
        start = next(iter(following))
        loop, here = [], start
        while here in following:
            loop.append(here)
            after = following[here].pop()
            if not following[here]:
                del following[here]
            here = after
        loops.append(np.array(loop))
    return loops


def length_mm(vertices_mm: Float[np.ndarray, "v 3"], loop: Int[np.ndarray, "b"]) -> float:
    """Length of a closed loop."""
    return float(np.linalg.norm(vertices_mm[loop] - vertices_mm[np.roll(loop, -1)], axis=1).sum())


def seam(vertices_mm: Float[np.ndarray, "v 3"], skin: Int[np.ndarray, "f 3"]) -> Int[np.ndarray, "s"]:
    """Vertices of a path down the mid-plane from the top of the head to the nape's rim; empty without a rim."""
    loops = border_loops(skin)
    if not loops:
        return np.zeros(0, int)
    rim = max(loops, key=lambda loop: length_mm(vertices_mm, loop))
    edge = edges_of(skin)
    a, b = vertices_mm[edge[:, 0]], vertices_mm[edge[:, 1]]
    cost = np.linalg.norm(a - b, axis=1) * (1 + ((np.abs(a[:, 0]) + np.abs(b[:, 0])) / 2 / MIDLINE_MM) ** 2)
    graph = coo_matrix((cost, edge.T), (len(vertices_mm),) * 2).tocsr()
    graph = graph.maximum(graph.T)
    used = np.unique(skin)
    near = used[np.abs(vertices_mm[used, 0]) < max(MIDLINE_MM, 1.05 * np.abs(vertices_mm[used, 0]).min())]
    top = near[np.argmax(vertices_mm[near, 1])]
    behind = rim[np.argmin(vertices_mm[rim, 2] + np.abs(vertices_mm[rim, 0]))]
    before = dijkstra(graph, indices=int(top), return_predecessors=True)[1]
    path = [int(behind)]
    while path[-1] != top and before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return np.array(path)


def corner_vertices(faces: Int[np.ndarray, "f 3"], island: Int[np.ndarray, "f"], cut: Int[np.ndarray, "s"]) -> Int[
        np.ndarray, "f 3"]:
    """A texture vertex for every corner: corners are one where their triangles share an edge that is not cut."""
    edge = edges_of(faces)
    count = int(faces.max()) + 1
    face = np.repeat(np.arange(len(faces)), 3)
    tail, head = np.arange(len(edge)), np.arange(len(edge)).reshape(-1, 3)[:, [1, 2, 0]].ravel()
    key, back = edge[:, 0] * count + edge[:, 1], edge[:, 1] * count + edge[:, 0]
    order = np.argsort(key)
    twin = order[np.minimum(np.searchsorted(key[order], back), len(order) - 1)]
    joined = (key[twin] == back) & (island[face[twin]] == island[face])
    closed = np.concatenate([cut[:-1] * count + cut[1:], cut[1:] * count + cut[:-1]]) if len(cut) > 1 else cut
    joined &= ~(np.isin(key, closed) & (island[face] == 0))
    rows = np.concatenate([tail[joined], head[joined]])
    columns = np.concatenate([head[twin[joined]], tail[twin[joined]]])
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), (len(edge),) * 2)
    return connected_components(graph, directed=False)[1].astype(np.int64).reshape(-1, 3)


def pieces(corner: Int[np.ndarray, "f 3"], chosen: Int[np.ndarray, "c"]) -> list[np.ndarray]:
    """Connected pieces of some triangles, as rows of triangles."""
    if not len(chosen):
        return []
    edge = edges_of(corner[chosen])
    label = connected_components(coo_matrix((np.ones(len(edge)), edge.T), (int(corner.max()) + 1,) * 2),
                                 directed=False)[1][corner[chosen][:, 0]]
    return [chosen[label == k] for k in np.unique(label)]


def outline(position: Float[np.ndarray, "t 3"], loop: Int[np.ndarray, "b"]) -> Float[np.ndarray, "b 2"]:
    """A border loop on the superellipse, by length; its highest vertex at the top centre, counter-clockwise, v down."""
    step = np.linalg.norm(position[np.roll(loop, -1)] - position[loop], axis=1)
    along = np.concatenate([[0], np.cumsum(step)[:-1]]) / step.sum()
    angle = 2 * np.pi * (0.25 + along - along[np.argmax(position[loop, 1])])
    x, y = np.cos(angle), np.sin(angle)
    radius = (np.abs(x) ** OUTLINE_POWER + np.abs(y) ** OUTLINE_POWER) ** (-1 / OUTLINE_POWER)
    return np.column_stack([x * radius, -y * radius])


def flat_skin(position: Float[np.ndarray, "t 3"], corner: Int[np.ndarray, "f 3"], detail: Float[np.ndarray, "t"],
              rounds: int = ROUNDS) -> Float[np.ndarray, "t 2"]:
    """The cut skin in the square [-1, 1]^2 (v down); rows of other texture vertices stay zero."""
    count, loops = len(position), border_loops(corner)
    rim = max(loops, key=lambda loop: length_mm(position, loop))
    position, corner, detail = closed_holes(position, corner, detail, [loop for loop in loops if loop is not rim])
    out = np.zeros((len(position), 2))
    out[rim] = outline(position, rim)
    free = np.setdiff1d(np.unique(corner), rim)
    edge = edges_of(corner)
    edge = np.unique(np.concatenate([edge, edge[:, ::-1]]), axis=0)
    edge = edge[np.isin(edge[:, 0], free)]
    weight = np.ones(len(edge))
    best, least = out, np.inf
    for _ in range(rounds):
        out = means(out, edge, weight, free)
        stretch, total = stretched(position, corner, detail, out)
        if total < least:
            best, least = out, total
        weight = weight / stretch[edge[:, 1]] ** STEP
        weight /= np.bincount(edge[:, 0], weight, len(position))[edge[:, 0]]
    return best[:count]


def closed_holes(position: Float[np.ndarray, "t 3"], corner: Int[np.ndarray, "f 3"], detail: Float[np.ndarray, "t"],
                 holes: list[np.ndarray]) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "g 3"],
                                                     Float[np.ndarray, "w"]]:
    """The same surface with a fan over every hole, so that eyes and mouth do not gape in the layout."""
    fans, middles = [corner], [position]
    for k, loop in enumerate(holes):
        middles.append(position[loop].mean(0, keepdims=True))
        fans.append(np.column_stack([np.roll(loop, -1), loop, np.full(len(loop), len(position) + k)]))
    return (np.concatenate(middles), np.concatenate(fans),
            np.concatenate([detail, [float(detail[loop].mean()) for loop in holes]]))


def means(flat: Float[np.ndarray, "t 2"], edge: Int[np.ndarray, "e 2"], weight: Float[np.ndarray, "e"],
          free: Int[np.ndarray, "i"]) -> Float[np.ndarray, "t 2"]:
    """Every free vertex at the weighted mean of its neighbours; the others stay."""
    count = len(flat)
    A = csr_matrix((weight, edge.T), (count, count))[free]
    own = A[:, free]
    total = np.asarray(A.sum(1)).ravel()
    held = np.ones(count, bool)
    held[free] = False
    right = A @ np.where(held[:, None], flat, 0)
    system = csr_matrix((total, (np.arange(len(free)),) * 2), own.shape) - own
    out = flat.copy()
    out[free] = spsolve(system.tocsc(), right)
    return out


def stretched(position: Float[np.ndarray, "t 3"], corner: Int[np.ndarray, "f 3"], detail: Float[np.ndarray, "t"],
              flat: Float[np.ndarray, "t 2"]) -> tuple[Float[np.ndarray, "t"], float]:
    """Root mean square stretch about each texture vertex over the whole's (1: as the average), and the whole's.

    Sander et al. 2001: of a triangle, the mean square length on the surface of a unit step in the layout.
    """
    p, q = position[corner], flat[corner]
    scale = np.sqrt(detail[corner].mean(1))
    a, b = q[:, 1] - q[:, 0], q[:, 2] - q[:, 0]
    twice = np.maximum(np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]), 1e-14)
    along_u = ((p[:, 1] - p[:, 0]) * b[:, 1:] - (p[:, 2] - p[:, 0]) * a[:, 1:]) / twice[:, None] * scale[:, None]
    along_v = ((p[:, 2] - p[:, 0]) * a[:, :1] - (p[:, 1] - p[:, 0]) * b[:, :1]) / twice[:, None] * scale[:, None]
    square = ((along_u**2).sum(1) + (along_v**2).sum(1)) / 2
    area = np.linalg.norm(np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0]), axis=1) / 2 * scale**2
    over, below = (np.bincount(corner.ravel(), np.repeat(v, 3), len(position)) for v in (area * square, area))
    whole = float((area * square).sum() / area.sum())
    return np.sqrt(np.where(below > 0, over / np.maximum(below, 1e-12), whole) / whole), whole


def flat_lining(position: Float[np.ndarray, "t 3"], corner: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "t 2"]:
    """A lining about its rim; a piece without a rim is seen along z."""
    if border_loops(corner):
        return flat_skin(position, corner, np.ones(len(position)), rounds=ROUNDS // 3)
    return position[:, :2] * [1.0, -1.0]


def flat_eye(position: Float[np.ndarray, "t 3"], corner: Int[np.ndarray, "f 3"]) -> tuple[
        Float[np.ndarray, "t 2"], Int[np.ndarray, "f 3"]]:
    """An eyeball as a disc about its foremost point (radius: angle from it); its hidden back is one texture point."""
    used = np.unique(corner)
    middle = (position[used].min(0) + position[used].max(0)) / 2
    ray = position - middle
    polar = np.arccos(np.clip(ray[:, 2] / np.maximum(np.linalg.norm(ray, axis=1), 1e-12), -1, 1))
    around = np.arctan2(ray[:, 1], ray[:, 0])
    disc = polar[:, None] * np.column_stack([np.cos(around), -np.sin(around)])
    hidden = (polar[corner] > HIDDEN_POLAR_RAD).any(1)
    last = used[np.argmax(polar[used])]
    disc[used[polar[used] > HIDDEN_POLAR_RAD]] = disc[last] / polar[last] * HIDDEN_POLAR_RAD
    return disc, np.where(hidden[:, None], last, corner)


def overlaps(uv: Float[np.ndarray, "t 2"], corner: Int[np.ndarray, "f 3"]) -> Bool[np.ndarray, "f"]:
    """Triangles that the layout turns over; upright ones are clockwise in v down."""
    a, b = uv[corner[:, 1]] - uv[corner[:, 0]], uv[corner[:, 2]] - uv[corner[:, 0]]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0
