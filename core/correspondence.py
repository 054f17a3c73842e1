"""Correspondence: where the skin that each pixel shows after an operation lay in the picture before it.

A window of the picture only: what does not change is never looked at.
"""

import numpy as np
from jaxtyping import Bool, Float

from core.records import freeze, record


@record
class Correspondence:
    """The window's top-left pixel is (left, top) of the picture; all arrays have its h x w pixels, and each of them
    belongs to a pixel of the picture after the operation, except `depth_before_mm`.

    flow_px: to add to a pixel to find where its skin lay before; zero where the head is not seen after.
    depth_after_mm, depth_before_mm: along the optical axis, of what the pixel shows after and before; inf: no head.
    from_depth_mm: the depth that this pixel's skin had before; inf: no head.
    moved: it shows skin that moved. normals_before, normals_after: of this pixel's skin, head axes; zero where not
    moved. mask: how much of the pixel may change, 0..1. px_per_mm: at the skin that moves.
    """

    left: int
    top: int
    flow_px: Float[np.ndarray, "h w 2"]
    depth_after_mm: Float[np.ndarray, "h w"]
    depth_before_mm: Float[np.ndarray, "h w"]
    from_depth_mm: Float[np.ndarray, "h w"]
    moved: Bool[np.ndarray, "h w"]
    normals_before: Float[np.ndarray, "h w 3"]
    normals_after: Float[np.ndarray, "h w 3"]
    mask: Float[np.ndarray, "h w"]
    px_per_mm: float

    def __post_init__(self) -> None:
        freeze(self, **{name: (getattr(self, name), np.float32) for name in (
            "flow_px", "depth_after_mm", "depth_before_mm", "from_depth_mm", "normals_before", "normals_after",
            "mask")}, moved=(self.moved, bool))

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the picture."""
        height, width = self.mask.shape
        return slice(self.top, self.top + height), slice(self.left, self.left + width)
