"""Skin: which part of the head keeps its shape while it turns, on the model and in every picture.

Eyes, lids' openings and lips move on their own; the neck bends; hair and spectacles are not skin. On the model, regions
say so. In a picture, the colour of the person's own cheeks, nose and brow says what else is skin: chroma (Cr, Cb of
BT.601) within COLOUR_SPREADS of it. Inside the face (`INNER`) colour is not asked, so that
a beard, a scar or make-up stays in.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from recon.spectacles import disc, rims_in
from recon.tracks import MOVING

STILL = ("face", "forehead", "nose", "ear_l", "ear_r")
OTHER = ("eye_l", "eye_r", "mouth_interior")
INNER = (9, 151, 337, 299, 333, 298, 301, 368, 264, 447, 366, 401, 435, 367, 364, 394, 395, 369, 396, 175, 171, 140,
         170, 169, 135, 138, 215, 177, 137, 227, 34, 139, 71, 68, 104, 69, 108)
CHEEKS = (50, 101, 118, 205, 280, 330, 347, 425, 6, 197, 195, 151, 9)
"""Places whose colour is the person's skin, whatever they wear."""
COLOUR_SPREADS, CHROMA_SD, DARKEST = 6.0, 4.0, 0.3
"""Chroma farther off than so many spreads (at least CHROMA_SD levels each) is not skin. Outside the fitted outline it
must be nearer, and brighter than a share of the usual."""
RIM, REACH = 0.008, 0.03
"""Shares of the face's height: pixels so close to the outline are left out; skin-coloured ones so far outside the
fitted outline are let in (a nose in profile that the fit has too short)."""


def still_skin(anatomy: Anatomy) -> Float[np.ndarray, "v"]:
    """Weight (V,) of skin that keeps its shape while the head turns: face and ears."""
    return skin_only(anatomy, np.max([anatomy.region(n) for n in STILL], axis=0))


def all_skin(anatomy: Anatomy) -> Float[np.ndarray, "v"]:
    """Weight (V,) of everything that may be bare skin: all but the scalp, eyes and mouth."""
    return skin_only(anatomy, np.max([1 - anatomy.region("scalp"), *(anatomy.region(n) for n in STILL)], axis=0))


def skin_only(anatomy: Anatomy, there: Float[np.ndarray, "v"]) -> Float[np.ndarray, "v"]:
    """A weight without eyes and mouth."""
    weight: np.ndarray = np.min([there, *(1 - anatomy.region(n) for n in OTHER)], axis=0).astype(float)
    return weight


def outlined(anatomy: Anatomy) -> Float[np.ndarray, "v"]:
    """Weight of what may be an outline of bare skin: the face, the nose and the forehead."""
    return skin_only(anatomy, np.max([anatomy.region(n) for n in ("face", "forehead", "nose")], axis=0))


def others(anatomy: Anatomy) -> Float[np.ndarray, "v"]:
    """Weight of what is not skin: eyeballs and the mouth's inside."""
    weight: np.ndarray = np.max([anatomy.region(n) for n in OTHER], axis=0).astype(float)
    return weight


def usual_skin(known: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3"]]:
    """The person's colour and its spread, from what `chroma` says of places that are skin."""
    usual = np.median(known, axis=0)
    return usual, np.maximum(1.5 * np.median(np.abs(known - usual), axis=0), CHROMA_SD)


def skin_masks(mesh: Mesh, weight: Float[np.ndarray, "v"], cameras: Sequence[Camera],
               points_px: Float[np.ndarray, "n 478 2"], pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]],
               rasterize: Rasterize, rims: float = 0.0) -> list[UInt8[np.ndarray, "h w"]]:
    """255 where a picture shows skin of the head (`weight` (V,) says which part), else 0; lips included, the lids'
    openings and what rims of spectacles hide not. rims: how dark they are (`spectacles.darkness`)."""
    colour = [chroma(pictures(k), points_px[k]) for k in range(len(cameras))]
    usual, spread = usual_skin(np.concatenate([c[1] for c in colour]))
    out = []
    for k, (camera, points) in enumerate(zip(cameras, points_px, strict=True)):
        small = camera.resized((camera.size_wh[0] // 2, camera.size_wh[1] // 2))
        height = float(np.ptp(points[:, 1])) / 2
        head = (rasterize(mesh, small).interpolate(weight[:, None], mesh.faces)[..., 0] > 0.5).astype(np.uint8)
        around = cv2.dilate(head, disc(REACH * height)) & ~head & 1
        off = np.hypot(*np.moveaxis((colour[k][0][..., 1:] - usual[1:]) / spread[1:], 2, 0))
        bright = colour[k][0][..., 0] > DARKEST * usual[0]
        like, very_like = off < COLOUR_SPREADS, (off < 0.6 * COLOUR_SPREADS) & bright
        inner = filled(head.shape, (points - 0.5) / 2, INNER)
        mask = (head & (like | (inner > 0))) | (around & very_like)
        mask = cv2.erode(mask.astype(np.uint8), disc(RIM * height), borderValue=0)
        mask = cv2.resize(mask, camera.size_wh, interpolation=cv2.INTER_NEAREST)
        if rims:
            mask = mask & (1 - rims_in(pictures(k), points, rims))
        out.append(255 * without(mask, points, MOVING[:2]))
    return out


def without(mask: UInt8[np.ndarray, "h w"], points_px: Float[np.ndarray, "478 2"],
            loops: Sequence[Sequence[int]] = MOVING) -> UInt8[np.ndarray, "h w"]:
    """The mask without what lies inside loops of landmarks (by default both lids' openings and the lips)."""
    out = mask.copy()
    for loop in loops:
        cv2.fillPoly(out, [cv2.convexHull(np.rint(points_px[list(loop)]).astype(np.int32))], 0)
    return out


def filled(shape: tuple[int, ...], points_px: Float[np.ndarray, "478 2"], loop: Sequence[int]) -> UInt8[
        np.ndarray, "h w"]:
    """1 inside a loop of landmarks."""
    out = np.zeros(shape, np.uint8)
    cv2.fillPoly(out, [np.rint(points_px[list(loop)]).astype(np.int32)], 1)
    return out


def chroma(picture: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "478 2"]) -> tuple[
        Float[np.ndarray, "k l 3"], Float[np.ndarray, "n 3"]]:
    """The picture at half size as (Y, Cr, Cb), and its values on the cheeks, nose and brow."""
    height, width = picture.shape[:2]
    half = cv2.resize(picture, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    values = cv2.GaussianBlur(cv2.cvtColor(half, cv2.COLOR_RGB2YCrCb), (0, 0), 1.0).astype(np.float32)
    at = np.clip(np.rint(points_px[list(CHEEKS)] / 2).astype(int), 0, [half.shape[1] - 1, half.shape[0] - 1])
    return values, values[at[:, 1], at[:, 0]]
