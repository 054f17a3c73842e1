"""The nearest point of a triangle mesh.

Each triangle is answered exactly: the foot of the perpendicular if it lies inside, else the nearest point of the
nearest edge (Ericson, "Real-Time Collision Detection", 2005, section 5.1.5, in barycentric form).
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from core.mesh import Mesh
from core.surface import SurfacePoints


def nearest(mesh: Mesh, point_mm: Float[np.ndarray, "3"], among: Int[np.ndarray, "g"] | None = None) -> SurfacePoints:
    """The surface point nearest to a position (mm), as a batch of one; `among` limits the triangles."""
    rows = np.arange(len(mesh.faces)) if among is None else among
    rows = rows[within_reach(mesh.vertices_mm[mesh.faces[rows]], point_mm)]
    corners = mesh.vertices_mm[mesh.faces[rows]]
    bary = np.concatenate([foot(corners, point_mm)[:, None],
                           np.stack([on_edge(corners, point_mm, k) for k in range(3)], 1)], 1)  # (G, 4, 3)
    gap = np.linalg.norm(np.einsum("gek,gkc->gec", bary, corners) - point_mm, axis=2)
    gap = np.where((bary >= 0).all(2), gap, np.inf)
    face, candidate = np.unravel_index(np.argmin(gap), gap.shape)
    return SurfacePoints(face=np.array([rows[face]]), bary=bary[face, candidate][None])


def within_reach(corners: Float[np.ndarray, "g 3 3"], point: Float[np.ndarray, "3"]) -> Bool[np.ndarray, "g"]:
    """The triangles that may hold the nearest point: no further off than the nearest middle of any."""
    middle = corners.mean(1)
    off = np.linalg.norm(middle - point, axis=1)
    size = np.sqrt(((corners - middle[:, None])**2).sum(2).max(1))
    return off - size <= off.min()


def foot(corners: Float[np.ndarray, "g 3 3"], point: Float[np.ndarray, "3"]) -> Float[np.ndarray, "g 3"]:
    """Barycentric coordinates of the perpendicular's foot; -1 for a triangle without area."""
    e1, e2, q = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0], point - corners[:, 0]
    a, b, c = (e1 * e1).sum(1), (e1 * e2).sum(1), (e2 * e2).sum(1)
    u, v = (e1 * q).sum(1), (e2 * q).sum(1)
    area2 = a * c - b * b
    flat = area2 <= 1e-12 * np.maximum(a * c, 1e-300)  # relative to the edges: below rounding of the product
    area2 = np.where(flat, 1, area2)
    s, t = (c * u - b * v) / area2, (a * v - b * u) / area2
    return np.where(flat[:, None], -1, np.stack([1 - s - t, s, t], 1))


def on_edge(corners: Float[np.ndarray, "g 3 3"], point: Float[np.ndarray, "3"], k: int) -> Float[np.ndarray, "g 3"]:
    """Barycentric coordinates of the nearest point on edge k (corner k to k + 1)."""
    start, along = corners[:, k], corners[:, (k + 1) % 3] - corners[:, k]
    length2 = (along * along).sum(1)
    t = np.clip(((point - start) * along).sum(1) / np.where(length2 > 0, length2, 1), 0, 1)
    out = np.zeros((len(corners), 3))
    out[:, k], out[:, (k + 1) % 3] = 1 - t, t
    return out
