"""Nearest points, against brute force."""

import numpy as np
import pytest

from core import Mesh, SurfacePoints
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
    first, second, none = (np.array([[a] * 3, [b] * 3], float) for a, b in ((1, -1), (-1, 1), (-1, -1)))
    assert triangles.nearest(position)[0] == triangles.nearest(position, second)[0] == 1
    assert triangles.nearest(position, first)[0] == 0
    assert triangles.nearest(position, none)[0] == -1


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
