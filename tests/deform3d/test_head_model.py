"""The catalogue on the embedded head: mean and random identities, every step at 100 % and the presets together."""

import numpy as np
import pytest

from core import Plan
from deform3d import catalogue, field_of, predict
from deform3d.volume import spoiled
from recon.models import load_model


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.mark.parametrize("seed", [None, 0, 1])
def test_every_step_at_full_intensity_on_random_heads(model, seed):
    coefficients = np.zeros(len(model.identity_basis_mm))
    if seed is not None:
        coefficients = np.random.default_rng(seed).normal(size=len(coefficients))
    mesh = model.shape(coefficients).pose(np.zeros(len(model.expression_names))).mesh()
    for procedure in catalogue().values():
        immobile = np.max([model.anatomy.region(r) for r in procedure.immobile], axis=0) >= 0.05
        assert immobile.sum() > 500
        plans = [{"values": {s.name: s.maximum}} for s in procedure.steps] + [{"intensity": 100.0}]
        for planned in plans:
            plan = Plan.model_validate({"procedures": [{"procedure": procedure.name, **planned}]})
            prediction = predict(mesh, model.anatomy, plan, catalogue())
            total = prediction.total_mm()
            assert max(item.error_mm for item in prediction.landed) < 1e-6
            assert not total[immobile].any()
            assert not any(bad.any() for bad in spoiled(mesh, total)), (procedure.name, planned)
            asked = max(np.linalg.norm(item.asked_mm) for item in prediction.landed)
            assert 0.9 * asked < np.linalg.norm(total, axis=1).max() < 1.5 * asked


def test_a_symmetric_head_changes_symmetrically(model):
    """The mean head is symmetric to a few tenths of a millimetre, and so is what a plan does to its sides."""
    mesh, anatomy = model.mean_mesh(), model.anatomy
    cardinal = field_of(mesh, anatomy, catalogue()["rhinoplasty"])
    left, right = (cardinal.cardinal[:, cardinal.pins.index(f"ala_{side}")] for side in "lr")
    assert left.sum() == pytest.approx(right.sum(), rel=0.1)
