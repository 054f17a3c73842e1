"""Mix: values of a triangle's corners at the points that rays met, in one compiled pass over them."""

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from jaxtyping import Float, Int


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays when it is first used, and keep it on disk; threads may run it side by side."""
    return numba.njit(cache=True, nogil=True)(inspect.unwrap(function))


def of_corners(face: Int[np.ndarray, "n"], bary: Float[np.ndarray, "n 3"], corners: Float[np.ndarray, "f 3 c"]
               ) -> Float[np.ndarray, "n c"]:
    """Values that every face has at its own corners; 1e3 where nothing was met, near to no texture coordinate."""
    out = np.empty((len(face), corners.shape[2]), np.float32)
    from_corners(face, bary, corners, out)
    return out


def of_vertices(face: Int[np.ndarray, "n"], bary: Float[np.ndarray, "n 3"], faces: Int[np.ndarray, "f 3"],
                values: Float[np.ndarray, "v c"]) -> Float[np.ndarray, "n c"]:
    """Values of the vertices; zero where nothing was met."""
    out = np.empty((len(face), values.shape[1]), values.dtype)
    from_vertices(face, bary, faces, values, out)
    return out


@compiled
def from_corners(face, bary, corners, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write `of_corners`."""
    for n in range(len(face)):
        for c in range(out.shape[1]):
            out[n, c] = np.float32(1e3) if face[n] < 0 else (
                bary[n, 0] * corners[face[n], 0, c] + bary[n, 1] * corners[face[n], 1, c]
                + bary[n, 2] * corners[face[n], 2, c])


@compiled
def from_vertices(face, bary, faces, values, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write `of_vertices`."""
    for n in range(len(face)):
        for c in range(out.shape[1]):
            out[n, c] = 0
            if face[n] >= 0:
                for k in range(3):
                    out[n, c] += bary[n, k] * values[faces[face[n], k], c]
