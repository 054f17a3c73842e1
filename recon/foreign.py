"""ForeignHead: another project's linear head as its files have it, before it is given pins, regions and a layout."""

import numpy as np
from jaxtyping import Bool, Float, Int

from core.mesh import Mesh
from core.records import freeze, record

SKIN, EYE_L, EYE_R = 0, 1, 2
"""Parts of a head."""


@record
class ForeignHead:
    """A linear head in mm, upright and facing +z, +x the patient's left; its origin may be anywhere.

    part (V,): SKIN, EYE_L or EYE_R. lining (V,): skin inside the mouth and eye sockets, or None when the files do not
    say. identity_basis_mm (K,V,3) at one standard deviation; expression_basis_mm (E,V,3) at full strength, in [0, 1].
    """

    name: str
    template_mm: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    part: Int[np.ndarray, "v"]
    lining: Bool[np.ndarray, "v"] | None
    identity_basis_mm: Float[np.ndarray, "k v 3"]
    expression_names: tuple[str, ...]
    expression_basis_mm: Float[np.ndarray, "e v 3"]
    joint_names: tuple[str, ...]
    joints_mm: Float[np.ndarray, "j 3"]

    def __post_init__(self) -> None:
        freeze(self, template_mm=(self.template_mm, float), faces=(self.faces, np.int32),
               part=(self.part, np.int32), identity_basis_mm=(self.identity_basis_mm, np.float32),
               expression_basis_mm=(self.expression_basis_mm, np.float32), joints_mm=(self.joints_mm, float))
        if self.lining is not None:
            freeze(self, lining=(self.lining, bool))

    def mesh(self) -> Mesh:
        """The template without a layout."""
        return bare(self.template_mm, self.faces)

    def skin(self) -> Mesh:
        """The template's skin alone, on the same vertices."""
        return bare(self.template_mm, self.faces[(self.part[self.faces] == SKIN).all(1)])


def bare(vertices_mm: Float[np.ndarray, "v 3"], faces: Int[np.ndarray, "f 3"]) -> Mesh:
    """A mesh whose texture coordinates do not matter."""
    return Mesh(vertices_mm=vertices_mm, faces=faces, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(faces))
