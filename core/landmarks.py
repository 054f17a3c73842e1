"""Landmarks in pictures and in space, each under a named scheme."""

import numpy as np
from jaxtyping import Float

from core.records import freeze, record

MEDIAPIPE478 = "mediapipe478"
COUNT = {MEDIAPIPE478: 478}
"""Number of points in each scheme; a mismatch is an error, never a guess."""


def check_count(scheme: str, count: int) -> None:
    """Raise ValueError when `count` is not the scheme's number of points."""
    if scheme not in COUNT:
        raise ValueError(f"unknown landmark scheme {scheme!r}; known: {', '.join(COUNT)}")
    if COUNT[scheme] != count:
        raise ValueError(f"{scheme} has {COUNT[scheme]} points, not {count}")


@record
class Landmarks2D:
    """points (L,2) in px; confidence (L,) in [0, 1]."""

    scheme: str
    points: Float[np.ndarray, "l 2"]
    confidence: Float[np.ndarray, "l"]

    def __post_init__(self) -> None:
        freeze(self, points=(self.points, float), confidence=(self.confidence, float))
        check_count(self.scheme, len(self.points))


@record
class Landmarks3D:
    """points (L,3) in mm, head frame; confidence (L,) in [0, 1]."""

    scheme: str
    points: Float[np.ndarray, "l 3"]
    confidence: Float[np.ndarray, "l"]

    def __post_init__(self) -> None:
        freeze(self, points=(self.points, float), confidence=(self.confidence, float))
        check_count(self.scheme, len(self.points))
