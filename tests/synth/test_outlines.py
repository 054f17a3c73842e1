"""Where an outline was before, and how much of the picture beside it is the head's."""

import dataclasses

import numpy as np
import pytest

from synth.backdrop import signed_distance
from synth.outlines import OUTLINE, landing, last_before_jumps, nearest, shown_beside
from tests.synth.bent import bent

Y, X = np.mgrid[:121, :141].astype(np.float32)


def test_the_nearest_edge_pixel_is_found_by_brute_force() -> None:
    edge = np.random.default_rng(0).random((23, 31)) > 0.97
    away, number, y, x = nearest(edge)
    rows, columns = np.mgrid[:23, :31]
    apart = np.hypot(rows[..., None] - y, columns[..., None] - x)
    assert np.abs(np.take_along_axis(apart, number[..., None], -1)[..., 0] - apart.min(-1)).max() < 0.25
    assert np.abs(away - apart.min(-1)).max() < 0.25  # OpenCV's 5 x 5 distance is good to that


def test_of_skin_that_runs_away_the_last_pixel_is_the_outline() -> None:
    depth = np.tile(np.array([10, 11, 14, 18, 23, 1e6, 1e6, 23, 22], np.float32), (5, 1))
    for turned in (depth, depth.T):
        found = last_before_jumps(turned, 2.0)
        assert np.array_equal(np.flatnonzero(found.any(0 if turned is depth else 1)), [4, 7])
    assert not last_before_jumps(np.zeros((4, 4), np.float32), 2.0).any()


@pytest.mark.parametrize("yaw_deg", [60.0, -60.0])
def test_the_outline_after_lands_on_the_outline_before(yaw_deg: float) -> None:
    """A nose that turns sideways shows other skin as its outline: that skin lay well inside the outline before."""
    s = bent(yaw_deg, (0.0, 0.0, 7.0))
    flow = s.seen.correspondence
    before, after = (signed_distance(np.isfinite(d)) for d in (flow.depth_before_mm, flow.depth_after_mm))
    moves = np.abs(flow.flow_px).max(-1) > 3
    y, x = np.nonzero(last_before_jumps(np.minimum(flow.depth_after_mm, np.float32(1e6)), 2.0) & moves & (after == 1))
    assert len(y) > 20
    there = np.stack([x, y], 1) + flow.flow_px[y, x]

    fine = dataclasses.replace(OUTLINE, smooth_mm=0.7)  # the nose is 15 mm wide

    def off(points: np.ndarray) -> float:
        column, row = np.rint(points).astype(int).T
        return abs(float(before[row, column].mean()) - 1)
    assert off(there) > 0.4 and off(there + landing(flow, y, x, fine)) < 0.6 * off(there)


def test_a_head_that_was_nowhere_before_lands_where_it_is() -> None:
    s = bent(60.0)
    flow = s.seen.correspondence
    empty = type(flow)(**{**{k: getattr(flow, k) for k in flow.__dataclass_fields__},
                          "depth_before_mm": np.full_like(flow.depth_before_mm, np.inf)})
    assert not landing(empty, np.array([3, 4]), np.array([5, 6])).any()


def test_before_a_neck_the_outline_beside_it_tells_where_the_chin_ends() -> None:
    """The neck itself is the person at any distance. Where the picture shows the outline nothing is told."""
    round_chin = np.hypot(X - 70, Y - 40)
    for more in (0.0, 1.0, 2.0):
        person = np.where((np.abs(X - 70) < 12) & (Y > 40), 1, np.clip(30.5 + more - round_chin, 0, 1))
        told = shown_beside(person, round_chin < 30, 4.0, 2.0)
        assert more - 0.5 < told[71, 70] < more + 1.6  # the pixels beside the neck count as half of it
        assert told[10, 70] == told[40, 40] == 8.0


def test_a_chin_before_the_fitted_neck_goes_on_as_the_outline_beside_it() -> None:
    round_chin = np.hypot(X - 70, Y - 40)
    neck = (np.abs(X - 70) < 12) & (Y > 40)
    for more in (0.0, 2.0):
        person = np.where(neck, 1, np.clip(30.5 + more - round_chin, 0, 1))
        head = (round_chin < 30) | (neck & (Y < 90))
        outside, inside = (shown_beside(person, head, 4.0, 2.0, inside) for inside in (False, True))
        assert outside[72, 70] == 8.0 and more - 1 < inside[72, 70] < more + 1.6
        assert np.array_equal(outside[~head], inside[~head])


def test_where_nobody_tells_nothing_is_cut() -> None:
    head = np.hypot(X - 70, Y - 40) < 30
    for person, fitted in ((np.ones_like(X), head), (np.ones_like(X), np.zeros_like(head)), (1.0 * head, head)):
        assert (shown_beside(person, fitted, 4.0, 2.0) == 8.0).all()
