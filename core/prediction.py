"""Prediction: what a plan does to a head, as displacements; the original mesh is never copied."""

import dataclasses

import numpy as np
from jaxtyping import Float

from core.evidence import Band
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
class Coupled:
    """What a step drags along: so many mm on average, and at the weak and the strong end."""

    step: str
    label: str
    mean_mm: float
    low_mm: float
    high_mm: float
    mark: str
    source: str

    def in_words(self) -> str:
        """For people."""
        return (f"also moves: {self.label} {self.mean_mm:+.1f} mm ({self.low_mm:+.1f} to {self.high_mm:+.1f}, evidence "
                f"{self.mark}) because of {self.step}")


@record
class Prediction:
    """displacement_mm (S,V,3): one field per step, in the order of `step_names`; their sum is the operation.

    step_names are `procedure.step`, with `.left` or `.right` behind it where a step has sides; step_values the mm,
    degrees or percent asked for; step_units `mm`, `deg` or `percent`. low_mm and high_mm (S,V,3): the same where tissue
    responds least and most. swelling_mm (P,V,3): a layer over the result per procedure of `swelling_names`, at 100 %;
    swelling_percent (P,T): what is left of it at `swelling_months` (T).
    min_dihedral_deg: the sharpest edge that the operation makes or sharpens, 180 where it sharpens none.
    """

    plan: dict
    step_names: tuple[str, ...]
    step_labels: tuple[str, ...]
    step_values: tuple[float, ...]
    step_units: tuple[str, ...]
    displacement_mm: Float[np.ndarray, "s v 3"]
    low_mm: Float[np.ndarray, "s v 3"]
    high_mm: Float[np.ndarray, "s v 3"]
    landed: tuple[Landed, ...]
    couplings: tuple[Coupled, ...]
    swelling_names: tuple[str, ...]
    swelling_mm: Float[np.ndarray, "p v 3"]
    swelling_months: tuple[float, ...]
    swelling_percent: Float[np.ndarray, "p t"]
    volume_added_ml: float
    volume_removed_ml: float
    min_dihedral_deg: float
    warnings: tuple[str, ...]
    versions: dict

    def __post_init__(self) -> None:
        freeze(self, displacement_mm=(self.displacement_mm, float), low_mm=(self.low_mm, float),
               high_mm=(self.high_mm, float), swelling_mm=(self.swelling_mm, float),
               swelling_percent=(self.swelling_percent, float))

    def total_mm(self, band: Band = "mean") -> Float[np.ndarray, "v 3"]:
        """The whole operation's displacement, on average or at an end of the band."""
        return {"low": self.low_mm, "mean": self.displacement_mm, "high": self.high_mm}[band].sum(0)

    def shown(self, band: Band = "mean", months: float | None = None) -> "Prediction":
        """The same at an end of the band, and with the swelling of so many months (> 0) after the operation as a step
        of its own. What was asked, landed and told stays the mean's.
        """
        fields = {"low": self.low_mm, "mean": self.displacement_mm, "high": self.high_mm}[band]
        if months is None:
            return dataclasses.replace(self, displacement_mm=fields)
        swelling = self.swollen_mm(months)[None]
        return dataclasses.replace(
            self, step_names=(*self.step_names, "swelling"), step_labels=(*self.step_labels, "Swelling"),
            step_values=(*self.step_values, float(months)), step_units=(*self.step_units, "months"),
            **{name: np.concatenate([own, swelling]) for name, own in (
                ("displacement_mm", fields), ("low_mm", self.low_mm), ("high_mm", self.high_mm))})

    def swollen_mm(self, months: float) -> Float[np.ndarray, "v 3"]:
        """The swelling to add to the final result so many months (> 0) after the operation; held beyond the table."""
        times = np.log(self.swelling_months)
        left = [np.interp(np.log(months), times, percent) / 100 for percent in self.swelling_percent]
        return np.einsum("p,pvc->vc", np.array(left), self.swelling_mm)


def triple(vector: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    """A vector as plain numbers."""
    x, y, z = (float(v) for v in vector)
    return x, y, z
