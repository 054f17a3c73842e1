"""The procedure catalogue: YAML files in, checked procedures out; a plan's intensities become values per step."""

import math
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from pydantic import ValidationError

from core.errors import PrevisageError, UsageError
from core.plan import Plan, PlannedProcedure
from core.procedure import Procedure, Step

Catalogue = Mapping[str, Procedure]


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """The procedures that ship with Previsage, by name."""
    return load_catalogue(files("data") / "procedures")


def load_catalogue(folder: Traversable) -> Catalogue:
    """Every `*.yaml` of a folder, by name; PrevisageError names the first file that is wrong, and why."""
    found: dict[str, Procedure] = {}
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".yaml"):
            procedure = read_procedure(file.name, file.read_text("utf-8"))
            if procedure.name in found:
                raise bad_file(file.name, f"the procedure {procedure.name} is already in another file")
            found[procedure.name] = procedure
    if not found:
        raise PrevisageError("no_procedures", f"There is no procedure file in {folder}.", "Reinstall Previsage.")
    return found


def read_procedure(name: str, text: str) -> Procedure:
    """One procedure file."""
    try:
        return Procedure.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        raise bad_file(name, f"it is not YAML ({' '.join(str(error).split())})") from error
    except ValidationError as error:
        raise bad_file(name, in_words(error)) from error


def bad_file(name: str, why: str) -> PrevisageError:
    """The error for a procedure file that cannot be used."""
    return PrevisageError("bad_procedure_file", f"The procedure file {name} cannot be used: {why}.",
                          "docs/procedures.md shows how one is written.")


def in_words(error: ValidationError) -> str:
    """What pydantic found, in one line: where and what."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())


def read_plan(value: Any) -> Plan:
    """A plan from parsed YAML or JSON; UsageError says what is wrong with it (unknown keys, NaN, no procedure)."""
    try:
        return Plan.model_validate(value)
    except ValidationError as error:
        hint = "Give `procedures: [{procedure: NAME, intensity: 0..100, values: {STEP: NUMBER}}]`."
        raise UsageError("bad_plan", f"The plan cannot be used: {in_words(error)}.", hint) from error


def resolve_values(plan: Plan, procedures: Catalogue) -> dict[str, dict[str, float]]:
    """The value (mm or degrees) of every step of every procedure of a plan, in the plan's and catalogue's order.

    An intensity sets the preset steps, linearly up to their maximum at 100. A value named for a step wins. With
    neither, the preset steps take their typical value; with values only, the other steps stay at zero.
    UsageError for an unknown procedure or step, a procedure named twice, and a value beyond its clamp or not finite.
    """
    out: dict[str, dict[str, float]] = {}
    for planned in plan.procedures:
        if planned.procedure not in procedures:
            raise UsageError("unknown_procedure", f"There is no procedure called {planned.procedure!r}.",
                             f"Known: {', '.join(sorted(procedures))}.")
        if planned.procedure in out:
            raise UsageError("procedure_twice", f"The plan names {planned.procedure} twice.",
                             "Write its steps under one entry.")
        out[planned.procedure] = step_values(planned, procedures[planned.procedure])
    return out


def step_values(planned: PlannedProcedure, procedure: Procedure) -> dict[str, float]:
    """Checked values of all steps of one procedure."""
    unknown = sorted(set(planned.values) - {s.name for s in procedure.steps})
    if unknown:
        raise UsageError("unknown_step", f"{procedure.name} has no step called {unknown[0]!r}.",
                         f"Known: {', '.join(s.name for s in procedure.steps)}.")
    return {s.name: checked(s, planned.values[s.name] if s.name in planned.values else preset(s, planned))
            for s in procedure.steps}


def preset(step: Step, planned: PlannedProcedure) -> float:
    """The value of a step that the plan does not name."""
    if not step.preset:
        return 0.0
    if planned.intensity is None:
        return 0.0 if planned.values else step.typical
    return step.at(planned.intensity)


def checked(step: Step, value: float) -> float:
    """The value, if it is a number within the step's clamp."""
    low, high = step.clamp
    if not math.isfinite(value):
        raise UsageError("not_a_number", f"{step.name} is {value}, which is no amount.",
                         f"Give {low:g} to {high:g} {step.unit}.")
    if not low <= value <= high:
        why = step.evidence.clamp
        raise UsageError("beyond_clamp", f"{step.name} is {value:g} {step.unit}, outside {low:g} to {high:g} "
                         f"{step.unit} ({why.source}; evidence {why.mark}).",
                         f"Give a value inside; {step.typical:g} is typical, {step.maximum:g} the maximum.")
    return float(value)
