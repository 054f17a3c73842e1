"""Millimetres: how large one model unit is, from every source at hand, fused by inverse variance.

A fit to pictures knows shape but not size. Each cue says ln(mm per unit) with a standard deviation:
  model   the head is of ordinary size: the model's own mean (sd 4.5 %, centroid size of a head prior)
  iris    horizontal visible iris diameter 11.71 +- 0.42 mm (Rufer 2005), measured in near-frontal views
  ipd     interpupillary distance typed by a person (sd 1.5 %: reading and gaze)
  marker  a printed ArUco square of known side (sd 1 %)
A typed distance or a marker replaces the population cues, since they are only its priors.
"""

import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.reconstruction import Scale
from core.records import record

IRIS_MM, IRIS_SD = 11.71, 0.42 / 11.71
MODEL_SD, IPD_SD, MARKER_SD, IRIS_NOISE = 0.045, 0.015, 0.010, 0.02
IRISES = ((469, 471, 468), (474, 476, 473))
"""Right and left iris: both ends of the horizontal diameter, centre."""
NEAR_FRONTAL_RAD = np.radians(20)


@record
class Cue:
    """One source's word: mm per unit and the standard deviation of its logarithm."""

    source: str
    mm_per_unit: float
    sd: float


def iris_cue(points_px: Float[np.ndarray, "n 478 2"], cameras: list[Camera], landmarks: Float[np.ndarray, "478 3"],
             ) -> Cue | None:
    """Iris diameter in model units over the near-frontal views, both eyes; None when no view is frontal enough.

    In a view the iris is a disc at the eye's depth Z; its visible horizontal width w px gives w Z / f. A gaze past the
    camera narrows it by its cosine (2 % at 12 degrees); `IRIS_NOISE` allows for that.
    """
    widths = []
    for points, camera in zip(points_px, cameras, strict=True):
        if abs(camera.head_angles_rad[0]) > NEAR_FRONTAL_RAD:
            continue
        for a, b, centre in IRISES:
            depth = camera.cam_from_points(landmarks[centre])[2]
            widths.append(float(np.linalg.norm(points[a] - points[b]) * depth / camera.K_px[0, 0]))
    if len(widths) < 2:
        return None
    noise = IRIS_NOISE + np.std(widths) / np.mean(widths) / np.sqrt(len(widths))
    return Cue(source="iris", mm_per_unit=IRIS_MM / float(np.median(widths)), sd=float(np.hypot(IRIS_SD, noise)))


def ipd_cue(ipd_mm: float, landmarks: Float[np.ndarray, "478 3"]) -> Cue:
    """A typed interpupillary distance against the distance of the fitted pupils."""
    return Cue(source="ipd", mm_per_unit=ipd_mm / float(np.linalg.norm(landmarks[468] - landmarks[473])), sd=IPD_SD)


def fuse(cues: list[Cue]) -> Scale:
    """Inverse-variance mean of ln(mm per unit); measured cues (marker, ipd) alone when there are any."""
    measured = [c for c in cues if c.source in ("marker", "ipd")]
    used = measured or cues
    weight = np.array([1 / c.sd**2 for c in used])
    log = float(weight @ np.log([c.mm_per_unit for c in used]) / weight.sum())
    return Scale(mm_per_unit=float(np.exp(log)), source="+".join(c.source for c in used),
                 sd_relative=float(1 / np.sqrt(weight.sum())))
