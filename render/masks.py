"""Masks: where a picture changes because the face does, from the true displacement and never from a hull of landmarks.

A pixel changes when the skin it shows before, or the skin it shows after, has moved: so both silhouettes count, the
ground that a moved chin uncovers and the cheek that a smaller nose no longer hides.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh
from core.records import record
from render.mix import compiled

Window = tuple[slice, slice]

EDGE_PX = 1.0
"""A lens mixes the pixel beyond a silhouette with it: that pixel changes fully, too."""


@record
class SurgicalMaskOptions:
    """From where on a motion shows: low_px in the picture, low_mm in space; None leaves that measure out.

    A motion straight along the optical axis has no length in the picture, yet turns the skin in the light: low_mm
    keeps it in the mask. feather_mm: how far the mask fades beyond what moves, at the face's depth, so that it grows
    with the face in the picture; never under least_feather_px.
    """

    low_px: float | None = 0.25
    low_mm: float | None = 0.25
    feather_mm: float = 4.0
    least_feather_px: float = 3.0


SURGICAL = SurgicalMaskOptions()
"""A quarter pixel is what interpolation of 8-bit pictures just shows; 0.25 mm over a centimetre turns skin by 1.4 deg,
which changes its shade by about 1 %."""


def surgical_mask(before: Fragments, after: Fragments, mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"],
                  camera: Camera, options: SurgicalMaskOptions = SURGICAL,
                  moved: Float[np.ndarray, "v"] | None = None) -> Float[np.ndarray, "h w"]:
    """How much of each pixel the operation may change: one wherever it visibly moves skin, before or after.

    before, after: what the camera sees of `mesh` and of `mesh.moved(displacement_mm)`; nothing is rasterised here.
    moved: of `moving`, where it is known.
    Returns 0..1 (single precision) at the picture's size: one on all skin that moves and one pixel around it, fading
    to exactly zero over `feather_mm` beyond. All zero without visible motion.
    ValueError: both thresholds are None, or a size does not fit.
    """
    height, width = before.face.shape
    if after.face.shape != before.face.shape or (width, height) != camera.size_wh:
        raise ValueError("before, after and the camera must have one size")
    moved = moving(mesh, displacement_mm, camera, options) if moved is None else moved
    mask = np.zeros((height, width), np.float32)
    if not moved.any():
        return mask
    feather_px = max(options.feather_mm * px_per_mm_of(mesh, camera, moved), options.least_feather_px)
    window = touched(mesh, displacement_mm, camera, moved, feather_px + EDGE_PX)
    changed = shows(before, mesh, moved, window) | shows(after, mesh, moved, window)
    mask[window] = faded(changed, feather_px)
    return mask


def shift_px(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"], camera: Camera) -> Float[np.ndarray, "v 2"]:
    """How far each vertex moves in the picture; zero for those behind the camera."""
    after = camera.px_from_points(mesh.vertices_mm + displacement_mm)
    return np.nan_to_num(after - camera.px_from_points(mesh.vertices_mm))


def moving(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"], camera: Camera,
           options: SurgicalMaskOptions = SURGICAL) -> Float[np.ndarray, "v"]:
    """Each vertex's motion over the threshold that it passes first, so that one is where the mask begins.

    Zero for what does not move at all, and everywhere when nothing reaches a threshold.
    """
    ratio = np.zeros(len(mesh.vertices_mm))
    if options.low_px is None and options.low_mm is None:
        raise ValueError("a mask needs a threshold in px, in mm, or both")
    if options.low_px is not None:
        ratio = np.linalg.norm(shift_px(mesh, displacement_mm, camera), axis=1) / options.low_px
    if options.low_mm is not None:
        ratio = np.maximum(ratio, np.linalg.norm(displacement_mm, axis=1) / options.low_mm)
    return ratio if ratio.max(initial=0.0) >= 1 else np.zeros_like(ratio)


def px_per_mm_of(mesh: Mesh, camera: Camera, moved: Float[np.ndarray, "v"]) -> float:
    """Pixels per millimetre at the median depth of the vertices that move."""
    depth_mm = camera.cam_from_points(mesh.vertices_mm[moved >= 1])[:, 2]
    return float(camera.K_px[0, 0] / max(float(np.median(depth_mm)), 1.0))  # nothing is nearer than a millimetre


def touched(mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"], camera: Camera, moved: Float[np.ndarray, "v"],
            margin_px: float) -> Window:
    """Rows and columns that hold every triangle with a moving corner, before and after, and the margin around them."""
    width, height = camera.size_wh
    near = np.flatnonzero(beside(mesh.faces, moved >= 1))
    vertices = mesh.vertices_mm[near]
    px = camera.px_from_points(np.concatenate([vertices, vertices + displacement_mm[near]]))
    if not np.isfinite(px).all():
        return slice(0, height), slice(0, width)  # behind the camera: no pixel is left out
    low = np.clip(np.floor(px.min(0) - margin_px - 1), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(px.max(0) + margin_px + 2), 0, (width, height)).astype(int)
    return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def shows(fragments: Fragments, mesh: Mesh, moved: Float[np.ndarray, "v"], window: Window) -> Bool[np.ndarray, "h w"]:
    """Which pixels of the window show skin that moves visibly."""
    face, bary = fragments.face[window], fragments.bary[window]
    out = np.zeros(face.shape, bool)
    write_shown(face, bary, mesh.faces, moved, out)
    return out


@compiled
def beside(faces, chosen):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The vertices of all triangles with a chosen corner (V,)."""
    out = np.zeros(len(chosen), np.bool_)
    for f in range(len(faces)):
        a, b, c = faces[f]
        if chosen[a] or chosen[b] or chosen[c]:
            out[a] = out[b] = out[c] = True
    return out


@compiled
def write_shown(face, bary, faces, moved, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write `shows`: of faces with a corner that moves visibly."""
    for y in range(face.shape[0]):
        for x in range(face.shape[1]):
            if face[y, x] >= 0:
                a, b, c = faces[face[y, x]]
                if moved[a] >= 1 or moved[b] >= 1 or moved[c] >= 1:
                    out[y, x] = bary[y, x, 0] * moved[a] + bary[y, x, 1] * moved[b] + bary[y, x, 2] * moved[c] >= 1


def faded(core: Bool[np.ndarray, "h w"], feather_px: float) -> Float[np.ndarray, "h w"]:
    """One on the core and EDGE_PX around it, falling smoothly (3t^2 - 2t^3) to exactly zero `feather_px` further."""
    if not core.any():
        return np.zeros(core.shape, np.float32)
    away = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    level = np.clip(1 - (away - EDGE_PX) / np.float32(feather_px), 0, 1)
    return level * level * (3 - 2 * level)
