"""Doubt: how sure a bundle's cameras and landmarks are, from the covariance of its unknowns, and the skin that nothing
measured.

Letters as in `recon.bundle`: K identity modes, G lenses, N views; shared (C,C) is the covariance of the C = K + G + 6 N
unknowns, the free landmarks being unknown too.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree
from scipy.special import chdtri

from core.anatomy import Anatomy
from core.mesh import Mesh
from recon.free_points import inverse3, multiply

MEASURED_MM = 0.75
"""Skin that is stated to be surer than this (1 sd) was measured."""
PER_MM, FARTHEST_MM = 0.5, 30.0
"""What the surface may lie off (1 sd) beside measured skin, a mm away, and from where on it grows no more. With it and
the next two the 95 % intervals of the shape hold 91 % of all skin in the median of ten films with truth (83 to 97;
ears 100, neck 90, scalp 99, what no camera saw 94), where they held 75 (ears 68, neck 45, scalp 55, unseen 37)."""
EAR_MM, NECK_MM = 3.0, 1.0
"""At least, of ears, which fit no two views, and of the neck, which bends."""
PER_FITTED_MM, TOLD_MM, FITTED_MM = 0.2, 10.0, 60.0
"""The same of a head that is fitted to landmarks: what it may lie off a mm away, from where on (landmarks tell of skin
nearer than that) and how far. With it 95 % intervals of quick reconstructions hold 92 % of all skin in the median of
nine films (82 to 99; ears 97 to 100, neck 77 to 100, scalp 80 to 100), where they held 72 (ears 57 to 100, neck 30 to
100, scalp 54 to 94)."""
NOSE_MM = 1.4
"""A fitted nose may be off by so much more than the rest of the face: 87 to 100 % are held, for 73 to 97."""


def with_variance(cov: Float[np.ndarray, "c c"], rows: Int[np.ndarray, "r"], variance: Float[np.ndarray, "r"],
                  ) -> Float[np.ndarray, "c c"]:
    """The covariance when some unknowns have other variances than it says (NaN: that one stays); the others follow them
    as before: C + S (D - C_rr) S' with the slopes S = C_r C_rr^-1."""
    own = cov[np.ix_(rows, rows)]
    wanted = own - np.diag(np.diag(own)) + np.diag(np.where(np.isnan(variance), np.diag(own), variance))
    slopes = np.linalg.solve(own, cov[rows]).T
    return np.asarray(cov + slopes @ (wanted - own) @ slopes.T)


def landmark_sd(identity: Float[np.ndarray, "k l 3"], H: Float[np.ndarray, "l 3 3"], B: Float[np.ndarray, "c l 3"],
                shared: Float[np.ndarray, "c c"]) -> Float[np.ndarray, "l"]:
    """One sd (mm per axis) of x = P a + d: the modes a have the covariance `shared`, the departures d follow the shared
    unknowns by -H^-1 B' and have H^-1 of their own."""
    inverse, slope = inverse3(H), np.empty(B.shape)
    multiply(B, -inverse, slope)
    slope[:len(identity)] += identity
    flat = slope.reshape(len(slope), -1)
    variance = np.einsum("cp,cp->p", shared @ flat, flat).reshape(-1, 3).sum(1) + np.trace(inverse, axis1=1, axis2=2)
    return np.sqrt(variance / 3)


def centre_cov(head: Float[np.ndarray, "l 3"], identity: Float[np.ndarray, "k l 3"], poses: Float[np.ndarray, "n 4 4"],
               shared: Float[np.ndarray, "c c"]) -> Float[np.ndarray, "n 3 3"]:
    """Covariances of c = -R' t over the size of the head: R turns by w and t moves by m, so that dc = R' (w x t - m);
    the size follows the modes, dln(size) = sum (P a) . x / sum x . x over the landmarks x about their middle."""
    x = head - head.mean(0)
    grows = (identity * x).sum((1, 2)) / (x**2).sum()
    out = []
    for view, pose in enumerate(poses):
        R, t = pose[:3, :3], pose[:3, 3]
        J, first = np.zeros((3, len(shared))), len(shared) - 6 * (len(poses) - view)
        J[:, first:first + 3] = R.T @ np.stack([np.cross(axis, t) for axis in np.eye(3)], 1)
        J[:, first + 3:first + 6] = -R.T
        J[:, :len(grows)] = (R.T @ t)[:, None] * grows
        out.append(J @ shared @ J.T)
    return np.array(out)


def radius95(cov: Float[np.ndarray, "3 3"]) -> float:
    """The radius about a point that holds the true one in 95 of 100 cases: the squared distance is taken for a scaled
    chi-square of the same mean and variance (Satterthwaite)."""
    mean, spread = np.trace(cov), np.sum(cov**2)
    return float(np.sqrt(spread / mean * chdtri(mean**2 / spread, 0.05)))


def beyond_measured(mesh: Mesh, anatomy: Anatomy, sd_mm: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v"]:
    """One sd (mm) per vertex of a measured surface: larger the farther off measured skin, and on ears and neck."""
    ear = np.maximum(anatomy.region("ear_l"), anatomy.region("ear_r"))
    least = np.maximum(EAR_MM * ear, NECK_MM * anatomy.region("neck"))
    measured = sd_mm < MEASURED_MM
    away = cKDTree(mesh.vertices_mm[measured]).query(mesh.vertices_mm)[0] if measured.any() else np.inf
    return np.asarray(np.sqrt(sd_mm**2 + least**2 + (PER_MM * np.minimum(away, FARTHEST_MM)) ** 2))


def beyond_landmarks(mesh: Mesh, anatomy: Anatomy, sd_mm: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v"]:
    """One sd (mm) per vertex of a fitted surface: larger the farther off the landmarks, and on the nose."""
    away = cKDTree(mesh.points(anatomy.pins478)).query(mesh.vertices_mm)[0]
    untold = PER_FITTED_MM * np.clip(away - TOLD_MM, 0, FITTED_MM)
    return np.asarray(np.sqrt(sd_mm**2 + untold**2 + (NOSE_MM * anatomy.region("nose")) ** 2))
