"""Laws of the post-processing: exact outside the mask and on the photo itself; colours and contrast return."""

import cv2
import numpy as np
import pytest

from core.errors import UsageError
from synth import postprocess
from synth.postprocess import POST, PostOptions, blend, finish, lab_of, match_colours, match_sharpness

SIDE = 240


def photo(seed: int = 0, side: int = SIDE) -> np.ndarray:
    """Skin-coloured, with grain, and reddish lips in its middle."""
    rng = np.random.default_rng(seed)
    base = np.full((side, side, 3), (205.0, 160, 135))
    base += 25 * cv2.GaussianBlur(rng.standard_normal((side, side, 1)), (0, 0), 30)[..., None] * 20
    y, x = np.mgrid[:side, :side] / side - 0.5
    lips = np.exp(-((x / 0.16)**2 + ((y - 0.1) / 0.05)**2)**2)[..., None]
    base = base * (1 - lips) + lips * np.array([170.0, 80, 85])
    grain = cv2.GaussianBlur(rng.standard_normal((side, side)), (0, 0), 0.8)[..., None]
    return np.clip(base + 12 * grain, 0, 255).astype(np.uint8)


def mask(radius: float = 0.33, side: int = SIDE) -> np.ndarray:
    """A disc with a soft edge."""
    y, x = np.mgrid[:side, :side] / side - 0.5
    return np.clip((radius - np.hypot(x, y)) / 0.05, 0, 1)


STEPS = {"colours": match_colours, "sharpness": match_sharpness, "blend": blend, "all": finish}


@pytest.mark.parametrize("step", STEPS)
def test_the_photo_itself_comes_back_byte_for_byte(step):
    assert np.array_equal(STEPS[step](photo(), photo(), mask()), photo())


@pytest.mark.parametrize("step", ["blend", "all"])
def test_outside_the_mask_stand_the_photo_s_bytes(step):
    other = np.random.default_rng(3).integers(0, 256, photo().shape, dtype=np.uint8)
    result, outside = STEPS[step](other, photo(), mask()), mask() == 0
    assert np.array_equal(result[outside], photo()[outside])
    assert (result != photo()).any(-1)[mask() == 1].mean() > 0.95


@pytest.mark.parametrize("step", ["colours", "sharpness"])
def test_outside_the_mask_a_step_leaves_its_picture_alone(step):
    made = np.clip(cv2.GaussianBlur(photo(), (0, 0), 0.7).astype(int) + 15, 0, 255).astype(np.uint8)
    result = STEPS[step](made, photo(), mask())
    assert np.array_equal(result[mask() == 0], made[mask() == 0]) and (result != made).any(-1)[mask() == 1].mean() > 0.3


def test_a_drift_of_colour_is_taken_back_and_grain_stays():
    drifted = np.clip(photo().astype(float) * (0.97, 1.02, 1.0) + (-2, 3, 4), 0, 255).astype(np.uint8)
    inside = mask() == 1

    def distance(picture: np.ndarray) -> float:
        return float(np.linalg.norm(lab_of(picture)[inside].mean(0) - lab_of(photo())[inside].mean(0)))

    result = match_colours(drifted, photo(), mask())
    assert distance(drifted) > 4 and distance(result) < 0.5
    grain = [np.std(p[..., 1].astype(float) - cv2.GaussianBlur(p[..., 1].astype(float), (0, 0), 2)) for p in
             (result, photo())]
    assert grain[0] == pytest.approx(grain[1], rel=0.1)


def test_colours_are_matched_where_they_are_not_over_the_whole_mask():
    """Lips made paler and skin made darker: each is brought back to its own, which one histogram cannot know."""
    y, x = np.mgrid[:SIDE, :SIDE]
    made = photo().astype(int)
    made[y < SIDE // 2] -= 12
    made[y >= SIDE // 2] += 12
    made = np.clip(made, 0, 255).astype(np.uint8)
    top, bottom = (y < 0.4 * SIDE) & (mask() == 1), (y > 0.6 * SIDE) & (mask() == 1)

    def errors(tiles: int) -> list[float]:
        lab = lab_of(match_colours(made, photo(), mask(), PostOptions(tiles=tiles)))[..., 0]
        return [abs(float(lab[part].mean() - lab_of(photo())[..., 0][part].mean())) for part in (top, bottom)]

    assert max(errors(4)) < 1.0 < max(errors(1))


def test_no_colour_is_dragged_beyond_the_limit():
    dark = (photo() // 3).astype(np.uint8)
    moved = lab_of(match_colours(dark, photo(), mask())) - lab_of(dark)
    assert 11 < np.abs(moved[..., 0]).max() < POST.most_shift[0] + 0.6, "8-bit colours round"


def test_a_soft_picture_gets_the_photo_s_contrast_and_never_more():
    inside = mask() == 1

    def contrast(picture: np.ndarray) -> float:
        light = lab_of(picture)[..., 0]
        return float(np.std((light - cv2.GaussianBlur(light, (0, 0), 1.0))[inside]))

    soft = cv2.GaussianBlur(photo(), (0, 0), 0.6)
    sharp = match_sharpness(soft, photo(), mask())
    assert contrast(soft) < 0.8 * contrast(photo())
    assert 1.15 * contrast(soft) < contrast(sharp) < 1.05 * contrast(photo())
    crisp = np.clip(photo().astype(float) * 1.5 - 90, 0, 255).astype(np.uint8)
    assert np.array_equal(match_sharpness(crisp, photo(), mask()), crisp), "a sharper picture stays"
    a, b = lab_of(soft)[inside].mean(0), lab_of(sharp)[inside].mean(0)
    assert np.abs(a - b).max() < 0.3, "sharpening must not tint"


def test_sharpening_makes_no_halo():
    step = np.full((SIDE, SIDE, 3), 90, np.uint8)
    step[:, SIDE // 2:] = 170
    soft = cv2.GaussianBlur(step, (0, 0), 1.5)
    sharp = match_sharpness(soft, step, mask(), PostOptions(sharpen=4.0))
    assert (sharp != soft).any() and sharp.min() >= 90 - 12 and sharp.max() <= 170 + 12


def test_blending_gives_the_middle_to_the_picture_and_leaves_no_seam():
    brighter = np.clip(photo().astype(int) + 20, 0, 255).astype(np.uint8)
    result = blend(brighter, photo(), mask())
    middle = mask(0.15) == 1
    assert np.abs(result.astype(int) - brighter)[middle].max() <= 2
    difference = result.astype(float)[..., 0] - photo()[..., 0]
    hard = np.where(mask() > 0.5, 20.0, 0.0)
    steepest = max(np.abs(np.diff(difference, axis=k)).max() for k in (0, 1))
    assert steepest < 6 < max(np.abs(np.diff(hard, axis=k)).max() for k in (0, 1))


def test_pyramids_of_one_picture_give_it_back():
    one, other = photo(1, 203).astype(np.float32), photo(2, 203).astype(np.float32)
    whole = postprocess.pyramids_mixed(one, other, np.ones((203, 203), np.float32), 6)
    np.testing.assert_allclose(whole, one, atol=1e-3)
    np.testing.assert_allclose(postprocess.pyramids_mixed(one, other, np.zeros((203, 203), np.float32), 6), other)
    assert postprocess.levels_for(np.ones((600, 700)), 6) == 6 and postprocess.levels_for(np.ones((40, 700)), 6) < 6


def test_a_mask_of_one_pixel_an_empty_and_a_full_one():
    made = np.clip(photo().astype(int) + 30, 0, 255).astype(np.uint8)
    dot = np.zeros((SIDE, SIDE))
    assert np.array_equal(finish(made, photo(), dot), photo())
    dot[3, 3] = 1.0
    assert np.count_nonzero((finish(made, photo(), dot) != photo()).any(-1)) <= 1
    full = blend(made, photo(), np.ones((SIDE, SIDE)))
    assert np.array_equal(full, made)


def test_a_restorer_that_is_handed_in_runs_first():
    asked = []

    def restore(picture: np.ndarray) -> np.ndarray:
        asked.append(picture.shape)
        return picture

    finish(photo(1), photo(), mask(), restore=restore)
    assert asked == [(SIDE, SIDE, 3)]


def test_three_of_one_size():
    with pytest.raises(UsageError, match="one size"):
        blend(photo(), photo(), mask()[1:])
    with pytest.raises(UsageError, match="240x240"):
        match_colours(photo()[1:], photo(), mask())
