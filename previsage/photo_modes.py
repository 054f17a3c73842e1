"""How a photo gets its "after", by mode: fn(study, planned, options, progress) -> Drawn, in the photo's own colours.

    tps      landmarks moved in the picture as the plan moves them in space; the skin between follows as a thin plate
    warp3d   the fitted head bent by the plan, and the photo by the head
    img2img, controlnet, controlnet_ip   the same, and what changes painted anew (weights that the user holds)
"""

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from core.channels import any_of
from core.errors import UsageError
from core.evidence import Band
from core.plan import Plan
from core.prediction import Prediction
from core.progress import Progress, part
from core.records import record
from deform3d import catalogue
from deform3d import predict as displace
from previsage.ear_studio import EarStudio, ears_mm
from previsage.generative import painted
from previsage.photo_study import PhotoStudio, Study, coarsely, tools
from previsage.photoreal_stage import checked
from previsage.pictures import over
from recon.face478 import IRIS_ROWS
from recon.one_photo import PhotoHead
from render.rasterize import Rasterizer
from synth.compiled import compiled
from synth.findings import Check, Verdict, judge
from synth.guard import unchanged
from synth.rigid_parts import rigid_edges, rigid_parts
from synth.spectacles import without
from synth.thinplate import apply, find

MODES = {"tps": "previsage.photo_modes:flat", "warp3d": "previsage.photo_modes:bent",
         "img2img": "previsage.photo_modes:repainted", "controlnet": "previsage.photo_modes:repainted",
         "controlnet_ip": "previsage.photo_modes:repainted"}
FLAT_SHARE = 0.5
"""Where the landmarks move by less than this share of what the skin moves, the flat mode has no hold on it."""
NEUTRAL = 190
"""Grey behind a plain head."""
STILL_MM, REACH_MM = 0.05, 22.0
"""A landmark that moves less is still. The skin around a moving landmark follows within this distance."""
REGION_PX = 320
"""The region's outline is found with the face so high."""
STEEPEST = 0.6
"""Neighbouring landmarks may move apart by this share of their distance in the picture: more would fold the skin."""
LANDED = (0.85, 1.15)
"""Landed over asked motion of the landmarks that move most, and of either side."""


@record
class Planned:
    """A plan and which result of it is meant."""

    plan: Plan
    band: Band = "mean"

    @property
    def procedures(self) -> list[str]:
        """Their names."""
        return [p.procedure for p in self.plan.procedures]


@record
class Drawn:
    """A mode's result, whole pictures in the photo's colours. raw: before the guard; warp: what painting began with.

    moves_mm (478,3): what the plan does to each landmark, head frame. shown: False where a plain render stands in;
    stand_in: then the plain head before and after.
    """

    picture: UInt8[np.ndarray, "h w 3"]
    raw: UInt8[np.ndarray, "h w 3"]
    warp: UInt8[np.ndarray, "h w 3"]
    mask: Float[np.ndarray, "h w"]
    moves_mm: Float[np.ndarray, "478 3"]
    prediction: Prediction
    verdict: Verdict
    shown: bool
    reason: str
    ran: dict[str, Any]
    stand_in: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]] | None = None


@record
class AverageMoves:
    """A plan on the model's average head: landmarks (478,3) mm by step (S,478,3), and the skin's largest motion."""

    by_step_mm: Float[np.ndarray, "s 478 3"]
    most_mm: float
    prediction: Prediction


@lru_cache(maxsize=64)
def average_moves(plan_json: str, band: Band) -> AverageMoves:
    """The plan's millimetres where the flat mode has no head of its own to solve on."""
    model = tools().model
    mesh = model.shape(np.zeros(len(model.identity_basis_mm))).pose(np.zeros(len(model.expression_names))).mesh()
    plan = Plan.model_validate_json(plan_json)
    prediction = displace(mesh, model.anatomy, plan, catalogue(), swelling=False).shown(band)
    pins = model.anatomy.pins478
    moves = np.stack([pins.on(d, mesh.faces) for d in prediction.displacement_mm])
    most = float(np.linalg.norm(prediction.total_mm(), axis=1).max())
    return AverageMoves(by_step_mm=moves, most_mm=most, prediction=prediction)


def shift_px(head: PhotoHead, moves_mm: Float[np.ndarray, "*s 478 3"]) -> Float[np.ndarray, "*s 478 2"]:
    """How the landmarks move in the photo when they move in space."""
    points = head.mesh.points(head.anatomy.pins478)
    return np.asarray(head.camera.px_from_points(points + moves_mm) - head.camera.px_from_points(points))


def flat(study: Study, planned: Planned, options: dict[str, Any], progress: Progress) -> Drawn:
    """The thin plate. UsageError: an option; the plan moves what has no landmarks."""
    no_options(options, "tps")
    head, picture = study.quick, study.photo.picture
    average = average_moves(planned.plan.model_dump_json(), planned.band)
    moves = average.by_step_mm.sum(0)
    moves[rigid_edges(head.face.points_px[:, :2])] = 0  # one picture has nothing to uncover beside eye and teeth
    if np.linalg.norm(moves, axis=1).max() < FLAT_SHARE * average.most_mm:
        raise UsageError("no_landmarks_there", f"{' and '.join(planned.procedures)} moves skin without any of the 478 "
                         "landmarks: neck and ears have none.", "Use --mode warp3d.")
    rows = np.flatnonzero((head.visible > 0) & (np.arange(478) < IRIS_ROWS.start))
    start, asked = head.face.points_px[rows, :2], shift_px(head, moves)[rows]
    shift = eased(start, asked)
    moving = np.linalg.norm(shift, axis=1) > STILL_MM * head.px_per_mm
    window, corner = window_around(start[moving], REACH_MM * head.px_per_mm, head.face.height_px, picture.shape)
    part_ = np.ascontiguousarray(picture[window])
    shape = (part_.shape[0], part_.shape[1])
    region = region_around(start[moving] - corner, REACH_MM * head.px_per_mm, head.face.height_px, shape)
    worn = study.spectacles[window]
    still = rigid_parts(head.face.points_px[:, :2] - corner, shape, head.visible > 0)
    warp = find(shape[::-1], start - corner, start - corner + shift, region, still)
    after, mask = picture.copy(), np.zeros(picture.shape[:2], np.float32)
    bent_part, mask[window] = apply(without(part_, worn), warp), region & ~still & ~worn
    after[window] = np.where(worn[..., None], part_, bent_part) if worn.any() else bent_part
    went = warp.landed_px - (start - corner)
    verdict = Verdict(checks=(unchanged(part_, after[window], mask[window] > 0), *landing(asked, went, head, rows)))
    return Drawn(picture=after, raw=after, warp=after, mask=mask, moves_mm=moves, prediction=average.prediction,
                 verdict=verdict, shown=True, reason="", ran={"mode": "tps", "share": warp.share})


def window_around(points_px: Float[np.ndarray, "n 2"], reach_px: float, face_px: float, shape: tuple[int, ...],
                  ) -> tuple[tuple[slice, slice], Int[np.ndarray, "2"]]:
    """Rows and columns in which `region_around` lies, with room for resampling, and the upper left pixel (x, y)."""
    size, room = np.array(shape[1::-1]), reach_px + 2 * max(1.0, face_px / REGION_PX) + 8
    if not len(points_px):
        return (slice(0, 1), slice(0, 1)), np.zeros(2, int)
    low = np.clip(np.floor(points_px.min(0) - room), 0, size - 1).astype(int)
    high = np.clip(np.ceil(points_px.max(0) + room), low + 1, size).astype(int)
    return (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))), low


def region_around(points_px: Float[np.ndarray, "n 2"], reach_px: float, face_px: float, shape: tuple[int, int]) -> Bool[
        np.ndarray, "h w"]:
    """The skin that follows some points: within reach of one of them. Drawn small, with the face `REGION_PX` high."""
    if not len(points_px):
        return np.zeros(shape, bool)
    shrink = min(1.0, REGION_PX / face_px)
    size = (max(1, round(shape[1] * shrink)), max(1, round(shape[0] * shrink)))
    small = np.zeros(size[::-1], np.uint8)
    for x, y in np.rint((points_px + 0.5) * shrink - 0.5).astype(int).tolist():
        cv2.circle(small, (x, y), max(1, round(reach_px * shrink)), 1, -1)
    return cv2.resize(small, shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0


def eased(start_px: Float[np.ndarray, "n 2"], move_px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n 2"]:
    """The motions, with those that lag behind a neighbour taken along so far that the picture does not fold.

    From the side a nose moves before a still cheek, a lower lip along a still upper one; a picture, being one skin,
    must let the still one follow. The strongest motions stay as they are (a cone of slope `STEEPEST` under each).
    """
    size = np.linalg.norm(move_px, axis=1)
    eased_px = np.array(move_px, float)
    take_along(np.argsort(-size, kind="stable"), size, np.asarray(start_px, float), eased_px)
    return eased_px


@compiled
def take_along(order, size, start, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write `eased` over the motions. order: from the strongest to the weakest of `size`."""
    for n, k in enumerate(order):
        for weaker in order[n + 1:]:
            if size[k] == 0 or size[weaker] == size[k]:
                continue
            most = STEEPEST * np.hypot(start[weaker, 0] - start[k, 0], start[weaker, 1] - start[k, 1])
            lag_x, lag_y = out[k, 0] - out[weaker, 0], out[k, 1] - out[weaker, 1]
            apart = np.hypot(lag_x, lag_y)
            if apart > most + 1e-9:
                out[weaker, 0] += (1 - most / apart) * lag_x
                out[weaker, 1] += (1 - most / apart) * lag_y


def landing(asked_px: Float[np.ndarray, "n 2"], went_px: Float[np.ndarray, "n 2"], head: PhotoHead,
            rows: np.ndarray) -> list[Check]:
    """Landed over asked motion, of the strongest half of each side's landmarks."""
    size = np.linalg.norm(asked_px, axis=1)
    if size.max(initial=0) < 0.1:
        return [Check(name="motion", status="not measurable", value=None, limit="",
                      sentence="The plan moves this photo by less than a tenth of a pixel.")]
    side = np.sign(head.neutral.points(head.anatomy.pins478)[rows, 0])
    checks = []
    for name, part_ in (("all", side == side), ("left", side > 0), ("right", side < 0)):
        strong = part_ & (size > 0.5 * size[part_].max(initial=0)) & (size > 0.25 * size.max())
        if not strong.any():
            continue
        share = float((went_px[strong] * asked_px[strong]).sum() / (asked_px[strong] ** 2).sum())
        checks.append(judge(f"motion {name}", share, *LANDED, f"The skin moves by {share:.2f} of what was asked.",
                            f"The skin moves by {share:.2f} of what was asked."))
    return checks


def bent(study: Study, planned: Planned, options: dict[str, Any], progress: Progress) -> Drawn:
    """The head bends the photo."""
    no_options(options, "warp3d")
    return drawn(study, planned, "warp3d", {}, progress)


def repainted(study: Study, planned: Planned, options: dict[str, Any], progress: Progress) -> Drawn:
    """Painted anew inside the mask, from the bent photo."""
    mode = options["mode"]
    return drawn(study, planned, mode, {k: v for k, v in options.items() if k != "mode"}, progress)


def drawn(study: Study, planned: Planned, mode: str, options: dict[str, Any], progress: Progress) -> Drawn:
    """One of the modes that bend the head."""
    progress(0.05, "Fitting the head")
    head = study.head
    if mode != "warp3d":
        _ = study.reconstruction
    progress(0.3, "Moving the skin")
    prediction = study.prediction(planned.plan).shown(planned.band)
    total = prediction.total_mm()
    progress(0.5, "Bending the photo")
    studio = studio_of(study, prediction, planned.procedures, srgb=mode != "warp3d")
    made = studio.made(studio.view)
    picture, ran = made.picture, {"mode": mode}
    if mode != "warp3d":
        pictures, ran = painted(studio, [made], mode, options, part(progress, 0.55, 0.95))
        picture = pictures[made.name]
    told = checked(studio, made, picture, mode)[1]
    mask = np.zeros(made.frame.shape[:2], np.float32)
    if made.seen is not None:
        mask[made.seen.correspondence.window] = made.seen.correspondence.mask
        mask[made.worn] = 0
    verdict = Verdict(checks=tuple(Check(**c) for c in told["guard"]["checks"]))
    moves = head.anatomy.pins478.on(total, head.mesh.faces)
    raw, stand_in = pasted(study, studio, made.dressed(picture)), None
    if not told["photoreal"]:
        stand_in = (alone(study, studio, studio.before), alone(study, studio, studio.after))
    return Drawn(picture=raw if stand_in is None else stand_in[1], raw=raw, stand_in=stand_in,
                 warp=raw if picture is made.picture else pasted(study, studio, made.dressed(made.picture)),
                 mask=whole(study, mask), moves_mm=moves,
                 prediction=prediction, verdict=verdict, shown=bool(told["photoreal"]), reason=str(told["reason"]),
                 ran=ran)


def studio_of(study: Study, prediction: Prediction, procedures: list[str], srgb: bool) -> PhotoStudio:
    """What draws a plan: one that knows ears where it moves some."""
    total, ears = prediction.total_mm(), ears_mm(prediction)
    if np.any(ears):
        return EarStudio(study, study.own_or_srgb(srgb), srgb, total, ears, procedures)
    return study.studio(total, procedures, srgb)


def pasted(study: Study, studio: PhotoStudio, window: UInt8[np.ndarray, "a b 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with what changed in its window; all else keeps its bytes."""
    out = study.photo.picture.copy()
    if not studio.srgb and study.finer == 1:
        out[study.window] = window
        return out
    changed = coarsely(any_of(window != studio.picture), study.finer)
    if changed.any():
        out[study.window][changed] = studio.own(window)[changed]
    return out


def alone(study: Study, studio: PhotoStudio, head: Rasterizer) -> UInt8[np.ndarray, "h w 3"]:
    """The head without the photo, where the photo shows it: a bald head over a person's hair would please nobody."""
    camera, size = studio.view.camera, studio.picture.shape
    drawn_head = over(np.full(size, NEUTRAL, np.uint8), head, camera, studio.skin, studio.before)
    out = np.full_like(study.photo.picture, NEUTRAL)
    out[study.window] = studio.own(drawn_head)
    return out


def whole(study: Study, window: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "h w"]:
    """A mask of the window, in the photo's size."""
    out = np.zeros(study.photo.picture.shape[:2], np.float32)
    out[study.window] = coarsely(window, study.finer)
    return out


def no_options(options: dict[str, Any], mode: str) -> None:
    """UsageError: painting options for a mode that does not paint."""
    given = sorted(set(options) - {"mode"})
    if given:
        raise UsageError("bad_option", f"{mode} takes no {', '.join(given)}.", "These go with the painting modes.")
