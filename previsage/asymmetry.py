"""Asymmetry and skin tone as pictures: what analysis measured, handed to render."""

import numpy as np
from jaxtyping import UInt8

from analysis.skin_tone import SkinTone
from analysis.symmetry import Symmetry
from core.camera import Camera
from core.mesh import Mesh
from render.asymmetry import Place, asymmetry_map, asymmetry_sheet
from render.rasterize import rasterize
from render.skin_patches import skin_patches

SPREAD, DEFAULT_BOX = 0.3, (20.0, 20.0)
"""A place's colour spreads over so much of the piece of skin that was compared."""


def places(symmetry: Symmetry) -> list[Place]:
    """What a map shows: every difference; numbers only for the worst of each region."""
    told = {r.worst.spot.name for r in symmetry.regions.values() if r is not None}
    out = []
    for d in symmetry.differences:
        value, sd = d.judged
        if np.isfinite(value):
            x, y, z = d.at_mm
            at = np.array([[x, y, z]] if d.spot.middle else [[x, y, z], [-x, y, z]])
            out.append(Place(told=d.spot.name in told, at_mm=at, size_mm=SPREAD * max(d.spot.box_mm or DEFAULT_BOX),
                             value_mm=value, sd_mm=sd))
    return out


def symmetry_sheet(picture: UInt8[np.ndarray, "h w 3"], camera: Camera, mesh: Mesh, before: Symmetry,
                   after: tuple[UInt8[np.ndarray, "h w 3"], Mesh, Symmetry] | None = None) -> UInt8[
                       np.ndarray, "h2 w2 3"]:
    """A photo's map with the scale and the results in words; beside it the same of the picture, head and symmetry
    after an operation."""
    left = asymmetry_map(picture, camera, mesh, places(before), rasterize)
    if after is None:
        return asymmetry_sheet(left, None, before.lines())
    right = asymmetry_map(after[0], camera, after[1], places(after[2]), rasterize)
    return asymmetry_sheet(left, right, before.lines(), after[2].lines())


def tone_sheet(picture: UInt8[np.ndarray, "h w 3"], tone: SkinTone) -> UInt8[np.ndarray, "h2 w 3"]:
    """The photo with the measured skin outlined and the result in words."""
    return skin_patches(picture, {p.name: p.used for p in tone.patches}, {p.name: p.lab for p in tone.patches},
                        tone.lines())
