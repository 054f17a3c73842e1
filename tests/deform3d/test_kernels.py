"""Laws of the kernels, and that a procedure may choose any of them."""

import numpy as np
import pytest

from core import Plan
from deform3d import catalogue, predict
from deform3d.field import LANDS_MM
from deform3d.kernels import KERNELS


@pytest.mark.parametrize("name", KERNELS)
def test_one_at_the_handle_falling_and_nothing_from_the_support_on(name):
    r = np.linspace(0, 1, 1001)
    value = KERNELS[name](r)
    assert value[0] == pytest.approx(1) and np.all(np.diff(value) < 0) and np.all(value >= -1e-12)
    beyond = KERNELS[name](np.array([1.0, 1.5, np.inf]))
    np.testing.assert_allclose(beyond, 0, atol=1e-12)
    end = np.diff(value)[-2:] / np.diff(r)[-2:]
    assert np.abs(end).max() < 0.01, "it ends with a kink"


def test_they_reach_differently():
    there = {name: float(kernel(np.array([2 / 3]))[0]) for name, kernel in KERNELS.items()}
    assert there["wendland"] == pytest.approx(0.045, abs=0.002) and there["gaussian"] == pytest.approx(0.025, abs=0.02)
    assert there["thin_plate"] > 3 * there["wendland"]


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_interpolates(head, name):
    mesh, anatomy = head
    chosen = {"rhinoplasty": catalogue()["rhinoplasty"].model_copy(update={"kernel": name})}
    plan = Plan.model_validate({"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": 3.0}}]})
    made = predict(mesh, anatomy, plan, chosen)
    assert made.landed and max(item.error_mm for item in made.landed) <= LANDS_MM + 1e-9
