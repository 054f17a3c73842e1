"""Conditions: the pictures that tell a picture network what to draw, and their encodings.

The control picture is the one that CrucibleAI's ControlNetMediaPipeFace was trained on, stroke for stroke as its
annotator draws it (facts: controlnet_aux, mediapipe_face_common.py; MediaPipe 0.10.21, drawing_utils.py):

- contours only (oval, eyes, brows, lips, in this order), never the tessellation; then the pupils;
- lines between whole pixels, two pixels thick, not antialiased, on black; the pupils are squares of four pixels;
- a line with an end outside the picture is left out; a face smaller than 64 px a side is not drawn at all;
- the colours are drawn as BGR and then turned, so that CONTROL below is what the network sees as RGB;
- hidden points are drawn as well: the mesh detector has no visibility, and its drawing never leaves out a point.

The strokes are two pixels of the picture that the network gets (512 at its training): draw at that size, never shrink
or enlarge a drawn one.
"""

import json
from functools import cache
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Fragments
from core.landmarks import Landmarks2D, Landmarks3D
from core.mesh import Mesh
from core.records import record
from core.surface import SurfacePoints
from render.buffers import camera_normals
from render.wireframe import edges478, pinned

OVAL = Path(__file__).resolve().parents[1] / "data" / "landmarks" / "mediapipe478_oval.json"

CONTROL = {
    "face_oval": (10, 200, 10), "eye_l": (10, 200, 180), "brow_l": (10, 220, 180), "eye_r": (180, 200, 10),
    "brow_r": (180, 220, 10), "lips": (10, 180, 10),
}
"""RGB by group, in drawing order; _l is the patient's left."""

PUPILS = {468: (250, 200, 10), 473: (10, 200, 250)}
"""RGB by landmark: the patient's right, then the left iris centre."""

THICKNESS_PX, PUPIL_HALF_PX, SMALLEST_FACE_PX = 2, 2, 64

Hidden = Literal["drawn", "left out"]
"""What becomes of points that the head itself hides. `drawn`, as in training: the far eye of a three-quarter view keeps
its line. `left out`: what a person would expect, and out of the network's experience."""


def drawn478(mesh: Mesh, pins478: SurfacePoints) -> Landmarks3D:
    """The 478 points where the detector draws them: on the skin, but the oval where it draws that.

    Its oval is no line on the skin: seen from the side it runs behind the pinned one, round where that has a notch at
    the ear (up to 14 mm; benchmarks/wireframe.md). The offsets are of the head frame, so a moved chin takes them along.
    """
    landmarks = pinned(mesh, pins478)
    points = landmarks.points.copy()
    numbers, offsets_mm = oval_offsets()
    points[numbers] += offsets_mm
    return Landmarks3D(scheme=landmarks.scheme, points=points, confidence=landmarks.confidence)


@cache
def oval_offsets() -> tuple[Int[np.ndarray, "o"], Float[np.ndarray, "o 3"]]:
    """Numbers of the oval's points, and their offsets from the pins (mm, head frame)."""
    table = json.loads(OVAL.read_text("utf-8"))["offset_mm"]
    return np.array([int(k) for k in table]), np.array(list(table.values()), float)


def control_picture(landmarks: Landmarks2D, size_wh: tuple[int, int], hidden: Hidden = "drawn") -> UInt8[
        np.ndarray, "h w 3"]:
    """The picture for CrucibleAI's ControlNet, RGB, from landmarks in the pixels of a picture of that size.

    landmarks: of `project_landmarks(drawn478(mesh, anatomy.pins478), camera, rasterizer)`.

    hidden: points of confidence zero (`render.wireframe.project_landmarks`) are drawn all the same, or left out.
    All black when the face is smaller than 64 px in width or height, as in training.
    """
    width, height = size_wh
    canvas = np.zeros((height, width, 3), np.uint8)
    if face_side_px(landmarks) < SMALLEST_FACE_PX:
        return canvas
    inside = np.all((landmarks.points >= -0.5) & (landmarks.points <= np.array(size_wh) - 0.5), axis=1)
    shown = inside if hidden == "drawn" else inside & (landmarks.confidence > 0)
    pixel = np.minimum(np.floor(landmarks.points + 0.5), np.array(size_wh) - 1).astype(int)
    for group, color in CONTROL.items():
        pairs = edges478()[group]
        for start, end in pairs[shown[pairs].all(1)]:
            cv2.line(canvas, pixel[start].tolist(), pixel[end].tolist(), color, THICKNESS_PX)
    for number, color in PUPILS.items():
        if shown[number]:
            x, y = pixel[number]
            low_x, low_y = max(x - PUPIL_HALF_PX, 0), max(y - PUPIL_HALF_PX, 0)
            canvas[low_y:y + PUPIL_HALF_PX, low_x:x + PUPIL_HALF_PX] = color
    return canvas


def face_side_px(landmarks: Landmarks2D) -> float:
    """The shorter side of the box around all points."""
    return float(np.ptp(landmarks.points, axis=0).min())


def depth_picture(fragments: Fragments) -> UInt8[np.ndarray, "h w"]:
    """Relative depth as depth networks take it: 255 at the nearest point, 1 at the farthest, linear in 1 / depth
    between, 0 where no head is seen.
    """
    out = np.zeros(fragments.face.shape, np.uint8)
    seen = fragments.covered
    if seen.any():
        near = 1 / fragments.depth_mm[seen]
        span = max(float(np.ptp(near)), 1e-12)  # a plane that faces the camera is all nearest
        out[seen] = np.rint(255 - 254 * (near.max() - near) / span)
    return out


TENTHS_PER_MM = 10
"""Metric depth in 16 bits: a tenth of a millimetre per step, up to 6.5 m."""


def metric_depth_picture(fragments: Fragments) -> np.ndarray:
    """Depth along the optical axis in tenths of a millimetre, 16 bits without sign; 0 where no head is seen."""
    depth = np.where(fragments.covered, fragments.depth_mm, 0)
    return np.clip(np.rint(depth * TENTHS_PER_MM), 0, 65535).astype(np.uint16)


def normal_picture(fragments: Fragments, mesh: Mesh, camera: Camera) -> UInt8[np.ndarray, "h w 3"]:
    """Normals in camera axes as RGB: R to the right, G up, B towards the camera; -1..1 is 0..255, nothing is 128."""
    normal = camera_normals(fragments, mesh, camera) * np.array([1, -1, -1], np.float32)
    return np.clip(np.rint(127.5 * normal + 127.5), 0, 255).astype(np.uint8)


def region_mask(fragments: Fragments, mesh: Mesh, anatomy: Anatomy, name: str) -> Float[np.ndarray, "h w"]:
    """The weight of one region (or `skin`) at every pixel, 0..1; zero where no head is seen. KeyError: no such region.
    """
    if not anatomy.has(name):
        raise KeyError(f"there is no region {name!r}; known: skin, {', '.join(anatomy.region_names)}")
    return fragments.interpolate(anatomy.region(name).astype(np.float32)[:, None], mesh.faces)[..., 0]


def region_labels(fragments: Fragments, mesh: Mesh, anatomy: Anatomy, least: float = 0.5) -> UInt8[np.ndarray, "h w"]:
    """1 + the number (in `anatomy.region_names`) of each pixel's narrowest region of at least that weight, else 0.

    Regions overlap: `face` holds the nose. The one with the least total weight, the nose, is named.
    """
    out = np.zeros(fragments.face.shape, np.uint8)
    size = anatomy.region_weights.sum(1)
    for number in np.argsort(-size, kind="stable"):
        weight = region_mask(fragments, mesh, anatomy, anatomy.region_names[number])
        out[weight >= least] = number + 1
    return out


@record
class EdgeOptions:
    """low, high: hysteresis thresholds as shares of the local median brightness (a step of so many per cent).

    window: side of the neighbourhood as a share of the picture's shorter side. floor: brightness (0..255) below which
    the median is taken as this, or sensor noise in black hair would count as edges. sigma_px: smoothing before.
    """

    low: float = 0.06
    high: float = 0.16
    window: float = 0.15
    floor: float = 20.0
    sigma_px: float = 1.2


EDGES = EdgeOptions()
"""The step that an eye sees is a share of what surrounds it (Weber), so dark skin gives the edges that light skin does.
"""
MEDIAN_SIDE = 256
"""The local median is taken in a picture of this shorter side."""
FULL_SCALE = 8192.0
"""Relative gradients in OpenCV's 16 bits: a step as large as the surroundings; four times it still fits."""


def adaptive_edges(photo: UInt8[np.ndarray, "h w 3"], options: EdgeOptions = EDGES) -> Bool[np.ndarray, "h w"]:
    """Canny's edges of a photo, on gradients relative to the local median: exposure and skin tone drop out."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    around = np.maximum(local_median(grey, options.window), options.floor)
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), options.sigma_px)
    scale = FULL_SCALE / 4 / around  # a step h gives a Sobel response of 4 h
    dx, dy = (np.clip(cv2.Sobel(smooth, cv2.CV_32F, *order) * scale, -32767, 32767).astype(np.int16)
              for order in ((1, 0), (0, 1)))
    return cv2.Canny(dx, dy, options.low * FULL_SCALE, options.high * FULL_SCALE, L2gradient=True) > 0


def local_median(grey: UInt8[np.ndarray, "h w"], window: float) -> Float[np.ndarray, "h w"]:
    """The median brightness around each pixel, in a square window that is a share of the shorter side."""
    height, width = grey.shape
    shrink = min(MEDIAN_SIDE / min(height, width), 1.0)
    small = cv2.resize(grey, (max(round(width * shrink), 1), max(round(height * shrink), 1)),
                       interpolation=cv2.INTER_AREA)
    side = 2 * int(window * min(small.shape) / 2) + 1
    middle = cv2.medianBlur(small, max(side, 3))
    return cv2.resize(middle.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
