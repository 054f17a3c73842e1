"""Light that was put on skin is found again, in the frame in which it stands still."""

import dataclasses

import numpy as np
import pytest

from core.transforms import OPENCV_FROM_HEAD, head_rotation
from recon.light import GAMMA, Light, Samples, even, facing, fit_light, harmonics, log_linear

YAWS = np.radians([0.0, -50, -35, -20, 20, 35, 50])
FRONT = 0


def lamp(n: np.ndarray, towards: np.ndarray, ambient: float = 0.4) -> np.ndarray:
    """A matt surface under one lamp."""
    return ambient + (1 - ambient) * np.clip(n @ towards, 0, None)


def filmed(towards, frame: str, seed: int = 0, noise: float = 0.0, exposure: float = 0.0, spread: float = 0.08):
    """Samples of a symmetric face-like cap of normals under a coloured lamp, and what lit them (K,V,3)."""
    rng = np.random.default_rng(seed)
    n = rng.normal(size=(1500, 3)) * [1, 0.8, 0.5] + [0, 0, 0.9]
    n = np.concatenate([n, n * [-1, 1, 1]])
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    n = n[n[:, 2] > 0.1]
    group = np.unique(np.round(np.column_stack([np.abs(n[:, 0]), n[:, 1:]]) * 12).astype(int), axis=0,
                      return_inverse=True)[1].reshape(-1)
    rotations = np.stack([OPENCV_FROM_HEAD @ head_rotation(float(y), 0.0, 0.0) for y in YAWS])
    turned = np.einsum("kij,vj->kvi", rotations, n)
    towards = np.asarray(towards, float) / np.linalg.norm(towards)
    shown = lamp(turned if frame == "room" else np.broadcast_to(n, turned.shape), towards)
    gain = np.exp(exposure * rng.normal(size=len(YAWS)))
    gain[FRONT] = 1
    light = shown[..., None] ** np.array([1.0, 0.9, 0.8]) * gain[:, None, None]
    albedo = np.exp(spread * rng.normal(size=(group.max() + 1, 1)) + np.log([0.5, 0.32, 0.25]))[group]
    colour = np.log(light * albedo) + noise * rng.normal(size=light.shape)
    weight = np.clip(-turned[..., 2] / 0.7, 0, 1) * (turned[..., 2] < -0.2)
    return Samples(log_colour=colour, weight=weight, normals=n, rotations=rotations, group=group), light, gain


def factors(light: Light, samples: Samples) -> np.ndarray:
    return np.stack([light.factor(samples.normals, r, k) for k, r in enumerate(samples.rotations)])


def left_over(found: np.ndarray, light: np.ndarray, weight: np.ndarray) -> float:
    """Deviation of log (sRGB) light that the found one leaves, against that of no light at all."""
    def deviation(values: np.ndarray) -> float:
        mean = np.average(values, weights=weight)
        return float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))

    channels = [deviation(np.log(light[..., c]) / GAMMA - np.log(found[..., c])) / deviation(
        np.log(light[..., c]) / GAMMA) for c in range(3)]
    return max(channels)


@pytest.mark.parametrize("towards", [(-0.6, -0.5, -0.6), (0.8, 0.0, -0.6), (0.0, -0.8, -0.6)])
def test_a_lamp_in_the_room_is_found(towards):
    samples, light, _ = filmed(towards, "room", noise=0.03)
    found = fit_light(samples, FRONT)
    assert found.frame == "room"
    assert left_over(factors(found, samples), light, samples.weight) < 0.3
    assert found.left < 0.5 * found.without


@pytest.mark.parametrize("towards", [(0.7, 0.2, 0.6), (-0.4, 0.7, 0.6)])
def test_a_lamp_that_stands_still_with_the_head_is_found(towards):
    """The phone goes round a still head: only evenness of skin and symmetry tell, and exposure drifts."""
    samples, light, _ = filmed(towards, "head", noise=0.03, exposure=0.2, spread=0.04)
    found = fit_light(samples, FRONT)
    assert found.frame == "head"
    assert left_over(factors(found, samples), light, samples.weight) < 0.45


def test_exposure_of_every_view_is_found():
    samples, _, gain = filmed((-0.6, -0.3, -0.7), "room", noise=0.02, exposure=0.3)
    assert np.abs(fit_light(samples, FRONT).exposure - np.log(gain)[:, None]).max() < 0.06


def test_a_tenth_of_wrong_samples_changes_little():
    samples, light, _ = filmed((-0.6, -0.5, -0.6), "room", noise=0.03)
    rng = np.random.default_rng(4)
    wrong = rng.random(samples.weight.shape) < 0.1
    colour = np.where(wrong[..., None], rng.uniform(-4, 0, samples.log_colour.shape), samples.log_colour)
    found = fit_light(dataclasses.replace(samples, log_colour=colour), FRONT)
    assert left_over(factors(found, samples), light, samples.weight) < 0.35


def test_mean_skin_keeps_its_colour_in_the_frontal_view():
    samples, _, _ = filmed((-0.6, -0.5, -0.6), "room")
    found = fit_light(samples, FRONT)
    mean = np.average(np.log(factors(found, samples)[FRONT]), axis=0, weights=samples.weight[FRONT])
    assert np.abs(mean).max() < 0.05


def test_even_light_gives_an_even_factor():
    """Skin of one colour under no lamp: nothing to take off."""
    samples, _, _ = filmed((0, 0, -1.0), "room", spread=0.05)
    flat = np.broadcast_to(np.log([0.5, 0.3, 0.2]), samples.log_colour.shape).copy()
    found = fit_light(dataclasses.replace(samples, log_colour=flat), FRONT)
    assert np.abs(np.log(factors(found, samples))).max() < 0.02
    assert np.allclose(even(2).factor(samples.normals, samples.rotations[1], 1), 1)


def test_nothing_seen_gives_an_even_light():
    samples, _, _ = filmed((0, 0, -1.0), "room")
    found = fit_light(dataclasses.replace(samples, weight=np.zeros_like(samples.weight)), FRONT)
    assert np.allclose(factors(found, samples), 1)


def test_harmonics_of_turned_normals_are_mixtures_of_the_same_nine():
    """Turning the head turns the light's coefficients: the space is closed under rotation."""
    rng = np.random.default_rng(1)
    n = rng.normal(size=(200, 3))
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    turned = harmonics(n @ head_rotation(0.3, -0.2, 0.5).T)
    mixture, *_ = np.linalg.lstsq(harmonics(n), turned, rcond=None)
    assert np.abs(harmonics(n) @ mixture - turned).max() < 1e-10
    assert np.linalg.matrix_rank(harmonics(n)) == 9


def test_normals_that_face_away_are_turned_to_the_limb():
    n = facing(np.array([[0.0, 0, -1], [1, 0, 0], [0, 0, 1], [0.6, 0, 0.8]]))
    assert np.allclose(np.linalg.norm(n, axis=1), 1)
    assert (n[:, 2] < 0).all() and np.allclose(n[0], [0, 0, -1])


def test_log_linear_undoes_the_power_and_has_a_floor():
    assert np.allclose(log_linear(np.array([255.0, 127.5, 127.5])), [0, GAMMA * np.log(0.5), GAMMA * np.log(0.5)])
    assert np.array_equal(log_linear(np.zeros(3)), log_linear(np.full(3, 2.0)))
