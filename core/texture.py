"""Texture: the skin as an sRGB picture over the mesh's texture coordinates, and where it was really seen."""

import numpy as np
from jaxtyping import Float, UInt8

from core.mesh import Mesh
from core.records import freeze, record


@record
class Texture:
    """rgb (H,W,3) sRGB bytes; seen (H,W): 255 where a camera saw the skin, 0 where it was filled. A strip
    before each ear is seen and yet filled: the model's ear lies elsewhere than the person's."""

    rgb: UInt8[np.ndarray, "h w 3"]
    seen: UInt8[np.ndarray, "h w"]

    def __post_init__(self) -> None:
        freeze(self, rgb=(self.rgb, np.uint8), seen=(self.seen, np.uint8))

    def sample(self, uv: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 3"]:
        """Bilinear colours (0..255) at texture coordinates; the edge colour outside [0, 1]."""
        h, w = self.rgb.shape[:2]
        x = np.clip(uv[:, 0] * w - 0.5, 0, w - 1)
        y = np.clip(uv[:, 1] * h - 0.5, 0, h - 1)
        x0, y0 = np.minimum(x.astype(int), w - 2), np.minimum(y.astype(int), h - 2)
        fx, fy = (x - x0)[:, None], (y - y0)[:, None]
        top = self.rgb[y0, x0] * (1 - fx) + self.rgb[y0, x0 + 1] * fx
        bottom = self.rgb[y0 + 1, x0] * (1 - fx) + self.rgb[y0 + 1, x0 + 1] * fx
        return top * (1 - fy) + bottom * fy

    def vertex_colors(self, mesh: Mesh) -> UInt8[np.ndarray, "v 3"]:
        """One colour per vertex (a vertex on a texture seam takes one side's colour)."""
        uv_of_vertex = np.zeros((len(mesh.vertices_mm), 2))
        uv_of_vertex[mesh.faces.ravel()] = mesh.uv[mesh.faces_uv.ravel()]
        return np.rint(self.sample(uv_of_vertex)).astype(np.uint8)
