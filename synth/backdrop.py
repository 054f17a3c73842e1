"""Backdrop: what lies behind the head, so that a silhouette that withdraws uncovers it.

Where the phone stood and the head turned, other frames show it: a plate, the median of the frames in which the head is
elsewhere, kept where they agree. A frame that does not agree with the plate (the phone moved, the light changed) is not
served from it. What no frame shows is the frame's own surroundings, continued inwards.
Letters: I frame, B backdrop, F the person's colour, a matte (how much of a pixel is the person): I = a F + (1 - a) B;
s signed distance from the fitted silhouette, px, positive on the head.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.channels import length, sum_of
from core.records import freeze, record
from synth.blur import blurred
from synth.outlines import nearest

SHADED = 20.0
"""Difference of person and backdrop (grey levels) below which colour says nothing about the matte."""
SURE = 0.15
"""A matte this near to zero or one by colour alone is zero or one: skin has spots and shades."""
DARKEST = 0.4
"""Skin in the shade of a chin is so much darker than beside it, at most."""
NOISE = 12.0
"""Difference from the backdrop (grey levels) that noise and compression make."""


@record
class BackdropOptions:
    """rim_mm: how far the photographed silhouette may lie from the fitted one, and person_mm from that of the person as
    found in the picture. least: frames that must show a pixel. agree: spread of the middle half of them, and mean
    distance of a frame from the plate, in grey levels, at most. inpaint_px: radius from which what no frame shows is
    continued."""

    rim_mm: float = 2.0
    person_mm: float = 2.0
    least: int = 3
    agree: float = 12.0
    inpaint_px: float = 4.0


BACKDROP = BackdropOptions()


@record
class Plate:
    """rgb (H,W,3) sRGB 0..255; known (H,W): where it may be believed."""

    rgb: Float[np.ndarray, "h w 3"]
    known: Bool[np.ndarray, "h w"]

    def __post_init__(self) -> None:
        freeze(self, rgb=(self.rgb, np.float32), known=(self.known, bool))


def still_plate(pictures: Sequence[UInt8[np.ndarray, "h w 3"]], person: Sequence[Bool[np.ndarray, "h w"]],
                options: BackdropOptions = BACKDROP) -> Plate:
    """What the pictures show where none of the person is; they must have one size.

    person: where the head is in each, generously. Unknown where fewer than `least` pictures show the backdrop or where
    they disagree: a phone in the hand gives an empty plate.
    """
    height, width = person[0].shape
    rgb, known = np.zeros((height, width, 3), np.float32), np.zeros((height, width), bool)
    free = np.stack([~p for p in person])
    count = free.sum(0)
    wanted = (count >= options.least) & (count < len(person))  # where it was never hidden each frame shows it itself
    if not wanted.any():
        return Plate(rgb=rgb, known=known)
    n = count[wanted]
    values = np.stack([p[wanted] for p in pictures])
    values[~free[:, wanted]] = 255  # sorted to the end
    values.sort(0)
    column = np.arange(len(n))
    low, middle, high = (values[(share * (n - 1) / 4).astype(int), column].astype(np.float32) for share in (1, 2, 3))
    rgb[wanted] = middle
    known[wanted] = (high - low).max(-1) <= options.agree
    return Plate(rgb=rgb, known=known)


def serves(plate: Plate, frame: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"],
           options: BackdropOptions = BACKDROP) -> bool:
    """Whether this frame was taken in front of the plate: it agrees where the person is not."""
    seen = plate.known & ~person
    if seen.sum() < 100:
        return False
    return float(np.median(np.abs(frame[seen] - plate.rgb[seen]))) <= options.agree / 2


def signed_distance(inside: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w"]:
    """Pixels from the edge of a region, positive inside."""
    if inside.all() or not inside.any():
        return np.full(inside.shape, 1e6 if inside.any() else -1e6, np.float32)
    mask = inside.astype(np.uint8)
    return cv2.distanceTransform(mask, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - mask, cv2.DIST_L2, 5)


def backdrop(frame: UInt8[np.ndarray, "h w 3"], free: Bool[np.ndarray, "h w"], wanted: Bool[np.ndarray, "h w"],
             plate: Plate | None, options: BackdropOptions = BACKDROP) -> Float[np.ndarray, "h w 3"]:
    """B: the plate where it is known, the frame where it is `free` of the person, both continued over what is `wanted`.
    """
    filled = frame.copy()
    known = free
    if plate is not None:
        filled[plate.known] = np.rint(plate.rgb[plate.known])
        known = known | plate.known
    hole = ~known & wanted
    if hole.any():
        filled = nearest_known(filled, known)  # what is not wanted must not darken what is
        filled = cv2.inpaint(filled, hole.astype(np.uint8), options.inpaint_px, cv2.INPAINT_TELEA)
    out = filled.astype(np.float32)
    if plate is not None:
        out[plate.known] = plate.rgb[plate.known]
    return out


def nearest_known(picture: UInt8[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with every unknown pixel like the nearest known one; as it is when none is known."""
    if not known.any():
        return picture
    _, number, y, x = nearest(known)
    out: np.ndarray = picture[y, x][number]
    return out


def matte(frame: Float[np.ndarray, "h w 3"], behind: Float[np.ndarray, "h w 3"], s: Float[np.ndarray, "h w"],
          rim_px: float) -> Float[np.ndarray, "h w"]:
    """a, 0..1: one inside the rim, zero outside but where something else than the backdrop is seen (hair, a hand); on
    the rim by colour, or, where person and backdrop look alike, by the fitted silhouette; on the head's side of it what
    is like neither (an eye, a brow) is the person's."""
    person = skin_beside(frame, s, rim_px)
    apart = person - behind
    square = sum_of(apart**2)
    along = sum_of((frame - behind) * apart) / np.maximum(square, 1)
    by_colour = smoothstep(along * (1 + 2 * SURE) - SURE)
    neither = np.maximum(unlike(frame, behind, person), shaded(frame, behind, person))
    trust = smoothstep((np.sqrt(square) - SHADED) / (1.5 * SHADED))
    on_rim = trust * by_colour + (1 - trust) * smoothstep((s + 1) / 2)
    on_rim = np.maximum(on_rim, smoothstep((neither - NOISE) / (2.5 * NOISE)) * smoothstep((s + 1) / 2))
    other = smoothstep((length(frame - behind) - NOISE) / (2.5 * NOISE))
    return np.where(s >= rim_px, 1, np.where(s <= -rim_px, other, on_rim)).astype(np.float32)


def skin_beside(frame: Float[np.ndarray, "h w 3"], s: Float[np.ndarray, "h w"], rim_px: float) -> Float[
        np.ndarray, "h w 3"]:
    """The person's mean colour inside the rim nearby."""
    core = (s > rim_px).astype(np.float32)
    weight = blurred(core, rim_px)
    return blurred(frame * core[..., None], rim_px) / np.maximum(weight, 1e-3)[..., None]


def unlike(frame: Float[np.ndarray, "h w 3"], behind: Float[np.ndarray, "h w 3"], person: Float[np.ndarray, "h w 3"]
           ) -> Float[np.ndarray, "h w"]:
    """By how much (grey levels) a pixel is no mixture of person and backdrop."""
    apart = person - behind
    along = sum_of((frame - behind) * apart) / np.maximum(sum_of(apart**2), 1)
    other: np.ndarray = length(frame - behind - np.clip(along, 0, 1)[..., None] * apart) - uneven(behind)
    return other


def shaded(frame: Float[np.ndarray, "h w 3"], behind: Float[np.ndarray, "h w 3"], person: Float[np.ndarray, "h w 3"]
           ) -> Float[np.ndarray, "h w"]:
    """By how much (grey levels) a pixel is nearer to the person's colour in shade than to the backdrop."""
    k = np.clip(sum_of(frame * person) / np.maximum(sum_of(person**2), 1), DARKEST, 1)
    nearer: np.ndarray = length(frame - behind) - length(frame - k[..., None] * person) - uneven(behind)
    return nearer


def uneven(behind: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """How much the backdrop changes (grey levels) within the pixel by which it may be misplaced."""
    around = np.ones((3, 3), np.uint8)
    change: np.ndarray = length(cv2.dilate(behind, around) - cv2.erode(behind, around))
    return change


def smoothstep(x: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """3x^2 - 2x^3, held at 0 and 1."""
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
