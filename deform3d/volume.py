"""Volume that a displacement adds and removes, and triangles that it spoils.

For corners moving straight from a, b, c to a', b', c', with n(t) the (twice-area) normal at time t and u the mean of
the three displacements, the triangle sweeps exactly V = u . (n(0) + 4 n(1/2) + n(1)) / 12 (n is quadratic in t, so
Simpson's rule is exact). The sum over a closed mesh is its change of volume. Added and removed are the sums of the
positive and of the negative sweeps: outward motion adds, inward motion removes, sliding does neither.
"""

import numpy as np
from jaxtyping import Bool, Float

from core.mesh import Mesh

COLLAPSED = 0.05
"""A triangle that keeps less than this part of its area has collapsed."""


def swept_mm3(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "f"]:
    """Signed volume (mm3) swept by every triangle, positive outward."""
    n0, half, n1 = (mesh.moved(t * displacement_mm).face_normals() for t in (0.0, 0.5, 1.0))
    return np.einsum("fc,fc->f", displacement_mm[mesh.faces].mean(1), n0 + 4 * half + n1) / 12


def added_removed_ml(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> tuple[float, float]:
    """Volumes added and removed (ml, both positive)."""
    swept = swept_mm3(mesh, displacement_mm) / 1000
    return float(swept[swept > 0].sum()), float(-swept[swept < 0].sum())


def spoiled(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> tuple[Bool[np.ndarray, "f"], Bool[
        np.ndarray, "f"]]:
    """Triangles that the displacement flips (normal turned by over 90 degrees) and that it collapses."""
    before, after = mesh.face_normals(), mesh.moved(displacement_mm).face_normals()
    area = np.linalg.norm(before, axis=1)
    real = area > 0
    flipped = real & (np.einsum("fc,fc->f", before, after) <= 0)
    return flipped, real & ~flipped & (np.linalg.norm(after, axis=1) < COLLAPSED * area)
