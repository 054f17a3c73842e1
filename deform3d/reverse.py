"""Backwards: from what is wanted of the face to the values of the steps, within their clamps.

x the values of the steps over their reach s (the larger end of the clamp, so that |x| <= 1); D(x) the displacement.
Goals: minimise sum_g ((m_g(p + D(x)) - t_g) / tol_g)^2 + lambda |x|^2, p the landmarks that the measures m_g need and
t_g the targets. Target surface: minimise sum_v (n_v . (v + D_v(x) - q_v))^2 / sigma^2 + lambda |x|^2, q_v the nearest
point of the target to where v now is and n_v its normal there (point to plane, Chen & Medioni 1992), again and again.
lambda is so small that it only decides between values that serve equally well: for the smaller operation.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import least_squares
from scipy.spatial import cKDTree

from core.anatomy import Anatomy
from core.errors import PrevisageError, UsageError
from core.mesh import Mesh
from core.plan import Plan, PlannedProcedure, Sides
from core.procedure import Procedure, Step
from core.sides import SIDES, Side
from core.solved import Reached, Solved
from core.surface import SurfacePoints
from deform3d.catalogue import Catalogue, step_name
from deform3d.field import DEFAULT, Field, FieldOptions, field_of
from deform3d.handles import Context
from deform3d.plain import plain_of

LAMBDA = 1e-3
AT_CLAMP = 0.995
"""A step that uses this part of its clamp has no more to give."""
SIGMA_MM = 0.3
"""A surface that lies this near is as good as reached: the reconstruction's own error."""
ROUNDS = 8
"""Nearest points are looked up again this often."""
WELL_INSIDE = 0.02
"""Share of a clamp's width: the solver creeps when it starts on a bound."""
SLOPE_AT = 0.05
"""Slopes are differences over this part of a step's reach."""
FAR_MM = 15.0
"""Target points further away belong to something else."""
LEAST_EFFECT = 0.5
"""A step that at its clamp moves no goal by this part of its tolerance is not used for it."""
LEAST = 0.05
"""Values are rounded to this (mm, degrees, percent): no surgeon works finer."""

Measured = Callable[[Mapping[str, Float[np.ndarray, "3"]]], float]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A measure that is to take a value: its name, formula, landmarks, target and what is near enough."""

    name: str
    of: Measured
    pins: tuple[str, ...]
    target: float
    tolerance: float


@dataclass(frozen=True)
class Lever:
    """One value to find: a step of a procedure, on one side or on all of it."""

    procedure: Procedure
    step: Step
    side: Side | None
    field: Field
    context: Context

    @property
    def name(self) -> str:
        """`procedure.step`, and its side."""
        return step_name(self.procedure, self.step, self.side)

    @property
    def reach(self) -> float:
        """The larger end of the clamp."""
        return max(map(abs, self.step.clamp))

    @property
    def bounds(self) -> tuple[float, float]:
        """The clamp, over the reach."""
        low, high = self.step.clamp
        return low / self.reach - 1e-12, high / self.reach + 1e-12


class Problem:
    """A head, the levers that may move it, and what they do."""

    def __init__(self, mesh: Mesh, anatomy: Anatomy, procedures: Sequence[str], catalogue: Catalogue,
                 steps: Sequence[str] = (), options: FieldOptions = DEFAULT) -> None:
        """procedures: whose steps may be used; steps (`procedure.step`): only these. UsageError for unknown names."""
        plain = plain_of(mesh, anatomy)
        mesh, anatomy = (mesh, anatomy) if plain is None else (plain.mesh, plain.anatomy)
        self.mesh, self.anatomy, self.options = mesh, anatomy, options
        unknown = [name for name in procedures if name not in catalogue]
        if unknown or not procedures:
            raise UsageError("unknown_procedure", f"There is no procedure called {unknown[0]!r}." if unknown else
                             "No procedure is named.", f"Known: {', '.join(sorted(catalogue))}.")
        every = [f"{name}.{s.name}" for name in procedures for s in catalogue[name].steps]
        lost = [name for name in steps if name not in every]
        if lost:
            raise UsageError("unknown_step", f"There is no step called {lost[0]!r} here.",
                             f"Known: {', '.join(every)}.")
        fields = {name: field_of(mesh, anatomy, catalogue[name], options) for name in procedures}
        contexts = {name: Context(mesh, anatomy, catalogue[name], fields[name].points) for name in procedures}
        self.levers = [Lever(catalogue[name], step, side, fields[name], contexts[name])
                       for name in procedures for step in catalogue[name].steps
                       if f"{name}.{step.name}" in steps or not (steps or step.side_required or step.excludes)
                       for side in (SIDES if step.sided else (None,))]

    def asked(self, lever: Lever, x: float) -> Float[np.ndarray, "h 3"]:
        """The motion of a lever's handles."""
        return lever.context.asked_mm(lever.step, x * lever.reach, lever.side)

    def moved(self, x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "v 3"]:
        """The displacement of every vertex."""
        return np.sum([np.zeros_like(self.mesh.vertices_mm), *(
            lever.field.displaced(self.asked(lever, float(value))) for lever, value in zip(self.levers, x, strict=True)
            if value)], axis=0)

    def at(self, points: SurfacePoints) -> Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "p 3"]]:
        """Where some points go, as a function of the values: cheap, because only their rows of the fields are used."""
        start = self.mesh.points(points)
        share = {id(lever.field): points.on(lever.field.cardinal, self.mesh.faces) for lever in self.levers}

        def positions(x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "p 3"]:
            return start + np.sum([np.zeros_like(start), *(
                share[id(lever.field)] @ self.asked(lever, float(value))
                for lever, value in zip(self.levers, x, strict=True) if value)], axis=0)

        return positions

    def bounded(self, residuals: Callable[[Float[np.ndarray, "n"]], Float[np.ndarray, "r"]],
                start: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
        """The values within the clamps that make the residuals smallest."""
        low, high = np.array([lever.bounds for lever in self.levers]).T
        inside = np.clip(start, low + WELL_INSIDE * (high - low), high - WELL_INSIDE * (high - low))
        return np.asarray(least_squares(
            lambda x: np.concatenate([residuals(x), np.sqrt(LAMBDA) * x]), inside, bounds=(low, high)).x)

    def plan(self, x: Float[np.ndarray, "n"], plan_id: str) -> Plan:
        """The values as a plan, rounded."""
        values: dict[str, dict[str, dict[Side | None, float]]] = {}
        for lever, value in zip(self.levers, x, strict=True):
            low, high = lever.step.clamp
            amount = float(np.clip(round(float(value) * lever.reach / LEAST) * LEAST, low, high))
            values.setdefault(lever.procedure.name, {}).setdefault(lever.step.name, {})[lever.side] = round(amount, 6)
        return Plan(id=plan_id, procedures=[PlannedProcedure(procedure=name, values={
            step: both[None] if None in both else Sides(left=both["left"], right=both["right"])
            for step, both in steps.items() if any(both.values())}) for name, steps in values.items()
            if any(v for both in steps.values() for v in both.values())] or [
                PlannedProcedure(procedure=next(iter(values)), intensity=0.0)])

    def values_of(self, plan: Plan) -> Float[np.ndarray, "n"]:
        """A plan's values, over the reach, in the levers' order."""
        out = []
        for lever in self.levers:
            entry = next((p for p in plan.procedures if p.procedure == lever.procedure.name), None)
            given = None if entry is None else entry.values.get(lever.step.name)
            if isinstance(given, Sides):
                given = given.on(lever.side) if lever.side else 0.0
            out.append((given or 0.0) / lever.reach)
        return np.array(out)

    def solved(self, x: Float[np.ndarray, "n"], plan_id: str, goals: Sequence[Goal],
               surface: "Surface | None") -> Solved:
        """The rounded plan and what it reaches."""
        plan = self.plan(x, plan_id)
        rounded = self.values_of(plan)
        reached = []
        for goal in goals:
            points = self.pins(goal.pins)
            before, after = (goal.of(dict(zip(goal.pins, self.at(points)(v), strict=True)))
                             for v in (np.zeros(len(rounded)), rounded))
            reached.append(Reached(name=goal.name, before=before, target=goal.target, after=after,
                                   reached=abs(after - goal.target) <= goal.tolerance))
        full = [lever.name for lever, v in zip(self.levers, rounded, strict=True)
                if v and (v >= AT_CLAMP * lever.bounds[1] > 0 or v <= AT_CLAMP * lever.bounds[0] < 0)]
        rms = (None, None) if surface is None else tuple(surface.rms_mm(self.mesh.vertices_mm + self.moved(v))
                                                          for v in (np.zeros(len(rounded)), rounded))
        return Solved(plan=plan, goals=tuple(reached), rms_before_mm=rms[0], rms_after_mm=rms[1], at_clamp=tuple(full))

    def pins(self, names: Sequence[str]) -> SurfacePoints:
        """Landmarks of the head; PrevisageError when it lacks one."""
        missing = sorted(set(names) - set(self.anatomy.pin_names))
        if missing:
            raise PrevisageError("missing_pin", f"This head has no landmark {missing[0]!r}, which the goal needs.",
                                 f"It has: {', '.join(self.anatomy.pin_names)}.")
        return self.anatomy.pin_points[[self.anatomy.pin_names.index(n) for n in names]]


class Surface:
    """The target: nearest points and normals of its surface, for the vertices that the levers move."""

    def __init__(self, target: Mesh, rows: Int[np.ndarray, "m"]) -> None:
        """rows: those of the head's vertices that count."""
        normals = target.vertex_normals()
        corners = target.vertices_mm[target.faces]
        flat = target.face_normals()
        length = np.linalg.norm(flat, axis=1, keepdims=True)
        self.points = np.concatenate([target.vertices_mm, corners.mean(1)])
        self.normals = np.concatenate([normals, flat / np.where(length > 0, length, 1)])
        self.tree, self.rows = cKDTree(self.points), rows

    def nearest(self, vertices: Float[np.ndarray, "v 3"]) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, "k 3"],
                                                                  np.ndarray]:
        """Nearest target points, their normals, and the rows (of the head's vertices) that have one near enough."""
        gap, index = self.tree.query(vertices[self.rows], distance_upper_bound=FAR_MM)
        found = np.isfinite(gap)
        return self.points[index[found]], self.normals[index[found]], self.rows[found]

    def rms_mm(self, vertices: Float[np.ndarray, "v 3"]) -> float:
        """Root mean square of the distances to the target's planes."""
        q, normal, rows = self.nearest(vertices)
        return float(np.sqrt(np.mean(np.einsum("kc,kc->k", vertices[rows] - q, normal)**2))) if len(rows) else np.inf


def reach_goals(problem: Problem, goals: Sequence[Goal], plan_id: str = "goals") -> Solved:
    """The plan whose measures come nearest to their goals. PrevisageError when the head lacks a landmark."""
    names = tuple(dict.fromkeys(pin for goal in goals for pin in goal.pins))
    where = problem.at(problem.pins(names))

    def residuals(x: Float[np.ndarray, "n"]) -> Float[np.ndarray, "r"]:
        placed = dict(zip(names, where(x), strict=True))
        return np.array([(goal.of(placed) - goal.target) / goal.tolerance for goal in goals])

    count = len(problem.levers)
    effect = [np.abs(residuals(e) - residuals(np.zeros(count))).max() for e in np.eye(count)]
    serves = np.array(effect) >= LEAST_EFFECT
    x = np.zeros(count)
    if serves.any():
        x = problem.bounded(lambda v: residuals(np.where(serves, v, 0.0)), x) * serves.astype(float)
    return problem.solved(x, plan_id, goals, None)


def reach_surface(problem: Problem, target: Mesh, plan_id: str = "target") -> Solved:
    """The plan that brings the head nearest to a target surface in the same frame (any topology).

    UsageError when the target is nowhere near what the steps can move.
    """
    ones = [problem.moved(np.eye(len(problem.levers))[k] * 0.5) for k in range(len(problem.levers))]
    rows = np.flatnonzero(np.max([np.linalg.norm(u, axis=1) for u in ones], axis=0) > 0.2)
    surface = Surface(target, rows)
    x = np.zeros(len(problem.levers))
    for _ in range(ROUNDS):
        here = problem.moved(x)
        q, normal, near = surface.nearest(problem.mesh.vertices_mm + here)
        if len(near) < max(20, 0.2 * len(rows)):
            raise UsageError("target_elsewhere", "The target surface is not where this head is.",
                             "Bring it into the head frame, in millimetres (see docs/conventions.md).")
        scale = SIGMA_MM * np.sqrt(len(near))
        ahead = [(problem.moved(x + SLOPE_AT * e) - here)[near] / SLOPE_AT for e in np.eye(len(x))]
        slope = np.stack([np.einsum("kc,kc->k", u, normal) for u in ahead], 1) / scale
        gap = np.einsum("kc,kc->k", (problem.mesh.vertices_mm + here)[near] - q, normal) / scale
        x = problem.bounded(functools.partial(linear, gap - slope @ x, slope), x)
    return problem.solved(x, plan_id, (), surface)


def linear(offset: Float[np.ndarray, "r"], slope: Float[np.ndarray, "r n"], x: Float[np.ndarray, "n"]) -> Float[
        np.ndarray, "r"]:
    """Residuals of a linear problem."""
    return offset + slope @ x
