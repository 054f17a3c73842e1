"""The nearest point of a triangle mesh.

Each triangle is answered exactly: the foot of the perpendicular if it lies inside, else the nearest point of the
nearest edge (Ericson, "Real-Time Collision Detection", 2005, section 5.1.5, in barycentric form).
"""

import numpy as np
from jaxtyping import Float

from core.mesh import Mesh
from core.surface import SurfacePoints
from deform3d.compiled import compiled, gap

BLOCK = 32
"""Triangles with near numbers lie near each other: so many are passed over at once."""


class Triangles:
    """Triangles by their corners (G, 3, 3) in mm, to be asked for nearest points more than once."""

    def __init__(self, corners_mm: Float[np.ndarray, "g 3 3"]) -> None:
        """The middle of each, and of each block, and how far they reach from there."""
        self.corners, self.middle = np.ascontiguousarray(corners_mm), corners_mm.mean(1)
        self.reach = np.sqrt(((corners_mm - self.middle[:, None])**2).sum(2).max(1))
        first = np.arange(0, len(corners_mm), BLOCK)
        count = np.diff(first, append=len(corners_mm))
        self.block = np.add.reduceat(self.middle, first) / count[:, None]
        around = np.linalg.norm(self.middle - np.repeat(self.block, count, 0), axis=1) + self.reach
        self.block_reach = np.maximum.reduceat(around, first)

    def nearest(self, point_mm: Float[np.ndarray, "3"], over: Float[np.ndarray, "g 3"] | None = None) -> tuple[
            int, Float[np.ndarray, "3"]]:
        """The triangle that comes nearest to a position, and the barycentric coordinates of its nearest point.

        over: a value at the corners, linear between them; only what lies where it is not negative counts. The triangle
        is -1 when nothing counts.
        """
        over = np.zeros(self.corners.shape[:2]) if over is None else over
        away = np.linalg.norm(self.block - point_mm, axis=1) - self.block_reach
        return search(self.corners, self.middle, self.reach, over, away, np.asarray(point_mm, float))


def nearest(mesh: Mesh, point_mm: Float[np.ndarray, "3"]) -> SurfacePoints:
    """The surface point nearest to a position (mm), as a batch of one."""
    face, bary = Triangles(mesh.vertices_mm[mesh.faces]).nearest(point_mm)
    return SurfacePoints(face=np.array([face]), bary=bary[None])


@compiled
def search(corners, middle, reach, over, away, point):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The number and barycentric coordinates of the nearest triangle; one that lies too far off is not looked at, nor a
    block that is so far away. The nearest block comes first."""
    row, least, found, first = -1, np.inf, np.zeros(3), np.argmin(away)
    for turn in range(len(away)):
        block = int((first + turn) % len(away))
        if away[block] > least:
            continue
        for g in range(block * BLOCK, min((block + 1) * BLOCK, len(corners))):
            if over[g, 0] < 0 and over[g, 1] < 0 and over[g, 2] < 0:
                continue
            x, y, z = middle[g, 0] - point[0], middle[g, 1] - point[1], middle[g, 2] - point[2]
            if x * x + y * y + z * z > (reach[g] + least)**2:
                continue
            pieces, count = kept_part(over[g])
            for p in range(count):
                bary = on_triangle(pieces[p] @ corners[g], point) @ pieces[p]
                gone = gap(bary @ corners[g], point)
                if gone < least:
                    row, least, found = g, gone, bary
    return row, found


@compiled
def kept_part(over):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The part of a triangle where a value, linear on it, is not negative: one or two triangles (2, 3, 3), whose rows
    are the barycentric coordinates of their corners, and how many."""
    out, count = np.zeros((2, 3, 3)), 0
    inside = (over[0] >= 0) + (over[1] >= 0) + (over[2] >= 0)
    for k in range(3):
        a, b, c = k, (k + 1) % 3, (k + 2) % 3
        if inside == 3 and k == 0:
            out[0, 0, 0] = out[0, 1, 1] = out[0, 2, 2] = 1
            count = 1
        elif (inside == 1 and over[a] >= 0) or (inside == 2 and over[a] < 0):
            ab, ac = over[a] / (over[a] - over[b]), over[a] / (over[a] - over[c])
            first, second = np.zeros(3), np.zeros(3)
            first[a], first[b] = 1 - ab, ab
            second[a], second[c] = 1 - ac, ac
            if inside == 1:
                out[0, 0, a] = 1
                out[0, 1], out[0, 2] = first, second
                count = 1
            else:
                out[0, 0], out[1, 0], out[1, 2] = first, first, second
                out[0, 1, b] = out[0, 2, c] = out[1, 1, c] = 1
                count = 2
    return out, count


@compiled
def on_triangle(corner, point):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Barycentric coordinates of a triangle's nearest point."""
    e1, e2, q = corner[1] - corner[0], corner[2] - corner[0], point - corner[0]
    a, b, c = (e1 * e1).sum(), (e1 * e2).sum(), (e2 * e2).sum()
    u, v = (e1 * q).sum(), (e2 * q).sum()
    area2 = a * c - b * b
    if area2 > 1e-12 * max(a * c, 1e-300):  # relative to the edges: below that it is rounding of the product
        s, t = (c * u - b * v) / area2, (a * v - b * u) / area2
        if s >= 0 and t >= 0 and s + t <= 1:
            return np.array([1 - s - t, s, t])
    best, least = np.zeros(3), np.inf
    for k in range(3):
        start, along = corner[k], corner[(k + 1) % 3] - corner[k]
        length2 = (along * along).sum()
        part = min(max(((point - start) * along).sum() / length2, 0.0), 1.0) if length2 > 0 else 0.0
        away = gap(start + part * along, point)
        if away < least:
            least = away
            best = np.zeros(3)
            best[k], best[(k + 1) % 3] = 1 - part, part
    return best
