"""What was not seen goes on from what was: smoothly, from the mirror side, darker in a cavity."""

import numpy as np
import pytest

from core.mesh import Mesh
from recon.complete import diffused, membrane, mirror_vertices, mirrored, openness
from recon.models import load_model
from tests.core.builders import sphere


@pytest.fixture(scope="module")
def head():
    return load_model().mean_mesh()


def ball() -> Mesh:
    return sphere(80, 24, 48)


def test_membrane_keeps_what_is_known_and_fills_the_rest_from_it():
    """Known colours of one hemisphere stay; just beyond its border they go on, far from it the expected one wins."""
    mesh = ball()
    x = mesh.vertices_mm[:, 0]
    known = np.where(x[:, None] > 0, [200.0, 100.0, 50.0], 0.0)
    filled = membrane(mesh, known, (x > 0).astype(float), np.full((len(x), 3), 120.0))
    assert np.abs(filled[x > 20] - [200, 100, 50]).max() < 6
    near, far = filled[(x < 0) & (x > -12)].mean(0), filled[x < -75].mean(0)
    assert np.abs(near - [200, 100, 50]).max() < 40
    assert np.abs(far - 120).max() < np.abs(near - 120).max()
    assert filled.min() > 49 and filled.max() < 201


def test_membrane_follows_the_differences_of_what_is_expected():
    """A step that is expected in the unknown part appears there, on the level of the known part."""
    mesh = ball()
    x, y = mesh.vertices_mm[:, 0], mesh.vertices_mm[:, 1]
    expected = np.where(y[:, None] > 0, 100.0, 60.0)
    known = expected + 30
    filled = membrane(mesh, known, (x > 0).astype(float), expected)[:, 0]
    near = (x < -2) & (x > -15)
    assert filled[near & (y > 15)].mean() - filled[near & (y < -15)].mean() == pytest.approx(40, abs=6)
    assert filled[near].mean() - expected[near].mean() > 15


def test_membrane_without_anything_known_is_what_was_expected():
    mesh = ball()
    expected = np.random.default_rng(0).uniform(0, 255, (len(mesh.vertices_mm), 3))
    assert np.abs(membrane(mesh, np.zeros_like(expected), np.zeros(len(expected)), expected) - expected).max() < 1e-6


def test_a_hairline_fades_but_the_mean_stays():
    mesh = ball()
    step = np.where(mesh.vertices_mm[:, :1] > 0, 1.0, 0.0)
    faded = diffused(mesh, step, np.ones(len(step), bool))[:, 0]
    x = mesh.vertices_mm[:, 0]
    assert faded[x > 60].min() > 0.9 and faded[x < -60].max() < 0.1
    assert 0.3 < np.abs(faded[np.abs(x) < 6]).mean() < 0.7
    still = diffused(mesh, step, np.zeros(len(step), bool))
    assert np.array_equal(still, step)


def test_mirror_vertices_find_the_other_side(head):
    twin, may = mirror_vertices(head, head.vertex_normals())
    assert may.mean() > 0.98
    away = np.linalg.norm(head.vertices_mm[twin] * [-1, 1, 1] - head.vertices_mm, axis=1)
    assert np.median(away[may]) < 0.5
    lopsided = head.with_vertices(head.vertices_mm + np.where(head.vertices_mm[:, :1] > 0, [[15.0, 0, 0]], 0.0))
    assert mirror_vertices(lopsided, lopsided.vertex_normals())[1].mean() < 0.5


def test_openness_is_one_on_a_ball_and_small_in_a_cavity(head):
    ball_mesh = ball()
    every = np.arange(len(ball_mesh.vertices_mm))
    assert openness(ball_mesh, ball_mesh.vertex_normals(), every).min() > 0.9
    model = load_model()
    share = openness(head, head.vertex_normals(), np.arange(len(head.vertices_mm)))
    pin = head.points(model.anatomy.pin("prn"))[0]
    tip = np.argmin(np.linalg.norm(head.vertices_mm - pin, axis=1))
    assert share[tip] > 0.9
    assert np.median(share[model.anatomy.region("mouth_interior") > 0.9]) < 0.2


def test_mirrored_detail_fills_the_unseen_side_only_where_the_layout_is_the_mirror_image():
    side, small = 32, 8
    x = (np.arange(small) + 0.5) / small * 100 - 50
    points = np.zeros((small, small, 3), np.float32)
    points[..., 0], points[..., 1] = x, np.arange(small)[:, None] * 10
    points[-1, :, 1] += np.where(x > 0, 60, 0)  # the last row holds different parts left and right
    fine = np.random.default_rng(0).normal(0, 9, (side, side, 3)).astype(np.float32)
    sure = np.tile((np.arange(side) < side // 2).astype(np.float32), (side, 1))
    fine *= sure[..., None]
    full = mirrored(fine, sure, points, np.ones((small, small), bool))
    assert np.array_equal(full[:, :side // 2], fine[:, :side // 2])
    assert np.allclose(full[:24, side // 2:], fine[:24, ::-1][:, side // 2:])
    assert not full[-2:, side // 2:].any()
