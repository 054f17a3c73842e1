"""Calm: linear algebra on small matrices by one thread.

OpenBLAS, which the wheels of numpy and scipy carry, spreads even a matrix of 200 x 200 over all cores, and its idle
threads spin while they wait: on two busy cores one such factorisation took 88 ms of processor time instead of 1 ms.
Neither numpy nor scipy has a word for it, so its own functions are called.
"""

import contextlib
import ctypes
import functools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy
import scipy.linalg  # loads the library that is looked for

PLACES = ("{name}.libs", "{name}/.dylibs")
"""Where a wheel keeps its libraries, beside or in the package."""
NAMES = ("openblas_{}_num_threads64_", "scipy_openblas_{}_num_threads64_", "openblas_{}_num_threads",
         "scipy_openblas_{}_num_threads")


class Threads:
    """The number of threads of all OpenBLAS libraries; who asks for one thread first also gives it back."""

    def __init__(self) -> None:
        self.libraries = [found for package in (numpy, scipy) for found in libraries(package.__name__, Path(
            str(package.__file__)).parents[1])]
        self.lock, self.askers, self.before = threading.Lock(), 0, [1] * len(self.libraries)

    def take(self) -> None:
        """One thread from now on."""
        with self.lock:
            if self.askers == 0:
                self.before = [get() for get, _ in self.libraries]
                self.set([1] * len(self.libraries))
            self.askers += 1

    def give_back(self) -> None:
        """As before, when nobody else wants one."""
        with self.lock:
            self.askers -= 1
            if self.askers == 0:
                self.set(self.before)

    def set(self, counts: list[int]) -> None:
        """Of each library."""
        for (_, put), count in zip(self.libraries, counts, strict=True):
            put(count)


def libraries(name: str, site: Path) -> list[tuple[Callable[[], int], Callable[[int], None]]]:
    """How to ask for and to set the threads of a package's OpenBLAS; empty where it came with another library."""
    found = []
    for path in (p for place in PLACES for p in (site / place.format(name=name)).glob("*openblas*")):
        library = ctypes.CDLL(str(path))
        for form in NAMES:
            if hasattr(library, form.format("set")):
                found.append((getattr(library, form.format("get")), getattr(library, form.format("set"))))
                break
    return found


@functools.cache
def threads() -> Threads:
    """Of this program."""
    return Threads()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within, small matrices are worked on by one thread; as a decorator, too."""
    threads().take()
    try:
        yield
    finally:
        threads().give_back()
