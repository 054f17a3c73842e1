"""Anatomy: what lies where on a mesh of one topology: landmark pins, regions, joints."""

import numpy as np
from jaxtyping import Float

from core.records import freeze, record
from core.surface import SurfacePoints

SKIN = "skin"
NOT_SKIN = ("eye_l", "eye_r", "mouth_interior")


@record
class Anatomy:
    """Pins and regions of one topology; they hold for every head with that topology.

    pins478: the MediaPipe points. pins: anthropometric landmarks by name (`clinical` names: prn, rhi, al_l, al_r ...),
    `_l` is the patient's left. regions: weights (V,) in [0, 1] by name (nose, lips, eye_l, ear_l ...).
    """

    pins478: SurfacePoints
    pin_names: tuple[str, ...]
    pin_points: SurfacePoints
    region_names: tuple[str, ...]
    region_weights: Float[np.ndarray, "r v"]

    def __post_init__(self) -> None:
        freeze(self, region_weights=(self.region_weights, np.float32))
        if len(self.pin_names) != len(self.pin_points):
            raise ValueError("every anthropometric pin needs a name")
        if len(self.region_names) != len(self.region_weights):
            raise ValueError("every region needs a name")

    def pin(self, name: str) -> SurfacePoints:
        """One anthropometric landmark, as a batch of one."""
        return self.pin_points[[self.pin_names.index(name)]]

    def has(self, region: str) -> bool:
        """Whether there is a region of that name; `skin` always is."""
        return region == SKIN or region in self.region_names

    def region(self, name: str) -> Float[np.ndarray, "v"]:
        """Weights of one region over the vertices. `skin` is all that is neither eye nor the inside of the mouth, also
        where no other region lies: the sides of the neck, the angle of the jaw.
        """
        if name == SKIN and name not in self.region_names:
            inner = [self.region(r) for r in NOT_SKIN if r in self.region_names]
            return np.asarray(1 - np.max([np.zeros(self.region_weights.shape[1], np.float32), *inner], axis=0))
        return self.region_weights[self.region_names.index(name)]
