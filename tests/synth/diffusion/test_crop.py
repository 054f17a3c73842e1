"""Crops: square, of the picture's own aspect, and back without touching what is outside the mask."""

import numpy as np
import pytest

from core.camera import Camera
from core.errors import InputRefused
from synth.diffusion.crop import Crop, crop_around, resized
from tests.synth.diffusion.tiny import disc, picture


@pytest.mark.parametrize(("size_wh", "x", "y", "radius"), [
    ((1080, 1920), 500.0, 900.0, 100.0), ((1080, 1920), 20.0, 1900.0, 150.0), ((640, 480), 320.0, 240.0, 300.0),
    ((100, 150), 50.0, 75.0, 4.0)])
def test_a_crop_holds_the_mask_and_is_square(size_wh, x, y, radius):
    w, h = size_wh
    mask = disc(h, w, x, y, radius)
    crop = crop_around(mask)
    rows, columns = np.nonzero(mask > 1 / 255)
    assert crop.x0 <= columns.min() and columns.max() < crop.x0 + crop.side
    assert crop.y0 <= rows.min() and rows.max() < crop.y0 + crop.side
    assert crop.side >= min(64, h) and crop.cut(picture(0, h, w)).shape == (512, 512, 3)


def test_the_crops_camera_sees_what_the_crop_shows():
    camera = Camera(K_px=np.array([[900.0, 0, 270], [0, 900.0, 480], [0, 0, 1]]), cam_from_head=np.eye(4),
                    size_wh=(540, 960))
    crop = Crop(x0=100, y0=250, side=300, size_px=128)
    where = np.array([[20.0, -30, 900], [-60, 40, 1000]])
    full = where[:, :2] / where[:, 2:] * 900 + [270, 480]
    small = crop.camera(camera)
    seen = where @ small.K_px.T
    seen = seen[:, :2] / seen[:, 2:]
    assert np.allclose(seen, (full - [100, 250] + 0.5) * 128 / 300 - 0.5)
    dot = np.zeros((960, 540, 3), np.uint8)
    x, y = np.rint(full[0]).astype(int)
    dot[y - 4:y + 5, x - 4:x + 5] = 255
    rows, columns = np.nonzero(crop.cut(dot)[..., 0] > 127)
    assert abs(rows.mean() - seen[0, 1]) < 0.5 and abs(columns.mean() - seen[0, 0]) < 0.5


@pytest.mark.parametrize("side", [40, 64, 90, 260])
def test_what_is_put_back_changes_nothing_outside_the_mask(side):
    own, mask = picture(1), disc(x=30.0)
    crop = Crop(x0=-10, y0=20, side=side, size_px=64)
    out = crop.put_back(np.full((64, 64, 3), 255, np.uint8), own, mask)
    assert np.array_equal(out[mask == 0], own[mask == 0]) and out.shape == own.shape
    seen = np.zeros(mask.shape, bool)
    seen[20:20 + side, 0:side - 10] = True
    assert (out.astype(int) - own)[(mask > 0.9) & seen].mean() > 20 and np.array_equal(out[~seen], own[~seen])


def test_its_own_crop_put_back_is_the_picture():
    rng = np.random.default_rng(0)
    own, mask = rng.integers(0, 256, (300, 200, 3)).astype(np.uint8), disc(300, 200, 100.0, 150.0, 60.0)
    for side, size in ((128, 128), (190, 64)):
        crop = Crop(x0=5, y0=60, side=side, size_px=size)
        back = crop.put_back(crop.cut(own), own, mask)
        assert np.abs(back.astype(int) - own).max() <= 1, "grain finer than the crop is the picture's own"
    blurred = Crop(x0=5, y0=60, side=190, size_px=64).put_back(
        Crop(x0=5, y0=60, side=190, size_px=64).cut(own), own, mask, keep_grain=False)
    assert np.abs(blurred.astype(int) - own)[mask == 1].mean() > 20


def test_where_the_face_is_known_the_crop_shows_three_times_the_mask_but_no_more_than_the_face():
    from core.transforms import OPENCV_FROM_HEAD, rigid
    from synth.diffusion.crop import face_side_px

    camera = Camera(K_px=np.array([[1000.0, 0, 360], [0, 1000, 480], [0, 0, 1]]), size_wh=(720, 960),
                    cam_from_head=rigid(OPENCV_FROM_HEAD, np.array([0.0, 0, 600])))
    assert 300 < face_side_px(camera) < 330  # 190 mm at 600 mm
    behind = Camera(K_px=camera.K_px, size_wh=(720, 960),
                    cam_from_head=rigid(OPENCV_FROM_HEAD, np.array([0.0, 0, -600])))
    assert face_side_px(behind) == 0
    for radius, side in ((20.0, 3.0), (80.0, None), (140.0, 1.6)):
        mask = disc(960, 720, 360.0, 480.0, radius)
        extent = np.ptp(np.flatnonzero((mask > 1 / 255).any(0))) + 1
        found = crop_around(mask, face_px=face_side_px(camera)).side
        assert found == np.ceil(extent * side if side else face_side_px(camera))


def test_a_mask_that_covers_nothing_is_refused():
    with pytest.raises(InputRefused) as error:
        crop_around(np.zeros((20, 20)))
    assert error.value.code == "empty_mask" and "warp3d" in error.value.hint


def test_resizing_keeps_the_mean():
    own = picture(3, 96, 96).astype(np.float32)
    for size in (32, 200):
        assert resized(own, size).shape == (size, size, 3) and abs(resized(own, size).mean() - own.mean()) < 1
