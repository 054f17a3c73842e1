"""Views: pictures with their landmarks, and what a fit to them gives to every later step: size, millimetres, spread."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from scipy.linalg.blas import strmm

from core.anatomy import Anatomy
from core.camera import Camera
from core.capture import Capture
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.mesh import Mesh
from core.reconstruction import Scale
from core.records import record
from core.transforms import rigid
from recon.bundle import Bundle, BundleOptions, Fit
from recon.eyes import open_eyes
from recon.lens import bending, straight_px, straightened
from recon.marker import corners_in, marker_cue
from recon.models import DEFAULT_MODEL
from recon.observations import Observations, observations
from recon.pupils import pupil_distance
from recon.scale import MODEL_SD, Cue, fuse, ipd_cue, iris_cue
from recon.sfm import Motion
from recon.skin import skin_masks
from recon.spectacles import darkness, trusted
from recon.texture import TextureOptions

MODEL_RESIDUAL_MM = 1.2
"""What the model's modes leave unexplained on a face whose own surface was not measured (1 sd per axis). The interval
that `--quality fast` states for the shape then holds 95 % of the face's skin in the median of eleven films with truth:
94 to 96 % in the three captures, 83 to 99 % in seven others, 66 % behind glasses."""


@record
class HeadOptions:
    """What a person may say about the head. model: a row of `recon.models`. ipd_mm, marker_mm: known lengths, mm.
    quality: `fast` looks at fewer views, follows the skin instead of recovering structure from motion, keeps the
    model's own surface, and gathers the skin at half size."""

    model: str = DEFAULT_MODEL
    ipd_mm: float | None = None
    marker_mm: float | None = None
    quality: str = "full"
    bundle: BundleOptions = BundleOptions()

    def texture(self) -> TextureOptions:
        """The texture's options at this quality."""
        return TextureOptions() if self.quality == "full" else TextureOptions(side=1024, views=6)


DEFAULTS = HeadOptions()


class Views:
    """Pictures in which the face was found: its landmarks there, and what can be seen on them. `lenses`: of each lens
    how it bends, empty where none does; landmarks and pictures are those of straight lenses."""

    def __init__(self, model: FaceModel, seen: Observations, taken: Callable[[int], UInt8[np.ndarray, "h w 3"]],
                 rasterize: Rasterize, lenses: Sequence[Camera] = ()) -> None:
        self.model, self.seen, self.taken, self.rasterize, self.lenses = model, seen, taken, rasterize, lenses

    @classmethod
    def of(cls, capture: Capture, model: FaceModel, rasterize: Rasterize) -> "Views":
        """Those of a capture whose every frame shows the face."""
        return cls(model, observations(capture), capture.picture, rasterize)

    def __len__(self) -> int:
        return len(self.seen.points_px)

    def picture(self, view: int) -> UInt8[np.ndarray, "h w 3"]:
        """One picture as a straight lens shows it."""
        return straightened(self.taken(view), self.lenses[self.seen.lens[view]]) if self.lenses else self.taken(view)

    def straight(self, motion: Motion) -> "Views":
        """The same views without the bend that was found in their lenses."""
        if not motion.k.any():
            return self
        size = {int(lens): (int(w), int(h)) for lens, (w, h) in zip(self.seen.lens, self.seen.size_wh, strict=True)}
        lenses = [bending(f, k, size[g]) for g, (f, k) in enumerate(zip(motion.focal_px, motion.k, strict=True))]
        points = np.stack([straight_px(p, lenses[g]) for p, g in zip(self.seen.points_px, self.seen.lens, strict=True)])
        return Views(self.model, dataclasses.replace(self.seen, points_px=points), self.taken, self.rasterize, lenses)

    def as_taken(self, cameras: Sequence[Camera]) -> list[Camera]:
        """The views' cameras with the bend of their lenses: those of the pictures as they are on disk."""
        return [dataclasses.replace(c, distortion=self.lenses[g].distortion) if self.lenses else c
                for c, g in zip(cameras, self.seen.lens, strict=True)]

    def cameras(self, bundle: Fit) -> list[Camera]:
        """The bundle's cameras, in model units."""
        return [bundle.camera(k, self.seen) for k in range(len(self))]

    def neutral(self, bundle: Fit) -> Mesh:
        """The bundle's head without an expression."""
        return self.model.shape(bundle.identity).pose(np.zeros(len(self.model.expression_names))).mesh()

    def masks(self, bundle: Bundle, weight: Float[np.ndarray, "v"]) -> list[UInt8[np.ndarray, "h w"]]:
        """Where every view shows a part of the skin (`weight`)."""
        return skin_masks(self.neutral(bundle), weight, self.cameras(bundle), self.seen.points_px, self.picture,
                          self.rasterize, self.rims)

    @functools.cached_property
    def rims(self) -> float:
        """How dark the rims of spectacles are that the person wears; 0 for none."""
        return darkness(self.seen.points_px, self.picture)

    def trusted(self, bundle: Bundle) -> "Views":
        """The same without landmarks that rims of spectacles mislead."""
        if not self.rims:
            return self
        yaw = np.array([c.head_angles_rad[0] for c in self.cameras(bundle)])
        seen = dataclasses.replace(self.seen, visible=trusted(self.seen.visible, yaw, bundle.landmarks))
        return Views(self.model, seen, self.taken, self.rasterize, self.lenses)


def true_scale(views: Views, bundle: Fit, options: HeadOptions) -> tuple[Scale, dict]:
    """Millimetres per model unit from every cue; and what each cue said."""
    cameras, points = views.cameras(bundle), views.seen.points_px
    cues = [Cue(source="model", mm_per_unit=1.0, sd=MODEL_SD)]
    is_open = open_eyes(points)
    iris = iris_cue(points, cameras, bundle.landmarks, is_open, views.picture)
    if iris is not None:
        cues.append(iris)
    if options.ipd_mm is not None:
        seen = pupil_distance(points, cameras, bundle.landmarks, is_open, views.picture)
        cues.append(ipd_cue(options.ipd_mm, seen, bundle.landmarks))
    if options.marker_mm is not None:
        marker = marker_cue(options.marker_mm, [corners_in(views.picture(k)) for k in range(len(cameras))], cameras)
        if marker is None:
            raise InputRefused("no_marker", "The printed marker was not found in at least three pictures.",
                               "Stick a printed 4x4 ArUco marker to the forehead, or leave --marker-mm out.")
        cues.append(marker)
    return fuse(cues), {c.source: {"mm_per_unit": c.mm_per_unit, "sd": c.sd} for c in cues}


def metric(views: Views, head: Mesh, anatomy: Anatomy, bundle: Fit, scale: Scale) -> tuple[Mesh, list[Camera]]:
    """The head in mm in its own head frame (origin between its outer eye corners), and its cameras."""
    origin = origin_of(head, anatomy)
    mesh = head.with_vertices((head.vertices_mm - origin) * scale.mm_per_unit)
    return mesh, [in_mm(camera, origin, scale) for camera in views.cameras(bundle)]


def in_mm(camera: Camera, origin: Float[np.ndarray, "3"], scale: Scale) -> Camera:
    """A camera in model units, in mm from a head's own frame, whose origin is given in those units."""
    R, t = camera.cam_from_head[:3, :3], camera.cam_from_head[:3, 3]
    return Camera(K_px=camera.K_px, size_wh=camera.size_wh,
                  cam_from_head=rigid(R, (R @ origin + t) * scale.mm_per_unit))


def origin_of(head: Mesh, anatomy: Anatomy) -> Float[np.ndarray, "3"]:
    """Between the outer eye corners."""
    return head.points(anatomy.pin_points[[anatomy.pin_names.index(n) for n in ("ex_l", "ex_r")]]).mean(0)


Rows = slice | Int[np.ndarray, "r"]
EVERY = slice(None)


def vertex_sd(model: FaceModel, bundle: Bundle, mesh: Mesh, scale: Scale, rows: Rows = EVERY) -> Float[
        np.ndarray, "r"]:
    """One sd per vertex (mm) of a fitted head, or of some of its vertices: of its shape, and of its size."""
    return with_size(modes_sd(model, bundle, scale, rows), mesh, scale, rows)


def modes_sd(model: FaceModel, bundle: Bundle, scale: Scale, rows: Rows = EVERY) -> Float[np.ndarray, "r"]:
    """One sd per vertex (mm) of a fitted head's shape: its covariance through the modes, what they cannot express."""
    told = np.flatnonzero(np.any(bundle.identity_cov != np.eye(len(bundle.identity)), axis=0))
    count = int(told[-1]) + 1 if len(told) else 0  # later modes keep their prior
    root = np.linalg.cholesky(bundle.identity_cov[:count, :count] + 1e-12 * np.eye(count))
    flat = model.identity_basis_mm[:count, rows].reshape(count, -1)
    # root' B in half of a general product's time, for the root is a triangle; single precision, as the basis is
    mixed = strmm(1.0, root.astype(flat.dtype), flat.T, side=1, lower=1).T
    square = prior_square(model, count)[rows].ravel() + np.einsum("kv,kv->v", mixed, mixed)
    square_mm2 = square.reshape(-1, 3).sum(1) * scale.mm_per_unit**2
    return np.asarray(np.sqrt(square_mm2 / 3 + MODEL_RESIDUAL_MM**2))


@functools.lru_cache(maxsize=4)
def prior_square(model: FaceModel, first: int) -> Float[np.ndarray, "v 3"]:
    """Variance (model units) of every coordinate by all modes from one on that nothing told."""
    flat = model.identity_basis_mm.reshape(len(model.identity_basis_mm), -1)[first:]
    return np.einsum("kv,kv->v", flat, flat).reshape(-1, 3)


def with_size(sd_mm: Float[np.ndarray, "r"], mesh: Mesh, scale: Scale, rows: Rows = EVERY) -> Float[np.ndarray, "r"]:
    """One sd per vertex (mm) with the uncertain size of the whole head added (an axis's share of it)."""
    away = np.linalg.norm(mesh.vertices_mm[rows] - mesh.vertices_mm.mean(0), axis=1)
    return np.sqrt(sd_mm**2 + (away * scale.sd_relative) ** 2 / 3)
