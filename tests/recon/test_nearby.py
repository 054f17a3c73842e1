"""Nearest points that face the same way, against brute force and on two sheets that nearly touch."""

import numpy as np
import pytest

from recon.foreign import bare
from recon.models import load_model
from recon.nearby import SAME_WAY, Nearby, evenly


@pytest.fixture(scope="module")
def head():
    model = load_model()
    return bare(model.template_mm, model.faces)


def sheets(gap_mm):
    """A square that faces up, and below it, `gap_mm` away, one that faces down."""
    points = np.array([[0.0, 0, 0], [40, 0, 0], [40, 40, 0], [0, 40, 0]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    return bare(np.concatenate([points, points - [0, 0, gap_mm]]), np.concatenate([faces, faces[:, ::-1] + 4]))


def test_the_closest_point_is_the_closest_of_many(head):
    near = Nearby(head)
    points = head.vertices_mm[::50] + np.random.default_rng(0).normal(0, 5, (len(head.vertices_mm[::50]), 3))
    found = head.points(near.closest(points))
    many = head.points(evenly(head, seed=1))
    best = np.min([np.linalg.norm(points - m, axis=1) for m in many[::3]], axis=0)
    distance = np.linalg.norm(found - points, axis=1)
    assert (distance <= best + 1e-3).all() and np.allclose(distance, best, atol=3.0)


def test_a_point_finds_its_own_side_of_a_thin_sheet():
    both = sheets(0.5)
    near, points = Nearby(both), np.array([[10.0, 20, -0.4], [30, 12, -0.1]])
    for z, height in ((1.0, 0.0), (-1.0, -0.5)):
        towards = np.tile([0.0, 0, z], (2, 1))
        found = near.alike(points, towards)
        assert (near.at(found) @ [0, 0, z] > SAME_WAY).all()
        assert np.allclose(both.points(found)[:, 2], height)
        assert np.linalg.norm(both.points(found) - points, axis=1).max() < 2


def test_samples_are_spread_by_area():
    mesh = bare(np.array([[0.0, 0, 0], [90, 0, 0], [0, 90, 0], [-30, 0, 0], [0, -30, 0]]),
                np.array([[0, 1, 2], [0, 3, 4]]))
    share = np.bincount(evenly(mesh).face) / len(evenly(mesh))
    assert share == pytest.approx([0.9, 0.1], abs=0.02)
    assert mesh.points(evenly(mesh))[evenly(mesh).face == 0].mean(0) == pytest.approx([30, 30, 0], abs=1.0)


def test_borders_and_free_sight_are_known(head):
    near = Nearby(head)
    lowest = np.array([head.vertices_mm[:, 1].argmin(), head.vertices_mm[:, 2].argmax()])
    assert near.on_border(near.closest(head.vertices_mm[lowest])).tolist() == [True, False]
    tip = head.vertices_mm[[head.vertices_mm[:, 2].argmax()]]
    assert near.free(tip + [0, 0, 0.5], np.array([0.0, 0, 1])).all()
    assert not near.free(tip + [0, 0, 0.5], np.array([0.0, 0, -1])).any()
