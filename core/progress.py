"""Progress of long work: a stage calls `progress(fraction, message)`; the caller decides what a person sees."""

from collections.abc import Callable

Progress = Callable[[float, str], None]


def silent(fraction: float, message: str) -> None:
    """The progress nobody watches."""


def part(progress: Progress, start: float, end: float) -> Progress:
    """The share [start, end] of `progress`, as a progress of its own."""
    return lambda fraction, message: progress(start + (end - start) * fraction, message)
