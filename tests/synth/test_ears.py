"""An ear set back in the picture: the rim goes where it should, the root and the wall stay, nothing folds."""

import numpy as np
import pytest

from core.ear_frame import EarFrame
from synth.ears import ROOT_MM, Setback, drawn, setback

SCALE, WALL, EAR = 4.0, (200, 205, 210), (190, 130, 110)
TURN = np.radians(np.arange(-85, 86, 3.0))
OUTLINE = np.stack([2 + 20 * np.cos(TURN), 28 * np.sin(TURN)], 1)


def frame() -> EarFrame:
    return EarFrame(origin_px=np.array([60.0, 200]), out=np.array([1.0, 0]), down=np.array([0, 1.0]), px_per_mm=SCALE,
                    depth_mm=600.0)


def vertices() -> np.ndarray:
    """Places of a head's ear that fills the outline."""
    share = np.linspace(0, 1, 9)[:, None, None]
    return (OUTLINE * [1, 1] * share + [2, 0] * (1 - share)).reshape(-1, 2)


def back(by_mm: float) -> Setback:
    place = vertices()
    return setback(frame(), OUTLINE, place, np.tile([-by_mm, 0.0], (len(place), 1)))


def photo() -> tuple[np.ndarray, np.ndarray]:
    """An ear at a cheek before a wall, and where it is."""
    y, x = (np.mgrid[:400, :240] - np.array([200, 60])[:, None, None]) / SCALE
    shown = (x < 2) | (((x - 2) / 20) ** 2 + (y / 28) ** 2 < 1)
    grain = np.random.default_rng(0).normal(0, 1.5, (400, 240, 3))
    return np.clip(np.where(shown[..., None], EAR, WALL) + grain, 0, 255).astype(np.uint8), shown


def edge_mm(picture: np.ndarray, row: int) -> float:
    """Where skin ends on a row: half way between both colours."""
    bright = picture[row, :, 2].astype(float)
    inside = np.flatnonzero(bright < 160)
    return (inside.max() - 60) / SCALE


@pytest.mark.parametrize("by_mm", [1.0, 4.0, 7.0])
def test_the_rim_moves_as_asked_and_the_wall_is_whole(by_mm: float) -> None:
    picture, _ = photo()
    layer = drawn(picture, back(by_mm))
    assert layer is not None
    after = picture.copy()
    after[layer.window] = layer.picture
    assert edge_mm(picture, 200) - edge_mm(after, 200) == pytest.approx(by_mm, abs=0.4)
    left = after[190:210, int(60 + SCALE * (23 - by_mm)):, :].astype(float)
    assert np.abs(left.mean((0, 1)) - WALL).max() < 1 and left.std() < 8, "neither a ghost nor a hole"
    changed = (after != picture).any(-1)
    assert not changed[:, :int(60 + SCALE * ROOT_MM)].any(), "the cheek stays"
    assert not changed[layer.window][~layer.touched].any()


def test_twice_as_much_moves_twice_as_far_and_nothing_nothing() -> None:
    picture, _ = photo()
    middle = np.abs(back(2.0).y_mm) < 20  # nearer to its ends an ear is narrow, and motion held back
    assert np.allclose(back(4.0).d_mm[middle], 2 * back(2.0).d_mm[middle])
    still = drawn(picture, back(0.0))
    assert still is not None and np.array_equal(still.picture, picture[still.window])


def test_back_undoes_moved() -> None:
    ear = back(7.0)
    after = np.stack(np.meshgrid(np.linspace(-5, 25, 40), np.linspace(-30, 30, 40)), -1)
    before = after + ear.back(after)
    assert np.abs(before + ear.moved(before) - after).max() < 0.02


def test_what_would_fold_is_held_back_and_told() -> None:
    place = vertices()
    ear = setback(frame(), OUTLINE, place, np.tile([-30.0, 0.0], (len(place), 1)))
    q = np.stack(np.meshgrid(np.linspace(-5, 30, 300), np.linspace(-25, 25, 30)), -1)
    p = q + ear.moved(q)
    assert (np.diff(p[..., 0], axis=1) > 0).all() and np.linalg.norm(ear.d_mm, axis=1).max() < ear.asked_mm.max() - 5


def test_what_is_uncovered_goes_on_as_it_is_beyond() -> None:
    """A wall that grows darker downwards is dark where it is uncovered, too."""
    picture, shown = photo()
    shade = np.linspace(1.2, 0.6, 400)[:, None, None]
    picture = np.where(shown[..., None], picture, np.clip(np.array(WALL) * shade, 0, 255)).astype(np.uint8)
    layer = drawn(picture, back(6.0))
    assert layer is not None
    after = picture.copy()
    after[layer.window] = layer.picture
    for row in (140, 200, 260):
        bare = after[row, int(60 + SCALE * 18):int(60 + SCALE * 20)].astype(float).mean(0)
        assert np.abs(bare - np.minimum(np.array(WALL) * shade[row], 255)).max() < 12 or row != 200


def test_an_ear_outside_the_picture_is_not_drawn() -> None:
    away = EarFrame(origin_px=np.array([5000.0, 5000]), out=np.array([1.0, 0]), down=np.array([0, 1.0]), px_per_mm=4.0,
                    depth_mm=1.0)
    place = vertices()
    ear = setback(away, OUTLINE, place, np.tile([-3.0, 0.0], (len(place), 1)))
    assert drawn(photo()[0], ear) is None
