"""Backwards: a plan's own result gives the plan back; goals are reached, or it is said why not."""

import numpy as np
import pytest

from analysis.measures import MEASURES
from core.errors import PrevisageError, UsageError
from deform3d import catalogue
from deform3d.reverse import Goal, Problem, reach_goals, reach_surface
from tests.deform3d.builders import remeshed

STEPS = ("rhinoplasty.hump_mm", "rhinoplasty.tip_rotation_deg", "rhinoplasty.tip_projection_mm",
         "mentoplasty.advancement_mm")


@pytest.fixture(scope="module")
def problem(model, mesh) -> Problem:
    return Problem(mesh, model.anatomy, ["rhinoplasty", "mentoplasty"], catalogue(), STEPS)


def goal(name: str, target: float) -> Goal:
    measure = MEASURES[name]
    return Goal(name=name, of=measure.of, pins=measure.pins, target=target, tolerance=measure.tolerance)


def measured(problem: Problem, name: str, x: np.ndarray) -> float:
    pins = MEASURES[name].pins
    return MEASURES[name].of(dict(zip(pins, problem.at(problem.pins(pins))(x), strict=True)))


def test_a_surface_gives_its_plan_back(problem, model):
    wanted = np.array([0.4, 0.5, -0.3, 0.25])
    target, _ = remeshed(problem.mesh.moved(problem.moved(wanted)), model.anatomy)  # another topology
    found = reach_surface(problem, target)
    assert found.rms_after_mm < 0.02 < found.rms_before_mm and found.at_clamp == ()
    got = problem.values_of(found.plan) * [lever.reach for lever in problem.levers]
    np.testing.assert_allclose(got, wanted * [lever.reach for lever in problem.levers], atol=0.15)


def test_goals_within_reach_are_reached_and_predicted_so(problem):
    x = np.array([0.3, 0.4, 0.2, 0.3])
    goals = [goal(name, round(measured(problem, name, x), 1)) for name in ("nasolabial_angle", "chin_to_zero_meridian")]
    found = reach_goals(problem, goals)
    assert all(g.reached for g in found.goals) and found.at_clamp == ()
    for item in found.goals:
        assert item.after == pytest.approx(measured(problem, item.name, problem.values_of(found.plan)), abs=1e-6)
        assert abs(item.before - item.target) > MEASURES[item.name].tolerance


def test_what_cannot_be_reached_is_said_and_no_clamp_is_passed(problem):
    now = measured(problem, "chin_to_zero_meridian", np.zeros(4))
    found = reach_goals(problem, [goal("chin_to_zero_meridian", now + 40)])
    (item,) = found.goals
    assert not item.reached and found.at_clamp == ("mentoplasty.advancement_mm",)
    assert found.plan.procedures[-1].values == {"advancement_mm": 12.0} and 5 < item.after - now < 20


def test_a_step_whose_clamp_begins_at_zero_is_used_alone(model, mesh):
    alone = Problem(mesh, model.anatomy, ["mentoplasty"], catalogue(), ("mentoplasty.advancement_mm",))
    now = measured(alone, "chin_to_zero_meridian", np.zeros(1))
    for away, values in ((40.0, {"advancement_mm": 12.0}), (4.5, {"advancement_mm": 5.0})):
        found = reach_goals(alone, [goal("chin_to_zero_meridian", now + away)])
        assert found.plan.procedures[0].values == pytest.approx(values, abs=0.11)


def test_nothing_is_done_when_nothing_is_wanted(problem):
    now = measured(problem, "nasolabial_angle", np.zeros(4))
    found = reach_goals(problem, [goal("nasolabial_angle", now)])
    assert not problem.values_of(found.plan).any() and found.goals[0].reached


def test_wrong_names_and_targets_are_refused(problem, model, mesh):
    for procedures, steps, code in ((["nose"], (), "unknown_procedure"), ([], (), "unknown_procedure"),
                                    (["rhinoplasty"], ("rhinoplasty.hump",), "unknown_step")):
        with pytest.raises(UsageError) as caught:
            Problem(mesh, model.anatomy, procedures, catalogue(), steps)
        assert caught.value.code == code
    with pytest.raises(UsageError) as caught:
        reach_surface(problem, mesh.moved(np.zeros_like(mesh.vertices_mm) + [300.0, 0, 0]))
    assert caught.value.code == "target_elsewhere"
    with pytest.raises(PrevisageError) as caught:
        reach_goals(problem, [Goal(name="x", of=lambda p: 0.0, pins=("nowhere",), target=1.0, tolerance=1.0)])
    assert caught.value.code == "missing_pin"
