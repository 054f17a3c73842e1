"""The displacement field of a procedure: joint interpolation of all its handles on the surface, still at the edge.

Letters: h_j handle j, D_j the displacement it is asked to make (mm); a_k anchor k of the ring that lies in the still
part a little behind its edge; c = h and a together; d(v, c) distance along the surface (mm); phi kernel with support R;
w window.

    phi    one of deform3d.kernels, 0 from d = R on
    g      = phi(d(v, c)) phi(d(c, c))^-1                        1 at its own handle, 0 at all others and on the ring
    w(v)   = 1 - (1 - S(e/ramp)) (1 - S(e/(e + m)))              e(v) distance to the still part: exactly 0 there;
                                                                 m(v) distance to the nearest moved handle: 1 there
    f      = w g (P w g)^-1,  P barycentric weights of the moved handles: P f = 1 on the mesh, whatever its triangles
    u(v)   = sum_j f_j(v) D_j

The ring makes the interpolant itself die out towards the edge, so that the window has little to cut off. It lies behind
the edge, not on it: anchors close to a handle make the interpolant swing over beyond the handle, and the edge, drawn by
the regions' weights, is a triangle further on one side of a face than on the other.
Because the last step is built from what the mesh really interpolates, every handle that any step moves lands where it
is asked to, up to rounding; mere anchors are held by g, on the mesh to within the bend of a triangle. f is computed
once per mesh and procedure; a plan costs one product.
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
from core.sides import Side, side_of
from core.surface import SurfacePoints
from deform3d.geodesic import Heat, Patch, distances_mm, patch_around, smoothstep
from deform3d.handles import handle_points
from deform3d.kernels import KERNELS

LEAST_REACH = 0.2
"""A moved handle that the window and its triangle let go less than this part would tear at its neighbours."""
WORST_CONDITION = 1e6
"""Above this the cardinal fields swing by far more than the handles move; real heads give 10 to 1000."""


@dataclass(frozen=True, kw_only=True)
class FieldOptions:
    """How a handle's pull spreads.

    support_per_falloff: kernel support R over the procedure's falloff; at 1.5 the pull at the falloff is 4.5 %.
    ramp_per_falloff: width of the window's rise from the still part, over the falloff.
    setback_per_falloff, ring_per_falloff: how far behind the edge of the still part its anchors lie, and their spacing,
    both over the falloff.
    still_weight: a vertex is still when a still region's weight reaches this, or the moving regions' stays below it.
    edge_per_falloff: surface distances are solved on a copy refined to this mean edge length over the falloff.
    """

    support_per_falloff: float = 1.5
    ramp_per_falloff: float = 0.6
    setback_per_falloff: float = 0.3
    ring_per_falloff: float = 0.4
    still_weight: float = 0.05
    edge_per_falloff: float = 0.12


DEFAULT = FieldOptions()


@record
class Field:
    """Cardinal fields f (V, H) of the handles `pins`, zero for mere anchors; `points` are their places on the mesh."""

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
    locked: Side | None = field(compare=False)


def field_of(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, options: FieldOptions = DEFAULT,
             locked: Side | None = None) -> Field:
    """The field of a procedure on a head; kept for the last few heads and procedures.

    locked: a side of the head that does not move at all; only handles of the other side move then.
    PrevisageError when the anatomy lacks a pin or region, or a moving handle lies in a part that must be still.
    """
    text = repr((anatomy.pin_names, anatomy.region_names, procedure, options, locked)).encode()
    arrays = (mesh.vertices_mm, mesh.faces, anatomy.pin_points.face, anatomy.pin_points.bary, anatomy.region_weights)
    digest = hashlib.sha256(b"".join([text, *(a.tobytes() for a in arrays)])).hexdigest()
    return solve(Problem(digest, mesh, anatomy, procedure, options, locked))


@lru_cache(maxsize=8)
def solve(problem: Problem) -> Field:
    """Solve the joint system of all handles."""
    mesh, procedure = problem.mesh, problem.procedure
    pins, points = handle_points(mesh, problem.anatomy, procedure)
    moved = np.isin(pins, [p for p in procedure.moved_pins() if problem.locked is None or side_of(p) not in (
        None, problem.locked)])
    patch, w, g = interpolant(problem, points, moved)
    smooth = np.zeros((len(mesh.vertices_mm), int(moved.sum())))
    smooth[patch.kept] = (w[:, None] * g)[:len(patch.kept)]
    reach = points[moved].on(smooth, mesh.faces)
    check_reach(procedure, np.array(pins)[moved], np.diag(reach))
    cardinal = np.zeros((len(mesh.vertices_mm), len(pins)))
    cardinal[:, moved] = smooth @ np.linalg.inv(reach)
    return Field(pins=pins, points=points, cardinal=cardinal)


def interpolant(problem: Problem, points: SurfacePoints, moved: Bool[np.ndarray, "h"]) -> tuple[
        Patch, Float[np.ndarray, "w"], Float[np.ndarray, "w m"]]:
    """The refined patch, its window w, and g of the moved handles there."""
    procedure, options = problem.procedure, problem.options
    support, falloff = options.support_per_falloff * procedure.falloff_mm, procedure.falloff_mm
    score = still_score(problem.anatomy, procedure, options.still_weight)
    if problem.locked is not None:
        score = np.maximum(score, problem.mesh.vertices_mm[:, 0] * (1.0 if problem.locked == "left" else -1.0))
    patch = patch_around(problem.mesh, points, support, options.edge_per_falloff * falloff)
    still = still_on(patch, score)
    heat = Heat(patch)
    ring = edge_ring(patch, behind(patch, still, options.setback_per_falloff * falloff, heat),
                     options.ring_per_falloff * falloff)
    away, apart = distances_mm(patch, [*ring[:, None], np.flatnonzero(still)], heat)
    w = window(apart[-1], away[moved].min(0), options.ramp_per_falloff * falloff)
    centres = moved | (patch.points.on(w[:, None], patch.faces)[:, 0] > 0)  # anchors in the still part hold anyway
    kernels = KERNELS[procedure.kernel](np.concatenate([away[centres], apart[:-1]]) / support).T
    at_centres = np.concatenate([patch.points[centres].on(kernels, patch.faces), kernels[ring]])
    condition = np.linalg.cond(at_centres)
    if not condition < WORST_CONDITION:
        raise PrevisageError("handles_coincide", f"Handles of {procedure.name} fall on the same spot of this head "
                             f"(condition {condition:.1e}).", "Move or remove a handle in the procedure's file.")
    return patch, w, kernels @ np.linalg.inv(at_centres)[:, np.flatnonzero(moved[centres])]


def still_score(anatomy: Anatomy, procedure: Procedure, still_weight: float) -> Float[np.ndarray, "v"]:
    """Positive or zero where a vertex must be still: by weight of the immobile regions, or lack of the moving ones."""
    missing = sorted(r for r in {*procedure.regions, *procedure.immobile} if not anatomy.has(r))
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


def behind(patch: Patch, still: Bool[np.ndarray, "w"], setback_mm: float, heat: Heat) -> Bool[np.ndarray, "w"]:
    """The part of the still vertices that lies `setback_mm` or more from all that may move."""
    if still.all() or not still.any():
        return still
    _, (moving_mm,) = distances_mm(patch, [np.flatnonzero(~still)], heat, points=False)
    return still & (moving_mm >= setback_mm)


def edge_ring(patch: Patch, still: Bool[np.ndarray, "w"], spacing_mm: float) -> Int[np.ndarray, "r"]:
    """Refined vertices along the edge of a part, at least `spacing_mm` apart, from the mid-plane outwards."""
    mixed = still[patch.faces].any(1) & ~still[patch.faces].all(1)
    edge = np.unique(patch.faces[mixed])
    edge = edge[still[edge]]
    position = patch.vertices_mm[edge]
    ring: list[int] = []
    for row in np.lexsort((position[:, 1], np.abs(position[:, 0]).round(6))):
        if not ring or np.linalg.norm(position[ring] - position[row], axis=1).min() >= spacing_mm:
            ring.append(row)
    return edge[ring]


def window(edge_mm: Float[np.ndarray, "w"], moved_mm: Float[np.ndarray, "w"], ramp_mm: float) -> Float[np.ndarray, "w"]:
    """w from the distances e to the still part and m to the nearest moved handle."""
    inside, nowhere = edge_mm <= 0, np.isinf(edge_mm)  # nowhere: no still part on this piece of the mesh
    finite = np.where(inside | nowhere, 1, edge_mm)
    share = np.where(inside, 0, np.where(nowhere, 1, finite / (finite + moved_mm)))
    return 1 - (1 - smoothstep(edge_mm / ramp_mm)) * (1 - smoothstep(share))


def check_reach(procedure: Procedure, pins: np.ndarray, reach: Float[np.ndarray, "m"]) -> None:
    """PrevisageError when a moved handle can hardly move because its triangle must be still."""
    stuck = [str(pin) for pin in pins[reach < LEAST_REACH]]
    if stuck:
        raise PrevisageError(
            "handle_in_still_part", f"{procedure.name} moves {', '.join(stuck)}, which on this head lies in or at the "
            "edge of a part that the procedure keeps still.", "Change `regions`, `immobile` or the handle.")
