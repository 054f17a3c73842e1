"""Eyeballs: spheres with a pole at the pupil, in place of Anny's coarse and unequal ones.

A sphere moves with its original: its centre with the mean of the original's vertices, its radius with their mean
distance from it; both linear in Anny's parameters to first order, so the head stays a linear model.
"""

import numpy as np

RINGS, SECTORS = 18, 28


def sphere():
    """Unit sphere about the z axis: (P,3) points, the pupil's pole first, and (F,3) outward triangles."""
    polar = np.pi * (np.arange(1, RINGS) / RINGS) ** 1.6  # finer about the iris
    around = np.arange(SECTORS) * 2 * np.pi / SECTORS
    ring = [[np.sin(p) * np.cos(a), np.sin(p) * np.sin(a), np.cos(p)] for p in polar for a in around]
    points = np.array([[0, 0, 1.0], *ring, [0, 0, -1.0]])
    index = 1 + np.arange((RINGS - 1) * SECTORS).reshape(RINGS - 1, SECTORS)
    nxt = np.roll(index, -1, axis=1)
    faces = [[0, a, b] for a, b in zip(index[0], nxt[0], strict=True)]
    for r in range(RINGS - 2):
        for a, b, c, d in zip(index[r], nxt[r], index[r + 1], nxt[r + 1], strict=True):
            to_left = points[[a, b], 0].sum() > 0  # the diagonals of one half mirror the other's
            faces += [[a, c, d], [a, d, b]] if to_left else [[a, c, b], [b, c, d]]
    faces += [[len(points) - 1, b, a] for a, b in zip(index[-1], nxt[-1], strict=True)]
    return points, np.array(faces)


def disc_faces(faces):
    """Texture triangles of a sphere laid out as a disc: the cap about the far pole, which would lie over all of the
    others, shrinks to one texture point; no camera sees it."""
    far = faces.max()
    return np.where((faces == far).any(1, keepdims=True), far, faces)


def globe(original):
    """Centre (N,3) and radius (N,) of eyeballs given as (N, P, 3) vertices: a least-squares sphere each."""
    a = np.concatenate([2 * original, np.ones((*original.shape[:2], 1))], 2)
    b = (original**2).sum(2)
    x = np.stack([np.linalg.lstsq(ai, bi, rcond=None)[0] for ai, bi in zip(a, b, strict=True)])
    return x[:, :3], np.sqrt(x[:, 3] + (x[:, :3] ** 2).sum(1))


def with_clean_eyes(heads, skin, eye_left, eye_right):
    """Append both spheres to the skin: (N, S + 2P, 3). `skin`, `eye_*` are vertex indices into `heads`."""
    points, _ = sphere()
    parts = [heads[:, skin]]
    for eye in (eye_left, eye_right):
        centre, radius = globe(heads[:, eye])
        parts.append(centre[:, None] + radius[:, None, None] * points)
    return np.concatenate(parts, 1)
