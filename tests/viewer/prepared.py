"""A finished case made of formulas, for the server and the page: a globe with a nose that a plan moves."""

from pathlib import Path

import numpy as np

from core.case import Case
from core.certainty import seen_at
from core.prediction import Landed, Prediction
from core.reconstruction import Reconstruction
from core.store import save_png, save_prediction, save_reconstruction
from core.texture import Texture
from tests.core.builders import reconstruction

STEPS = ("rhinoplasty.hump_mm", "rhinoplasty.tip_rotation_deg", "rhinoplasty.tip_projection_mm")
TIP_MM = np.array([0.0, -5.0, 90.0])


def skin(side: int = 512) -> Texture:
    """Stripes over a gradient: every part of the surface has its own colours."""
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    stripes = 25 * np.sin(60 * x) * np.sin(60 * y)
    rgb = np.stack([205 + stripes, 150 + 60 * y + stripes, 130 + 80 * x], -1).clip(0, 255).astype(np.uint8)
    seen = np.full((side, side), 255, np.uint8)
    seen[:, :round(0.4 * side)] = 0  # the globe's right side, from a fifth of its width away from the middle on
    return Texture(rgb=rgb, seen=seen)


def head() -> Reconstruction:
    """The globe of the core tests, with a nose and that skin; the upper half is surer, most of the right unseen."""
    plain = reconstruction(np.random.default_rng(5))
    mesh = plain.mesh.moved(bell(plain.mesh.vertices_mm, 14)[:, None] * [0, 0, 18.0])
    fields = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    sd_mm = np.where(mesh.vertices_mm[:, 1] > 0, 0.5, 2.0)
    return Reconstruction(**{**fields, "mesh": mesh, "texture": skin(), "uncertainty_mm": sd_mm,
                             "seen": seen_at(skin(), mesh)})


def bell(points_mm: np.ndarray, width_mm: float) -> np.ndarray:
    """1 at the tip, 0 from three widths on."""
    distance = np.linalg.norm(points_mm - TIP_MM, axis=1)
    return np.where(distance < 3 * width_mm, np.exp(-(distance / width_mm) ** 2 / 2), 0)


def plan_of(person: Reconstruction) -> Prediction:
    """A hump step of 12 mm (large, so that pixels show it), a tip step, and one that the plan leaves alone."""
    near = bell(person.mesh.vertices_mm, 16)[:, None]
    moves = np.stack([near * [0, 0, -12.0], near * [0, 6.0, 0], near * [0, 0, 0]])
    return Prediction(
        plan={"id": "rhinoplasty-1", "procedures": [{"procedure": "rhinoplasty", "intensity": 55.0, "values": {}}]},
        step_names=STEPS, step_labels=("Hump", "Tip rotation", "Tip projection"), step_values=(2.42, 8.25, 0.0),
        step_units=("mm", "deg", "mm"), displacement_mm=moves, low_mm=0.8 * moves, high_mm=1.1 * moves,
        couplings=(), swelling_names=(), swelling_mm=np.zeros((0, *moves.shape[1:])), swelling_months=(1.0, 12.0),
        swelling_percent=np.zeros((0, 2)), min_dihedral_deg=120.0,
        landed=(Landed(step=STEPS[0], pin="rhi", asked_mm=(0.0, 0.0, -2.42), landed_mm=(0.0, 0.0, -2.4)),),
        volume_added_ml=0.0, volume_removed_ml=0.5, warnings=("The skin envelope is thick.",), versions={})


def prepare(root: Path, name: str = "prepared", with_plan: bool = True) -> Case:
    """Write the case as the pipeline would."""
    case, person = Case.create(root / name, {"previsage": "test"}), head()

    def write_plan(folder: Path) -> None:
        save_prediction(folder, person, plan_of(person))
        save_png(folder / "views" / "front.png", np.full((40, 30, 3), 120, np.uint8))

    case.run_stage("recon", "globe", lambda folder: save_reconstruction(folder, person))
    if with_plan:
        case.run_stage("plans/rhinoplasty-1", "globe", write_plan)
    return case
