"""Loops over triangles and vertices, compiled by numba when they are first used and kept on disk."""

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a function of arrays; the shape checks that tests wrap around every function are left out."""
    return numba.njit(cache=True, nogil=True)(inspect.unwrap(function))


@compiled
def gap(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The straight distance between two places."""
    return np.sqrt((a[0] - b[0])**2 + (a[1] - b[1])**2 + (a[2] - b[2])**2)
