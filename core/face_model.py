"""FaceModel -> Shaped -> Posed -> Mesh: a linear head model as staged values.

FaceModel is the template and its bases; `shape` fixes the identity, `pose` the expression, `mesh` gives the surface.
"""

import numpy as np
from jaxtyping import Float, Int

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.records import freeze, record

AT_ONCE = 16
"""Modes that are summed at once."""


@record
class FaceModel:
    """A linear head in mm, in the head frame.

    identity_basis_mm (K,V,3): one standard deviation of each mode (so coefficients are unit-variance);
    expression_basis_mm (E,V,3): each action at full strength; coefficients in [0, 1].
    view_pins: where the 478-point detector's points really fall on the surface, per head yaw
    (`view_yaw_rad` (Y,), `view_offset_mm` (Y,478,3) from the pins, in the head frame) and how much they scatter there
    (`view_sd_mm` (Y,478), inf where a point was not seen).
    """

    name: str
    template_mm: Float[np.ndarray, "v 3"]
    faces: Int[np.ndarray, "f 3"]
    uv: Float[np.ndarray, "t 2"]
    faces_uv: Int[np.ndarray, "f 3"]
    identity_basis_mm: Float[np.ndarray, "k v 3"]
    expression_names: tuple[str, ...]
    expression_basis_mm: Float[np.ndarray, "e v 3"]
    joint_names: tuple[str, ...]
    joints_mm: Float[np.ndarray, "j 3"]
    anatomy: Anatomy
    view_yaw_rad: Float[np.ndarray, "y"]
    view_offset_mm: Float[np.ndarray, "y 478 3"]
    view_sd_mm: Float[np.ndarray, "y 478"]

    def __post_init__(self) -> None:
        freeze(self, template_mm=(self.template_mm, float), faces=(self.faces, np.int32), uv=(self.uv, float),
               faces_uv=(self.faces_uv, np.int32), identity_basis_mm=(self.identity_basis_mm, np.float32),
               expression_basis_mm=(self.expression_basis_mm, np.float32), joints_mm=(self.joints_mm, float),
               view_yaw_rad=(self.view_yaw_rad, float), view_offset_mm=(self.view_offset_mm, float),
               view_sd_mm=(self.view_sd_mm, float))

    def shape(self, identity: Float[np.ndarray, "k"]) -> "Shaped":
        """Fix the identity: K unit-variance coefficients."""
        neutral = self.template_mm + blend(identity, self.identity_basis_mm)
        return Shaped(model=self, neutral_mm=neutral)

    def mean_mesh(self) -> Mesh:
        """The template as a mesh."""
        return self.shape(np.zeros(len(self.identity_basis_mm))).pose(np.zeros(len(self.expression_names))).mesh()


@record
class Shaped:
    """A face model with its identity fixed: the neutral surface (V,3) mm."""

    model: FaceModel
    neutral_mm: Float[np.ndarray, "v 3"]

    def __post_init__(self) -> None:
        freeze(self, neutral_mm=(self.neutral_mm, float))

    def pose(self, expression: Float[np.ndarray, "e"]) -> "Posed":
        """Fix the expression: E action strengths."""
        return Posed(model=self.model,
                     vertices_mm=self.neutral_mm + blend(expression, self.model.expression_basis_mm))


@record
class Posed:
    """A shaped head with an expression."""

    model: FaceModel
    vertices_mm: Float[np.ndarray, "v 3"]

    def __post_init__(self) -> None:
        freeze(self, vertices_mm=(self.vertices_mm, float))

    def mesh(self) -> Mesh:
        """The surface, with the model's topology and texture coordinates."""
        m = self.model
        return Mesh(vertices_mm=self.vertices_mm, faces=m.faces, uv=m.uv, faces_uv=m.faces_uv)


def blend(strength: Float[np.ndarray, "k"], basis_mm: Float[np.ndarray, "k v 3"]) -> Float[np.ndarray, "v 3"]:
    """The sum of a basis's displacements, each so strong; zeros at its end, modes not used, cost nothing.

    A few modes at a time are turned to double precision: all at once would have to go through main memory."""
    used = int(np.max(np.flatnonzero(strength), initial=-1)) + 1
    flat, out = basis_mm.reshape(len(basis_mm), -1), np.zeros(basis_mm[0].size)
    for first in range(0, used, AT_ONCE):
        some = slice(first, min(first + AT_ONCE, used))
        out += strength[some] @ flat[some]
    return out.reshape(basis_mm.shape[1:])
