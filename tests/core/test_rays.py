"""Rays: the cheapest choice on all of them together is the one that trying everything finds."""

import numpy as np
import pytest

from core.rays import cheapest


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_the_cheapest_choice_is_the_brute_force_one(reach: int) -> None:
    d = np.sort(np.random.default_rng(1).normal(size=(4, 4)), axis=1)
    cost = np.random.default_rng(0).normal(size=(4, 4))
    every = np.stack(np.meshgrid(*[np.arange(4)] * 4, indexing="ij"), -1).reshape(-1, 4)
    every = every[(np.abs(np.diff(every, axis=1)) <= reach).all(1)]
    rays = np.arange(4)
    total = cost[rays, every].sum(1) + 0.3 * (np.diff(d[rays, every], axis=1) ** 2).sum(1)
    chosen, least = cheapest(cost, d, 0.3, reach)
    assert np.array_equal(chosen, every[total.argmin()])
    assert least == pytest.approx(total.min())
