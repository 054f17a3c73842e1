"""Quality of a frame: what each picture of a capture is worth. What the whole is worth stands in `verdict`.

Angles are in degrees here, because people read them: quality.json and the sheet are for the person who filmed.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.records import record
from recon.detect import Face
from recon.face478 import OUTER_EYE, Expression, expression

SHARPNESS_PX = 256
"""Face height to which a face is scaled before its sharpness is measured."""

FINE_PX = 1.5
"""What this blur takes away, at the size above, is fine detail: skin and hair."""
RIMS = ((9, 195), (145, 50), (374, 280))
"""Lines over bare skin that rims of glasses cross: down the nose from between the brows, from both lower lids."""


@record
class Measure:
    """What a frame is worth. angles_deg: yaw, pitch, roll. luma: the face's mean, 0..255. clipped: share burnt out.

    sharpness: variance of the Laplacian, x 10^4, of the face at SHARPNESS_PX and of mean 1. smear: fine contrast
    sideways over fine contrast up and down (1: none; less: the picture is smeared sideways). rims: see `dark_lines`.
    """

    face: Face
    angles_deg: tuple[float, float, float]
    sharpness: float
    luma: float
    clipped: float
    expression: Expression
    smear: float
    rims: float


def measure(picture: UInt8[np.ndarray, "h w 3"], face: Face) -> Measure:
    """Measure one frame with a face."""
    grey, mask = face_patch(picture, face)
    inside = grey[mask]
    contrast = cv2.Laplacian(grey.astype(np.float32) / max(float(inside.mean()), 8.0), cv2.CV_32F)
    yaw, pitch, roll = np.degrees(face.angles_rad)
    return Measure(face=face, angles_deg=(float(yaw), float(pitch), float(roll)), luma=float(inside.mean()),
                   sharpness=float(1e4 * contrast[mask].var()), clipped=float((inside >= 250).mean()),
                   expression=expression(face.points_px), smear=smear(grey, mask),
                   rims=dark_lines(picture, face.points_px[:, :2]))


def smear(grey: UInt8[np.ndarray, "a b"], mask: Bool[np.ndarray, "a b"]) -> float:
    """Median fine contrast along x over the one along y, inside the mask; a turning head smears along x alone.

    Medians over the skin: few edges (lips, nostrils, brows) do not count, its grain is alike in both directions.
    """
    values = grey.astype(np.float32)
    fine = values - cv2.GaussianBlur(values, (0, 0), FINE_PX)
    inside = mask[1:-1, 1:-1]
    if not inside.any():
        return 1.0
    across = np.abs(fine[1:-1, 2:] - fine[1:-1, :-2])[inside]
    down = np.abs(fine[2:, 1:-1] - fine[:-2, 1:-1])[inside]
    return float((np.median(across) + 0.05) / (np.median(down) + 0.05))  # of 255: a flat picture has no smear


def dark_lines(picture: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "478 2"]) -> float:
    """How dark the darkest thin line is that crosses each of RIMS, as a share of the skin beside it: middle of three.

    Under 0.13 in 29 photos and in 16 films of bare faces, 0.6 with black rims. Rimless glasses are not seen.
    """
    width = float(np.linalg.norm(points[OUTER_EYE[0]] - points[OUTER_EYE[1]]))
    ends, half_width, most = points[list(sum(RIMS, ()))], 0.06 * width, np.array(picture.shape[1::-1])
    low = np.clip(np.floor(ends.min(0) - half_width) - 2, 0, most - 1).astype(int)
    high = np.clip(np.ceil(ends.max(0) + half_width) + 3, low + 1, most).astype(int)
    grey = cv2.cvtColor(picture[low[1]:high[1], low[0]:high[0]], cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.median([darkest(grey, points[a] - low, points[b] - low, half_width) for a, b in RIMS]))


def darkest(grey: Float[np.ndarray, "h w"], start: Float[np.ndarray, "2"], end: Float[np.ndarray, "2"],
            half_width_px: float, samples: int = 80, beside: int = 19) -> float:
    """The deepest dip of a profile (its median over a band) below its own running median; lashes at the start aside."""
    along = end - start
    normal = np.array([-along[1], along[0]]) / max(float(np.linalg.norm(along)), 1e-6)
    steps = np.linspace(0.1, 1, samples)[:, None, None]
    places = start + along * steps + normal * np.linspace(-half_width_px, half_width_px, 7)[None, :, None]
    band = cv2.remap(grey, places.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    profile = np.median(band, axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(profile, beside // 2, mode="edge"), beside)
    usual = np.median(windows, axis=1)
    return float(((usual - profile) / np.maximum(usual, 8)).max())


def face_patch(picture: UInt8[np.ndarray, "h w 3"], face: Face,
               ) -> tuple[UInt8[np.ndarray, "a b"], Bool[np.ndarray, "a b"]]:
    """The face in grey at a normalised size, and which of its pixels lie inside the (slightly shrunk) outline."""
    points = face.points_px[:468, :2]
    height, width = picture.shape[:2]
    low = np.clip(np.floor(points.min(0)), 0, [width - 2, height - 2]).astype(int)
    high = np.clip(np.ceil(points.max(0)), low + 2, [width, height]).astype(int)
    scale = SHARPNESS_PX / float(np.ptp(points, axis=0).max())
    part = picture[low[1]:high[1], low[0]:high[0]]
    size = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    patch = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mask = np.zeros(patch.shape[:2], np.uint8)
    hull = cv2.convexHull(np.rint((points - low) * scale).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, 1)
    shrunken = cv2.erode(mask, np.ones((9, 9), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), (shrunken if shrunken.any() else mask).astype(bool)


@record
class Drift:
    """How far an expression lies from the person's usual one seen from the same side; 1 is clearly different."""

    amount: float
    blink: bool


def drifts(measures: Sequence[Measure], within_deg: float = 15.0) -> list[Drift]:
    """Each frame against the median of the frames seen from about the same side."""
    yaw = np.array([m.angles_deg[0] for m in measures])
    table = np.array([(m.expression.mouth, m.expression.brow, m.expression.smile, m.expression.eye) for m in measures])
    out = []
    for k in range(len(measures)):
        usual = np.median(table[np.abs(yaw - yaw[k]) <= within_deg], axis=0)
        mouth, brow, smile, _ = np.abs(table[k] - usual) / np.array([0.08, 0.10, 0.15, 1.0])
        out.append(Drift(amount=float(max(mouth, brow, smile)), blink=bool(table[k, 3] < 0.6 * usual[3])))
    return out
