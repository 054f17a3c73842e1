"""Verdict on one clinical photo: is it good enough, is it the view that it should be, and what to do again.

Angles in degrees, because people read them. Bounds are round numbers; those on sharpness and light are the film's
(`recon.verdict`).
"""

import numpy as np
from jaxtyping import UInt8

from core.records import record
from recon.detect import Face
from recon.eyes import open_eyes
from recon.face478 import expression
from recon.quality import measure
from recon.verdict import Level, level, light_level

STANDARD_DEG = {"frontal": 0.0, "right three-quarter": 45.0, "left three-quarter": -45.0, "right profile": 90.0,
                "left profile": -90.0}
"""The five views of a clinical set, by the head's yaw (positive: turned to the patient's left, which shows the right
side)."""
NEAR_DEG = {"frontal": 8.0, "right three-quarter": 15.0, "left three-quarter": 15.0, "right profile": 15.0,
            "left profile": 15.0}
"""A photo stands for a view when it is no farther from it."""
TILT_DEG, NOD_DEG = 6.0, 12.0
EYES_PX = (160.0, 60.0)
"""Between the outer eye corners: 1.8 px per mm show a change of half a millimetre; 60 is the least that is used."""
OPEN_MOUTH, SMILE = 0.05, 0.95
"""Gap of the inner lips over the distance from eyes to mouth; and the mouth's width over it, of a smile (0.97 at least
in 24 photos of smiles, 0.91 at most in 120 of others, one of which smiles faintly)."""


@record
class Finding:
    """One line: what, how good, in words, and what to do where it is not green."""

    name: str
    level: Level
    sentence: str
    advice: str


@record
class PhotoVerdict:
    """view: of STANDARD_DEG, the nearest one, or '' when none is near. off_deg: how far the head is turned from it."""

    view: str
    off_deg: float
    findings: tuple[Finding, ...]

    @property
    def level(self) -> Level:
        """The worst finding's."""
        return max((f.level for f in self.findings), key=("green", "amber", "red").index, default="green")

    @property
    def sentence(self) -> str:
        """One line for a person."""
        wrong = [f for f in self.findings if f.level != "green"]
        if not wrong:
            return f"A good {self.view} photo."
        return " ".join(f"{f.sentence} {f.advice}" for f in wrong)


def judge_photo(picture: UInt8[np.ndarray, "h w 3"], face: Face, angles_deg: tuple[float, float, float],
                eyes_px: float) -> PhotoVerdict:
    """The verdict on a photo whose head was fitted. angles_deg: the fitted head's yaw, pitch, roll."""
    found = measure(picture, face)
    yaw, pitch, roll = angles_deg
    nearest = min(STANDARD_DEG, key=lambda name: abs(STANDARD_DEG[name] - yaw))
    off = yaw - STANDARD_DEG[nearest]
    near = abs(off) <= NEAR_DEG[nearest]
    shut = not open_eyes(face.points_px[None, :, :2])[0].any()
    rows = [
        ("view", "green" if near else "amber", f"The head is turned {abs(yaw):.0f}°, between the standard views.",
         f"For a {nearest} view turn it {abs(off):.0f}° {'back' if abs(yaw) > abs(STANDARD_DEG[nearest]) else 'on'}."),
        ("tilt", "green" if abs(roll) <= TILT_DEG else "amber", f"The head leans {abs(roll):.0f}°.",
         "Hold the phone upright and the head straight."),
        ("nod", "green" if abs(pitch) <= NOD_DEG else "amber", f"The head {'nods' if pitch > 0 else 'is raised'} by "
         f"{abs(pitch):.0f}°.", "Hold the camera at the height of the eyes."),
        ("size", level(eyes_px, *EYES_PX), f"The face is small ({eyes_px:.0f} px between the outer eye corners).",
         "Come nearer, or send the original photo."),
        ("sharpness", level(found.sharpness, 12, 4), "The photo is not sharp.", "Hold still, and tap on the face."),
        ("light", light_level(found.luma, found.clipped), "The face is too dark or burnt out.",
         "Turn towards a window or a lamp, no flash."),
        ("mouth", "green" if found.expression.mouth <= OPEN_MOUTH else "amber", "The mouth is open.",
         "Close the lips, face at rest."),
        ("smile", "amber" if smiles(face) else "green", "The person smiles.", "Face at rest, please."),
        ("eyes", "amber" if shut else "green", "The eyes are shut.", "Look straight ahead."),
        ("glasses", "green" if found.rims < 0.25 else "amber", "Glasses are worn.", "Take them off."),
    ]
    findings = tuple(Finding(name=n, level=le, sentence=s, advice=a) for n, le, s, a in rows)  # type: ignore[arg-type]
    return PhotoVerdict(view=nearest if near else "", off_deg=float(off), findings=findings)


def smiles(face: Face) -> bool:
    """Whether a face smiles: the wings of the nose are spread then, lips and cheeks drawn."""
    return expression(face.points_px).smile > SMILE
