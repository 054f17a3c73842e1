"""Plans as a person gives them on the command line: a procedure with options, or a file."""

import math
from pathlib import Path
from typing import Any

import yaml

from core.errors import UsageError
from core.plan import Plan


def plan_from(procedure: str | None, intensity: float | None, steps: list[str], file: Path | None,
              plan_id: str | None, usual: float) -> Plan:
    """The plan. `usual` is the intensity when neither an intensity nor a step is given.

    UsageError: both a file and a procedure, neither, an unreadable file, a step that is not NAME=NUMBER.
    """
    from deform3d import read_plan

    if (file is None) == (procedure is None):
        raise UsageError("usage", "Give either --procedure or --plan.", "See: previsage predict --help")
    if file is not None:
        if intensity is not None or steps:
            raise UsageError("usage", "--intensity and --step go with --procedure.", "Write them into the plan file.")
        content = read_file(file)
    else:
        values = step_values(str(procedure), steps)
        content = {"id": procedure, "procedures": [
            {"procedure": procedure, "values": values,
             "intensity": usual if intensity is None and not values else intensity}]}
    if plan_id is not None and isinstance(content, dict):
        content = {**content, "id": plan_id}
    return read_plan(content)


def read_file(file: Path) -> Any:
    """A YAML or JSON file (JSON is YAML)."""
    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError("no_plan_file", f"The plan file {file} cannot be read.", "Check its path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError("bad_plan", f"{file} is neither YAML nor JSON.",
                         "Give `procedures: [{procedure: rhinoplasty, intensity: 55}]`.") from error


def step_values(procedure: str, steps: list[str]) -> dict[str, float]:
    """NAME=VALUE pairs; the name may carry the procedure before a dot, as results print it."""
    values: dict[str, float] = {}
    for text in steps:
        name, _, number = text.partition("=")
        name = name.strip().removeprefix(f"{procedure}.")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value):
            raise UsageError("bad_step", f"{text!r} is not NAME=NUMBER.", "For example --step hump_mm=2.")
        if name in values:
            raise UsageError("step_twice", f"The step {name} is given twice.", "Give it once.")
        values[name] = value
    return values
