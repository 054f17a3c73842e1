"""Spectacles: a dark frame is found and stays; a bare face has none; skin is carried on beneath."""

import cv2
import numpy as np
import pytest

from synth.spectacles import frames, surrounding, without
from tests.previsage.photos import face


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    from recon.detect import Detector

    found = Detector().follow(face(), None)
    assert found is not None
    return found.points_px[:, :2]


def glassed(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The face with round black rims and a bridge, and where they were drawn."""
    span = np.linalg.norm(points[263] - points[33])
    drawn = np.zeros(face().shape[:2], np.uint8)
    for a, b in ((33, 133), (263, 362)):
        middle = np.rint((points[a] + points[b]) / 2 + [0, 0.06 * span]).astype(int)
        cv2.circle(drawn, tuple(middle.tolist()), round(0.24 * span), 1, max(2, round(0.035 * span)))
    ends = np.rint([points[133] + [0.02 * span, 0], points[362] - [0.02 * span, 0]]).astype(int)
    cv2.line(drawn, tuple(ends[0].tolist()), tuple(ends[1].tolist()), 1, max(2, round(0.035 * span)))
    picture = face().copy()
    picture[drawn > 0] = (18, 16, 16)
    return picture, drawn > 0


def test_a_bare_face_has_none(points: np.ndarray) -> None:
    assert frames(face(), points).mean() < 0.002


def test_the_rims_are_found_and_the_skin_is_not(points: np.ndarray) -> None:
    picture, drawn = glassed(points)
    found = frames(picture, points)
    assert (found & drawn).sum() > 0.75 * drawn.sum()
    assert found.sum() < 2.2 * drawn.sum()


def test_a_frame_is_seen_around_both_eyes(points: np.ndarray) -> None:
    found = frames(glassed(points)[0], points)
    assert surrounding(found, points)
    half = found.copy()
    half[:, :int(points[168, 0])] = False
    assert not surrounding(half, points)
    assert not surrounding(np.zeros_like(found), points)


def test_without_them_skin_goes_on(points: np.ndarray) -> None:
    picture, drawn = glassed(points)
    found = frames(picture, points)
    bare = without(picture, found)
    assert np.array_equal(bare[~found], picture[~found])
    assert bare[found].mean() > 3 * picture[drawn].mean()
    assert without(picture, np.zeros_like(found)) is picture


def test_a_photo_keeps_them_in_place(points: np.ndarray, tmp_path: object) -> None:
    from PIL import Image

    from previsage.photo import asked_plan, begin, carried_out

    picture, _ = glassed(points)
    Image.fromarray(picture).save(tmp_path / "glasses.png")
    study = begin(tmp_path / "glasses.png")
    assert study.spectacles.any()
    for mode in ("tps", "warp3d"):
        made = carried_out(study, asked_plan("brow_lift", 100, None), mode)
        assert np.array_equal(made.raw[study.spectacles], picture[study.spectacles]), mode
        assert (made.raw != picture).any(), mode
