"""The distance between the pupils: whatever the eyes look at, that of far gaze; and what it does where eyes hide."""

import numpy as np
import pytest

from recon.pupils import LEAST_VIEWS, LIMBUS_SHARED, NETWORK_SHARED, derivative, nearest_point, pupil_distance
from tests.recon.heads import camera_at, sweep
from tests.recon.test_scale import SKIN, drawn

TURNS = np.array([[-31.5, 2.0, -8.0], [31.5, 2.0, -8.0]])
"""Centres of rotation, right and left, mm."""
BALL_MM, IRIS_HALF_MM = 10.5, 5.85
YAWS = [-24, -18, -9, 0, 7, 17, 30]
NEAR = [k for k, yaw in enumerate(YAWS) if abs(yaw) <= 20]


def filmed(looks_at_phone: bool, yaws=YAWS, nod_deg=6.0):
    """Landmarks of both irises as cameras see them, the cameras, and the model's own pupils, which are 3 mm wrong."""
    cameras = [camera_at(yaw, nod_deg * np.sin(k), distance_mm=420.0) for k, yaw in enumerate(yaws)]
    points = np.zeros((len(cameras), 478, 2))
    for k, camera in enumerate(cameras):
        for turn, (a, b, centre, inner, outer) in zip(TURNS, ((469, 471, 468, 33, 133), (474, 476, 473, 362, 263)),
                                                      strict=True):
            towards = camera.position_mm - turn if looks_at_phone else np.array([0.0, 0.0, 1.0])
            iris = turn + BALL_MM * towards / np.linalg.norm(towards)
            across = camera.cam_from_head[0, :3]
            world = [iris - IRIS_HALF_MM * across, iris + IRIS_HALF_MM * across, iris, iris - 15 * across,
                     iris + 15 * across]
            points[k, [a, b, centre, inner, outer]] = camera.px_from_points(np.array(world))
    landmarks = np.zeros((478, 3))
    landmarks[[468, 473]] = TURNS + [[-1.5, 0, BALL_MM + 1], [1.5, 0, BALL_MM + 1]]
    return points, cameras, landmarks


def measured(points, cameras, landmarks, pictures=None, shut=()):
    """The distance; without pictures of the eyes, of blank ones."""
    blank = [np.full((c.size_wh[1], c.size_wh[0], 3), SKIN, np.uint8) for c in cameras]
    is_open = np.full((len(cameras), 2), True)
    is_open[list(shut), 1] = False
    return pupil_distance(points, cameras, landmarks, is_open, (pictures or blank).__getitem__)


@pytest.mark.parametrize("looks_at_phone", [False, True])
def test_the_distance_is_that_of_far_gaze(looks_at_phone):
    """Eyes that look at the phone converge: in any one view their irises are 1.5 mm closer together."""
    points, cameras, landmarks = filmed(looks_at_phone)
    found = measured(points, cameras, landmarks)
    assert found.units == pytest.approx(63.0, rel=0.002)
    assert NETWORK_SHARED <= found.sd < 1.5 * NETWORK_SHARED


@pytest.mark.parametrize("looks_at_phone", [False, True])
def test_the_limbus_in_the_pictures_corrects_the_landmarks(looks_at_phone):
    points, cameras, landmarks = filmed(looks_at_phone)
    pictures = drawn(points, cameras)
    points[:, 468] += [1.0, 0.5]
    points[:, 473] -= [1.0, 0.5]
    wrong, found = measured(points, cameras, landmarks), measured(points, cameras, landmarks, pictures)
    assert abs(wrong.units / 63 - 1) > 0.015
    assert found.units == pytest.approx(63.0, rel=0.003)
    assert LIMBUS_SHARED <= found.sd < wrong.sd


def test_one_view_that_is_wrong_is_left_out():
    points, cameras, landmarks = filmed(False)
    points[NEAR[2], 473] += [12.0, 3.0]
    assert measured(points, cameras, landmarks).units == pytest.approx(63.0, rel=0.003)


def test_too_few_open_eyes_say_nothing():
    points, cameras, landmarks = filmed(False)
    assert measured(points, cameras, landmarks, shut=NEAR[LEAST_VIEWS:]) is not None
    assert measured(points, cameras, landmarks, shut=NEAR[LEAST_VIEWS - 1:]) is None
    assert measured(*filmed(False, [25, 30, 35, 40, 45])) is None


def test_views_from_one_side_leave_the_depth_to_the_model():
    """No parallax: the point stays about as deep as the model has it, and the distance is less sure."""
    points, cameras, landmarks = filmed(False, [-0.2, -0.1, 0.0, 0.1, 0.2], 0.0)
    points += np.random.default_rng(5).normal(0, 0.2, points.shape)
    found = measured(points, cameras, landmarks)
    assert found.units == pytest.approx(63.0, rel=0.02)
    assert found.sd > 1.2 * measured(*filmed(False)).sd


def test_the_covariance_is_that_of_repeated_measurement():
    cameras = sweep(9, 20.0)
    truth, rng = np.array([30.0, 5.0, -3.0]), np.random.default_rng(7)
    clean = np.stack([c.px_from_points(truth) for c in cameras])
    runs = [nearest_point(clean + rng.normal(0, 0.4, clean.shape), cameras, truth + 1.0) for _ in range(120)]
    stated = np.sqrt(np.mean([np.diag(cov) for _, cov in runs], axis=0))
    happened = np.std([point for point, _ in runs], axis=0)
    assert stated == pytest.approx(happened, rel=0.4)
    assert np.mean([point for point, _ in runs], axis=0) == pytest.approx(truth, abs=0.15)


def test_the_derivative_is_the_difference_quotient():
    camera, X, step = camera_at(17.0, 5.0), np.array([20.0, -4.0, 6.0]), 1e-4
    quotient = np.stack([(camera.px_from_points(X + step * e) - camera.px_from_points(X - step * e)) / (2 * step)
                         for e in np.eye(3)], 1)
    assert derivative(camera, X) == pytest.approx(quotient, abs=1e-6)
