"""Camera: projection against OpenCV, rays under resizing, points behind."""

import dataclasses

import cv2
import numpy as np
import pytest

from core.camera import distort
from tests.core.builders import camera


@pytest.mark.parametrize("k", [np.zeros(5), np.array([-0.2, 0.08, 0.002, -0.003, 0.01])])
def test_projection_is_opencvs(k: np.ndarray) -> None:
    points = np.random.default_rng(1).normal(0, 80, (50, 3))
    seen = camera(distortion=k)
    rotation, _ = cv2.Rodrigues(seen.cam_from_head[:3, :3])
    expected, _ = cv2.projectPoints(points, rotation, seen.cam_from_head[:3, 3], seen.K_px, k)
    np.testing.assert_allclose(seen.px_from_points(points), expected[:, 0], atol=1e-9)


def test_round_trip_through_the_ray() -> None:
    seen = camera()
    point = np.array([[12.0, -30.0, 60.0]])
    depth = seen.cam_from_points(point)[0, 2]
    ray = np.linalg.inv(seen.K_px) @ np.append(seen.px_from_points(point)[0], 1)
    back = (ray * depth - seen.cam_from_head[:3, 3]) @ seen.cam_from_head[:3, :3]
    np.testing.assert_allclose(back, point[0], atol=1e-9)


def test_axes_of_a_camera_in_front() -> None:
    """In the picture of a straight face the patient's left is on the right, and up is a smaller row."""
    seen = camera(0.0)
    origin, left, up = seen.px_from_points(np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 0]]))
    assert left[0] > origin[0] and up[1] < origin[1]


def test_points_behind_are_nan_and_points_in_front_are_not() -> None:
    seen = camera()
    behind = seen.position_mm + 50 * (seen.position_mm / np.linalg.norm(seen.position_mm))
    px = seen.px_from_points(np.stack([behind, np.zeros(3)]))
    assert np.isnan(px[0]).all() and np.isfinite(px[1]).all()


def test_position_projects_from_the_origin_of_the_camera() -> None:
    seen = camera()
    np.testing.assert_allclose(seen.cam_from_points(seen.position_mm[None]), 0, atol=1e-9)


@pytest.mark.parametrize("size_wh", [(320, 240), (1280, 960), (333, 777)])
def test_resized_keeps_every_ray(size_wh: tuple[int, int]) -> None:
    """Corners of the picture (at -0.5 and size - 0.5) stay corners, so a point keeps its place as a share of it."""
    seen, points = camera(distortion=np.array([0.05, 0, 0, 0.01, 0])), np.random.default_rng(2).normal(0, 60, (20, 3))
    small = seen.resized(size_wh)
    share = (seen.px_from_points(points) + 0.5) / seen.size_wh
    np.testing.assert_allclose((small.px_from_points(points) + 0.5) / size_wh, share, atol=1e-12)
    np.testing.assert_allclose(small.resized(seen.size_wh).K_px, seen.K_px, atol=1e-9)


def test_no_distortion_changes_nothing_and_radial_grows_with_the_cube() -> None:
    xy = np.array([[0.1, -0.2], [0.3, 0.4]])
    np.testing.assert_array_equal(distort(xy, np.zeros(5)), xy)
    moved = distort(xy, np.array([0.1, 0, 0, 0, 0])) - xy
    np.testing.assert_allclose(moved, 0.1 * xy * (xy**2).sum(1, keepdims=True), atol=1e-15)


def test_angles_name_the_head_not_the_camera() -> None:
    np.testing.assert_allclose(camera(0.3).head_angles_rad, [0.3, 0.1, -0.05], atol=1e-12)


def test_it_is_frozen_and_its_arrays_are_its_own() -> None:
    k_px = np.eye(3)
    seen = dataclasses.replace(camera(), K_px=k_px)
    k_px[0, 0] = 5
    assert seen.K_px[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        seen.K_px[0, 0] = 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        seen.size_wh = (1, 1)
