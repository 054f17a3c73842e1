"""Nearest points, against brute force."""

import numpy as np
import pytest

from core import Mesh, SurfacePoints
from core.subdivide import split
from deform3d.nearest import BLOCK, Triangles, nearest

VERTICES = np.array([[0.0, 0, 0], [10, 0, 1], [2, 9, 3], [11, 8, -4]])
FACES = np.array([[0, 1, 2], [1, 3, 2]], np.int32)


def mesh() -> Mesh:
    return Mesh(vertices_mm=VERTICES, faces=FACES, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(FACES))


@pytest.mark.parametrize("seed", range(4))
def test_nearest_is_no_farther_than_any_sample(seed):
    rng = np.random.default_rng(seed)
    target = rng.normal(size=3) * 8
    samples = rng.dirichlet(np.ones(3) * 0.4, (2, 40000))
    brute = np.linalg.norm(np.einsum("fnk,fkc->fnc", samples, VERTICES[FACES]) - target, axis=2).min()
    found = np.linalg.norm(mesh().points(nearest(mesh(), target))[0] - target)
    assert brute - 0.15 < found <= brute + 1e-12


def test_nearest_recovers_a_point_on_the_surface():
    point = SurfacePoints(face=np.array([1]), bary=np.array([[0.2, 0.5, 0.3]]))
    position = mesh().points(point)[0]
    found = nearest(mesh(), position)
    assert found.face[0] == 1
    np.testing.assert_allclose(found.bary[0], [0.2, 0.5, 0.3], atol=1e-12)


def test_only_what_is_not_negative_counts():
    triangles = Triangles(VERTICES[FACES])
    position = mesh().points(SurfacePoints(face=np.array([1]), bary=np.array([[0.2, 0.5, 0.3]])))[0]
    corners = np.arange(6).reshape(2, 3)
    first, second, none = ((corners, np.repeat([[a, b]], 3, axis=1))
                           for a, b in ((1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)))
    assert triangles.nearest(position)[0] == triangles.nearest(position, second)[0] == 1
    assert triangles.nearest(position, first)[0] == 0
    assert triangles.nearest(position, none)[0] == -1


@pytest.mark.parametrize("seed", range(6))
def test_several_scores_keep_what_all_of_them_keep_on_finer_triangles_too(seed):
    rng = np.random.default_rng(seed)
    scores, target = rng.normal(size=(4, 3)) + 0.4, rng.normal(size=3) * 8
    samples = rng.dirichlet(np.ones(3) * 0.6, (2, 60000))
    kept = (np.einsum("fnk,fks->fns", samples, scores[FACES]) >= 0).all(2)
    brute = np.linalg.norm(np.einsum("fnk,fkc->fnc", samples, VERTICES[FACES])[kept] - target, axis=1).min()
    row, bary = Triangles(VERTICES[FACES]).nearest(target, (FACES, scores.T))
    found = bary @ VERTICES[FACES[row]]
    assert (bary @ scores[FACES[row]] >= -1e-12).all()
    assert brute - 0.25 < np.linalg.norm(found - target) <= brute + 1e-12
    one = split(FACES, len(VERTICES), np.ones_like(FACES, bool))
    fine = one.values(VERTICES)[one.faces]
    row, bary = Triangles(fine).nearest(target, (one.faces, one.values(scores).T))
    np.testing.assert_allclose(bary @ fine[row], found, atol=1e-9)


def test_skin_that_looks_another_way_does_not_count():
    sheet = np.array([[0.0, 0, 0], [9, 0, 0], [0, 9, 0]])
    triangles = Triangles(np.array([sheet, sheet[::-1] - (0, 0, 4)]))  # looks up, and down from below
    above = np.array([2.0, 2, 1])
    assert triangles.nearest(above)[0] == triangles.nearest(above, facing=np.array([1.0, 0, 1]))[0] == 0
    assert triangles.nearest(above, facing=np.array([1.0, 0, -1]))[0] == 1
    assert triangles.nearest(above, facing=np.array([1.0, 0, 0]))[0] == -1


def test_many_triangles_in_blocks_give_the_nearest_of_all():
    rng = np.random.default_rng(3)
    corners = rng.normal(size=(5 * BLOCK + 7, 1, 3)) * 30 + rng.normal(size=(5 * BLOCK + 7, 3, 3))
    every, alone = Triangles(corners), [Triangles(c[None]) for c in corners]
    for target in rng.normal(size=(20, 3)) * 30:
        face, bary = every.nearest(target)
        gaps = [np.linalg.norm(t.nearest(target)[1] @ t.corners[0] - target) for t in alone]
        assert np.linalg.norm(bary @ corners[face] - target) == pytest.approx(min(gaps))


def test_nearest_survives_a_triangle_without_area():
    flat = Mesh(vertices_mm=np.array([[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]), faces=np.array([[0, 1, 2]]),
                uv=np.zeros((1, 2)), faces_uv=np.zeros((1, 3), int))
    np.testing.assert_allclose(flat.points(nearest(flat, np.array([1.5, 3, 0])))[0], [1.5, 0, 0])
