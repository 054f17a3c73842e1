"""Head: a capture becomes a Reconstruction: fit, millimetres, skin, uncertainty, and a report of what ran."""

import dataclasses
import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from core.anatomy import Anatomy
from core.camera import Camera
from core.capture import Capture, Frame
from core.certainty import seen_at
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.landmarks import MEDIAPIPE478, Landmarks3D
from core.mesh import Mesh
from core.progress import Progress, part, silent
from core.reconstruction import Reconstruction, Scale, View
from recon.bundle import Bundle, adjust
from recon.detect import Detector
from recon.foreground import Foreground
from recon.models import load_model
from recon.observations import KNOWN_FOCAL_SD, Observations
from recon.placing import place
from recon.refine import RefineOptions, refine
from recon.sfm import Motion, Rejected, structure_from_motion
from recon.shape import Shape, ShapeOptions, outlined, own_shape
from recon.side_photos import with_sides
from recon.skin import all_skin, still_skin, without
from recon.texture import Skin, gather
from recon.tracks import follow
from recon.views import DEFAULTS, HeadOptions, Views, metric, true_scale, vertex_sd, with_size

SFM_ROUNDS = RefineOptions(rounds=8, track_px=0.4, surface_mm=0.7)
"""Of the adjustment after structure from motion; a noisier film's points count less."""
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
                     progress: Progress = silent) -> Reconstruction:
    """Fit the head model to the capture, give it millimetres and skin. `rasterize` is render's skill.

    InputRefused when no head fits the pictures; UsageError for an unknown model.
    """
    timer, model = Timer(), load_model(options.model)
    ends = tuple(f for f in capture.frames if f.landmarks is None) if options.quality == "full" else ()
    capture = with_face(capture, len(capture.frames) if options.quality == "full" else FAST_VIEWS)
    views = Views.of(capture, model, rasterize)
    bundle = adjust(model, views.seen, options.bundle, part(progress, 0.0, 0.1))
    check_fit(bundle, views.seen)
    timer.lap("fit")
    bundle, motion = with_motion(views, capture, bundle, options, part(progress, 0.1, 0.4))
    check_fit(bundle, views.seen)
    timer.lap("cameras")
    scale, cues = true_scale(views, bundle, options)
    timer.lap("scale")
    head = views.neutral(bundle)
    if capture.kind == "photos":
        views, capture, bundle, head, refused = with_side_photos(views, capture, ends, bundle, head, progress)
    else:
        views, capture, bundle = with_profiles(views, capture, ends, bundle, part(progress, 0.4, 0.45))
        refused = {}
    timer.lap("profiles")
    shape = None
    if options.quality == "full":
        shape = own_shape(head, model.anatomy, views.cameras(bundle), views.picture,
                          views.masks(bundle, all_skin(model.anatomy)), views.seen, rasterize,
                          ShapeOptions() if "registered" in motion else ShapeOptions(outline=None),
                          part(progress, 0.45, 0.75))
    timer.lap("surface")
    anatomy = model.anatomy if shape is None else shape.anatomy
    mesh, cameras = metric(views, head if shape is None else shape.mesh, anatomy, bundle, scale)
    texture = gather(mesh, cameras, views.picture, Foreground(), np.array([f.sharpness for f in capture.frames]),
                     rasterize, options.texture(), part(progress, 0.75, 1.0), anatomy)
    timer.lap("texture")
    sd = vertex_sd(model, bundle, mesh, scale) if shape is None else with_size(
        shape.sd_mm * scale.mm_per_unit, mesh, scale)
    report = told(capture, model, bundle, options, motion, cues, shape, texture) | {
        "profiles": {"lost": len(ends), "placed": sum(f.landmarks is None for f in capture.frames), "refused": refused},
        "seconds": timer.seconds}
    return assembled(capture, model, anatomy, bundle, cameras, mesh, texture, scale, sd, report)


def with_face(capture: Capture, most: int) -> Capture:
    """The pictures of a capture that show the face; at most so many, evenly spread over it."""
    rows = [k for k, f in enumerate(capture.frames) if f.landmarks is not None]
    kept = np.unique(np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)).tolist()
    return dataclasses.replace(capture, frames=tuple(capture.frames[rows[k]] for k in kept))


def told(capture: Capture, model: FaceModel, bundle: Bundle, options: HeadOptions, motion: dict, cues: dict,
         shape: Shape | None, texture: Skin) -> dict:
    """What `fit.json` says of what ran and how well."""
    return {"options": {"ipd_mm": options.ipd_mm, "marker_mm": options.marker_mm, "quality": options.quality},
            "reprojection_px": {"median": float(np.median(bundle.reprojection_px)),
                                "per_view": {f.source: round(float(e), 3) for f, e in
                                             zip(capture.frames, bundle.reprojection_px, strict=True)}},
            "focal_px": bundle.focal_px, "views": len(capture.frames), "scale_cues": cues,
            "what_ran": {"cameras": motion["how"], "head_model": model.name, "surface": "model fit"
                         if shape is None else f"model fit, then {shape.depths} depths measured by optical flow" +
                         (" and on outlines" if "registered" in motion else ""),
                         "skin": f"{len(texture.views)} views, light of the {texture.light.frame}"},
            "motion": motion, "light": texture.light.report()}


def with_motion(views: Views, capture: Capture, bundle: Bundle, options: HeadOptions, progress: Progress) -> tuple[
        Bundle, dict]:
    """The bundle with the skin's own texture joined in, and what was done: structure from motion where it can be
    believed, else points followed from frame to frame, else the landmarks alone."""
    seen, model = views.seen, views.model
    why = "not tried at this quality" if options.quality == "fast" else "too few views"
    if options.quality == "full" and len(views) >= LEAST_VIEWS:
        still = [without(m, p) for m, p in zip(views.masks(bundle, still_skin(model.anatomy)), seen.points_px,
                                               strict=True)]
        motion = structure_from_motion(capture.folder, [f.path for f in capture.frames], views.picture, still, seen,
                                       bundle, progress=part(progress, 0.0, 0.7))
        if isinstance(motion, Motion):
            start = dataclasses.replace(bundle, focal_px=motion.focal_px, cam_from_head=np.where(
                motion.placed[:, None, None], motion.cam_from_head, bundle.cam_from_head))
            noise = motion.report["reprojection_px"] * 720 / float(np.median(seen.size_wh.min(1)))
            rounds = dataclasses.replace(SFM_ROUNDS, track_px=max(SFM_ROUNDS.track_px, noise))
            joined = refine(model, holding(seen, bundle.focal_px, motion.focal_px), start, motion.tracks, rounds,
                            part(progress, 0.7, 1.0), motion.points)
            if joined is not None:
                return joined, {**motion.report, "how": f"structure from motion ({motion.report['how']}), adjusted "
                                                        "together with the landmarks and the head model"}
        why = motion.reason if isinstance(motion, Rejected) else "too few points"
    yaw = np.array([c.head_angles_rad[0] for c in views.cameras(bundle)])
    tracks = follow(views.picture, seen.points_px, yaw, [int(g) for g in seen.lens])
    rounds = RefineOptions(rounds=10 if options.quality == "full" else 6, surface_mm=FEW_SURFACE_MM)
    followed = refine(model, seen, bundle, tracks, rounds, progress)
    note = f"structure from motion: {why}"
    if followed is None:
        return bundle, {"how": "bundle adjustment of landmarks alone (too little skin followed)", "note": note}
    return followed, {"how": f"bundle adjustment of landmarks and {tracks.count} followed skin points", "note": note}


def with_profiles(views: Views, capture: Capture, ends: tuple[Frame, ...], bundle: Bundle, progress: Progress) -> tuple[
        Views, Capture, Bundle]:
    """All three with those frames without a face that the skin could place (`recon.placing`) behind the others.

    Their landmarks are carried on by the fitted head and count nowhere; their residual is that of the skin.
    """
    if not ends:
        return views, capture, bundle
    everything = dataclasses.replace(capture, frames=(*capture.frames, *ends))
    cameras = views.cameras(bundle)
    found = place(views.neutral(bundle), outlined(views.model.anatomy), [*cameras, *[None] * len(ends)],
                  np.array([f.time_s for f in everything.frames]), everything.picture, views.rasterize,
                  progress=progress)
    rows = sorted(found)
    nearest = [int(np.argmin([abs(f.time_s - everything.frames[k].time_s) for f in capture.frames])) for k in rows]
    return grown(views, capture, bundle, [everything.frames[k] for k in rows], [found[k].camera for k in rows],
                 [found[k].residual_px for k in rows], views.seen.lens[nearest])


def with_side_photos(views: Views, capture: Capture, ends: tuple[Frame, ...], bundle: Bundle, head: Mesh,
                     progress: Progress) -> tuple[Views, Capture, Bundle, Mesh, dict[str, str]]:
    """The first three with the photos from the side that show no face behind the others, the head drawn to their
    outlines (`recon.side_photos`), and by name why a photo could not be read. Each has a lens of its own, as long, for
    its size, as that of the nearest photo."""
    if not ends:
        return views, capture, bundle, head, {}
    progress(0.4, "Reading the photos from the side")
    nearest = [int(np.argmin([abs(f.time_s - end.time_s) for f in capture.frames])) for end in ends]
    share = [np.hypot(*end.size_wh) / np.hypot(*views.seen.size_wh[k]) for end, k in zip(ends, nearest, strict=True)]
    focals = [float(bundle.focal_px[views.seen.lens[k]] * s) for k, s in zip(nearest, share, strict=True)]
    sides = with_sides(views.model, bundle, head, [dataclasses.replace(capture, frames=ends).picture(k)
                                                   for k in range(len(ends))], focals, Detector(), Foreground(),
                       views.rasterize)
    refused = {ends[k].source: why for k, why in sides.refused.items()}
    rows = sorted(sides.found)
    if not rows:
        return views, capture, bundle, head, refused
    lenses = len(bundle.focal_px) + np.arange(len(rows))
    own = np.array([focals[k] for k in rows])
    seen = dataclasses.replace(views.seen, focal_px=np.append(views.seen.focal_px, own),
                               focal_sd=np.append(views.seen.focal_sd, np.full(len(rows), KNOWN_FOCAL_SD)))
    bundle = dataclasses.replace(bundle, focal_px=np.append(bundle.focal_px, own))
    views, capture, bundle = grown(Views(views.model, seen, views.picture, views.rasterize), capture, bundle,
                                   [ends[k] for k in rows], [sides.found[k].camera for k in rows],
                                   [sides.found[k].off_px for k in rows], lenses)
    return views, capture, bundle, sides.head, refused


def grown(views: Views, capture: Capture, bundle: Bundle, frames: Sequence[Frame], cameras: Sequence[Camera],
          residual_px: Sequence[float], lens: Int[np.ndarray, "m"]) -> tuple[Views, Capture, Bundle]:
    """All three with more frames behind the others, whose landmarks are carried on by the head and count nowhere."""
    def longer(values: np.ndarray, more: Sequence[np.ndarray | float] | np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.array(more).reshape(len(frames), *values.shape[1:])])

    seen, none = views.seen, np.zeros((len(frames), 478))
    seen = dataclasses.replace(
        seen, points_px=longer(seen.points_px, [c.px_from_points(bundle.landmarks) for c in cameras]),
        visible=longer(seen.visible, none), size_wh=longer(seen.size_wh, [np.array(f.size_wh) for f in frames]),
        lens=longer(seen.lens, lens))
    bundle = dataclasses.replace(
        bundle, cam_from_head=longer(bundle.cam_from_head, [c.cam_from_head for c in cameras]),
        expression=longer(bundle.expression, [np.median(bundle.expression, 0)] * len(frames)),
        reprojection_px=longer(bundle.reprojection_px, residual_px), weight=longer(bundle.weight, none))
    capture = dataclasses.replace(capture, frames=(*capture.frames, *frames))
    return Views(views.model, seen, capture.picture, views.rasterize), capture, bundle


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
    shown = tuple(View(camera=c, path=f"capture/{f.path}", source=f.source, reprojection_px=float(e))
                  for c, f, e in zip(cameras, capture.frames, bundle.reprojection_px, strict=True))
    confidence = (bundle.weight[bundle.weight.any(1)] > 0).mean(0)
    return Reconstruction(
        mesh=mesh, texture=texture.as_seen, delit=texture.delit, anatomy=anatomy, views=shown,
        model=model.name, identity=bundle.identity,
        landmarks=Landmarks3D(scheme=MEDIAPIPE478, points=mesh.points(anatomy.pins478), confidence=confidence),
        expression=np.median(bundle.expression, 0), scale=scale, report=report, uncertainty_mm=sd_mm,
        seen=seen_at(texture.as_seen, mesh))
