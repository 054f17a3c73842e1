"""Adopt: another project's head becomes a FaceModel: pins, regions, head frame, view offsets and texture layout.

Nothing licence-bound is needed for it. The embedded head is laid onto the other's skin, and what it knows (regions,
anthropometric landmarks) is carried over by closest points; the 478 pins and how they slide as the head turns are
measured on the head itself with Previsage's own detector. Done once, when a person adds the model.
"""

import numpy as np
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

from core.anatomy import Anatomy
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.mesh import Mesh
from core.progress import Progress, part, silent
from core.surface import SurfacePoints
from recon.face478 import IRIS_ROWS, topology
from recon.foreign import EYE_L, EYE_R, SKIN, ForeignHead, bare
from recon.modes import without_similarity
from recon.nearby import Nearby
from recon.register import Laid, lay_onto
from recon.sitting import Detect, Sitting, centre_and_scatter, detector
from recon.unwrap import pieces, unwrap

PEOPLE, PEOPLE_SD, SEED = 16, 0.7, 0
"""Random heads of the model on which the detector is asked, and the spread of their coefficients."""
PIN_ROUNDS = 3
MOST_MODES = 150
LEAST_SD_MM = 0.3
SYMMETRIC_MM = 0.05
"""Median distance of mirrored skin from itself below which a template counts as symmetric."""
LEAST_LINING = 60
"""Fewer triangles of guessed lining are no mouth and no eye socket."""
FACE_MM = 95.0
EAR_DETAIL, HIDDEN_DETAIL = 0.5, 0.1
"""Texture per area of ears, and of skin that no camera sees, over the face's."""
SEEN_FROM_YAW_RAD, SEEN_FROM_PITCH_RAD, SEEN_COSINE = np.radians((-90, -55, -25, 0, 25, 55, 90)), np.radians(
    (-30, 0, 30)), 0.15
JAW_FROM_TRAGIA_MM = (0.0, -6.0, 4.0)
PUPILS = {"p_l": 473, "p_r": 468}


def adopt(head: ForeignHead, embedded: FaceModel, rasterize: Rasterize, detect: Detect | None = None,
          progress: Progress = silent) -> FaceModel:
    """Make a foreign head a FaceModel. `rasterize` is render's skill. InputRefused: no face is seen on it."""
    sitting = Sitting(head, rasterize, detect or detector())
    progress(0.0, "Looking at the template")
    surfaces = Surfaces(head)
    laid = lay_onto(embedded, surfaces.outer.mesh, sitting.first_points(), progress=part(progress, 0.05, 0.2))
    regions = Carried(head, embedded, laid)
    sitting.paint(regions.of("lips"), np.maximum(regions.of("brow_l"), regions.of("brow_r")))
    people = people_of(head)
    pins = surfaces.place(*on(laid, embedded.anatomy.pins478))
    for k in range(PIN_ROUNDS):
        progress(0.2 + 0.05 * k, "Finding the landmarks")
        pins = better_pins(sitting, surfaces, people, pins, np.random.default_rng(SEED + k))
    laid = lay_onto(embedded, surfaces.outer.mesh, head.mesh().points(pins), progress=part(progress, 0.35, 0.5))
    regions = Carried(head, embedded, laid)
    names, points = landmarks(embedded, surfaces, laid, pins)
    offset, scatter = slides(sitting, people, pins, embedded.view_yaw_rad, part(progress, 0.5, 0.9))
    progress(0.9, "Laying out the texture")
    near = nearness(head, points[[names.index("prn")]])
    basis = without_similarity(head.template_mm, head.identity_basis_mm, near * vertex_area(head), MOST_MODES)
    detail = np.maximum(near, EAR_DETAIL * np.maximum(regions.of("ear_l"), regions.of("ear_r"))) * exposure(head.mesh())
    turn, origin = head_frame(head.mesh(), names, points)
    uv, faces_uv = unwrap((head.template_mm - origin) @ turn.T, head.faces, islands(head, regions), detail)
    joint_names, joints = joints_of(head, names, head.mesh().points(points), turn, origin)
    return FaceModel(
        name=head.name, template_mm=(head.template_mm - origin) @ turn.T, faces=head.faces, uv=uv, faces_uv=faces_uv,
        identity_basis_mm=basis @ turn.T, expression_names=head.expression_names,
        expression_basis_mm=head.expression_basis_mm @ turn.T.astype(np.float32), joint_names=joint_names,
        joints_mm=joints, anatomy=Anatomy(pins478=pins, pin_names=names, pin_points=points,
                                          region_names=embedded.anatomy.region_names, region_weights=regions.all()),
        view_yaw_rad=embedded.view_yaw_rad, view_offset_mm=offset @ turn.T, view_sd_mm=scatter)


class Surfaces:
    """The outer skin and the eyeballs of a head, ready for queries, with triangle numbers of the whole head."""

    def __init__(self, head: ForeignHead) -> None:
        mesh = head.mesh()
        skin = (head.part[head.faces] == SKIN).all(1)
        if head.lining is not None:
            skin &= ~head.lining[head.faces].any(1)
        self.mesh, self.normals = mesh, mesh.vertex_normals()
        self._skin, self._eyes = np.flatnonzero(skin), np.flatnonzero((head.part[head.faces] != SKIN).all(1))
        self.outer = Nearby(bare(head.template_mm, head.faces[self._skin]))
        self._balls = Nearby(bare(head.template_mm, head.faces[self._eyes]))
        at = head.template_mm[self._skin_vertices()]
        self.symmetric = bool(np.median(cKDTree(at).query(at * [-1, 1, 1])[0]) < SYMMETRIC_MM)

    def _skin_vertices(self) -> np.ndarray:
        """Vertices of the outer skin."""
        return np.unique(self.outer.mesh.faces)

    def on_skin(self, points_mm: Float[np.ndarray, "n 3"], normals: Float[np.ndarray, "n 3"]) -> SurfacePoints:
        """Points of the outer skin near others that face the same way."""
        found = self.outer.alike(points_mm, normals)
        return SurfacePoints(face=self._skin[found.face], bary=found.bary)

    def place(self, points_mm: Float[np.ndarray, "478 3"], normals: Float[np.ndarray, "478 3"]) -> SurfacePoints:
        """478 pins near positions: the irises' on the eyeballs, the others on the outer skin."""
        skin = self.on_skin(points_mm[:IRIS_ROWS.start], normals[:IRIS_ROWS.start])
        ball = self._balls.closest(points_mm[IRIS_ROWS])
        return SurfacePoints(face=np.concatenate([skin.face, self._eyes[ball.face]]),
                             bary=np.concatenate([skin.bary, ball.bary]))

    def normals_at(self, points: SurfacePoints) -> Float[np.ndarray, "n 3"]:
        """Normals of the template at pins."""
        return points.on(self.normals, self.mesh.faces)


class Carried:
    """The embedded head's regions on the vertices of the other."""

    def __init__(self, head: ForeignHead, embedded: FaceModel, laid: Laid) -> None:
        anatomy = embedded.anatomy
        ball = np.maximum(anatomy.region("eye_l"), anatomy.region("eye_r"))
        skin = Nearby(bare(laid.mesh.vertices_mm, embedded.faces[(ball[embedded.faces] < 0.5).all(1)]))
        rows = np.flatnonzero(head.part == SKIN)
        at = skin.alike(head.template_mm[rows], head.mesh().vertex_normals()[rows])
        self.names = anatomy.region_names
        self._weights = np.zeros((len(self.names), len(head.part)))
        self._weights[:, rows] = at.on(anatomy.region_weights.T.astype(float), skin.mesh.faces).T
        for name, part_of_eye in (("eye_l", EYE_L), ("eye_r", EYE_R)):
            self._weights[self.names.index(name)] = head.part == part_of_eye
        if head.lining is not None:
            self._weights[:, head.lining] = 0
            self._weights[self.names.index("mouth_interior")] = head.lining
        top = self._weights.max(1, keepdims=True)
        self._weights = np.clip(self._weights / np.where(top > 0, top, 1), 0, 1)

    def of(self, name: str) -> Float[np.ndarray, "v"]:
        """Weights of one region."""
        return np.asarray(self._weights[self.names.index(name)])

    def all(self) -> Float[np.ndarray, "r v"]:
        """Weights of every region."""
        return self._weights


def on(laid: Laid, points: SurfacePoints) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n 3"]]:
    """Positions and normals of the embedded head's pins where it was laid."""
    return laid.mesh.points(points), points.on(laid.mesh.vertex_normals(), laid.mesh.faces)


def people_of(head: ForeignHead) -> Float[np.ndarray, "h v 3"]:
    """Random heads of the model, in the template's frame."""
    coefficients = np.random.default_rng(SEED).normal(0, PEOPLE_SD, (PEOPLE, len(head.identity_basis_mm)))
    return np.asarray(head.template_mm + np.tensordot(coefficients, head.identity_basis_mm.astype(float), 1))


def better_pins(sitting: Sitting, surfaces: Surfaces, people: Float[np.ndarray, "h v 3"], pins: SurfacePoints,
                rng: np.random.Generator) -> SurfacePoints:
    """The pins where the detector puts them: the median hit, else where the median departure leads, else as they were.

    On a symmetric template each pin is also seen in its mirror twin's hits.
    """
    looks = sitting.looks(people, pins, 0.0, rng)
    here, hits, away = surfaces.mesh.points(pins), looks.hits_mm, looks.departures_mm
    if surfaces.symmetric:
        mirror = topology().mirror
        hits, away = (np.concatenate([m, (m * [-1, 1, 1])[:, mirror]]) for m in (hits, away))
    hit, departure = centre_and_scatter(hits)[0], centre_and_scatter(away)[0]
    to = np.where(np.isfinite(hit), hit, here + np.where(np.isfinite(departure), departure, 0.0))
    return surfaces.place(to, surfaces.normals_at(pins))


def landmarks(embedded: FaceModel, surfaces: Surfaces, laid: Laid, pins478: SurfacePoints) -> tuple[
        tuple[str, ...], SurfacePoints]:
    """The anthropometric landmarks carried over; the pupils are the detector's own."""
    names = embedded.anatomy.pin_names
    at, normals = on(laid, embedded.anatomy.pin_points)
    if surfaces.symmetric:
        twin = [names.index({"_l": n[:-2] + "_r", "_r": n[:-2] + "_l"}.get(n[-2:], n)) for n in names]
        at = (at + at[twin] * [-1, 1, 1]) / 2
    found = surfaces.on_skin(at, normals)
    face, bary = found.face.copy(), found.bary.copy()
    for name, number in PUPILS.items():
        face[names.index(name)], bary[names.index(name)] = pins478.face[number], pins478.bary[number]
    return names, SurfacePoints(face=face, bary=bary)


def slides(sitting: Sitting, people: Float[np.ndarray, "h v 3"], pins: SurfacePoints, yaw_rad: Float[np.ndarray, "y"],
           progress: Progress) -> tuple[Float[np.ndarray, "y 478 3"], Float[np.ndarray, "y 478"]]:
    """How the detector's points leave the pins at each yaw (mm, the template's axes) and how much they scatter (inf:
    not seen); alike on both sides, as the yaw bins are. Where a point was hidden, the offset of the nearest bin."""
    mirror, rows = topology().mirror, []
    for k, yaw in enumerate(yaw_rad):
        progress(k / len(yaw_rad), f"Turning the head to {np.degrees(yaw):+.0f} degrees")
        rows.append(centre_and_scatter(sitting.looks(people, pins, float(yaw), np.random.default_rng(SEED + k))
                                       .departures_mm))
    offset, scatter = np.stack([c for c, _ in rows]), np.stack([np.maximum(s, LEAST_SD_MM) for _, s in rows])
    scatter = np.maximum(scatter, scatter[::-1][:, mirror])
    offset = (offset + offset[::-1][:, mirror] * [-1, 1, 1]) / 2
    known = np.isfinite(scatter)
    for landmark in range(offset.shape[1]):
        bins = np.flatnonzero(known[:, landmark])
        nearest = bins[np.abs(np.arange(len(yaw_rad))[:, None] - bins).argmin(1)] if len(bins) else np.array([], int)
        offset[:, landmark] = offset[nearest, landmark] if len(bins) else 0.0
    return offset, scatter


def head_frame(mesh: Mesh, names: tuple[str, ...], points: SurfacePoints) -> tuple[
        Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Rotation and origin of the head frame: x across all paired landmarks, the Frankfort horizontal level, the origin
    midway between the outer eye corners."""
    at = dict(zip(names, mesh.points(points), strict=True))
    left = np.sum([p - at[n[:-2] + "_r"] for n, p in at.items() if n.endswith("_l")], axis=0)
    x = left / np.linalg.norm(left)
    forward = at["or_l"] + at["or_r"] - at["t_l"] - at["t_r"]
    z = forward - (forward @ x) * x
    z /= np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z]), (at["ex_l"] + at["ex_r"]) / 2


def islands(head: ForeignHead, regions: Carried) -> Int[np.ndarray, "f"]:
    """Which island of the texture each triangle lies on; guessed linings count where they are large enough."""
    part_of = head.part[head.faces]
    out = np.select([(part_of == EYE_L).all(1), (part_of == EYE_R).all(1)], [2, 3], 0)
    if head.lining is not None:
        inner = head.lining[head.faces].any(1)
    else:
        inner = (regions.of("mouth_interior")[head.faces] > 0.5).all(1)
    for piece in pieces(head.faces, np.flatnonzero(inner & (out == 0))):
        out[piece] = 1 if len(piece) >= LEAST_LINING else 0
    rest = pieces(head.faces, np.flatnonzero(out == 0))
    for piece in sorted(rest, key=len)[:-1]:
        out[piece] = 1  # what hangs on nothing: a box of its own
    return out


def nearness(head: ForeignHead, tip: SurfacePoints) -> Float[np.ndarray, "v"]:
    """How much a place counts, in modes and in the texture: the face fully, the rest of the head a little."""
    nose = head.mesh().points(tip)[0]
    forward = np.clip((head.template_mm[:, 2] - nose[2] + 130) / 60, 0.06, 1)
    return np.asarray(0.06 + forward * np.exp(-((np.linalg.norm(head.template_mm - nose, axis=1) / FACE_MM) ** 4)))


def exposure(mesh: Mesh) -> Float[np.ndarray, "v"]:
    """How much texture a vertex deserves for being seen: 1 where a camera before or beside the head can see it, little
    inside nostrils, lips and folds; smooth over the neighbours."""
    view = Nearby(mesh)
    seen = np.zeros(len(mesh.vertices_mm))
    for pitch, yaw in ((p, y) for p in SEEN_FROM_PITCH_RAD for y in SEEN_FROM_YAW_RAD):
        towards = np.array([np.sin(yaw) * np.cos(pitch), np.sin(pitch), np.cos(yaw) * np.cos(pitch)])
        seen = np.maximum(seen, view.free(mesh.vertices_mm + 0.1 * view.normals, towards)
                          & (view.normals @ towards > SEEN_COSINE))
    for _ in range(2):
        around = np.bincount(mesh.faces.ravel(), np.repeat(seen[mesh.faces].mean(1), 3), len(seen))
        seen = around / np.maximum(np.bincount(mesh.faces.ravel(), minlength=len(seen)), 1)
    return np.asarray(HIDDEN_DETAIL + (1 - HIDDEN_DETAIL) * seen)


def vertex_area(head: ForeignHead) -> Float[np.ndarray, "v"]:
    """A third of the area (mm2) of each vertex's triangles: dense parts of a mesh do not count more."""
    area = np.linalg.norm(head.mesh().face_normals(), axis=1) / 6
    return np.asarray(np.bincount(head.faces.ravel(), np.repeat(area, 3), len(head.part)))


def joints_of(head: ForeignHead, names: tuple[str, ...], points_mm: Float[np.ndarray, "p 3"],
              turn: Float[np.ndarray, "3 3"], origin: Float[np.ndarray, "3"]) -> tuple[
                  tuple[str, ...], Float[np.ndarray, "j 3"]]:
    """The head's own joints in the head frame; a jaw below the tragia where it brings none."""
    joints = (head.joints_mm - origin) @ turn.T
    if "jaw" in head.joint_names:
        return head.joint_names, joints
    tragia = (points_mm[[names.index("t_l"), names.index("t_r")]].mean(0) - origin) @ turn.T
    return (*head.joint_names, "jaw"), np.concatenate([joints, [tragia + np.array(JAW_FROM_TRAGIA_MM)]])
