"""Modes without place and size: what is left neither moves, turns nor scales the head, and varies as before."""

import numpy as np

from core.transforms import rotation_from_vector
from recon.modes import without_similarity


def setting():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 60, (200, 3)) + [5, 300, -40]
    weight = rng.uniform(0.1, 1, 200)
    basis = rng.normal(0, 1, (12, 200, 3)) * np.geomspace(3, 0.2, 12)[:, None, None]
    return points, weight, basis


def similarities(points):
    """Small moves along the seven ways of a similarity, as displacements."""
    about, h = points - points.mean(0), 1e-4
    turn = [about @ (rotation_from_vector(h * a) - rotation_from_vector(-h * a)).T / (2 * h) for a in np.eye(3)]
    return [*(np.tile(axis, (len(points), 1)) for axis in np.eye(3)), *turn, points - points.mean(0)]


def test_no_mode_keeps_a_similarity():
    points, weight, basis = setting()
    moved = basis + sum(np.random.default_rng(k).normal(0, 2, 12)[:, None, None] * move
                        for k, move in enumerate(similarities(points)))
    found = without_similarity(points, moved, weight, 99)
    for move in similarities(points):
        share = np.einsum("kvc,vc,v->k", found, move, weight) / np.einsum("vc,vc,v->", move, move, weight)
        assert np.abs(share).max() < 1e-6
    pure = without_similarity(points, basis, weight, 99)
    assert np.allclose(np.einsum("kvc,kwd->vcwd", found[:, :20], found[:, :20]),
                       np.einsum("kvc,kwd->vcwd", pure[:, :20], pure[:, :20]), atol=1e-5)


def test_the_heads_vary_as_before():
    """Independent coefficients of unit variance give the same covariance, and the modes come in order of strength."""
    points, weight, basis = setting()
    left = basis - np.stack([sum(c * m for c, m in zip(np.linalg.lstsq(
        (np.stack(similarities(points)) * np.sqrt(weight)[:, None]).reshape(7, -1).T,
        (b * np.sqrt(weight)[:, None]).ravel(), rcond=None)[0], similarities(points), strict=True)) for b in basis])
    found = without_similarity(points, basis, weight, 99)
    assert np.allclose(np.einsum("kvc,kwd->vcwd", found[:, :30], found[:, :30]),
                       np.einsum("kvc,kwd->vcwd", left[:, :30], left[:, :30]), atol=1e-6)
    gram = np.einsum("kvc,lvc,v->kl", found, found, weight)
    strength = np.diag(gram)
    assert (np.diff(strength) < 0).all()
    assert np.abs(gram - np.diag(strength)).max() < 1e-9 * strength[0]
    assert np.allclose(without_similarity(points, basis, weight, 4), found[:4])


def test_a_mode_of_size_alone_goes():
    points, weight, basis = setting()
    sizes = np.concatenate([basis, [0.05 * (points - points.mean(0))]])
    assert len(without_similarity(points, sizes, weight, 99)) == len(basis)
