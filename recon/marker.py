"""A printed ArUco square in the pictures: its side in model units, triangulated through the fitted cameras."""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from recon.scale import MARKER_SD, Cue

DICTIONARY = cv2.aruco.DICT_4X4_50
LEAST_VIEWS, MOST_ERROR_PX = 3, 4.0


def corners_in(picture: UInt8[np.ndarray, "h w 3"]) -> dict[int, Float[np.ndarray, "4 2"]]:
    """Corners (px) of every ArUco 4x4 marker in a picture, by its number."""
    settings = cv2.aruco.DetectorParameters()
    settings.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX  # else corners lie 0.5 px inside: 1.3 % of 60 px
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(DICTIONARY), settings)
    found, ids, _ = detector.detectMarkers(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))
    return {} if ids is None else {int(i): c[0].astype(float) for i, c in zip(ids.ravel(), found, strict=True)}


def triangulate(points_px: Float[np.ndarray, "n 2"], cameras: list[Camera]) -> tuple[Float[np.ndarray, "3"], float]:
    """One point from its pictures (linear, DLT) and its median reprojection error in px."""
    rows = []
    for (x, y), camera in zip(points_px, cameras, strict=True):
        P = camera.K_px @ camera.cam_from_head[:3]
        rows += [x * P[2] - P[0], y * P[2] - P[1]]
    homogeneous = np.linalg.svd(np.array(rows))[2][-1]
    point = homogeneous[:3] / homogeneous[3]
    seen = np.stack([camera.px_from_points(point) for camera in cameras])
    return point, float(np.median(np.linalg.norm(seen - points_px, axis=1)))


def marker_cue(marker_mm: float, corners: list[dict[int, Float[np.ndarray, "4 2"]]], cameras: list[Camera],
               ) -> Cue | None:
    """Scale from the marker that most views see and that moves with the head; None when there is none."""
    numbers = [number for view in corners for number in view]
    for number in sorted(set(numbers), key=lambda k: -numbers.count(k)):
        views = [k for k, view in enumerate(corners) if number in view]
        if len(views) < LEAST_VIEWS:
            continue
        solved = [triangulate(np.stack([corners[v][number][c] for v in views]), [cameras[v] for v in views])
                  for c in range(4)]
        if max(error for _, error in solved) > MOST_ERROR_PX:
            continue  # it is not fixed to the head
        square = np.stack([point for point, _ in solved])
        side = float(np.linalg.norm(square - np.roll(square, 1, axis=0), axis=1).mean())
        return Cue(source="marker", mm_per_unit=marker_mm / side, sd=MARKER_SD)
    return None
