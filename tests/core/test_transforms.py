"""Transforms: group laws, the signs of the head's angles, Umeyama against what it must recover."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from core.transforms import (
    OPENCV_FROM_HEAD,
    apply,
    head_angles_rad,
    head_rotation,
    inverse,
    rigid,
    rotation_from_vector,
    umeyama,
)

ANGLE = st.floats(-3.0, 3.0)
VECTOR = st.tuples(ANGLE, ANGLE, ANGLE).map(np.array)
MILLIMETRES = st.tuples(*[st.floats(-500, 500)] * 3).map(np.array)


@given(VECTOR)
def test_rodrigues_is_scipys(vector: np.ndarray) -> None:
    np.testing.assert_allclose(rotation_from_vector(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-12)


@pytest.mark.parametrize("angle", [0.0, 1e-12, 0.9e-7, 1.1e-7, 1e-5])
def test_rodrigues_at_small_angles(angle: float) -> None:
    vector = angle * np.array([1.0, -2.0, 2.0]) / 3
    np.testing.assert_allclose(rotation_from_vector(vector), Rotation.from_rotvec(vector).as_matrix(), atol=1e-15)


@given(VECTOR, MILLIMETRES, MILLIMETRES)
def test_inverse_undoes(vector: np.ndarray, translation: np.ndarray, point: np.ndarray) -> None:
    b_from_a = rigid(rotation_from_vector(vector), translation)
    np.testing.assert_allclose(inverse(b_from_a) @ b_from_a, np.eye(4), atol=1e-9)
    np.testing.assert_allclose(apply(inverse(b_from_a), apply(b_from_a, point[None])), point[None], atol=1e-9)


def test_apply_is_rotation_then_translation() -> None:
    quarter = rigid(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.array([10.0, 0, 0]))
    np.testing.assert_allclose(apply(quarter, np.array([[1.0, 0, 0]])), [[10, 1, 0]], atol=1e-15)


@given(st.floats(-3.1, 3.1), st.floats(-1.5, 1.5), st.floats(-3.1, 3.1))
def test_head_angles_invert_head_rotation(yaw: float, pitch: float, roll: float) -> None:
    cam_from_head = rigid(OPENCV_FROM_HEAD @ head_rotation(yaw, pitch, roll), np.array([0.0, 0, 500]))
    np.testing.assert_allclose(head_angles_rad(cam_from_head), [yaw, pitch, roll], atol=1e-9)


def test_signs_of_the_head_angles() -> None:
    """x is the patient's left, y up, z out of the face."""
    nose, crown = np.array([0.0, 0, 1]), np.array([0.0, 1, 0])
    assert (head_rotation(0.2, 0.0, 0.0) @ nose)[0] > 0.1, "positive yaw turns the face to the patient's left"
    assert (head_rotation(0.0, 0.2, 0.0) @ nose)[1] < -0.1, "positive pitch nods down"
    assert (head_rotation(0.0, 0.0, 0.2) @ crown)[0] < -0.1, "positive roll tilts the crown to the patient's right"


@settings(max_examples=50)
@given(VECTOR, MILLIMETRES, st.floats(0.05, 20), st.integers(0, 2**32 - 1))
def test_umeyama_recovers_a_similarity(vector: np.ndarray, shift: np.ndarray, size: float, seed: int) -> None:
    source = np.random.default_rng(seed).normal(size=(8, 3))
    rotation = rotation_from_vector(vector)
    scale, found, moved = umeyama(source, size * source @ rotation.T + shift)
    np.testing.assert_allclose(scale, size, rtol=1e-9)
    np.testing.assert_allclose(found, rotation, atol=1e-8)
    np.testing.assert_allclose(moved, shift, atol=1e-6)


def test_umeyama_never_mirrors() -> None:
    source = np.random.default_rng(3).normal(size=(20, 3))
    _, rotation, _ = umeyama(source, source * [-1, 1, 1])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_umeyama_is_the_best_of_its_neighbours() -> None:
    rng = np.random.default_rng(4)
    source, weights = rng.normal(size=(30, 3)), rng.random(30)
    target = 2 * source @ rotation_from_vector(np.array([0.3, 0.2, -1.0])).T + rng.normal(0, 0.3, (30, 3))

    def cost(scale: float, rotation: np.ndarray, shift: np.ndarray) -> float:
        return float(weights @ ((scale * source @ rotation.T + shift - target) ** 2).sum(1))

    scale, rotation, shift = umeyama(source, target, weights)
    best = cost(scale, rotation, shift)
    for _ in range(50):
        nudged = (scale * (1 + rng.normal(0, 1e-3)), rotation @ rotation_from_vector(rng.normal(0, 1e-3, 3)),
                  shift + rng.normal(0, 1e-3, 3))
        assert cost(*nudged) > best


def test_umeyama_ignores_points_without_weight() -> None:
    source = np.random.default_rng(5).normal(size=(6, 3))
    target = source + 1.0
    target[5] += 100
    scale, rotation, shift = umeyama(source, target, np.array([1.0, 1, 1, 1, 1, 0]))
    np.testing.assert_allclose(scale * source[:5] @ rotation.T + shift, target[:5], atol=1e-9)


def test_umeyama_without_scale_keeps_lengths() -> None:
    source = np.random.default_rng(6).normal(size=(6, 3))
    assert umeyama(source, 3 * source, with_scale=False)[0] == 1
