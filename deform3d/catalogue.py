"""The procedure catalogue: YAML files in, checked procedures out; a plan's intensities become values per step."""

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from core.errors import PrevisageError, UsageError
from core.plan import Plan, PlannedProcedure, Sides
from core.procedure import Procedure, Step
from core.sides import SIDES, Side

Catalogue = Mapping[str, Procedure]
SANE = 2.0
"""An override may exceed a clamp by this factor; beyond lies a slip of the keyboard."""


OWN = "PREVISAGE_PROCEDURES"
"""Environment variable that names a folder of a person's own procedure files."""


def catalogue() -> Catalogue:
    """The procedures that ship with Previsage and those of the person's own folder, by name.

    PrevisageError names the first file that is wrong, and a folder that is not there.
    """
    return with_own(os.environ.get(OWN, ""))


@lru_cache(maxsize=2)
def with_own(folder: str) -> Catalogue:
    """The shipped catalogue and a folder's; read once in the life of a program."""
    shipped = load_catalogue(files("data") / "procedures")
    if not folder:
        return shipped
    if not Path(folder).is_dir():
        raise PrevisageError("no_procedures", f"{OWN} names {folder}, which is no folder.", "Correct or unset it.")
    own = load_catalogue(Path(folder))
    twice = sorted(set(own) & set(shipped))
    if twice:
        raise bad_file(f"{twice[0]}.yaml", f"a procedure called {twice[0]} ships with Previsage; take another name")
    return {**shipped, **own}


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
    """What pydantic found, in one line: where and what. Of what may be a number or one for each side, it is enough to
    say what is wrong with the number."""
    found = {".".join(map(str, e["loc"])): e["msg"] for e in error.errors()}
    told = {where.removesuffix(".float"): what for where, what in found.items()
            if not (where.endswith(".Sides") and f"{where.removesuffix('.Sides')}.float" in found)}
    return "; ".join(f"{where or 'file'}: {what}" for where, what in told.items())


HINTS = {"overrides": "Give `overrides: [{what: PROCEDURE.STEP, reason: WHY}]`.",
         "free": "Give `free: [{at: LANDMARK, move_mm: [x, y, z], radius_mm: 2..80}]`.",
         "flags": "Give `flags: [{flag: NAME, side: left}]`; `previsage procedures --flags` lists them.",
         "overlap": "Give `overlap: sum` or `overlap: in_turn`."}
"""How each part of a plan is written; the rest is told by that of its procedures."""


def read_plan(value: Any) -> Plan:
    """A plan from parsed YAML or JSON; UsageError says what is wrong with it (unknown keys, NaN, no procedure)."""
    usual = "Give `procedures: [{procedure: NAME, intensity: 0..100, values: {STEP: NUMBER}}]`."
    if not isinstance(value, Mapping):
        raise UsageError("bad_plan", "The plan is empty, or not a list of what to do by name.", usual)
    try:
        return Plan.model_validate(value)
    except ValidationError as error:
        first = str(error.errors()[0]["loc"][0]) if error.errors()[0]["loc"] else ""
        hint = HINTS.get(first, usual)
        raise UsageError("bad_plan", f"The plan cannot be used: {in_words(error)}.", hint) from error


@dataclass(frozen=True, kw_only=True)
class Amount:
    """One thing that a plan does: so much (mm, degrees or percent) of a step, on one side or, without sides, both."""

    procedure: Procedure
    step: Step
    side: Side | None
    value: float

    @property
    def name(self) -> str:
        """`procedure.step`, and the side of a step that has sides."""
        return step_name(self.procedure, self.step, self.side)

    @property
    def label(self) -> str:
        """For people."""
        return self.step.label if self.side is None else f"{self.step.label}, {self.side}"


def step_name(procedure: Procedure, step: Step, side: Side | None) -> str:
    """`procedure.step`, and the side of a step that has sides: the key under which a displacement is kept."""
    return ".".join((procedure.name, step.name, *(() if side is None else (side,))))


def resolve(plan: Plan, procedures: Catalogue) -> list[Amount]:
    """Every amount of a plan, zeros included, in the plan's and catalogue's order.

    An intensity sets the preset steps, linearly up to their maximum at 100. A value named for a step wins. With
    neither, the preset steps take their typical value; with values only, the other steps stay at zero.
    UsageError for an unknown procedure or step, a procedure named twice, a value beyond its clamp (an override of the
    plan lets it pass) or not finite, a side that is missing or contradicted, and steps that exclude each other.
    """
    named = [p.procedure for p in plan.procedures]
    for name in named:
        if name not in procedures:
            raise UsageError("unknown_procedure", f"There is no procedure called {name!r}.",
                             f"Known: {', '.join(sorted(procedures))}.")
    if len(set(named)) < len(named):
        twice = next(n for n in named if named.count(n) > 1)
        raise UsageError("procedure_twice", f"The plan names {twice} twice.", "Write its steps under one entry.")
    amounts = [a for p in plan.procedures for a in amounts_of(p, procedures[p.procedure], plan)]
    check_together([a for a in amounts if a.value])
    return amounts


def amounts_of(planned: PlannedProcedure, procedure: Procedure, plan: Plan) -> Iterator[Amount]:
    """Checked amounts of all steps of one procedure."""
    unknown = sorted(set(planned.values) - {s.name for s in procedure.steps})
    if unknown:
        raise UsageError("unknown_step", f"{procedure.name} has no step called {unknown[0]!r}.",
                         f"Known: {', '.join(s.name for s in procedure.steps)}.")
    for step in procedure.steps:
        given = planned.values.get(step.name)
        if not step.sided:
            value = without_sides(procedure, step, planned, given)
            yield Amount(procedure=procedure, step=step, side=None, value=checked(procedure, step, value, plan))
            continue
        for side, value in by_side(step, planned, given).items():
            yield Amount(procedure=procedure, step=step, side=side, value=checked(procedure, step, value, plan))


def without_sides(procedure: Procedure, step: Step, planned: PlannedProcedure, given: float | Sides | None) -> float:
    """The value of a step on the midline, or of both sides together."""
    if isinstance(given, Sides):
        raise UsageError("no_sides", f"{procedure.name}.{step.name} moves both sides together.", "Give one number.")
    if given is None:
        return preset(step, planned)
    return given


def by_side(step: Step, planned: PlannedProcedure, given: float | Sides | None) -> dict[Side, float]:
    """The value of each side of a step that has sides."""
    if isinstance(given, Sides):
        values: dict[Side, float] = {"left": given.left, "right": given.right}
        against = [side for side in SIDES if values[side] and side not in planned.side]
        if against:
            raise UsageError("sides_contradict", f"{step.name} is {values[against[0]]:g} on the {against[0]}, but the "
                             f"plan limits {planned.procedure} to the {planned.side[0]}.",
                             "Leave out `side`, or that value.")
        return values
    value = preset(step, planned) if given is None else given
    if value and step.side_required and len(planned.side) > 1:
        raise UsageError("side_missing", f"{planned.procedure}.{step.name} is done on one side.",
                         f"Say which: `{step.name}: {{left: {value:g}}}`, or `side: left`.")
    return {side: value if side in planned.side else 0.0 for side in SIDES}


def preset(step: Step, planned: PlannedProcedure) -> float:
    """The value of a step that the plan does not name."""
    if not step.preset:
        return 0.0
    if planned.intensity is None:
        return 0.0 if planned.values else step.typical
    return step.at(planned.intensity) + 0.0  # no -0.00 on a screen


def checked(procedure: Procedure, step: Step, value: float, plan: Plan) -> float:
    """The value, if it is a number within the step's clamp, or the plan overrides the clamp."""
    low, high = step.clamp
    if not math.isfinite(value):
        raise UsageError("not_a_number", f"{step.name} is {value}, which is no amount.",
                         f"Give {low:g} to {high:g} {step.unit}.")
    what = f"{procedure.name}.{step.name}"
    if not low <= value <= high and plan.override(what) is None:
        why = step.evidence.clamp
        raise UsageError("beyond_clamp", f"{step.name} is {value:g} {step.unit}, outside {low:g} to {high:g} "
                         f"{step.unit} ({why.source}; evidence {why.mark}).",
                         f"Give a value inside; {step.typical:g} is typical, {step.maximum:g} the maximum. A surgeon "
                         f"may go beyond with `overrides: [{{what: {what}, reason: ...}}]`.")
    if abs(value) > SANE * max(abs(low), abs(high)):
        raise UsageError("beyond_sense", f"{step.name} is {value:g} {step.unit}; even an override ends at {SANE:g} "
                         f"times the clamp of {low:g} to {high:g} {step.unit}.", "Give a smaller value.")
    return float(value)


def check_together(amounts: Sequence[Amount]) -> None:
    """UsageError when two steps of a plan exclude each other."""
    used = {f"{a.procedure.name}.{a.step.name}" for a in amounts}
    for amount in amounts:
        for other in amount.step.excludes:
            full = other if "." in other else f"{amount.procedure.name}.{other}"
            if full in used:
                raise UsageError("steps_contradict", f"{amount.procedure.name}.{amount.step.name} and {full} cannot be "
                                 "done together.", "Set one of them to 0.")
