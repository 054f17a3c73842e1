"""Side photos: without a face for the landmark network; the head that the others gave is laid on their outline.

`recon.profile` reads such a photo with the model's average head. Here the person's own head takes its place, with what
the other photos left uncertain of it as its modes (the principal axes of the identity's covariance), so that only what
they do not show, mostly depth, is given to the outline. Each photo draws the skin to its own outline; between several
the mean is taken, and photos of one side alone are mirrored for the other: an outline says nothing of left and right
(drawn to one, a nose was torn aside by 17 mm). What this moves across the other photos' line of sight is taken back,
for there the landmarks are seen; then the outlines have the last word. Each camera is laid on the head anew.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from scipy.optimize import least_squares

from core.camera import Camera
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import record
from core.transforms import rigid, rotation_from_vector, umeyama
from recon.bundle import Bundle
from recon.detect import Detector
from recon.face478 import IRIS_ROWS, topology
from recon.one_photo import drawn_to
from recon.profile import Read, drawn_to_photo, read_profile, whole_camera
from recon.profile_fit import basis_of
from recon.same_profile import strange

Picture = UInt8[np.ndarray, "..."]
DEPTH_SHARE = 0.1
"""How much less than width and height the depth counts that photos from the front tell."""
ONE_SIDE = "It shows one side alone, and its mirror image could not be read."


@record
class Side:
    """A photo from the side: what was read, its camera, in model units, the head drawn to it, and how far off the
    outline was."""

    read: Read
    camera: Camera
    mesh: Mesh
    off_px: float


@record
class Sides:
    """The head drawn to all photos from the side, their cameras on it by number, and why the others were left out."""

    head: Mesh
    found: dict[int, Side]
    refused: dict[int, str]


def with_sides(model: FaceModel, bundle: Bundle, head: Mesh, pictures: Sequence[Picture], focals_px: Sequence[float],
               detector: Detector, foreground: Callable[[np.ndarray], np.ndarray], rasterize: Rasterize) -> Sides:
    """The head of a bundle, drawn to photos from the side as far as their outlines are clear."""
    basis = basis_of(still_open(model, bundle, head))
    reads: dict[int, Read] = {}
    refused: dict[int, str] = {}
    for k, (picture, focal) in enumerate(zip(pictures, focals_px, strict=True)):
        try:
            reads[k] = read_profile(basis, picture, None, None, focal, detector, foreground, rasterize)
        except InputRefused as error:
            refused[k] = error.message
    others = strange(reads)
    found = {k: side_of(read, pictures[k], rasterize) for k, read in reads.items() if k not in others}
    refused |= others
    if not found:
        return Sides(head=head, found={}, refused=refused)
    drawn = list(found.values())
    if len({side.read.scene.side for side in drawn}) == 1:
        k = next(iter(found))
        mirrored = np.ascontiguousarray(pictures[k][:, ::-1])
        try:
            read = read_profile(basis, mirrored, None, None, focals_px[k], detector, foreground, rasterize)
        except InputRefused:
            return Sides(head=head, found={}, refused=refused | dict.fromkeys(found, ONE_SIDE))
        drawn = drawn + [side_of(read, mirrored, rasterize)] * len(found)
    mean = head.with_vertices(np.mean([s.mesh.vertices_mm for s in drawn], axis=0))
    turned = seen_from_front(model, bundle, mean)
    again = [drawn_again(side, turned, basis.skin, rasterize) for side in drawn]
    kept = head.with_vertices(np.mean([mesh.vertices_mm for mesh in again], axis=0))
    return Sides(head=kept, found={k: laid_anew(s, kept, basis.skin) for k, s in found.items()}, refused=refused)


def side_of(read: Read, picture: Picture, rasterize: Rasterize) -> Side:
    """A photo that was read, with its camera and the head drawn to it."""
    camera = whole_camera(read, (picture.shape[1], picture.shape[0]), rigid(read.laid.R, read.laid.t))
    return Side(read=read, camera=camera, mesh=drawn_to_photo(read, rasterize, landmarks=False),
                off_px=float(np.median(read.laid.off_mm) * read.laid.px_per_mm / read.scene.scale))


def seen_from_front(model: FaceModel, bundle: Bundle, head: Mesh) -> Mesh:
    """The head turned and moved so that its landmarks lie where the bundle sees them from the front (x and y), and the
    skin drawn to what is left of that."""
    rows = np.flatnonzero((bundle.weight > 0).any(0) & (np.arange(478) < IRIS_ROWS.start))
    rows = np.setdiff1d(rows, topology().outline)
    pins, wanted = head.points(model.anatomy.pins478), bundle.landmarks

    def off(x: np.ndarray) -> np.ndarray:
        away = (pins[rows] @ rotation_from_vector(x[:3]).T + 10 * x[3:] - wanted[rows]) * [1, 1, DEPTH_SHARE]
        return away.ravel()

    x = least_squares(off, np.zeros(6), loss="soft_l1").x  # an outlier's 1 mm counts linearly from there on
    turned = head.with_vertices(head.vertices_mm @ rotation_from_vector(x[:3]).T + 10 * x[3:])
    left = wanted - turned.points(model.anatomy.pins478)
    return turned.moved(drawn_to(model, left * [1, 1, 0], np.isin(np.arange(478), rows)))


def still_open(model: FaceModel, bundle: Bundle, head: Mesh) -> FaceModel:
    """The model of one person: the mean is their head, the modes what a bundle leaves open, the largest first."""
    size, axes = np.linalg.eigh(bundle.identity_cov)
    modes = np.tensordot(axes.T * np.sqrt(np.clip(size, 0, None))[:, None], model.identity_basis_mm, 1)
    order = np.argsort(-(modes**2).sum((1, 2)))
    return dataclasses.replace(model, template_mm=head.vertices_mm, identity_basis_mm=modes[order])


def drawn_again(side: Side, head: Mesh, skin: Float[np.ndarray, "v"], rasterize: Rasterize) -> Mesh:
    """A head drawn to the photo's outline once more, from where `laid_anew` puts it."""
    pose = laid_anew(side, head, skin).camera.cam_from_head
    there = dataclasses.replace(side.read.laid, R=pose[:3, :3], t=pose[:3, 3])
    return drawn_to_photo(dataclasses.replace(side.read, laid=there), rasterize, head, landmarks=False)


def laid_anew(side: Side, head: Mesh, skin: Float[np.ndarray, "v"]) -> Side:
    """The photo's camera, moved so that the head stands before it as the one did that was drawn to this photo."""
    _, R, t = umeyama(head.vertices_mm, side.mesh.vertices_mm, skin, with_scale=False)
    camera = dataclasses.replace(side.camera, cam_from_head=side.camera.cam_from_head @ rigid(R, t))
    return dataclasses.replace(side, camera=camera, mesh=head)
