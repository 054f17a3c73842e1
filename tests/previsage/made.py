"""Options and plans that the tests of the whole way share."""

import previsage
from core import Plan

FAST = previsage.ReconstructOptions(quality="fast")


def nose(plan_id: str = "nose", intensity: float = 55) -> Plan:
    """A rhinoplasty."""
    return Plan.model_validate({"id": plan_id, "procedures": [{"procedure": "rhinoplasty", "intensity": intensity}]})
