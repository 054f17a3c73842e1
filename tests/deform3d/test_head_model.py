"""The catalogue on the embedded head: mean and random identities, every step at 100 % and all presets together."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from core import Plan
from deform3d import catalogue, field_of, predict
from deform3d.handles import handle_points
from deform3d.volume import spoiled
from recon.models import load_model


@pytest.fixture(scope="module")
def model():
    return load_model()


def head_of(model, seed):
    """The mean head, or a random identity with every mode at about its standard deviation."""
    coefficients = np.zeros(len(model.identity_basis_mm))
    if seed is not None:
        coefficients = np.random.default_rng(seed).normal(size=len(coefficients))
    return model.shape(coefficients).pose(np.zeros(len(model.expression_names))).mesh()


HEADS = pytest.mark.parametrize("seed", [None, 0, 1, 2, 3, 4, 5])


@HEADS
def test_every_step_at_full_intensity_on_random_heads(model, seed):
    mesh = head_of(model, seed)
    for procedure in catalogue().values():
        immobile = np.max([model.anatomy.region(r) for r in procedure.immobile], axis=0) >= 0.05
        outside = np.max([model.anatomy.region(r) for r in procedure.regions], axis=0) < 0.05
        assert immobile.sum() > 500 and outside.sum() > 500
        plans = [{"values": {s.name: s.maximum}} for s in procedure.steps] + [{"intensity": 100.0}]
        for planned in plans:
            plan = Plan.model_validate({"procedures": [{"procedure": procedure.name, **planned}]})
            prediction = predict(mesh, model.anatomy, plan, catalogue())
            total = prediction.total_mm()
            assert max(item.error_mm for item in prediction.landed) < 1e-6
            assert not total[immobile | outside].any()
            assert not any(bad.any() for bad in spoiled(mesh, total)), (procedure.name, planned)
            asked = max(np.linalg.norm(item.asked_mm) for item in prediction.landed)
            assert 0.9 * asked < np.linalg.norm(total, axis=1).max() < 1.25 * asked, (procedure.name, planned)
    together = Plan.model_validate({"procedures": [{"procedure": name, "intensity": 100.0} for name in catalogue()]})
    assert not any(bad.any() for bad in spoiled(mesh, predict(mesh, model.anatomy, together, catalogue()).total_mm()))


@HEADS
def test_the_ala_is_held_at_its_outer_wall_and_not_beside_it(model, seed):
    """A handle at the crease drags the cheek and throws the ala."""
    mesh, procedure = head_of(model, seed), catalogue()["rhinoplasty"]
    pins, points = handle_points(mesh, model.anatomy, procedure)
    normal, position = points.on(mesh.vertex_normals(), mesh.faces), mesh.points(points)
    for side, sign in (("l", 1), ("r", -1)):
        ala, crease = pins.index(f"ala_{side}"), pins.index(f"ac_{side}")
        assert sign * normal[ala, 0] > 0.85
        assert np.linalg.norm(position[ala] - position[crease]) > 4


@pytest.mark.parametrize(("procedure", "pins"), [("rhinoplasty", ("ala", "dome")), ("mentoplasty", ("chin", "border"))])
def test_a_symmetric_head_changes_symmetrically(model, procedure, pins):
    """The mean head, its regions and its pins mirror each other exactly; so does what a plan does to its sides."""
    mesh, anatomy = model.mean_mesh(), model.anatomy
    field = field_of(mesh, anatomy, catalogue()[procedure])
    gap, there = cKDTree(mesh.vertices_mm).query(mesh.vertices_mm * [-1, 1, 1])
    assert gap.max() < 1e-6
    for pin in pins:
        left, right = (field.cardinal[:, field.pins.index(f"{pin}_{side}")] for side in "lr")
        assert left.sum() == pytest.approx(right.sum(), rel=1e-4)
        np.testing.assert_allclose(left[there], right, atol=2e-3)
