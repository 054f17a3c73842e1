"""Profile fit: pose, size and proportions of the head model on a photo from the side (see `recon.profile`).

Unknowns: rotation (3), translation (3), K identity modes. Lengths are mm of the model, pixels those of a reduced photo.
"""

import dataclasses
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.spatial import cKDTree

from core.camera import Camera
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import record
from core.transforms import head_angles_rad, rigid, rotation_from_vector
from recon.contour import Contour, contour_of, placed
from recon.detect import Detector
from recon.face478 import IRIS_ROWS, topology
from recon.landmark_net import FaceBox
from recon.observations import UNKNOWN_FOCAL
from recon.outline import Outline, bounding
from recon.turned import Seen, look_turned

FLATTER = 0.13
"""How much farther back than the model's the landmarks of a person's face lie, per mm beside the midline: three
rendered heads of another model, seen from 60 to 90 degrees, are read as turned 3 to 10 degrees less without it."""
AROUND, BOX_PX = 1.5, 240
"""The photo is cut so many boxes around the box's middle and reduced until the box has so many pixels."""
BOX_MM, BOX_SD = 147.0, 0.12
"""Side of the finder's box on a head seen from the side (rendered heads: 129 to 173), and its spread for choosing."""
MODES = 40
TURN_MM = 8.0
"""Points of two outlines that face opposite ways count as twice this far apart."""
PITCH_SD, ROLL_SD = np.radians(15.0), np.radians(5.0)
"""How people hold their heads in photos; from the side a roll is out of the picture's plane and shows little."""
SEEN_YAW, UNSEEN_YAW, YAW_SD = np.radians(64.0), np.radians(86.0), np.radians(10.0)
"""How far a head is turned in whose photo the landmark network still sees a face, and in whose it does not: it stops
between 75 and 85 degrees."""
POINTS = 25.0
"""Neighbours on an outline are not independent: so many points in each direction are, good to 1 mm each."""
PARTS = {"eye": ((33, 7, 246, 163, 161), 2.0, 10.0), "mouth": ((61, 146, 91, 185, 40, 78, 95, 191, 80, 88), 2.0, 10.0),
         "nose": ((98, 97, 64, 48, 129, 102, 49, 131, 115, 220, 45, 44, 4, 1, 2, 19, 94), 3.0, 4.0),
         "brow": ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), 4.0, 3.0)}
"""Landmarks of the patient's right side by part, one sd (mm), and how many independent ones they are."""
UNUSED = (144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 181, 84, 17, 0, 37, 39, 178, 87, 14, 13, 82, 81)
"""The inner half of the eye, which hides behind the eyeball from the side, and the lips' midline, the contour's own."""
REST_MM, REST_POINTS = 5.0, 3.0
LOST = "The profile could not be read: "
HINT = "Give a photo from the side with a plain background and the hair off the face, or one from the front."


@record
class Scene:
    """A reduced photo from the side. side: 1 when it shows the patient's right side, else -1. usual_yaw_rad: of a
    head that is seen so well. keypoints_px: the
    finder's; center_px: the lens's axis; focal_px with known: whether it is from metadata; scale: pixels per pixel of
    the photo; offset_px: where in the photo it begins."""

    picture: UInt8[np.ndarray, "h w 3"]
    contour: Contour
    side: int
    usual_yaw_rad: float
    keypoints_px: Float[np.ndarray, "6 2"]
    box_px: float
    center_px: Float[np.ndarray, "2"]
    focal_px: float
    known: bool
    scale: float
    offset_px: Float[np.ndarray, "2"]


@record
class Basis:
    """The model's parts that the fit moves: skin (V,) that may be outline, the modes (K,V,3), those of the 478 pins
    (K,478,3), and how much farther back these lie in people (478,3)."""

    model: FaceModel
    skin: Float[np.ndarray, "v"]
    modes: Float[np.ndarray, "k v 3"]
    pins_modes: Float[np.ndarray, "k 478 3"]
    flatter_mm: Float[np.ndarray, "478 3"]


@record
class Laid:
    """A head on the photo: cam_from_head, identity (K,), cost and `off_mm`, how far each point of the contour's front
    lies from the head's outline."""

    R: Float[np.ndarray, "3 3"]
    t: Float[np.ndarray, "3"]
    identity: Float[np.ndarray, "k"]
    focal_px: float
    usual_mm: float
    usual_yaw_rad: float
    cost: float = np.inf
    off_mm: Float[np.ndarray, "m"] = dataclasses.field(default_factory=lambda: np.zeros(0))

    @property
    def px_per_mm(self) -> float:
        """At the eyes."""
        return float(self.focal_px / self.t[2])

    def camera(self, scene: Scene) -> Camera:
        """In the reduced photo."""
        K = np.array([[self.focal_px, 0, scene.center_px[0]], [0, self.focal_px, scene.center_px[1]], [0, 0, 1.0]])
        return Camera(K_px=K, cam_from_head=rigid(self.R, self.t),
                      size_wh=(scene.picture.shape[1], scene.picture.shape[0]))


@record
class Pull:
    """Points (n,3) mm of the head with their modes (K,n,3), drawn to pixels goal (n,2) with sd_mm (n,), worth `count`
    independent ones."""

    points_mm: Float[np.ndarray, "n 3"]
    modes: Float[np.ndarray, "k n 3"]
    goal_px: Float[np.ndarray, "n 2"]
    sd_mm: Float[np.ndarray, "n"]
    count: float


def scene_of(picture: UInt8[np.ndarray, "h w 3"], box: FaceBox, seen: bool, focal_px: float | None,
             foreground: Callable[[np.ndarray], np.ndarray]) -> Scene:
    """The photo around a face, reduced, with the person's contour. seen: whether the landmark network sees it too.

    InputRefused: no person before a background.
    """
    height, width = picture.shape[:2]
    low = np.maximum(np.floor(box.center_px - AROUND * box.side_px), 0).astype(int)
    high = np.minimum(np.ceil(box.center_px + AROUND * box.side_px), [width, height]).astype(int)
    part = np.ascontiguousarray(picture[low[1]:high[1], low[0]:high[0]])
    scale = min(1.0, BOX_PX / box.side_px)
    size = np.maximum(np.rint(np.array(part.shape[1::-1]) * scale), 1).astype(int)
    small = part if scale == 1 else cv2.resize(part, (int(size[0]), int(size[1])), interpolation=cv2.INTER_AREA)
    contour = contour_of(small, foreground(small)) if min(part.shape[:2]) > 60 else None
    if contour is None:
        raise InputRefused("profile_lost", LOST + "the person does not stand out from the background.", HINT)

    def here(px: np.ndarray) -> np.ndarray:
        out: np.ndarray = (px - low + 0.5) * scale - 0.5
        return out

    side = 1 if box.keypoints_px[2, 0] > box.center_px[0] else -1
    focal = focal_px if focal_px is not None else UNKNOWN_FOCAL * float(np.hypot(width, height))
    return Scene(picture=small, contour=contour, side=side, usual_yaw_rad=side * (SEEN_YAW if seen else UNSEEN_YAW),
                 keypoints_px=here(box.keypoints_px), scale=scale,
                 box_px=box.side_px * scale, center_px=here((np.array([width, height]) - 1) / 2),
                 focal_px=focal * scale, known=focal_px is not None, offset_px=low.astype(float))


def basis_of(model: FaceModel) -> Basis:
    """What the fit needs of the model."""
    a = model.anatomy
    bare = np.max([a.region(n) for n in ("face", "forehead", "nose", "chin", "lips", "jaw")], axis=0)
    modes = model.identity_basis_mm[:MODES].astype(float)
    back = np.zeros((478, 3))
    back[:, 2] = -FLATTER * np.abs(a.pins478.on(model.template_mm, model.faces)[:, 0])
    return Basis(model=model, skin=bare * (1 - np.maximum(a.region("ear_l"), a.region("ear_r"))), modes=modes,
                 pins_modes=np.stack([a.pins478.on(m, model.faces) for m in modes]),
                 flatter_mm=back)


def mesh_of(basis: Basis, laid: Laid) -> Mesh:
    """The head that is laid on."""
    m = basis.model
    return m.mean_mesh().with_vertices(m.template_mm + np.tensordot(laid.identity, basis.modes, 1))


def outline_of(basis: Basis, mesh: Mesh, camera: Camera, rasterize: Rasterize) -> Outline:
    """The head's outline from the hairline to below the chin, where it bounds the head in the picture."""
    outline, anatomy = bounding(mesh, basis.skin, camera, rasterize), basis.model.anatomy
    points = outline.points_mm
    top, chin = (mesh.points(anatomy.pin(n))[0] for n in ("tr", "me"))
    return outline.at(np.flatnonzero((points[:, 1] < top[1] - 5) & (points[:, 1] > chin[1] - 4) &
                                     (points[:, 2] > chin[2] - 25)))


LOWER_FACE = ("prn", "sn", "ls", "sto", "li", "sl", "pg", "me")
"""Down the profile, from the nose's tip to below the chin."""


def front_of(scene: Scene, basis: Basis, mesh: Mesh, camera: Camera, px_per_mm: float) -> Int[np.ndarray, "m"]:
    """The contour's points between the forehead's middle, the nose's tip and the chin.

    The chin's end is as far down the contour as the average head's, not where this head's chin is: a head whose chin
    was laid on the lips would ask for no more.
    """
    g, tr, prn, me = (mesh.points(basis.model.anatomy.pin(n))[0] for n in ("g", "tr", "prn", "me"))
    ends = cKDTree(scene.contour.px).query(camera.px_from_points(np.stack([(g + tr) / 2, prn, me])))[1]
    count, parts = len(scene.contour.px), []
    for a, b in ((ends[0], ends[1]), (ends[1], ends[2])):
        low, high = min(a, b), max(a, b)
        parts.append(np.arange(low, high + 1) if high - low < count / 2 else np.r_[high:count, 0:low + 1])
    way = np.stack([basis.model.anatomy.pin(n).on(basis.model.template_mm, basis.model.faces)[0] for n in LOWER_FACE])
    length = px_per_mm * np.linalg.norm(np.diff(way, axis=0), axis=1).sum()
    down = 1 if (ends[2] - ends[1]) % count < count / 2 else -1
    walk = (ends[1] + down * np.arange(count // 2)) % count
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(scene.contour.px[walk], axis=0), axis=1))])
    parts.append(walk[gone < length])
    return np.unique(np.concatenate(parts))[::2]


def marks_of(side: int) -> Int[np.ndarray, "3"]:
    """Landmarks next to what the finder points at: outer and inner corner of the near eye, near corner of the mouth."""
    right = np.array([33, 133, 61])
    return right if side > 0 else topology().mirror[right]


def rough_pulls(scene: Scene) -> Callable[[Basis, Mesh], list[Pull]]:
    """What the finder's own points say: eye, nose and mouth, to a centimetre."""
    keys, rows = scene.keypoints_px, marks_of(scene.side)

    def pulls(basis: Basis, mesh: Mesh) -> list[Pull]:
        pins, modes = mesh.points(basis.model.anatomy.pins478), basis.pins_modes
        points = np.stack([pins[rows[:2]].mean(0), pins[4], pins[rows[2]]])
        shapes = np.stack([modes[:, rows[:2]].mean(1), modes[:, 4], modes[:, rows[2]]], 1)
        return [Pull(points_mm=points, modes=shapes, goal_px=np.stack([keys[:2].mean(0), keys[2], keys[3]]),
                     sd_mm=np.array([8.0, 6.0, 8.0]), count=3.0)]
    return pulls


def seen_pulls(scene: Scene, seen: Seen) -> Callable[[Basis, Mesh], list[Pull]]:
    """What the turned head shows, by part."""
    mirror = topology().mirror
    known = {name: (np.array(ids) if scene.side > 0 else mirror[list(ids)], sd, count)
             for name, (ids, sd, count) in PARTS.items()}
    named = np.concatenate([np.array(UNUSED) if scene.side > 0 else mirror[list(UNUSED)],
                            *(ids for ids, _, _ in known.values())])
    known["rest"] = (np.setdiff1d(np.arange(IRIS_ROWS.start), named), REST_MM, REST_POINTS)

    def pulls(basis: Basis, mesh: Mesh) -> list[Pull]:
        pins = mesh.points(basis.model.anatomy.pins478) + basis.flatter_mm
        made = []
        for ids, sd, count in known.values():
            at = np.flatnonzero(np.isin(seen.rows, ids))
            if len(at):
                rows = seen.rows[at]
                spread = np.sqrt(sd**2 + 1.0 + (2 * seen.spread_mm[at]) ** 2) / np.sqrt(seen.trust[at])
                made.append(Pull(points_mm=pins[rows], modes=basis.pins_modes[:, rows], goal_px=seen.photo_px[at],
                                 sd_mm=spread, count=count * seen.presence * len(at) / max(len(at), 6)))
        return made
    return pulls


def rounds(scene: Scene, basis: Basis, laid: Laid, kernels_mm: Sequence[float], detector: Detector,
           rasterize: Rasterize) -> tuple[Laid, Seen | None]:
    """A look at the turned head, and some steps with what it showed."""
    seen = look_turned(basis.model, mesh_of(basis, laid), laid.camera(scene), scene.picture, scene.contour, scene.side,
                       detector, rasterize)
    pulls = rough_pulls(scene) if seen is None else seen_pulls(scene, seen)
    for kernel in kernels_mm:
        laid = step(scene, basis, laid, pulls, kernel, 1.0, rasterize)
    return laid, seen


def worth(laid: Laid, seen: Seen | None) -> float:
    """What a try costs: its own cost, and the network's doubt."""
    return laid.cost - 100 * (0.0 if seen is None else seen.presence)


def projected(laid: Laid, scene: Scene, points: Float[np.ndarray, "n 3"], modes: Float[np.ndarray, "k n 3"]) -> tuple[
        Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2 c"]]:
    """Pixels of points and how they change with rotation, translation and modes, per mm of the head."""
    cam = points @ laid.R.T + laid.t
    to = np.zeros((len(points), 2, 3))
    to[:, 0, 0] = to[:, 1, 1] = laid.focal_px / cam[:, 2]
    to[:, :, 2] = -laid.focal_px * cam[:, :2] / cam[:, 2:] ** 2
    turned = np.stack([np.cross(axis, cam - laid.t) for axis in np.eye(3)], 2)
    J = np.concatenate([to @ turned, to, (to @ laid.R) @ modes.transpose(1, 2, 0)], 2)
    return laid.focal_px * cam[:, :2] / cam[:, 2:] + scene.center_px, J


def step(scene: Scene, basis: Basis, laid: Laid, pulls: Callable[[Basis, Mesh], list[Pull]], kernel_mm: float,
         stiff: float, rasterize: Rasterize) -> Laid:
    """One Gauss-Newton step. kernel_mm: Geman-McClure's scale between the outlines; stiff: weight of the identity's
    prior."""
    mesh, camera, per_mm, contour = mesh_of(basis, laid), laid.camera(scene), laid.px_per_mm, scene.contour
    size = 6 + len(laid.identity)
    A, b, cost, off = np.zeros((size, size)), np.zeros(size), 0.0, np.zeros(0)
    outline = outline_of(basis, mesh, camera, rasterize)
    if len(outline.px) >= 10:
        _, J = projected(laid, scene, outline.points_mm, np.stack([outline.on.on(m, mesh.faces) for m in basis.modes]))
        head = placed(outline.px, outline.out, per_mm, TURN_MM)
        arc = front_of(scene, basis, mesh, camera, per_mm)
        back = cKDTree(head).query(placed(contour.px[arc], contour.out[arc], per_mm, TURN_MM))[1]
        for on, to in ((np.arange(len(head)), contour.tree(per_mm, TURN_MM).query(head)[1]), (back, arc)):
            gap, out = (outline.px[on] - contour.px[to]) / per_mm, contour.out[to]
            off = np.linalg.norm(gap, axis=1)
            w = POINTS / len(on) / (1 + (off / kernel_mm) ** 2) ** 2
            along = (J[on] * out[:, :, None]).sum(1) / per_mm
            A += (along * w[:, None]).T @ along
            b += along.T @ (w * (gap * out).sum(1))
            cost += POINTS * kernel_mm**2 * float((1 - 1 / (1 + (off / kernel_mm) ** 2)).mean())
    for pull in pulls(basis, mesh):
        px, J = projected(laid, scene, pull.points_mm, pull.modes)
        r, J = (px - pull.goal_px) / per_mm, J / per_mm
        u = (r**2).sum(1) / pull.sd_mm**2
        w = pull.count / len(r) / pull.sd_mm**2 / (1 + u / 4)
        flat = (J * w[:, None, None]).reshape(-1, size)
        A += flat.T @ J.reshape(-1, size)
        b += flat.T @ r.ravel()
        cost += pull.count * float((4 * np.log1p(u / 4)).mean())
    return stepped(laid, A, b, cost, off, stiff)


def stepped(laid: Laid, A: np.ndarray, b: np.ndarray, cost: float, off_mm: np.ndarray, stiff: float) -> Laid:
    """The priors added (identity, distance, pitch and roll), and the step taken, no larger than is safe."""
    modes = np.arange(6, len(b))
    A[modes, modes] += stiff
    b[6:] += stiff * laid.identity
    away = float(np.log(laid.t[2] / laid.usual_mm))
    A[5, 5] += 1 / (laid.t[2] * BOX_SD) ** 2
    b[5] += away / (laid.t[2] * BOX_SD**2)
    angles = head_angles_rad(rigid(laid.R, np.zeros(3)))
    tiny = 1e-4
    G = np.stack([(head_angles_rad(rigid(rotation_from_vector(tiny * e) @ laid.R, np.zeros(3))) - angles) / tiny
                  for e in np.eye(3)], 1)
    weight = np.array([YAW_SD, PITCH_SD, ROLL_SD]) ** -2
    angles[0] -= laid.usual_yaw_rad
    A[:3, :3] += (G.T * weight) @ G + 1e-3 * np.eye(3)
    b[:3] += (G.T * weight) @ angles
    cost += float((laid.identity**2).sum() + away**2 / BOX_SD**2 + weight @ angles**2)
    most = np.concatenate([np.full(3, 0.12), [20, 20, 60], np.ones(len(modes))])
    move = np.clip(np.linalg.solve(A, b), -most, most)
    return dataclasses.replace(laid, R=rotation_from_vector(-move[:3]) @ laid.R, t=laid.t - move[3:6],
                               identity=laid.identity - move[6:], cost=cost, off_mm=off_mm)


def sure_rows(side: int) -> Int[np.ndarray, "n"]:
    """Landmarks to which the skin is drawn: the near eye's outer half, the mouth's corner, the nostril."""
    right = np.array([i for name in ("eye", "mouth", "nose") for i in PARTS[name][0]])
    return right if side > 0 else topology().mirror[right]
