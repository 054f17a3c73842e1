"""Laws of the flat warp: it lands, stops at its edge, does not fold, and knows neither left, roll nor pixel size."""

import numpy as np
import pytest

from core.errors import UsageError
from synth import thinplate
from synth.thinplate import ThinPlateOptions, apply, find, greens_function, warped


def landmarks(side: int, count: int = 140) -> np.ndarray:
    """A sunflower of points about the middle of a square picture, a third of its side in radius (px)."""
    k = np.arange(count) + 0.5
    radius, angle = 0.33 * np.sqrt(k / count), np.pi * (3 - np.sqrt(5)) * k
    return (np.stack([radius * np.cos(angle), radius * np.sin(angle)], -1) + 0.5) * side - 0.5


def moved(points: np.ndarray, side: int, share: float = 0.03, middle: tuple[float, float] = (0.5, 0.58)) -> np.ndarray:
    """A smooth patch below the middle goes sideways and up."""
    far = np.linalg.norm((points + 0.5) / side - np.array(middle), axis=1)
    return points + side * share * np.exp(-(far / 0.12)**2)[:, None] * np.array([0.6, -1.0])


def disc(side: int, radius: float = 0.3, middle: tuple[float, float] = (0.5, 0.55)) -> np.ndarray:
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    return ((x - middle[0])**2 + (y - middle[1])**2 < radius**2).astype(float)


def sources(warp: thinplate.Warp) -> np.ndarray:
    """Where each pixel comes from (px)."""
    width, height = warp.size_wh
    found = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(float)
    for rows, columns, source in thinplate.maps(warp):
        keep = thinplate.inside(warp, rows, columns)
        found[rows, columns][keep] = source[keep]
    return found


def picture(side: int, seed: int = 0) -> np.ndarray:
    """Soft noise, with grain of a few pixels."""
    import cv2

    rough = np.random.default_rng(seed).uniform(0, 255, (side // 4, side // 4, 3)).astype(np.float32)
    return np.clip(cv2.resize(rough, (side, side), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def test_greens_function_of_the_clamped_disc():
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.6, 0.6, (60, 2))
    matrix = greens_function(points, points)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix).min() > 0
    angle = np.linspace(0, 6, 20)
    rim = np.stack([np.cos(angle), np.sin(angle)], -1)
    assert np.abs(greens_function(rim, points)).max() < 1e-12
    slope = greens_function(rim * (1 - 1e-5), points) / 1e-5
    assert slope.max() < 1e-3, "it is clamped, not hinged"
    r = np.linspace(0.01, 1, 50)
    under_load = 2 * greens_function(np.stack([r, 0 * r], -1), np.zeros((1, 2)))[:, 0]
    np.testing.assert_allclose(under_load, 1 - r**2 + 2 * r**2 * np.log(r), atol=1e-12)


@pytest.mark.parametrize("region", [False, True])
def test_every_landmark_lands_and_the_picture_with_it(region):
    side, points = 320, landmarks(320)
    to = moved(points, side)
    warp = find((side, side), points, to, disc(side, 0.44) if region else None)
    assert warp.share == 1 and np.linalg.norm(warp.landed_px - to, axis=1).max() < 0.05
    blob = np.zeros((side, side, 3), np.uint8)
    chosen = int(np.linalg.norm(to - points, axis=1).argmax())
    y, x = np.mgrid[:side, :side]
    blob[:] = (250 * np.exp(-((x - points[chosen, 0])**2 + (y - points[chosen, 1])**2) / 18))[..., None]
    weight = apply(blob, warp)[..., 0].astype(float)
    seen = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    assert np.linalg.norm(to[chosen] - points[chosen]) > 8 and np.linalg.norm(seen - to[chosen]) < 0.4


@pytest.mark.parametrize(("side", "region"), [(200, False), (200, True), (1000, False), (1000, True)])
def test_grid_and_splines_stand_for_the_dense_evaluation(side, region):
    points, mask = landmarks(side), disc(side) if region else None
    to = moved(points, side)
    warp = find((side, side), points, to, mask)
    plate = thinplate.Plate((side, side), points, to - points, mask, None, thinplate.THIN_PLATE)
    pixels = np.random.default_rng(2).integers(0, side, (4000, 2)).astype(float)
    source = sources(warp)[pixels[:, 1].astype(int), pixels[:, 0].astype(int)]
    window = np.ones(len(pixels))
    if region:
        far = side * 0.3 - np.linalg.norm(source + 0.5 - side * np.array([0.5, 0.55]), axis=1)
        window = thinplate.smoothstep(far / (0.25 * np.sqrt(mask.sum() / np.pi)))
    error = np.linalg.norm(source + plate.bend(source, window) - pixels, axis=1)
    assert np.linalg.norm(source - pixels, axis=1).max() > 0.02 * side, "the pixels did not try the bend"
    assert error.max() < 0.1


def test_nothing_moves_when_nothing_is_asked():
    points, original = landmarks(128), picture(128)
    assert np.array_equal(warped(original, points, points.copy()), original)
    assert np.array_equal(warped(original, points, moved(points, 128), np.zeros((128, 128))), original)


@pytest.mark.parametrize("region", [False, True])
def test_outside_no_byte_changes(region):
    side, original, mask = 256, picture(256), disc(256, 0.25)
    points = landmarks(side)
    chosen = points if region else points[np.linalg.norm(points - 0.55 * side, axis=1) < 0.12 * side]
    result = warped(original, chosen, moved(chosen, side), mask if region else None)
    changed = (result != original).any(-1)
    warp = find((side, side), chosen, moved(chosen, side), mask if region else None)
    y, x = np.mgrid[:side, :side]
    outside = mask == 0 if region else (x - warp.centre_px[0])**2 + (y - warp.centre_px[1])**2 >= warp.radius_px**2
    assert outside.sum() > 1000 and not changed[outside].any()
    assert changed[~outside].mean() > 0.3


def test_rigid_parts_keep_every_byte_beside_skin_that_moves():
    side, original = 256, picture(256)
    points, eye = landmarks(side), disc(side, 0.05, (0.42, 0.5))
    result = warped(original, points, moved(points, side), None, eye)
    assert np.array_equal(result[eye > 0], original[eye > 0])
    assert (result != original).any(-1)[disc(side, 0.06, (0.55, 0.6)) > 0].mean() > 0.9
    warp = find((side, side), points, moved(points, side), None, eye)
    assert smallest_area(sources(warp)) > 0


def smallest_area(source: np.ndarray) -> float:
    """The smallest signed area that a pixel of the result takes from the picture (px^2)."""
    right, down = np.diff(source, axis=1)[:-1], np.diff(source, axis=0)[:, :-1]
    return float((right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]).min())


def test_never_a_fold_and_the_limit_is_said():
    side, points = 256, landmarks(256)
    shares = []
    for asked in (0.03, 0.1, 0.3, 0.6):
        to = moved(points, side, asked)
        warp = find((side, side), points, to)
        shares.append(warp.share)
        assert smallest_area(sources(warp)) > 0
        np.testing.assert_allclose(warp.landed_px - points, warp.share * (to - points), atol=0.1)
    assert shares[0] == 1 and shares[-1] < 0.7 and np.all(np.diff(shares) <= 0)
    free = find((side, side), points, moved(points, side, 0.6), options=ThinPlateOptions(least_jacobian=-1e9))
    assert free.share == 1, "without the limit the same motion is not reduced"


def test_left_equals_right():
    side, points, mask = 300, landmarks(300), disc(300, 0.4, (0.47, 0.5))
    to, original = moved(points, side, middle=(0.4, 0.6)), picture(300)

    def flip(at: np.ndarray) -> np.ndarray:
        return np.stack([side - 1 - at[:, 0], at[:, 1]], -1)

    for region in (None, mask):
        one = find((side, side), points, to, region)
        other = find((side, side), flip(points), flip(to), None if region is None else region[:, ::-1])
        there = sources(other)[:, ::-1]
        difference = sources(one) - np.stack([side - 1 - there[..., 0], there[..., 1]], -1)
        assert np.abs(difference).max() < 0.05
        drawn, mirrored = apply(original, one), apply(np.ascontiguousarray(original[:, ::-1]), other)[:, ::-1]
        assert (drawn != original).mean() > 0.2
        assert np.abs(drawn.astype(int) - mirrored).mean() < 0.3


def test_a_rolled_face_moves_in_the_rolled_direction():
    side, points, angle = 400, landmarks(400), np.radians(30)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, side / 2 - 0.5)
    to = moved(points, side)
    for region, rolled in ((None, None), (disc(side, 0.3, (0.5, 0.5)),) * 2):
        one = find((side, side), points, to, region)
        other = find((side, side), (points - middle) @ turn.T + middle, (to - middle) @ turn.T + middle, rolled)
        y, x = np.mgrid[100:300:7, 100:300:7]
        at = np.stack([x, y], -1).reshape(-1, 2).astype(float)
        there = np.rint((at - middle) @ turn.T + middle).astype(int)
        back = (there - middle) @ turn + middle  # the pixel that was looked up, turned back
        was = bilinear(sources(one), back)
        error = (sources(other)[there[:, 1], there[:, 0]] - middle) @ turn + middle - was
        assert np.linalg.norm(was - back, axis=1).max() > 8 and np.linalg.norm(error, axis=1).max() < 0.15


def bilinear(field: np.ndarray, at: np.ndarray) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    return np.stack([map_coordinates(field[..., k], at.T[::-1], order=1) for k in range(2)], -1)


@pytest.mark.parametrize("region", [False, True])
def test_the_same_at_any_resolution(region):
    small, factor = 240, 3
    fields = []
    for side in (small, factor * small):
        points = landmarks(side)
        fields.append(sources(find((side, side), points, moved(points, side), disc(side) if region else None)))
    fine = fields[1].reshape(small, factor, small, factor, 2).mean((1, 3))
    pixel = np.stack(np.meshgrid(np.arange(small), np.arange(small)), -1)
    coarse_motion, fine_motion = fields[0] - pixel, (fine + 0.5) / factor - 0.5 - pixel
    assert np.abs(coarse_motion).max() > 5 and np.abs(coarse_motion - fine_motion).max() < 0.1


def test_twice_the_slider_is_twice_the_motion():
    side, points = 256, landmarks(256)
    to = moved(points, side)
    chosen = int(np.linalg.norm(to - points, axis=1).argmax())
    landed = [find((side, side), points, points + part * (to - points)).landed_px[chosen, 1] - points[chosen, 1]
              for part in (0.2, 0.4, 0.6, 0.8, 1.0)]
    np.testing.assert_allclose(landed, np.array([0.2, 0.4, 0.6, 0.8, 1.0]) * (to - points)[chosen, 1], atol=0.05)


def test_a_landmark_on_the_region_s_edge_lands_short_and_that_is_told():
    side, mask = 256, disc(256, 0.2, (0.5, 0.5))
    edge = np.array([[128.0, 128 + 0.19 * 256], [128.0, 128.0]])
    to = edge + np.array([0.0, -8.0])
    landed = find((side, side), edge, to, mask).landed_px
    assert abs(landed[1, 1] - to[1, 1]) < 0.1 and landed[0, 1] - to[0, 1] > 4


def test_a_face_that_the_picture_cuts_off_and_one_landmark():
    side, original = 200, picture(200)
    points = landmarks(side) + np.array([0.0, 70.0])
    result = warped(original, points, moved(points, side, middle=(0.5, 0.95)))
    assert result.shape == original.shape and (result != original).any()
    one = find((side, side), np.array([[100.0, 100.0]]), np.array([[104.0, 100.0]]))
    assert np.linalg.norm(one.landed_px - np.array([104.0, 100.0])) < 0.05


def test_what_cannot_be_meant_is_refused():
    points = landmarks(64)
    lost = points.copy()
    lost[3, 0] = np.nan
    for call, code in ((lambda: find((64, 64), lost, points), "landmarks"),
                       (lambda: find((64, 64), points, points, np.ones((64, 65))), "mask_size"),
                       (lambda: find((40000, 64), points, points), "picture_size"),
                       (lambda: apply(picture(68), find((64, 64), points, points)), "picture_size")):
        with pytest.raises(UsageError) as refused:
            call()
        assert refused.value.code == code


def test_landmarks_said_twice_and_a_face_beside_the_picture():
    side, points = 200, landmarks(200, 230)
    to = moved(points, side)
    warp = find((side, side), np.concatenate([points, points]), np.concatenate([to, to]))
    assert np.linalg.norm(warp.landed_px[:230] - to, axis=1).max() < 0.05
    away = points + 2000
    assert np.array_equal(warped(picture(side), away, moved(points, side) + 2000), picture(side))
