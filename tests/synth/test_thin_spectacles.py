"""Rims: the edges of rimless spectacles are found and stay; a bare face has none."""

import cv2
import numpy as np
import pytest

from previsage.photo import asked_plan, begin, carried_out
from synth.photo_file import PhotoFile
from synth.thin_spectacles import best_path, rims
from tests.previsage.photos import face


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    from recon.detect import Detector

    found = Detector().follow(face(), None)
    assert found is not None
    return found.points_px[:, :2]


def glazed(points: np.ndarray, darker: float) -> tuple[np.ndarray, np.ndarray]:
    """The face with the edges of two oval lenses, so much darker than the skin, and where they were drawn below the
    eyes (above them they lie on lids and brows)."""
    span = float(np.linalg.norm(points[263] - points[33]))
    drawn = np.zeros(face().shape[:2], np.uint8)
    for a, b in ((33, 133), (263, 362)):
        middle = np.rint((points[a] + points[b]) / 2 + [0, 0.06 * span]).astype(int).tolist()
        half = round(0.26 * span), round(0.19 * span)
        cv2.ellipse(drawn, middle, half, 0, 0, 360, 255, max(1, round(0.014 * span)), cv2.LINE_AA)
    share = drawn[..., None] / 255
    below = np.arange(len(drawn))[:, None] > points[[33, 263], 1].mean() + 0.06 * span
    return (face() * (1 - darker * share)).astype(np.uint8), (drawn > 127) & below


def test_a_bare_face_has_none(points: np.ndarray) -> None:
    assert not rims(face(), points).any()


@pytest.mark.parametrize("darker", [0.3, 0.5])
def test_both_edges_are_found_and_little_else(points: np.ndarray, darker: float) -> None:
    picture, drawn = glazed(points, darker)
    found = rims(picture, points)
    assert (found & drawn).sum() > 0.75 * drawn.sum()
    assert found.sum() < 6 * drawn.sum()


def test_one_lens_is_not_enough(points: np.ndarray) -> None:
    picture, _ = glazed(points, 0.3)
    middle = int(points[168, 0])
    picture[:, middle:] = face()[:, middle:]
    assert not rims(picture, points).any()


def test_a_photo_keeps_them_in_place(points: np.ndarray) -> None:
    picture, drawn = glazed(points, 0.3)
    study = begin(PhotoFile(name="glasses", format="png", picture=picture, alpha=None, profile=None, notes=()))
    assert (study.spectacles & drawn).sum() > 0.75 * drawn.sum()
    for mode in ("tps", "warp3d"):
        made = carried_out(study, asked_plan("brow_lift", 100, None), mode)
        assert np.array_equal(made.raw[study.spectacles], picture[study.spectacles]), mode
        assert (made.raw != picture).any(), mode


def test_the_best_path_follows_a_line() -> None:
    gain = np.zeros((40, 30), np.float32)
    column = np.rint(15 + 8 * np.sin(np.arange(40) / 8)).astype(int)
    gain[np.arange(40), column] = 1
    assert np.array_equal(best_path(gain, 0.01), column)
