"""Shear: what a contour carries along beside it is let go of evenly, before the mask ends.

Beyond the fitted outline the motion goes on over a rim, for the pictured outline may lie there. Another part of the
person may lie there, too: a lifted cheek's rim reaches over the lobe of the ear, which stays. Where the motion broke
off at the mask's edge the lobe was serrated. So beside an outline that stays the motion grows from there and from the
mask's edge on by no more than skin follows; beside one that moves, that holds for what runs along it, which no outline
shows, and at the outline all of it is left.
"""

import cv2
import numpy as np
from jaxtyping import Float

from core.channels import largest, length, sum_of
from core.correspondence import Correspondence
from synth.backdrop import signed_distance
from synth.blur import blurred
from synth.follow import STEEPEST
from synth.outlines import nearest

NEAR_MM = 1.0
"""Where the picture shows nothing of the person so near, there is nothing to tear."""
STAYS_PX = 0.5
"""Skin and outlines that move less stay."""
EVEN_MM = 1.5
"""Over so much the outline's direction is evened (standard deviation)."""


def sheared(own_px: Float[np.ndarray, "h w 2"], flow: Correspondence, person: Float[np.ndarray, "h w"]) -> Float[
        np.ndarray, "h w 2"]:
    """The motion of the window let go of evenly, see above. person: the matte of who is seen before."""
    bare = np.isinf(flow.depth_after_mm)
    moves = (flow.mask > 0) & (largest(np.abs(own_px)) > STAYS_PX)
    edge = ~bare & (cv2.dilate(bare.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    if not (moves & bare).any() or not edge.any():
        return own_px
    away, number, y, x = nearest(edge)
    room = cv2.distanceTransform((flow.mask > 0).astype(np.uint8), cv2.DIST_L2, 5)
    out = across(own_px, blurred(signed_distance(bare), max(EVEN_MM * flow.px_per_mm, 1.0)))
    along, evenly = own_px - out, room / np.maximum(room + away, 1)
    let_go = ((1 - np.maximum(share, as_steep(u, room)))[..., None] * u
              for u, share in ((along, evenly), (out, np.minimum(1, 2 * evenly))))
    own_px = own_px - (moves & bare)[..., None] * sum(let_go)
    stays = largest(np.abs(flow.flow_px)) <= STAYS_PX
    beside = stays & (~bare | stays[y, x][number])
    if beside.any():
        room += cv2.distanceTransform((~beside).astype(np.uint8), cv2.DIST_L2, 5)
        shows = cv2.distanceTransform((person < 0.5).astype(np.uint8), cv2.DIST_L2, 5) < NEAR_MM * flow.px_per_mm
        kept = np.where(moves & shows & (bare | stays), as_steep(own_px, room), np.float32(1))
        own_px = kept[..., None] * own_px
    return own_px


def across(u_px: Float[np.ndarray, "h w 2"], outside_px: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 2"]:
    """The part of a motion that runs to or from the outline. outside_px: signed distance from it, evened."""
    out = np.stack([cv2.Sobel(outside_px, cv2.CV_32F, 1, 0), cv2.Sobel(outside_px, cv2.CV_32F, 0, 1)], -1)
    out /= np.maximum(length(out), 1e-6)[..., None]
    return sum_of(u_px * out)[..., None] * out


def as_steep(u_px: Float[np.ndarray, "h w 2"], room_px: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """How much of a motion may be left so far from what stays."""
    return np.minimum(1, STEEPEST * room_px / np.maximum(length(u_px), 1e-6))
