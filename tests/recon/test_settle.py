"""Settle and lens: a bend that was put in is found and taken out; one that cannot be seen is not believed."""

import dataclasses

import cv2
import numpy as np
import pycolmap
import pytest

from core.camera import Camera
from recon.lens import MOST_SD, Lens, bending, straight_px, straightened
from recon.settle import UNDERSTATED_FOCAL, UNDERSTATED_K, lens_sd, lenses_of

F = 1280.0


def scene_of(k, seed, points=150, noise_px=0.5):
    """Ten views of points all over the picture through a lens with k, handed on as if its lens were straight."""
    pycolmap.set_random_seed(seed)
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_frames_per_rig, options.num_points3D = 1, 10, points
    options.camera_params = [F, 512.0, 384.0, k]
    scene = pycolmap.synthesize_dataset(options)
    noise = pycolmap.SyntheticNoiseOptions()
    noise.point2D_stddev = noise_px
    pycolmap.synthesize_noise(noise, scene)
    for camera in scene.cameras.values():
        camera.model, camera.params = pycolmap.CameraModelId.SIMPLE_PINHOLE, [F, 512.0, 384.0]
    return scene


def lens_in(scene) -> Lens:
    lens, = lenses_of(scene).values()
    return lens


def test_a_bend_is_found_and_believed():
    lens = lens_in(scene_of(-0.08, seed=1))
    assert lens.bends and abs(lens.k + 0.08) < 3 * lens.k_sd / UNDERSTATED_K
    assert abs(np.log(lens.focal_px / F)) < 3 * lens.focal_sd / UNDERSTATED_FOCAL


def test_a_straight_lens_stays_straight():
    lens = lens_in(scene_of(0.0, seed=2))
    assert not lens.bends and lens.k_sd < MOST_SD and abs(lens.k) < 3 * lens.k_sd


def test_the_spreads_are_those_of_many_films():
    """Of one noise's many draws; the equations alone, without what is known of how they err."""
    scenes = [scene_of(-0.05, seed=10 + n, noise_px=1.0) for n in range(24)]
    found = [lens_in(scene) for scene in scenes]
    stated = np.median([lens_sd(scene, next(iter(scene.cameras))) for scene in scenes], axis=0)
    scatter = np.std([(np.log(lens.focal_px), lens.k) for lens in found], axis=0)
    assert (scatter / stated > 0.6).all() and (scatter / stated < 1.6).all()


@pytest.mark.parametrize(("k", "k_sd", "bends"), [(-0.08, 0.01, True), (-0.08, 0.04, False), (0.02, 0.01, False)])
def test_a_bend_must_be_both_known_and_there(k, k_sd, bends):
    assert Lens(focal_px=F, focal_sd=0.01, k=k, k_sd=k_sd).bends == bends


def test_straight_points_are_those_of_a_straight_lens():
    lens = bending(800.0, -0.12, (720, 1280))
    points = np.random.default_rng(4).uniform([-150, -280, 400], [150, 280, 500], (200, 3))
    straight = dataclasses.replace(lens, distortion=np.zeros(5))
    assert np.abs(lens.px_from_points(points) - straight.px_from_points(points)).max() > 10
    np.testing.assert_allclose(straight_px(lens.px_from_points(points), lens), straight.px_from_points(points),
                               atol=1e-3)
    np.testing.assert_array_equal(straight_px(points[:, :2], straight), points[:, :2])


def test_a_straightened_picture_shows_points_where_a_straight_lens_does():
    lens = bending(400.0, -0.1, (360, 480))
    dots = np.array([[60.0, 70, 400], [-110, 150, 400], [20, -190, 400]])
    picture = np.zeros((480, 360, 3), np.uint8)
    for x, y in lens.px_from_points(dots):
        cv2.circle(picture, (round(16 * x), round(16 * y)), 3 * 16, (255, 255, 255), -1, cv2.LINE_AA, 4)
    shown = straightened(picture, lens)[..., 0]
    straight: Camera = dataclasses.replace(lens, distortion=np.zeros(5))
    for x, y in straight.px_from_points(dots):
        row, column = round(y), round(x)
        window = shown[row - 8:row + 9, column - 8:column + 9].astype(float)
        at = np.array([(window.sum(1 - axis) * np.arange(-8, 9)).sum() / window.sum() for axis in (1, 0)])
        assert np.abs(at + [column, row] - [x, y]).max() < 0.2
    assert straightened(picture, straight) is picture
