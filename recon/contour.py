"""Contour: the line where the person in a photo ends, from their mask, moved to where the picture's colours part."""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from core.records import record
from recon.outline import OutlineOptions, edges

SMOOTH_PX = 2.0
"""The mask's steps are smoothed along its line with this Gaussian."""
REACH_PX, AGREE_PX, AROUND = 6.0, 1.5, 5
"""The picture's own edge is looked for so far beside the mask's line, and believed where it lies near the median of
those of so many neighbours to either side."""
BORDER_PX, INSIDE_PX = 3, 2
"""Where the photo ends the person does not. Colours are taken so far inside the line."""


@record
class Contour:
    """px (N,2) in order along the line, out (N,2) its normals away from the person; inside (H,W): skin, hair and
    clothes well within it; nearest_inside (2,H,W): row and column of the nearest such pixel."""

    px: Float[np.ndarray, "n 2"]
    out: Float[np.ndarray, "n 2"]
    inside: Bool[np.ndarray, "h w"]
    nearest_inside: Int[np.ndarray, "2 h w"]

    def tree(self, px_per_mm: float, turn_mm: float) -> cKDTree:
        """To look for points that lie near and face the same way (see `placed`)."""
        return cKDTree(placed(self.px, self.out, px_per_mm, turn_mm))


def placed(px: Float[np.ndarray, "n 2"], out: Float[np.ndarray, "n 2"], px_per_mm: float, turn_mm: float) -> Float[
        np.ndarray, "n 4"]:
    """Places (mm) and directions in one space: opposite directions lie 2 `turn_mm` apart."""
    return np.column_stack([px / px_per_mm, turn_mm * out])


def contour_of(picture: UInt8[np.ndarray, "h w 3"], person: Bool[np.ndarray, "h w"]) -> Contour | None:
    """The contour of the largest piece of the mask; None when there is none."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(person.astype(np.uint8))
    if count < 2:
        return None
    mask = (label == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    inside = cv2.erode(mask, np.ones((2 * INSIDE_PX + 1,) * 2, np.uint8)) > 0
    line, out = smooth_line(mask)
    high = np.array(mask.shape[::-1]) - 1 - BORDER_PX
    kept = ((line > BORDER_PX) & (line < high)).all(1)
    line, out = line[kept], out[kept]
    if len(line) < 50 or not inside.any():
        return None
    off, sure = edges(picture, line, out, REACH_PX, OutlineOptions())
    usual = running_median(off, sure)
    off = np.where(sure & (np.abs(off - usual) < AGREE_PX), off, usual)
    return Contour(px=line + off[:, None] * out, out=out, inside=inside, nearest_inside=distance_transform_edt(
        ~inside, return_distances=False, return_indices=True))


def smooth_line(mask: UInt8[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, "n 2"]]:
    """The mask's outer line and its outward normals."""
    line = max(cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], key=len)[:, 0].astype(float)
    reach = round(3 * SMOOTH_PX)
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTH_PX) ** 2)
    weight /= weight.sum()
    line = np.stack([np.convolve(np.pad(line[:, k], reach, "wrap"), weight, "valid") for k in range(2)], 1)
    along = np.roll(line, -2, 0) - np.roll(line, 2, 0)
    out = np.stack([along[:, 1], -along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    within = cv2.remap(mask, (line - 3 * out).astype(np.float32)[:, None], None, cv2.INTER_NEAREST)[:, 0]
    return line, out if within.mean() > 0.5 else -out


def running_median(off: Float[np.ndarray, "n"], sure: Bool[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Of the sure readings around each; 0 where there are fewer than four."""
    around = np.lib.stride_tricks.sliding_window_view(np.pad(np.where(sure, off, np.nan), AROUND, "wrap"),
                                                      2 * AROUND + 1)
    enough = np.isfinite(around).sum(1) > 3
    median = np.zeros(len(off))
    median[enough] = np.nanmedian(around[enough], axis=1)
    return median
