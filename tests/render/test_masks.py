"""The surgical mask: it holds everything that changes, on both silhouettes, and is exactly zero elsewhere."""

import dataclasses

import numpy as np
import pytest

from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh
from core.transforms import head_rotation
from render.masks import SURGICAL, faded, shift_px, surgical_mask
from render.picture import AS_SEEN, picture
from render.rasterize import rasterize
from tests.core.builders import sphere
from tests.render.scenes import front_camera, noise, square

RADIUS_MM = 60.0


def bump(mesh: Mesh, towards: tuple[float, float, float], height_mm: float, reach_mm: float = 25.0) -> np.ndarray:
    """A compact smooth hill along the normals around the point of the globe in that direction."""
    centre = np.array(towards) / np.linalg.norm(towards) * RADIUS_MM
    near = np.clip(1 - np.linalg.norm(mesh.vertices_mm - centre, axis=1) / reach_mm, 0, 1)
    return height_mm * (near * near * (3 - 2 * near))[:, None] * mesh.vertices_mm / RADIUS_MM


def scene(towards: tuple[float, float, float] = (1.0, 0.0, 0.2), height_mm: float = 6.0,
          yaw: float = 0.0) -> tuple[Mesh, np.ndarray, Camera, Fragments, Fragments]:
    mesh = sphere(RADIUS_MM, 80, 160)
    moved_mm = bump(mesh, towards, height_mm)
    camera = front_camera(600.0, (240, 220), rotation=head_rotation(yaw, 0.0, 0.0))
    return mesh, moved_mm, camera, rasterize(mesh, camera), rasterize(mesh.moved(moved_mm), camera)


@pytest.mark.parametrize("height_mm", [-6.0, 6.0])
@pytest.mark.parametrize("towards", [(1.0, 0.0, 0.2), (0.3, 0.2, 1.0)])
def test_it_holds_all_pixels_that_change(towards: tuple[float, float, float], height_mm: float) -> None:
    """Brute force: draw noise skin before and after; what differs strongly lies where the mask is one."""
    mesh, moved_mm, camera, before, after = scene(towards, height_mm)
    mask = surgical_mask(before, after, mesh, moved_mm, camera)
    shots = [picture(f, m, camera, noise(3, 80), AS_SEEN).astype(int)
             for f, m in ((before, mesh), (after, mesh.moved(moved_mm)))]
    changed = np.abs(shots[0] - shots[1]).max(-1)
    assert (changed > 40).sum() > 200
    assert mask[changed > 40].min() > 0.98
    assert changed[mask == 0].max() <= 40  # a quarter pixel of a texel of two
    flipped = before.covered != after.covered
    assert flipped.any() == (towards[0] == 1.0) and np.all(mask[flipped] > 0.99)


def test_both_silhouettes_count() -> None:
    """A hill at the edge reaches onto the ground; a dent uncovers ground; each with the other picture's pixels."""
    for height_mm in (6.0, -6.0):
        mesh, moved_mm, camera, before, after = scene(height_mm=height_mm)
        mask = surgical_mask(before, after, mesh, moved_mm, camera)
        own, other = (after, before) if height_mm > 0 else (before, after)
        only = own.covered & ~other.covered
        one_sided = surgical_mask(other, other, mesh, moved_mm, camera, dataclasses.replace(SURGICAL, feather_mm=0.1))
        assert only.sum() > 100 and mask[only].min() > 0.99
        assert one_sided[only].min() == 0.0


def test_it_is_zero_beyond_the_feather_and_fades_between() -> None:
    mesh, moved_mm, camera, before, after = scene()
    mask = surgical_mask(before, after, mesh, moved_mm, camera)
    still = np.linalg.norm(moved_mm, axis=1, keepdims=True) < 1e-9
    far = before.interpolate(still.astype(float), mesh.faces)[..., 0] > 0.999
    far &= after.interpolate(still.astype(float), mesh.faces)[..., 0] > 0.999
    y, x = np.nonzero(far)
    away = x < 110  # the hill lies at the right edge
    assert away.sum() > 5000 and not mask[y[away], x[away]].any()
    assert mask.max() == 1 and mask.min() == 0 and mask.dtype == np.float32
    steps = np.abs(np.diff(mask, axis=1)).max()
    assert steps < 2 * 1.5 / (4.0 * 600 / 500)  # the slope of 3t^2 - 2t^3 over 4 mm at 1.2 px/mm, and a margin


def test_zero_motion_gives_zero() -> None:
    mesh, moved_mm, camera, before, _ = scene()
    assert not surgical_mask(before, before, mesh, np.zeros_like(moved_mm), camera).any()
    assert not surgical_mask(before, before, mesh, moved_mm * 0.01, camera).any()  # 0.06 mm: nobody sees it


def test_motion_in_depth_needs_the_threshold_in_mm() -> None:
    mesh = square(60.0)
    camera = front_camera(600.0)
    moved_mm = np.tile([0.0, 0.0, 0.5], (4, 1))
    seen = rasterize(mesh, camera), rasterize(mesh.moved(moved_mm), camera)
    assert np.linalg.norm(shift_px(mesh, moved_mm, camera), axis=1).max() < 0.25
    assert surgical_mask(*seen, mesh, moved_mm, camera).max() == 1
    only_px = dataclasses.replace(SURGICAL, low_mm=None)
    assert not surgical_mask(*seen, mesh, moved_mm, camera, only_px).any()
    with pytest.raises(ValueError, match="threshold"):
        surgical_mask(*seen, mesh, moved_mm, camera, dataclasses.replace(only_px, low_px=None))


def test_the_feather_grows_with_the_face() -> None:
    """The same head at twice the resolution gives the same mask, twice the size."""
    mesh, moved_mm, camera, before, after = scene()
    small = surgical_mask(before, after, mesh, moved_mm, camera)
    fine = camera.resized((480, 440))
    options = dataclasses.replace(SURGICAL, low_px=0.5)
    large = surgical_mask(rasterize(mesh, fine), rasterize(mesh.moved(moved_mm), fine), mesh, moved_mm, fine, options)
    assert np.abs(large.reshape(220, 2, 240, 2).mean((1, 3)) - small).mean() < 0.05 * small.mean()


def test_left_equals_right() -> None:
    left = scene(towards=(1.0, 0.1, 0.6))
    right = scene(towards=(-1.0, 0.1, 0.6))
    masks = [surgical_mask(before, after, mesh, moved, camera) for mesh, moved, camera, before, after in (left, right)]
    assert np.abs(masks[0] - masks[1][:, ::-1]).max() < 0.35  # a pixel's step at the edge of the core
    assert abs(masks[0].sum() / masks[1].sum() - 1) < 0.005


def test_the_fade_is_the_formula() -> None:
    core = np.zeros((1, 12), bool)
    core[0, 2] = True
    t = np.clip(1 - (np.abs(np.arange(12) - 2) - 1) / 4, 0, 1)
    assert np.abs(faded(core, 4.0)[0] - (3 * t**2 - 2 * t**3)).max() < 1e-6
    assert not faded(np.zeros((3, 3), bool), 4.0).any()


def test_sizes_must_agree() -> None:
    mesh, moved_mm, camera, before, after = scene()
    with pytest.raises(ValueError, match="one size"):
        surgical_mask(before, after, mesh, moved_mm, camera.resized((120, 110)))
