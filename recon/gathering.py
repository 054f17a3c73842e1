"""Gathering: what the residuals of one view's landmarks say of its lens, its pose and the landmarks themselves.

Letters: L landmarks; r residual px, w its weight, x a landmark in camera axes, t the head's origin there; J how r
changes with the view's seven unknowns: ln f, then a rotation about the head's origin and a translation (left
perturbations); D how it changes with the landmark, head axes.
"""

import numpy as np

from recon.compiled import compiled


@compiled
def gather(r, w, cam, pose, focal, index, H, g, H_points, g_points, B):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Add sum w J'J to H (M,M) and sum w J'r to g (M,) at the seven places `index`; w D'D to H_points (L,3,3), w D'r to
    g_points (L,3) and w J'D to B (M,L,3)."""
    J, D, own, own_g = np.zeros((2, 7)), np.zeros((2, 3)), np.zeros((7, 7)), np.zeros(7)
    for point in range(len(w)):
        if w[point] == 0:
            continue
        x, y, z = cam[point]
        near = focal / z
        J[0, 0], J[1, 0] = near * x, near * y
        J[0, 4], J[0, 6], J[1, 5], J[1, 6] = near, -near * x / z, near, -near * y / z
        ax, ay, az = x - pose[0, 3], y - pose[1, 3], z - pose[2, 3]
        for i in range(2):  # d(x)/d(rotation about e) = e x (x - t), so that rotation and translation stay apart
            a, b, c = J[i, 4], J[i, 5], J[i, 6]
            J[i, 1], J[i, 2], J[i, 3] = ay * c - az * b, az * a - ax * c, ax * b - ay * a
            for k in range(3):
                D[i, k] = a * pose[0, k] + b * pose[1, k] + c * pose[2, k]
        for i in range(2):
            for m in range(7):
                heavy = w[point] * J[i, m]
                own_g[m] += heavy * r[point, i]
                for n in range(m + 1):
                    own[m, n] += heavy * J[i, n]
                for k in range(3):
                    B[index[m], point, k] += heavy * D[i, k]
            for k in range(3):
                heavy = w[point] * D[i, k]
                g_points[point, k] += heavy * r[point, i]
                for n in range(3):
                    H_points[point, k, n] += heavy * D[i, n]
    for m in range(7):
        g[index[m]] += own_g[m]
        for n in range(7):
            H[index[m], index[n]] += own[max(m, n), min(m, n)]


@compiled
def project(head, poses, focal, center, cam, px):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Write landmarks (N,L,3) in each view's camera axes, and their pixels (N,L,2)."""
    for view in range(len(head)):
        pose = poses[view]
        for point in range(head.shape[1]):
            x, y, z = head[view, point]
            for k in range(3):
                cam[view, point, k] = pose[k, 0] * x + pose[k, 1] * y + pose[k, 2] * z + pose[k, 3]
            for k in range(2):
                px[view, point, k] = focal[view] * cam[view, point, k] / cam[view, point, 2] + center[view, k]
