"""The stage: a head and a plan in, the displacement of every step out."""

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

METHOD = "joint geodesic Wendland C2, 1"
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
        warnings=warnings(mesh, total, [(procedure, step.notes) for procedure, step, value in steps if value]),
        versions={"deform3d": METHOD, "potpourri3d": version("potpourri3d"), "numpy": version("numpy"),
                  "procedures": {name: digest(catalogue[name].model_dump(mode="json")) for name in values}})


def landed(mesh: Mesh, procedure: Procedure, step: Step, field: Field, asked: Float[np.ndarray, "h 3"],
           moved: Float[np.ndarray, "v 3"]) -> list[Landed]:
    """Asked against landed displacement of the handles that one step moves."""
    went = field.points.on(moved, mesh.faces)
    rows = [field.pins.index(handle.pin) for handle in step.handles]
    return [Landed(step=f"{procedure.name}.{step.name}", pin=field.pins[row], asked_mm=triple(asked[row]),
                   landed_mm=triple(went[row])) for row in rows]


def triple(vector: Float[np.ndarray, "3"]) -> tuple[float, float, float]:
    """A vector as plain numbers."""
    x, y, z = (float(v) for v in vector)
    return x, y, z


def warnings(mesh: Mesh, total_mm: Float[np.ndarray, "v 3"], notes: list[tuple[Procedure, tuple[str, ...]]]) -> tuple[
        str, ...]:
    """What a person should know: spoiled triangles first, then the notes of the steps used."""
    flipped, collapsed = spoiled(mesh, total_mm)
    out = [f"{count} triangles {what}; the shape is not to be trusted there." for what, count in
           (("are turned inside out", int(flipped.sum())), ("have collapsed", int(collapsed.sum()))) if count]
    return (*out, *(f"{procedure.label}: {note}" for procedure, lines in notes for note in lines))
