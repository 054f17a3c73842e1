"""NME: how far landmarks are apart, as a share of the distance between the outer eye corners."""

import numpy as np
from jaxtyping import Bool, Float

OUTER_EYE = (33, 263)
"""In MediaPipe's 478."""


def nme(points_px: Float[np.ndarray, "478 2"], truth_px: Float[np.ndarray, "478 2"],
        where: Bool[np.ndarray, "h w"] | None = None) -> float:
    """Mean distance of the landmarks over the distance of the truth's outer eye corners (IOD).

    where: only landmarks whose true place lies on these pixels. ValueError: none does, or the corners are in one place.
    """
    iod = float(np.linalg.norm(truth_px[OUTER_EYE[1]] - truth_px[OUTER_EYE[0]]))
    if not iod > 0:
        raise ValueError("the outer eye corners lie in one place")
    chosen = np.ones(len(points_px), bool)
    if where is not None:
        at = np.rint(truth_px).astype(int)
        within = np.all((at >= 0) & (at < np.array(where.shape)[::-1]), axis=1)
        chosen = within & where[np.where(within, at[:, 1], 0), np.where(within, at[:, 0], 0)]
    if not chosen.any():
        raise ValueError("no landmark lies there")
    return float(np.linalg.norm((points_px - truth_px)[chosen], axis=1).mean() / iod)
