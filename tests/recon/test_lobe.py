"""Lobe: which outlines show one, and how the ear is closed along the cheek."""

import dataclasses

import numpy as np
import pytest

from core.ear_frame import EarFrame
from recon.ear_outline import USUAL_MM, EarOutline
from recon.lobe import LIMITS, ring, shows_lobe

EDGE = np.array([(3, -30), (2, 0), (1, 25), (-4, 60.0)])
FRAME = EarFrame(origin_px=np.zeros(2), out=np.array([1.0, 0]), down=np.array([0.0, 1]), px_per_mm=1.0, depth_mm=600.0)


def usual(end: int | None = None) -> EarOutline:
    points = USUAL_MM[:end]
    return EarOutline(points_mm=points, edge=np.full(len(points), 3.0), skin=1.0, busy=1.0)


def test_strands_beside_it_and_hair_over_its_top_hide_no_lobe() -> None:
    ear = usual()
    low = dataclasses.replace(ear, edge=np.where(ear.points_mm[:, 1] < 10, 0.0, 3.0))
    assert shows_lobe(ear)
    assert shows_lobe(low)


@pytest.mark.parametrize("what", [{"skin": 0.5}, {"edge": np.zeros(len(USUAL_MM))},
                                  {"points_mm": USUAL_MM * [1, 0.2]}])
def test_what_is_hair_or_wall_shows_none(what: dict) -> None:
    assert not shows_lobe(dataclasses.replace(usual(), **what))


def test_it_ends_at_the_cheeks_edge() -> None:
    closed = ring(FRAME, usual(), EDGE, LIMITS.within_mm)[len(USUAL_MM):]
    edge = np.interp(closed[:, 1], EDGE[:, 1], EDGE[:, 0])
    assert (closed[:, 0] < edge).all()
    assert (closed[:, 0] > edge - 5).all()


def test_a_lobe_that_ends_within_the_edge_found_takes_it_along() -> None:
    ear = usual(12)  # a hollow corner at x = 7.5
    closed = ring(FRAME, ear, EDGE + [9.0, 0], LIMITS.within_mm)[12:]
    assert abs(closed[0, 0] - (7.5 - LIMITS.within_mm)) < 0.01
