"""Inverse: a bend known on a grid of nodes, turned round: from where the picture at each node comes.

u motion of the picture at a place, px, by cubic splines between the nodes; b with b(y) = -u(y + b(y)).
"""

import cv2
import numpy as np
from jaxtyping import Float

from synth.compiled import compiled


def inverted(bend: Float[np.ndarray, "gh gw 2"], filtered: Float[np.ndarray, "gh gw 2"], step_px: int,
             tolerance_px: float = 0.005) -> Float[np.ndarray, "gh gw 2"]:
    """b with b(y) = -u(y + b(y)) at the nodes (px): Newton's method, its slopes taken from the grid."""
    reach = int(np.ceil(np.abs(bend).max() / step_px)) + 1
    size = (2 * reach + 1, 2 * reach + 1)
    near = cv2.dilate((np.abs(bend).max(-1) > tolerance_px / 5).astype(np.uint8), np.ones(size, np.uint8)) > 0
    slopes = np.stack([*np.gradient(bend[..., 0])[::-1], *np.gradient(bend[..., 1])[::-1]], -1) / step_px
    back = np.zeros(bend.shape)
    find_back(near, bend, filtered, slopes, float(step_px), tolerance_px, back)
    return back


@compiled
def find_back(near, bend, filtered, slopes, step, tolerance, back):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write `inverted` at the nodes near what moves. slopes (gh, gw, 4): du_x/dx, du_x/dy, du_y/dx, du_y/dy."""
    there, u = np.empty(4), np.empty(2)
    for row in range(near.shape[0]):
        for column in range(near.shape[1]):
            if not near[row, column]:
                continue
            dx, dy = newton(slopes[row, column], bend[row, column, 0] / step, bend[row, column, 1] / step, 0.3)
            x, y = column - dx, row - dy
            for _ in range(30):
                cubic(filtered, x, y, u)
                wrong_x, wrong_y = x + u[0] / step - column, y + u[1] / step - row
                if max(abs(wrong_x), abs(wrong_y)) * step <= tolerance:
                    break
                linear(slopes, x, y, there)
                dx, dy = newton(there, wrong_x, wrong_y, 0.05)
                x, y = x - dx, y - dy
            back[row, column, 0], back[row, column, 1] = (x - column) * step, (y - row) * step


@compiled
def newton(slopes, wrong_x, wrong_y, least):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The step (I + grad u)^-1 wrong; a determinant below `least` would throw it out of the grid."""
    xx, xy, yx, yy = slopes
    det = max((xx + 1) * (yy + 1) - xy * yx, least)
    return ((yy + 1) * wrong_x - xy * wrong_y) / det, ((xx + 1) * wrong_y - yx * wrong_x) / det


@compiled
def cubic(filtered, x, y, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write the cubic spline of node values at (column, row); what lies beyond the nodes counts as the last."""
    rows, columns = filtered.shape[:2]
    x, y = min(max(x, 0.0), columns - 1.0), min(max(y, 0.0), rows - 1.0)
    left, top = int(np.floor(x)), int(np.floor(y))
    out[:] = 0
    for i in range(4):
        down = basis(y - top, i)
        for j in range(4):
            weight = down * basis(x - left, j)
            at = filtered[min(max(top + i - 1, 0), rows - 1), min(max(left + j - 1, 0), columns - 1)]
            for k in range(len(out)):
                out[k] += weight * at[k]


@compiled
def basis(t, k):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Weight of the k-th of four nodes, t after the second (cubic B-spline)."""
    if k == 0:
        return (1 - t)**3 / 6
    if k == 1:
        return (3 * t**3 - 6 * t**2 + 4) / 6
    return (1 + 3 * t * (1 + t - t**2)) / 6 if k == 2 else t**3 / 6


@compiled
def linear(values, x, y, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write node values drawn straight between the nodes."""
    rows, columns = values.shape[:2]
    x, y = min(max(x, 0.0), columns - 1.0), min(max(y, 0.0), rows - 1.0)
    left, top = min(int(x), max(columns - 2, 0)), min(int(y), max(rows - 2, 0))
    right, bottom = min(left + 1, columns - 1), min(top + 1, rows - 1)
    for k in range(len(out)):
        upper = values[top, left, k] + (x - left) * (values[top, right, k] - values[top, left, k])
        lower = values[bottom, left, k] + (x - left) * (values[bottom, right, k] - values[bottom, left, k])
        out[k] = upper + (y - top) * (lower - upper)
