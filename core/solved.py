"""Solved: a plan that was found from what is wanted, and how near it comes."""

from core.plan import Plan
from core.records import record


@record
class Reached:
    """How near a goal came: before, wanted and with the plan; whether within the tolerance."""

    name: str
    before: float
    target: float
    after: float
    reached: bool


@record
class Solved:
    """The plan that comes nearest, what it reaches, and which steps are at their limit."""

    plan: Plan
    goals: tuple[Reached, ...]
    rms_before_mm: float | None
    rms_after_mm: float | None
    at_clamp: tuple[str, ...]
