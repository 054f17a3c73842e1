"""Follow: where one picture is all there is, what lies behind a moving contour follows it, so that nothing tears.

A nose that turns up uncovers lip that no picture shows, and the fitted nose may end a few millimetres beside the pictured
one. A motion that stops at the fitted contour tears the picture there. So skin near a contour follows its strongest
neighbours as far as it must: no two pixels part by more than `STEEPEST` of their distance, and nothing folds (`previsage.
photo_modes.eased` does the same with landmarks).
Letters: u motion of a pixel (to where it lay before, px), v that of the pixel that leads it, t how far that one is.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from core.channels import length

STEEPEST = 0.65
"""Neighbouring pixels part by this share of their distance: a picture is stretched less than threefold."""
COARSE_PX, ROUNDS = 8.0, 4
"""Where the strongest motion is larger, leaders are first sought in the halved picture, then so many pixels around."""
AROUND = tuple((y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x)


def following(flow_px: Float[np.ndarray, "h w 2"], free: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "h w 2"]:
    """The motion with those pixels that are free taken along so far that none parts from a neighbour too steeply."""
    if not free.any():
        return flow_px
    rows, columns = (np.flatnonzero(free.any(axis)) for axis in (1, 0))
    part = tuple(slice(max(at[0] - 1, 0), at[-1] + 2) for at in (rows, columns))
    own, out = flow_px[part], flow_px.copy()
    lead, away = leaders(own, free[part])
    apart = lead - own
    share = np.clip(1 - STEEPEST * away / np.maximum(length(apart), 1e-6), 0, 1)
    out[part] = own + (share * free[part])[..., None] * apart
    return out


def leaders(flow_px: Float[np.ndarray, "h w 2"], free: Bool[np.ndarray, "h w"]) -> tuple[
        Float[np.ndarray, "h w 2"], Float[np.ndarray, "h w"]]:
    """For each pixel v of the one under whose cone |v| - STEEPEST t it lies deepest, and t; itself and 0 outside `free`."""
    lead, away, height = flow_px.copy(), np.zeros(free.shape, np.float32), length(flow_px).copy()
    rounds = int(np.ceil(height.max() / STEEPEST)) + 1
    if height.max() > COARSE_PX and min(free.shape) > 1:
        halved(lead, away, height, free)
        rounds = ROUNDS
    for _ in range(rounds):
        changed = False
        for dy, dx in AROUND:
            there, here = shifted(free.shape, dy, dx), shifted(free.shape, -dy, -dx)
            step = np.float32(np.hypot(dy, dx))
            higher = (height[there] - STEEPEST * step > height[here] + 1e-4) & free[here]
            if higher.any():
                changed = True
                for field, more in ((height, -STEEPEST * step), (away, step), (lead, np.float32(0))):
                    field[here][higher] = field[there][higher] + more
        if not changed:
            break
    return lead, away


def halved(lead: Float[np.ndarray, "h w 2"], away: Float[np.ndarray, "h w"], height: Float[np.ndarray, "h w"],
           free: Bool[np.ndarray, "h w"]) -> None:
    """Leaders by the halved picture, written over the pixels' own where they are higher; a little far away, so that
    those found in this picture are preferred."""
    to = free.shape[::-1]
    size = ((to[0] + 1) // 2, (to[1] + 1) // 2)
    small, where = (cv2.resize(f, size, interpolation=cv2.INTER_NEAREST_EXACT) for f in (lead, free.astype(np.uint8)))
    found, far = leaders(small / 2, where > 0)
    found, far = (2 * cv2.resize(f, to, interpolation=cv2.INTER_LINEAR) for f in (found, far))
    far += 2
    level = length(found) - STEEPEST * far
    higher = (level > height) & free
    lead[higher], away[higher], height[higher] = found[higher], far[higher], level[higher]


def shifted(shape: tuple[int, ...], dy: int, dx: int) -> tuple[slice, slice]:
    """The pixels of a picture that have a neighbour at (-dy, -dx)."""
    return (slice(max(dy, 0), shape[0] + min(dy, 0)), slice(max(dx, 0), shape[1] + min(dx, 0)))
