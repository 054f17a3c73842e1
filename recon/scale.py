"""Millimetres: how large one model unit is, from every source at hand, fused by inverse variance.

A fit to pictures knows shape but not size. Each cue says ln(mm per unit) with a standard deviation:
  model   the head is of ordinary size: the model's own mean
  iris    horizontal visible iris diameter 11.71 +- 0.42 mm (Rufer 2005), measured in near-frontal views with open eyes
  ipd     interpupillary distance typed by a person (sd 1.5 %: how well such a distance is known), over that of the
          pupils as the pictures show them (`recon.pupils`)
  marker  a printed ArUco square of known side (sd 1 %)
A typed distance or a marker replaces the population cues, since they are only its priors.

Letters: S the covariance of the cues' logarithms, 1 a vector of ones; w = S^-1 1 / (1' S^-1 1) weighs them, and
1 / (1' S^-1 1) is the variance of the result (generalised least squares; Aitken 1936).
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.camera import Camera
from core.reconstruction import Scale
from core.records import record
from recon.iris import IRISES, limbus
from recon.pupils import Distance

IRIS_MM, IRIS_SD = 11.71, 0.42 / 11.71
MODEL_SD, IPD_SD, MARKER_SD = 0.050, 0.015, 0.010
"""Of the model: its size is wrong by 5.3 % (RMS) on six rendered heads of known size; the irises of 16 real people
differ from it by 6.1 %, which 3.6 % of iris and 5 % of head make together."""
LARGER_TOGETHER = 0.3
"""Correlation of iris and head size: a large head has large eyes. In the same 16 people iris and head differ with an sd
of 4.0 %, where independent ones would with 6.2 %: a correlation of 0.6 (95 %: 0.0 to 0.8). Published: 0.42 between
the diameter of the cornea and its curvature (Hashemi 2015), 0.35 between that and body height (Jonuscheit 2017)."""
PINS_SD = 0.018
"""Of the distance between the model's own pupils, where the pictures show no open eyes: RMS 1.5 %, at most 2.6 %, on
the six heads."""
LIMBUS_NOISE, NETWORK_NOISE = 0.01, 0.02
"""What all readings of one film share: gaze past the camera (2 % at 12 degrees), and the landmark network's own error
where the limbus cannot be read."""
NETWORK_WIDER = 1.035
"""The network reads an iris wider than its limbus: in 16 frontal photos by 3.2 to 3.6 % at irises of 5 to 22 px, with
an sd of 2 % from person to person; in eight other portraits by 4 %."""
FEW_NOISE = 0.02
"""Of a limbus read in a photo or two: within 1 % when a photo is turned, but one lid or lash counts fully."""
NEAR_FRONTAL_RAD = np.radians([6.0, 12.0, 20.0])
"""Near-frontal: within the first angle; within the next where that leaves fewer than `LEAST_READINGS`."""
LEAST_READINGS = 6


@record
class Cue:
    """One source's word: mm per unit and the standard deviation of its logarithm."""

    source: str
    mm_per_unit: float
    sd: float


def iris_cue(points_px: Float[np.ndarray, "n 478 2"], cameras: list[Camera], landmarks: Float[np.ndarray, "478 3"],
             is_open: Bool[np.ndarray, "n 2"], picture: Callable[[int], UInt8[np.ndarray, "h w 3"]]) -> Cue | None:
    """Iris diameter in model units over the near-frontal views, both eyes; None when no open eye is frontal enough.

    is_open: right and left eye of every view. In a view the iris is a disc at the eye's depth Z; its visible horizontal
    width w px gives w Z / f. w is read at the limbus (`recon.iris`), or where that fails taken from the landmarks.
    """
    yaw = np.abs([c.head_angles_rad[0] for c in cameras])
    for most in NEAR_FRONTAL_RAD:
        seen = [(k, eye) for k in np.flatnonzero(yaw <= most).tolist() for eye in (0, 1) if is_open[k, eye]]
        if len(seen) >= LEAST_READINGS:
            break
    if len(seen) < 2:
        return None
    found = [limbus(picture(k), points_px[k], eye) for k, eye in seen]
    read = np.array([np.nan if one is None else 2 * one.radius_px for one in found])
    noise = LIMBUS_NOISE if len(seen) >= LEAST_READINGS else FEW_NOISE
    if np.isfinite(read).sum() < (LEAST_READINGS if len(seen) >= LEAST_READINGS else 1):
        ends = [IRISES[eye][:2] for _, eye in seen]
        read = np.array([np.linalg.norm(points_px[k, a] - points_px[k, b]) for (k, _), (a, b) in
                         zip(seen, ends, strict=True)]) / NETWORK_WIDER
        noise = NETWORK_NOISE
    depth = np.array([cameras[k].cam_from_points(landmarks[IRISES[eye][2]][None])[0, 2] for k, eye in seen])
    widths = (read * depth / [cameras[k].K_px[0, 0] for k, _ in seen])[np.isfinite(read)]
    scatter = float(np.std(widths) / np.mean(widths) / np.sqrt(len(widths)))
    return Cue(source="iris", mm_per_unit=IRIS_MM / float(np.median(widths)),
               sd=float(np.hypot(IRIS_SD, noise + scatter)))


def ipd_cue(ipd_mm: float, seen: Distance | None, landmarks: Float[np.ndarray, "478 3"]) -> Cue:
    """A typed interpupillary distance against that of the pupils; of the model's own, where the pictures show none."""
    pupils = seen or Distance(units=float(np.linalg.norm(landmarks[468] - landmarks[473])), sd=PINS_SD)
    return Cue(source="ipd", mm_per_unit=ipd_mm / pupils.units, sd=float(np.hypot(IPD_SD, pupils.sd)))


def fuse(cues: list[Cue]) -> Scale:
    """The best linear mean of ln(mm per unit); measured cues (marker, ipd) alone when there are any."""
    measured = [c for c in cues if c.source in ("marker", "ipd")]
    used = measured or cues
    sources = [c.source for c in used]
    covariance = np.diag([c.sd**2 for c in used])
    if {"model", "iris"} <= set(sources):
        a, b = sources.index("model"), sources.index("iris")
        covariance[[a, b], [b, a]] = LARGER_TOGETHER * min(MODEL_SD, used[a].sd) * min(IRIS_SD, used[b].sd)
    weight = np.linalg.solve(covariance, np.ones(len(used)))
    log = float(weight @ np.log([c.mm_per_unit for c in used]) / weight.sum())
    return Scale(mm_per_unit=float(np.exp(log)), source="+".join(sources), sd_relative=float(1 / np.sqrt(weight.sum())))
