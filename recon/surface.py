"""Surface: the head's skin laid onto what was measured, smooth where nothing was.

Letters: V vertices, F triangles, L the uniform Laplacian (V,V): the difference between a vertex and the mean of its
neighbours. Sparse normal equations, robust weights renewed (Geman-McClure).
"""

import numpy as np
import open3d as o3d
import scipy.sparse as sparse
from jaxtyping import Bool, Float, Int
from scipy.sparse.linalg import SuperLU, splu

from core.mesh import Mesh
from core.records import record
from core.surface import SurfacePoints
from recon.dense import Depths
from recon.graph import laplacian
from recon.scene import scene_of


@record
class SurfaceOptions:
    """How far the skin follows the measurements.

    floor_mm: no measurement is better than this. far_mm: measurements farther from the others lose their say.
    stiffness: weight of the squared Laplacian of the offsets (1/mm2). hold_mm: how far (1 sd) the skin may leave the
    fitted head where nothing was measured. most_mm: never farther than this.
    """

    floor_mm: float = 0.15
    far_mm: float = 0.6
    stiffness: float = 60.0
    hold_mm: float = 3.0
    most_mm: float = 9.0
    rounds: int = 3


DEFAULTS = SurfaceOptions()
LEAST_WEIGHT = 0.5
"""A view that measured less (1/mm2) near a vertex says nothing of it."""


def factor(matrix: sparse.csc_matrix) -> SuperLU:
    """Factorise a symmetric positive definite matrix (SuperLU with a symmetric ordering)."""
    return splu(matrix.tocsc(), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})


def offsets(mesh: Mesh, depths: Depths, movable: Float[np.ndarray, "v"], options: SurfaceOptions = DEFAULTS,
            way: Float[np.ndarray, "v 3"] | None = None) -> tuple[Float[np.ndarray, "v"], Float[np.ndarray, "v"]]:
    """How far each vertex moves along its normal (mm), and how much was measured there (sum of 1/mm2 near it).

    movable (V,): 1 where the skin may move, 0 where it is held (eyeballs, the inside of the mouth). way: unit vectors
    to move along instead of the normals.
    """
    count = len(mesh.vertices_mm)
    A, goal, base = equations(mesh, depths, options, mesh.vertex_normals() if way is None else way)
    smooth = laplacian(mesh.faces, count)
    held = options.hold_mm**-2 + (1 - movable) * 1e4
    keep = options.stiffness * (smooth.T @ smooth) + sparse.diags(held)
    weight, d = base, np.zeros(count)
    for _ in range(options.rounds):
        weighted = A.multiply(weight[:, None]).tocsr()
        d = factor(weighted.T @ A + keep).solve(weighted.T @ goal)
        weight = base / (1 + ((A @ d - goal) / options.far_mm) ** 2) ** 2
    return np.clip(d, -options.most_mm, options.most_mm), np.asarray(A.multiply(weight[:, None]).sum(0)).ravel()


def equations(mesh: Mesh, depths: Depths, options: SurfaceOptions, way: Float[np.ndarray, "v 3"]) -> tuple[
        sparse.csr_matrix, Float[np.ndarray, "p"], Float[np.ndarray, "p"]]:
    """What P measured places say of the offsets: A (P,V), how far the skin is from each (mm), and weights (1/mm2)."""
    corners = mesh.faces[depths.on.face]
    share = depths.on.bary * np.einsum("nkc,nc->nk", way[corners], depths.normal)
    goal = ((depths.target_mm - mesh.points(depths.on)) * depths.normal).sum(1)
    rows = np.repeat(np.arange(len(goal)), 3)
    A = sparse.csr_matrix((share.ravel(), (rows, corners.ravel())), shape=(len(goal), len(mesh.vertices_mm)))
    return A, goal, 1 / (depths.sd_mm.astype(float) ** 2 + options.floor_mm**2)


def disagreement(mesh: Mesh, depths: Depths, along: Float[np.ndarray, "v"], way: Float[np.ndarray, "v 3"],
                 options: SurfaceOptions = DEFAULTS) -> float:
    """How far (mm, root mean square, the median over all skin) views differ about where skin is that several measured.

    What is wrong with a whole view, its camera or the face that moved, is no smaller for many measurements.
    """
    A, goal, weight = equations(mesh, depths, options, way)
    off = A @ along - goal
    weight = weight / (1 + (off / options.far_mm) ** 2) ** 2
    A = abs(A)
    views = np.zeros(len(along))
    square = np.zeros(len(along))
    for view in np.unique(depths.view):
        rows = depths.view == view
        total = A[rows].T @ weight[rows]
        told = total > LEAST_WEIGHT
        views += told
        square[told] += ((A[rows].T @ (weight[rows] * off[rows]))[told] / total[told]) ** 2
    several = views >= 3
    return float(np.sqrt(np.median(square[several] / views[several]))) if several.any() else 0.0


def laid_on(mesh: Mesh, surface: Mesh, pins: SurfacePoints, targets_mm: Float[np.ndarray, "l 3"],
            pin_sd_mm: Float[np.ndarray, "l"], follows: Float[np.ndarray, "v"], rounds: int = 6,
            stiffness: float = 1.5, surface_sd_mm: float = 0.3) -> Mesh:
    """Slide and bend a mesh so that it lies on `surface` and its pins on their targets (non-rigid closest point).

    pin_sd_mm: inf for pins without a target. follows (V,): how much each vertex is drawn to the surface, 0 to 1.
    """
    count = len(mesh.vertices_mm)
    smooth = laplacian(mesh.faces, count)
    bend = sparse.kron(stiffness * (smooth.T @ smooth), sparse.identity(3))
    known = np.flatnonzero(np.isfinite(pin_sd_mm))
    P = rows_of(pins[known], mesh.faces, count)
    pull = 1 / pin_sd_mm[known] ** 2
    scene = scene_of(surface)
    moved = mesh.vertices_mm
    for _ in range(rounds):
        near = scene.compute_closest_points(o3d.core.Tensor(moved.astype(np.float32)))
        foot = near["points"].numpy().astype(float)
        normal = near["primitive_normals"].numpy().astype(float)
        gap = np.linalg.norm(foot - moved, axis=1)
        weight = follows / surface_sd_mm**2 / (1 + (gap / 3) ** 2) ** 2
        N = sparse.csr_matrix((normal.ravel(), (np.repeat(np.arange(count), 3), np.arange(3 * count))),
                              shape=(count, 3 * count))
        W = sparse.diags(weight)
        robust = pull / (1 + (np.linalg.norm(P @ moved - targets_mm[known], axis=1) / 6) ** 2)
        PP = sparse.kron(P.T @ sparse.diags(robust) @ P, sparse.identity(3))
        right = N.T @ (weight * ((foot - mesh.vertices_mm) * normal).sum(1)) + (
            P.T @ (robust[:, None] * (targets_mm[known] - P @ mesh.vertices_mm))).ravel()
        system = N.T @ W @ N + PP + bend + 1e-3 * sparse.identity(3 * count)
        moved = mesh.vertices_mm + factor(system).solve(right).reshape(-1, 3)
    return mesh.with_vertices(moved)


def rows_of(pins: SurfacePoints, faces: Int[np.ndarray, "f 3"], vertices: int) -> sparse.csr_matrix:
    """The matrix (L,V) that takes per-vertex values to the pins."""
    rows = np.repeat(np.arange(len(pins)), 3)
    return sparse.csr_matrix((pins.bary.ravel(), (rows, faces[pins.face].ravel())), shape=(len(pins), vertices))


def carried(mesh: Mesh, moved: Mesh, piece: Bool[np.ndarray, "v"], by: Bool[np.ndarray, "v"]) -> Float[
        np.ndarray, "v 3"]:
    """Vertices of `moved` with a separate piece (an eyeball) carried along rigidly by the mean motion of others."""
    out = moved.vertices_mm.copy()
    out[piece] = mesh.vertices_mm[piece] + (moved.vertices_mm - mesh.vertices_mm)[by].mean(0)
    return out
