"""The stage: a head and a plan in, the displacement of every step out, with its band, couplings and swelling."""

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version

import numpy as np
from jaxtyping import Bool, Float

from core.anatomy import Anatomy
from core.errors import UsageError
from core.evidence import BANDS, Band
from core.files import digest
from core.mesh import Mesh
from core.plan import Plan
from core.prediction import Coupled, Landed, Prediction, triple
from core.procedure import Procedure, Step
from core.progress import Progress, silent
from core.sides import Side
from deform3d.catalogue import Amount, Catalogue, resolve
from deform3d.field import DEFAULT, Field, FieldOptions, field_of, still_part
from deform3d.flags import (
    Effects,
    Flags,
    check_overrides,
    clinical_flags,
    consequences,
    locked_side,
    said_once,
    unlocked,
)
from deform3d.free import free_field, rigidity, topology
from deform3d.globe import Globes
from deform3d.handles import Context, Places
from deform3d.healing import MONTHS, swelling_mm
from deform3d.plain import plain_of
from deform3d.together import Done, limited, smoothed
from deform3d.volume import added_removed_ml, min_dihedral_deg, spoiled

OVERSHOOT = 1.5
"""More motion than this many times the largest handle's is pointed out."""
METHOD = "joint geodesic kernels, 17"
"""Name and number of the deformation method; the number rises when results change."""
FIELD_ROUNDS, CORNER_ROUNDS, LID_MM = 3, 30, 0.005
"""So often a lid's handles, and then the corners of their triangles, are brought nearer to plan; when it is enough."""
STOPPED_MM = 0.25
"""A globe that takes more than this from a handle is told."""


def predict(mesh: Mesh, anatomy: Anatomy, plan: Plan, catalogue: Catalogue, options: FieldOptions = DEFAULT,
            progress: Progress = silent, flags: Flags | None = None, swelling: bool = True) -> Prediction:
    """What a plan does to a head: one displacement field per step, their sum is the operation.

    Every step moves its own handles to plan and leaves its procedure's other handles where they are.
    swelling: whether the weeks after the operation are worked out, too.
    UsageError for a wrong plan (see `resolve`, `consequences`); PrevisageError when the head lacks a pin or region.
    """
    if plan.topology is not None and plan.topology != topology(mesh):
        raise UsageError("other_topology", f"The plan was made for the mesh {plan.topology}; this head's is "
                         f"{topology(mesh)}.", "Pick its places again on this head, or use landmarks.")
    amounts, effects = planned(plan, catalogue, clinical_flags() if flags is None else flags)
    plain = plain_of(mesh, anatomy)
    if plain is None:
        return carried_out_all(mesh, anatomy, plan, catalogue, options, progress, amounts, effects, swelling)
    free = [hand.model_copy(update=plain.place(mesh, hand)) for hand in plan.free]
    made = carried_out_all(plain.mesh, plain.anatomy, plan.model_copy(update={"free": free}), catalogue, options,
                           progress, amounts, effects, swelling)
    if plain.whole:
        return replace(made, plan=plan.model_dump(mode="json"))
    still = np.array([still_in(name, mesh, anatomy, plan, catalogue, options) for name in made.step_names])
    moves = {band: np.where(still[..., None], 0.0, plain.spread(field)) for band, field in (
        ("low", made.low_mm), ("mean", made.displacement_mm), ("high", made.high_mm))}
    return replace(made, plan=plan.model_dump(mode="json"), displacement_mm=moves["mean"], low_mm=moves["low"],
                   high_mm=moves["high"], swelling_mm=plain.spread(made.swelling_mm))


def still_in(step: str, mesh: Mesh, anatomy: Anatomy, plan: Plan, catalogue: Catalogue, options: FieldOptions) -> Bool[
        np.ndarray, "v"]:
    """The vertices that a step (by its full name) must not move."""
    procedure, locked = catalogue.get(step.split(".")[0]), locked_side(plan)
    if procedure is None:
        return rigidity(mesh, anatomy, locked) >= 0
    return still_part(mesh, anatomy, procedure, options, locked)


def carried_out_all(mesh: Mesh, anatomy: Anatomy, plan: Plan, catalogue: Catalogue, options: FieldOptions,
                    progress: Progress, amounts: Sequence[Amount], effects: Mapping[str, Effects],
                    swelling: bool) -> Prediction:
    """The prediction for a head whose vertices all carry shape (`deform3d.plain`)."""
    done: list[Done] = []
    limits: list[str] = []
    names = list(dict.fromkeys(a.procedure.name for a in amounts))
    for count, name in enumerate(names):
        progress(count / len(names), f"solving {name}")
        base = mesh.moved(total_of(mesh, done)) if plan.overlap == "in_turn" and done else mesh
        mine = [a for a in amounts if a.procedure.name == name]
        made = list(carried_out(base, anatomy, catalogue[name], mine, effects[name], plan, options))
        share, told = limited(made, done, catalogue)
        limits += told
        done += [item.held_back(share) for item in made]
    done += list(by_hand(mesh, anatomy, plan, done))
    if done:
        done = smoothed(mesh, done)
    progress(1.0, "predicted")
    return put_together(mesh, anatomy, plan, catalogue, amounts, done, effects, limits, swelling)


def planned(plan: Plan, catalogue: Catalogue, flags: Flags) -> tuple[list[Amount], dict[str, Effects]]:
    """What a plan asks for and what its flags make of it, for any head. UsageError for a wrong plan."""
    check_overrides(plan, catalogue, flags)
    amounts = unlocked(plan, resolve(plan, catalogue))
    return amounts, consequences(plan, amounts, flags)


def carried_out(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, amounts: Sequence[Amount], effects: Effects,
                plan: Plan, options: FieldOptions) -> Iterator[Done]:
    """Every amount of one procedure that is not zero; all of them when all are zero, so that a plan has steps."""
    wider = procedure if effects.extent == 1 else procedure.model_copy(
        update={"falloff_mm": procedure.falloff_mm * effects.extent})
    field = field_of(mesh, anatomy, wider, options, locked_side(plan))
    globes = Globes(mesh, anatomy) if procedure.lids_slide else None
    stopped: tuple[str, ...] = ()
    context = Context(mesh, anatomy, procedure, field.points)
    for amount in [a for a in amounts if a.value] or amounts:
        asked = {band: context.asked_mm(amount.step, amount.value * effects.response, amount.side, band)
                 for band in BANDS}
        for band in ("low", "high"):
            asked[band] = asked["mean"] + effects.band * (asked[band] - asked["mean"])
        if globes is None:
            moves = {band: field.displaced(wish) for band, wish in asked.items()}
        else:
            normal = all(h.motion in ("outward", "follow") for h in amount.step.every_handle())
            wishes, asked = asked, {b: globes.held(context.position, w, normal) for b, w in asked.items()}
            moves = {band: on_globes(mesh, globes, field, wish, normal) for band, wish in asked.items()}
            stopped = stops(field, amount, wishes["mean"], asked["mean"])
        landing = landed(mesh, amount, field, asked["mean"], moves["mean"]) if amount.value else []
        yield Done(name=amount.name, label=amount.label, value=amount.value, unit=amount.step.unit, moves=moves,
                   landed=tuple(landing), told=stopped, places=field.points[moved_rows(field, amount.step)])


def on_globes(mesh: Mesh, globes: Globes, field: Field, asked: Float[np.ndarray, "h 3"], normal: bool) -> Float[
        np.ndarray, "v 3"]:
    """The displacement of the lids, held on the globes. That bends it between the corners of a handle's triangle, and
    a corner that rests on the globe goes no further: what a handle misses of what is asked is added to its wish, and
    where this does not help, to the corners of its triangle that are free."""
    corner, where = np.unique(mesh.faces[field.points.face], return_inverse=True)
    at_handles, moving = np.zeros((len(asked), len(corner))), asked.any(1, keepdims=True)
    np.put_along_axis(at_handles, where.reshape(-1, 3), field.points.bary, 1)
    position, wish = mesh.vertices_mm[corner], asked
    for _ in range(FIELD_ROUNDS):
        at = globes.held(position, field.cardinal[corner] @ wish, normal)
        wish = wish + moving * (asked - at_handles @ at)
    raw, free = field.cardinal[corner] @ wish, field.cardinal[corner].any(1)  # what must be still stays so
    back = free[:, None] * np.linalg.pinv(at_handles * free)
    for _ in range(CORNER_ROUNDS):
        at = globes.held(position, raw, normal)
        missed = moving * (asked - at_handles @ at)
        if np.abs(missed).max() < LID_MM:
            break
        raw = raw + back @ missed
    out = globes.held(mesh.vertices_mm, field.displaced(wish), normal)
    out[corner] = at
    return out


def stops(field: Field, amount: Amount, wish: Float[np.ndarray, "h 3"], held: Float[np.ndarray, "h 3"]) -> tuple[
        str, ...]:
    """What to tell of the handle that a globe holds back most."""
    planned, left = (np.linalg.norm(u, axis=1) for u in (wish, held))
    row = int(np.argmax(planned - left))
    if planned[row] - left[row] <= STOPPED_MM:
        return ()
    return (f"{amount.name}: the eyeball stops {field.pins[row]} after {left[row]:.1f} of {planned[row]:.1f} mm.",)


def by_hand(mesh: Mesh, anatomy: Anatomy, plan: Plan, done: Sequence[Done]) -> Iterator[Done]:
    """The free moves of a plan; in turn, each takes hold of the skin where it then is."""
    base = mesh.moved(total_of(mesh, done)) if plan.overlap == "in_turn" and done else mesh
    for count, move in enumerate(plan.free, 1):
        point, share = free_field(base, anatomy, move, locked_side(plan))
        u = share[:, None] * np.array(move.move_mm, float)
        name = f"free.{count}"
        yield Done(name=name, label=move.label, value=float(np.linalg.norm(move.move_mm)), unit="mm",
                   moves=dict.fromkeys(BANDS, u), places=point,
                   landed=(Landed(step=name, pin=move.at or move.label, asked_mm=triple(np.array(move.move_mm, float)),
                                  landed_mm=triple(point.on(u, mesh.faces)[0])),))


def put_together(mesh: Mesh, anatomy: Anatomy, plan: Plan, catalogue: Catalogue, amounts: Sequence[Amount],
                 done: Sequence[Done], effects: Mapping[str, Effects], limits: Sequence[str],
                 swelling: bool) -> Prediction:
    """The prediction as it is kept."""
    total = total_of(mesh, done)
    added, removed = added_removed_ml(mesh, total)
    used = [a for a in amounts if a.value]
    procedures = [catalogue[name] for name in effects]
    healing = [p for p in procedures if swelling and p.healing is not None and any(a.procedure is p for a in used)]
    notes = dict.fromkeys(f"{a.procedure.label}: {note}" for a in used for note in a.step.notes)
    return Prediction(
        plan=plan.model_dump(mode="json"),
        step_names=tuple(d.name for d in done), step_labels=tuple(d.label for d in done),
        step_values=tuple(d.value for d in done), step_units=tuple(d.unit for d in done),
        displacement_mm=np.stack([d.moves["mean"] for d in done]), low_mm=np.stack([d.moves["low"] for d in done]),
        high_mm=np.stack([d.moves["high"] for d in done]), landed=tuple(item for d in done for item in d.landed),
        couplings=tuple(item for a in used for item in dragged_along(a, effects[a.procedure.name])),
        swelling_names=tuple(p.name for p in healing),
        swelling_mm=np.reshape([effects[p.name].swelling * swelling_mm(mesh, anatomy, p, only_side(used, p))
                                for p in healing], (len(healing), *mesh.vertices_mm.shape)),
        swelling_months=MONTHS,
        swelling_percent=np.reshape([[p.healing.percent(t) for t in MONTHS] for p in healing if p.healing],
                                    (len(healing), len(MONTHS))),
        volume_added_ml=added, volume_removed_ml=removed, min_dihedral_deg=min_dihedral_deg(mesh, total),
        warnings=(*spoiled_and_overshot(mesh, total, done), *limits, *(t for d in done for t in d.told),
                  *too_much(mesh, anatomy, used), *overridden(plan),
                  *said_once(effects.values()), *notes),
        versions={"deform3d": METHOD, **libraries(), "procedures": {p.name: mark(p.model_dump_json())
                                                                    for p in procedures}})


@functools.cache
def libraries() -> dict[str, str]:
    """The versions of what the numbers depend on; reading one takes 15 ms."""
    return {name: version(name) for name in ("numba", "numpy")}


@functools.lru_cache(maxsize=64)
def mark(procedure_json: str) -> str:
    """Checksum of a procedure's table."""
    return digest(json.loads(procedure_json))


def only_side(used: Sequence[Amount], procedure: Procedure) -> Side | None:
    """The side on which alone a procedure was done; None for both, or the midline."""
    sides = {a.side for a in used if a.procedure is procedure}
    return sides.pop() if len(sides) == 1 else None


def total_of(mesh: Mesh, done: Sequence[Done], band: Band = "mean") -> Float[np.ndarray, "v 3"]:
    """The sum of what was done so far."""
    return np.sum([np.zeros_like(mesh.vertices_mm), *(d.moves[band] for d in done)], axis=0)


def landed(mesh: Mesh, amount: Amount, field: Field, asked: Float[np.ndarray, "h 3"],
           moved: Float[np.ndarray, "v 3"]) -> list[Landed]:
    """Asked against landed displacement of the handles that one amount moves."""
    went = field.points.on(moved, mesh.faces)
    rows = [row for row in moved_rows(field, amount.step) if asked[row].any()]
    return [Landed(step=amount.name, pin=field.pins[row], asked_mm=triple(asked[row]), landed_mm=triple(went[row]))
            for row in rows]


def moved_rows(field: Field, step: Step) -> list[int]:
    """The handles of a step, in the order of its file."""
    return [field.pins.index(pin) for pin in dict.fromkeys(h.pin for h in step.every_handle())]


def dragged_along(amount: Amount, effects: Effects) -> Iterator[Coupled]:
    """The couplings of one amount, in millimetres."""
    for coupling in amount.step.couplings:
        mean, low, high = (amount.value * effects.response * coupling.amount.at(b) for b in ("mean", "low", "high"))
        yield Coupled(step=amount.name, label=coupling.label, mean_mm=mean, low_mm=mean + effects.band * (low - mean),
                      high_mm=mean + effects.band * (high - mean), mark=coupling.amount.mark,
                      source=coupling.amount.source)


def too_much(mesh: Mesh, anatomy: Anatomy, used: Sequence[Amount]) -> Iterator[str]:
    """Steps that take more of a length of this head than they should."""
    for amount in used:
        part = amount.step.part_of
        if part is None:
            continue
        places = Places(mesh, anatomy, amount.procedure)
        length = float(np.linalg.norm(mesh.points(places.point(part.end)) - mesh.points(places.point(part.start))))
        if abs(amount.value) > part.most * length:
            yield (f"{amount.name}: {abs(amount.value):.1f} mm is {100 * abs(amount.value) / length:.0f} % of the "
                   f"{length:.1f} mm from {part.start} to {part.end} of this head; at most {100 * part.most:.0f} % "
                   f"should be taken ({part.evidence.source}; evidence {part.evidence.mark}).")


def overridden(plan: Plan) -> list[str]:
    """What a surgeon decided against a limit."""
    return [f"Override of {o.what}: {o.reason}" for o in plan.overrides]


def spoiled_and_overshot(mesh: Mesh, total_mm: Float[np.ndarray, "v 3"], done: Sequence[Done]) -> list[str]:
    """What a person should know of the surface: spoiled triangles, and skin that moves further than any handle."""
    flipped, collapsed = spoiled(mesh, total_mm)
    out = [f"{count} triangles {what}; the shape is not to be trusted there." for what, count in
           (("are turned inside out", int(flipped.sum())), ("have collapsed", int(collapsed.sum()))) if count]
    ends: tuple[tuple[Band, str], ...] = (("low", "least"), ("high", "most"))
    for band, word in ends:
        count = sum(int(bad.sum()) for bad in spoiled(mesh, total_of(mesh, done, band)))
        if count and not out:
            out.append(f"Where tissue responds {word}, {count} triangles fold; that end of the band is not to be "
                       "trusted there.")
    most = float(np.linalg.norm(total_mm, axis=1).max())
    planned = float(np.sum([max((np.linalg.norm(i.asked_mm) for i in d.landed), default=0.0) for d in done]))
    if most > OVERSHOOT * planned:
        out.append(f"The skin moves up to {most:.1f} mm between handles that move {planned:.1f} mm at most.")
    return out
