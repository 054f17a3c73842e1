"""Rays: one choice on each of a row of rays, all together, when neighbours may not part."""

import numpy as np

from core.compiled import compiled


@compiled
def cheapest(cost, d_mm, bend, reach):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The cheapest choice (A,) on every ray of its costs (A,M), and what all cost together (dynamic programming).

    d_mm (A,M): where the choices lie; `bend` (1/mm2) times the square of what neighbours part is added. reach: a
    neighbour's choice is at most so many columns away.
    """
    rays, many = cost.shape
    total, came, chosen = cost[0].copy(), np.zeros((rays, many), np.int64), np.zeros(rays, np.int64)
    for ray in range(1, rays):
        least = np.full(many, np.inf)
        for to in range(many):
            for origin in range(max(0, to - reach), min(many, to + reach + 1)):
                way = total[origin] + bend * (d_mm[ray - 1, origin] - d_mm[ray, to]) ** 2
                if way < least[to]:
                    least[to], came[ray, to] = way, origin
        total = least + cost[ray]
    chosen[-1] = total.argmin()
    for ray in range(rays - 1, 0, -1):
        chosen[ray - 1] = came[ray, chosen[ray]]
    return chosen, total.min()
