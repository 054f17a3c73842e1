"""The corner mark: legible on any ground, never on the face, always there."""

import numpy as np
import pytest

from render.mark import below, marked_corner


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.any(before != after, axis=2)


def busy(seed: int, height: int = 480, width: int = 360) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("grey", [0, 90, 128, 160, 255])
def test_it_is_legible_on_any_ground(grey: int) -> None:
    """Letters or their rim stand out by at least 70 grey levels, and both are there."""
    plain = np.full((480, 360, 3), grey, np.uint8)
    marked = marked_corner(plain, details="rhinoplasty, 2026-11-21").astype(int)
    away = np.abs(marked.mean(2) - grey)
    assert away.max() >= 70
    assert (away > 50).sum() > 400
    assert marked.max() - marked.min() > 150  # light letters and dark rim


def test_it_stays_small_and_in_a_corner() -> None:
    picture = busy(1)
    where = changed(picture, marked_corner(picture))
    y, x = np.nonzero(where)
    assert 0 < where.mean() < 0.02
    assert y.min() > 0.9 * 480 and x.max() > 0.9 * 360


@pytest.mark.parametrize("free", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_it_takes_the_corner_that_the_face_leaves_free(free: tuple[int, int]) -> None:
    picture, face = busy(2), np.ones((480, 360), bool)
    rows, columns = (slice(0, 100), slice(380, 480))[free[0]], (slice(0, 300), slice(60, 360))[free[1]]
    face[rows, columns] = False
    marked = marked_corner(picture, face, "mode warp3d")
    where = changed(picture, marked)
    assert marked.shape == picture.shape and where.any() and not where[face].any()


def test_a_face_that_fills_the_picture_gets_a_strip_below() -> None:
    picture = busy(3)
    marked = marked_corner(picture, np.ones((480, 360), bool), "details")
    assert marked.shape[0] > 480 and marked.shape[1] == 360
    assert np.array_equal(marked[:480], picture)
    assert np.ptp(marked[480:].astype(int)) > 150


@pytest.mark.parametrize(("height", "width"), [(24, 24), (64, 48), (40, 400), (1920, 1080)])
def test_no_size_loses_the_mark(height: int, width: int) -> None:
    picture = busy(4, height, width)
    marked = marked_corner(picture)
    assert marked.shape[0] > height or changed(picture, marked).any()


def test_it_grows_with_the_picture() -> None:
    shares = [changed(p, marked_corner(p)).mean() for p in (busy(5, 960, 720), busy(5, 1920, 1440))]
    assert abs(shares[0] / shares[1] - 1) < 0.25


def test_small_strips_fit() -> None:
    assert below(busy(6, 30, 40), ["a line that is far too long for forty pixels"], 20).shape[1] == 40
