"""One photo, or a few of one visit: the faces in it, and the head model laid on one of them, in millimetres.

A single view shows shape across, hardly along, the line of sight; what it cannot tell stays the model's. Neither focal
length nor distance can be read off it either, only their ratio, which is all that a change in millimetres needs. A crop
hides the lens, so distance has its own prior beside that of the lens: the same face, cropped, keeps its millimetres.

After a whole fit the head is drawn to the landmarks themselves: what a landmark lies off the model (`Bundle.own`)
spreads over the skin around it as a Gaussian of `REACH_MM`. The nose's wings follow the picture itself (`recon.wings`).
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist

from core.anatomy import Anatomy
from core.camera import Camera
from core.certainty import seen_at
from core.errors import InputRefused
from core.face_model import FaceModel, blend
from core.fragments import Rasterize
from core.landmarks import MEDIAPIPE478, Landmarks3D
from core.mesh import Mesh
from core.reconstruction import Reconstruction, Scale, View
from core.records import freeze, record
from recon.bundle import Bundle, BundleOptions, Fit, settled
from recon.detect import Detector, Face, region_of_box
from recon.face478 import IRIS_ROWS, OUTER_EYE, topology
from recon.landmark_net import FaceBox
from recon.light import Light
from recon.observations import Observations, lens_prior
from recon.photo_light import light_of
from recon.sight import SightOptions
from recon.texture import Looks, TextureOptions, drawn, looked_at
from recon.views import EVERY, HeadOptions, Rows, Views, metric, true_scale, vertex_sd
from recon.wings import with_wings

TILES, OVERLAP, LARGE = (1, 2, 4), 0.25, 0.12
"""The picture is searched whole, then in halves and quarters of its longer side, which overlap by a quarter, as long as
faces smaller than this share of what was looked at, or none, were found: where there are small ones there are more."""
REACH_MM, RIDGE, FELT = 12.0, 0.3, 1e-9
SKIN = TextureOptions(side=512, coarse=2, views=1, sight=SightOptions(px_per_mm=1.25))
"""Of a photo's skin: it draws what the photo hides, which has no detail of its own, and the plain render."""
OUTSIDE_SHARE = 0.08
"""Share of the face's points beyond the picture's edge above which half a face is missing."""
TOLD_MODES = 30
SMILING_SD = 0.3
"""Spread of the facial actions: people in photos smile."""
QUICK = BundleOptions(modes=16, rounds=4, expression_sd=SMILING_SD, expression_every=3)
"""Pose, scale and the face's proportions, for the flat mode."""
WHOLE = BundleOptions(expression_sd=SMILING_SD)
BESIDE = ThreadPoolExecutor(1)
"""Faces are looked at on another core while others are sought."""
AtRest = Callable[[Mesh, Anatomy], object]
"""Told a person's face at rest as soon as it is known, before it is drawn to the photos; it should not take long."""


@record
class PhotoHead:
    """A head as one photo shows it. mesh: with its expression, drawn to the landmarks; neutral: the same person's face
    at rest; both in mm in one head frame, that of `camera` too. visible (478,): how far each point is trusted, 0..1.

    reprojection_px: median distance between the fit's landmarks and the detected ones. facial (E,): strengths of the
    model's facial actions. doubt: works out how sure the head is (`doubted`).
    """

    face: Face
    camera: Camera
    mesh: Mesh
    neutral: Mesh
    anatomy: Anatomy
    scale: Scale
    cues: dict
    visible: Float[np.ndarray, "478"]
    reprojection_px: float
    facial: Float[np.ndarray, "e"]
    identity: Float[np.ndarray, "k"]
    doubt: "Callable[[], Doubt]"
    model: str

    def __post_init__(self) -> None:
        freeze(self, visible=(self.visible, float), facial=(self.facial, float), identity=(self.identity, float))

    @functools.cached_property
    def doubted(self) -> "Doubt":
        """How sure the head is; worked out when it is asked for first."""
        return self.doubt()

    @property
    def identity_cov(self) -> Float[np.ndarray, "k k"]:
        """Covariance of `identity`."""
        return self.doubted.identity_cov

    @functools.cached_property
    def sd_mm(self) -> Float[np.ndarray, "v"]:
        """How far the true skin may lie from `mesh`, one standard deviation."""
        return self.doubted.sd_mm(EVERY)

    @property
    def angles_deg(self) -> tuple[float, float, float]:
        """Yaw (positive: turned to the patient's left), pitch (positive: nodding down) and roll."""
        yaw, pitch, roll = np.degrees(self.camera.head_angles_rad)
        return float(yaw), float(pitch), float(roll)

    @property
    def px_per_mm(self) -> float:
        """At the depth of the eyes."""
        return float(self.camera.K_px[0, 0] / self.camera.cam_from_head[2, 3])


@record
class Doubt:
    """How sure a head is: the covariance of its identity; sd_mm: one standard deviation of its skin, of some of its
    vertices, mm."""

    identity_cov: Float[np.ndarray, "k k"]
    sd_mm: Callable[[Rows], Float[np.ndarray, "r"]]

    def __post_init__(self) -> None:
        freeze(self, identity_cov=(self.identity_cov, float))


def faces_in(picture: UInt8[np.ndarray, "h w 3"], detector: Detector) -> tuple[list[Face], list[FaceBox]]:
    """Every face that the 478 points fit, from left to right, and the boxes of those that are too small for them.

    The picture is searched in ever smaller parts, because the finder looks at 192 pixels a side. A face that it finds
    at once is looked at while it goes on searching.
    """
    looked: dict[FaceBox, Future[Face | None]] = {}

    def look(box: FaceBox) -> "Future[Face | None]":
        if box not in looked:
            looked[box] = BESIDE.submit(detector.face_in, picture, region_of_box(box))
        return looked[box]

    boxes = detector.boxes(picture, look)
    for parts in TILES:
        boxes = merged(boxes, tiled(picture, detector, parts)) if parts > 1 else boxes
        if boxes and np.median([b.side_px for b in boxes]) > LARGE * max(picture.shape) / parts:
            break
    faces: list[Face] = []
    small: list[FaceBox] = []
    for box in boxes:
        face = look(box).result()
        if face is None:
            small.append(box)
        elif not any(same(face, other) for other in faces):
            faces.append(face)
    return sorted(faces, key=lambda f: float(f.points_px[:468, 0].mean())), small


def tiled(picture: UInt8[np.ndarray, "h w 3"], detector: Detector, parts: int) -> list[FaceBox]:
    """Boxes found in square-ish parts of the picture, in its own pixels."""
    height, width = picture.shape[:2]
    side = round(max(height, width) / parts * (1 + OVERLAP))
    if side < 128:
        return []
    found: list[FaceBox] = []
    for y in starts(height, side):
        for x in starts(width, side):
            part = np.ascontiguousarray(picture[y:y + side, x:x + side])
            found = merged(found, [b.moved(np.array([x, y], float)) for b in detector.boxes(part)])
    return found


def starts(length: int, side: int) -> list[int]:
    """Where the parts begin, evenly, overlapping by at least `OVERLAP`."""
    count = max(1, int(np.ceil((length - side) / (side * (1 - OVERLAP)))) + 1)
    return np.unique(np.linspace(0, max(length - side, 0), count).astype(int)).tolist()


def merged(known: Sequence[FaceBox], more: Sequence[FaceBox]) -> list[FaceBox]:
    """Boxes without those that show a face again; the largest first."""
    kept = list(known)
    for box in sorted(more, key=lambda b: -b.score):
        if all(np.linalg.norm(box.center_px - k.center_px) > 0.5 * max(box.side_px, k.side_px) for k in kept):
            kept.append(box)
    return sorted(kept, key=lambda b: -b.side_px)


def same(a: Face, b: Face) -> bool:
    """Two detections of one face."""
    apart = np.linalg.norm(a.points_px[:468, :2].mean(0) - b.points_px[:468, :2].mean(0))
    return bool(apart < 0.5 * max(a.height_px, b.height_px))


def eye_span_px(face: Face) -> float:
    """Between the outer eye corners, in space (the turn of the head does not shorten it)."""
    return float(np.linalg.norm(face.points_px[OUTER_EYE[0]] - face.points_px[OUTER_EYE[1]]))


def outside_share(face: Face, size_wh: tuple[int, int]) -> float:
    """Share of the face's points that lie beyond the picture's edge."""
    return float(beyond_edge(face, size_wh)[:468].mean())


def beyond_edge(face: Face, size_wh: tuple[int, int]) -> Bool[np.ndarray, "478"]:
    """Points that are not in the picture."""
    xy = face.points_px[:, :2]
    return np.asarray(((xy < -0.5) | (xy > np.array(size_wh) - 0.5)).any(1))


def observed(faces: Sequence[Face], sizes_wh: Sequence[tuple[int, int]], focals_px: Sequence[float | None],
             ) -> Observations:
    """What the fit knows of some photos of one person, a lens each. focals_px: from metadata, or None."""
    points = np.stack([f.points_px[:, :2] for f in faces])
    trusted = np.stack([f.landmarks().confidence > 0.02 for f in faces])
    inside = np.stack([~beyond_edge(f, s) for f, s in zip(faces, sizes_wh, strict=True)])
    guess, sd = zip(*(lens_prior(f.height_px, s, hint) for f, s, hint in zip(faces, sizes_wh, focals_px, strict=True)),
                    strict=True)
    return Observations(points_px=points, visible=(trusted & inside).astype(float), size_wh=np.array(sizes_wh),
                        lens=np.arange(len(faces)), focal_px=np.array(guess), focal_sd=np.array(sd))


def fit_photos(model: FaceModel, pictures: Sequence[UInt8[np.ndarray, "..."]], faces: Sequence[Face],
               focals_px: Sequence[float | None], rasterize: Rasterize, ipd_mm: float | None = None,
               options: BundleOptions = WHOLE, at_rest: AtRest | None = None) -> list[PhotoHead]:
    """One person's head in every photo: one identity and one size, a camera and an expression each. at_rest: see there.

    InputRefused: no head explains a photo.
    """
    views, fit, bundle = fitted(model, pictures, faces, focals_px, rasterize, options)
    return heads(views, fit, bundle, views.neutral(fit), fit.own, faces, true_scale(views, fit, HeadOptions(
        ipd_mm=ipd_mm)), options is WHOLE, at_rest=at_rest)


def adjusted(model: FaceModel, pictures: Sequence[UInt8[np.ndarray, "..."]], faces: Sequence[Face],
             focals_px: Sequence[float | None], rasterize: Rasterize, options: BundleOptions = WHOLE) -> tuple[
                 Views, Bundle]:
    """The photos as views, and one person in them, in model units. InputRefused: no head explains a photo."""
    views, _, bundle = fitted(model, pictures, faces, focals_px, rasterize, options)
    return views, bundle()


def fitted(model: FaceModel, pictures: Sequence[UInt8[np.ndarray, "..."]], faces: Sequence[Face],
           focals_px: Sequence[float | None], rasterize: Rasterize, options: BundleOptions = WHOLE) -> tuple[
               Views, Fit, Callable[[], Bundle]]:
    """`adjusted`, and apart from it what works out how sure it is."""
    seen = observed(faces, [(p.shape[1], p.shape[0]) for p in pictures], focals_px)
    fit, bundle = settled(model, seen, options)
    share = fit.reprojection_px / np.array([f.height_px for f in faces])
    if not np.isfinite(share).all() or share.max() > 0.03 or np.abs(fit.identity).max() > 8:
        raise InputRefused("no_fit", "No head explains this face.", "Give a photo with the whole face, uncovered.")
    return Views(model, seen, lambda k: pictures[k], rasterize), fit, bundle


def heads(views: Views, fit: Fit, bundle: Callable[[], Bundle], head: Mesh, own: Float[np.ndarray, "478 3"],
          faces: Sequence[Face], measure: tuple[Scale, dict], whole: bool = True, flat: bool = False,
          at_rest: AtRest | None = None) -> list[PhotoHead]:
    """A head at rest, in every photo with its expression and (whole) drawn to the landmarks. bundle: the fit with how
    sure it is. own: how far the landmarks lie off it, in model units; flat: of which only what each photo sees across
    its line of sight counts. measure: what `true_scale` says."""
    model, seen, (scale, cues) = views.model, views.seen, measure
    neutral, cameras = metric(views, head, model.anatomy, fit, scale)
    if at_rest is not None:
        at_rest(neutral, model.anatomy)

    @functools.cache
    def doubt() -> Doubt:
        known = bundle()
        return Doubt(identity_cov=known.identity_cov, sd_mm=functools.partial(
            vertex_sd, model, known, neutral, scale) if whole else np.full(len(neutral.vertices_mm), 2.0).__getitem__)

    def of_view(k: int, face: Face) -> PhotoHead:
        drawn = neutral.moved(blend(fit.expression[k], model.expression_basis_mm) * scale.mm_per_unit)
        if whole:
            trusted = (seen.visible[k] > 0) & (np.arange(478) < IRIS_ROWS.start)
            sight = cameras[k].cam_from_head[2, :3]
            there = own - (own @ sight)[:, None] * sight if flat else own
            drawn = drawn.moved(drawn_to(model, there * scale.mm_per_unit, trusted))
            drawn = with_wings(drawn, model.anatomy, cameras[k], views.picture(k), views.rasterize)
        return PhotoHead(face=face, camera=cameras[k], mesh=drawn, neutral=neutral, anatomy=model.anatomy, scale=scale,
                         cues=cues, visible=seen.visible[k] * face.landmarks().confidence,
                         facial=fit.expression[k], reprojection_px=float(fit.reprojection_px[k]),
                         identity=fit.identity, doubt=doubt, model=model.name)

    return [of_view(k, face) for k, face in enumerate(faces)]


def apart(a: PhotoHead, b: PhotoHead) -> float:
    """How far two fitted heads differ, in what both photos can tell of a person: the mean squared difference of the
    first modes over its expected variance. In 24 pairs of photos of eight people 0.15 to 1.03 (median 0.57), of two
    people 0.37 to 5.9 (median 1.4)."""
    off = (a.identity - b.identity)[:TOLD_MODES]
    expected = (a.identity_cov + b.identity_cov)[:TOLD_MODES, :TOLD_MODES]
    return float(off @ np.linalg.solve(expected, off) / TOLD_MODES)


def drawn_to(model: FaceModel, own_mm: Float[np.ndarray, "478 3"], trusted: Bool[np.ndarray, "478"]) -> Float[
        np.ndarray, "v 3"]:
    """What every vertex moves when the landmarks move by their own departures; the sliding outline is left out."""
    near, weights, factor, rows = spreading(model)
    wanted = np.where(trusted[rows, None], own_mm[rows], 0.0)
    moved = np.zeros_like(model.template_mm)
    moved[near] = weights @ cho_solve(factor, wanted).astype(weights.dtype)
    return moved


@functools.lru_cache(maxsize=2)
def spreading(model: FaceModel) -> tuple[Int[np.ndarray, "n"], Float[np.ndarray, "n p"], tuple, Int[np.ndarray, "p"]]:
    """The vertices that some landmark reaches, Gaussians of their distances to the landmarks on the template, those
    between landmarks (factored, with a ridge: landmarks are noisy), and which landmarks these are."""
    rows = np.setdiff1d(np.arange(IRIS_ROWS.start), topology().outline)
    pins = model.anatomy.pins478.on(model.template_mm, model.faces)[rows]

    def gauss(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.exp(-cdist(a, b, "sqeuclidean") / REACH_MM**2)

    matrix, weights = gauss(pins, pins) + RIDGE * np.eye(len(rows)), gauss(model.template_mm, pins)
    near = np.flatnonzero(weights.max(1) > FELT)
    return near, weights[near].astype(np.float32), cho_factor(matrix), rows


def looks(head: PhotoHead, picture: UInt8[np.ndarray, "h w 3"], camera: Camera, person: Bool[np.ndarray, "h w"],
          rasterize: Rasterize) -> Looks:
    """What the photo, or a part of it, perhaps reduced, shows of the skin, and its light. person: who is seen in it,
    hair and clothes too."""
    return looked_at(head.mesh, [camera], lambda k: picture, lambda p: person, np.ones(1), rasterize, SKIN,
                     anatomy=head.anatomy)


def light_in(head: PhotoHead, picture: UInt8[np.ndarray, "h w 3"], camera: Camera, person: Bool[np.ndarray, "h w"],
             rasterize: Rasterize) -> Light:
    """The light of `looks`, without the skin."""
    return light_of(head.mesh, camera, picture, person, rasterize, SKIN, head.anatomy)


def with_skin(head: PhotoHead, seen: Looks, name: str) -> Reconstruction:
    """The head as the other stages know it, with the skin and the light of the photo of that name."""
    skin = drawn(seen)
    view = View(camera=head.camera, path=name, source=name, reprojection_px=head.reprojection_px)
    return Reconstruction(
        mesh=head.mesh, texture=skin.as_seen, delit=skin.delit, anatomy=head.anatomy, views=(view,),
        landmarks=Landmarks3D(scheme=MEDIAPIPE478, points=head.mesh.points(head.anatomy.pins478),
                              confidence=head.visible), model=head.model, identity=head.identity,
        expression=head.facial, scale=head.scale, uncertainty_mm=head.sd_mm, seen=seen_at(skin.as_seen, head.mesh),
        report={"light": skin.light.report(), "scale_cues": head.cues})
