"""Upper face: a face whose lower part moved is told from a rigid one; a part says what a fit of it alone says."""

import copy

import numpy as np
import pycolmap
import pytest

from recon.settle import adjust_all
from recon.upper_face import UPPER_MM, heights, step, upper_alone

F, PLACES = 900.0, 240


def poses():
    """Twelve cameras that go around a head from one side to the other, 440 mm away."""
    out = []
    for yaw in np.radians(np.linspace(-50, 50, 12)):
        turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, -1, 0], [-np.sin(yaw), 0, -np.cos(yaw)]])
        out.append(np.vstack([np.column_stack([turn, [0, 0, 440.0]]), [0, 0, 0, 1]]))
    return out


def head(seed, chin_down_mm=0.0, noise_px=0.3):
    """A settled scene of points on an ellipsoid; those 20 mm under the eyes and lower come down during the turn, most
    in the middle. And its cameras in the head's frame, by picture."""
    rng = np.random.default_rng(seed)
    towards = rng.normal(size=(PLACES, 3))
    towards[:, 2] = np.abs(towards[:, 2])
    at = towards / np.linalg.norm(towards, axis=1, keepdims=True) * [70, 90, 80] + [0, -20, -80]
    scene = pycolmap.Reconstruction()
    scene.add_camera_with_trivial_rig(pycolmap.Camera(
        model="SIMPLE_PINHOLE", width=720, height=1280, params=[F, 360, 640], camera_id=1))
    cameras = dict(enumerate(poses(), start=1))
    for image, pose in cameras.items():
        down = np.where(at[:, 1] < UPPER_MM, chin_down_mm * np.sin(np.pi * (image - 1) / 11), 0)
        cam = (at - down[:, None] * [0, 1, 0]) @ pose[:3, :3].T + pose[:3, 3]
        px = F * cam[:, :2] / cam[:, 2:] + [360, 640] + rng.normal(scale=noise_px, size=(PLACES, 2))
        shown = pycolmap.Image(image_id=image, name=f"{image}.png", camera_id=1)
        shown.points2D = pycolmap.Point2DList([pycolmap.Point2D(p) for p in px])
        scene.add_image_with_trivial_frame(shown, pycolmap.Rigid3d(pose[:3]))
    for row, place in enumerate(at):
        track = pycolmap.Track()
        for image in cameras:
            track.add_element(image, row)
        scene.add_point3D(place, track, np.zeros(3, np.uint8))
    adjust_all(scene)
    return scene, cameras


def focal(scene):
    return np.log(scene.cameras[1].params[0] / F)


def without(scene, part):
    """The scene settled on the other points alone."""
    out = copy.deepcopy(scene)
    for point in np.array(list(scene.points3D.keys()))[part].tolist():
        out.delete_point3D(point)
    adjust_all(out)
    return out


def test_heights_are_those_of_the_head_wherever_the_scene_lies():
    scene, cameras = head(1, noise_px=0.0)
    before = np.array([p.xyz[1] for p in scene.points3D.values()])
    scene.transform(pycolmap.Sim3d(0.01, pycolmap.Rotation3d(np.array([0.1, 0.7, 0.1, 0.7])), np.array([3.0, 1, 2])))
    np.testing.assert_allclose(heights(scene, cameras), before, atol=1e-3)


def test_a_part_says_what_a_fit_of_it_alone_says():
    scene, cameras = head(2)
    upper = heights(scene, cameras) > UPPER_MM
    for part in (upper, ~upper):
        off, spread = step(scene, 1, part)
        assert off == pytest.approx(focal(without(scene, ~part)) - focal(scene), abs=0.25 * spread)
    off, spread = step(scene, 1, np.ones(PLACES, bool))
    assert abs(off) < 0.1 * spread


def test_a_lower_face_that_moved_is_left_out():
    scene, cameras = head(3, chin_down_mm=3.0)
    assert abs(focal(scene)) > 0.03
    alone = upper_alone(scene, cameras)
    assert alone is not None and abs(focal(alone)) < 0.01
    assert min(heights(alone, cameras)) > UPPER_MM - 3


@pytest.mark.parametrize("seed", range(4, 8))
def test_a_rigid_head_is_left_whole(seed):
    assert upper_alone(*head(seed)) is None
