"""Certainty: what a camera saw, vertex by vertex, and the distance that holds 95 % of the seen skin."""

import numpy as np
import pytest

from core.certainty import SAMPLES, SEEN, area_mm2, face_area_mm2, seen_at, within95_mm
from core.texture import Texture
from tests.core.builders import sphere


def half_seen(side: int = 64) -> Texture:
    """Seen where the texture's left half is: the globe's x < 0."""
    seen = np.zeros((side, 2 * side), np.uint8)
    seen[:, :side] = 255
    return Texture(rgb=np.zeros((side, 2 * side, 3), np.uint8), seen=seen)


def test_a_vertex_is_seen_where_its_skin_is() -> None:
    mesh = sphere()
    x, seen = mesh.vertices_mm[:, 0], seen_at(half_seen(), mesh)
    off_the_edges = np.abs(x) > 13  # a ring of triangles around the two meridians has both kinds of skin
    assert off_the_edges.mean() > 0.7
    np.testing.assert_allclose(seen[off_the_edges], x[off_the_edges] < 0, atol=1e-12)
    assert ((seen > 0.2) & (seen < 0.8)).any(), "on the edge it is a share"


def test_all_or_nothing() -> None:
    mesh = sphere()
    for value in (0, 255):
        skin = Texture(rgb=np.zeros((8, 8, 3), np.uint8), seen=np.full((8, 8), value, np.uint8))
        np.testing.assert_allclose(seen_at(skin, mesh), value / 255, atol=1e-12)


def test_the_samples_lie_evenly_within_a_triangle() -> None:
    assert SAMPLES.shape == (10, 3) and SAMPLES.min() > 0
    np.testing.assert_allclose(SAMPLES.sum(1), 1)
    np.testing.assert_allclose(SAMPLES.mean(0), 1 / 3)


def test_areas_are_the_globes() -> None:
    mesh = sphere(90.0, 48, 96)
    assert face_area_mm2(mesh).sum() == pytest.approx(4 * np.pi * 90**2, rel=2e-3)
    assert area_mm2(mesh).sum() == pytest.approx(3 * face_area_mm2(mesh).sum())


def test_one_spread_everywhere_gives_its_own_interval() -> None:
    mesh = sphere()
    count = len(mesh.vertices_mm)
    assert within95_mm(mesh, np.full(count, 2.0), np.ones(count)) == pytest.approx(1.959964 * 2, abs=1e-4)


def test_it_holds_95_percent_of_errors_that_are_drawn() -> None:
    """Brute force: normal errors of every vertex's own spread; unseen skin does not count."""
    rng = np.random.default_rng(40)
    mesh = sphere()
    sd = np.where(mesh.vertices_mm[:, 0] < 0, rng.uniform(0.2, 3.0, len(mesh.vertices_mm)), 50.0)
    seen = (mesh.vertices_mm[:, 0] < 0).astype(float)
    x = within95_mm(mesh, sd, seen)
    error = np.abs(rng.normal(size=(4000, len(sd))) * sd)
    weight = area_mm2(mesh) * (seen > SEEN)
    assert np.average((error <= x).mean(0), weights=weight) == pytest.approx(0.95, abs=1e-3)


def test_nothing_seen_says_nothing() -> None:
    mesh = sphere()
    assert np.isnan(within95_mm(mesh, np.ones(len(mesh.vertices_mm)), np.zeros(len(mesh.vertices_mm))))
