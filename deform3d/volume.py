"""Volume that a displacement adds and removes, and triangles that it spoils.

For corners moving straight from a, b, c to a', b', c', with n(t) the (twice-area) normal at time t and u the mean of
the three displacements, the triangle sweeps exactly V = u . (n(0) + 4 n(1/2) + n(1)) / 12 (n is quadratic in t, so
Simpson's rule is exact). The sum over a closed mesh is its change of volume. Added and removed are the sums of the
positive and of the negative sweeps: outward motion adds, inward motion removes, sliding does neither.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from core.mesh import Mesh

COLLAPSED = 0.05
"""A triangle that keeps less than this part of its area has collapsed."""
THREAD_MM = 0.05
"""A triangle of less height than this cannot be seen: no camera here resolves it."""
SHARPER_DEG = 5.0
"""Edges sharpened by less are as they were: the folds of lids and nostrils were sharp before."""


def swept_mm3(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "f"]:
    """Signed volume (mm3) swept by every triangle, positive outward."""
    n0, half, n1 = (m.face_normals() for m in (
        mesh, mesh.moved(0.5 * displacement_mm), mesh.moved(displacement_mm)))
    return np.einsum("fc,fc->f", displacement_mm[mesh.faces].mean(1), n0 + 4 * half + n1) / 12


def added_removed_ml(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> tuple[float, float]:
    """Volumes added and removed (ml, both positive)."""
    swept = swept_mm3(mesh, displacement_mm) / 1000
    return float(swept[swept > 0].sum()), abs(float(swept[swept < 0].sum()))


def spoiled(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> tuple[Bool[np.ndarray, "f"], Bool[
        np.ndarray, "f"]]:
    """Triangles that the displacement flips (normal turned by over 90 degrees) and that it collapses; threads thinner
    than `THREAD_MM`, which dense refinement leaves in the folds of nostrils and lids, do not count.
    """
    before, after = mesh.face_normals(), mesh.moved(displacement_mm).face_normals()
    area, real = np.linalg.norm(before, axis=1), seen(mesh)
    flipped = real & (np.einsum("fc,fc->f", before, after) <= 0)
    return flipped, real & ~flipped & (np.linalg.norm(after, axis=1) < COLLAPSED * area)


@lru_cache(maxsize=4)
def seen(mesh: Mesh) -> Bool[np.ndarray, "f"]:
    """The triangles that are not mere threads."""
    longest = np.linalg.norm(mesh.vertices_mm[mesh.faces] - mesh.vertices_mm[np.roll(mesh.faces, 1, 1)], axis=2).max(1)
    return np.asarray(np.linalg.norm(mesh.face_normals(), axis=1) > THREAD_MM * longest)


def min_dihedral_deg(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"]) -> float:
    """The sharpest edge (angle between its two triangles, 180 is flat) among those that the displacement sharpens by
    more than `SHARPER_DEG`; 180 when there is none.
    """
    first, second = neighbours(mesh.faces.tobytes())
    before, after = (fold_deg(m.face_normals(), first, second) for m in (mesh, mesh.moved(displacement_mm)))
    return float(after[after < before - SHARPER_DEG].min(initial=180))


@lru_cache(maxsize=2)
def neighbours(faces: bytes) -> tuple[Int[np.ndarray, "e"], Int[np.ndarray, "e"]]:
    """The two triangles of every edge that has two. faces (F,3): the bytes of a mesh's."""
    edges = np.sort(np.frombuffer(faces, np.int32).reshape(-1, 3)[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    order = np.lexsort(edges.T)
    same = (edges[order[1:]] == edges[order[:-1]]).all(1)
    return order[:-1][same] // 3, order[1:][same] // 3


def fold_deg(normals: Float[np.ndarray, "f 3"], first: Int[np.ndarray, "e"], second: Int[np.ndarray, "e"]) -> Float[
        np.ndarray, "e"]:
    """The angle between triangles (degrees), 180 when flat; 180 where one has no area."""
    length = np.linalg.norm(normals, axis=1)
    product = length[first] * length[second]
    cosine = np.einsum("ec,ec->e", normals[first], normals[second]) / np.where(product > 0, product, 1)
    return np.where(product > 0, 180 - np.degrees(np.arccos(np.clip(cosine, -1, 1))), 180)
