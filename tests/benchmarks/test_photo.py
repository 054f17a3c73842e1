"""The photo's table measures what was moved, and its made photos are what they say."""

import cv2
import numpy as np
import pytest

from benchmarks.photo import judged, table
from benchmarks.photo_measures import Made, Ours, by_map, framings, landed, sized
from previsage.portrait import portrait


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return sized(portrait(), (320, 320))


def shifted(picture: np.ndarray, by_px: tuple[float, float]) -> np.ndarray:
    """The whole picture moved."""
    return cv2.warpAffine(picture, np.array([[1.0, 0, by_px[0]], [0, 1, by_px[1]]]), picture.shape[1::-1],
                          flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_known_motion_is_measured(picture: np.ndarray, share: float) -> None:
    rng = np.random.default_rng(0)
    start = rng.uniform(100, 220, (478, 2))
    asked = np.array([2.0, -1.0])
    made = Made(before=picture, after=shifted(picture, tuple(share * asked)), mask=np.ones(picture.shape[:2]),
                start=start, end=start + asked)
    size, found = landed(made)
    assert size == pytest.approx(np.sqrt(5)) and found == pytest.approx(share, abs=0.06)


def test_the_map_drawn_with_tells_how_far_landmarks_went(picture: np.ndarray) -> None:
    make = Ours("warp3d")
    made = make(picture, "mentoplasty", 100)
    assert by_map(make.study, "mentoplasty", 100, made) == pytest.approx(1, abs=0.05)
    assert by_map(make.study, "mentoplasty", 50, made) == pytest.approx(0.5, abs=0.05)


def test_every_frame_shows_the_same_points(picture: np.ndarray) -> None:
    at = np.array([160.0, 150.0])
    for label, (framed, M) in framings(picture).items():
        x, y = np.rint(M[:, :2] @ at + M[:, 2]).astype(int)
        apart = np.abs(framed[y, x].astype(int) - picture[150, 160].astype(int)).max()
        assert apart < 25, label


def test_a_missed_bar_stands_out() -> None:
    assert judged(1.0) == "1.00" and judged(0.89) == "**0.89**" and judged(float("nan")) == "**nan**"
    assert table("t", ("a", "b"), [("1", "2")], "").endswith("| 1 | 2 |\n")
