"""Healing: how swollen the operated part still is, so many months after the operation."""

import math
from collections.abc import Iterator
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from core.evidence import Evidence, Spread, Strict

Percent = Annotated[FiniteFloat, Field(ge=0, le=100)]
WEEK_MONTHS = 12 / 52.1775
"""A week, in months of a year of 365.2425 days."""


class Around(Strict):
    """More (or less) swelling about a landmark than in the rest of its region: times `factor` there, fading to 1 at the
    radius.
    """

    factor: Annotated[FiniteFloat, Field(ge=0)]
    radius_mm: Annotated[FiniteFloat, Field(gt=0)]
    evidence: Evidence


class Healing(Strict):
    """The layer of swelling over the final result: its height at 100 %, where it sits, and how it goes down.

    amplitude_mm: height along the skin's normal at 100 % where a region's factor is 1. regions: factor by region;
    around: by landmark, within them.
    remaining:
      inverse  min(100, a / months) %
      log      a - b ln(months) %, within 0..100
      table    {months: %}, linear in the logarithm of time between the entries, held beyond them
    """

    remaining: Literal["inverse", "log", "table"]
    a: FiniteFloat | None = None
    b: FiniteFloat | None = None
    table: dict[Annotated[float, Field(gt=0)], Percent] = {}
    amplitude_mm: Spread
    regions: Annotated[dict[str, Annotated[FiniteFloat, Field(ge=0)]], Field(min_length=1)]
    around: dict[str, Around] = {}
    course: Evidence

    @model_validator(mode="after")
    def complete(self) -> "Healing":
        """Each law has its numbers, and no others."""
        need = {"inverse": (True, False, False), "log": (True, True, False), "table": (False, False, True)}
        have = (self.a is not None, self.b is not None, bool(self.table))
        if have != need[self.remaining]:
            raise ValueError("inverse takes `a`, log takes `a` and `b`, table takes `table`")
        return self

    def percent(self, months: float) -> float:
        """What remains of the swelling (%), `months` (> 0) after the operation."""
        if not months > 0:
            raise ValueError("healing begins after the operation")
        if self.remaining == "table":
            times = sorted(self.table)
            return float(np.interp(math.log(months), np.log(times), [self.table[t] for t in times]))
        a, b = self.a or 0.0, self.b or 0.0
        return min(100.0, a / months) if self.remaining == "inverse" else min(100.0, max(0.0, a - b * math.log(months)))

    def evidence(self) -> Iterator[Evidence | Spread]:
        """The evidence of its numbers."""
        yield from (self.amplitude_mm, self.course)
        yield from (more.evidence for more in self.around.values())
