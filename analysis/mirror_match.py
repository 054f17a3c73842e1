"""Mirror matching: how far a piece of a face lies from where its mirror image would have it, from the pixels.

A landmark detector has learnt that faces are symmetric: of a nose that stands 6 mm aside it shows 0.3 mm. So pieces of
the rectified photo are laid on their own mirror images. Letters: p a piece of the picture, q its mirrored twin;
score = mean over three channels (brightness, its slope across and down) of the normalised correlation, -1..1.
A pair: p about a place on the left is sought about the mirrored right, and the other way round. A midline piece: the
column is sought about which the piece is its own mirror image.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from analysis.rectify import STEP_MM, Rectified
from core.records import record

REACH_MM = 13.0
"""A pair's pieces are sought so far from each other; a midline piece half as far beside the middle."""
HOME_MM, MIDDLE_HOME_MM, HOME = 4.0, 9.0, 0.1
"""What is far from where it is expected is believed less: so far away the score loses HOME."""
LEAST_SCORE, LEAST_SEEN = 0.35, 0.8
"""Below this likeness, or share of seen skin, nothing is said."""
LEAST_CONTRAST = 0.004
"""Log brightness that varies by less is flat skin: noise would be matched."""
RIVAL_MM, RIVAL = 3.0, 0.95
"""Another place so far from the best that is nearly as good: nothing is said."""


@record
class Match:
    """How a piece departs from symmetry. shift_mm: its middle beside the midline, positive to the patient's left.
    height_mm: the left higher than the right; 0 for a midline piece. score: likeness. doubt_mm: how far the two
    directions of a pair disagree, or how flat the best score is."""

    shift_mm: float
    height_mm: float
    score: float
    doubt_mm: float


def channels(detail: Float[np.ndarray, "h w"]) -> list[np.ndarray]:
    """Brightness and its slopes; the slope across changes sign in the mirror by itself when the picture is mirrored."""
    return [detail, cv2.Sobel(detail, cv2.CV_32F, 1, 0), cv2.Sobel(detail, cv2.CV_32F, 0, 1)]


def pair_match(front: Rectified, x_mm: float, y_mm: float, size_mm: tuple[float, float],
               home_mm: float = 0.0) -> Match | None:
    """The left piece about (x, y) and its twin about (-x, y); None where too little is seen or alike. home_mm: the
    height that is expected."""
    mirrored, seen = np.ascontiguousarray(front.detail[:, ::-1]), front.seen[:, ::-1]
    at = front.place(x_mm, y_mm)
    if min(shown(front.seen, at, size_mm), shown(seen, at, size_mm)) < LEAST_SEEN:
        return None
    if min(contrast(front.detail, at, size_mm), contrast(mirrored, at, size_mm)) < LEAST_CONTRAST:
        return None
    there = best(searched(front.detail, mirrored, at, size_mm), home_mm)
    back = best(searched(mirrored, front.detail, at, size_mm), -home_mm)
    if there is None or back is None:
        return None
    (dx, dy, score), (bx, by, other) = there, back
    across, down = (dx - bx) / 2, (dy - by) / 2
    return Match(shift_mm=-across / 2, height_mm=down, score=min(score, other),
                 doubt_mm=float(np.hypot(dx + bx, dy + by)) / 2)


def shown(seen: Bool[np.ndarray, "h w"], at: tuple[int, int], size_mm: tuple[float, float]) -> float:
    """Share of a box that is seen; 0 when it leaves the picture."""
    w, h = half(size_mm)
    x, y = at
    if x < w or y < h or x + w >= seen.shape[1] or y + h >= seen.shape[0]:
        return 0.0
    return float(seen[y - h:y + h + 1, x - w:x + w + 1].mean())


def contrast(detail: Float[np.ndarray, "h w"], at: tuple[int, int], size_mm: tuple[float, float]) -> float:
    """Standard deviation of a box's log brightness."""
    (w, h), (x, y) = half(size_mm), at
    return float(detail[y - h:y + h + 1, x - w:x + w + 1].std())


def half(size_mm: tuple[float, float]) -> tuple[int, int]:
    """Half a box in pixels of the frontal picture."""
    return round(size_mm[0] / 2 / STEP_MM), round(size_mm[1] / 2 / STEP_MM)


def searched(source: Float[np.ndarray, "h w"], target: Float[np.ndarray, "h w"], at: tuple[int, int],
             size_mm: tuple[float, float]) -> Float[np.ndarray, "s s"]:
    """Score of every displacement up to REACH_MM, (rows, columns); places outside the picture are padded with zeros."""
    (w, h), reach = half(size_mm), round(REACH_MM / STEP_MM)
    x, y = at[0] + reach, at[1] + reach
    wide = cv2.copyMakeBorder(target, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    window = wide[y - h - reach:y + h + reach + 1, x - w - reach:x + w + reach + 1]
    piece = source[at[1] - h:at[1] + h + 1, at[0] - w:at[0] + w + 1]
    found = [cv2.matchTemplate(t, p, cv2.TM_CCOEFF_NORMED)
             for t, p in zip(channels(window), channels(piece), strict=True)]
    return np.nan_to_num(np.mean(found, axis=0))


def best(score: Float[np.ndarray, "s s"], home_mm: float = 0.0) -> tuple[float, float, float] | None:
    """Displacement (mm, x right, y down) and likeness of the best place; None when it is poor, at the border, or has a
    rival."""
    reach = len(score) // 2
    dy, dx = (np.indices(score.shape) - reach) * STEP_MM
    judged = score - HOME * (dx**2 + (dy - home_mm) ** 2) / HOME_MM**2
    row, column = (int(k) for k in np.unravel_index(int(np.argmax(judged)), judged.shape))
    if not (0 < row < 2 * reach and 0 < column < 2 * reach) or score[row, column] < LEAST_SCORE:
        return None
    far = np.hypot(dx - dx[row, column], dy - dy[row, column]) > RIVAL_MM
    if judged[far].max() > RIVAL * judged[row, column]:
        return None
    row, column = top(score, row, column)
    off_y, off_x = peak(score[row - 1:row + 2, column]), peak(score[row, column - 1:column + 2])
    return float(dx[row, column] + off_x * STEP_MM), float(dy[row, column] + off_y * STEP_MM), float(score[row, column])


def top(score: Float[np.ndarray, "s s"], row: int, column: int) -> tuple[int, int]:
    """The best likeness within two steps: what is expected chooses the hill, and does not move its top."""
    end = len(score) - 2
    rows, columns = (slice(max(k - 2, 1), min(k + 2, end) + 1) for k in (row, column))
    near = score[rows, columns]
    k = np.unravel_index(int(np.argmax(near)), near.shape)
    return rows.start + int(k[0]), columns.start + int(k[1])


def peak(three: Float[np.ndarray, "3"]) -> float:
    """Where the parabola through three neighbours is highest, in steps from the middle one."""
    bend = three[0] - 2 * three[1] + three[2]
    return float(np.clip((three[0] - three[2]) / (2 * bend), -0.5, 0.5)) if bend < 0 else 0.0


def middle_match(front: Rectified, y_mm: float, size_mm: tuple[float, float]) -> Match | None:
    """A midline piece at a height; None where too little is seen or like its mirror image."""
    (w, h), reach = half(size_mm), round(REACH_MM / 2 / STEP_MM)
    column, row = front.place(0.0, y_mm)
    rows = slice(row - h, row + h + 1)
    if row < h or row + h >= len(front.seen):
        return None
    scores = np.array([own_mirror(front, rows, slice(c - w, c + w + 1))
                       for c in range(column - reach, column + reach + 1)])
    if not np.isfinite(scores).any():
        return None
    off = np.arange(-reach, reach + 1) * STEP_MM
    judged = np.where(np.isfinite(scores), scores - HOME * (2 * off / MIDDLE_HOME_MM) ** 2, -1)
    k = int(np.argmax(judged))
    if not 0 < k < 2 * reach or scores[k] < LEAST_SCORE:
        return None
    far = np.abs(off - off[k]) > RIVAL_MM
    if judged[far].max() > RIVAL * judged[k]:
        return None
    good = off[judged > judged[k] - 0.03]
    return Match(shift_mm=float(off[k] + peak(scores[k - 1:k + 2]) * STEP_MM), height_mm=0.0, score=float(scores[k]),
                 doubt_mm=float(good.max() - good.min()) / 4)


def own_mirror(front: Rectified, rows: slice, columns: slice) -> float:
    """Likeness of a piece to its own mirror image, over what is seen on both sides; NaN where that is too little."""
    seen = front.seen[rows, columns]
    both = seen & seen[:, ::-1]
    if both.size == 0 or both.mean() < 0.6:
        return float("nan")
    piece = np.ascontiguousarray(front.detail[rows, columns])
    twins = channels(np.ascontiguousarray(piece[:, ::-1]))
    return float(np.mean([correlation(a[both], b[both]) for a, b in zip(channels(piece), twins, strict=True)]))


def correlation(a: Float[np.ndarray, "n"], b: Float[np.ndarray, "n"]) -> float:
    """Normalised correlation; 0 for flat pieces."""
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).sum() / max(float(np.sqrt((a * a).sum() * (b * b).sum())), 1e-9))
