"""Modes without a place and a size: what is left of identity modes when similarity is taken out, in order of strength.

A capture does not tell a head's size, so a mode that scales the head would let a fit shrink it, and all of its
departures from the mean with it. Letters: K modes, b a mode (V,3), w how much a vertex counts.
    b <- b - (translation + rotation x + scale x), least squares with w           at the template x, to first order
    G = <b_i, b_j>_w = U diag(g) U^T,   b' = U^T b                                coefficients stay N(0, 1) and free
"""

import numpy as np
from jaxtyping import Float

LEAST_SHARE = 1e-5
"""Modes with less of the strongest one's mean square motion are dropped: rounding, or what the similarity was."""


def without_similarity(template_mm: Float[np.ndarray, "v 3"], basis_mm: Float[np.ndarray, "k v 3"],
                       weight: Float[np.ndarray, "v"], most: int) -> Float[np.ndarray, "m v 3"]:
    """At most `most` independent modes (mm at one standard deviation) that neither move, turn nor scale the head."""
    root = np.sqrt(weight / weight.sum())[:, None]
    about = template_mm - (root**2 * template_mm).sum(0)
    moves = np.stack([*(np.tile(axis, (len(about), 1)) for axis in np.eye(3)),
                      *(np.cross(axis, about) for axis in np.eye(3)), about])
    basis = basis_mm.astype(float)
    share = np.linalg.lstsq((moves * root).reshape(7, -1).T, (basis * root).reshape(len(basis), -1).T, rcond=None)[0]
    basis -= np.tensordot(share.T, moves, 1)
    flat = (basis * root).reshape(len(basis), -1)
    strength, turn = np.linalg.eigh(flat @ flat.T)
    kept = np.flatnonzero(strength > LEAST_SHARE * strength[-1])[::-1][:most]
    return np.asarray(np.tensordot(turn[:, kept].T, basis, 1))
