"""Profile: the head model laid on a photo from the side, where the landmark network is wrong or refuses.

  contour   where the person ends before the background (`recon.contour`)
  start     the average head's outline at two turns, laid on the contour near the finder's nose, eye and mouth
  fit       (`recon.profile_fit`) pose, size and proportions by Gauss-Newton: outline on contour, contour on outline,
            and landmarks of the near side that the network finds once the head is turned back with the photo as its
            skin (`recon.turned`)
  draw      the skin is drawn to the contour and the landmarks, spread as a Gaussian (as `recon.one_photo` does)

From the side a turn shows only in how far the eye, the mouth's corner and the nostril lie behind the outline: 0.8 mm a
degree at the eye. The model's faces are flatter than people's by `FLATTER`, which alone would be 7 degrees.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from core.camera import Camera
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.mesh import Mesh
from core.reconstruction import Scale
from core.records import record
from core.surface import SurfacePoints
from core.transforms import head_angles_rad, rigid
from recon.contour import placed
from recon.detect import Detector, Face, region_of_box
from recon.face478 import facing
from recon.landmark_net import FaceBox
from recon.one_photo import REACH_MM, RIDGE, Doubt, PhotoHead
from recon.profile_fit import (
    BOX_MM,
    HINT,
    LOST,
    TURN_MM,
    Basis,
    Laid,
    Scene,
    basis_of,
    mesh_of,
    outline_of,
    rough_pulls,
    rounds,
    scene_of,
    step,
    sure_rows,
    worth,
)
from recon.profile_start import resized, starts
from recon.scale import MODEL_SD, Cue, fuse, ipd_cue
from recon.turned import Seen, in_pixels
from recon.views import MODEL_RESIDUAL_MM, in_mm, origin_of

BEYOND_DEG = 48.0
"""From this turn on the landmarks alone are not believed: they say 55 at 60 degrees and 57 at 70."""
LEAST_PRESENCE, MOST_OFF, LEAST_SHARE, MOST_MODE, MOST_TILT = 0.9, 0.015, 0.88, 4.5, np.radians(35.0)
"""A head is believed when the network sees a face on it, its outline lies within this share of the face's height of the
contour (median) and follows it over this share of its length, and neither its shape nor its pose is strange."""
FOLLOWED = 0.025
"""Where the contour lies within this share of the face's height of the outline, the outline follows it."""
DRAWN_MM = 6.0
"""The skin is drawn to the contour where that lies so near: farther off is hair or a beard."""
USUAL_FACE_MM, FACE_SD_MM, FACE_WEIGHT = 119.0, 6.0, 3.0
"""From nasion to menton: the model's average (16 people from in front: 116 to 123), and how far people differ."""
GROW, ODD, OTHER_SIZES = 1.17, 10.0, (0.86, 1.0, 1.3)
"""A start a little too large keeps chin and lips apart; one too small lays the chin on the lips and stays there. Other
sizes are tried where the fit costs more than `ODD` (right ones cost -30 to 25, wrong ones from 50 on)."""
MOST_SIZE, LEAST_YAW, MOST_YAW = 0.3, np.radians(40.0), np.radians(115.0)
SPREAD_MM, UNSEEN_MM, BEHIND_MM = 1.5, 1.5, 4.0
"""One sd of the landmarks of a fitted profile; of the skin where one view from the side says little; a point so far
behind what is drawn in its place is hidden."""
PROFILE_TRUST = 0.7
"""Trust in a point that is well seen."""


def beyond(head: PhotoHead) -> bool:
    """True when the landmarks say that the head is turned so far that they cannot be believed."""
    return abs(head.angles_deg[0]) > BEYOND_DEG


@record
class Read:
    """A photo from the side, read: the head laid on it, and what the network sees on it. basis: of the model used."""

    scene: Scene
    basis: Basis
    laid: Laid
    seen: Seen


def fit_profile(model: FaceModel, picture: UInt8[np.ndarray, "h w 3"], face: Face | None, box: FaceBox | None,
                focal_px: float | None, detector: Detector, foreground: Callable[[np.ndarray], np.ndarray],
                rasterize: Rasterize, ipd_mm: float | None = None) -> PhotoHead:
    """The head in a photo from the side.

    face: as the landmarks see it, if they do; box: as the finder sees it (found again when not given).
    InputRefused `profile_lost`: no head explains the photo well enough; the message says what is amiss.
    """
    read = read_profile(basis_of(model), picture, face, box, focal_px, detector, foreground, rasterize)
    return assembled(read, (picture.shape[1], picture.shape[0]), ipd_mm, rasterize)


def read_profile(basis: Basis, picture: UInt8[np.ndarray, "h w 3"], face: Face | None, box: FaceBox | None,
                 focal_px: float | None, detector: Detector, foreground: Callable[[np.ndarray], np.ndarray],
                 rasterize: Rasterize) -> Read:
    """The head laid on a photo from the side. InputRefused as in `fit_profile`."""
    box = box or box_of(picture, face, detector)
    if box is None:
        raise InputRefused("profile_lost", LOST + "no face is found.", HINT)
    seen_too = face is not None or detector.face_in(picture, region_of_box(box), looks=2) is not None
    scene = scene_of(picture, box, seen_too, focal_px, foreground)
    first = starts(scene, basis, rasterize)
    if not first:
        raise InputRefused("profile_lost", LOST + "no outline is seen near the face.", HINT)
    tried = [laid_from(resized(start, basis, GROW), scene, basis, detector, rasterize) for start in first]
    if min(tried, key=lambda t: t[0])[0] > ODD:
        tried += [laid_from(resized(start, basis, grow), scene, basis, detector, rasterize)
                  for start in first for grow in OTHER_SIZES]
    _, laid, seen = min(tried, key=lambda t: t[0])
    for _ in range(2):
        laid, seen = rounds(scene, basis, laid, (4.0,) * 3, detector, rasterize)
    check(laid, seen, scene, basis)
    assert seen is not None
    return Read(scene=scene, basis=basis, laid=laid, seen=seen)


def laid_from(start: Laid, scene: Scene, basis: Basis, detector: Detector, rasterize: Rasterize) -> tuple[
        float, Laid, Seen | None]:
    """The fit from one start: what it costs, the network's doubt and a strange face's height included."""
    pulls = rough_pulls(scene)
    for _ in range(4):
        start = step(scene, basis, start, pulls, 8.0, 6.0, rasterize)
    laid, seen = rounds(scene, basis, start, (6.0,) * 4, detector, rasterize)
    tall = (face_mm(basis, mesh_of(basis, laid)) - USUAL_FACE_MM) / FACE_SD_MM
    return worth(laid, seen) + FACE_WEIGHT * tall**2, laid, seen


def box_of(picture: UInt8[np.ndarray, "h w 3"], face: Face | None, detector: Detector) -> FaceBox | None:
    """The finder's box of a face (of the largest, where none is given)."""
    boxes = detector.boxes(picture)
    if face is None or not boxes:
        return boxes[0] if boxes else None
    middle = face.points_px[:468, :2].mean(0)
    near = min(boxes, key=lambda b: float(np.linalg.norm(b.center_px - middle)))
    return near if np.linalg.norm(near.center_px - middle) < near.side_px else None


def check(laid: Laid, seen: Seen | None, scene: Scene, basis: Basis) -> None:
    """InputRefused: the head does not explain the photo."""
    yaw, pitch, roll = np.abs(head_angles_rad(rigid(laid.R, np.zeros(3))))
    height = face_mm(basis, mesh_of(basis, laid))
    size = scene.box_px / laid.px_per_mm / BOX_MM
    amiss = [
        (seen is None or seen.presence < LEAST_PRESENCE, "turned to the front, it does not look like a face."),
        (not len(laid.off_mm) or np.median(laid.off_mm) > MOST_OFF * height or
         (laid.off_mm < FOLLOWED * height).mean() < LEAST_SHARE, "the outline of the face is covered or not clear."),
        (abs(height - USUAL_FACE_MM) > 2.6 * FACE_SD_MM, "chin and lips are not told apart."),
        (abs(np.log(size)) > MOST_SIZE, "no head of that size fits."),
        (max(pitch, roll) > MOST_TILT or not LEAST_YAW < yaw < MOST_YAW or np.abs(laid.identity).max() > MOST_MODE,
         "no usual head fits.")]
    for wrong, what in amiss:
        if wrong:
            raise InputRefused("profile_lost", LOST + what, HINT)


def face_mm(basis: Basis, mesh: Mesh) -> float:
    """From nasion to menton."""
    n, me = (mesh.points(basis.model.anatomy.pin(p))[0] for p in ("n", "me"))
    return float(np.linalg.norm(n - me))


def assembled(read: Read, size_wh: tuple[int, int], ipd_mm: float | None, rasterize: Rasterize) -> PhotoHead:
    """The record: the head drawn to the photo, in mm, with its camera, and the face that it shows."""
    laid, model = read.laid, read.basis.model
    pins = model.anatomy.pins478
    mesh = drawn_to_photo(read, rasterize)
    cues = [Cue(source="model", mm_per_unit=1.0, sd=MODEL_SD)]
    if ipd_mm is not None:
        cues.append(ipd_cue(ipd_mm, None, mesh.points(pins)))
    unit = fuse(cues)
    origin = origin_of(mesh, model.anatomy)
    head = mesh.with_vertices((mesh.vertices_mm - origin) * unit.mm_per_unit)
    camera = in_mm(whole_camera(read, size_wh, rigid(laid.R, laid.t)), origin, unit)
    unused = np.zeros(len(model.identity_basis_mm) - len(laid.identity))
    doubt = Doubt(identity_cov=np.eye(len(model.identity_basis_mm)),
                  sd_mm=np.full(len(head.vertices_mm), np.hypot(MODEL_RESIDUAL_MM, UNSEEN_MM)).__getitem__)
    return shown_from_side(read, head, camera, unit, {c.source: {"mm_per_unit": c.mm_per_unit, "sd": c.sd} for c in cues
                           }, np.concatenate([laid.identity, unused]), lambda: doubt, rasterize)


def shown_from_side(read: Read, head: Mesh, camera: Camera, scale: Scale, cues: dict, identity: Float[np.ndarray, "k"],
                    doubt: Callable[[], Doubt], rasterize: Rasterize) -> PhotoHead:
    """A head in mm as a photo from the side shows it; its face is the head's own, for the network sees none."""
    scene, seen, model = read.scene, read.seen, read.basis.model
    points = in_pixels(head.points(model.anatomy.pins478), camera)
    seen_px = scene.offset_px + (seen.photo_px + 0.5) / scene.scale - 0.5
    off_px = np.linalg.norm(points[seen.rows, :2] - seen_px, axis=1)
    spread = np.full(478, SPREAD_MM * camera.K_px[0, 0] / camera.cam_from_head[2, 3])
    return PhotoHead(face=Face(points_px=points, spread_px=spread, presence=seen.presence), camera=camera, mesh=head,
                     neutral=head, anatomy=model.anatomy, scale=scale, cues=cues,
                     visible=trusted(head, model.anatomy.pins478, camera, points, scene.scale, rasterize),
                     reprojection_px=float(np.median(off_px)), facial=np.zeros(len(model.expression_names)),
                     identity=identity, doubt=doubt, model=model.name)


def trusted(head: Mesh, pins: SurfacePoints, camera: Camera, points_px: Float[np.ndarray, "478 3"], scale: float,
            rasterize: Rasterize) -> Float[np.ndarray, "478"]:
    """How far each point is trusted: not at all where it faces away, lies behind the nose or beyond the edge."""
    width, height = (max(2, round(n * scale)) for n in camera.size_wh)
    small = camera.resized((width, height))
    drawn = rasterize(head, small)
    at = np.rint(small.px_from_points(head.points(pins))).astype(int)
    inside = ((at >= 0) & (at < small.size_wh)).all(1)
    at = np.clip(at, 0, np.array(small.size_wh) - 1)
    depth = camera.cam_from_points(head.points(pins))[:, 2]
    front = drawn.covered[at[:, 1], at[:, 0]] & (depth < drawn.depth_mm[at[:, 1], at[:, 0]] + BEHIND_MM)
    return np.clip(facing(points_px) / 0.3, 0, 1) * (inside & front) * PROFILE_TRUST


def whole_camera(read: Read, size_wh: tuple[int, int], cam_from_head: Float[np.ndarray, "4 4"]) -> Camera:
    """The camera of the whole photo at a pose."""
    (width, height), focal = size_wh, read.laid.focal_px / read.scene.scale
    return Camera(K_px=np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]]),
                  cam_from_head=cam_from_head, size_wh=size_wh)


def drawn_to_photo(read: Read, rasterize: Rasterize, head: Mesh | None = None, landmarks: bool = True) -> Mesh:
    """The fitted head (or another that stands where it does), its skin moved across the line of sight to the contour
    and to the landmarks that are sure; without `landmarks`, for they slide by millimetres, to the contour alone."""
    scene, basis, laid, seen = read.scene, read.basis, read.laid, read.seen
    mesh = mesh_of(basis, laid) if head is None else head
    for _ in range(2):
        camera = laid.camera(scene)
        outline = outline_of(basis, mesh, camera, rasterize)
        if len(outline.px) < 10:
            return mesh
        here = placed(outline.px, outline.out, laid.px_per_mm, TURN_MM)
        near = scene.contour.tree(laid.px_per_mm, TURN_MM).query(here)[1]
        way, out = (scene.contour.px[near] - outline.px) / laid.px_per_mm, scene.contour.out[near]
        sure = np.linalg.norm(way, axis=1) < DRAWN_MM
        move = in_head((way * out).sum(1, keepdims=True) * out, laid)[sure]
        rows = seen.rows[np.isin(seen.rows, sure_rows(scene.side)) & (seen.trust > 0.5) & landmarks]
        pins = mesh.points(basis.model.anatomy.pins478)[rows]
        away = (seen.photo_px[np.isin(seen.rows, rows)] - camera.px_from_points(pins)) / laid.px_per_mm
        away *= np.minimum(1, DRAWN_MM / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9))
        at = np.concatenate([outline.points_mm[sure], pins])
        wanted = np.concatenate([move, in_head(away, laid)])
        matrix = gauss(at, at) + RIDGE * np.eye(len(at))
        mesh = mesh.moved(gauss(mesh.vertices_mm, at) @ cho_solve(cho_factor(matrix), wanted))
    return mesh


def in_head(across_mm: Float[np.ndarray, "n 2"], laid: Laid) -> Float[np.ndarray, "n 3"]:
    """Motions across the line of sight, in the head's own axes."""
    return np.asarray(np.column_stack([across_mm, np.zeros(len(across_mm))]) @ laid.R)


def gauss(a: Float[np.ndarray, "n 3"], b: Float[np.ndarray, "m 3"]) -> Float[np.ndarray, "n m"]:
    """How far what moves at b takes a along."""
    return np.asarray(np.exp(-cdist(a, b, "sqeuclidean") / REACH_MM**2))
