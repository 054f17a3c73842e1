"""Spectacles in a picture: the dark frame, which no operation bends. Rimless and light ones are not seen.

Whether any are worn is asked elsewhere (`recon.quality.dark_lines`); here is where. The frame is what is thin and much
darker than what lies on both its sides (a closing of the picture less the picture), hangs together, and crosses the
bare skin below an eye or between the brows; lids and lashes are left out, and brows unless they are as dark as a frame.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from synth.rigid_parts import EYES

OUTER, ROOT = (33, 263), 168
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
CROSSED = ((9, 195),)
ASIDE = (((145, 50), (133, 198), (46, 123)), ((374, 280), (362, 420), (276, 352)))
"""Lines over bare skin that a frame crosses: from between the brows down the nose; of the right and of the left half
from the lower lid down the cheek, from the eye's inner corner down the nose, from the brow's end down the temple."""
TURNED = 0.8
"""The outer eye corners so much closer together than from the front: the far half's lines are hidden."""
UP, DOWN, BESIDE = 0.45, 0.45, 0.6
"""Frames lie within these shares of the distance between the outer eye corners of the line between them."""
DARK, ON_BROWS, THICK = 0.4, 0.6, 0.14
"""So much darker than beside it, as a share (more is asked on the brows); and frames are thinner than this share of
that distance."""
LASHES, EDGE = 0.05, 0.012
"""Shares of that distance: around eyes and brows nothing is taken for a frame; a frame's soft edge belongs to it."""


def frames(picture: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "478 2"], span_px: float | None = None,
           ) -> Bool[np.ndarray, "h w"]:
    """Pixels of the frame of dark spectacles that are worn; none where none is made out.

    span_px: the distance between the outer eye corners as it would be from the front; a turned head's corners lie
    closer together in the picture, while its frame is as thick as ever.
    """
    right, left = points_px[list(OUTER)]
    span = float(np.linalg.norm(left - right)) if span_px is None else span_px
    out = np.zeros(picture.shape[:2], bool)
    reach = 1.2 * span
    low = np.clip(np.floor((left + right) / 2 - reach), 0, np.array(picture.shape[1::-1]) - 2).astype(int)
    high = np.clip(np.ceil((left + right) / 2 + reach), low + 2, picture.shape[1::-1]).astype(int)
    part = np.ascontiguousarray(picture[low[1]:high[1], low[0]:high[0]])
    grey, points = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY), points_px - low
    smooth = cv2.GaussianBlur(grey, (0, 0), max(0.004 * span, 0.5)).astype(float)
    size = 2 * max(1, round(THICK * span / 2)) + 1
    beside = cv2.morphologyEx(smooth, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    dark = (smooth < (1 - DARK) * beside) & around(grey.shape, points, span)
    own = np.ones(grey.shape, bool)
    for eye, brow in zip(EYES, BROWS, strict=True):
        own &= ~grown(grey.shape, points[list(eye)], LASHES * span)
        own &= (smooth < (1 - ON_BROWS) * beside) | ~grown(grey.shape, points[list(brow)], LASHES * span)
    _, labels = cv2.connectedComponents(dark.astype(np.uint8))  # a frame hangs together across lashes and brows
    labels[~own] = 0
    kept = {int(v) for line in crossings(points, span) for v in np.unique(labels[crossed(grey.shape,
                                                                                         points[list(line)])])} - {0}
    if not kept:
        return out
    frame = np.isin(labels, list(kept)).astype(np.uint8)
    soft = max(1, round(EDGE * span))
    frame = cv2.dilate(frame, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * soft + 1, 2 * soft + 1)))
    out[low[1]:high[1], low[0]:high[0]] = frame > 0
    return out


def surrounding(frame: Bool[np.ndarray, "h w"], points_px: Float[np.ndarray, "478 2"]) -> bool:
    """Whether a frame is seen below both eyes and between the brows: deep shade beside a nose is none."""
    return all(bool((frame & crossed(frame.shape, points_px[list(line)])).any())
               for line in (*CROSSED, *(half[0] for half in ASIDE)))


def crossings(points: Float[np.ndarray, "478 2"], span: float) -> list[tuple[int, int]]:
    """The lines that are in sight."""
    right, left = (float(np.linalg.norm(points[corner] - points[ROOT])) for corner in OUTER)
    halves = ASIDE if np.linalg.norm(points[OUTER[0]] - points[OUTER[1]]) > TURNED * span else (ASIDE[left > right],)
    return [*CROSSED, *(line for half in halves for line in half)]


def around(shape: tuple[int, ...], points: Float[np.ndarray, "478 2"], span: float) -> Bool[np.ndarray, "h w"]:
    """Where frames lie: a band along the line between the outer eye corners, whatever the head's roll."""
    right, left = points[list(OUTER)]
    across = (left - right) / max(float(np.linalg.norm(left - right)), 1e-6)
    y, x = np.mgrid[:shape[0], :shape[1]]
    middle = (left + right) / 2
    u = (x - middle[0]) * across[0] + (y - middle[1]) * across[1]
    v = -(x - middle[0]) * across[1] + (y - middle[1]) * across[0]
    return np.asarray((np.abs(u) < (0.5 + BESIDE) * span) & (v > -UP * span) & (v < DOWN * span))


def grown(shape: tuple[int, ...], outline: Float[np.ndarray, "n 2"], by_px: float) -> Bool[np.ndarray, "h w"]:
    """A polygon, and so much around it."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.rint(outline).astype(np.int32)], 1)
    size = 2 * max(1, round(by_px)) + 1
    return cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))) > 0


def crossed(shape: tuple[int, ...], ends: Float[np.ndarray, "2 2"]) -> Bool[np.ndarray, "h w"]:
    """Pixels of a line."""
    mask = np.zeros(shape[:2], np.uint8)
    a, b = np.rint(ends).astype(int).tolist()
    cv2.line(mask, a, b, 1, 2)
    return mask > 0


def without(picture: UInt8[np.ndarray, "h w 3"], frame: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with skin carried on over the frame (Telea's inpainting): what moves beneath takes no rim along."""
    if not frame.any():
        return picture
    rows, columns = (np.flatnonzero(frame.any(axis)) for axis in (1, 0))
    room = max(4, (rows[-1] - rows[0]) // 4)
    part = tuple(slice(max(at[0] - room, 0), at[-1] + room + 1) for at in (rows, columns))
    out = picture.copy()
    out[part] = cv2.inpaint(np.ascontiguousarray(picture[part]), frame[part].astype(np.uint8), 3, cv2.INPAINT_TELEA)
    return out
