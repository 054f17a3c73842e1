"""The photo's table measures what was moved, and its made photos are what they say."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.photo import JOWL, JOWLS, judged, table
from benchmarks.photo_measures import FRONTAL, Made, Ours, about, by_map, framings, frontal, landed, sized, symmetric
from previsage.portrait import portrait

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


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


@pytest.mark.skipif(not (SHARED / FRONTAL[-1]).exists(), reason="no shared photos")
def test_a_reading_does_not_hang_on_the_last_bits() -> None:
    """A dark jowl that a new light crosses: read with other last bits, left over right was 1.00 to 1.21."""
    photo = sized(symmetric(list(frontal(SHARED).values())[-1]), (1024, 1024))
    made = Ours("warp3d")(photo, "rhytidectomy", 100)
    ratios = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        one = made._replace(before=redrawn(made.before, rng), after=redrawn(made.after, rng))
        right, left = (landed(one, about(one.start, centre, JOWL))[1] for centre in JOWLS)
        ratios.append(left / right)
    assert np.ptp(ratios) < 0.04 and np.mean(ratios) == pytest.approx(1, abs=0.04)


def redrawn(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with every pixel up to one level brighter or darker."""
    return np.clip(picture + rng.integers(-1, 2, picture.shape[:2])[..., None], 0, 255).astype(np.uint8)


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
