"""Silhouette: the fitted head's outline is laid, in the picture, on the photographed one.

A head fitted to a few photographs ends some millimetres before or beyond the chin and the far cheek that one of them
shows. What bends at the fitted outline would then leave a rim of the person where it was, or bend the wall. So along
the fitted outline the picture is asked where the person ends, and the head is moved there, less and less inwards.
Letters: E an outline pixel, n its outward normal, t along it (px), m(t) how unlike the backdrop the picture is, r the
motion of a piece of the fitted head, as in `register`.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from core.channels import length
from core.correspondence import Correspondence
from core.records import record
from synth.backdrop import NOISE, Plate, backdrop, signed_distance, smoothstep
from synth.blur import blurred

FEWEST = 20
"""Outline pixels that tell; fewer are chance."""
SOFT_PX = 4.0
"""The lens and the picture's sharpening blur an outline no farther."""
MOST = 90
"""Percentile of the distances between both outlines that says how far they lie apart."""


@record
class SilhouetteOptions:
    """reach_mm: so far from the fitted outline the photographed one is looked for. clear: share of the pixels along t
    that may be on the wrong side of it. beside_mm: skin so far inside tells what the person looks like, and alike (grey
    levels) how much what lies beyond the fitted outline may differ from it: hair is no skin. even_mm: over which r is
    evened along the outline; stray_mm: what lies so far from the even one is left out. inside_mm: r ends so far inside.
    from_mm, to_mm: an outline that lies
    so far off is laid over, from the second in full: a nearer one is met by the matte. found: the person as found tells
    alone what the backdrop is, within the fitted outline, too."""

    reach_mm: float = 7.0
    clear: float = 0.08
    beside_mm: float = 3.0
    alike: float = 60.0
    even_mm: float = 3.0
    stray_mm: float = 1.5
    inside_mm: float = 15.0
    from_mm: float = 1.5
    to_mm: float = 2.5
    found: bool = False


SILHOUETTE = SilhouetteOptions()
FINE = 3.0
"""What lies behind is continued in a picture of so many px per mm."""


def outline_off(frame: Float[np.ndarray, "h w 3"], flow: Correspondence, plate: Plate | None,
                person: Bool[np.ndarray, "h w"] | None, person_mm: float,
                options: SilhouetteOptions = SILHOUETTE) -> Float[np.ndarray, "h w 2"] | None:
    """r of every pixel of the window, px; None where the outline is met, or nothing tells where it is.

    person: who is seen, roughly: nothing nearer to it than person_mm is taken for the backdrop.
    """
    mm = flow.px_per_mm
    s = signed_distance(np.isfinite(flow.depth_before_mm))
    y, x = np.nonzero((s > 0) & (s < 1.5) & (flow.mask > 0))
    if len(y) < FEWEST:
        return None
    free = s < -options.reach_mm * mm
    if person is not None:
        away = signed_distance(person) < -person_mm * mm
        free = away if options.found else free & away
    if not free.any() and plate is None:
        return None
    near = np.abs(s) < options.reach_mm * mm + 2
    behind = backdrop(frame.astype(np.uint8), free, near, plate) if plate is not None else coarse(frame, free, near, mm)
    even = blurred(s, max(0.7 * mm, 1.0))
    out = -np.stack([cv2.Sobel(even, cv2.CV_32F, 1, 0), cv2.Sobel(even, cv2.CV_32F, 0, 1)], -1)
    out /= np.maximum(length(out), 1e-6)[..., None]
    off, told = asked(frame, behind, (y, x), out[y, x], mm, options)
    if options.found:
        off = np.minimum(off, 0)
    if told.sum() < FEWEST:
        return None
    r = spread(s.shape, (y, x), out[y, x] * off[:, None], told, options.even_mm * mm)
    told &= np.linalg.norm(out[y, x] * off[:, None] - r[y, x], axis=1) < options.stray_mm * mm
    r = spread(s.shape, (y, x), out[y, x] * off[:, None], told, options.even_mm * mm)
    off_mm = float(np.percentile(length(r[y, x]), MOST)) / mm
    counts = smoothstep(np.full(1, (off_mm - options.from_mm) / (options.to_mm - options.from_mm)))
    if not counts.any():
        return None
    faded: np.ndarray = r * (counts * smoothstep(1 - np.abs(s) / (options.inside_mm * mm)))[..., None]
    return faded.astype(np.float32)


def coarse(frame: Float[np.ndarray, "h w 3"], free: Bool[np.ndarray, "h w"], near: Bool[np.ndarray, "h w"],
           mm: float) -> Float[np.ndarray, "h w 3"]:
    """`backdrop` of a picture reduced by a whole factor to no less than `FINE` px a millimetre: where the person ends,
    is asked in steps of a quarter of one."""
    step = max(1, int(mm / FINE))
    if step == 1:
        return backdrop(frame.astype(np.uint8), free, near, None)
    height, width = free.shape
    size = (-(-width // step), -(-height // step))
    wide = cv2.copyMakeBorder(frame, 0, size[1] * step - height, 0, size[0] * step - width, cv2.BORDER_REPLICATE)
    small = cv2.resize(wide, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    known, wanted = (cv2.resize(cv2.copyMakeBorder(m.astype(np.float32), 0, size[1] * step - height, 0,
                                                   size[0] * step - width, cv2.BORDER_REPLICATE), size,
                                interpolation=cv2.INTER_AREA) for m in (free, near))
    behind = backdrop(small, known == 1, wanted > 0, None)
    return cv2.resize(behind, (size[0] * step, size[1] * step), interpolation=cv2.INTER_LINEAR)[:height, :width]


def asked(frame: Float[np.ndarray, "h w 3"], behind: Float[np.ndarray, "h w 3"],
          edge: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]], out: Float[np.ndarray, "n 2"], mm: float,
          options: SilhouetteOptions) -> tuple[Float[np.ndarray, "n"], Bool[np.ndarray, "n"]]:
    """Where along n the person ends, px from E, and whether that is clear.

    It ends where the fewest pixels are on the wrong side: like the backdrop before it, unlike it beyond; to less than a
    pixel by how much of the person is in those around.
    """
    y, x = edge
    step, reach = max(0.5, mm / 4), options.reach_mm * mm
    t = np.arange(-reach, reach + step / 2, step, dtype=np.float32)
    at = (x[:, None] + out[:, :1] * t).astype(np.float32), (y[:, None] + out[:, 1:] * t).astype(np.float32)
    color, wall = (cv2.remap(p, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for p in (frame, behind))
    m = smoothstep((length(color - wall) - NOISE) / (2.5 * NOISE))
    wrong = np.pad(np.cumsum(1 - 2 * m, 1), ((0, 0), (1, 0))) + m.sum(1, keepdims=True)
    end = wrong.argmin(1)
    told = (wrong.min(1) < options.clear * len(t)) & (end > mm / step) & (end < len(t) - mm / step)
    number, beside = np.arange(len(t)), options.beside_mm * mm / step
    last = (number < end[:, None]) & (number >= end[:, None] - beside)
    own = (t > -2 * options.beside_mm * mm) & (t < -options.beside_mm * mm) & (number < end[:, None])
    apart = length(mean_of(color, last) - mean_of(color, own))
    soft = int(np.ceil(SOFT_PX / step))
    skin = mean_of(color, (number < end[:, None] - soft) & (number >= end[:, None] - 2 * soft))
    around = np.abs(number + 0.5 - end[:, None]) < soft
    share = np.clip(((color - wall) * (skin[:, None] - wall)).sum(-1) / np.maximum(
        ((skin[:, None] - wall) ** 2).sum(-1), 1), 0, 1)
    off = t[0] + (end - soft - 0.5 + (share * around).sum(1)) * step
    told &= (off < options.beside_mm * mm) | (apart < options.alike)
    h, w = frame.shape[:2]
    inside = (at[0] >= 0) & (at[0] <= w - 1) & (at[1] >= 0) & (at[1] <= h - 1)
    return off.astype(np.float32), told & inside.all(1)


def mean_of(color: Float[np.ndarray, "n k 3"], where: Bool[np.ndarray, "n k"]) -> Float[np.ndarray, "n 3"]:
    """The mean colour along each line."""
    total: np.ndarray = (color * where[..., None]).sum(1)
    return total / np.maximum(where.sum(1), 1)[:, None]


def spread(shape: tuple[int, ...], edge: tuple[Int[np.ndarray, "n"], Int[np.ndarray, "n"]],
           r: Float[np.ndarray, "n 2"], told: Bool[np.ndarray, "n"], sigma_px: float) -> Float[np.ndarray, "h w 2"]:
    """r of the pixels that tell, evened and carried over all others: less where fewer than half of those around
    tell."""
    y, x = edge
    known = np.zeros((*shape[:2], 4), np.float32)
    known[y, x, :2] = np.where(told[:, None], r, 0)
    known[y, x, 2] = told
    known[y, x, 3] = 1
    wide = blurred(known, max(sigma_px, 1.0))
    return wide[..., :2] / np.maximum(np.maximum(wide[..., 2], 0.5 * wide[..., 3]), 1e-9)[..., None]
