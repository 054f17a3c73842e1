"""The nearest point of a triangle mesh.

Each triangle is answered exactly: the foot of the perpendicular if it lies inside, else the nearest point of the
nearest edge (Ericson, "Real-Time Collision Detection", 2005, section 5.1.5, in barycentric form).
"""

import numpy as np
from jaxtyping import Float, Int

from core.mesh import Mesh
from core.surface import SurfacePoints
from deform3d.compiled import compiled, gap

BLOCK = 32
"""Triangles with near numbers lie near each other: so many are passed over at once."""

Inside = tuple[Int[np.ndarray, "g 3"], Float[np.ndarray, "s v"]]
"""Part of a surface: its triangles, and scores of the vertices, linear on them; none is negative in that part."""
ANYWHERE: Inside = (np.zeros((1, 3), np.int32), np.zeros((0, 1)))
"""All of it."""


class Triangles:
    """Triangles by their corners (G, 3, 3) in mm, to be asked for nearest points more than once."""

    def __init__(self, corners_mm: Float[np.ndarray, "g 3 3"]) -> None:
        """The middle of each, and of each block, and how far they reach from there."""
        self.corners = np.ascontiguousarray(corners_mm)
        self.middle, self.reach, self.block, self.block_reach = circles(self.corners)

    def nearest(self, point_mm: Float[np.ndarray, "3"], inside: "Inside | None" = None,
                facing: Float[np.ndarray, "3"] | None = None) -> tuple[int, Float[np.ndarray, "3"]]:
        """The triangle that comes nearest to a position, and the barycentric coordinates of its nearest point.

        inside: only what lies there counts. facing: only triangles whose outward side looks this way, within a right
        angle, count. The triangle is -1 when nothing counts.
        """
        faces, scores = ANYWHERE if inside is None else inside
        faces = np.broadcast_to(faces, (len(self.corners), 3))
        away = np.linalg.norm(self.block - point_mm, axis=1) - self.block_reach
        return search(self.corners, self.middle, self.reach, faces, scores, np.zeros(3) if facing is None else facing,
                      away, np.asarray(point_mm, float))


def nearest(mesh: Mesh, point_mm: Float[np.ndarray, "3"]) -> SurfacePoints:
    """The surface point nearest to a position (mm), as a batch of one."""
    face, bary = Triangles(mesh.vertices_mm[mesh.faces]).nearest(point_mm)
    return SurfacePoints(face=np.array([face]), bary=bary[None])


@compiled
def circles(corners):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The middle of every triangle, and how far its corners lie from there; the same of every block."""
    blocks = (len(corners) + BLOCK - 1) // BLOCK
    middle, reach = np.empty((len(corners), 3)), np.empty(len(corners))
    block, block_reach = np.zeros((blocks, 3)), np.zeros(blocks)
    for b in range(blocks):
        first, last = b * BLOCK, min((b + 1) * BLOCK, len(corners))
        for g in range(first, last):
            for k in range(3):
                middle[g, k] = (corners[g, 0, k] + corners[g, 1, k] + corners[g, 2, k]) / 3
                block[b, k] += middle[g, k] / (last - first)
            reach[g] = max(gap(corners[g, 0], middle[g]), gap(corners[g, 1], middle[g]), gap(corners[g, 2], middle[g]))
        for g in range(first, last):
            block_reach[b] = max(block_reach[b], gap(middle[g], block[b]) + reach[g])
    return middle, reach, block, block_reach


@compiled
def search(  # type: ignore[no-untyped-def]  # noqa: ANN201
        corners, middle, reach, faces, scores, facing, away, point):  # noqa: ANN001
    """The number and barycentric coordinates of the nearest triangle; one that lies too far off is not looked at. The
    nearest block comes first."""
    row, least, found, whole, first = -1, np.inf, np.zeros(3), np.eye(3), np.argmin(away)
    for turn in range(len(away)):
        block = int((first + turn) % len(away))
        if away[block] > least:
            continue
        for g in range(block * BLOCK, min((block + 1) * BLOCK, len(corners))):
            x, y, z = middle[g, 0] - point[0], middle[g, 1] - point[1], middle[g, 2] - point[2]
            if x * x + y * y + z * z > (reach[g] + least)**2:
                continue
            all_of_it, none_of_it = signs(scores, faces[g])
            if none_of_it or not looks(corners[g], facing):
                continue
            piece, count = (whole, 3) if all_of_it else kept_part(scores, faces[g])
            for p in range(1, count - 1):
                fan = np.stack((piece[0], piece[p], piece[p + 1]))
                bary = np.array(on_triangle(fan @ corners[g], point)) @ fan
                gone = gap(bary @ corners[g], point)
                if gone < least:
                    row, least, found = g, gone, bary
    return row, found


@compiled
def looks(corner, facing):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether a triangle's outward side looks this way; every one does where no way is given."""
    if facing[0] == 0 and facing[1] == 0 and facing[2] == 0:
        return True
    return (np.cross(corner[1] - corner[0], corner[2] - corner[0]) * facing).sum() > 0


@compiled
def signs(scores, face):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Whether no score (S, V) is negative anywhere on a triangle, and whether some score is everywhere."""
    a, b, c = face
    every = True
    for s in range(scores.shape[0]):
        below = (scores[s, a] < 0) + (scores[s, b] < 0) + (scores[s, c] < 0)
        if below == 3:
            return False, True
        every = every and below == 0
    return every, False


@compiled
def kept_part(scores, face):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The part of a triangle where no score (S, V) is negative: its corners, as barycentric coordinates, and how many.
    Scores are linear on the triangle, so that finer triangles keep the same part."""
    piece, count = np.zeros((3 + scores.shape[0], 3)), 3
    for k in range(3):
        piece[k, k] = 1
    for s in range(scores.shape[0]):
        at = np.array([scores[s, face[0]], scores[s, face[1]], scores[s, face[2]]])
        if at[0] >= 0 and at[1] >= 0 and at[2] >= 0:
            continue
        whole, before = piece.copy(), count
        count = 0
        for k in range(before):
            here, there = whole[k], whole[(k + 1) % before]
            one, two = (here * at).sum(), (there * at).sum()
            if one >= 0:
                piece[count] = here
                count += 1
            if (one >= 0) != (two >= 0):
                piece[count] = here + one / (one - two) * (there - here)
                count += 1
    return piece, count


@compiled
def on_triangle(corner, point):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Barycentric coordinates of a triangle's nearest point, as three numbers: arrays would take ten times as long."""
    ax, ay, az = corner[1, 0] - corner[0, 0], corner[1, 1] - corner[0, 1], corner[1, 2] - corner[0, 2]
    bx, by, bz = corner[2, 0] - corner[0, 0], corner[2, 1] - corner[0, 1], corner[2, 2] - corner[0, 2]
    x, y, z = point[0] - corner[0, 0], point[1] - corner[0, 1], point[2] - corner[0, 2]
    a, b, c = ax * ax + ay * ay + az * az, ax * bx + ay * by + az * bz, bx * bx + by * by + bz * bz
    u, v = ax * x + ay * y + az * z, bx * x + by * y + bz * z
    area2 = a * c - b * b
    if area2 > 1e-12 * max(a * c, 1e-300):  # relative to the edges: below that it is rounding of the product
        s, t = (c * u - b * v) / area2, (a * v - b * u) / area2
        if s >= 0 and t >= 0 and s + t <= 1:
            return 1 - s - t, s, t
    best, least = (1.0, 0.0, 0.0), np.inf
    for k in range(3):
        n = (k + 1) % 3
        dx, dy, dz = corner[n, 0] - corner[k, 0], corner[n, 1] - corner[k, 1], corner[n, 2] - corner[k, 2]
        x, y, z = point[0] - corner[k, 0], point[1] - corner[k, 1], point[2] - corner[k, 2]
        length2 = dx * dx + dy * dy + dz * dz
        part = min(max((x * dx + y * dy + z * dz) / length2, 0.0), 1.0) if length2 > 0 else 0.0
        away = (x - part * dx)**2 + (y - part * dy)**2 + (z - part * dz)**2
        if away < least:
            least = away
            best = ((1 - part, part, 0.0), (0.0, 1 - part, part), (part, 0.0, 1 - part))[k]
    return best


@compiled
def off(corner, part, point):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """How far a place lies from the point of a triangle with these three barycentric coordinates."""
    square = 0.0
    for k in range(3):
        square += (part[0] * corner[0, k] + part[1] * corner[1, k] + part[2] * corner[2, k] - point[k])**2
    return np.sqrt(square)
