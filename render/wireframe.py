"""Wireframe: the 478 landmarks of a head seen through a camera, joined by the detector's contours.

For people to check a fit, and as the condition of picture synthesis. The table of edges carries its source and licence.
"""

import json
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8

from core.camera import Camera
from core.landmarks import MEDIAPIPE478, Landmarks2D, Landmarks3D
from core.mesh import Mesh
from core.records import record
from core.surface import SurfacePoints
from render.rasterize import Rasterizer

TABLE = Path(__file__).resolve().parents[1] / "data" / "landmarks" / "mediapipe478_edges.json"

COLORS = {
    "tessellation": (88, 94, 100), "face_oval": (235, 235, 235), "nose": (240, 170, 60), "lips": (225, 60, 80),
    "eye_l": (60, 200, 90), "brow_l": (40, 140, 70), "iris_l": (170, 240, 90),
    "eye_r": (70, 150, 255), "brow_r": (50, 90, 200), "iris_r": (120, 220, 255),
}
"""sRGB by group, drawn in this order; the patient's left is green, the right is blue."""

SHIFT = 4
"""OpenCV draws at 1 / 2^SHIFT px."""


@record
class WireframeOptions:
    """groups: which edges, in drawing order. thickness_px: of the contours; the tessellation is one pixel.

    least_confidence: an edge is drawn when both its ends have at least this. background: sRGB bytes.
    """

    groups: tuple[str, ...] = tuple(COLORS)
    thickness_px: int = 2
    least_confidence: float = 0.05
    background: tuple[int, int, int] = (0, 0, 0)


WIREFRAME = WireframeOptions()
"""Everything, on black."""


@cache
def edges478() -> dict[str, Int[np.ndarray, "e 2"]]:
    """Pairs of landmark numbers by group.

    MediaPipe lists the tessellation's 2,556 edges from both their triangles: 1,322 lines, each drawn once.
    """
    table = json.loads(TABLE.read_text("utf-8"))["edges"]
    return {group: np.array(pairs, np.int32) for group, pairs in table.items()}


def pinned(mesh: Mesh, pins478: SurfacePoints) -> Landmarks3D:
    """The landmarks of a mesh whose topology carries the 478 pins; full confidence."""
    return Landmarks3D(scheme=MEDIAPIPE478, points=mesh.points(pins478), confidence=np.ones(len(pins478)))


def project_landmarks(landmarks: Landmarks3D, camera: Camera, rasterizer: Rasterizer,
                      tolerance_mm: float = 1.5) -> Landmarks2D:
    """Landmarks in the picture; confidence 0 where the head hides them or they fall outside.

    tolerance_mm: how far below the surface a point may lie and still count as seen.
    """
    seen = rasterizer.visible(landmarks.points, camera, tolerance_mm)
    return Landmarks2D(scheme=landmarks.scheme, points=np.nan_to_num(camera.px_from_points(landmarks.points)),
                       confidence=np.where(seen, landmarks.confidence, 0.0))


def wireframe(landmarks: Landmarks2D, size_wh: tuple[int, int], options: WireframeOptions = WIREFRAME) -> UInt8[
        np.ndarray, "h w 3"]:
    """The edges between seen landmarks, antialiased, on a plain background."""
    canvas = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    canvas[:] = options.background
    return draw_edges(canvas, landmarks, options)


def overlay(picture: UInt8[np.ndarray, "h w 3"], landmarks: Landmarks2D,
            options: WireframeOptions = WIREFRAME) -> UInt8[np.ndarray, "h w 3"]:
    """The wireframe over a picture, to judge by eye how well it lies."""
    return draw_edges(picture.copy(), landmarks, options)


def draw_edges(canvas: UInt8[np.ndarray, "h w 3"], landmarks: Landmarks2D, options: WireframeOptions) -> UInt8[
        np.ndarray, "h w 3"]:
    """Draw on the canvas itself, and return it."""
    seen = landmarks.confidence >= options.least_confidence
    for group in options.groups:
        pairs = edges478()[group]
        shown = pairs[seen[pairs].all(1)]
        lines = fixed_point(landmarks.points[shown])
        thickness = 1 if group == "tessellation" else options.thickness_px
        cv2.polylines(canvas, list(lines), False, COLORS[group], thickness, cv2.LINE_AA, SHIFT)
    return canvas


def fixed_point(points_px: Float[np.ndarray, "e 2 2"]) -> Int[np.ndarray, "e 2 2"]:
    """Pixel coordinates in OpenCV's fixed point, whose pixel centres are integers as ours."""
    return np.rint(points_px * 2**SHIFT).astype(np.int32)
