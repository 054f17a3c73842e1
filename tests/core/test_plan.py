"""Plans and procedures: what a person may write, and what is refused before anything moves."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from core.backends import resolve
from core.errors import UsageError
from core.plan import Plan, PlannedProcedure
from core.procedure import Handle, Procedure, Step

EVIDENCE = {"mark": "E", "source": "engineering assumption"}
HANDLE = {"pin": "prn", "move": (0, 1, 0), "evidence": EVIDENCE}
STEP = {"name": "tip", "label": "Tip", "unit": "mm", "typical": 1.1, "maximum": 2.0, "clamp": (-1, 3),
        "evidence": {"typical": EVIDENCE, "maximum": EVIDENCE, "clamp": EVIDENCE}, "handles": [HANDLE]}
PROCEDURE = {"name": "rhinoplasty", "label": "Rhinoplasty", "description": "Nose.", "falloff_mm": 20,
             "falloff_evidence": EVIDENCE, "regions": ["nose"], "steps": [STEP]}


@given(st.floats(0, 100), st.dictionaries(st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False)))
def test_a_plan_survives_json(intensity: float, values: dict[str, float]) -> None:
    plan = Plan(id="a.b-c_1", procedures=[PlannedProcedure(procedure="nose", intensity=intensity, values=values)])
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


@pytest.mark.parametrize("change", [
    {"intensity": -1e-9}, {"intensity": 100.0001}, {"intensity": math.nan}, {"intensity": math.inf},
    {"values": {"tip": math.nan}}, {"values": {"tip": -math.inf}}, {"values": {"tip": "far"}}, {"strength": 50},
])
def test_a_planned_procedure_refuses(change: dict[str, Any]) -> None:
    PlannedProcedure(procedure="nose", intensity=50)
    with pytest.raises(ValidationError):
        PlannedProcedure(**{"procedure": "nose", **change})


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "a b", "-x", "x" * 65, "a\n"])
def test_a_plan_id_is_a_plain_folder_name(name: str) -> None:
    with pytest.raises(ValidationError):
        Plan(id=name, procedures=[PlannedProcedure(procedure="nose")])


def test_a_plan_needs_an_operation_and_known_keys() -> None:
    with pytest.raises(ValidationError):
        Plan(procedures=[])
    with pytest.raises(ValidationError):
        Plan(procedures=[PlannedProcedure(procedure="nose")], surgeon="me")


def test_plans_do_not_change() -> None:
    plan = Plan(procedures=[PlannedProcedure(procedure="nose")])
    with pytest.raises(ValidationError):
        plan.id = "other"


def test_a_step_is_linear_and_signed() -> None:
    step = Step.model_validate(STEP)
    assert (step.at(0.0), step.at(50.0), step.at(100.0)) == (0, 1, 2)
    shrink = Step.model_validate({**STEP, "typical": -1.1, "maximum": -2.0, "clamp": (-3, 0)})
    assert (shrink.at(0.0), shrink.at(100.0)) == (0, -2)


@pytest.mark.parametrize("change", [
    {"maximum": 3.5}, {"typical": 0.9}, {"typical": 1.3}, {"clamp": (0.5, 3)}, {"clamp": (-1, -0.5)}, {"maximum": 0.0},
    {"maximum": math.nan}, {"unit": "cm"}, {"handles": []}, {"colour": "red"},
])
def test_a_step_refuses(change: dict[str, Any]) -> None:
    Step.model_validate(STEP)
    with pytest.raises(ValidationError):
        Step.model_validate({**STEP, **change})


@pytest.mark.parametrize("motions", [{}, {"move": (0, 1, 0), "medial": 1.0}, {"rotate_about": "sn", "medial": 1.0}])
def test_a_handle_has_one_motion(motions: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one"):
        Handle.model_validate({"pin": "prn", "evidence": EVIDENCE, **motions})


@pytest.mark.parametrize("change", [{"falloff_mm": 0}, {"falloff_mm": math.nan}, {"steps": []}, {"extra": 1}])
def test_a_procedure_refuses(change: dict[str, Any]) -> None:
    assert Procedure.model_validate(PROCEDURE).step("tip") is not None
    assert Procedure.model_validate(PROCEDURE).step("hump") is None
    with pytest.raises(ValidationError):
        Procedure.model_validate({**PROCEDURE, **change})


def test_back_ends_are_found_by_name_or_refused_with_the_names() -> None:
    table = {"sqrt": "math:sqrt", "floor": "math:floor"}
    assert resolve(table, "sqrt", "root")(9.0) == 3
    with pytest.raises(UsageError, match="floor, sqrt") as refused:
        resolve(table, "cube", "square root")
    assert (refused.value.code, refused.value.exit_code) == ("unknown_square_root", 2)
