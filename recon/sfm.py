"""Structure from motion: cameras and points from the skin's own texture, by pycolmap
(Schonberger & Frahm, CVPR 2016).

Only the head's still skin is used (`recon.skin`): the room stays where it is while the head turns, eyes and lips move
on their own. SIFT (Lowe 2004) with a low contrast threshold, because skin is smooth; its descriptors are compared as
RootSIFT (Arandjelovic & Zisserman 2012). Pairs of views come from the landmarks' cameras. Mapping is incremental;
where that is weak, the given cameras are triangulated and adjusted instead. The result is accepted on stated criteria
or not at all.
"""

import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pycolmap
from jaxtyping import Bool, Float, UInt8

from core.progress import Progress, part, silent
from core.records import freeze, record
from recon.bundle import Bundle
from recon.head_frame import in_head_frame
from recon.lens import bending, straight_px
from recon.observations import Observations
from recon.settle import lenses_of, quiet, settle
from recon.tracks import Tracks
from recon.upper_face import upper_alone

MOST_OTHER = 0.2
"""Share of the views that a second, separate model may hold."""
LEAST_SIGHTINGS = 60
"""Points that the usual view must hold: with fewer, noise decides the focal length."""
LOWER_MOVED = "upper face: the lower one moved"
"""What the report's `skin` says where the upper face alone tells the cameras."""
FOCAL_HELD = 1
"""Which of the attempts holds the focal length."""
CENTRE = 0.5
"""COLMAP puts pixel centres at halves, we put them at integers."""

Attempt = tuple[pycolmap.Reconstruction | None, int]
"""The scene, if any, and how many views the next largest separate one holds."""
Believe = Callable[[pycolmap.Reconstruction], "Motion | Rejected"]
"""From a scene to the motion it tells, if that passes its checks."""
Way = Callable[[Path, Path, Path], Attempt]
"""From the database, the pictures' folder and a folder of its own to an attempt."""


@record
class SfmOptions:
    """How cameras are recovered, and when the result is believed.

    features: per view at most. contrast: of the weakest feature (OpenCV's SIFT scale). pair_rad: views whose directions
    differ by no more are compared. least_inliers: of a verified pair. registered: share of the views that must find
    their place. focal: how far the focal length may move from its first guess, in its spreads. turn_rad: median
    difference to the landmarks' cameras. least_length: of a track, in views. most_error_px: of a track's points.
    points: kept for the adjustment, the longest tracks first. threads, seed: of pycolmap.
    """

    features: int = 3000
    contrast: float = 0.006
    pair_rad: float = 0.44
    least_inliers: int = 15
    registered: float = 0.8
    focal: float = 3.0
    turn_rad: float = 0.25
    least_length: int = 3
    most_error_px: float = 1.0
    points: int = 3000
    threads: int = 2
    seed: int = 0


DEFAULTS = SfmOptions()


@record
class Motion:
    """What structure from motion found, in the head frame of the bundle it was aligned to.

    cam_from_head (N,4,4) with NaN for views that found no place, focal_px (G,) with the spread of its logarithm
    focal_sd (G,), NaN where not known, k (G,) the lens's bend (`recon.lens`; tracks are those of straight lenses),
    tracks and their points (P,3); report: numbers for the case (registered, points, reprojection px, focal px, how,
    lenses; note: what failed before).
    """

    cam_from_head: Float[np.ndarray, "n 4 4"]
    focal_px: Float[np.ndarray, "g"]
    focal_sd: Float[np.ndarray, "g"]
    k: Float[np.ndarray, "g"]
    tracks: Tracks
    points: Float[np.ndarray, "p 3"]
    report: dict

    def __post_init__(self) -> None:
        freeze(self, cam_from_head=(self.cam_from_head, float), focal_px=(self.focal_px, float),
               focal_sd=(self.focal_sd, float), k=(self.k, float), points=(self.points, float))

    @property
    def placed(self) -> Bool[np.ndarray, "n"]:
        """Views that found their place."""
        found: np.ndarray = np.isfinite(self.cam_from_head).all((1, 2))
        return found


@record
class Rejected:
    """Why structure from motion was not believed: a plain clause, then what each way that failed said of it."""

    reason: str


def structure_from_motion(folder: Path, names: list[str], pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]],
                          masks: list[UInt8[np.ndarray, "h w"]], seen: Observations, start: Bundle,
                          options: SfmOptions = DEFAULTS, progress: Progress = silent) -> Motion | Rejected:
    """Recover the cameras of the views. `folder`/`names`: the pictures' files (only their size is read by pycolmap)."""
    pycolmap.logging.minloglevel = pycolmap.logging.stderrthreshold = 3  # only what ends the process
    pycolmap.logging.alsologtostderr = False
    pycolmap.set_random_seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="previsage-sfm-") as scratch:
        database = Path(scratch) / "database.db"
        ids = imported(database, folder, names, seen, start.focal_px)
        found = features(database, ids, pictures, masks, options, part(progress, 0.0, 0.35))
        progress(0.35, "Comparing skin between views")
        compare(database, scratch, names, start, options)
        progress(0.6, "Recovering the cameras")
        ways: dict[str, Way] = {
            "incremental mapping": partial(mapped, pipeline(options)),
            "incremental mapping with the focal length held": partial(mapped, pipeline(options, refine_focal=False)),
            "triangulation from the landmarks' cameras": partial(seeded, options, names, start)}
        found_on, reason = 0, "too little skin could be matched between the views"
        failed: list[str] = []
        for number, (how, way) in enumerate(ways.items()):
            out = Path(scratch) / str(number)
            out.mkdir()
            try:
                best, others = way(database, folder, out)
                if best is not None and number != FOCAL_HELD:
                    settle(best, options.least_length, options.points)
            except (RuntimeError, ValueError) as error:
                failed.append(f"{how} failed: {' '.join(str(error).split())}")
                continue
            if best is None:
                continue
            believe = partial(believed, ids=ids, seen=seen, start=start, others=others, how=how, found=found,
                              options=options)
            judged = believe(best)
            if isinstance(judged, Motion):
                if number != FOCAL_HELD:
                    judged = with_lenses(*on_stiff_skin(best, judged, ids, believe), ids, seen, believe)
                return replace(judged, report={**judged.report, "note": "; ".join(failed)}) if failed else judged
            if best.num_reg_images() > found_on:
                found_on, reason = best.num_reg_images(), judged.reason
    return Rejected(reason="; ".join([reason, *failed]))


def imported(database: Path, folder: Path, names: list[str], seen: Observations,
             focal_px: Float[np.ndarray, "g"]) -> dict[int, int]:
    """Register the pictures, one camera per lens; image numbers by view."""
    pycolmap.Database.open(database).close()  # makes the file
    for lens, focal in enumerate(focal_px):
        rows = [k for k in range(len(names)) if seen.lens[k] == lens]
        if not rows:
            continue
        width, height = seen.size_wh[rows[0]]
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "SIMPLE_PINHOLE"
        reader.camera_params = f"{focal},{width / 2},{height / 2}"
        pycolmap.import_images(database, folder, pycolmap.CameraMode.SINGLE, [names[k] for k in rows], reader)
    with pycolmap.Database.open(database) as db:
        return {k: found.image_id for k, name in enumerate(names) if (found := db.read_image_with_name(name))}


def features(database: Path, ids: dict[int, int], pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]],
             masks: list[UInt8[np.ndarray, "h w"]], options: SfmOptions, progress: Progress) -> int:
    """SIFT on the skin of every view, into the database; how many in all."""
    total = 0
    with pycolmap.Database.open(database) as db, ThreadPoolExecutor(options.threads) as pool:
        found = pool.map(lambda k: sift_of(pictures(k), masks[k], options), ids)
        for (k, image), (place, descriptor) in zip(ids.items(), found, strict=True):
            progress(k / len(ids), f"Reading the skin, view {k + 1} of {len(ids)}")
            total += len(place)
            db.write_keypoints(image, place.astype(np.float32))
            db.write_descriptors(image, pycolmap.FeatureDescriptors(pycolmap.FeatureExtractorType.SIFT, descriptor))
    return total


def sift_of(picture: UInt8[np.ndarray, "h w 3"], mask: UInt8[np.ndarray, "h w"], options: SfmOptions) -> tuple[
        Float[np.ndarray, "n 4"], UInt8[np.ndarray, "n 128"]]:
    """Keypoints (x, y, scale, angle; COLMAP's pixel centres) and RootSIFT descriptors inside a mask."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return np.zeros((0, 4)), np.zeros((0, 128), np.uint8)
    top, left = max(rows[0] - 8, 0), max(columns[0] - 8, 0)
    window = slice(top, rows[-1] + 9), slice(left, columns[-1] + 9)
    grey = cv2.cvtColor(picture[window], cv2.COLOR_RGB2GRAY)
    sift = cv2.SIFT_create(nfeatures=options.features, contrastThreshold=options.contrast, edgeThreshold=12,
                           enable_precise_upscale=True)
    points, descriptor = sift.detectAndCompute(grey, np.ascontiguousarray(mask[window]))
    if not points:
        return np.zeros((0, 4)), np.zeros((0, 128), np.uint8)
    place = np.array([[p.pt[0] + left + CENTRE, p.pt[1] + top + CENTRE, p.size / 2, np.radians(p.angle)]
                      for p in points])
    root = np.sqrt(descriptor / np.maximum(descriptor.sum(1, keepdims=True), 1e-6))
    return place, np.clip(np.rint(512 * root), 0, 255).astype(np.uint8)


def view_pairs(start: Bundle, pair_rad: float) -> list[tuple[int, int]]:
    """Views that look from about the same side, and neighbours in time."""
    towards = -np.einsum("nij,ni->nj", start.cam_from_head[:, :3, :3], start.cam_from_head[:, :3, 3])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    near = towards @ towards.T > np.cos(pair_rad)
    return [(a, b) for a in range(len(near)) for b in range(a + 1, len(near)) if near[a, b] or b - a <= 3]


def compare(database: Path, scratch: str, names: list[str], start: Bundle, options: SfmOptions) -> None:
    """Match the pairs and verify their geometry; matches that stand still in the picture are the room's, not the
    head's."""
    pairs = Path(scratch) / "pairs.txt"
    pairs.write_text("".join(f"{names[a]} {names[b]}\n" for a, b in view_pairs(start, options.pair_rad)))
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads, matching.use_gpu = options.threads, False
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = pairs
    verify = pycolmap.TwoViewGeometryOptions()
    verify.filter_stationary_matches, verify.min_num_inliers = True, options.least_inliers
    verify.ransac.random_seed = options.seed
    pycolmap.match_image_pairs(database, matching, pairing, verify)


def pipeline(options: SfmOptions, refine_focal: bool = True) -> pycolmap.IncrementalPipelineOptions:
    """Mapping options for a small scene: one head that fills the view."""
    out = pycolmap.IncrementalPipelineOptions()
    out.num_threads, out.random_seed, out.extract_colors = options.threads, options.seed, False
    out.max_num_models, out.min_model_size = 3, 5
    out.ba_refine_focal_length = out.mapper.abs_pose_refine_focal_length = refine_focal
    out.ba_local_max_num_iterations, out.ba_global_max_num_iterations, out.ba_global_max_refinements = 15, 30, 2
    out.ba_global_frames_ratio = out.ba_global_points_ratio = 1.5  # all is adjusted again here afterwards
    out.mapper.num_threads, out.mapper.random_seed = options.threads, options.seed
    out.mapper.init_min_num_inliers, out.mapper.init_min_tri_angle, out.mapper.abs_pose_min_num_inliers = 40, 8.0, 15
    out.triangulation.random_seed = options.seed
    return out


def mapped(settings: pycolmap.IncrementalPipelineOptions, database: Path, folder: Path, out: Path) -> Attempt:
    """The largest incremental model (or None), and the size of the second largest."""
    models = pycolmap.incremental_mapping(database, folder, out, settings)
    ranked = sorted(models.values(), key=lambda m: -m.num_reg_images())
    return (ranked[0] if ranked else None), (ranked[1].num_reg_images() if len(ranked) > 1 else 0)


def seeded(options: SfmOptions, names: list[str], start: Bundle, database: Path, folder: Path, out: Path) -> Attempt:
    """Triangulate under the given cameras, then adjust both, three times over: for captures too weak to map."""
    with pycolmap.Database.open(database) as db:
        scene = pycolmap.Reconstruction()
        for camera in db.read_all_cameras():
            scene.add_camera_with_trivial_rig(camera)
        for k, name in enumerate(names):
            image = db.read_image_with_name(name)
            if image is None:
                continue
            pose = pycolmap.Rigid3d(start.cam_from_head[k, :3])
            scene.add_image_with_trivial_frame(
                pycolmap.Image(image_id=image.image_id, name=name, camera_id=image.camera_id), pose)
    adjust = pycolmap.BundleAdjustmentOptions()
    for reach in (12.0, 6.0, 4.0):
        settings = pipeline(options)
        settings.triangulation.create_max_angle_error = settings.triangulation.continue_max_angle_error = reach / 2
        settings.triangulation.merge_max_reproj_error = settings.triangulation.complete_max_reproj_error = reach
        with quiet():
            scene = pycolmap.triangulate_points(scene, database, folder, out, True, settings)
            if scene.num_points3D() < 50:
                return None, 0
            pycolmap.bundle_adjustment(scene, adjust)
    return scene, 0


def believed(scene: pycolmap.Reconstruction, ids: dict[int, int], seen: Observations, start: Bundle, others: int,
             how: str, found: int, options: SfmOptions) -> Motion | Rejected:
    """The scene in the head's frame, if it passes its checks."""
    views = {image: k for k, image in ids.items()}
    cams = np.full((len(ids), 4, 4), np.nan)
    for image in scene.images.values():
        if image.has_pose:
            cams[views[image.image_id]] = np.vstack([image.cam_from_world().matrix(), [0, 0, 0, 1]])
    placed = np.isfinite(cams).all((1, 2))
    focal = start.focal_px.copy()
    for k in np.flatnonzero(placed):
        focal[seen.lens[k]] = scene.cameras[scene.images[ids[int(k)]].camera_id].params[0]
    if placed.mean() < options.registered:
        return Rejected(reason=f"only {placed.sum()} of {len(ids)} views found their place")
    if others > MOST_OTHER * len(ids):
        return Rejected(reason="the views fell apart into several groups")
    off = np.abs(np.log(focal / seen.focal_px)) / seen.focal_sd
    if off.max() > options.focal:
        return Rejected(reason=f"its focal length ({focal[off.argmax()]:.0f} px) is not a phone's")
    tracks, points = tracks_of(scene, views, options)
    held = float(np.median(np.bincount(tracks.view, minlength=len(ids))[placed]))
    if held < LEAST_SIGHTINGS:
        return Rejected(reason=f"only {held:.0f} points of skin a view were found again in others")
    cams, points, turn = in_head_frame(cams, points, placed, focal, seen, start)
    if turn > options.turn_rad:
        return Rejected(reason=f"its cameras differ from the landmarks' by {np.degrees(turn):.0f}°")
    report = {"how": how, "registered": int(placed.sum()), "views": len(ids), "features": found,
              "points": scene.num_points3D(),
              "reprojection_px": round(float(scene.compute_mean_reprojection_error()), 3),
              "focal_px": focal, "turn_from_landmarks_deg": round(float(np.degrees(turn)), 2)}
    return Motion(cam_from_head=cams, focal_px=focal, focal_sd=np.full(len(focal), np.nan), k=np.zeros(len(focal)),
                  tracks=tracks, points=points, report=report)


def on_stiff_skin(scene: pycolmap.Reconstruction, found: Motion, ids: dict[int, int], believe: Believe) -> tuple[
        pycolmap.Reconstruction, Motion]:
    """The scene and its motion; those of the upper face alone where the lower one moved."""
    try:
        alone = upper_alone(scene, {ids[int(k)]: found.cam_from_head[k] for k in np.flatnonzero(found.placed)})
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:  # such as a lens without a view
        return scene, replace(found, report={**found.report, "skin": f"not compared: {' '.join(str(error).split())}"})
    judged = believe(alone) if alone is not None else None
    if alone is None or not isinstance(judged, Motion):
        return scene, found
    return alone, replace(judged, report={**judged.report, "skin": LOWER_MOVED})


def with_lenses(scene: pycolmap.Reconstruction, straight: Motion, ids: dict[int, int], seen: Observations,
                believe: Believe) -> Motion:
    """What the scene says of its lenses joined to the motion; where one bends, the motion that the scene adjusted for
    it tells (the scene is changed)."""
    try:
        lenses = lenses_of(scene)
    except (RuntimeError, ValueError, np.linalg.LinAlgError) as error:
        return replace(straight, report={**straight.report, "lenses": f"not told: {' '.join(str(error).split())}"})
    of_lens = {int(seen.lens[k]): lenses[scene.images[i].camera_id] for k, i in ids.items() if straight.placed[k]}
    bends = any(lens.bends for lens in of_lens.values())
    judged = believe(scene) if bends else straight
    if not isinstance(judged, Motion):
        return straight
    focal_sd, k = judged.focal_sd.copy(), np.zeros(len(judged.focal_px))
    for number, lens in of_lens.items():
        focal_sd[number], k[number] = lens.focal_sd, lens.k if bends else 0.0
    said = [{"k1": round(lens.k, 4), "k1_sd": round(lens.k_sd, 4), "used": bends,
             "focal_sd_percent": round(100 * lens.focal_sd, 3)} for lens in of_lens.values()]
    report = {**straight.report, **judged.report, "lenses": said}
    return replace(judged, focal_sd=focal_sd, k=k, report=report)


def tracks_of(scene: pycolmap.Reconstruction, views: dict[int, int], options: SfmOptions) -> tuple[
        Tracks, Float[np.ndarray, "p 3"]]:
    """The longest good tracks, numbered from 0, and where they lie."""
    good = [p for p in scene.points3D.values()
            if p.track.length() >= options.least_length and p.error <= options.most_error_px]
    good = sorted(good, key=lambda p: -p.track.length())[:options.points]
    view, point, px = [], [], []
    for number, p in enumerate(good):
        for e in p.track.elements:
            image = scene.images[e.image_id]
            view.append(views[e.image_id])
            point.append(number)
            px.append(image.points2D[e.point2D_idx].xy - CENTRE)
    at, of = np.array(px).reshape(-1, 2), np.array([scene.images[e.image_id].camera_id
                                                    for p in good for e in p.track.elements])
    for number, camera in scene.cameras.items():
        if camera.model_name == "SIMPLE_RADIAL":
            at[of == number] = straight_px(
                at[of == number], bending(camera.params[0], camera.params[3], (camera.width, camera.height)))
    tracks = Tracks(view=np.array(view, np.int64), point=np.array(point, np.int64), px=at)
    return tracks, np.array([p.xyz for p in good]).reshape(-1, 3)
