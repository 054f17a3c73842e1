"""Backwards: the plan that brings a head's measures, or its surface, nearest to what is wanted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import open3d as o3d

from analysis.measures import MEASURES, UNMEASURED
from core.case import Case
from core.errors import InputRefused, UsageError
from core.mesh import Mesh
from core.prediction import Prediction
from core.progress import Progress, part, silent
from core.solved import Solved
from deform3d import catalogue
from deform3d.reverse import Goal, Problem, reach_goals, reach_surface
from previsage.recipe import load, predict

METRES = (".glb", ".gltf")
"""Files whose unit is the metre by their own standard; all others are read as millimetres."""


def solve(case: Path, procedures: Sequence[str], goals: Mapping[str, float] | None = None, target: Path | None = None,
          steps: Sequence[str] = (), plan_id: str = "goals", progress: Progress = silent) -> tuple[Solved, Prediction]:
    """Find the values of some procedures' steps that reach goals or a target surface, and predict that plan.

    goals: values of measures (`analysis.measures.MEASURES`). target: a mesh file in the head frame, of any topology.
    steps: `procedure.step`, to use only these. Every value stays within its clamp; what cannot be reached is said.
    UsageError: an unknown procedure, step or measure; neither or both of goals and target. InputRefused: no such mesh.
    """
    if bool(goals) == (target is not None):
        raise UsageError("usage", "Give either goals or a target surface.", "For example --goal nasolabial_angle=100.")
    wanted = [goal(name, value) for name, value in (goals or {}).items()]
    surface = None if target is None else read_surface(target)
    Case.open(case)
    head = load(case)
    progress(0.05, "Finding the values of the steps")
    problem = Problem(head.mesh, head.anatomy, procedures, catalogue(), steps)
    found = reach_goals(problem, wanted, plan_id) if surface is None else reach_surface(problem, surface, plan_id)
    return found, predict(case, found.plan, part(progress, 0.5, 1.0))


def goal(name: str, value: float) -> Goal:
    """One goal. UsageError for an unknown measure, one that no head here carries, or a value that is none."""
    if name in UNMEASURED:
        raise UsageError("not_measurable", f"{name} cannot be a goal. {UNMEASURED[name]}",
                         "Plan the step itself: neck_lift.angle_deg turns the skin below the chin by so many degrees.")
    if name not in MEASURES:
        raise UsageError("unknown_measure", f"There is no measure called {name!r}.",
                         f"Known: {', '.join(sorted(MEASURES))}.")
    if not np.isfinite(value):
        raise UsageError("not_a_number", f"{name} is {value}, which is no goal.", "Give a number.")
    measure = MEASURES[name]
    return Goal(name=name, of=measure.of, pins=measure.pins, target=float(value), tolerance=measure.tolerance)


def read_surface(path: Path) -> Mesh:
    """A mesh file (PLY, STL, OBJ, OFF, GLB) in mm. InputRefused when it is none."""
    if not path.is_file():
        raise InputRefused("no_such_file", f"There is no file {path}.", "Check its path.")
    with o3d.utility.VerbosityContextManager(o3d.utility.VerbosityLevel.Error):
        read = o3d.io.read_triangle_mesh(str(path))
    vertices, faces = np.asarray(read.vertices), np.asarray(read.triangles)
    if len(faces) < 4 or not np.isfinite(vertices).all():
        raise InputRefused("no_surface", f"{path} holds no triangle mesh.", "Give a PLY, STL, OBJ, OFF or GLB file.")
    return Mesh(vertices_mm=vertices * (1000.0 if path.suffix.lower() in METRES else 1.0), faces=faces,
                uv=np.zeros((1, 2)), faces_uv=np.zeros_like(faces))
