"""Quality of a capture: what each frame is worth, what the whole covers, and what to say about it.

Angles are in degrees here, because people read them: quality.json and the sheet are for the person who filmed.
"""

from collections.abc import Sequence
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.records import record
from recon.detect import Face
from recon.face478 import IRIS_WIDTH, Expression, expression

Level = Literal["green", "amber", "red"]
SHARPNESS_PX = 256
"""Face height to which a face is scaled before its sharpness is measured."""

IRIS_MM = 11.7  # mean visible iris diameter
USUAL_FOCAL = 0.72  # of the longer side: a phone's main camera while filming (24 to 28 mm equivalent, stabilised)


@record
class Measure:
    """What a frame is worth. angles_deg: yaw, pitch, roll. luma: the face's mean, 0..255. clipped: share burnt out."""

    face: Face
    angles_deg: tuple[float, float, float]
    sharpness: float
    luma: float
    clipped: float
    expression: Expression


def measure(picture: UInt8[np.ndarray, "h w 3"], face: Face) -> Measure:
    """Measure one frame with a face."""
    grey, mask = face_patch(picture, face)
    inside = grey[mask]
    contrast = cv2.Laplacian(grey.astype(np.float32) / max(float(inside.mean()), 8.0), cv2.CV_32F)
    yaw, pitch, roll = np.degrees(face.angles_rad)
    return Measure(face=face, angles_deg=(float(yaw), float(pitch), float(roll)), luma=float(inside.mean()),
                   sharpness=float(1e4 * contrast[mask].var()), clipped=float((inside >= 250).mean()),
                   expression=expression(face.points_px))


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


@record
class Check:
    """One line of the verdict: what was measured, its level, and what to do when it is not green."""

    name: str
    value: str
    level: Level
    advice: str


@record
class Counts:
    """How many frames (or photos) there were, were analysed, showed the face, and were chosen."""

    given: int
    analysed: int
    with_face: int
    chosen: int


def level(value: float | int | np.floating, green: float | int, amber: float | int) -> Level:
    """green at or above `green`, amber at or above `amber`."""
    return "green" if value >= green else "amber" if value >= amber else "red"


@record
class Lens:
    """Focal length in px, and whether the files stated it (else it is a phone's usual one)."""

    focal_px: float
    stated: bool


def lens_of(hints_px: Sequence[float | None], longest_px: Sequence[int]) -> Lens:
    """The median stated focal length, or a phone's usual one for pictures of that size."""
    known = [f for f in hints_px if f is not None]
    if known:
        return Lens(focal_px=float(np.median(known)), stated=True)
    return Lens(focal_px=USUAL_FOCAL * float(np.median(longest_px)), stated=False)


def checks(kind: str, measures: Sequence[Measure], chosen: Sequence[int], counts: Counts, lens: Lens) -> list[Check]:
    """Every check of a capture, in the order a person would ask."""
    yaw = np.array([measures[k].angles_deg[0] for k in chosen])
    pitch = np.array([measures[k].angles_deg[1] for k in chosen])
    drift = drifts(measures)
    size = float(np.median([m.face.height_px for m in measures]))
    luma = float(np.median([m.luma for m in measures]))
    clipped = float(np.median([m.clipped for m in measures]))
    sharp = float(np.median([measures[k].sharpness for k in chosen]))
    calm = float(np.mean([drift[k].amount < 1 and not drift[k].blink for k in chosen]))
    lost = 1 - counts.with_face / max(1, counts.analysed)
    far = distance_mm(measures, lens.focal_px)
    near = (280, 180) if lens.stated else (140, 0)  # a guessed focal length is off by up to a half
    gap = widest_gap(yaw)
    film = kind == "video"
    enough = 40 if film else 28  # three-quarter photos are taken at about 35 degrees
    return [
        Check(name="turn to the left", value=f"{max(yaw.max(), 0):.0f} degrees", level=level(yaw.max(), enough, 12),
              advice="Turn the head further to the patient's left, until the far ear disappears."),
        Check(name="turn to the right", value=f"{max(-yaw.min(), 0):.0f} degrees", level=level(-yaw.min(), enough, 12),
              advice="Turn the head further to the patient's right, until the far ear disappears."),
        Check(name="largest gap between views", value=f"{gap:.0f} degrees",
              level=level(-gap, -12 if film else -45, -25 if film else -60),
              advice="Turn more slowly and evenly." if film else "Add photos from the sides in between."),
        Check(name="number of views", value=str(counts.chosen), level=level(counts.chosen, 30 if film else 5, 3),
              advice="Film 10 to 20 seconds." if film else "Add photos: five from evenly spread sides are better."),
        *([Check(name="nod", value=f"{np.ptp(pitch):.0f} degrees", level=level(float(np.ptp(pitch)), 15, 0),
                 advice="Nod once, up and down, at the end.")] if film else []),
        Check(name="face in view", value=f"{counts.with_face} of {counts.analysed}",
              level=level(-lost, -0.05 if film else -0.45, -0.6),
              advice="Keep the whole face in the picture, and do not turn to a full profile."),
        Check(name="size of the face", value=f"{size:.0f} px", level=level(size, 280, 140),
              advice="Come closer, or film at a higher resolution."),
        Check(name="sharpness", value={"green": "sharp", "amber": "soft", "red": "blurred"}[level(sharp, 12, 4)],
              level=level(sharp, 12, 4),
              advice="Move more slowly, in brighter light, and wipe the lens."),
        Check(name="light", value=f"{luma:.0f} of 255", level=light_level(luma, clipped),
              advice="Use soft, even light from the front; not against a window."),
        Check(name="calm face", value=f"{100 * calm:.0f} %", level=level(calm, 0.8, 0.5),
              advice="Keep the mouth closed, the eyes open and the face at rest."),
        Check(name="distance", value=f"about {far / 10:.0f} cm", level=level(far, *near),
              advice="Hold the camera about 40 to 60 cm away: nearer distorts the nose."),
    ]


def light_level(luma: float, clipped: float) -> Level:
    """Brightness of the face and burnt-out skin together."""
    if clipped > 0.25 or luma < 25:
        return "red"
    return "green" if 60 <= luma <= 215 and clipped < 0.05 else "amber"


def widest_gap(yaw_deg: Float[np.ndarray, "n"]) -> float:
    """Largest step between neighbouring views."""
    return float(np.diff(np.sort(yaw_deg)).max(initial=0))


def distance_mm(measures: Sequence[Measure], focal_px: float) -> float:
    """Rough distance of the face, from the iris (11.7 mm) in the most frontal frames."""
    frontal = sorted(measures, key=lambda m: abs(m.angles_deg[0]))[:5]
    iris = np.median([np.linalg.norm(m.face.points_px[a, :2] - m.face.points_px[b, :2])
                      for m in frontal for a, b in IRIS_WIDTH])
    return float(IRIS_MM * focal_px / max(float(iris), 1.0))


def sentence(results: Sequence[Check]) -> tuple[str, str]:
    """The verdict (good, usable, poor) and one plain sentence."""
    red = [c for c in results if c.level == "red"]
    amber = [c for c in results if c.level == "amber"]
    if red:
        return "poor", "This can be reconstructed, but film again for a result to rely on: " + listing(red) + "."
    if amber:
        return "usable", "Usable; it would be better with a second take: " + listing(amber) + "."
    return "good", "A good capture: nothing needs to be filmed again."


def listing(results: Sequence[Check]) -> str:
    """Names and values of checks, for a sentence."""
    return ", ".join(f"{c.name} {c.value}" for c in results)


