"""Reveal: skin that the picture did not show before the operation and shows after it, from the person's own texture.

The texture was seen by other frames in other light; it is brought to this frame's colours by what both show nearby.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from core.channels import largest, length
from core.correspondence import Correspondence
from core.records import record
from synth.blur import blurred
from synth.contours import APART_MM, Beyond
from synth.outlines import FAR_MM

FAINT = 8.0
"""Where less (grey levels) of the picture than this reaches, it does not tell the texture's colours."""


@record
class RevealOptions:
    """tolerance_mm: skin so much deeper than what the picture showed there was hidden. rim_mm: beside a contour skin
    is hidden, too: the photographed contour may lie there. match_mm: over how far colours are compared. agree: by how
    much (grey levels) the texture's local mean may differ from the picture's; it counts less from there on.
    local_mm: what is local; near_mm: how far a disagreement spoils its neighbours. sure: the fitted head is right about
    skin where the stretched picture has only the wall to show."""

    tolerance_mm: float = 3.0
    rim_mm: float = 0.5
    match_mm: float = 2.5
    agree: float = 30.0
    local_mm: float = 0.7
    near_mm: float = 2.0
    sure: bool = True


REVEAL = RevealOptions()


def occluded(flow: Correspondence, options: RevealOptions = REVEAL) -> Bool[np.ndarray, "h w"]:
    """Pixels whose skin lay behind other skin before: beside an outline, too, where the background is a pixel away; but
    not the outline's own skin, which runs away from the eye."""
    at, near = before_of(flow)
    all_round = cv2.dilate(near, np.ones((3, 3), np.uint8))  # at a grazing outline depth runs away within a pixel
    shown = cv2.remap(all_round, *at, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    skin = cv2.dilate(np.where(near < FAR_MM, near, np.float32(-1)), np.ones((3, 3), np.uint8))
    front = cv2.remap(skin, *at, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    covered = (front > 0) & (flow.from_depth_mm - APART_MM > front)
    return flow.moved & ((flow.from_depth_mm - options.tolerance_mm > shown) | covered)


def hidden(flow: Correspondence, contour: Beyond, options: RevealOptions = REVEAL) -> Bool[np.ndarray, "h w"]:
    """Pixels whose skin the picture before did not show: occluded, or on the rim of the contour before it."""
    at, near = before_of(flow)
    reach = max(1, round(options.rim_mm * flow.px_per_mm))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    nearest = cv2.remap(cv2.erode(near, disc), *at, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    apart = length(contour.flow_px - flow.flow_px)
    beside = contour.behind & (contour.distance_px <= apart + 2 * reach) & np.isfinite(flow.depth_after_mm)
    return occluded(flow, options) | (beside & (flow.from_depth_mm - options.tolerance_mm > nearest))


def before_of(flow: Correspondence) -> tuple[tuple[np.ndarray, np.ndarray], Float[np.ndarray, "h w"]]:
    """Where every pixel's skin lay before (x, y), and the depth that the picture before shows."""
    height, width = flow.mask.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return (x + flow.flow_px[..., 0], y + flow.flow_px[..., 1]), np.minimum(flow.depth_before_mm, np.float32(FAR_MM))


def matched(frame: Float[np.ndarray, "h w 3"], skin_before: Float[np.ndarray, "h w 3"],
            skin_after: Float[np.ndarray, "h w 3"], seen: Bool[np.ndarray, "h w"], sigma_px: float) -> Float[
                np.ndarray, "h w 3"]:
    """The texture after, multiplied by what frame and texture before differ by where both show skin (`seen`)."""
    weight = seen.astype(np.float32)[..., None]
    sigma = max(sigma_px, 1.0)
    gain, below = (blurred(part * weight, sigma) + np.float32(1e-3) for part in (frame, skin_before))
    gain /= below
    np.clip(gain, 0.75, 1.33, out=gain)
    gain *= skin_after
    return gain


def adjoining(skin: Float[np.ndarray, "h w 3"], picture: Float[np.ndarray, "h w 3"], beside: Bool[np.ndarray, "h w"],
              px_per_mm: float, options: RevealOptions = REVEAL) -> Float[np.ndarray, "h w 3"]:
    """The texture brought on to the picture's colours `beside` what was hidden, on the same side of the contour: first
    over the whole neighbourhood, then close by, so that no edge shows where the two meet."""
    weight = beside[..., None].astype(np.float32)
    for over_mm in (options.match_mm, options.local_mm):
        sigma = max(over_mm * px_per_mm, 1.0)
        gain, below = (blurred(part * weight, sigma) + np.float32(FAINT) for part in (picture, skin))
        skin = skin * np.clip(gain / below, 0.75, 1.33)
    return skin


def agreement(skin: Float[np.ndarray, "h w 3"], stretched: Float[np.ndarray, "h w 3"], unseen: Bool[np.ndarray, "h w"],
              px_per_mm: float, options: RevealOptions = REVEAL) -> Float[np.ndarray, "h w"]:
    """How far texture and stretched picture agree over the hidden skin, 0..1; one far from any."""
    weight = unseen.astype(np.float32)
    near = max(options.local_mm * px_per_mm, 1.0)
    apart = skin - stretched
    apart *= weight[..., None]
    apart = blurred(apart, near)
    apart /= np.maximum(blurred(weight, near), 1e-3)[..., None]
    alike = np.exp(-(largest(np.abs(apart)) / options.agree) ** 2) * weight
    around = max(options.near_mm * px_per_mm, 1.0)
    return (blurred(alike, around) + 1e-3) / (blurred(weight, around) + 1e-3)
