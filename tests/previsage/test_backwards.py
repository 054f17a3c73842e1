"""Goals that a person types."""

import pytest

from analysis.measures import MEASURES, UNMEASURED
from core.errors import UsageError
from previsage.backwards import goal


def test_a_goal_is_a_measure_and_a_number():
    assert goal("goode", 0.57).target == 0.57
    for name, value, code in (("tip", 1.0, "unknown_measure"), ("goode", float("nan"), "not_a_number")):
        with pytest.raises(UsageError) as caught:
            goal(name, value)
        assert caught.value.code == code


def test_the_angle_of_the_neck_is_refused_with_the_reason():
    assert not UNMEASURED.keys() & MEASURES.keys()
    with pytest.raises(UsageError, match="the line of the neck") as caught:
        goal("cervicomental_angle", 105.0)
    assert caught.value.code == "not_measurable"
