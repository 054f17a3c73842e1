"""Compiled: loops over arrays as machine code, by numba."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over arrays when it is first used, and keep it on disk; threads may run it side by side. The shape
    checks that tests wrap around every function are left out."""
    return numba.njit(cache=True, nogil=True)(inspect.unwrap(function))
