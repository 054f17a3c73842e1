"""Photo: one photo and a plan give a before and after. The 2D way in; a film shows more.

What a photo cannot show is said: a plan of which nothing shows from this side is refused, steps of which little shows
are named, a face that is too small, cut off, or one of several is refused with what to do.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, UInt8

from core.backends import resolve
from core.errors import InputRefused, UsageError
from core.evidence import BANDS, Band
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.plan import Plan, PlannedProcedure
from core.prediction import Prediction
from core.progress import Progress, silent
from core.reconstruction import Scale
from core.records import freeze, record
from deform3d import catalogue, planned
from deform3d import clinical_flags as known_flags
from previsage.calm import one_thread
from previsage.ear_studio import LEAST_MM, ears_mm
from previsage.options import IPD_MM, check_length
from previsage.photo_modes import MODES, Drawn, Planned, average_moves, shift_px
from previsage.photo_study import Study, side_on, tools
from recon.detect import Face
from recon.ears import EARS
from recon.landmark_net import FaceBox
from recon.one_photo import PhotoHead, eye_span_px, faces_in, outside_share
from recon.photo_verdict import smiles
from render.conditions import control_picture
from synth.findings import Verdict
from synth.photo_file import PhotoFile, read_photo_file

View = Literal["frontal", "left three-quarter", "right three-quarter", "left profile", "right profile"]
Number = float | int
FRONTAL_DEG, PROFILE_DEG = 12.0, 65.0
"""Up to the first a view is frontal, beyond the second a profile."""
LEAST_EYES_PX = 60.0
"""Between the outer eye corners: below, a change is but a few pixels, and the photo is used with a word, or refused."""
LEAST_MOTION_PX = 1.0
"""A plan whose largest visible motion is smaller in the photo shows nothing."""
LEAST_SHOWN, LITTLE_SHOWN = 0.1, 0.35
"""Share of a step's motion that this view shows: below the first nothing, below the second little."""
ALONE = 0.6
"""A face is meant without being named when every other is smaller than this share of it."""
LEAST_BOX_PX = 64.0
"""Side of the finder's box below which no profile is sought."""
CUT_OFF = 0.06
"""Share of the face's points beyond the picture's edge above which the face is not whole."""
INTENSITY = 55.0


@record
class PhotoResult:
    """A photo's before and after. All pictures have the photo's size, and are in its own colours (`photo.profile`).

    output: what people see, without the corner's mark, which files get when they are written. raw: before the guard
    looked at it. warp: what painting began with. mask (H,W): how much of a pixel may change, 0..1; where it is 0 the
    output is the photo, byte for byte. landmarks_before, landmarks_after (478,2): px. checks: the guard's findings.
    shown: False where a plain render of the fitted head stands in, with the reason; stand_in: that head before and
    after, without the photo.
    head: as the photo shows it (`recon.one_photo`), in millimetres. notes: what a person should know, in sentences.
    """

    photo: PhotoFile
    plan: Plan
    mode: str
    output: UInt8[np.ndarray, "h w 3"]
    raw: UInt8[np.ndarray, "h w 3"]
    warp: UInt8[np.ndarray, "h w 3"]
    mask: Float[np.ndarray, "h w"]
    landmarks_before: Float[np.ndarray, "478 2"]
    landmarks_after: Float[np.ndarray, "478 2"]
    checks: Verdict
    shown: bool
    reason: str
    prediction: Prediction
    head: PhotoHead
    eyes_px: float
    notes: tuple[str, ...]
    ran: dict[str, Any]
    stand_in: tuple[UInt8[np.ndarray, "h w 3"], UInt8[np.ndarray, "h w 3"]] | None = None

    def __post_init__(self) -> None:
        for picture in (self.output, self.raw, self.warp, self.mask):  # not copied: 130 MB at 12 megapixels
            picture.flags.writeable = False
        freeze(self, landmarks_before=(self.landmarks_before, float), landmarks_after=(self.landmarks_after, float))

    @functools.cached_property
    def conditioning(self) -> UInt8[np.ndarray, "h w 3"]:
        """The control picture of the face after, as ControlNet takes it (black when the face is under 64 px)."""
        marks = Landmarks2D(scheme=MEDIAPIPE478, points=self.landmarks_after, confidence=np.ones(478))
        return control_picture(marks, (self.photo.picture.shape[1], self.photo.picture.shape[0]))

    @property
    def angles_deg(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll of the fitted head."""
        return self.head.angles_deg

    @property
    def view(self) -> View:
        """In a word."""
        return view_of(self.head.angles_deg[0])

    @property
    def px_per_mm(self) -> float:
        """At the depth of the eyes."""
        return self.head.px_per_mm

    @property
    def scale(self) -> Scale:
        """Millimetres: their source and spread."""
        return self.head.scale

    @property
    def unchanged(self) -> bool:
        """Whether the output is the photo itself."""
        return bool(np.array_equal(self.output, self.photo.picture))

    def as_record(self) -> dict[str, Any]:
        """JSON-ready, without the pictures."""
        return {"photo": self.photo.name, "size_wh": [self.photo.picture.shape[1], self.photo.picture.shape[0]],
                "mode": self.mode, "plan": self.plan.model_dump(mode="json"), "view": self.view,
                "angles_deg": [round(a, 2) for a in self.angles_deg], "eyes_px": round(self.eyes_px, 1),
                "px_per_mm": self.px_per_mm, "scale": {"mm_per_unit": self.scale.mm_per_unit,
                                                       "source": self.scale.source,
                                                       "interval95_percent": self.scale.interval95_percent},
                "shown": self.shown, "reason": self.reason, "checks": self.checks.as_record(),
                "steps": [{"step": n, "label": la, "value": v, "unit": u} for n, la, v, u in zip(
                    self.prediction.step_names, self.prediction.step_labels, self.prediction.step_values,
                    self.prediction.step_units, strict=True)],
                "couplings": [c.in_words() for c in self.prediction.couplings],
                "warnings": list(self.prediction.warnings), "notes": list(self.notes), "ran": self.ran}


def predict_photo(photo: Path | str | PhotoFile, procedure: str | None = None, intensity: Number = INTENSITY,
                  mode: str = "warp3d", *, plan: Plan | None = None, face: int | None = None,
                  ipd_mm: Number | None = None, band: Band = "mean", progress: Progress = silent,
                  **options: Any) -> PhotoResult:
    """Before and after of one photo, in millimetres of the person's own face.

    procedure, intensity: one operation at 0 to 100 per cent of its largest published extent; or `plan`. mode: a row of
    `photo_modes.MODES`. face: which one, from 1 at the left, when there are several. ipd_mm: distance between the
    pupils, which replaces the iris as the measure. band: where tissue responds least, on average, or most.
    options: of a painting mode (`synth.diffusion.DiffusionOptions`), and `prompt`.

    InputRefused: no photo, no face, several, half a face, one too small, nothing of the plan shows from this side, an
    ear that is to be moved is not shown well.
    UsageError: an unknown procedure, step, mode or option; a value beyond its clamp. PrevisageError: weights missing.
    """
    plan = asked_plan(procedure, intensity, plan)
    study = begin(photo, face, None if ipd_mm is None else float(ipd_mm))
    return carried_out(study, plan, mode, band, progress, **options)


def asked_plan(procedure: str | None, intensity: Number, plan: Plan | None) -> Plan:
    """The plan, checked. UsageError: neither or both given, or it is wrong."""
    if (procedure is None) == (plan is None):
        raise UsageError("which_plan", "Give a procedure or a plan.", "See `previsage procedures`.")
    if procedure is not None:
        if not 0 <= intensity <= 100:
            raise UsageError("bad_intensity", f"The intensity is {intensity:g}.", "Give 0 to 100 per cent.")
        if procedure not in catalogue():
            raise UsageError("unknown_procedure", f"There is no procedure called {procedure!r}.",
                             f"Known: {', '.join(sorted(catalogue()))}.")
        plan = Plan(id=procedure, procedures=[PlannedProcedure(procedure=procedure, intensity=intensity)])
    assert plan is not None
    planned(plan, catalogue(), known_flags())
    return plan


@one_thread()
def begin(photo: Path | str | PhotoFile, face: int | None = None, ipd_mm: float | None = None) -> Study:
    """Open a photo and find the face that is meant. InputRefused: see `predict_photo`."""
    check_length("ipd_mm", ipd_mm, IPD_MM, "Measure between the pupils, in millimetres; adults have 51 to 77.")
    opened = photo if isinstance(photo, PhotoFile) else read_photo_file(Path(photo))
    srgb = opened.srgb()
    faces, small = faces_in(srgb, tools().detector)
    study = None
    if not faces and small and face in (None, 1):
        study = from_the_side(opened, srgb, small, ipd_mm)
    if study is None:
        study = Study(opened, the_face(faces, len(small), face, opened), ipd_mm, opened.focal_px)
    study.__dict__["srgb"] = srgb
    return study


def from_the_side(photo: PhotoFile, srgb: UInt8[np.ndarray, "h w 3"], boxes: Sequence[FaceBox],
                  ipd_mm: float | None) -> Study | None:
    """A face that the landmarks do not fit may be a profile: the largest, if the others are small. None: it is not.

    InputRefused: no profile either, with what is amiss; part of it lies beyond the picture's edge.
    """
    sides = [b.side_px for b in boxes]
    if sum(s > ALONE * max(sides) for s in sides) > 1 or max(sides) < LEAST_BOX_PX:
        return None
    try:
        head = side_on(srgb, None, boxes[int(np.argmax(sides))], photo.focal_px, ipd_mm)
    except InputRefused as error:
        raise InputRefused("no_face", f"No face can be read in {photo.name}: the landmarks fit none. {error.message}",
                           error.hint) from error
    check_whole(head.face, photo)
    return Study(photo, head.face, ipd_mm, photo.focal_px, head)


def the_face(faces: Sequence[Face], small: int, number: int | None, photo: PhotoFile) -> Face:
    """The face that is meant. InputRefused: none, several, or half of one."""
    if not faces:
        raise InputRefused(
            "no_face", f"No face was found in {photo.name}." if not small else
            f"No face can be read in {photo.name}: what looks like one is too small, covered or turned away.",
            "Give a photo of one face, upright, that fills a third of its height; a full profile is often lost: turn "
            "a little towards the camera.")
    if number is not None and not 1 <= number <= len(faces):
        raise InputRefused("which_face", f"There is no face {number} in {photo.name}.",
                         f"It shows {len(faces)}; they are counted from the left.")
    heights = [f.height_px for f in faces]
    largest = int(np.argmax(heights))
    if number is None and sum(h > ALONE * heights[largest] for h in heights) > 1:
        raise InputRefused("which_face", f"{photo.name} shows {len(faces)} faces"
                           f"{f' and {small} that are too small' if small else ''}.",
                           f"Say which with --face 1 to {len(faces)}, counted from the left"
                           f" (the largest is {largest + 1}).")
    face = faces[largest if number is None else number - 1]
    check_whole(face, photo)
    return face


def check_whole(face: Face, photo: PhotoFile) -> None:
    """InputRefused: half a face."""
    if outside_share(face, (photo.picture.shape[1], photo.picture.shape[0])) > CUT_OFF:
        raise InputRefused("half_face", f"Part of the face lies beyond the edge of {photo.name}.",
                           "Give a photo with the whole face in it.")


@one_thread()
def carried_out(study: Study, plan: Plan, mode: str = "warp3d", band: Band = "mean", progress: Progress = silent,
                little: bool = False, **options: Any) -> PhotoResult:
    """A plan on a photo whose face was found. little: also where next to nothing of it shows."""
    make = resolve(MODES, mode, "mode")
    if band not in BANDS:
        raise UsageError("bad_band", f"There is no band {band!r}.", f"Bands: {', '.join(BANDS)}.")
    average = average_moves(plan.model_dump_json(), band)
    ears = moved_ears(average.prediction)
    if ears and mode == "tps":
        raise UsageError("no_landmarks_there", "Ears have none of the 478 landmarks.", "Use --mode warp3d.")
    if mode != "tps":
        study.expect(plan)
    if ears:
        study = study.eared
        check_ears(study, ears)
    head = study.quick if mode == "tps" else study.head
    if mode != "tps":
        _ = study.light, study.doubt  # begun, not waited for
    notes = [*study.photo.notes, *study.doubts, *seen_from_here(study, head, average.by_step_mm, average.prediction,
                                                                   little)]
    made: Drawn = make(study, Planned(plan=plan, band=band), {**options, "mode": mode}, progress)
    start = head.face.points_px[:, :2]  # a profile has its own, not the network's
    if not made.verdict.passed and made.shown and mode == "tps":
        notes.append("Not all of the motion shows: " + " ".join(c.sentence for c in made.verdict.failed))
    progress(1.0, "Done")
    return PhotoResult(
        photo=study.photo, plan=plan, mode=mode, output=made.picture, raw=made.raw, warp=made.warp, mask=made.mask,
        landmarks_before=start, landmarks_after=start + shift_px(head, made.moves_mm), checks=made.verdict,
        shown=made.shown, reason=made.reason, prediction=made.prediction, head=head, eyes_px=eye_span_px(head.face),
        notes=tuple(notes), ran=made.ran, stand_in=made.stand_in)


def moved_ears(prediction: Prediction) -> list[str]:
    """The ears (`ear_r`, `ear_l`) that a plan's operations on ears move."""
    size = np.linalg.norm(ears_mm(prediction), axis=1)
    if not size.any():
        return []
    return [ear for ear in EARS if size[tools().model.anatomy.region(ear) > 0.5].max(initial=0) >= LEAST_MM]


def check_ears(study: Study, ears: Sequence[str]) -> None:
    """InputRefused `ears_unknown`: an ear that is to be moved is not shown well enough (`recon.ears`)."""
    side = {"ear_l": "left", "ear_r": "right"}
    doubts = [(side[ear], study.ears[ear].doubt) for ear in ears if study.ears[ear].doubt]
    if doubts:
        told = " ".join(f"The patient's {name} ear: {why}." for name, why in doubts)
        other = "" if len(doubts) == len(EARS) or len(ears) == 1 else (
            f" Or plan the {side[next(e for e in ears if not study.ears[e].doubt)]} ear alone (`--side`).")
        raise InputRefused("ears_unknown", f"This photo does not show the ears well enough to move them. {told}",
                           "Give a photo from straight in front, from a metre and a half, hair tied back or tucked "
                           f"behind the ears, before a plain wall.{other}")


def view_of(yaw_deg: Number) -> View:
    """A person's word for a turn of the head; a head that turns to the patient's left shows the right side."""
    if abs(yaw_deg) <= FRONTAL_DEG:
        return "frontal"
    if abs(yaw_deg) <= PROFILE_DEG:
        return "right three-quarter" if yaw_deg > 0 else "left three-quarter"
    return "right profile" if yaw_deg > 0 else "left profile"


def seen_from_here(study: Study, head: PhotoHead, moves_mm: Float[np.ndarray, "s 478 3"],
                   prediction: Prediction, little: bool = False) -> list[str]:
    """Notes on what this photo shows of a plan. InputRefused: nothing, unless `little`."""
    if not np.any(moves_mm):
        return []
    shares, most_px = shown_shares(head, moves_mm)
    named = [prediction.step_labels[k] for k in np.flatnonzero(shares < LITTLE_SHOWN)]
    view = view_of(head.angles_deg[0])
    if view != "frontal" and not little and unseen(shares, most_px):  # from in front, light and nearness still change
        raise InputRefused("not_seen_from_here", f"Nothing of this plan shows in a {view} photo: it moves the skin "
                           "towards the camera, or on the far side.",
                           "Take the photo from another side, or film the head turning.")
    notes = [f"{label} hardly shows in a {view} photo." for label in dict.fromkeys(named)]
    eyes = eye_span_px(head.face)
    if eyes < LEAST_EYES_PX:
        if most_px < LEAST_MOTION_PX and not little:
            raise InputRefused("face_too_small", f"The face is {eyes:.0f} px between the outer eye corners; this plan "
                               f"would move it by {most_px:.1f} px at most.",
                               f"Give a photo with at least {LEAST_EYES_PX:.0f} px there.")
        notes.append(f"The face is small ({eyes:.0f} px between the outer eye corners): details of a change are lost.")
    if smiles(head.face):
        notes.append("The person smiles, which spreads the wings of the nose and draws lips and cheeks: a photo of the "
                     "face at rest shows an operation more truly.")
    return notes


def unseen(shares: Float[np.ndarray, "s"], most_px: float) -> bool:
    """Whether a view shows nothing of a plan: next to nothing of every step, or little of it within a pixel."""
    told = shares[np.isfinite(shares)]
    most = LITTLE_SHOWN if most_px < LEAST_MOTION_PX else LEAST_SHOWN
    return bool(told.size and (told < most).all())


def shown_shares(head: PhotoHead, moves_mm: Float[np.ndarray, "s 478 3"]) -> tuple[Float[np.ndarray, "s"], float]:
    """How much of each step's motion shows, as a share of what would if all of it lay across the line of sight on this
    side (NaN for a step that moves no landmark); and the largest visible motion, px."""
    depth = head.camera.cam_from_points(head.mesh.points(head.anatomy.pins478))[:, 2]
    full = np.linalg.norm(moves_mm, axis=2) * head.camera.K_px[0, 0] / depth
    seen = np.linalg.norm(shift_px(head, moves_mm), axis=2) * (head.visible > 0)
    whole = np.sqrt((full**2).sum(1))
    moves = whole > 1e-6
    share = np.full(len(moves_mm), np.nan)
    share[moves] = np.sqrt((seen**2).sum(1))[moves] / whole[moves]
    together = np.linalg.norm(shift_px(head, moves_mm.sum(0)), axis=1) * (head.visible > 0)
    return share, float(together.max(initial=0))
