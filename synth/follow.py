"""Follow: what lies behind a moving contour follows it where no other picture shows it, so that nothing tears.

A nose that turns up uncovers lip that no picture shows, and the fitted nose may end a few millimetres beside the
pictured one. A motion that stops at the fitted contour tears the picture there. So skin near a contour follows its
stronger neighbours as far as it must: no two pixels part by more than `STEEPEST` of their distance, and nothing folds.
In one photo nothing else can show what was hidden, and fourfold stretched grain is seen as streaks: there the skin
behind a contour, and that beside it which the contour's motion reaches, follows more gently (`gentler`), where no
outline is near that must stay.
Letters: u motion of a pixel, to where it lay before, px.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from core.channels import length
from synth.blur import blurred
from synth.compiled import compiled
from synth.contours import Beyond

STEEPEST = 0.75
"""Neighbouring pixels part by this share of their distance: a picture is stretched no more than fourfold."""
GENTLE = 0.4
"""Where there is room, by this: stretched by two thirds, grain is skin still, and the dark under a nose no drip."""
ASIDE_MM, BEYOND_MM = 8.0, 1.5
"""Gently follows what lies behind a contour, and up to half of the first beside it, as a columella lies between two
nostrils; then less and less. Not farther than the second beyond where the contour's own motion would end: without that
the wings of a nose whose tip is turned up came 1 to 4 mm nearer to each other, which no plan asked for."""
SHARE_MM, EVEN_MM = 0.75, 0.25
"""Standard deviations over which it is evened how far skin follows gently, and what that adds to its motion."""
SAME_PX = 0.25
"""Two motions that are nearer in length may only go another way: the less, the less the gentle one counts."""
COARSE_PX, ROUNDS = 8.0, 6
"""Where the strongest motion is larger, the halved picture's pixels follow first; then so many rounds remain."""


def gentler(steep_px: Float[np.ndarray, "h w 2"], gentle_px: Float[np.ndarray, "h w 2"], contour: Beyond,
            free: Bool[np.ndarray, "h w"], room_px: Float[np.ndarray, "h w"], px_per_mm: float) -> Float[
                np.ndarray, "h w 2"]:
    """A motion that follows steeply, made gentler behind the contours as far as there is room.

    gentle_px: the motion that follows by `GENTLE`. free: skin that may follow. room_px: of each pixel, the way left to
    where all stays.
    """
    before = cv2.distanceTransform((~contour.behind).astype(np.uint8), cv2.DIST_L2, 5)
    aside = np.clip(2 - 2 * before / (ASIDE_MM * px_per_mm), 0, 1)
    ahead = blurred(length(contour.flow_px), px_per_mm) + GENTLE * (BEYOND_MM * px_per_mm - contour.distance_px)
    least, most = length(steep_px), length(gentle_px)
    wider = np.maximum(most - least, SAME_PX)
    fits = np.clip((np.minimum(np.minimum(GENTLE * room_px, ahead), most) - least) / wider, 0, 1)
    share = blurred(aside * fits * free, max(SHARE_MM * px_per_mm, 1.0)) * free
    more = blurred(share[..., None] * (gentle_px - steep_px), max(EVEN_MM * px_per_mm, 1.0))
    return following(steep_px + np.where(free[..., None], more, 0), free)


def following(flow_px: Float[np.ndarray, "h w 2"], free: Bool[np.ndarray, "h w"], steepest: float = STEEPEST) -> Float[
        np.ndarray, "h w 2"]:
    """The motion with those pixels that are free taken along so far that none parts from a neighbour too steeply."""
    if not free.any():
        return flow_px
    rows, columns = (np.flatnonzero(free.any(axis)) for axis in (1, 0))
    part = tuple(slice(max(at[0] - 1, 0), at[-1] + 2) for at in (rows, columns))
    out = flow_px.copy()
    out[part] = relaxed(np.ascontiguousarray(flow_px[part]), free[part], steepest)
    return out


def relaxed(flow_px: Float[np.ndarray, "h w 2"], free: Bool[np.ndarray, "h w"], steepest: float) -> Float[
        np.ndarray, "h w 2"]:
    """Round by round each free pixel is drawn towards every stronger neighbour that it parts from too steeply."""
    u = flow_px.copy()
    strongest = float(length(u).max())
    rounds = int(np.ceil(strongest / steepest)) + 2
    if strongest > COARSE_PX and min(free.shape) > 1:
        u = coarse(flow_px, free, steepest)
        rounds = ROUNDS if strongest < 2 * COARSE_PX else int(strongest < 4 * COARSE_PX)
    draw(u, free, np.float32(steepest), rounds)
    return u


@compiled
def draw(u, free, steepest, rounds):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """So many rounds, or until nothing moves any more, draw every free pixel towards each of its neighbours, one
    direction after the other, if that is stronger and too far apart. Neighbours are read before they are drawn
    themselves. Only what has changed in the round before, or in this one, is looked at again."""
    height, width = free.shape
    before, now = np.zeros((2, height), np.int64), np.empty((2, height), np.int64)  # of each row, from where to where
    before[1] = width
    for _ in range(rounds):
        now[0], now[1] = width, 0
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if dy == 0 and dx == 0:
                    continue
                most = np.float32(steepest * np.sqrt(np.float64(dy * dy + dx * dx)))
                for i in range(max(-dy, 0), height - max(dy, 0)):
                    y = i if dy >= 0 else height - 1 - i + max(-dy, 0)
                    first = min(min(before[0, y], now[0, y]), min(before[0, y + dy], now[0, y + dy]) - dx)
                    last = max(max(before[1, y], now[1, y]), max(before[1, y + dy], now[1, y + dy]) - dx)
                    first, last = max(first, max(-dx, 0)), min(last, width - max(dx, 0))
                    if first < last:
                        drawn_towards(u, free, y, first, last, dy, dx, most, now)
        if now[1].max() == 0:
            break
        before[:] = now


@compiled
def drawn_towards(u, free, y, first, last, dy, dx, most, changed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Draw the free pixels of a part of a row towards their neighbours at (dy, dx), if these are stronger and more than
    `most` apart; widen what has `changed` in that row."""
    for j in range(first, last):
        x = j if dx >= 0 else last - 1 - (j - first)
        if not free[y, x]:
            continue
        there_x, there_y, here_x, here_y = u[y + dy, x + dx, 0], u[y + dy, x + dx, 1], u[y, x, 0], u[y, x, 1]
        apart_x, apart_y = there_x - here_x, there_y - here_y
        gap = np.sqrt(apart_x * apart_x + apart_y * apart_y)
        if gap > most + np.float32(1e-3) and there_x * there_x + there_y * there_y > here_x * here_x + here_y * here_y:
            u[y, x, 0] += (np.float32(1) - most / gap) * apart_x
            u[y, x, 1] += (np.float32(1) - most / gap) * apart_y
            changed[0, y], changed[1, y] = min(changed[0, y], x), max(changed[1, y], x + 1)


def coarse(flow_px: Float[np.ndarray, "h w 2"], free: Bool[np.ndarray, "h w"], steepest: float) -> Float[
        np.ndarray, "h w 2"]:
    """The motion with those pixels that follow in the halved picture, and move more for it, moved as they do there."""
    to = free.shape[::-1]
    size = ((to[0] + 1) // 2, (to[1] + 1) // 2)
    small, where = (cv2.resize(f, size, interpolation=cv2.INTER_NEAREST_EXACT)
                    for f in (flow_px, free.astype(np.uint8)))
    drawn = 2 * relaxed(small / 2, where > 0, steepest)
    changed = cv2.resize((length(drawn - small) > 1e-3).astype(np.float32), to, interpolation=cv2.INTER_LINEAR) > 0
    drawn = cv2.resize(drawn, to, interpolation=cv2.INTER_LINEAR)
    return np.where((free & changed & (length(drawn) > length(flow_px)))[..., None], drawn, flow_px)
