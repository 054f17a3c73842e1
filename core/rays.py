"""Rays: one choice on each of a row of rays, all together, when neighbours may not part."""

import numpy as np
from jaxtyping import Float, Int


def cheapest(cost: Float[np.ndarray, "a m"], d_mm: Float[np.ndarray, "a m"], bend: float, reach: int) -> tuple[
        Int[np.ndarray, "a"], float]:
    """The cheapest choice on every ray of its costs, and what all cost together (dynamic programming).

    d_mm: where the choices lie; `bend` (1/mm2) times the square of what neighbours part is added. reach: a neighbour's
    choice is at most so many columns away.
    """
    rays, many = cost.shape
    column = np.arange(many)
    barred = np.where(np.abs(column[:, None] - column) > reach, np.inf, 0.0)  # to, origin
    total, came = cost[0].astype(float), np.zeros((rays, many), np.int64)
    for ray in range(1, rays):
        way = total + bend * (d_mm[ray][:, None] - d_mm[ray - 1]) ** 2 + barred
        came[ray] = way.argmin(1)
        total = way[column, came[ray]] + cost[ray]
    chosen = np.zeros(rays, np.int64)
    chosen[-1] = total.argmin()
    for ray in range(rays - 1, 0, -1):
        chosen[ray - 1] = came[ray, chosen[ray]]
    return chosen, float(total.min())
