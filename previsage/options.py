"""What a person may say about a capture: one set of options for Python, the command line and the web."""

import math
from typing import Literal

from core.errors import UsageError
from core.records import record

Quality = Literal["fast", "full"]
IPD_MM, MARKER_MM = (40.0, 85.0), (5.0, 200.0)
"""Bounds of what a person may type: distance between the pupils, side of a printed marker."""


@record
class ReconstructOptions:
    """How a head is made. UsageError when a value is outside its range.

    model: head model, a row of `previsage models`. ipd_mm: the person's distance between the pupils, looking far away.
    marker_mm: side of a printed 4x4 ArUco marker on the forehead. Either gives the scale; without them the iris does.
    quality: `full`, or `fast`: the model's surface only, fitted to followed skin, and skin at half the resolution.
    photometric: at full quality, move the skin until the pictures agree on it; needs torch.
    """

    model: str = "anny"
    ipd_mm: float | None = None
    marker_mm: float | None = None
    quality: Quality = "full"
    photometric: bool = False

    def __post_init__(self) -> None:
        check_length("ipd_mm", self.ipd_mm, IPD_MM, "Measure between the pupils, in millimetres; adults have 51 to 77.")
        if self.photometric and self.quality != "full":
            raise UsageError("photometric_fast", "The photometric refinement is for full quality only.",
                             "Leave it out, or ask for --quality full.")
        check_length("marker_mm", self.marker_mm, MARKER_MM, "Measure the black square's side, in millimetres.")


def check_length(name: str, value: float | None, bounds: tuple[float, float], hint: str) -> None:
    """UsageError when a length is given and not within its bounds (mm)."""
    low, high = bounds
    if value is not None and not (math.isfinite(value) and low <= value <= high):
        raise UsageError("bad_" + name, f"{name} is {value:g}, outside {low:g} to {high:g} mm.", hint)
