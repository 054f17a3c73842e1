"""Rigid parts: what no operation on the skin bends, found by the 478 landmarks of a picture: eyeballs and teeth."""

import cv2
import numpy as np
from jaxtyping import Bool, Float

EYES = ((33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7),
        (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249))
"""The lids' edges round the right and the left eye (MediaPipe's numbers)."""
INNER_LIPS = (80, 81, 82, 13, 312, 311, 310, 318, 402, 317, 14, 87, 178, 88)
"""Where teeth show: the inner edge of the lips without the corners, which are skin and move with it."""
OPEN_SHARE = 0.06
"""Of the mouth's width: lips that part by less show no teeth."""
FRACTION = 4
"""cv2 counts polygon corners in 2^-FRACTION px."""


def rigid_parts(points_px: Float[np.ndarray, "478 2"], shape: tuple[int, int],
                seen: Bool[np.ndarray, "478"] | None = None) -> Bool[np.ndarray, "h w"]:
    """Sclera and iris between the lids, and the mouth's opening where the lips part, in a picture of `shape` (h, w).

    seen: landmarks that are not hidden; an eye of which less than half is seen holds nothing.
    """
    mask = np.zeros(shape, np.uint8)
    outlines: list[tuple[int, ...]] = [eye for eye in EYES if seen is None or seen[list(eye)].mean() >= 0.5]
    if mouth_open(points_px):
        outlines.append(INNER_LIPS)
    for outline in outlines:
        corners = np.rint(points_px[list(outline)] * 2**FRACTION).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1, shift=FRACTION)
    return mask > 0


def far_eyes(points_px: Float[np.ndarray, "478 2"], shape: tuple[int, int], seen: Bool[np.ndarray, "478"],
             reach_px: float) -> Bool[np.ndarray, "h w"]:
    """Where an eye may peep out behind the nose: about those of which less than half is seen."""
    mask = np.zeros(shape, np.uint8)
    for eye in EYES:
        if seen[list(eye)].mean() < 0.5:
            corners = [np.rint(points_px[list(eye)] * 2**FRACTION).astype(np.int32)]
            cv2.fillPoly(mask, corners, 1, shift=FRACTION)
            cv2.polylines(mask, corners, True, 1, thickness=max(1, round(2 * reach_px)), shift=FRACTION)
    return mask > 0


def rigid_edges(points_px: Float[np.ndarray, "478 2"]) -> list[int]:
    """The landmarks on the outlines of these parts: the lids' edges, and where the lips part, theirs."""
    return [*EYES[0], *EYES[1], *(INNER_LIPS if mouth_open(points_px) else ())]


def mouth_open(points_px: Float[np.ndarray, "478 2"]) -> bool:
    """Whether the lips part so far that teeth show."""
    gap = np.linalg.norm(points_px[13] - points_px[14])
    return bool(gap > OPEN_SHARE * np.linalg.norm(points_px[78] - points_px[308]))
