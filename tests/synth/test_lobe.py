"""Lobe: an ear beside a cheek that is lifted stays whole, and the cheek slides past it."""

import numpy as np

from synth.lobe import SLIDES_MM, past_ears
from synth.warp3d import warped
from tests.synth.test_shear import EDGE, EVERYWHERE, PX_PER_MM, SIZE, cheek

LOBE = np.array([(EDGE - 24, 20), (EDGE - 26, 60), (EDGE - 20, 84), (EDGE - 9, 90), (EDGE, 88), (EDGE, 20)], float)
"""A pictured ear that reaches lower than the head's, which ends at row 60."""
WITHIN = slice(62, 84), slice(EDGE - 14, EDGE - 2)


def pictured() -> np.ndarray:
    """Skin of the cheek and of the ear before a wall, with a grain."""
    y, x = np.mgrid[:SIZE, :SIZE]
    grain = np.random.default_rng(3).normal(0, 6, (SIZE, SIZE))
    ear = (((x - (EDGE - 12)) / 14) ** 2 + ((y - 50) / 40) ** 2 < 1) & (x < EDGE)
    picture = np.where((x >= EDGE) | ear, 150 + grain, 225.0)
    return np.repeat(np.clip(picture, 0, 255).astype(np.uint8)[..., None], 3, 2)


def test_the_lobe_of_a_longer_ear_stays_as_it_is() -> None:
    _, flow = cheek(9.0)
    before = pictured()
    drawn, stays = (warped(before, flow, **more).picture for more in ({}, {"ears_px": [LOBE]}))
    assert (drawn[WITHIN] != before[WITHIN]).any()
    assert np.array_equal(stays[WITHIN], before[WITHIN])


def test_the_cheek_slides_past_it() -> None:
    own, flow = cheek(9.0)
    out, asked = past_ears(own, flow, EVERYWHERE, [LOBE])
    beyond = EDGE + int(np.ceil(SLIDES_MM * PX_PER_MM)) + 3
    assert not out[WITHIN].any()
    assert np.allclose(out[64:84, beyond:], own[64:84, beyond:], atol=0.3)
    assert np.array_equal(asked.moved, flow.moved & (np.linalg.norm(out - own, axis=2) <= 0.25))


def test_its_edge_is_no_tear() -> None:
    own, flow = cheek(9.0)
    _, asked = past_ears(own, flow, EVERYWHERE, [LOBE])
    both = slice(30, 56), WITHIN[1]  # here the head has an ear, too
    assert np.isinf(asked.depth_before_mm[both]).all() and np.isfinite(flow.depth_before_mm[both]).all()
    assert np.array_equal(asked.depth_before_mm[:, EDGE + 6:], flow.depth_before_mm[:, EDGE + 6:])


def test_no_skin_is_drawn_from_the_lobe() -> None:
    own, flow = cheek(6.0, away_px=6.0)
    out, _ = past_ears(own, flow, EVERYWHERE, [LOBE])
    rows = slice(62, 80)
    from_x = np.arange(SIZE) + out[rows, :, 0]
    assert (from_x[:, EDGE + 2:] > EDGE).all()


def test_a_plan_elsewhere_is_left_alone() -> None:
    own, flow = cheek(9.0)
    for rings in ([], [LOBE + [500, 0]]):
        out, asked = past_ears(own, flow, EVERYWHERE, rings)
        assert out is own
        assert asked is flow
