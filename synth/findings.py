"""Findings: what the guard found about a picture, one by one."""

import dataclasses
from typing import Any, Literal

import numpy as np

from core.records import record

Status = Literal["passed", "failed", "not measurable", "not checked"]


@record
class Check:
    """One finding. limit: in words and numbers, empty where there is none."""

    name: str
    status: Status
    value: float | None
    limit: str
    sentence: str


@record
class Verdict:
    """All findings on one picture."""
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the picture may be shown: something was checked, and nothing failed."""
        return any(c.status == "passed" for c in self.checks) and not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """What speaks against it."""
        return tuple(c for c in self.checks if c.status == "failed")

    @property
    def open(self) -> tuple[Check, ...]:
        """What could not be told."""
        return tuple(c for c in self.checks if c.status in ("not measurable", "not checked"))

    def as_record(self) -> dict[str, Any]:
        """JSON-ready, for the plan's folder."""
        return {"passed": self.passed, "checks": [dataclasses.asdict(c) for c in self.checks]}


def judge(name: str, value: float, low: float | None, high: float | None, good: str, bad: str) -> Check:
    """Within both limits passes; what is no number does not."""
    fine = np.isfinite(value) and (low is None or value >= low) and (high is None or value <= high)
    limit = {(False, False): f"{low} to {high}", (True, False): f"at most {high}", (False, True): f"at least {low}",
             (True, True): ""}[low is None, high is None]
    return Check(name=name, status="passed" if fine else "failed", value=float(value), limit=limit,
                 sentence=good if fine else bad)
