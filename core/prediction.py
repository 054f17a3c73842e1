"""Prediction: what a plan does to a head, as displacements; the original mesh is never copied."""

import numpy as np
from jaxtyping import Float

from core.records import freeze, record


@record
class Landed:
    """Where one handle was asked to go and where the surface went (mm, head frame)."""

    step: str
    pin: str
    asked_mm: tuple[float, float, float]
    landed_mm: tuple[float, float, float]

    @property
    def error_mm(self) -> float:
        """Distance between plan and result."""
        return float(np.linalg.norm(np.subtract(self.asked_mm, self.landed_mm)))


@record
class Prediction:
    """displacement_mm (S,V,3): one field per step, in the order of `step_names`; their sum is the operation.

    step_names are `procedure.step`; step_values the mm or degrees asked for; step_units `mm` or `deg`.
    """

    plan: dict
    step_names: tuple[str, ...]
    step_labels: tuple[str, ...]
    step_values: tuple[float, ...]
    step_units: tuple[str, ...]
    displacement_mm: Float[np.ndarray, "s v 3"]
    landed: tuple[Landed, ...]
    volume_added_ml: float
    volume_removed_ml: float
    warnings: tuple[str, ...]
    versions: dict

    def __post_init__(self) -> None:
        freeze(self, displacement_mm=(self.displacement_mm, float))

    def total_mm(self) -> Float[np.ndarray, "v 3"]:
        """The whole operation's displacement."""
        return self.displacement_mm.sum(0)
