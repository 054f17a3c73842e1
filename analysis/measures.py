"""Measures of a face from its landmarks, in the head frame: angles in degrees, lengths in mm, ratios without unit.

Every definition names its landmarks and the row of `clinical.md` section 2.2 that it follows. A profile angle is taken
in the mid-sagittal plane (y, z): what lies beside it does not count.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float

from core.records import record

Points = Mapping[str, Float[np.ndarray, "3"]]
"""Positions (mm) of landmarks by name."""


@record
class Measure:
    """One measure: what it is for people, its unit, the landmarks it needs, and the formula.

    tolerance: a difference that is not worth talking about, in the measure's own unit (clinical.md 2.3 and 5).
    """

    label: str
    unit: Literal["deg", "mm", ""]
    pins: tuple[str, ...]
    of: Callable[[Points], float]
    tolerance: float


def angle_deg(a: Float[np.ndarray, "n"], vertex: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """The angle a-vertex-b, 0 to 180."""
    one, two = a - vertex, b - vertex
    cosine = one @ two / max(float(np.linalg.norm(one) * np.linalg.norm(two)), 1e-12)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def profile_angle(a: str, vertex: str, b: str, label: str, tolerance: float = 1.0) -> Measure:
    """An angle between three landmarks in profile."""
    return Measure(label=label, unit="deg", pins=(a, vertex, b), tolerance=tolerance,
                   of=lambda p: angle_deg(p[a][1:], p[vertex][1:], p[b][1:]))


def distance(a: str, b: str, label: str, tolerance: float = 0.5) -> Measure:
    """A straight distance."""
    return Measure(label=label, unit="mm", pins=(a, b), tolerance=tolerance,
                   of=lambda p: float(np.linalg.norm(p[a] - p[b])))


def goode(p: Points) -> float:
    """Row 25: the perpendicular from the tip to the line nasion to alar crease, over nasion to tip; in profile."""
    n, tip = p["n"][1:], p["prn"][1:]
    along = (p["ac_l"] + p["ac_r"])[1:] / 2 - n
    along = along / np.linalg.norm(along)
    arm = tip - n
    return float(np.linalg.norm(arm - along * (along @ arm)) / np.linalg.norm(arm))


def to_line_mm(p: Points, point: str, start: str, end: str) -> float:
    """How far a landmark lies before a line in profile that rises from start to end (positive in front)."""
    along = (p[end] - p[start])[1:]
    up, forward = along / np.linalg.norm(along)
    arm = (p[point] - p[start])[1:]
    return float(arm[1] * up - arm[0] * forward)


def lid_mm(p: Points, side: str) -> float:
    """Rows 13 and 14: the pupil to the lid margin, upright; of the upper lid."""
    return float(p[f"ps_{side}"][1] - p[f"p_{side}"][1])


MEASURES: Mapping[str, Measure] = {
    "nasolabial_angle": profile_angle("c", "sn", "ls", "Nasolabial angle"),
    "nasofrontal_angle": profile_angle("g", "n", "rhi", "Nasofrontal angle"),
    "nasomental_angle": profile_angle("n", "prn", "pg", "Nasomental angle"),
    "mentolabial_angle": profile_angle("li", "sl", "pg", "Mentolabial angle", 2.0),
    "facial_convexity": Measure(label="Facial convexity (Legan)", unit="deg", pins=("g", "sn", "pg"), tolerance=1.0,
                                of=lambda p: 180 - angle_deg(p["g"][1:], p["sn"][1:], p["pg"][1:])),
    "goode": Measure(label="Goode ratio (tip projection)", unit="", pins=("n", "prn", "ac_l", "ac_r"), tolerance=0.01,
                     of=goode),
    "tip_protrusion": distance("sn", "prn", "Nasal tip protrusion (sn-prn)"),
    "nasal_bridge": distance("n", "prn", "Nasal bridge length (n-prn)"),
    "nasal_width": distance("al_l", "al_r", "Nasal width (al-al)"),
    "philtrum": distance("sn", "ls", "Philtrum length (sn-ls)"),
    "lower_face": distance("sn", "gn", "Lower face height (sn-gn)", 1.0),
    "mouth_width": distance("ch_l", "ch_r", "Mouth width (ch-ch)"),
    "chin_to_zero_meridian": Measure(label="Chin to the zero meridian (positive in front)", unit="mm", pins=("n", "pg"),
                                     tolerance=0.5, of=lambda p: float(p["pg"][2] - p["n"][2])),
    "upper_lip_to_e_line": Measure(label="Upper lip to the E-line (positive in front)", unit="mm",
                                   pins=("prn", "pg", "ls"), tolerance=0.5,
                                   of=lambda p: to_line_mm(p, "ls", "pg", "prn")),
    "lower_lip_to_e_line": Measure(label="Lower lip to the E-line (positive in front)", unit="mm",
                                   pins=("prn", "pg", "li"), tolerance=0.5,
                                   of=lambda p: to_line_mm(p, "li", "pg", "prn")),
    "mrd1_left": Measure(label="Upper lid margin above the pupil, left (MRD1)", unit="mm", pins=("p_l", "ps_l"),
                         tolerance=0.3, of=lambda p: lid_mm(p, "l")),
    "mrd1_right": Measure(label="Upper lid margin above the pupil, right (MRD1)", unit="mm", pins=("p_r", "ps_r"),
                          tolerance=0.3, of=lambda p: lid_mm(p, "r")),
    "bigonial_width": distance("go_l", "go_r", "Bigonial width (go-go)", 1.0),
}
"""By the name that a person types."""


UNMEASURED: Mapping[str, str] = {
    "cervicomental_angle": "The angle between chin and neck needs the line of the neck, of which a head holds two or "
    "three centimetres that come from the head model more than from the person's pictures."}
"""Measures that people ask for and that this head does not carry, with the reason."""


def needed_pins(names: Sequence[str]) -> tuple[str, ...]:
    """Every landmark that some measures need, once."""
    return tuple(dict.fromkeys(pin for name in names for pin in MEASURES[name].pins))
