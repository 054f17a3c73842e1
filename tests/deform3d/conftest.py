import pytest

from core import Plan
from deform3d import catalogue, predict
from tests.procedural_head import procedural_head


@pytest.fixture(scope="session")
def head():
    return procedural_head()


@pytest.fixture(scope="session")
def operate(head):
    """operate(procedure, **values) -> Prediction on the procedural head (or on `on`)."""
    def run(procedure, *, on=None, intensity=None, **values):
        planned = {"procedure": procedure, "intensity": intensity, "values": values}
        return predict(*(on or head), Plan.model_validate({"procedures": [planned]}), catalogue())
    return run
