"""The nearest point of a triangle mesh.

Each triangle is answered exactly: the foot of the perpendicular if it lies inside, else the nearest point of the
nearest edge (Ericson, "Real-Time Collision Detection", 2005, section 5.1.5, in barycentric form).
"""

import numpy as np
from jaxtyping import Float

from core.mesh import Mesh
from core.surface import SurfacePoints
from deform3d.compiled import compiled, gap


class Triangles:
    """Triangles by their corners (G, 3, 3) in mm, to be asked for nearest points more than once."""

    def __init__(self, corners_mm: Float[np.ndarray, "g 3 3"]) -> None:
        """The middle of each, and how far it reaches from there."""
        self.corners, self.middle = np.ascontiguousarray(corners_mm), corners_mm.mean(1)
        self.reach = np.sqrt(((corners_mm - self.middle[:, None])**2).sum(2).max(1))

    def nearest(self, point_mm: Float[np.ndarray, "3"]) -> tuple[int, Float[np.ndarray, "3"]]:
        """The triangle that comes nearest to a position, and the barycentric coordinates of its nearest point."""
        return search(self.corners, self.middle, self.reach, np.asarray(point_mm, float))


def nearest(mesh: Mesh, point_mm: Float[np.ndarray, "3"]) -> SurfacePoints:
    """The surface point nearest to a position (mm), as a batch of one."""
    face, bary = Triangles(mesh.vertices_mm[mesh.faces]).nearest(point_mm)
    return SurfacePoints(face=np.array([face]), bary=bary[None])


@compiled
def search(corners, middle, reach, point):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The number and barycentric coordinates of the nearest triangle; one that lies too far off is not looked at."""
    row, least, found = -1, np.inf, np.zeros(3)
    for g in range(len(corners)):
        if gap(middle[g], point) - reach[g] > least:
            continue
        bary = on_triangle(corners[g], point)
        here = bary[0] * corners[g, 0] + bary[1] * corners[g, 1] + bary[2] * corners[g, 2]
        away = gap(here, point)
        if away < least:
            row, least, found = g, away, bary
    return row, found


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
