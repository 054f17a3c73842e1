"""A real ArUco square drawn into pictures by known cameras gives back its side; one that moves gives none."""

import cv2
import numpy as np
import pytest

from recon.marker import DICTIONARY, corners_in, marker_cue, triangulate
from tests.recon.heads import camera_at

SIDE_MM, CELLS = 30.0, 200
VIEWS = [(-25, 5), (-8, -4), (10, 6), (28, 0)]


def cameras(unit_mm: float = 1.0):
    return [camera_at(yaw, pitch, size_wh=(600, 800), focal_px=800, distance_mm=420 / unit_mm,
                      centre_mm=np.array([0.0, -20, -30]) / unit_mm) for yaw, pitch in VIEWS]


def square(centre_mm=(4.0, 38.0, 14.0), side_mm: float = SIDE_MM) -> np.ndarray:
    """Corners (4,3) of a marker stuck to a forehead that leans back; order of ArUco, seen from the front."""
    h, lean = side_mm / 2, 0.25
    flat = np.array([[-h, h, 0], [h, h, 0], [h, -h, 0], [-h, -h, 0]])
    turn = np.array([[1, 0, 0], [0, np.cos(lean), np.sin(lean)], [0, -np.sin(lean), np.cos(lean)]])
    return flat @ turn.T + centre_mm


def drawn(picture: np.ndarray, corners_px: np.ndarray, number: int) -> np.ndarray:
    """The picture with a printed marker and its white rim where its corners project to."""
    rim = CELLS // 6
    tile = cv2.aruco.generateImageMarker(cv2.aruco.getPredefinedDictionary(DICTIONARY), number, CELLS)
    tile = np.pad(tile, rim, constant_values=255)
    low, high = rim - 0.5, rim + CELLS - 0.5  # outer edges of the black frame; pixel centres at integers
    source = np.array([[low, low], [high, low], [high, high], [low, high]], np.float32)
    warp = cv2.getPerspectiveTransform(source, corners_px.astype(np.float32))
    size = picture.shape[1::-1]
    grey = cv2.warpPerspective(tile, warp, size, flags=cv2.INTER_AREA)
    inside = cv2.warpPerspective(np.full_like(tile, 255), warp, size) > 127
    return np.where(inside[..., None], grey[..., None], picture)


def photographed(world: list[np.ndarray], views, number: int = 7) -> list[np.ndarray]:
    """One picture per camera of a marker that is at `world[k]` when camera k looks."""
    rng = np.random.default_rng(3)
    out = []
    for corners, camera in zip(world, views, strict=True):
        picture = np.full((camera.size_wh[1], camera.size_wh[0], 3), (200, 160, 140), np.uint8)
        picture = cv2.GaussianBlur(drawn(picture, camera.px_from_points(corners), number), (0, 0), 0.7)
        out.append(np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8))
    return out


def test_the_side_is_recovered():
    views = cameras()
    corners = [corners_in(p) for p in photographed([square()] * 4, views)]
    assert [set(c) for c in corners] == [{7}] * 4
    assert marker_cue(SIDE_MM, corners, views).mm_per_unit == pytest.approx(1.0, rel=0.01)


def test_the_unit_of_the_cameras_is_what_is_asked():
    """The same pictures from cameras known in units of 1.25 mm."""
    corners = [corners_in(p) for p in photographed([square()] * 4, cameras())]
    assert marker_cue(SIDE_MM, corners, cameras(1.25)).mm_per_unit == pytest.approx(1.25, rel=0.01)


def test_a_marker_that_is_not_fixed_to_the_head_is_refused():
    """It hangs on the wall: the head turns, the marker does not."""
    views = cameras()
    wall = [square(c) for c in ((-40, 30, 14), (-10, 45, 14), (15, 25, 14), (45, 40, 14))]
    corners = [corners_in(p) for p in photographed(wall, views)]
    assert all(7 in c for c in corners)
    assert marker_cue(SIDE_MM, corners, views) is None


def test_the_marker_on_the_head_wins_over_one_on_the_wall():
    views = cameras()
    head = [{7: c.px_from_points(square())} for c in views]
    wall = [{3: c.px_from_points(square(at))} for c, at in
            zip(views, ((-60, 30, 0), (-20, 45, 0), (25, 25, 0), (65, 40, 0)), strict=True)]
    both = [h | w for h, w in zip(head, wall, strict=True)]
    assert marker_cue(SIDE_MM, both, views).mm_per_unit == pytest.approx(1.0, rel=1e-6)
    both[0].pop(7)  # seen less often than the one on the wall
    assert marker_cue(SIDE_MM, both, views).mm_per_unit == pytest.approx(1.0, rel=1e-6)


def test_two_views_are_not_enough():
    views = cameras()
    corners = [{7: c.px_from_points(square())} for c in views]
    assert marker_cue(SIDE_MM, [*corners[:3], {}], views) is not None
    assert marker_cue(SIDE_MM, [*corners[:2], {}, {}], views) is None


def test_a_picture_without_marker_has_none():
    assert corners_in(np.full((200, 200, 3), 128, np.uint8)) == {}


def test_triangulation_is_exact_without_noise_and_says_its_error():
    views, point = cameras(), np.array([12.0, -7, 25])
    px = np.stack([c.px_from_points(point) for c in views])
    found, error = triangulate(px, views)
    assert np.allclose(found, point, atol=1e-6) and error < 1e-6
    px[0] += [30, 0]
    px[2] -= [0, 30]
    assert triangulate(px, views)[1] > 3
