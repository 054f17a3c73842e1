"""Pictured: the head fitted to one photo is laid on the outline that the photo shows, and ends there.

The neck of a head fitted to a profile may hang a centimetre below the pictured one. What lies between is wall; taken
for skin it would be bent and lit as skin. So the fitted outline is laid on the pictured one as far as the picture tells
where that is (`silhouette`), and what then still lies beyond the person as found is cut off. What the operation makes
of the pictured outline, `withdrawn`, `far_outline` and `lead` tell.
"""

import dataclasses
from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Bool, Float, Shaped

from core.channels import length
from core.correspondence import Correspondence
from synth.advancing import advanced
from synth.backdrop import Plate, signed_distance
from synth.chin import chin_off
from synth.contours import Beyond
from synth.far_outline import held, traced
from synth.jaw import jaw_off
from synth.lead import led
from synth.register import Registered
from synth.silhouette import SilhouetteOptions, outline_off
from synth.withdrawn import withdrawn

IN_ONE = SilhouetteOptions(reach_mm=12.0, found=True)
"""A neck that no photo from below shows is a guess: it may lie so far off."""
INSIDE_MM = 2.0
"""So far within the person as found no wall is seen."""
STAYS_MM, MOVES = 1.0, 0.1
"""A far cheek, whose outline stays, moves less; where more than this share of it moves more, it is a neck that is
lifted under the chin."""
LEAST_PX = 0.01
"""A piece of the head that lies no farther off stays."""
MIDDLE, MIDDLE_MM = [17, 18, 199, 200], 2.0
"""Landmarks down the middle of lower lip and chin; within so little of the outline (1.1 mm at most in 32 profiles, 3.3
at least in 32 photos from three quarters) they are the outline. A chin that advances there is led (`lead`)."""
APART_PX, READ_MM = 0.5, 5.0
"""Skin drawn so far from where the plan has it is drawn for the outline's sake; the optical flow beside an outline that
is drawn anew sees it from so far."""

Light = Float[np.ndarray, "h w 3"] | None


def pictured(frame: Float[np.ndarray, "h w 3"], flow: Correspondence, light: Light, plate: Plate | None,
             person: Bool[np.ndarray, "h w"] | None, person_mm: float,
             face_px: Float[np.ndarray, "478 2"] | None = None) -> tuple[Correspondence, Light]:
    """The window's correspondence and light, on the picture's outline and the borders of jaw and chin. person: who is
    seen, right within person_mm. face_px: the landmarks that the photo shows."""
    off = outline_off(frame, flow, plate, person, person_mm, IN_ONE)
    if off is not None:
        flow, light = laid(flow, light, off)
    if face_px is not None and person is not None:
        off = jaw_off(frame, flow, person, face_px)
        if off is not None:
            flow, light = slid(flow, light, off)
        off = chin_off(frame, flow, person, face_px)
        if off is not None:
            flow, light = laid(flow, light, off)
    if person is None or not (np.isfinite(flow.depth_before_mm) & ~person).any():
        return flow, light
    return cut_to(flow, signed_distance(person) < -person_mm * flow.px_per_mm), light


def laid(flow: Correspondence, light: Light, off_px: Float[np.ndarray, "h w 2"]) -> tuple[Correspondence, Light]:
    """Both moved; the mask holds the places before and after, too."""
    moved = Registered(flow, off_px)
    there = [cv2.remap(flow.mask, *at, cv2.INTER_LINEAR) for at in (moved.from_before, moved.from_after)]
    mask = np.maximum(flow.mask, np.maximum(*there))
    return dataclasses.replace(moved.flow, mask=mask), None if light is None else moved.after(light)


def slid(flow: Correspondence, light: Light, off_px: Float[np.ndarray, "h w 2"]) -> tuple[Correspondence, Light]:
    """The motion and the light moved, on a head that stays: whose outlines the plan leaves where they are."""
    there = length(off_px) > LEAST_PX
    rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
    part = np.s_[rows[0]:rows[-1] + 1, columns[0]:columns[-1] + 1]
    y, x = np.mgrid[part].astype(np.float32)
    back = off_px[part]  # it hardly differs where the skin lay before
    at = x - back[..., 0], y - back[..., 1]

    def moved(known: Shaped[np.ndarray, "h w *c"], how: int) -> Shaped[np.ndarray, "h w *c"]:
        out = known.copy()
        out[part] = cv2.remap(known, *at, how, borderMode=cv2.BORDER_REPLICATE)
        return out

    was = moved(flow.moved.astype(np.uint8), cv2.INTER_NEAREST) > 0
    flow = dataclasses.replace(flow, flow_px=moved(flow.flow_px, cv2.INTER_LINEAR), moved=was)
    return flow, None if light is None else moved(light, cv2.INTER_LINEAR)


def cut_to(flow: Correspondence, wall: Bool[np.ndarray, "h w"]) -> Correspondence:
    """The same without the head's parts that lie, before, where the picture shows the wall."""
    height, width = wall.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    gone = cv2.remap(wall.astype(np.uint8), x + flow.flow_px[..., 0], y + flow.flow_px[..., 1], cv2.INTER_NEAREST,
                     borderMode=cv2.BORDER_REPLICATE) > 0
    kept, far = ~gone[..., None], np.float32(np.inf)
    return dataclasses.replace(
        flow, flow_px=flow.flow_px * kept, moved=flow.moved & ~gone, normals_before=flow.normals_before * kept,
        normals_after=flow.normals_after * kept, depth_before_mm=np.where(wall, far, flow.depth_before_mm),
        depth_after_mm=np.where(gone, far, flow.depth_after_mm), from_depth_mm=np.where(gone, far, flow.from_depth_mm))


def outlined(own_px: Float[np.ndarray, "h w 2"], flow: Correspondence, frame: Float[np.ndarray, "h w 3"],
             person: Float[np.ndarray, "h w"],
             person_at: Callable[[Float[np.ndarray, "h w 2"]], Float[np.ndarray, "h w"]],
             found: Bool[np.ndarray, "h w"] | None, fitted_px: Float[np.ndarray, "h w"], contour: Beyond,
             taper: Float[np.ndarray, "h w 1"], alone: bool, face_px: Float[np.ndarray, "478 2"] | None = None
             ) -> tuple[Float[np.ndarray, "h w 2"], Correspondence]:
    """The motion with the pictured outline as it must be: the far cheek's stays; where one photo is all (`alone`), what
    withdraws before the wall leaves nothing behind, and what advances no step, as far as the head's.
    Skin that is drawn for the outline's sake is no longer asked to have moved as planned.

    person, person_at: the matte of who is seen, before, and as a motion draws it. found: the person as found, for no
    matte tells a red scarf from a red wall. fitted_px: signed distance from the fitted outline before. taper: how much
    of motion may count.
    """
    mm, changes = flow.px_per_mm, np.zeros(flow.mask.shape, bool)
    if alone:
        sure = person if found is None else np.maximum(person, np.float32(signed_distance(found) > INSIDE_MM * mm))
        drawn, changes = withdrawn(own_px, frame, sure, person_at(own_px), flow)
        own_px, flow = drawn, asked_less(flow, length(drawn - own_px))
    fitted_px = np.where(changes, np.float32(0), fitted_px)
    own_px = held(own_px, person, contour, staying(contour.apart, flow), fitted_px, taper, mm)
    if alone and face_px is not None:
        where = flow.mask > 0
        if from_the_side(face_px, person, mm):
            where &= above_mouth(face_px, flow.mask.shape)
        drawn, ahead = advanced(own_px, person, flow.depth_before_mm, flow.depth_after_mm, where, mm)
        own_px, flow = drawn, asked_less(flow, length(drawn - own_px))
        changes |= ahead
    if alone:
        own_px, more = led(own_px, person, person_at(own_px), mm)
        flow = dataclasses.replace(flow, mask=np.maximum(flow.mask, changes | more))
    return own_px, flow


def asked_less(flow: Correspondence, apart_px: Float[np.ndarray, "h w"]) -> Correspondence:
    """The plan without the motion of skin that is drawn apart from it, and of what the flow cannot tell from that."""
    return dataclasses.replace(flow, moved=flow.moved & ~grown(apart_px >= APART_PX, READ_MM * flow.px_per_mm))


def from_the_side(face_px: Float[np.ndarray, "478 2"], person: Float[np.ndarray, "h w"], px_per_mm: float) -> bool:
    """Whether lower lip and chin are the outline themselves."""
    outlines = traced(person > 0.5)
    inside = [max((cv2.pointPolygonTest(p, place, True) for p in outlines), default=np.inf)
              for place in face_px[MIDDLE].tolist()]
    return bool(np.median(inside) < MIDDLE_MM * px_per_mm)


def above_mouth(face_px: Float[np.ndarray, "478 2"], shape: tuple[int, ...]) -> Bool[np.ndarray, "h w"]:
    """Where cheeks are."""
    mouth = face_px[[13, 14]].mean(0)
    up = face_px[[33, 263]].mean(0) - mouth
    y, x = np.mgrid[:shape[0], :shape[1]]
    return np.asarray((x - mouth[0]) * up[0] + (y - mouth[1]) * up[1] > 0)


def grown(mask: Bool[np.ndarray, "h w"], by_px: float) -> Bool[np.ndarray, "h w"]:
    """A mask and all that is so near to it."""
    return mask if not mask.any() else cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) < by_px


def staying(behind: Bool[np.ndarray, "h w"], flow: Correspondence) -> Bool[np.ndarray, "h w"]:
    """The head's pixels after, without what lies behind a contour if that moves itself."""
    skin = np.isfinite(flow.depth_after_mm)
    other = skin & behind
    moves = length(flow.flow_px[other]) > STAYS_MM * flow.px_per_mm
    return skin & ~other if moves.size and moves.mean() > MOVES else skin
