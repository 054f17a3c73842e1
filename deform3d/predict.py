"""The stage: a head and a plan in, the displacement of every step out."""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.files import digest
from core.mesh import Mesh
from core.plan import Plan
from core.prediction import Landed, Prediction
from core.procedure import Procedure, Step
from core.progress import Progress, silent
from deform3d.catalogue import Catalogue, resolve_values
from deform3d.field import DEFAULT, Field, FieldOptions, field_of
from deform3d.handles import asked_mm
from deform3d.volume import added_removed_ml, spoiled

OVERSHOOT = 1.5
"""More motion than this many times the largest handle's is pointed out."""
METHOD = "joint geodesic Wendland C2, 2"
"""Name and number of the deformation method; the number rises when results change."""


def predict(mesh: Mesh, anatomy: Anatomy, plan: Plan, catalogue: Catalogue, options: FieldOptions = DEFAULT,
            progress: Progress = silent) -> Prediction:
    """What a plan does to a head: one displacement field per step, their sum is the operation.

    Every step moves its own handles to plan and leaves its procedure's other handles where they are.
    UsageError for a wrong plan (see `resolve_values`); PrevisageError when the head lacks a pin or region.
    """
    values = resolve_values(plan, catalogue)
    steps = [(catalogue[name], step, amounts[step.name]) for name, amounts in values.items()
             for step in catalogue[name].steps]
    fields: dict[str, Field] = {}
    for done, name in enumerate(values):
        progress(done / len(values), f"solving {name}")
        fields[name] = field_of(mesh, anatomy, catalogue[name], options)
    asked = [asked_mm(mesh, anatomy, procedure, step, value, fields[procedure.name].points)
             for procedure, step, value in steps]
    moved = [fields[procedure.name].displaced(wish) for (procedure, _, _), wish in zip(steps, asked, strict=True)]
    total = np.sum(moved, axis=0)
    added, removed = added_removed_ml(mesh, total)
    progress(1.0, "predicted")
    return Prediction(
        plan=plan.model_dump(mode="json"),
        step_names=tuple(f"{procedure.name}.{step.name}" for procedure, step, _ in steps),
        step_labels=tuple(step.label for _, step, _ in steps), step_values=tuple(value for _, _, value in steps),
        step_units=tuple(step.unit for _, step, _ in steps), displacement_mm=np.stack(moved),
        landed=tuple(item for (procedure, step, value), wish, u in zip(steps, asked, moved, strict=True) if value
                     for item in landed(mesh, procedure, step, fields[procedure.name], wish, u)),
        volume_added_ml=added, volume_removed_ml=removed,
        warnings=warnings(mesh, total, handles_total_mm(steps, asked),
                          [f"{procedure.label}: {note}" for procedure, step, value in steps if value
                           for note in step.notes]),
        versions={"deform3d": METHOD, "potpourri3d": version("potpourri3d"), "numpy": version("numpy"),
                  "procedures": {name: digest(catalogue[name].model_dump(mode="json")) for name in values}})


def landed(mesh: Mesh, procedure: Procedure, step: Step, field: Field, asked: Float[np.ndarray, "h 3"],
           moved: Float[np.ndarray, "v 3"]) -> list[Landed]:
    """Asked against landed displacement of the handles that one step moves."""
    went = field.points.on(moved, mesh.faces)
    rows = [field.pins.index(handle.pin) for handle in step.handles]
    return [Landed(step=f"{procedure.name}.{step.name}", pin=field.pins[row], asked_mm=triple(asked[row]),
                   landed_mm=triple(went[row])) for row in rows]


def handles_total_mm(steps: Sequence[tuple[Procedure, Step, float]],
                     asked: Sequence[Float[np.ndarray, "_ 3"]]) -> Float[np.ndarray, "a 3"]:
    """What the plan asks of each handle of each procedure, summed over the steps."""
    sums: dict[str, np.ndarray] = {}
    for (procedure, _, _), wish in zip(steps, asked, strict=True):
        sums[procedure.name] = sums.get(procedure.name, 0) + wish
    return np.concatenate(list(sums.values()))


def triple(vector: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    """A vector as plain numbers."""
    x, y, z = (float(v) for v in vector)
    return x, y, z


def warnings(mesh: Mesh, total_mm: Float[np.ndarray, "v 3"], asked_mm: Float[np.ndarray, "a 3"],
             notes: Sequence[str]) -> tuple[str, ...]:
    """What a person should know: spoiled triangles and overshoot first, then the notes of the steps used.

    asked_mm: the plan's sum at the handles.
    """
    flipped, collapsed = spoiled(mesh, total_mm)
    out = [f"{count} triangles {what}; the shape is not to be trusted there." for what, count in
           (("are turned inside out", int(flipped.sum())), ("have collapsed", int(collapsed.sum()))) if count]
    most, planned = (float(np.linalg.norm(u, axis=1).max()) for u in (total_mm, asked_mm))
    if most > OVERSHOOT * planned:
        out.append(f"The skin moves up to {most:.1f} mm between handles that move {planned:.1f} mm at most.")
    return (*out, *notes)
