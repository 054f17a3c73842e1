"""Midpoint subdivision: a finer mesh with the same surface, on which surface distances are more exact.

V, F vertices and faces of the coarse mesh; the first V refined vertices are the coarse ones, unmoved.
"""

import numpy as np
from jaxtyping import Float, Int

from core.surface import SurfacePoints

CORNER = np.array([[[1, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5]], [[0.5, 0.5, 0], [0, 1, 0], [0, 0.5, 0.5]],
                   [[0.5, 0, 0.5], [0, 0.5, 0.5], [0, 0, 1]], [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]])
"""Barycentric coordinates, in the parent, of the corners of its four children: at corner 0, 1, 2, and the middle."""
INTO_CHILD = np.linalg.inv(CORNER.transpose(0, 2, 1))


def subdivide(values: Float[np.ndarray, "v c"], faces: Int[np.ndarray, "f 3"]) -> tuple[
        Float[np.ndarray, "w c"], Int[np.ndarray, "g 3"]]:
    """Split every triangle in four at its edge midpoints; child k of face f is face 4 f + k. Values are averaged."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    middle = len(values) + inverse.reshape(-1, 3)
    (a, b, c), (ab, bc, ca) = faces.T, middle.T
    children = np.stack([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (bc, ca, ab))], 1)
    return np.concatenate([values, values[unique].mean(1)]), children.reshape(-1, 3).astype(faces.dtype)


def into_children(points: SurfacePoints) -> SurfacePoints:
    """The same points on the mesh that `subdivide` makes."""
    child = np.where((points.bary > 0.5).any(1), points.bary.argmax(1), 3)
    bary = np.einsum("nij,nj->ni", INTO_CHILD[child], points.bary)
    return SurfacePoints(face=4 * points.face + child, bary=bary)
