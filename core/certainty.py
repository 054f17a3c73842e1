"""Certainty: how near the true skin lies to a head's surface, and which of it a camera saw.

Letters: s one standard deviation (mm) of a vertex, a the skin's area around it, x a distance (mm).
"""

from math import erf, sqrt

import numpy as np
from jaxtyping import Float

from core.mesh import Mesh
from core.texture import Texture

WITHIN_95 = 1.96
"""Standard deviations that hold 95 % of a normal error."""
SEEN = 0.5
"""A vertex is seen when a camera showed more than this share of the skin around it."""
SAMPLES = np.array([[i, j, 3 - i - j] for i in range(4) for j in range(4 - i)]) / 4 + 1 / 12
"""Barycentrics of ten points spread evenly over a triangle."""


def seen_at(texture: Texture, mesh: Mesh) -> Float[np.ndarray, "v"]:
    """The share, 0..1, of the skin around every vertex that a camera saw at a usable angle (`Texture.seen`)."""
    height, width = texture.seen.shape
    uv = np.einsum("sk,fkc->fsc", SAMPLES, mesh.uv[mesh.faces_uv])
    x = np.clip((uv[..., 0] * width).astype(int), 0, width - 1)
    y = np.clip((uv[..., 1] * height).astype(int), 0, height - 1)
    share = (texture.seen[y, x] > 0).mean(1)
    around = area_mm2(mesh)
    return over_faces(mesh, share * face_area_mm2(mesh)) / np.maximum(around, 1e-12)


def within95_mm(mesh: Mesh, sd_mm: Float[np.ndarray, "v"], seen: Float[np.ndarray, "v"]) -> float:
    """The distance x that holds 95 % of the seen skin: the mean of erf(x / (s sqrt 2)) over its area is 0.95.

    NaN when no skin was seen.
    """
    rows = seen > SEEN
    weight = area_mm2(mesh)[rows]
    if not weight.sum() > 0:
        return float("nan")
    within = np.vectorize(erf, otypes=[float])
    low, high = 0.0, 4.0 * float(sd_mm[rows].max())
    for _ in range(24):
        middle = (low + high) / 2
        held = np.average(within(middle / np.maximum(sd_mm[rows] * sqrt(2), 1e-12)), weights=weight)
        low, high = (middle, high) if held < 0.95 else (low, middle)
    return (low + high) / 2


def face_area_mm2(mesh: Mesh) -> Float[np.ndarray, "f"]:
    """Every triangle's area."""
    a, b, c = np.moveaxis(mesh.vertices_mm[mesh.faces], 1, 0)
    area: np.ndarray = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    return area


def area_mm2(mesh: Mesh) -> Float[np.ndarray, "v"]:
    """The area of the triangles around every vertex, shared by none: three times the surface in all."""
    return over_faces(mesh, face_area_mm2(mesh))


def over_faces(mesh: Mesh, values: Float[np.ndarray, "f"]) -> Float[np.ndarray, "v"]:
    """The sum of the triangles' values around every vertex."""
    return np.bincount(mesh.faces.ravel(), np.repeat(values, 3), len(mesh.vertices_mm))
