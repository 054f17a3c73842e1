"""Head: a capture becomes a Reconstruction: fit, millimetres, skin, uncertainty, and a report of what ran."""

import time
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.capture import Capture, Frame
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.landmarks import MEDIAPIPE478, Landmarks3D
from core.mesh import Mesh
from core.progress import Progress, part, silent
from core.reconstruction import Reconstruction, Scale, View
from core.records import record
from core.texture import Texture
from core.transforms import rigid
from recon.bundle import Bundle, BundleOptions, adjust
from recon.foreground import Foreground
from recon.marker import corners_in, marker_cue
from recon.models import DEFAULT_MODEL, load_model
from recon.observations import Observations, observations
from recon.refine import RefineOptions, refine
from recon.scale import MODEL_SD, Cue, fuse, ipd_cue, iris_cue
from recon.texture import TextureOptions, gather
from recon.tracks import follow

MODEL_RESIDUAL_MM = 0.6
"""What the model's modes leave unexplained on real faces (1 sd per axis): an assumption, near the shape errors of
`benchmarks/reconstruction.md`; calibrating it is the next issue's work."""
MOST_REPROJECTION = 0.03
"""Median reprojection error, as a share of the face's height, above which the fit is refused."""


@record
class HeadOptions:
    """What a person may say about the head. model: a row of `recon.models`. ipd_mm, marker_mm: known lengths, mm.
    quality: `fast` gathers the skin at half size from fewer pictures."""

    model: str = DEFAULT_MODEL
    ipd_mm: float | None = None
    marker_mm: float | None = None
    quality: str = "full"
    bundle: BundleOptions = BundleOptions()

    def texture(self) -> TextureOptions:
        """The texture's options at this quality."""
        return TextureOptions() if self.quality == "full" else TextureOptions(side=1024, views=8)


DEFAULTS = HeadOptions()


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
    frames = [f for f in capture.frames if f.landmarks is not None]
    rows = [k for k, f in enumerate(capture.frames) if f.landmarks is not None]
    seen = observations(capture)
    def pictures(k: int) -> UInt8[np.ndarray, "h w 3"]:
        return capture.picture(rows[k])

    bundle = adjust(model, seen, options.bundle, part(progress, 0.0, 0.2))
    check_fit(bundle, seen)
    timer.lap("fit")
    bundle, skin_points = with_skin(model, seen, bundle, pictures, options, part(progress, 0.2, 0.6))
    check_fit(bundle, seen)
    timer.lap("skin tracks")
    scale, cues = true_scale(bundle, seen, options, pictures)
    mesh, cameras = metric(model, bundle, seen, scale)
    timer.lap("scale")
    sharpness = np.array([f.sharpness for f in frames])
    texture = skin(mesh, model, cameras, pictures, sharpness, rasterize, options.texture(), part(progress, 0.6, 1.0))
    timer.lap("texture")
    report = {"options": {"ipd_mm": options.ipd_mm, "marker_mm": options.marker_mm, "quality": options.quality},
              "reprojection_px": {"median": float(np.median(bundle.reprojection_px)),
                                  "per_view": {f.source: round(float(e), 3) for f, e in
                                               zip(frames, bundle.reprojection_px, strict=True)}},
              "focal_px": bundle.focal_px, "views": len(frames), "scale_cues": cues, "seconds": timer.seconds,
              "what_ran": {"cameras": "bundle adjustment of landmarks" + (
                  f" and {skin_points} tracked skin points" if skin_points else " alone (too little skin tracked)"),
                           "head_model": model.name, "surface": "model fit",
                           "skin": f"{options.texture().views} views, two bands"}}
    return assembled(model, bundle, frames, cameras, mesh, texture, scale, report)


def with_skin(model: FaceModel, seen: Observations, bundle: Bundle,
              pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]], options: HeadOptions, progress: Progress,
              ) -> tuple[Bundle, int]:
    """The bundle with tracked skin joined in and the number of tracked points; 0 and the bundle as it was without."""
    yaw = np.array([bundle.camera(k, seen).head_angles_rad[0] for k in range(len(seen.points_px))])
    tracks = follow(pictures, seen.points_px, yaw, [int(g) for g in seen.lens])
    rounds = RefineOptions(rounds=10 if options.quality == "full" else 6)
    refined = refine(model, seen, bundle, tracks, rounds, progress)
    return (bundle, 0) if refined is None else (refined, tracks.count)


def check_fit(bundle: Bundle, seen: Observations) -> None:
    """Refuse a head that does not explain the pictures, rather than show a wild mesh."""
    height = np.ptp(seen.points_px[..., 1], axis=1)
    error = float(np.median(bundle.reprojection_px / height))
    if not np.isfinite(error) or error > MOST_REPROJECTION or np.abs(bundle.identity).max() > 8:
        raise InputRefused("no_fit", "No head explains these pictures.",
                           "Film one person, face uncovered, neutral expression, turning the head slowly.")


def true_scale(bundle: Bundle, seen: Observations, options: HeadOptions,
               picture: Callable[[int], UInt8[np.ndarray, "h w 3"]]) -> tuple[Scale, dict]:
    """Millimetres per model unit from every cue; and what each cue said."""
    cameras = [bundle.camera(k, seen) for k in range(len(seen.points_px))]
    cues = [Cue(source="model", mm_per_unit=1.0, sd=MODEL_SD)]
    iris = iris_cue(seen.points_px, cameras, bundle.landmarks)
    if iris is not None:
        cues.append(iris)
    if options.ipd_mm is not None:
        cues.append(ipd_cue(options.ipd_mm, bundle.landmarks))
    if options.marker_mm is not None:
        marker = marker_cue(options.marker_mm, [corners_in(picture(k)) for k in range(len(cameras))], cameras)
        if marker is None:
            raise InputRefused("no_marker", "The printed marker was not found in at least three pictures.",
                               "Stick a printed 4x4 ArUco marker to the forehead, or leave --marker-mm out.")
        cues.append(marker)
    return fuse(cues), {c.source: {"mm_per_unit": c.mm_per_unit, "sd": c.sd} for c in cues}


def metric(model: FaceModel, bundle: Bundle, seen: Observations, scale: Scale) -> tuple[Mesh, list[Camera]]:
    """The neutral head in mm in its own head frame (origin between its outer eye corners), and its cameras."""
    neutral = model.shape(bundle.identity).pose(np.zeros(len(model.expression_names))).mesh()
    corners = neutral.points(model.anatomy.pin_points[[model.anatomy.pin_names.index(n) for n in ("ex_l", "ex_r")]])
    origin = corners.mean(0)
    mesh = neutral.with_vertices((neutral.vertices_mm - origin) * scale.mm_per_unit)
    cameras = []
    for view in range(len(seen.points_px)):
        camera = bundle.camera(view, seen)
        R, t = camera.cam_from_head[:3, :3], camera.cam_from_head[:3, 3]
        cameras.append(Camera(K_px=camera.K_px, size_wh=camera.size_wh,
                              cam_from_head=rigid(R, (R @ origin + t) * scale.mm_per_unit)))
    return mesh, cameras


def skin(mesh: Mesh, model: FaceModel, cameras: list[Camera], pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]],
         sharpness: Float[np.ndarray, "n"], rasterize: Rasterize, options: TextureOptions, progress: Progress,
         ) -> Texture:
    """The person's skin on the neutral head."""
    return gather(mesh, cameras, pictures, Foreground(), sharpness, rasterize, options, progress,
                  model.anatomy.region("mouth_interior").astype(float))


def assembled(model: FaceModel, bundle: Bundle, frames: list[Frame], cameras: list[Camera], mesh: Mesh,
              texture: Texture, scale: Scale, report: dict) -> Reconstruction:
    """Put the record together."""
    views = tuple(View(camera=c, path=f"capture/{f.path}", source=f.source, reprojection_px=float(e))
                  for c, f, e in zip(cameras, frames, bundle.reprojection_px, strict=True))
    confidence = (bundle.weight > 0).mean(0)
    return Reconstruction(
        mesh=mesh, texture=texture, anatomy=model.anatomy, views=views, model=model.name, identity=bundle.identity,
        landmarks=Landmarks3D(scheme=MEDIAPIPE478, points=mesh.points(model.anatomy.pins478), confidence=confidence),
        expression=np.median(bundle.expression, 0), scale=scale, report=report,
        uncertainty_mm=vertex_sd(model, bundle, mesh, scale))


def vertex_sd(model: FaceModel, bundle: Bundle, mesh: Mesh, scale: Scale) -> Float[np.ndarray, "v"]:
    """One sd per vertex (mm): the fit's covariance through the modes, what the modes cannot express, and the scale."""
    root = np.linalg.cholesky(bundle.identity_cov + 1e-12 * np.eye(len(bundle.identity)))
    spread = np.einsum("kvc,kj->jvc", model.identity_basis_mm, root, optimize=True) * scale.mm_per_unit
    fit = (spread**2).sum((0, 2)) / 3
    size = (np.linalg.norm(mesh.vertices_mm - mesh.vertices_mm.mean(0), axis=1) * scale.sd_relative) ** 2 / 3
    return np.sqrt(fit + MODEL_RESIDUAL_MM**2 + size)
