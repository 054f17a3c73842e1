"""Side photos: without a face for the landmark network; the head that the others gave is laid on their outline.

`recon.profile` reads such a photo with the model's average head. Here the person's own head takes its place, with what
the other photos left uncertain of it as its modes (the principal axes of the identity's covariance), so that only what
they do not show, mostly depth, is given to the outline. Each photo draws the skin to its own outline; between several
the mean is taken, and each camera is laid on it anew.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.errors import InputRefused
from core.face_model import FaceModel
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import record
from core.transforms import rigid, umeyama
from recon.bundle import Bundle
from recon.detect import Detector
from recon.profile import drawn_to_photo, read_profile, whole_camera
from recon.profile_fit import basis_of

Picture = UInt8[np.ndarray, "..."]


@record
class Side:
    """A photo from the side: its camera, in model units, the head drawn to it, and how far off the outline was."""

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
    found: dict[int, Side] = {}
    refused: dict[int, str] = {}
    for k, (picture, focal) in enumerate(zip(pictures, focals_px, strict=True)):
        try:
            read = read_profile(basis, picture, None, None, focal, detector, foreground, rasterize)
        except InputRefused as error:
            refused[k] = error.message
            continue
        camera = whole_camera(read, (picture.shape[1], picture.shape[0]), rigid(read.laid.R, read.laid.t))
        found[k] = Side(camera=camera, mesh=drawn_to_photo(read, rasterize),
                        off_px=float(np.median(read.laid.off_mm) * read.laid.px_per_mm / read.scene.scale))
    if not found:
        return Sides(head=head, found={}, refused=refused)
    mean = head.with_vertices(np.mean([s.mesh.vertices_mm for s in found.values()], axis=0))
    return Sides(head=mean, found={k: laid_anew(s, mean, basis.skin) for k, s in found.items()}, refused=refused)


def still_open(model: FaceModel, bundle: Bundle, head: Mesh) -> FaceModel:
    """The model of one person: the mean is their head, the modes what a bundle leaves open, the largest first."""
    size, axes = np.linalg.eigh(bundle.identity_cov)
    modes = np.tensordot(axes.T * np.sqrt(np.clip(size, 0, None))[:, None], model.identity_basis_mm, 1)
    order = np.argsort(-(modes**2).sum((1, 2)))
    return dataclasses.replace(model, template_mm=head.vertices_mm, identity_basis_mm=modes[order])


def laid_anew(side: Side, head: Mesh, skin: Float[np.ndarray, "v"]) -> Side:
    """The photo's camera, moved so that the head stands before it as the one did that was drawn to this photo."""
    _, R, t = umeyama(head.vertices_mm, side.mesh.vertices_mm, skin, with_scale=False)
    camera = dataclasses.replace(side.camera, cam_from_head=side.camera.cam_from_head @ rigid(R, t))
    return dataclasses.replace(side, camera=camera, mesh=head)
