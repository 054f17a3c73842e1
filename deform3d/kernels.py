"""Radial kernels of the distance along the surface; all are 1 at 0 and exactly 0 from the support R on. r = d / R.

wendland    (1 - r)^4 (4 r + 1): two continuous derivatives (Wendland, Adv. Comput. Math. 1995).
gaussian    exp(-(r / s)^2) of width s, drawn down to 0 at R: flatter about its handle, steeper flanks.
thin_plate  1 - r^2 + 2 r^2 ln r: the deflection of a thin clamped disc of radius R under a point load at its middle,
            the biharmonic Green's function of the disc (Timoshenko & Woinowsky-Krieger 1959, section 16): the pull
            reaches furthest.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

GAUSSIAN_WIDTH = 0.38
"""s, over the support: like Wendland's function, 4.5 % are left at two thirds of it."""

Kernel = Callable[[Float[np.ndarray, "*n"]], Float[np.ndarray, "*n"]]


def wendland(r: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Wendland's C2 function."""
    r = np.minimum(r, 1)
    square = (1 - r) * (1 - r)
    return square * square * (4 * r + 1)


def gaussian(r: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """A bell; the factor that ends it has two continuous derivatives at R."""
    r = np.minimum(r, 1)
    square = r * r
    end = 1 - square * square
    return np.exp(-square / GAUSSIAN_WIDTH**2) * end * end * end


def thin_plate(r: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """A clamped disc under a point load."""
    r = np.clip(r, 1e-300, 1)  # r^2 ln r goes to 0
    square = r * r
    return 1 - square + 2 * square * np.log(r)


def blunt(r: Float[np.ndarray, "*n"], top: Float[np.ndarray, "*m"]) -> Float[np.ndarray, "*n"]:
    """r, so that a kernel's top is flat within the radius t: nearly r^2 / t near 0 and r beyond, 0 at 0 and 1 at 1 as
    before, a tenth steeper at most where t is small. A kernel of it bends by the fourth power of the distance."""
    square, flat = np.minimum(r, 1)**2, top * top
    return square * np.sqrt((1 + flat) / np.maximum(square + flat, 1e-300))  # 0 at 0, also where the top is a point


KERNELS: dict[str, Kernel] = {"wendland": wendland, "gaussian": gaussian, "thin_plate": thin_plate}
