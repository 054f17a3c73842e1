import numpy as np
import pytest

from analysis.skin_tone import skin_tone
from analysis.symmetry import moved
from previsage.asymmetry import places, symmetry_sheet, tone_sheet
from render.asymmetry import LIMIT_MM, Place, asymmetry_map, asymmetry_sheet, legend, vertex_colours
from render.heat import SIZE
from render.rasterize import rasterize
from render.skin_patches import LINE, rgb_of, skin_patches
from tests.analysis.photographed import head, photo, pins
from tests.analysis.test_photo_symmetry import measured


def one(value_mm, sd_mm=0.1, told=True):
    at = np.array([[30.0, 10, 10], [-30.0, 10, 10]])
    return Place(told=told, at_mm=at, size_mm=8.0, value_mm=value_mm, sd_mm=sd_mm)


def test_a_place_is_coloured_on_both_sides_and_the_rest_of_the_picture_keeps_its_pixels():
    pixels, camera, _ = photo((0.0, 0.0, 0.0))
    mapped = asymmetry_map(pixels, camera, head()[0], [one(5.0, told=False)], rasterize)
    changed = np.abs(mapped.astype(int) - pixels).max(2) > 8
    middle = pixels.shape[1] // 2
    assert changed[:, :middle].sum() > 500 and changed[:, middle:].sum() > 500
    assert not changed[-60:].any() and not changed[:60].any()


def test_no_place_leaves_the_photo_as_it_is():
    pixels, camera, _ = photo((0.0, 0.0, 0.0))
    assert np.array_equal(asymmetry_map(pixels, camera, head()[0], [], rasterize), pixels)


def test_more_is_stronger_and_what_may_be_noise_is_faint():
    near = [vertex_colours(head()[0], [one(mm, 0.5)]) for mm in (0.1, 1.0, 4.0)]
    strength = [n[1].max() for n in near]
    assert strength[0] < 0.2 < strength[1] <= strength[2] <= 1
    assert near[2][0].max() == pytest.approx(4.0)


def test_the_sheet_shows_before_and_after_the_scale_and_the_mark():
    pixels, camera, _ = photo((0.0, 0.0, 0.0), "mouth corner", 6.0)
    before = measured((0.0, 0.0, 0.0), "mouth corner", 6.0)
    lift = np.zeros((478, 3))
    lift[291, 1] = 6.0
    after = moved(before, lift)
    alone = symmetry_sheet(pixels, camera, head()[0], before)
    both = symmetry_sheet(pixels, camera, head()[0], before, (pixels, head()[0], after))
    assert both.shape[1] > 1.9 * alone.shape[1] and both.shape[0] >= 900 + 64
    width = alone.shape[1]
    assert not np.array_equal(both[:900, :900], both[:900, width:width + 900])
    assert sum(p.told for p in places(before)) == sum(r is not None for r in before.regions.values())


def test_the_legend_runs_from_nothing_to_the_limit():
    strip = legend(600, 64)
    row = strip[14].astype(int)
    assert np.abs(row[155] - SIZE[0][1]).max() < 12 and np.abs(row[445] - SIZE[-1][1]).max() < 25
    assert LIMIT_MM == 6.0


def test_a_sheet_without_words_is_drawn():
    assert asymmetry_sheet(np.zeros((40, 30, 3), np.uint8), None, ()).shape[2] == 3


def test_what_was_measured_is_outlined_and_swatched():
    pixels, camera, marks = photo((0.0, 0.0, 0.0))
    found = skin_tone(pixels, marks, camera, head()[0], rasterize)
    assert pins(head()[0]).shape == (478, 3)
    drawn = tone_sheet(pixels, found)
    assert (drawn[:pixels.shape[0]] == LINE).all(2).sum() > 50 and drawn.shape[0] > pixels.shape[0]
    plain = skin_patches(pixels, {}, {"cheek": np.array([50.0, 0.0, 0.0])})
    assert (plain[pixels.shape[0]:] == rgb_of(np.array([50.0, 0, 0]))).all(2).sum() > 200
