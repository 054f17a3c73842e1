"""Where a procedure's own points lie, on ears: the free edge and the back of the auricle, not the scalp beside them."""

import numpy as np
import pytest

from core.procedure import Point
from deform3d import catalogue, field_of
from deform3d.handles import Places, handle_points
from tests.deform3d.builders import mirrored, remeshed

EARS = catalogue()["otoplasty"]
BEHIND = sorted(name for name, point in EARS.points.items() if point.facing)


def random_head(model, seed):
    coefficients = np.random.default_rng(seed).normal(size=len(model.identity_basis_mm))
    return model.shape(coefficients).pose(np.zeros(len(model.expression_names))).mesh()


@pytest.mark.parametrize("seed", range(6))
def test_the_backs_of_ears_look_at_the_head_and_their_rims_stand_off_it(model, seed):
    mesh = random_head(model, seed)
    pins, points = handle_points(mesh, model.anatomy, EARS)
    place = dict(zip(pins, mesh.points(points), strict=True))
    normal = dict(zip(pins, mesh.face_normals()[points.face], strict=True))
    assert len(BEHIND) == 8
    for name in BEHIND:
        side = 1 if name.endswith("_l") else -1
        assert normal[name] @ (-side, 0, -0.3) > 0, name
    for name in ("top_l", "top_r", "lobe_l", "lobe_r"):
        weight = points[[pins.index(name)]].on(model.anatomy.region(f"ear_{name[-1]}")[:, None], mesh.faces)
        assert weight[0, 0] > 0.98, name
    for side in ("l", "r"):
        assert abs(place[f"top_{side}"][0]) > abs(place[f"t_{side}"][0])


@pytest.mark.parametrize("name", ["otoplasty", "rhytidectomy", "brow_lift"])
def test_places_do_not_depend_on_the_triangles(model, name):
    procedure, mesh = catalogue()[name], random_head(model, 1)
    fine, anatomy = remeshed(mesh, model.anatomy)
    _, coarse = handle_points(mesh, model.anatomy, procedure)
    _, points = handle_points(fine, anatomy, procedure)
    np.testing.assert_allclose(fine.points(points), mesh.points(coarse), atol=1e-6)


def test_a_way_to_look_is_mirrored_with_its_point(model):
    assert EARS.points["behind_r"].facing == tuple(np.array(EARS.points["behind_l"].facing) * (-1, 1, 1))
    mesh = random_head(model, 2)
    other, anatomy = mirrored(mesh, model.anatomy)
    for name in ("behind_l", "behind_antihelix_l"):
        here = mesh.points(Places(mesh, model.anatomy, EARS).point(name))
        there = other.points(Places(other, anatomy, EARS).point(name[:-1] + "r"))
        np.testing.assert_allclose(there * (-1, 1, 1), here, atol=1e-6)


def test_without_a_way_to_look_the_nearest_skin_may_be_the_scalp(model):
    """What `facing` is for: on some head the nearest skin to the place behind an ear looks away from the head."""
    outward = []
    for seed in range(12):
        mesh = random_head(model, seed)
        places = Places(mesh, model.anatomy, EARS)
        for name in ("behind_upper_l", "behind_upper_r"):
            point = EARS.points[name]
            found = places.skin_near(name, Point(of=point.of, offset_mm=point.offset_mm, evidence=point.evidence))
            outward.append(mesh.face_normals()[found.face[0], 0] * (1 if name.endswith("_l") else -1) > 0)
    assert any(outward) and not all(outward)


@pytest.mark.parametrize("seed", [1, 6])  # a right ear of the second is drawn out to a corner
def test_handles_on_odd_ears_are_far_enough_apart_to_move(model, seed):
    field = field_of(random_head(model, seed), model.anatomy, EARS)
    assert np.isfinite(field.cardinal).all() and np.abs(field.cardinal).max() < 3
