"""Plans as a person gives them on the command line: procedures with options, or a file."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from core.errors import UsageError
from core.plan import Plan
from core.sides import SIDES


def plan_from(procedures: Sequence[str], intensity: float | None, steps: Sequence[str], file: Path | None,
              plan_id: str | None, usual: float, side: str | None = None, flags: Sequence[str] = ()) -> Plan:
    """The plan. `usual` is the intensity when neither an intensity nor a step is given.

    UsageError: both a file and a procedure, neither, an unreadable file, a step that is not NAME=NUMBER, a flag that is
    not NAME or NAME:SIDE.
    """
    from deform3d import read_plan

    if (file is None) == (not procedures):
        raise UsageError("usage", "Give either --procedure or --plan.", "See: previsage predict --help")
    if file is not None:
        if intensity is not None or steps or side or flags:
            raise UsageError("usage", "--intensity, --step, --side and --flag go with --procedure.",
                             "Write them into the plan file.")
        content = read_file(file)
    else:
        content = {"id": "-".join(procedures)[:60], "flags": [flag_of(text) for text in flags],
                   "procedures": [planned(name, intensity, own_steps(name, procedures, steps), usual, side)
                                  for name in procedures]}
    if plan_id is not None and isinstance(content, dict):
        content = {**content, "id": plan_id}
    return read_plan(content)


def planned(procedure: str, intensity: float | None, steps: Sequence[str], usual: float, side: str | None) -> dict:
    """One entry of the plan."""
    values = step_values(procedure, steps)
    entry = {"procedure": procedure, "values": values,
             "intensity": usual if intensity is None and not values else intensity}
    return entry if side is None else {**entry, "side": side}


def goals_from(texts: Sequence[str]) -> dict[str, float]:
    """MEASURE=VALUE pairs."""
    goals: dict[str, float] = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name.strip() or not math.isfinite(value):
            raise UsageError("bad_goal", f"{text!r} is not MEASURE=NUMBER.", "For example --goal nasolabial_angle=100.")
        if name.strip() in goals:
            raise UsageError("goal_twice", f"The goal {name.strip()} is given twice.", "Give it once.")
        goals[name.strip()] = value
    return goals


def own_steps(procedure: str, procedures: Sequence[str], steps: Sequence[str]) -> list[str]:
    """The steps of one of the procedures: with several, each step says which it belongs to."""
    if len(procedures) == 1:
        return list(steps)
    lost = [text for text in steps if not any(text.strip().startswith(f"{name}.") for name in procedures)]
    if lost:
        raise UsageError("bad_step", f"{lost[0]!r} does not say which procedure it belongs to.",
                         f"For example --step {procedures[0]}.{lost[0]}.")
    return [text for text in steps if text.strip().startswith(f"{procedure}.")]


def flag_of(text: str) -> dict[str, Any]:
    """NAME, NAME:left or NAME:right, with `:lock` behind it to keep that side still."""
    name, *words = text.strip().split(":")
    sides = [w for w in words if w in SIDES]
    if not name or len(sides) > 1 or set(words) - {*SIDES, "lock"}:
        raise UsageError("bad_flag", f"{text!r} is not NAME, NAME:SIDE or NAME:SIDE:lock.",
                         "For example --flag smoker, or --flag facial_palsy:left:lock.")
    return {"flag": name, "side": sides[0] if sides else None, "lock": "lock" in words}


def read_file(file: Path) -> Any:
    """A YAML or JSON file (JSON is YAML)."""
    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise UsageError("no_plan_file", f"The plan file {file} cannot be read.", "Check its path.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError("bad_plan", f"{file} is neither YAML nor JSON.",
                         "Give `procedures: [{procedure: rhinoplasty, intensity: 55}]`.") from error


def step_values(procedure: str, steps: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE or NAME.SIDE=VALUE pairs; the name may carry the procedure before a dot, as results print it."""
    values: dict[str, Any] = {}
    for text in steps:
        name, _, number = text.partition("=")
        name, _, side = name.strip().removeprefix(f"{procedure}.").partition(".")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not name or not math.isfinite(value) or side not in ("", *SIDES):
            raise UsageError("bad_step", f"{text!r} is not NAME=NUMBER or NAME.SIDE=NUMBER.",
                             "For example --step hump_mm=2, or --step jowl_mm.left=4.")
        known = values.get(name)
        if (known is not None and not side) or (side and (known is not None and not isinstance(known, dict))) or (
                isinstance(known, dict) and side in known):
            raise UsageError("step_twice", f"The step {name} is given twice.", "Give it once.")
        values[name] = {**(known or {}), side: value} if side else value
    return values
