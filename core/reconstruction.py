"""Reconstruction: a person's head in millimetres, with the cameras that saw it. Cannot be built without a Scale."""

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.camera import Camera
from core.landmarks import Landmarks3D
from core.mesh import Mesh
from core.records import freeze, record
from core.texture import Texture


@record
class Scale:
    """Millimetres per model unit, where it comes from, and its standard deviation as a share (0.04 = 4 %)."""

    mm_per_unit: float
    source: str
    sd_relative: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.mm_per_unit) and self.mm_per_unit > 0):
            raise ValueError(f"a scale must be positive, not {self.mm_per_unit}")
        if not (np.isfinite(self.sd_relative) and self.sd_relative > 0):
            raise ValueError(f"a scale must state its spread, not {self.sd_relative}")

    @property
    def interval95_percent(self) -> float:
        """Half width of the 95 % interval of every length, in per cent."""
        return 196 * self.sd_relative


@record
class View:
    """One picture the head was fitted to: its camera, the file (relative to the case) and the frame's name.

    centre95_mm: the camera's true centre lies so near in 95 of 100 cases, for a head of the stated size; None: unsaid.
    """

    camera: Camera
    path: str
    source: str
    reprojection_px: float
    centre95_mm: float | None = None


@record
class Reconstruction:
    """mesh, texture, views, landmarks and anatomy share one head frame; uncertainty_mm (V,) is one sd per vertex.

    seen (V,): the share of the skin around each vertex that a camera showed at a usable angle, of
    `core.certainty.seen_at`; where it is at most 1/2 the skin was completed from the other side and the average face.

    texture: as seen, in the light of the pictures; what people look at. delit: the same skin under an even light, for
    whoever lights it anew; None in cases made without it.
    """

    mesh: Mesh
    texture: Texture
    anatomy: Anatomy
    views: tuple[View, ...]
    landmarks: Landmarks3D
    model: str
    identity: Float[np.ndarray, "k"]
    expression: Float[np.ndarray, "e"]
    scale: Scale
    uncertainty_mm: Float[np.ndarray, "v"]
    seen: Float[np.ndarray, "v"]
    report: dict
    delit: Texture | None = None

    def __post_init__(self) -> None:
        freeze(self, identity=(self.identity, float), expression=(self.expression, float),
               uncertainty_mm=(self.uncertainty_mm, float), seen=(self.seen, float))
        if {len(self.uncertainty_mm), len(self.seen)} != {len(self.mesh.vertices_mm)}:
            raise ValueError("every vertex needs an uncertainty, and whether it was seen")
        if self.anatomy.region_weights.shape[1] != len(self.mesh.vertices_mm):
            raise ValueError("the anatomy belongs to another topology")

    @property
    def face_seen(self) -> Float[np.ndarray, "v"]:
        """`seen` on the face, 0 elsewhere: ears, scalp and neck are mostly guessed, and no sentence is about them."""
        names = self.anatomy.region_names
        return self.seen * (self.anatomy.region("face") > 0.5) if "face" in names else self.seen
