"""Lobe: where a photo from the front shows an ear beside the cheek, so that a cheek that is lifted slides past it.

The outline of an ear (`recon.ear_outline`) ends where its lobe meets the cheek, or where its rays end. The cheek's edge
before the ear is the face's detected outline; where the lobe ends within that, it was taken too far out.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.camera import Camera
from core.ear_frame import EarFrame
from core.records import record
from recon.ear_outline import EarOutline, find_outline, frame_of
from recon.ears import EARS
from recon.one_photo import PhotoHead

EDGE_LM = {"ear_r": (127, 234, 93, 132, 58, 172), "ear_l": (356, 454, 323, 361, 288, 397)}
"""Landmarks down the cheek's edge beside each ear."""


@record
class LobeLimits:
    """What shows enough of a lobe. turned_deg: of the head; px_per_mm; height_mm; low_mm: the lowest part, of which so
    much (clear) must have an edge, and so much of the ear (skin) be skin. within_mm: the ear's edge is laid so far
    within the cheek's, for a strip of lobe that moves along is a dent, and a strip of cheek that stays hardly shows."""

    turned_deg: float = 16.0
    px_per_mm: float = 0.5
    height_mm: tuple[float, float] = (30.0, 86.0)
    low_mm: float = 20.0
    clear: float = 0.8
    skin: float = 0.75
    within_mm: float = 0.5


LIMITS = LobeLimits()


def ears_beside(head: PhotoHead, camera: Camera, face_px: Float[np.ndarray, "478 2"],
                picture: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"],
                limits: LobeLimits = LIMITS) -> list[Float[np.ndarray, "_ 2"]]:
    """Rings around the ears whose lobes are shown, px. face_px: the detected landmarks; person: who is seen."""
    if abs(head.angles_deg[0]) > limits.turned_deg or head.px_per_mm < limits.px_per_mm:
        return []
    px, rings = camera.px_from_points(head.mesh.points(head.anatomy.pins478)), []
    for ear in EARS:
        frame = frame_of(head.mesh, head.anatomy, camera, ear)
        outline = find_outline(frame, px, picture, person)
        if shows_lobe(outline, limits):
            rings.append(ring(frame, outline, face_px[list(EDGE_LM[ear])], limits.within_mm))
    return rings


def shows_lobe(outline: EarOutline, limits: LobeLimits = LIMITS) -> bool:
    """Whether what was found is an ear as far as its lower part goes: hair may hide its top."""
    points = outline.points_mm
    if len(points) < 3 or not limits.height_mm[0] <= outline.height_mm <= limits.height_mm[1]:
        return False
    low = points[:, 1] > points[:, 1].max() - limits.low_mm
    return bool((outline.edge[low] > 1).mean() >= limits.clear and outline.skin >= limits.skin)


def ring(frame: EarFrame, outline: EarOutline, edge_px: Sequence[Sequence[float]] | Float[np.ndarray, "k 2"],
         within_mm: float) -> Float[np.ndarray, "n 2"]:
    """The outline, closed along the cheek's edge, with which it ends."""
    points, edge = outline.points_mm, frame.mm(np.asarray(edge_px, float))
    order = np.argsort(edge[:, 1])
    y = np.linspace(points[-1, 1], points[0, 1], 24)
    x = np.interp(y, edge[order, 1], edge[order, 0])
    x += min(0.0, float(points[-1, 0] - x[0])) - within_mm
    return frame.px(np.concatenate([points, np.stack([x, y], 1)]))
