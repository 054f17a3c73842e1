"""Head: a capture becomes a Reconstruction: fit, millimetres, skin, uncertainty, and a report of what ran."""

import dataclasses
import time

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.camera import Camera
from core.capture import Capture
from core.certainty import seen_at
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.landmarks import MEDIAPIPE478, Landmarks3D
from core.mesh import Mesh
from core.progress import Progress, part, silent
from core.reconstruction import Reconstruction, Scale, View
from recon.bundle import Bundle, adjust
from recon.bust import bust
from recon.doubt import beyond_landmarks, beyond_measured, radius95
from recon.foreground import Foreground
from recon.models import load_model
from recon.observations import Observations
from recon.photo_lens import lens_by_outline, loosened
from recon.photometric import See, agreed
from recon.refine import RefineOptions, refine
from recon.sfm import LOWER_MOVED, Motion, Rejected, structure_from_motion
from recon.shape import Shape, ShapeOptions, own_shape
from recon.sides import with_profiles, with_side_photos
from recon.skin import all_skin, still_skin, without
from recon.skull import likely_skull
from recon.still_room import cameras_of_room
from recon.texture import Skin, TextureOptions, gather
from recon.tracks import follow
from recon.views import DEFAULTS, HeadOptions, Views, metric, modes_sd, true_scale, with_size

SFM_ROUNDS = RefineOptions(rounds=8, track_px=0.4, surface_mm=0.7)
"""Of the adjustment after structure from motion; a noisier film's points count less."""
LEAST_PX_PER_MM = 1.3
"""Of a face in pictures whose outlines are read: in one of 160 pixels (1.0) they drew a nose's tip to a wedge."""
FOCAL_SD = 0.001
"""How closely that adjustment holds ln(focal) as structure from motion found it: landmarks and the model's surface pull
it 0.3 to 0.5 % short."""
FEW_SURFACE_MM = 0.8
"""How closely the model is held to a few hundred followed points; closer, and it bends what no view shows (the skull of
a mannequin grew to 292 mm)."""
FAST_VIEWS = 20
"""Views that `fast` looks at."""
LEAST_VIEWS = 8
"""Fewer pictures are too far apart for structure from motion."""
MOST_REPROJECTION = 0.03
"""Median reprojection error, as a share of the face's height, above which the fit is refused."""


class Timer:
    """Seconds per step, in order."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        """Close the step that just ran."""
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now


def reconstruct_head(capture: Capture, rasterize: Rasterize, options: HeadOptions = DEFAULTS,
                     progress: Progress = silent, see: See | None = None) -> Reconstruction:
    """Fit the head model to the capture, give it millimetres and skin. `rasterize` is render's skill, and so is `see`,
    a differentiable one: given, the photometric refinement follows on the person's own surface.

    InputRefused when no head fits the pictures; UsageError for an unknown model.
    """
    timer, model = Timer(), load_model(options.model)
    photos = capture.kind == "photos"
    ends = tuple(f for f in capture.frames if f.landmarks is None) if options.quality == "full" or photos else ()
    capture = with_face(capture, len(capture.frames) if options.quality == "full" else FAST_VIEWS)
    views = Views.of(capture, model, rasterize)
    bundle = adjust(model, views.seen, options.bundle, part(progress, 0.0, 0.1))
    check_fit(bundle, views.seen)
    lens = None
    if photos and len(views) < LEAST_VIEWS:  # more of them tell it by structure from motion
        lens = lens_by_outline(views, options.bundle, Foreground(), part(progress, 0.05, 0.1))
    if lens is not None:
        views, bundle = lens.views, lens.bundle
    timer.lap("fit")
    views, bundle, motion = with_motion(views.trusted(bundle), capture, bundle, options, part(progress, 0.1, 0.4))
    check_fit(bundle, views.seen)
    timer.lap("cameras")
    scale, cues = true_scale(views, bundle, options)
    timer.lap("scale")
    head, close = likely_skull(model, bundle.identity, views.neutral(bundle)), views
    if photos:  # an outline places a photo to a millimetre or two, which is too rough to measure depth by
        views, capture, bundle, head, refused = with_side_photos(views, capture, ends, bundle, head,
                                                                  part(progress, 0.4, 0.45))
    else:
        views, capture, bundle = with_profiles(views, capture, ends, bundle, part(progress, 0.4, 0.45))
        close, refused = views, {}
    bundle = loosened(bundle, lens.sd) if lens is not None else bundle
    timer.lap("profiles")
    shape = None
    if options.quality == "full":
        cameras = close.cameras(bundle)
        shape = own_shape(head, model.anatomy, cameras, close.picture, close.masks(bundle, all_skin(model.anatomy)),
                          close.seen, rasterize, shape_options(motion, cameras), part(progress, 0.45, 0.75))
    timer.lap("surface")
    if see is not None and shape is not None:
        shape, motion = agreeing(views, capture, bundle, shape, motion, see, part(progress, 0.7, 0.75))
        timer.lap("photometric")
    anatomy = model.anatomy if shape is None else shape.anatomy
    mesh, cameras = metric(views, head if shape is None else shape.mesh, anatomy, bundle, scale)
    texture = gather(mesh, cameras, views.picture, Foreground(), np.array([f.sharpness for f in capture.frames]),
                     rasterize, options.texture(), part(progress, 0.75, 1.0), anatomy)
    timer.lap("texture")
    sd = beyond_landmarks(mesh, anatomy, modes_sd(model, bundle, scale)) if shape is None else beyond_measured(
        mesh, anatomy, shape.sd_mm * scale.mm_per_unit)
    mesh, anatomy, sd = bust(mesh, anatomy, sd, face_too=shape is None and options.quality == "full")
    sd = with_size(sd, mesh, scale)
    report = told(capture, model, bundle, options, motion, cues, shape, texture) | {
        "profiles": {"lost": len(ends), "placed": sum(f.landmarks is None for f in capture.frames), "refused": refused},
        "seconds": timer.seconds}
    return assembled(capture, model, anatomy, bundle, views.as_taken(cameras), mesh, texture, scale, sd, report)


def shape_options(motion: dict, cameras: list[Camera]) -> ShapeOptions:
    """Outlines are read where structure from motion gave the cameras and the pictures are fine enough."""
    px_per_mm = np.median([c.K_px[0, 0] / np.linalg.norm(c.position_mm) for c in cameras])
    if "registered" not in motion or px_per_mm < LEAST_PX_PER_MM:
        return ShapeOptions(outline=None)
    return ShapeOptions(throat=motion.get("skin") != LOWER_MOVED)


def with_face(capture: Capture, most: int) -> Capture:
    """The pictures of a capture that show the face; at most so many, evenly spread over it."""
    rows = [k for k, f in enumerate(capture.frames) if f.landmarks is not None]
    kept = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)).tolist()
    return dataclasses.replace(capture, frames=tuple(capture.frames[rows[k]] for k in kept))


def agreeing(views: Views, capture: Capture, bundle: Bundle, shape: Shape, motion: dict, see: See,
             progress: Progress) -> tuple[Shape, dict]:
    """The surface after the photometric refinement; what it did is told with the motion."""
    cameras, sharpness = views.cameras(bundle), np.array([f.sharpness for f in capture.frames])
    skin = gather(shape.mesh, cameras, views.picture, Foreground(), sharpness, views.rasterize,
                  TextureOptions(side=512), anatomy=shape.anatomy)
    masks = views.masks(bundle, all_skin(views.model.anatomy))
    mesh, done = agreed(shape.mesh, still_skin(shape.anatomy), [cameras[k] for k in skin.views],
                        [views.picture(k) for k in skin.views], [masks[k] for k in skin.views], skin.light, see,
                        progress=progress)
    return dataclasses.replace(shape, mesh=mesh), {**motion, "photometric": done}


def told(capture: Capture, model: FaceModel, bundle: Bundle, options: HeadOptions, motion: dict, cues: dict,
         shape: Shape | None, texture: Skin) -> dict:
    """What `fit.json` says of what ran and how well."""
    return {"options": {"ipd_mm": options.ipd_mm, "marker_mm": options.marker_mm, "quality": options.quality},
            "reprojection_px": {"median": float(np.median(bundle.reprojection_px[bundle.weight.any(1)])),
                                "per_view": {f.source: round(float(e), 3) for f, e in
                                             zip(capture.frames, bundle.reprojection_px, strict=True)}},
            "focal_px": bundle.focal_px, "focal_sd_percent": 100 * bundle.focal_sd,
            "landmark_sd_mm": bundle.landmark_sd.round(3), "views": len(capture.frames), "scale_cues": cues,
            "what_ran": {"cameras": motion["how"], "head_model": model.name, "surface": "model fit"
                         if shape is None else f"model fit, then {shape.depths} depths measured by optical flow" +
                         (" and on outlines" if shape.outlines else "") +
                         (", then moved until the pictures agree" if "photometric" in motion else ""),
                         "skin": f"{len(texture.views)} views, light of the {texture.light.frame}"},
            "motion": motion, "light": texture.light.report()}


def with_motion(views: Views, capture: Capture, bundle: Bundle, options: HeadOptions, progress: Progress) -> tuple[
        Views, Bundle, dict]:
    """The bundle with the skin's own texture joined in, the views that it explains, and what was done: structure from
    motion where it can be believed, else points followed from frame to frame, else the landmarks alone."""
    seen, model = views.seen, views.model
    why = "not tried at this quality" if options.quality == "fast" else "too few views"
    if options.quality == "full" and len(views) >= LEAST_VIEWS:
        motion = recovered(views, capture, bundle, part(progress, 0.0, 0.7))
        if isinstance(motion, Motion):
            start = dataclasses.replace(bundle, focal_px=motion.focal_px, cam_from_head=np.where(
                motion.placed[:, None, None], motion.cam_from_head, bundle.cam_from_head))
            noise = motion.report["reprojection_px"] * 720 / float(np.median(seen.size_wh.min(1)))
            rounds = dataclasses.replace(SFM_ROUNDS, track_px=max(SFM_ROUNDS.track_px, noise))
            straight = views.straight(motion)
            held = holding(straight.seen, bundle.focal_px, motion.focal_px)
            joined = refine(model, held, start, motion.tracks, rounds, part(progress, 0.7, 1.0), motion.points,
                            motion.focal_sd)
            if joined is not None:
                how = f"structure from motion ({motion.report['how']}), adjusted together with the landmarks and the " \
                      "head model"
                return straight, joined, {**motion.report, "how": how}
        why = motion.reason if isinstance(motion, Rejected) else "too few points"
    yaw = np.array([c.head_angles_rad[0] for c in views.cameras(bundle)])
    tracks = follow(views.picture, seen.points_px, yaw, [int(g) for g in seen.lens])
    rounds = RefineOptions(rounds=10 if options.quality == "full" else 6, surface_mm=FEW_SURFACE_MM)
    followed = refine(model, seen, bundle, tracks, rounds, progress)
    note = f"structure from motion: {why}"
    if followed is None:
        return views, bundle, {"how": "bundle adjustment of landmarks alone (too little skin followed)", "note": note}
    how = f"bundle adjustment of landmarks and {tracks.count} followed skin points"
    return views, followed, {"how": how, "note": note}


def recovered(views: Views, capture: Capture, bundle: Bundle, progress: Progress) -> Motion | Rejected:
    """Structure from motion of the still skin; where that cannot be believed, of the whole picture."""
    seen, names = views.seen, [f.path for f in capture.frames]
    still = [without(m, p) for m, p in zip(views.masks(bundle, still_skin(views.model.anatomy)), seen.points_px,
                                           strict=True)]
    of_skin = structure_from_motion(capture.folder, names, views.picture, still, seen, bundle,
                                    progress=part(progress, 0.0, 0.6))
    if isinstance(of_skin, Motion):
        return of_skin
    of_room = cameras_of_room(capture.folder, names, views.picture, seen, bundle, progress=part(progress, 0.6, 1.0))
    if isinstance(of_room, Motion):
        return dataclasses.replace(of_room, report={**of_room.report, "note": f"of the skin alone: {of_skin.reason}"})
    return Rejected(reason=f"{of_skin.reason}; of the whole picture: {of_room.reason}")


def holding(seen: Observations, before_px: Float[np.ndarray, "g"], found_px: Float[np.ndarray, "g"]) -> Observations:
    """The observations with the focal lengths that structure from motion found as their hints, held closely; those that
    it left as they were keep theirs."""
    moved = found_px != before_px
    return dataclasses.replace(seen, focal_px=np.where(moved, found_px, seen.focal_px),
                               focal_sd=np.where(moved, FOCAL_SD, seen.focal_sd))


def check_fit(bundle: Bundle, seen: Observations) -> None:
    """Refuse a head that does not explain the pictures, rather than show a wild mesh."""
    height = np.ptp(seen.points_px[..., 1], axis=1)
    error = float(np.median(bundle.reprojection_px / height))
    if not np.isfinite(error) or error > MOST_REPROJECTION or np.abs(bundle.identity).max() > 8:
        raise InputRefused("no_fit", "No head explains these pictures.",
                           "Film one person, face uncovered, neutral expression, turning the head slowly.")


def assembled(capture: Capture, model: FaceModel, anatomy: Anatomy, bundle: Bundle, cameras: list[Camera],
              mesh: Mesh, texture: Skin, scale: Scale, sd_mm: Float[np.ndarray, "v"], report: dict) -> Reconstruction:
    """Put the record together."""
    shown = tuple(View(camera=c, path=f"capture/{f.path}", source=f.source, reprojection_px=float(e),
                       centre95_mm=radius95(bundle.centre_cov[k]) * scale.mm_per_unit)
                  for k, (c, f, e) in enumerate(zip(cameras, capture.frames, bundle.reprojection_px, strict=True)))
    confidence = (bundle.weight[bundle.weight.any(1)] > 0).mean(0)
    return Reconstruction(
        mesh=mesh, texture=texture.as_seen, delit=texture.delit, anatomy=anatomy, views=shown,
        model=model.name, identity=bundle.identity,
        landmarks=Landmarks3D(scheme=MEDIAPIPE478, points=mesh.points(anatomy.pins478), confidence=confidence),
        expression=np.median(bundle.expression, 0), scale=scale, report=report, uncertainty_mm=sd_mm,
        seen=seen_at(texture.as_seen, mesh))
