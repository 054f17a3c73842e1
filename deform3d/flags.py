"""Clinical flags: what a person's findings change in a plan. Shape changes only by an override that says so."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files

import yaml
from pydantic import ValidationError

from core.errors import PrevisageError, UsageError
from core.flag import ClinicalFlag, FlagTable, Level
from core.plan import Plan, PlannedFlag, Sides
from core.sides import Side
from deform3d.catalogue import Amount, Catalogue, in_words

Flags = Mapping[str, ClinicalFlag]


@lru_cache(maxsize=1)
def clinical_flags() -> Flags:
    """The flags that ship with Previsage, by name."""
    return read_flags((files("data") / "flags.yaml").read_text("utf-8"))


def read_flags(text: str) -> Flags:
    """A table of flags; PrevisageError says what is wrong with it."""
    try:
        table = FlagTable.model_validate(yaml.safe_load(text))
    except (yaml.YAMLError, ValidationError) as error:
        why = in_words(error) if isinstance(error, ValidationError) else " ".join(str(error).split())
        raise PrevisageError("bad_flag_file", f"The table of flags cannot be used: {why}.",
                             "docs/procedures.md shows how one is written.") from error
    return {flag.name: flag for flag in table.flags}


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What the flags of a plan do to one procedure; told: what they say, and the procedure's label."""

    band: float = 1.0
    swelling: float = 1.0
    extent: float = 1.0
    response: float = 1.0
    told: tuple[tuple[str, str], ...] = field(default=())


def said_once(effects: Iterable[Effects]) -> list[str]:
    """What flags say, once, and behind it of which operations."""
    of: dict[str, list[str]] = {}
    for words, label in (told for one in effects for told in one.told):
        of.setdefault(words, []).append(label)
    return [f"{words} ({', '.join(dict.fromkeys(labels))})" for words, labels in of.items()]


def locked_side(plan: Plan) -> Side | None:
    """The side that must not move at all; UsageError when both are locked."""
    sides = dict.fromkeys(f.side for f in plan.flags if f.lock and f.side is not None)
    if len(sides) > 1:
        raise UsageError("sides_contradict", "Both sides are locked; nothing could move.", "Lock one side.")
    return next(iter(sides), None)


def check_flags(plan: Plan, flags: Flags) -> None:
    """UsageError for an unknown flag, one without its side or with one too many, and a lock without a side."""
    for planned in plan.flags:
        if planned.flag not in flags:
            raise UsageError("unknown_flag", f"There is no clinical flag called {planned.flag!r}.",
                             f"Known: {', '.join(sorted(flags))}.")
        if planned.side is None and (planned.lock or flags[planned.flag].side == "required"):
            raise UsageError("side_missing", f"The flag {planned.flag} needs a side.",
                             "Say `side: left` or `side: right`.")
        if planned.side is not None and flags[planned.flag].side == "none":
            raise UsageError("no_sides", f"The flag {planned.flag} has no side.", "Leave out `side`.")


def check_overrides(plan: Plan, catalogue: Catalogue, flags: Flags) -> None:
    """UsageError for an override of what is no step, procedure or flag: a slip there would pass in silence."""
    steps = {f"{p.name}.{s.name}" for p in catalogue.values() for s in p.steps}
    lost = [o.what for o in plan.overrides if o.what not in steps and o.what not in catalogue and o.what not in flags]
    if lost:
        raise UsageError("unknown_override", f"The override of {lost[0]!r} names no step, procedure or flag.",
                         "For example `what: rhinoplasty.hump_mm`.")


def unlocked(plan: Plan, amounts: Sequence[Amount]) -> list[Amount]:
    """The amounts, without those that only an intensity put on a locked side.

    UsageError when a value is asked for on the locked side, or a step moves both sides together.
    """
    lock = locked_side(plan)
    if lock is None:
        return list(amounts)
    out = []
    for amount in amounts:
        explicit = next(p.values.get(amount.step.name) for p in plan.procedures
                        if p.procedure == amount.procedure.name)
        named = explicit.on(lock) if isinstance(explicit, Sides) else 0.0
        if amount.value and (amount.side is None or (amount.side == lock and named)):
            raise UsageError("side_locked", f"{amount.name} would move the {lock} side, which the plan locks.",
                             "Set it to 0, or take the lock away.")
        out.append(replace(amount, value=0.0) if amount.side == lock else amount)
    return out


def consequences(plan: Plan, amounts: Sequence[Amount], flags: Flags) -> dict[str, Effects]:
    """The effects by procedure. UsageError when a flag forbids what is planned and no override allows it."""
    check_flags(plan, flags)
    names = dict.fromkeys(a.procedure.name for a in amounts)
    return {name: effects_on(name, [a for a in amounts if a.procedure.name == name], plan, flags) for name in names}


def effects_on(name: str, amounts: Sequence[Amount], plan: Plan, flags: Flags) -> Effects:
    """The effects of all flags on one procedure."""
    out = Effects()
    for planned in plan.flags:
        flag, given = flags[planned.flag], plan.override(planned.flag)
        for level, text in sayings(amounts, planned, flag):
            if level == "red" and given is None and plan.override(name) is None:
                raise UsageError("contraindicated", f"{amounts[0].procedure.label}: {text} ({flag.label})",
                                 f"A surgeon may go on with `overrides: [{{what: {name}, reason: ...}}]`.")
            which = flag.label if planned.side is None else f"{flag.label}, {planned.side}"
            out = replace(out, told=(*out.told, (f"{level}: {which}: {text}", amounts[0].procedure.label)))
        if flag.touches(name):
            check_permissions(amounts, plan, planned, flag)
            shape = given is not None and given.apply_shape
            out = replace(out, band=out.band * (flag.band.value if flag.band else 1),
                          swelling=out.swelling * (flag.swelling.value if flag.swelling else 1),
                          extent=out.extent * (flag.extent.value if flag.extent and shape else 1),
                          response=out.response * (flag.response.value if flag.response and shape else 1))
    return out


def sayings(amounts: Sequence[Amount], planned: PlannedFlag, flag: ClinicalFlag) -> Iterator[tuple[Level, str]]:
    """What the flag's own table, and the procedure's, say."""
    procedure = amounts[0].procedure
    yield from ((w.level, w.text) for w in flag.warnings if w.meets(procedure.name, planned.grade))
    yield from ((c.level, c.text) for c in procedure.contraindications if c.flag == flag.name)


def check_permissions(amounts: Sequence[Amount], plan: Plan, planned: PlannedFlag, flag: ClinicalFlag) -> None:
    """UsageError when the flag's cap, or its word against mirroring, forbids an amount and nothing overrides it."""
    if plan.override(flag.name) is not None:
        return
    for amount in amounts:
        part = abs(amount.value / amount.step.maximum)  # of the maximum, in either direction
        if flag.cap_percent is not None and part > flag.cap_percent.value / 100 + 1e-9:
            most = amount.value / part * flag.cap_percent.value / 100
            raise UsageError("beyond_cap", f"{amount.name} is {amount.value:g} {amount.step.unit}; with {flag.label} "
                             f"at most {most:g} ({flag.cap_percent.value:g} % of its maximum; "
                             f"{flag.cap_percent.source}, evidence {flag.cap_percent.mark}).",
                             f"Give less, or say why: `overrides: [{{what: {flag.name}, reason: ...}}]`.")
    if flag.one_sided:
        check_not_mirrored(amounts, plan, planned, flag)


def check_not_mirrored(amounts: Sequence[Amount], plan: Plan, planned: PlannedFlag, flag: ClinicalFlag) -> None:
    """UsageError when one number or an intensity would move both sides alike."""
    for amount in amounts:
        entry = next(p for p in plan.procedures if p.procedure == amount.procedure.name)
        given = entry.values.get(amount.step.name)
        if amount.side is not None and amount.value and len(entry.side) > 1 and not isinstance(given, Sides):
            raise UsageError("mirrored", f"{amount.procedure.name}.{amount.step.name} would treat both sides alike, "
                             f"which is not right with {flag.label}.",
                             f"Say what each side gets: `{amount.step.name}: {{left: ..., right: ...}}`.")
