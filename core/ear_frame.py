"""Ear frame: a window beside a pictured face in which an ear stands upright, in millimetres."""

import numpy as np
from jaxtyping import Float

from core.records import freeze, record


@record
class EarFrame:
    """origin_px is (0, 0) mm; out (away from the face) and down are unit vectors in the picture, at right angles.
    depth_mm: of the ear, along the optical axis."""

    origin_px: Float[np.ndarray, "2"]
    out: Float[np.ndarray, "2"]
    down: Float[np.ndarray, "2"]
    px_per_mm: float
    depth_mm: float

    def __post_init__(self) -> None:
        freeze(self, origin_px=(self.origin_px, float), out=(self.out, float), down=(self.down, float))

    def px(self, mm: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Pixels of places in the window."""
        return np.asarray(self.origin_px + self.px_per_mm * (mm[..., :1] * self.out + mm[..., 1:] * self.down))

    def mm(self, px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Places in the window of pixels."""
        apart = (px - self.origin_px) / self.px_per_mm
        return np.stack([apart @ self.out, apart @ self.down], -1)
