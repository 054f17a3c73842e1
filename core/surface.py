"""SurfacePoints: points pinned to a mesh by triangle and barycentric coordinates, never by a bare vertex index."""

import numpy as np
from jaxtyping import Float, Int

from core.records import freeze, record


@record
class SurfacePoints:
    """N points on a triangle mesh: `face` (N,) triangle numbers, `bary` (N,3) weights that sum to one."""

    face: Int[np.ndarray, "n"]
    bary: Float[np.ndarray, "n 3"]

    def __post_init__(self) -> None:
        freeze(self, face=(self.face, np.int32), bary=(self.bary, float))

    def __len__(self) -> int:
        return len(self.face)

    def __getitem__(self, rows: int | slice | list[int] | np.ndarray) -> "SurfacePoints":
        return SurfacePoints(face=np.atleast_1d(self.face[rows]), bary=np.atleast_2d(self.bary[rows]))

    def on(self, values: Float[np.ndarray, "v c"], faces: Int[np.ndarray, "f 3"]) -> Float[np.ndarray, "n c"]:
        """Interpolate per-vertex values (positions, displacements, colours) at the points."""
        return np.einsum("nk,nkc->nc", self.bary, values[faces[self.face]])
