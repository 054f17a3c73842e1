"""Profile start: the average head's outline laid on a photo's contour, near the finder's nose, eye and mouth."""

import dataclasses

import numpy as np
from jaxtyping import Float

from core.fragments import Rasterize
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rotation_from_vector
from recon.contour import placed
from recon.observations import CROPPED_SD, USUAL_MM, USUAL_SD
from recon.profile_fit import (
    BOX_MM,
    MODES,
    PITCH_SD,
    TURN_MM,
    UNSEEN_YAW,
    Basis,
    Laid,
    Scene,
    marks_of,
    outline_of,
)

SEEN_TURNS_DEG, UNSEEN_TURNS_DEG = (58.0, 72.0), (72.0, 88.0)
TILTS_DEG, SIZES, SHIFTS_MM = np.arange(-24, 25, 8), (0.75, 0.85, 0.95, 1.05, 1.18, 1.32), np.arange(-18, 19, 6)
"""Where starts are tried: turns of a head that the landmark network sees too, or not; nods, sizes over the finder's,
heights of the nose's tip."""


def starts(scene: Scene, basis: Basis, rasterize: Rasterize) -> list[Laid]:
    """For each turn the average head where its outline lies best on the contour."""
    template = basis.model.mean_mesh()
    found = []
    for turn in SEEN_TURNS_DEG if abs(scene.usual_yaw_rad) < UNSEEN_YAW else UNSEEN_TURNS_DEG:
        R = OPENCV_FROM_HEAD @ head_rotation(scene.side * np.radians(turn), 0.0, 0.0)
        far = Laid(R=R, t=np.array([0.0, 0.0, USUAL_MM]), identity=np.zeros(MODES), focal_px=USUAL_MM,
                   usual_mm=USUAL_MM, usual_yaw_rad=0.0)
        plain = dataclasses.replace(scene, center_px=np.array([250.0, 280.0]),
                                    picture=np.zeros((560, 500, 3), np.uint8))
        outline = outline_of(basis, template, far.camera(plain), rasterize)
        marks = far.camera(plain).px_from_points(template.points(basis.model.anatomy.pins478)[marks_of(scene.side)])
        tip = outline.px[np.argmax(outline.px[:, 0] * scene.side)]
        best = best_place(scene, outline.px - tip, outline.out, marks - tip)
        if best is not None:
            found.append(started(scene, basis, R, *best))
    return found


def best_place(scene: Scene, px_mm: Float[np.ndarray, "n 2"], out: Float[np.ndarray, "n 2"],
               marks_mm: Float[np.ndarray, "3 2"]) -> tuple[float, float, Float[np.ndarray, "2"]] | None:
    """Tilt (rad), pixels per mm and the nose's tip (px) of the outline (mm from that tip) that lies best."""
    contour, side, keys = scene.contour, scene.side, scene.keypoints_px
    eye, tip, mouth = keys[:2].mean(0), keys[2], keys[3]
    usual = scene.box_px / BOX_MM
    length = float(np.linalg.norm(eye - mouth) / np.linalg.norm(marks_mm[:2].mean(0) - marks_mm[2]))
    usual = float(np.sqrt(np.clip(length, 0.7 * usual, 1.5 * usual) * usual))
    front = contour.out[:, 0] * side > -0.3
    band = front & (np.abs(contour.px[:, 1] - tip[1]) < 28 * usual)
    if not band.any():
        return None
    fore = contour.px[band][np.argmax(contour.px[band, 0] * side)]
    tried, at = [], []
    for tilt, size, shift in ((a, b, c) for a in np.radians(TILTS_DEG) for b in SIZES for c in SHIFTS_MM):
        row = fore[1] + shift * usual
        near = front & (np.abs(contour.px[:, 1] - row) < 6 * usual)
        if near.any():
            place = np.array([(contour.px[near, 0] * side).max() * side, row])
            turn = in_plane(tilt * side)[:2, :2]
            grow = usual * size
            at.append(placed(px_mm @ turn.T * grow + place, out @ turn.T, usual, TURN_MM))
            marks = marks_mm @ turn.T * grow + place
            keyed = ((marks[:2].mean(0) - eye) ** 2).sum() + ((marks[2] - mouth) ** 2).sum()
            odd = 0.5 * (np.log(size) / 0.25) ** 2 + 0.5 * (tilt / PITCH_SD) ** 2
            tried.append((keyed / (12 * usual) ** 2 + odd, float(tilt), grow, place))
    if not tried:
        return None
    apart = contour.tree(usual, TURN_MM).query(np.concatenate(at))[0].reshape(len(at), -1)
    cost = 40 * (1 - 1 / (1 + (apart / 4) ** 2)).mean(1) + [t[0] for t in tried]
    return tried[int(np.argmin(cost))][1:]


def in_plane(angle_rad: float) -> Float[np.ndarray, "3 3"]:
    """A turn in the picture."""
    return rotation_from_vector(np.array([0.0, 0.0, angle_rad]))


def started(scene: Scene, basis: Basis, R: Float[np.ndarray, "3 3"], tilt_rad: float, px_per_mm: float,
            tip_px: Float[np.ndarray, "2"]) -> Laid:
    """The average head with its nose there; its lens from what is known, its distance from lens and size."""
    focal = scene.focal_px
    if not scene.known:
        weight = np.array([CROPPED_SD**-2, USUAL_SD**-2])
        focal = float(np.exp(weight @ np.log([focal, USUAL_MM * px_per_mm]) / weight.sum()))
    R = in_plane(tilt_rad * scene.side) @ R
    tip = R @ basis.model.anatomy.pin("prn").on(basis.model.template_mm, basis.model.faces)[0]
    depth = focal / px_per_mm
    return Laid(R=R, t=np.append((tip_px - scene.center_px) / px_per_mm - tip[:2], depth), identity=np.zeros(MODES),
                focal_px=focal, usual_mm=focal * BOX_MM / scene.box_px,
                usual_yaw_rad=scene.usual_yaw_rad)


def resized(laid: Laid, basis: Basis, grow: float) -> Laid:
    """The same start with the head larger in the photo, its nose's tip where it was."""
    tip = laid.R @ basis.model.anatomy.pin("prn").on(basis.model.template_mm, basis.model.faces)[0]
    shifted = (tip[:2] + laid.t[:2]) * (tip[2] + laid.t[2] / grow) / (tip[2] + laid.t[2]) - tip[:2]
    return dataclasses.replace(laid, t=np.append(shifted, laid.t[2] / grow), usual_mm=laid.usual_mm / grow)
