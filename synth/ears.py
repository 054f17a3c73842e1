"""Ears: a pictured ear set back as a layer of its own, before what one photo shows around it.

One photo's ear is a flat thing: what its folds hide is nowhere, and the fitted head's folds lie elsewhere. So the
plan's motion is evened over it: the rim moves as the plan has it at that height, the root stays, and between them
motion grows steadily, so that nothing folds. Wall and hair keep their place; what the rim uncovers is what lies beyond
it, mirrored at the outline, which continues a wall's grain and the strands of hair.
Letters: q place before, p after, in the ear's frame (x out, y down, mm); d(q) = p - q; u(p) = q - p; t share of the way
from the root to the rim; I picture, B what lies behind, a matte of the ear: p shows I(q) + (1 - a(q)) (B(p) - B(q)).
"""

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.ear_frame import EarFrame
from core.records import record
from synth.backdrop import matte, signed_distance, smoothstep
from synth.blur import blurred
from synth.outlines import nearest

ROOT_MM, SOFT = 3.0, 0.25
"""The ear begins to move so far beyond the cheek's edge; a share of the way over which its motion sets in."""
STEEPEST = 0.7
"""Places on one row may come nearer to each other by this share of their distance."""
EVEN_MM = 9.0
"""Over so much of the height the rim's motion is evened (1 sd)."""
RIM_MM = 0.8
"""The pictured rim is a mixture so far to both sides of the outline."""
CLEAR_MM = 1.6
"""What lies so far beyond it shows nothing of the ear, no halo of sharpening and no colour that a file smears."""
FACE_MM = -8.0
"""So far within the face nothing of an ear moves."""
FAINT = 0.3
"""Of a pixel that is less of the ear its own colour is not told."""
EVENLY_MM = 0.6
"""Where the mirror stands is evened over so much (1 sd)."""
AROUND_MM = 12.0
"""What is mirrored lies within this distance of an ear."""
FINE = 6.0
"""Pixels to a millimetre in which the outline is drawn, at least."""
GRID = 4
"""The motion is worked out so many times to a millimetre."""


@record
class Setback:
    """How one ear's rim moves, d, at heights y_mm of its frame, and where the rim is. asked_mm: before it was limited.
    """

    frame: EarFrame
    outline_mm: Float[np.ndarray, "n 2"]
    y_mm: Float[np.ndarray, "k"]
    rim_mm: Float[np.ndarray, "k"]
    d_mm: Float[np.ndarray, "k 2"]
    asked_mm: Float[np.ndarray, "k"]

    def moved(self, q_mm: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """d of places before."""
        rim = np.interp(q_mm[..., 1], self.y_mm, self.rim_mm)
        t = np.clip((q_mm[..., 0] - ROOT_MM) / np.maximum(rim - ROOT_MM, 1), 0, 1)
        share = t * t * (1 + SOFT) / (t + SOFT)
        return share[..., None] * np.stack([np.interp(q_mm[..., 1], self.y_mm, self.d_mm[:, k]) for k in (0, 1)], -1)

    def back(self, p_mm: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """u of places after: the fixed point of u = -d(p + u), which `STEEPEST` makes one."""
        u = np.zeros_like(p_mm)
        for _ in range(24):
            u = -self.moved(p_mm + u)
        return u


def setback(frame: EarFrame, outline_mm: Float[np.ndarray, "n 2"], place_mm: Float[np.ndarray, "m 2"],
            d_mm: Float[np.ndarray, "m 2"]) -> Setback:
    """The rim's motion from that of the head's ear: its vertices' places in the frame and their motion."""
    y = np.arange(outline_mm[:, 1].min(), outline_mm[:, 1].max() + 0.5, 0.5)
    rim = np.interp(y, *outermost(outline_mm, y))
    near = place_mm[:, 0] > ROOT_MM + 0.75 * (np.interp(place_mm[:, 1], y, rim) - ROOT_MM)
    weight = np.exp(-((y[:, None] - place_mm[near, 1]) / EVEN_MM) ** 2 / 2) + 1e-9
    asked = weight @ d_mm[near] / weight.sum(1, keepdims=True)
    most = STEEPEST * (1 + SOFT) / (1 + 2 * SOFT) * np.maximum(rim - ROOT_MM, 0)
    size = np.linalg.norm(asked, axis=1)
    return Setback(frame=frame, outline_mm=outline_mm, y_mm=y, rim_mm=rim, asked_mm=size,
                   d_mm=asked * np.minimum(1, most / np.maximum(size, 1e-6))[:, None])


def outermost(outline_mm: Float[np.ndarray, "n 2"], y: Float[np.ndarray, "k"]) -> tuple[Float[np.ndarray, "k"],
                                                                                       Float[np.ndarray, "k"]]:
    """Heights, and how far out the outline reaches within a millimetre of each."""
    near = np.abs(outline_mm[:, 1] - y[:, None]) < 1.5
    return y, np.where(near, outline_mm[:, 0], -np.inf).max(1)


class Layer(NamedTuple):
    """One ear drawn: rows and columns of the picture, its colours there after, u (px), the ear's matte before and
    after, and the pixels that may change."""

    window: tuple[slice, slice]
    picture: UInt8[np.ndarray, "h w 3"]
    u_px: Float[np.ndarray, "h w 2"]
    before: Float[np.ndarray, "h w"]
    after: Float[np.ndarray, "h w"]
    touched: Bool[np.ndarray, "h w"]


def drawn(picture: UInt8[np.ndarray, "h w 3"], ear: Setback) -> Layer | None:
    """The ear set back; None where no ear lies in the picture."""
    window = around(ear, picture.shape)
    if window is None:
        return None
    part = np.ascontiguousarray(picture[window]).astype(np.float32)
    corner, mm = np.array([window[1].start, window[0].start]), ear.frame.px_per_mm
    place = np.stack(np.meshgrid(np.arange(part.shape[1]), np.arange(part.shape[0])), -1).astype(np.float32)
    s = from_outline(ear, part.shape[:2], corner)
    behind = surroundings(ear, part, s, place + corner)
    before, own = cut_out(part, behind, s, max(RIM_MM * mm, 1.0))
    u = motion_px(ear, corner, part.shape[:2])
    at = (place + u)[..., 0], (place + u)[..., 1]
    after = cv2.remap(before, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    color = cv2.remap(own, *at, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
    color += (1 - after)[..., None] * behind
    shown = np.maximum(before, after)  # elsewhere the picture itself, and over a pixel's width on the way there
    reach = cv2.dilate((s > -CLEAR_MM * mm).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    touched = (np.abs(u).max(-1) > 1e-3) & (reach | (shown > 0.004))
    out = np.where(touched[..., None], np.clip(color + 0.5, 0, 255).astype(np.uint8), picture[window])
    return Layer(window, out, u, before, after, touched)


def cut_out(part: Float[np.ndarray, "h w 3"], behind: Float[np.ndarray, "h w 3"], s: Float[np.ndarray, "h w"],
            rim_px: float) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w 3"]]:
    """The ear's matte and its own colours times it. s: signed distance from the outline, px. What is faint of the ear
    says little of its colour; there B's error must not come along."""
    a = matte(part, behind, s, rim_px) * smoothstep((s / rim_px + 1) * 2)
    share = a[..., None]
    own = behind + (part - behind) / np.maximum(share, FAINT)
    return a, share * np.where(share < 1, own, part)


def around(ear: Setback, shape: tuple[int, ...]) -> tuple[slice, slice] | None:
    """Rows and columns about an ear and what is mirrored."""
    px = ear.frame.px(np.concatenate([ear.outline_mm, ear.outline_mm * [0, 1] + [FACE_MM, 0]]))
    reach = AROUND_MM * ear.frame.px_per_mm
    low = np.clip(np.floor(px.min(0) - reach), 0, None).astype(int)
    high = np.minimum(np.ceil(px.max(0) + reach), shape[1::-1]).astype(int)
    return None if (high - low < 8).any() else (slice(low[1], high[1]), slice(low[0], high[0]))


def from_outline(ear: Setback, shape: tuple[int, ...], corner: np.ndarray) -> Float[np.ndarray, "h w"]:
    """Signed distance (px, positive inside) from the ear's outline; of the face beside it, where nothing moves, too.
    Drawn finer where pixels are large, or the rim would be as ragged as a mask."""
    times = int(np.clip(np.ceil(FINE / ear.frame.px_per_mm), 1, 4))
    ends = ear.outline_mm[[-1, 0]] * [0, 1] + [FACE_MM, 0]
    ring = (ear.frame.px(np.concatenate([ear.outline_mm, ends])) - corner + 0.5) * times - 0.5
    inside = np.zeros((shape[0] * times, shape[1] * times), np.uint8)
    cv2.fillPoly(inside, [np.rint(ring * 16).astype(np.int32)], 1, shift=4)
    s = signed_distance(inside > 0) / times
    return s if times == 1 else cv2.resize(s, shape[::-1], interpolation=cv2.INTER_AREA)


def surroundings(ear: Setback, part: Float[np.ndarray, "h w 3"], s: Float[np.ndarray, "h w"],
                 place: Float[np.ndarray, "h w 2"]) -> Float[np.ndarray, "h w 3"]:
    """B: what is bare of the ear, mirrored. On the rim it is what lies nearest; farther in, where only what the rim
    leaves shows, what lies out from the rim: of a slender ear hair before its top lies nearer. s: signed distance from
    the outline, px; place: of every pixel in the picture."""
    mm = ear.frame.px_per_mm
    at_mm = ear.frame.mm(place)
    bare = s < -CLEAR_MM * mm
    beyond = bare & (at_mm[..., 0] > np.interp(at_mm[..., 1], ear.y_mm, ear.rim_mm))
    near = mirrored(part, bare, mm)
    inner = smoothstep((s / mm - RIM_MM) / CLEAR_MM)[..., None]
    return np.where(bare[..., None], part, near + inner * (mirrored(part, beyond, mm) - near))


def mirrored(part: Float[np.ndarray, "h w 3"], known: Bool[np.ndarray, "h w"], px_per_mm: float) -> Float[
        np.ndarray, "h w 3"]:
    """Of every pixel, what lies as far beyond the nearest known one."""
    if not known.any():
        return part
    _, number, y, x = nearest(known)
    place = np.stack(np.meshgrid(np.arange(part.shape[1]), np.arange(part.shape[0])), -1)
    mirror = np.stack([x, y], -1)[number].astype(np.float32)
    there = 2 * blurred(mirror, max(EVENLY_MM * px_per_mm, 1.0)) - place.astype(np.float32)
    return cv2.remap(part, there, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)


def motion_px(ear: Setback, corner: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "h w 2"]:
    """u of every pixel of a window, worked out on a coarser grid."""
    step = max(1, int(ear.frame.px_per_mm / GRID))
    size = (-(-shape[0] // step) + 1, -(-shape[1] // step) + 1)
    place = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), -1) * step + corner
    u = ear.back(ear.frame.mm(place.astype(float)))
    u = (ear.frame.px_per_mm * (u[..., :1] * ear.frame.out + u[..., 1:] * ear.frame.down)).astype(np.float32)
    y, x = (np.arange(n, dtype=np.float32) / step for n in shape[:2])
    return cv2.remap(u, *np.meshgrid(x, y), cv2.INTER_LINEAR)
