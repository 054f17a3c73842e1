"""Views agree on a colour, one of them draws the detail, and a wrong one is outvoted."""

import numpy as np
import pytest

from recon.blend import Survey, agree, agreement, consensus, one_view_each, sampled, shares
from recon.layout import Layout

SKIN = np.float32([180, 140, 120])


def many(count: int, points: int, seed: int, noise: float = 2.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (SKIN + rng.normal(0, noise, (count, points, 3))).astype(np.float32)


def nowhere(points: int) -> np.ndarray:
    return np.zeros(points, np.float32)


def expected(points: int) -> np.ndarray:
    return np.broadcast_to(SKIN, (points, 3))


def test_consensus_of_agreeing_views_is_their_mean():
    even, weight = many(4, 50, 0, 1.0), np.random.default_rng(1).uniform(0.1, 1, (4, 50)).astype(np.float32)
    mean, agreed = consensus(even, weight, expected(50) * 0, nowhere(50))
    plain = (weight[..., None] * even).sum(0) / weight.sum(0)[:, None]
    assert np.abs(mean - plain).max() < 0.2
    assert (agreed > 0.9 * weight).all() and (agreed <= weight).all()


def test_a_leak_of_the_background_is_outvoted():
    even, weight = many(5, 60, 2), np.ones((5, 60), np.float32)
    even[3, ::2] = (40, 220, 60)
    mean, agreed = consensus(even, weight, expected(60), nowhere(60))
    assert np.abs(mean - SKIN).max() < 8
    assert agreed[3, ::2].max() < 0.02 and agreed[3, 1::2].min() > 0.8


def test_of_two_that_disagree_the_expected_one_wins_and_alone_nothing_is_forced():
    """A little belief in mean skin decides between two views; it does not repaint what one view shows."""
    even, weight = many(2, 30, 3), np.full((2, 30), 0.3, np.float32)
    even[0] = (90, 60, 40)
    belief = np.full(30, 0.1, np.float32)
    mean, agreed = consensus(even, weight, expected(30), belief)
    assert np.abs(mean - SKIN).max() < 10 and agreed[0].max() < 0.1 * agreed[1].min()
    alone, _ = consensus(even[:1], weight[:1], expected(30), belief * 0.01)
    assert np.abs(alone - [90, 60, 40]).max() < 1


def test_agreement_is_one_for_equals_and_falls():
    far = agreement(np.float32([[0, 0, 0], [10, 0, 0], [100, 0, 0]]), 10.0)
    assert far == pytest.approx([1, 0.25, 1 / 101**2], rel=1e-4)


def disc_weights(side: int = 80) -> np.ndarray:
    """Two views: one best at the left, one at the right; a part that only the second sees."""
    x = np.linspace(0, 1, side, dtype=np.float32)
    left, right = np.tile(1 - x, (side, 1)), np.tile(x, (side, 1)) * 0.8
    left[:20, :20] = 0
    return np.stack([left, right])


def test_shares_sum_to_one_and_go_to_the_better_view():
    weight, inside = disc_weights(), np.ones((80, 80), bool)
    share = shares(weight, inside, 1.5)
    total = share.sum(0)
    assert np.allclose(total[(weight.max(0) > 0.05)], 1, atol=1e-3)
    assert share[0][40, 10] > 0.95 and share[1][40, 75] > 0.95
    assert not share[0][:20, :20].any() and share[1][10, 15] > 0.99
    assert (np.diff(share[0][60]) <= 1e-4).all()  # one border, no islands


def test_a_wider_feather_blends_over_more_texels():
    width = [((share := shares(disc_weights(), np.ones((80, 80), bool), f)[0][60]) > 0.1).sum() - (share > 0.9).sum()
             for f in (1.0, 6.0)]
    assert width[1] > width[0] >= 1


def test_nothing_seen_has_no_share():
    assert not shares(np.zeros((2, 16, 16), np.float32), np.ones((16, 16), bool), 1.5).any()


def test_one_view_each_keeps_the_view_that_sees_most():
    side = 8
    flat = Layout(np.zeros((side, side), np.int32), np.zeros((side, side, 3), np.float32))
    zero = np.zeros((2, side, side, 3), np.float32)
    weight = np.stack([np.full((side, side), 0.5), np.full((side, side), 0.4)]).astype(np.float32)
    weight[1, :, :2] = 0.9
    eye = np.zeros((side, side), bool)
    eye[2:6, :4] = True
    seen = Survey(flat=flat, points=zero[0], normals=zero[0], low=zero, mid=zero, weight=weight, wide=weight,
                  withheld=zero[0, ..., 0])
    found = one_view_each(seen, [eye])
    assert np.array_equal(found.weight[1], weight[1])  # 0.65 on the eye on average, against 0.5
    assert np.allclose(found.weight[0][eye], 0.5e-4) and np.array_equal(found.weight[0][~eye], weight[0][~eye])
    assert np.array_equal(found.wide, found.weight)


def test_between_two_views_the_skin_is_as_bright_as_one_of_them_saw_it():
    """Two pictures in different light meet along a ridge, and the light that was told is wrong by a fifth."""
    weight = disc_weights()
    low = np.stack([np.broadcast_to(SKIN, (80, 80, 3)), np.broadcast_to(0.7 * SKIN, (80, 80, 3))]).astype(np.float32)
    shade = np.stack([np.full((80, 80, 3), 1.2), np.full((80, 80, 3), 0.7)]).astype(np.float32)
    flat = Layout(np.zeros((80, 80), np.int32), np.zeros((80, 80, 3), np.float32))
    seen = Survey(flat=flat, points=low[0], normals=low[0], low=low, mid=low, weight=weight, wide=weight**0.3,
                  withheld=weight[0])
    broad, light, _, _ = agree(seen, shade, np.ones((80, 80), np.float32), np.zeros((80, 80), np.float32))
    shown, known = broad * light, weight.max(0) > 0
    assert (shown <= low[0] + 0.01)[known].all() and (shown >= low[1] - 0.01)[known].all()
    row = shown[60, :, 0]
    assert row[5] - row[-5] > 0.2 * SKIN[0] and (np.diff(row) < 0.01).all()  # from one to the other, no strip between


@pytest.mark.parametrize("count", [1, 4096, 5000])
def test_sampled_reads_every_point_of_a_long_list(count):
    ramp = np.dstack([np.tile(np.arange(64.0), (32, 1))] * 3).astype(np.float32)
    px = np.random.default_rng(0).uniform(2, 29, (count, 2)).astype(np.float32)
    assert np.abs(sampled(ramp, px, 1)[:, 0] - px[:, 0]).max() < 0.05
    assert sampled(ramp[..., 0], px, 1).shape == (count, 1)
