"""Certainty as a picture: the colours mean millimetres, what was not seen is striped, and the words are there."""

import numpy as np
import pytest

from core.certainty import WITHIN_95
from render.certainty import (
    COLORS,
    LIMIT_MM,
    SHEET,
    STRIPES,
    certainty_map,
    certainty_sheet,
    half_width_colors,
    legend,
    within_words,
)
from render.rasterize import Rasterizer
from tests.core.builders import camera, sphere


def test_brighter_is_less_certain_and_no_colour_is_a_grey() -> None:
    colors = half_width_colors(np.linspace(0, LIMIT_MM, 101))
    light = colors @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(light) > 0).all() and light[-1] - light[0] > 150, "it reads in grey"
    assert np.ptp(colors, axis=1).min() > 60 > max(np.ptp(STRIPES, axis=1)), "stripes cannot be taken for a value"
    np.testing.assert_array_equal(half_width_colors(np.array([9.0, -1.0])), [COLORS[-1][1], COLORS[0][1]])


def test_every_place_has_the_colour_of_its_number() -> None:
    mesh = sphere()
    count, at = len(mesh.vertices_mm), camera(0.0)
    picture = certainty_map(Rasterizer(mesh), at, np.full(count, 1.5), np.ones(count))
    x, y = np.rint(at.px_from_points(np.array([[0.0, 0.0, 90.0]]))[0]).astype(int)
    wanted = half_width_colors(np.array([WITHIN_95 * 1.5]))[0]
    assert np.abs(picture[y, x] / wanted - 1).max() < 0.25 and picture[y, x].argmax() == wanted.argmax()
    hue = picture[y, x] / picture[y, x].sum()
    np.testing.assert_allclose(hue, wanted / wanted.sum(), atol=0.01)


def test_what_was_not_seen_is_striped_grey() -> None:
    mesh = sphere()
    seen = (mesh.vertices_mm[:, 0] > 0).astype(float)
    picture = certainty_map(Rasterizer(mesh), camera(0.0), np.ones(len(seen)), seen).astype(int)
    x, y = np.rint(camera(0.0).px_from_points(np.array([[-40.0, 0.0, 80.0]]))[0]).astype(int)
    patch = picture[y - 10:y + 10, x - 10:x + 10]
    assert np.ptp(patch, axis=-1).max() < 14 and patch[..., 0].std() > 15
    assert np.ptp(picture[y, 2 * round(camera(0.0).px_from_points(np.zeros((1, 3)))[0, 0]) - x]) > 40, "the other side"


def test_the_sheet_has_every_view_above_its_legend() -> None:
    mesh = sphere()
    count = len(mesh.vertices_mm)
    cameras = {name: camera(yaw, (200, 240)) for name, yaw in zip(SHEET, (-1.5, -0.7, 0.0, 0.7, 1.5), strict=True)}
    sheet = certainty_sheet(mesh, np.ones(count), np.ones(count), cameras)
    assert sheet.shape[1] == 1000 and sheet.shape[0] > 240 + 90
    assert all((sheet[:240, 200 * k:200 * (k + 1)] < 200).any() for k in range(5))


@pytest.mark.parametrize("width", [900, 3200])
def test_the_legend_shows_the_whole_scale_and_fits(width: int) -> None:
    page = legend(width, 120, 3.2).astype(int)
    assert page.shape == (120, width, 3)
    for mm in (0.05, 2.5, 4.95):
        assert np.abs(page.reshape(-1, 3) - half_width_colors(np.array([mm]))[0]).max(1).min() < 4
    assert (page[:, -2:] > 250).all() and (page[-2:] > 250).all(), "nothing is cut off"


def test_the_words() -> None:
    assert within_words(3.24) == "95 % of the face lies within ± 3.2 mm"
    assert within_words(float("nan")) == "No face was seen"
