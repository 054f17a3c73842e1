"""What follows a photoreal picture: its colours drawn back to the photo's, its sharpness too, and a seamless edge.

All three change pixels only where the mask is above 0, and nothing where the picture already is the photo: the same
bytes come back. CIELAB is that of sRGB under D65 (OpenCV's float conversion), L in 0..100.

colours    histogram matching (R. Gonzalez and R. Woods, Digital Image Processing, section 3.3) in each channel of LAB,
           not of the whole mask but of overlapping tiles, so that lips give nothing to skin; what it may shift a colour
           by is limited, so that a changed share of shadow does not drag the rest along.
sharpness  unsharp masking of L with an amount that brings fine contrast up to the photo's, never beyond.
edge       Laplacian pyramids (P. Burt and E. Adelson, ACM TOG 2, 1983): coarse light is mixed over wide, grain over
           narrow zones; a bounded ramp inside the mask makes its edge exact.
"""

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.errors import UsageError
from core.records import record
from synth.thinplate import smoothstep

Picture = UInt8[np.ndarray, "h w 3"]
Made = UInt8[np.ndarray, "ph pw 3"]
Mask = Float[np.ndarray, "mh mw"]
BINS = 1024
RANGES = ((0.0, 100.0), (-128.0, 128.0), (-128.0, 128.0))
"""Of L, a, b."""
SHARES = np.linspace(0, 1, 33)
"""Of the cumulated histogram, at which two of them are compared."""
LEAST_WEIGHT = 64.0
"""Pixels a tile needs to tell a histogram; emptier ones follow their neighbours."""


@record
class PostOptions:
    """tiles: colour tiles across the mask's longer side. most_shift: limit of the colours' shift (L, a, b).

    sharpen: most that fine contrast is multiplied by (1 leaves it). radius_share: scale of the fine contrast, as a
    share of the mask's longer side (at least 0.7 px). levels: of the pyramids. ramp_share: width of the ramp inside the
    mask's edge, as a share of its longer side (at least 2 px).
    """

    tiles: int = 4
    most_shift: tuple[float, float, float] = (12.0, 8.0, 8.0)
    sharpen: float = 1.6
    radius_share: float = 0.004
    levels: int = 6
    ramp_share: float = 0.04


POST = PostOptions()


def finish(picture: Made, photo: Picture, mask: Mask, options: PostOptions = POST,
           restore: Callable[[Picture], Picture] | None = None) -> Picture:
    """Restore (when a restorer is handed in), match colours, sharpen and blend into the photo; in this order."""
    check(picture, photo, mask)
    made = picture if restore is None else restore(picture)
    made = match_colours(made, photo, mask, options)
    made = match_sharpness(made, photo, mask, options)
    return blend(made, photo, mask, options)


def check(picture: Made, photo: Picture, mask: Mask) -> None:
    """UsageError: the three are not of one size."""
    if picture.shape != photo.shape or mask.shape != photo.shape[:2]:
        raise UsageError("picture_size", f"The picture is {picture.shape[1]}x{picture.shape[0]}, the photo "
                         f"{photo.shape[1]}x{photo.shape[0]}, the mask {mask.shape[1]}x{mask.shape[0]} px.",
                         "Give three of one size.")


def window_of(mask: Mask, margin_px: int) -> tuple[slice, slice] | None:
    """The rows and columns of the mask with a margin inside the picture; None when it covers nothing."""
    if not np.any(mask > 0):
        return None
    x, y, w, h = cv2.boundingRect((mask > 0).astype(np.uint8))
    return (slice(max(y - margin_px, 0), y + h + margin_px), slice(max(x - margin_px, 0), x + w + margin_px))


def lab_of(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """CIELAB."""
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def shifted(picture: UInt8[np.ndarray, "h w 3"], lab: Float[np.ndarray, "h w 3"], shift: Float[np.ndarray, "h w 3"],
            ) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with its LAB shifted; a pixel that is not shifted keeps its bytes (LAB and back may round)."""
    rgb = cv2.cvtColor((lab + shift).astype(np.float32), cv2.COLOR_LAB2RGB)
    moved = np.abs(shift).max(-1) > 1e-3
    return np.where(moved[..., None], np.rint(np.clip(rgb, 0, 1) * 255), picture).astype(np.uint8)


def match_colours(picture: Made, photo: Picture, mask: Mask, options: PostOptions = POST) -> Picture:
    """The picture with the colours of the photo's same places, inside the mask."""
    check(picture, photo, mask)
    window = window_of(mask, 0)
    if window is None:
        return picture.copy()
    weight = mask[window].astype(float)
    source, target = lab_of(picture[window]), lab_of(photo[window])
    shift = np.zeros(source.shape, np.float32)
    for k in range(3):
        limit = options.most_shift[k]
        shift[..., k] = np.clip(tiled_shift(source[..., k], target[..., k], weight, RANGES[k], options.tiles),
                                -limit, limit)
    result = picture.copy()
    result[window] = shifted(picture[window], source, shift * weight[..., None].astype(np.float32))
    return result


def tiled_shift(source: Float[np.ndarray, "h w"], target: Float[np.ndarray, "h w"], weight: Float[np.ndarray, "h w"],
                span: tuple[float, float], tiles: int) -> Float[np.ndarray, "h w"]:
    """What brings each tile's histogram to the target's, mixed linearly between the tiles' middles."""
    height, width = source.shape
    side = max(height, width) / tiles
    rows, columns = hats(height, side), hats(width, side)
    total, weights = np.zeros(source.shape), np.zeros(source.shape)
    for down in rows:
        for across in columns:
            y, x = np.flatnonzero(down)[[0, -1]], np.flatnonzero(across)[[0, -1]]
            here = (slice(y[0], y[1] + 1), slice(x[0], x[1] + 1))
            hat = np.outer(down[here[0]], across[here[1]])
            share = hat * weight[here]
            if share.sum() < LEAST_WEIGHT:
                continue
            told = shift_of(source[here], target[here], share, span)
            total[here] += hat * told
            weights[here] += hat
    return np.divide(total, weights, out=np.zeros(source.shape), where=weights > 1e-6)


def hats(length: int, side: float) -> Float[np.ndarray, "n length"]:
    """Linear windows about middles `side` apart, which add up to 1."""
    count = max(1, min(round(length / side), length // 8))
    middle = (np.arange(count) + 0.5) * length / count - 0.5
    at = np.clip(np.arange(length), middle[0], middle[-1])
    return np.stack([np.interp(at, middle, row) for row in np.eye(count)]) if count > 1 else np.ones((1, length))


def shift_of(source: Float[np.ndarray, "h w"], target: Float[np.ndarray, "h w"], weight: Float[np.ndarray, "h w"],
             span: tuple[float, float]) -> Float[np.ndarray, "h w"]:
    """Histogram matching of one channel: for each value, the target's value at the same share, minus the value."""
    known, wanted = (quantiles(values, weight, span) for values in (source, target))
    rising = np.concatenate([[True], np.diff(known) > 1e-6])
    return np.interp(source, known[rising], (wanted - known)[rising])


def quantiles(values: Float[np.ndarray, "h w"], weight: Float[np.ndarray, "h w"], span: tuple[float, float],
              ) -> Float[np.ndarray, "s"]:
    """Values below which the given shares of the weight lie."""
    low, high = span
    place = np.clip((values - low) * (BINS / (high - low)), 0, BINS - 1).astype(int)
    count = np.bincount(place.ravel(), weight.ravel(), BINS)
    upper = np.cumsum(count) / count.sum()
    edges = low + np.arange(BINS + 1) * (high - low) / BINS
    return np.interp(SHARES, np.concatenate([[0.0], upper]) + 1e-12 * np.arange(BINS + 1), edges)


def match_sharpness(picture: Made, photo: Picture, mask: Mask, options: PostOptions = POST) -> Picture:
    """Fine contrast of the luminance inside the mask, brought up to the photo's; a sharper picture stays as it is."""
    check(picture, photo, mask)
    window = window_of(mask, 8)
    if window is None:
        return picture.copy()
    weight = mask[window].astype(np.float32)
    radius = max(0.7, options.radius_share * max(weight.shape))
    lab, light = lab_of(picture[window]), lab_of(photo[window])[..., 0]
    fine = lab[..., 0] - cv2.GaussianBlur(lab[..., 0], (0, 0), radius)
    wanted = light - cv2.GaussianBlur(light, (0, 0), radius)
    have = np.sqrt((weight * fine**2).sum())
    gain = min(np.sqrt((weight * wanted**2).sum()) / max(have, 1e-9), options.sharpen) - 1
    if gain <= 1e-3:
        return picture.copy()
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(2 * radius) + 1,) * 2)
    low, high = cv2.erode(lab[..., 0], around), cv2.dilate(lab[..., 0], around)
    room = 0.25 * (high - low)  # beyond its neighbours by a quarter of their contrast: more would be a halo
    shift = np.zeros_like(lab)
    shift[..., 0] = weight * (np.clip(lab[..., 0] + gain * fine, low - room, high + room) - lab[..., 0])
    result = picture.copy()
    result[window] = shifted(picture[window], lab, shift)
    return result


def blend(picture: Made, photo: Picture, mask: Mask, options: PostOptions = POST) -> Picture:
    """The picture where the mask is 1, the photo where it is 0: mixed scale by scale between, exact at the mask's edge.

    A small mask gets fewer levels, lest coarse ones take its middle, too, for an edge.
    """
    check(picture, photo, mask)
    window = window_of(mask, 2**options.levels)
    if window is None:
        return photo.copy()
    weight = mask[window].astype(np.float32)
    one, other = (p[window].astype(np.float32) for p in (picture, photo))
    mixed = pyramids_mixed(one, other, weight, levels_for(weight, options.levels))
    ramp = max(2.0, options.ramp_share * max(np.ptp(np.argwhere(weight > 0), axis=0)))
    cut = cv2.copyMakeBorder((weight > 0).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    far = cv2.distanceTransform(cut, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1] if not cut.all() \
        else np.full(weight.shape, np.inf, np.float32)
    edge = smoothstep(far / ramp).astype(np.float32)[..., None]
    result = photo.copy()
    result[window] = np.where(weight[..., None] > 0, np.rint(np.clip(other + edge * (mixed - other), 0, 255)),
                              photo[window]).astype(np.uint8)
    return result


def levels_for(mask: Float[np.ndarray, "h w"], wanted: int) -> int:
    """As many levels as leave the mask's middle to the picture: the coarsest one's pixel is 1/8 of the mask's width."""
    extent = np.ptp(np.argwhere(mask > 0.5), axis=0).min(initial=1 << 30) if np.any(mask > 0.5) else 1
    return int(np.clip(np.log2(max(extent, 1) / 8) + 1, 1, wanted))


def pyramids_mixed(one: Float[np.ndarray, "h w 3"], other: Float[np.ndarray, "h w 3"], weight: Float[np.ndarray, "h w"],
                   levels: int) -> Float[np.ndarray, "h w 3"]:
    """other + the difference's Laplacian pyramid, weighted level by level with the mask's Gaussian pyramid."""
    difference, masks = [one - other], [weight]  # both pyramids are linear, so one of the difference is enough
    for _ in range(levels - 1):
        difference.append(cv2.pyrDown(difference[-1]))
        masks.append(cv2.pyrDown(masks[-1]))
    mixed = difference[-1] * masks[-1][..., None]
    for fine, coarse, mask in zip(difference[-2::-1], difference[:0:-1], masks[-2::-1], strict=True):
        size = (fine.shape[1], fine.shape[0])
        mixed = cv2.pyrUp(mixed, dstsize=size) + (fine - cv2.pyrUp(coarse, dstsize=size)) * mask[..., None]
    return other + mixed
