"""A compiled straight line, for the loops over triangles and vertices."""

import numpy as np

from core.compiled import compiled


@compiled
def gap(a, b):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The straight distance between two places."""
    return np.sqrt((a[0] - b[0])**2 + (a[1] - b[1])**2 + (a[2] - b[2])**2)
