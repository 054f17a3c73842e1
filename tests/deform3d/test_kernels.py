"""Laws of the kernels, and that a procedure may choose any of them."""

import numpy as np
import pytest

from core import Plan
from deform3d import catalogue, predict
from deform3d.field import LANDS_MM
from deform3d.kernels import KERNELS, blunt


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


@pytest.mark.parametrize("top", [0.0, 0.05, 0.2])
@pytest.mark.parametrize("name", KERNELS)
def test_a_blunt_kernel_bends_little_at_its_top_and_is_hardly_another_beyond(name, top):
    r = np.linspace(0, 1, 1001)
    there = blunt(r, np.array(top))
    assert there[0] == 0 and there[-1] == pytest.approx(1) and np.all(np.diff(there) > 0)
    assert np.diff(there).max() < 1.15 * np.diff(r).max()
    assert blunt(np.array([np.inf]), np.array(top)) == pytest.approx(1)
    near, kernel = r[(r > 0) & (r <= top / 2)], KERNELS[name]
    lost = (1 - kernel(blunt(near, np.array(top)))) / (1 - kernel(near))
    assert lost.max(initial=0) < 0.3, "a triangle of this size bends as under the kernel itself"


@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_interpolates(head, name):
    mesh, anatomy = head
    chosen = {"rhinoplasty": catalogue()["rhinoplasty"].model_copy(update={"kernel": name})}
    plan = Plan.model_validate({"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": 3.0}}]})
    made = predict(mesh, anatomy, plan, chosen)
    assert made.landed and max(item.error_mm for item in made.landed) <= LANDS_MM + 1e-9
