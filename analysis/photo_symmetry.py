"""Symmetry from one photo, with the head that was fitted to it: two witnesses, pixels and landmarks.

Pixels: pieces of the rectified photo laid on their mirror images (`mirror_match`). Landmarks: the detector shows only a
share of a true difference (`Spot.response`), and leans when the head is turned (`Spot.lean_mm`); both are undone. A
photo says nothing of depth, and its yaw mixes depth into shift: what the fitted head's depth may be wrong by goes into
the sd. The detector does not show at all that a nose stands aside; there the pixels speak alone. Of jaw and cheeks
neither says enough (benchmarks/symmetry.md): their outlines do (`analysis.outline_symmetry`), those of the cheeks in
photos of the same head from three-quarters.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from analysis.mirror_match import Match, middle_match, pair_match, shown
from analysis.outline_symmetry import Shown, from_both_sides, from_front, sure_enough
from analysis.rectify import Rectified, rectified
from analysis.spots import Spot, evened, sides, spots
from analysis.symmetry import Difference, Symmetry, components, without_pose
from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.landmarks import Landmarks2D
from core.mesh import Mesh

DEPTH_SD_MM = 3.0
"""Of a fitted head: so far may a place lie before or behind where it is thought to be, on both sides alike."""
PIXEL_SHIFT_SD_MM, PIXEL_HEIGHT_SD_MM = 0.4, 0.3
"""Of a match at yaw 0 (benchmarks/symmetry.md)."""
TURNED_SD_MM = 1.8
"""Added to a height's sd per sine of the yaw."""
LOOSE = 0.15
"""A piece holds skin that did not move: the share of a difference that may be missing."""
LANDMARK_SD_MM, LANDMARK_LOOSE = 0.6, 0.2
"""Of a landmark height before it is divided by the response; and the response's own spread."""
DISAGREE = 0.5
"""Half of what the two witnesses differ by is added to the sd."""
FITTED_SD = (1.0, 0.02, 0.035)
"""How far a fitted head's plane may be off (mm, radians): its yaw errs by 1.0 degree (root mean square, 47 photos)."""
LEAST_FACE_PX = 60.0
"""Fewer px between the outer eye corners show no millimetres."""
OUTER_CORNERS = (263, 33)
LEAST_INSIDE = 0.98
"""Share of the landmarks that must lie in the picture: of a face that its edge cuts, the rest is guessed."""
LEAST_SEEN = 0.5
"""Share of a place that must be seen on both sides for the landmarks to speak of it alone."""


def photo_symmetry(picture: UInt8[np.ndarray, "h w 3"], camera: Camera, mesh: Mesh, anatomy: Anatomy,
                   marks: Landmarks2D, rasterize: Rasterize, others: Sequence[Shown] = ()) -> Symmetry:
    """Differences between the sides of one photographed face.

    camera, mesh: the fitted head in mm with the photo's expression, in its head frame. marks: the detected points of
    the photo. others: more photos of the same head. `rasterize` is render's skill.
    """
    why_not = unfit(camera, marks)
    if why_not:
        return Symmetry(differences=(), missing={s.name: why_not for s in spots()})
    pins_mm = mesh.points(anatomy.pins478)
    front, even = rectified(picture, camera, mesh, rasterize), evened(pins_mm)
    heights = landmark_heights(camera, even, marks)
    yaw = float(camera.head_angles_rad[0])
    roll = rolled(heights, even, yaw)
    outlined, missing = by_outline(Shown(picture=picture, camera=camera, mesh=mesh), others, anatomy, rasterize)
    found: list[Difference] = []
    for spot in spots():
        if spot.front is not None or spot.oblique is not None:
            continue
        why = unseen(spot, yaw)
        difference = None if why else measured(spot, front, even, heights, yaw, roll)
        if difference is None:
            missing[spot.name] = why or "not seen on both sides, or without enough contrast"
        else:
            found.append(difference)
    outlined, vague = sure_enough(without_pose(found, outlined, FITTED_SD))
    return Symmetry(differences=(*without_pose(found), *outlined), missing={**missing, **vague})


def by_outline(photo: Shown, others: Sequence[Shown], anatomy: Anatomy, rasterize: Rasterize) -> tuple[
        list[Difference], dict[str, str]]:
    """What outlines tell, from the front and from both sides; a spot of both has the components of both."""
    front, front_missing = from_front(spots(), photo, anatomy, rasterize)
    sides, sides_missing = from_both_sides(spots(), others, anatomy, rasterize)
    again = {d.spot.name: d for d in sides}
    found = [merged(d, again.pop(d.spot.name)) if d.spot.name in again else d for d in front] + list(again.values())
    names = {d.spot.name for d in found}
    return found, {name: why for name, why in {**sides_missing, **front_missing}.items() if name not in names}


def merged(front: Difference, sides: Difference) -> Difference:
    """One spot from the front and from three-quarters."""
    return dataclasses.replace(front, value_mm=np.where(np.isfinite(front.value_mm), front.value_mm, sides.value_mm),
                               sd_mm=np.where(np.isfinite(front.sd_mm), front.sd_mm, sides.sd_mm),
                               how=f"{front.how}, {sides.how}")


def unfit(camera: Camera, marks: Landmarks2D) -> str:
    """Why a whole photo does not serve; empty when it does."""
    width = float(np.linalg.norm(np.subtract(*marks.points[list(OUTER_CORNERS)])))
    if width < LEAST_FACE_PX * np.cos(camera.head_angles_rad[0]):
        return "the face is too small in the photo"
    inside = ((marks.points >= 0) & (marks.points <= np.array(camera.size_wh) - 1)).all(1)
    return "" if inside.mean() >= LEAST_INSIDE else "the picture's edge cuts the face"


def unseen(spot: Spot, yaw_rad: float) -> str:
    """Why one photo does not show a spot; empty when it may."""
    if spot.box_mm is None:
        return "one photo does not tell: it takes a head in space"
    if abs(np.degrees(yaw_rad)) > spot.most_yaw_deg:
        return f"the head is turned by more than {spot.most_yaw_deg:g} degrees"
    return ""


def measured(spot: Spot, front: Rectified, even_mm: Float[np.ndarray, "478 3"], heights_mm: dict[str, float],
             yaw_rad: float, roll: float) -> Difference | None:
    """One spot by its witnesses; None when neither speaks."""
    assert spot.box_mm is not None
    left, _ = sides(spot, even_mm)
    x, y = float(left[0]), float(left[1])
    z = front.depth_mm(x, y)
    at = np.array([x, y, z if np.isfinite(z) else left[2]])
    sideways = DEPTH_SD_MM * abs(np.tan(yaw_rad))
    if spot.middle:
        match = middle_match(front, y, spot.box_mm)
        if match is None:
            return None
        sd = np.hypot(PIXEL_SHIFT_SD_MM, sideways) + match.doubt_mm + LOOSE * abs(match.shift_mm)
        return Difference(spot=spot, at_mm=at, value_mm=components(match.shift_mm),
                          sd_mm=components(sd), how="pixels")
    tilt = 2 * x * roll
    told = (heights_mm[spot.name] - spot.lean_mm * np.sin(yaw_rad) - tilt) / spot.response
    told_sd = np.hypot(np.hypot(LANDMARK_SD_MM, TURNED_SD_MM * np.sin(yaw_rad)) / spot.response, LANDMARK_LOOSE * told)
    match = pair_match(front, x, y, spot.box_mm, tilt + told)
    if match is None and min(shown(side, front.place(x, y), spot.box_mm)
                             for side in (front.seen, front.seen[:, ::-1])) < LEAST_SEEN:
        return None
    height, height_sd, how = together(match, tilt + told, float(told_sd), abs(float(np.sin(yaw_rad))))
    shift = np.nan if match is None else match.shift_mm
    shift_sd = np.nan if match is None else np.hypot(PIXEL_SHIFT_SD_MM, sideways) + match.doubt_mm
    return Difference(spot=spot, at_mm=at, value_mm=components(shift, height),
                      sd_mm=components(shift_sd, height_sd), how=how)


def together(match: Match | None, told_mm: float, told_sd_mm: float, sine: float) -> tuple[float, float, str]:
    """The height of a pair from both witnesses, its sd, and who spoke."""
    if match is None:
        return told_mm, told_sd_mm, "landmarks"
    sd = np.hypot(np.hypot(PIXEL_HEIGHT_SD_MM, TURNED_SD_MM * sine / 2), LOOSE * match.height_mm) + match.doubt_mm
    weights = np.array([1 / sd**2, 1 / told_sd_mm**2])
    height = float(weights @ [match.height_mm, told_mm] / weights.sum())
    spread = DISAGREE * abs(match.height_mm - told_mm)
    return height, float(np.hypot(1 / np.sqrt(weights.sum()), spread)), "pixels and landmarks"


def landmark_heights(camera: Camera, even_mm: Float[np.ndarray, "478 3"], marks: Landmarks2D) -> dict[str, float]:
    """Left above right (mm) of every pair, as the detector shows it: its points moved in the frontal plane."""
    at = camera.px_from_points(even_mm)
    right, up = (camera.px_from_points(even_mm + axis) - at for axis in (np.array([1.0, 0, 0]), np.array([0, 1.0, 0])))
    off = np.linalg.solve(np.stack([right, up], -1), (marks.points - at)[..., None])[..., 0]
    place = np.column_stack([even_mm[:, :2] + off, even_mm[:, 2]])
    return {s.name: float(np.subtract(*sides(s, place))[1]) for s in spots() if not s.middle}


def rolled(heights_mm: dict[str, float], even_mm: Float[np.ndarray, "478 3"], yaw_rad: float) -> float:
    """The tilt (rad) that the fitted pose has left, from the median pair."""
    pairs = [s for s in spots() if s.response > 0]
    return float(np.median([(heights_mm[s.name] - s.lean_mm * np.sin(yaw_rad)) / (2 * sides(s, even_mm)[0][0])
                            for s in pairs]))
