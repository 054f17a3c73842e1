"""Subdivision: the same surface and the same points, whichever edges are halved."""

import numpy as np
import pytest

from core import Mesh, SurfacePoints
from core.subdivide import finer, split, split_all, split_within
from tests.procedural_head import procedural_head

VERTICES = np.array([[0.0, 0, 0], [10, 0, 1], [2, 9, 3], [11, 8, -4]])
FACES = np.array([[0, 1, 2], [1, 3, 2]], np.int32)


def normals(vertices, faces):
    return Mesh(vertices_mm=vertices, faces=faces, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(faces)).face_normals()


@pytest.mark.parametrize("code", range(8))
def test_every_pattern_covers_its_triangle_once_and_keeps_its_orientation(code):
    halved = np.array([[bool(code & 1), bool(code & 2), bool(code & 4)]])
    fine = split(FACES[:1], 4, halved)
    n = normals(fine.values(VERTICES), fine.faces)
    whole = normals(VERTICES, FACES[:1])[0]
    np.testing.assert_allclose(n.sum(0), whole)
    assert (n @ whole > 0.1 * whole @ whole).all()
    assert len(fine.faces) == 1 + halved.sum()


def test_all_edges_give_four_children_and_shared_edges_one_vertex():
    fine = split_all(FACES, 4)
    assert fine.faces.shape == (8, 3)
    assert len(fine.values(VERTICES)) == 4 + 5
    np.testing.assert_array_equal(fine.values(VERTICES)[:4], VERTICES)
    np.testing.assert_array_equal(fine.parent, np.repeat([0, 1], 4))


@pytest.mark.parametrize("seed", range(6))
def test_points_stay_where_they_are(seed):
    rng = np.random.default_rng(seed)
    points = SurfacePoints(face=rng.integers(0, 2, 200), bary=rng.dirichlet(np.ones(3), 200))
    before = points.on(VERTICES, FACES)
    vertices, faces = VERTICES, FACES
    for _ in range(3):
        fine = split_within(faces, rng.random(len(vertices)) < 0.7)
        vertices, faces, points = fine.values(vertices), fine.faces, fine.points(points)
        np.testing.assert_allclose(points.on(vertices, faces), before, atol=1e-12)
        assert points.bary.min() > -1e-12


def test_a_finer_head_has_no_gaps_and_the_same_pins_and_texture():
    mesh, anatomy = procedural_head()
    chosen = anatomy.region_weights.max(0) > 0.5
    assert 0 < chosen.sum() < len(chosen)
    fine, pinned, skin = finer(mesh, anatomy, chosen)
    edges = np.sort(fine.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    coarse_edges = np.sort(mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    borders = [np.sum(np.unique(e, axis=0, return_counts=True)[1] == 1) for e in (coarse_edges, edges)]
    assert borders[1] <= 2 * borders[0]  # a hanging vertex would open a border of three edges in the middle of the skin
    assert np.unique(edges, axis=0, return_counts=True)[1].max() <= 2
    np.testing.assert_allclose(fine.points(pinned.pins478), mesh.points(anatomy.pins478), atol=1e-9)
    np.testing.assert_allclose(pinned.pins478.on(fine.uv, fine.faces_uv), anatomy.pins478.on(mesh.uv, mesh.faces_uv),
                               atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(fine.face_normals(), axis=1).sum(),
                               np.linalg.norm(mesh.face_normals(), axis=1).sum())
    assert len(skin.ends) == len(fine.vertices_mm) - len(mesh.vertices_mm)
