"""Fragments: what each pixel of a camera sees of a mesh. Rasterise once, hand on."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, Int

from core.camera import Camera
from core.mesh import Mesh
from core.records import freeze, record


@record
class Fragments:
    """face (H,W) triangle number or -1; bary (H,W,3); depth_mm (H,W) along the optical axis, inf where empty."""

    face: Int[np.ndarray, "h w"]
    bary: Float[np.ndarray, "h w 3"]
    depth_mm: Float[np.ndarray, "h w"]

    def __post_init__(self) -> None:
        freeze(self, face=(self.face, np.int32), bary=(self.bary, np.float32), depth_mm=(self.depth_mm, np.float32))

    @property
    def covered(self) -> Bool[np.ndarray, "h w"]:
        """True where the mesh is seen."""
        return self.face >= 0

    def interpolate(self, values: Float[np.ndarray, "v c"], faces: Int[np.ndarray, "f 3"]) -> Float[
            np.ndarray, "h w c"]:
        """Per-vertex values at every pixel, zero where the mesh is not seen."""
        out = np.zeros((*self.face.shape, values.shape[1]), np.float32)
        hit = self.covered
        out[hit] = np.einsum("nk,nkc->nc", self.bary[hit], values[faces[self.face[hit]]])
        return out


Rasterize = Callable[[Mesh, Camera], Fragments]
"""The skill `render` offers to other stages: see a mesh through a camera."""
