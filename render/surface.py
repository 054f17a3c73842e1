"""Surface: a mesh with what every picture of it needs, worked out once and only when asked for."""

from functools import cached_property

import numpy as np
from jaxtyping import Float

from core.mesh import Mesh


class Surface:
    """A mesh, its smooth unit normals (V,3), and the texture coordinates of its faces' corners (F,3,2)."""

    def __init__(self, mesh: Mesh) -> None:
        self.mesh = mesh

    @cached_property
    def normals(self) -> Float[np.ndarray, "v 3"]:
        """Unit normals, head axes, single precision."""
        return self.mesh.vertex_normals().astype(np.float32)

    @cached_property
    def vertices_mm(self) -> Float[np.ndarray, "v 3"]:
        """Positions, single precision."""
        return self.mesh.vertices_mm.astype(np.float32)

    @cached_property
    def corner_uv(self) -> Float[np.ndarray, "f 3 2"]:
        """Texture coordinates of every face's corners, single precision."""
        return self.mesh.uv.astype(np.float32)[self.mesh.faces_uv]
