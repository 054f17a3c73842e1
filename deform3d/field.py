"""The displacement field of a procedure: joint interpolation of all its handles on the surface, still at the edge.

Letters: h_j handle j, D_j the displacement it is asked to make (mm); d(v, h) distance along the surface (mm);
phi kernel with support R; w window; f_j cardinal field of handle j.

    phi(d) = (1 - d/R)^4 (4 d/R + 1) for d < R, else 0          (Wendland, Adv. Comput. Math. 1995: C2, compact)
    w(v)   = 1 - (1 - S(e/ramp)) (1 - S(e/(e + m)))              e(v) distance to the still part: exactly 0 there;
                                                                 m(v) distance to the nearest moved handle: 1 there
    K_vj   = w(v) phi(d(v, h_j)),  P_iv barycentric weights of handle i
    f      = K (P K)^-1                                          so that P f = 1: f_j is 1 at h_j and 0 at the others
    u(v)   = sum_j f_j(v) D_j

Because P K is built from what the mesh really interpolates, every handle lands where it is asked to, up to rounding,
also inside a triangle and under the window. f is computed once per mesh and procedure; a plan costs one product.
"""

import hashlib
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int

from core.anatomy import Anatomy
from core.errors import PrevisageError
from core.mesh import Mesh
from core.procedure import Procedure
from core.records import freeze, record
from core.surface import SurfacePoints
from deform3d.geodesic import Patch, distances_mm, patch_around, smoothstep
from deform3d.handles import handle_points

LEAST_REACH = 1e-3
"""A handle where the window is below this cannot be moved without tearing at its neighbours."""
WORST_CONDITION = 1e6
"""Above this the cardinal fields swing by far more than the handles move; real heads give 10 to 1000."""


@dataclass(frozen=True, kw_only=True)
class FieldOptions:
    """How a handle's pull spreads.

    support_per_falloff: kernel support R over the procedure's falloff; at 1.5 the pull at the falloff is 4.5 %.
    ramp_per_falloff: width of the window's rise from the still part, over the falloff.
    still_weight: a vertex is still when a still region's weight reaches this, or the moving regions' stays below it.
    edge_mm: surface distances are solved on a copy refined to this mean edge length.
    """

    support_per_falloff: float = 1.5
    ramp_per_falloff: float = 0.6
    still_weight: float = 0.05
    edge_mm: float = 1.2


DEFAULT = FieldOptions()


@record
class Field:
    """Cardinal fields f (V, H) of the handles `pins`; `points` are where these are pinned on the mesh."""

    pins: tuple[str, ...]
    points: SurfacePoints
    cardinal: Float[np.ndarray, "v h"]

    def __post_init__(self) -> None:
        freeze(self, cardinal=(self.cardinal, float))

    def displaced(self, asked_mm: Float[np.ndarray, "h 3"]) -> Float[np.ndarray, "v 3"]:
        """The displacement (mm) of every vertex when the handles move as asked; linear in `asked_mm`."""
        return self.cardinal @ asked_mm


@dataclass(frozen=True)
class Problem:
    """What a field depends on; equal when the contents are equal, so that a solved field is found again."""

    digest: str
    mesh: Mesh = field(compare=False)
    anatomy: Anatomy = field(compare=False)
    procedure: Procedure = field(compare=False)
    options: FieldOptions = field(compare=False)


def field_of(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, options: FieldOptions = DEFAULT) -> Field:
    """The field of a procedure on a head; kept for the last few heads and procedures.

    PrevisageError when the anatomy lacks a pin or region, or a moving handle lies in a part that must be still.
    """
    text = repr((anatomy.pin_names, anatomy.region_names, procedure, options)).encode()
    arrays = (mesh.vertices_mm, mesh.faces, anatomy.pin_points.face, anatomy.pin_points.bary, anatomy.region_weights)
    digest = hashlib.sha256(b"".join([text, *(a.tobytes() for a in arrays)])).hexdigest()
    return solve(Problem(digest, mesh, anatomy, procedure, options))


@lru_cache(maxsize=8)
def solve(problem: Problem) -> Field:
    """Solve the joint system of all handles."""
    mesh, procedure, options = problem.mesh, problem.procedure, problem.options
    pins, points = handle_points(mesh, problem.anatomy, procedure)
    support = options.support_per_falloff * procedure.falloff_mm
    score = still_score(problem.anatomy, procedure, options.still_weight)
    patch = patch_around(mesh, points, support, options.edge_mm)
    w, kernels = np.zeros((len(mesh.vertices_mm), 1)), np.zeros((len(mesh.vertices_mm), len(pins)))
    away, edge = distances_mm(patch, still_on(patch, score))
    moves = {h.pin for s in procedure.steps for h in s.handles}
    nearest = away[[pin in moves for pin in pins]].min(0)
    w[patch.kept, 0] = window(edge, nearest, options.ramp_per_falloff * procedure.falloff_mm)
    kernels[patch.kept] = w[patch.kept] * wendland(away / support).T
    free = moving_handles(procedure, pins, points.on(w, mesh.faces)[:, 0])
    cardinal = np.zeros_like(kernels)
    cardinal[:, free] = cardinal_fields(kernels[:, free], points[free].on(kernels[:, free], mesh.faces), procedure)
    return Field(pins=pins, points=points, cardinal=cardinal)


def cardinal_fields(kernels: Float[np.ndarray, "v m"], at_handles: Float[np.ndarray, "m m"],
                    procedure: Procedure) -> Float[np.ndarray, "v m"]:
    """f = K (P K)^-1; PrevisageError when two handles lie so close together that they cannot move apart."""
    condition = np.linalg.cond(at_handles / np.abs(at_handles).max(1, keepdims=True))
    if not condition < WORST_CONDITION:
        raise PrevisageError("handles_coincide", f"Handles of {procedure.name} fall on the same spot of this head "
                             f"(condition {condition:.1e}).", "Move or remove a handle in the procedure's file.")
    return np.linalg.solve(at_handles.T, kernels.T).T


def wendland(r: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """Wendland's C2 function: 1 at 0, exactly 0 from 1 on (also at inf)."""
    r = np.minimum(r, 1)
    return (1 - r)**4 * (4 * r + 1)


def still_score(anatomy: Anatomy, procedure: Procedure, still_weight: float) -> Float[np.ndarray, "v"]:
    """Positive or zero where a vertex must be still: by weight of the immobile regions, or lack of the moving ones."""
    missing = sorted({*procedure.regions, *procedure.immobile} - set(anatomy.region_names))
    if missing:
        raise PrevisageError("missing_region", f"This head has no region {', '.join(missing)}, which the procedure "
                             f"{procedure.name} needs.", f"It has: {', '.join(anatomy.region_names)}.")
    moving = np.max([anatomy.region(r) for r in procedure.regions], axis=0)
    immobile = np.max([np.zeros_like(moving), *(anatomy.region(r) for r in procedure.immobile)], axis=0)
    return np.maximum(immobile - still_weight, still_weight - moving).astype(float)


def still_on(patch: Patch, score: Float[np.ndarray, "v"]) -> Bool[np.ndarray, "w"]:
    """The refined vertices that must be still; on the mesh's own vertices exactly where the score says so."""
    still = patch.refined(score) >= 0
    still[:len(patch.kept)] = score[patch.kept] >= 0
    return still


def window(edge_mm: Float[np.ndarray, "k"], moved_mm: Float[np.ndarray, "k"], ramp_mm: float) -> Float[np.ndarray, "k"]:
    """w from the distances e to the still part and m to the nearest moved handle."""
    inside, nowhere = edge_mm <= 0, np.isinf(edge_mm)
    finite = np.where(inside | nowhere, 1, edge_mm)
    share = np.where(inside, 0, np.where(nowhere, 1, finite / (finite + moved_mm)))
    return 1 - (1 - smoothstep(edge_mm / ramp_mm)) * (1 - smoothstep(share))


def moving_handles(procedure: Procedure, pins: tuple[str, ...], reach: Float[np.ndarray, "h"]) -> Int[np.ndarray, "m"]:
    """Numbers of the handles that the window lets move; an anchor in the still part holds without help."""
    held = [pin for pin, w in zip(pins, reach, strict=True) if w < LEAST_REACH]
    moved = {h.pin for s in procedure.steps for h in s.handles}
    if moved.intersection(held):
        raise PrevisageError(
            "handle_in_still_part", f"{procedure.name} moves {', '.join(p for p in held if p in moved)}, which lies in "
            "a part of this head that the procedure keeps still.", "Change `regions`, `immobile` or the handle.")
    return np.flatnonzero(reach >= LEAST_REACH)
