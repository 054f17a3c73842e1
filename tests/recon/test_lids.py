"""Eyeballs of human size behind the lids: nothing of lids and linings in them, the lids' edges where they are seen."""

import numpy as np
import pytest

from recon.lids import EYE_RINGS, LINING_MM, Eye, behind_lids, followed, middle, seated, ways


@pytest.fixture(scope="module")
def edges(model, mesh):
    """Places of the landmarks, and which are told: the lids' edges, opened a millimetre wider."""
    places, known = mesh.points(model.anatomy.pins478).copy(), np.zeros(478, bool)
    for ring in EYE_RINGS.values():
        known[list(ring)] = True
        places[list(ring[2:7]), 1] -= 1.0
        places[list(ring[10:15]), 1] += 1.0
    return places, known


@pytest.fixture(scope="module")
def head(model, mesh, edges):
    return seated(mesh, model.anatomy, *edges)


def test_eyeballs_have_the_size_of_eyes_and_look_ahead(model, head):
    for side in EYE_RINGS:
        ball = head.vertices_mm[model.anatomy.region(f"eye_{side}") > 0.5]
        back = ball[ball[:, 2] < np.quantile(ball[:, 2], 0.3)]
        c, r = middle(back)
        assert 11 < r < 13.5
        assert 0.5 < ball[:, 2].max() - c[2] - r < 1.6  # the cornea


def test_nothing_of_the_skin_lies_in_an_eyeball(model, mesh, head):
    def depth(of):
        """How far the deepest vertex of skin lies in an eyeball."""
        out = []
        for side in EYE_RINGS:
            ball = model.anatomy.region(f"eye_{side}") > 0.5
            points = of.vertices_mm[ball]
            c, r = middle(points[points[:, 2] < np.quantile(points[:, 2], 0.3)])
            out.append(r - np.linalg.norm(of.vertices_mm[~ball] - c, axis=1).min())
        return max(out)

    assert depth(head) < -0.5 * LINING_MM[0] < 0.2 < depth(mesh)


def test_the_edges_lie_where_they_are_seen(model, mesh, head, edges):
    places, known = edges
    off = np.linalg.norm((head.points(model.anatomy.pins478) - places)[known, :2], axis=1)
    before = np.linalg.norm((mesh.points(model.anatomy.pins478) - places)[known, :2], axis=1)
    assert np.median(off) < 0.45 < 0.9 < np.median(before)


def test_what_is_not_near_an_eye_stays(model, mesh, head):
    away = np.min([np.linalg.norm(mesh.vertices_mm - mesh.vertices_mm[model.anatomy.region(f"eye_{s}") > 0.5].mean(0),
                                  axis=1) for s in EYE_RINGS], axis=0)
    np.testing.assert_array_equal(head.vertices_mm[away > 40], mesh.vertices_mm[away > 40])


def test_what_lies_behind_the_lids_goes_with_them(model, mesh):
    behind = behind_lids(mesh, model.anatomy)
    move = np.where(behind[:, None], 0, [0.0, 0.0, 2.0])
    moved = followed(mesh, move, behind).vertices_mm - mesh.vertices_mm
    np.testing.assert_allclose(moved[behind], np.tile([0, 0, 2.0], (behind.sum(), 1)), atol=1e-6)
    assert (np.linalg.norm(ways(mesh, model.anatomy, behind), axis=1) > 0.99).all()


def test_an_eye_is_found_behind_its_lids():
    eye = Eye(c=np.array([30.0, 0, 5]), r=12.0, gaze=np.array([0, 0, 1.0]))
    angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    towards = np.column_stack([0.8 * np.cos(angle), -0.35 * np.sin(angle), np.ones(16)])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    edge = eye.c + (eye.reach(towards) + 0.3)[:, None] * towards
    found = Eye(c=np.array([30.3, 0.2, 1.0]), r=12.0, gaze=eye.gaze).resting(edge)
    assert np.abs(found.c - eye.c).max() < 0.2
    rests = found.in_front(edge - [0, 0, 1.5])
    assert np.linalg.norm(rests - edge, axis=1).max() < 0.7
