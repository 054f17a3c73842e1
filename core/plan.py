"""Plan: what a surgeon wants to change, written by a person, checked before anything moves."""

from typing import Annotated

from pydantic import Field, FiniteFloat

from core.procedure import Strict

Intensity = Annotated[FiniteFloat, Field(ge=0, le=100)]


class PlannedProcedure(Strict):
    """One operation: an intensity, or explicit values for named steps (mm or degrees).

    With `values` given, the steps not named stay at zero unless `intensity` is given as well.
    """

    procedure: str
    intensity: Intensity | None = None
    values: dict[str, FiniteFloat] = {}


class Plan(Strict):
    """Operations in their order. `id` names the plan's folder."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = "plan"
    procedures: Annotated[list[PlannedProcedure], Field(min_length=1)]
