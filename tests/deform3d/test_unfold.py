"""Folds that a field would turn over, on a flat sheet."""

import numpy as np
import pytest

from core import SurfacePoints
from deform3d.unfold import harmonic, turned, unfolded
from deform3d.volume import COLLAPSED
from tests.deform3d.test_geodesic import sheet


@pytest.fixture(scope="module")
def flat():
    return sheet(21, 21)


def spike(mesh, width):
    """One handle's field: 1 in the middle, 0 from so many millimetres on."""
    away = np.linalg.norm(mesh.vertices_mm - [10.0, 10.0, 0.0], axis=1)
    return np.clip(1 - away / width, 0, None)[:, None]


def rows_turned(mesh, field, asked):
    return turned(mesh.vertices_mm, mesh.faces, mesh.faces, field @ asked, np.ones(len(mesh.faces), bool))


def test_a_gentle_field_is_left_alone(flat):
    field, asked = spike(flat, 9.0), np.array([[4.0, 0.0, 0.0]])
    assert not rows_turned(flat, field, asked).any()
    assert unfolded(flat, field, np.zeros(len(field), bool), [asked]) is field


def test_a_spike_that_turns_triangles_over_is_drawn_smooth(flat):
    field, asked = spike(flat, 3.0), np.array([[4.0, 0.0, 0.0]])
    still = ~field.any(1)
    before = rows_turned(flat, field, asked)
    assert before.any()
    better = unfolded(flat, field, np.zeros(len(field), bool), [asked, -asked])
    assert rows_turned(flat, better, asked).sum() < before.sum()
    held = still | (field[:, 0] == 1)
    kept = unfolded(flat, field, held, [asked, -asked])
    assert np.array_equal(kept[held], field[held])  # what is still stays still, and the handle lands


def test_a_handle_in_a_fold_lands_all_the_same(flat):
    """Nothing is held but what is still: the corners of the handle's triangle move, its place does not."""
    field, asked = spike(flat, 3.0), np.array([[4.0, 0.0, 0.0]])
    face = np.flatnonzero((field[flat.faces][:, :, 0] > 0).all(1))[[0]]
    pin = SurfacePoints(face=face, bary=np.array([[0.5, 0.3, 0.2]]))
    better = unfolded(flat, field, ~field.any(1), [asked, -asked], pin)
    assert (better[flat.faces[face]] != field[flat.faces[face]]).any()
    np.testing.assert_allclose(pin.on(better, flat.faces), pin.on(field, flat.faces), atol=1e-12)
    free = unfolded(flat, field, ~field.any(1), [asked, -asked])
    assert np.abs(pin.on(free, flat.faces) - pin.on(field, flat.faces)).max() > 0.01


def test_a_flattened_triangle_counts_too(flat):
    every = np.ones(len(flat.faces), bool)
    narrow = flat.vertices_mm * [-1 + 0.6 * COLLAPSED, 0, 0]
    assert turned(flat.vertices_mm, flat.faces, flat.faces, narrow, every).all()
    wide = flat.vertices_mm * [-1 + 2 * COLLAPSED, 0, 0]
    assert not turned(flat.vertices_mm, flat.faces, flat.faces, wide, every).any()


def test_turned_is_told_by_the_normal(flat):
    """A displacement that mirrors the sheet turns every triangle; a turn by less than 90 degrees none."""
    every = np.ones(len(flat.faces), bool)
    mirror = flat.vertices_mm * [-2.0, 0, 0]
    assert turned(flat.vertices_mm, flat.faces, flat.faces, mirror, every).all()
    assert not turned(flat.vertices_mm, flat.faces, flat.faces, mirror, ~every).any()
    c, s = np.cos(1.4), np.sin(1.4)
    tilted = flat.vertices_mm @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]) - flat.vertices_mm
    assert not turned(flat.vertices_mm, flat.faces, flat.faces, tilted, every).any()
    both = np.hstack([tilted, mirror])
    assert turned(flat.vertices_mm, flat.faces, flat.faces, both, every).all()


def test_harmonic_values_are_their_neighbours_mean_by_closeness(flat):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(flat.vertices_mm), 2))
    chosen = (np.abs(flat.vertices_mm[:, :2] - 10) < 3.5).all(1)
    out = values.copy()
    out[chosen] = harmonic(flat, values, np.flatnonzero(chosen))
    for vertex in np.flatnonzero(chosen):
        near = np.setdiff1d(flat.faces[(flat.faces == vertex).any(1)], vertex)
        weight = 1 / ((flat.vertices_mm[near] - flat.vertices_mm[vertex])**2).sum(1)
        np.testing.assert_allclose(out[vertex], weight @ out[near] / weight.sum(), atol=1e-9)
