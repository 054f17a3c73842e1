"""The outline of a pictured ear: found where it was drawn, and cut where the head begins."""

import numpy as np
import pytest

from core.ear_frame import EarFrame
from recon.ear_outline import (
    ANGLES_DEG,
    BINS,
    R_MM,
    USUAL_MM,
    X_MM,
    Y_MM,
    busy_beside,
    contrast,
    cut,
    density,
    find_outline,
    lab,
    log_odds,
    points_at,
    silhouette,
    turning_deg,
    usual_r,
    whole_ear,
)
from recon.skin import INNER

SCALE = 3.0


def frame(origin: tuple[float, float] = (120.0, 210.0)) -> EarFrame:
    """A window in a picture of 360 x 480, three pixels to a millimetre."""
    return EarFrame(origin_px=np.array(origin), out=np.array([1.0, 0]), down=np.array([0, 1.0]), px_per_mm=SCALE,
                    depth_mm=500.0)


def ear_shown(lower_mm: float, wider: float) -> np.ndarray:
    """Where a head with the usual ear, so much lower and wider, is seen; its cheek ends at 0 mm."""
    y, x = (np.mgrid[:480, :360] - np.array([210, 120])[:, None, None]) / SCALE
    off = np.stack([(x - 1) / wider, (y - 4 - lower_mm) * 0.5])
    end = np.interp(np.degrees(np.arctan2(off[1], off[0])), ANGLES_DEG, usual_r())
    return (x < 0) | ((np.hypot(*off) < end) & (x > -1))


def landmarks() -> np.ndarray:
    """A face left of the ear, 150 mm high; its landmarks spread over it."""
    px = np.stack([np.linspace(5, 115, 478), np.linspace(60, 400, 478)], 1)
    px[10], px[152], px[6] = (20, 20), (20, 470), (20, 200)
    ring = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    px[list(INNER[:36])] = np.stack([60 + 50 * np.cos(ring), 230 + 150 * np.sin(ring)], 1)
    return px


@pytest.mark.parametrize(("lower_mm", "wider"), [(0.0, 1.0), (12.0, 1.2), (-10.0, 0.8)])
def test_an_ear_is_found_where_it_was_drawn(lower_mm: float, wider: float) -> None:
    shown = ear_shown(lower_mm, wider)
    picture = np.where(shown[..., None], (190, 140, 118), (205, 210, 208)).astype(float)
    picture += np.random.default_rng(0).normal(0, 3, picture.shape)
    found = find_outline(frame(), landmarks(), np.clip(picture, 0, 255).astype(np.uint8), shown)
    drawn = USUAL_MM * [wider, 1] + [1 - wider, lower_mm]
    gaps = np.linalg.norm(drawn[2:13, None] - found.points_mm, axis=2).min(1)
    assert np.sqrt((gaps**2).mean()) < 0.7 and found.clear > 0.9 and found.skin > 0.95 and found.busy < 0.02


def test_where_no_ear_is_nothing_is_clear() -> None:
    wall = np.full((480, 360, 3), 150, np.uint8)
    found = find_outline(frame(), landmarks(), wall, np.zeros((480, 360), bool))
    assert found.clear < 0.2


def test_a_drawn_heads_ear_is_its_silhouette() -> None:
    found = silhouette(frame(), ear_shown(8.0, 1.1))
    assert found.points_mm[:, 0].max() == pytest.approx(1 + 1.1 * (22 - 1), abs=0.7)
    assert found.points_mm[:, 1].max() == pytest.approx(36 + 8, abs=1.0)


def test_an_ear_ends_at_hollow_corners() -> None:
    """Along the head, out over an ear, and down the head again."""
    turn = np.radians(np.arange(-80, 81, 4.0))
    ear = np.stack([8 + 16 * np.cos(turn), 30 * np.sin(turn)], 1)
    above = np.stack([np.full(20, ear[0, 0] - 1), np.linspace(-70, ear[0, 1] - 1, 20)], 1)
    below = np.stack([np.full(20, ear[-1, 0] - 1), np.linspace(ear[-1, 1] + 1, 70, 20)], 1)
    line = np.concatenate([above, ear, below])
    found = whole_ear(line, np.ones(len(line))).points_mm
    assert abs(found[0] - ear[0]).max() < 4 and abs(found[-1] - ear[-1]).max() < 4
    assert found[:, 0].max() == pytest.approx(24, abs=0.2)


def test_a_circle_turns_as_clocks_do() -> None:
    turn = np.linspace(0, np.pi, 64)
    turns = turning_deg(np.stack([20 * np.cos(turn), 20 * np.sin(turn)], 1))
    assert (turns[6:-6] > 10).all() and (turns[:5] == 0).all()


def test_log_odds_tell_skin_from_the_rest() -> None:
    rng = np.random.default_rng(0)
    skin, wall = (lab(np.clip(rng.normal(c, 4, (20, 20, 3)), 0, 255).astype(np.uint8)).reshape(-1, 3)
                  for c in ((190, 140, 118), (120, 130, 140)))
    odds = log_odds(np.stack([skin, wall]), [skin], [wall], 2.0)
    assert odds[0].mean() > 1 and odds[1].mean() < -1 and np.abs(odds).max() <= 2
    assert density(skin, (5.0, 2.5, 2.5)).shape == tuple(BINS)
    assert density(skin, (5.0, 2.5, 2.5)).sum() == pytest.approx(1)


def test_contrast_is_inside_less_outside() -> None:
    step = np.where(np.arange(len(R_MM)) < 30, 2.0, -2.0)[None]
    found = contrast(step)
    assert found.max() == pytest.approx(4) and abs(int(found[0].argmax()) - 29) <= 1
    assert not contrast(np.full((2, len(R_MM)), 1.5)).any()


def test_strands_beside_an_ear_are_busy() -> None:
    steep = np.zeros((2 * round(Y_MM[1] - Y_MM[0]), 2 * round(X_MM[1] - X_MM[0])))
    assert busy_beside(USUAL_MM, steep) == 0
    steep[:, ::4] = 0.9
    assert 0.15 < busy_beside(USUAL_MM, steep) < 0.35


def test_places_and_pixels_agree() -> None:
    turned = EarFrame(origin_px=np.array([300.0, 200]), out=np.array([-0.8, 0.6]), down=np.array([0.6, 0.8]),
                      px_per_mm=2.5, depth_mm=1.0)
    place = points_at(np.linspace(5, 30, len(ANGLES_DEG)), 3.0)
    assert np.allclose(turned.mm(turned.px(place)), place)
    picture = np.random.default_rng(0).random((40, 40), np.float32)
    assert not cut(EarFrame(origin_px=np.array([9e3, 9e3]), out=turned.out, down=turned.down, px_per_mm=1.0,
                            depth_mm=1.0), picture).any()
