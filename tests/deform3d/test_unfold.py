"""Folds that a field would turn over, on a flat sheet."""

import numpy as np
import pytest

from core import SurfacePoints
from deform3d.unfold import TOUGHER, sides, together, turned, unfolded
from deform3d.volume import COLLAPSED
from tests.deform3d.test_geodesic import as_mesh, sheet


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


def test_the_change_is_the_least_with_which_corners_go_together(flat):
    """No other change has less of the energy that the module's formula says; pins keep their values."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(len(flat.vertices_mm), 2))
    inside = (np.abs(flat.vertices_mm[:, :2] - 10) < 3.5).all(1)
    rows, tough = np.flatnonzero(inside), flat.faces[inside[flat.faces].all(1)][:2]
    ends = {tuple(sorted((int(f[k]), int(f[k - 1])))) for f in flat.faces for k in range(3)}
    firm = {tuple(sorted((int(f[k]), int(f[k - 1])))) for f in tough for k in range(3)}
    one, two = np.array(sorted(ends)).T
    even = 1 / ((flat.vertices_mm[one] - flat.vertices_mm[two])**2).sum(1)
    tight = TOUGHER * even * [tuple(e) in firm for e in np.stack([one, two], 1).tolist()]

    def energy(change):
        whole = np.zeros_like(values)
        whole[rows] = change
        new = values + whole
        return float((even * ((whole[one] - whole[two])**2).sum(1) + tight * ((new[one] - new[two])**2).sum(1)).sum())

    change = together(flat, values, rows, sides(flat, tough)) - values[rows]
    for _ in range(30):
        assert energy(change) < energy(change + 1e-3 * rng.normal(size=change.shape))
    strain = np.linalg.norm(values[tough[0, 0]] - values[tough[0, 1]])
    out = values.copy()
    out[rows] = values[rows] + change
    assert np.linalg.norm(out[tough[0, 0]] - out[tough[0, 1]]) < 0.1 * strain
    pin = SurfacePoints(face=np.flatnonzero((flat.faces == tough[0]).all(1)), bary=np.array([[0.5, 0.3, 0.2]]))
    out[rows] = together(flat, values, rows, sides(flat, tough), pin)
    np.testing.assert_allclose(pin.on(out, flat.faces), pin.on(values, flat.faces), atol=1e-12)


def test_a_fold_takes_no_more_of_a_change_than_it_needs(flat):
    """What turns by a hair's breadth is hardly changed; what turns clean over is; each of two folds by itself."""
    asked = np.array([[1.0, 0.0, 0.0]])
    def changed(height):
        field = height * spike(flat, 3.0)
        assert rows_turned(flat, field, asked).any()
        better = unfolded(flat, field, ~field.any(1), [asked])
        assert not rows_turned(flat, better, asked).any()
        return np.abs(better - field)
    turns = next(h for h in np.arange(1, 6, 0.01) if rows_turned(flat, h * spike(flat, 3.0), asked).any())
    assert 0 < changed(turns).max() < 0.1 * changed(1.5 * turns).max()
    wide = sheet(41, 21)
    far = wide.vertices_mm - [30.0, 10.0, 0.0]
    second = np.clip(1 - np.linalg.norm(far, axis=1) / 3, 0, None)[:, None]
    both = turns * spike(wide, 3.0) + 1.5 * turns * second
    apart = np.abs(unfolded(wide, both, ~both.any(1), [asked]) - both)[:, 0]
    left = wide.vertices_mm[:, 0] < 20
    assert 0 < apart[left].max() < 0.1 * apart[~left].max()


def test_a_thin_triangle_keeps_its_height_and_is_not_drawn_together():
    """Three vertices nearly on a line; the field bends it, so that the middle one passes the line, and tilts it: the
    bend must go, the tilt stay."""
    place = np.array([[-3, 0, 0], [3, 0, 0], [0, 0.1, 0], [0, 6, 0], [0, -6, 0], [-9, 0, 0], [9, 0, 0]], float)
    faces = np.array([[0, 1, 2], [0, 2, 3], [2, 1, 3], [0, 4, 1], [5, 0, 3], [5, 4, 0], [1, 6, 3], [1, 4, 6]])
    mesh, asked = as_mesh(place, faces), np.array([[0.0, 1.0, 0.0]])
    field = np.where(np.arange(7) < 3, 0.3 * place[:, 0] + 0.02 * place[:, 0]**2, 0)[:, None]
    assert rows_turned(mesh, field, asked).tolist() == [True] + 7 * [False]
    better = unfolded(mesh, field, np.arange(7) > 2, [asked])
    assert not rows_turned(mesh, better, asked).any()
    assert np.ptp(better[:2]) > 0.9 * np.ptp(field[:2]), "the triangle's ends were drawn together"
    assert np.abs(better - field).max() < 0.2
