"""The displacement field of a procedure: joint interpolation of all its handles on the surface, still at the edge.

Letters: h_j handle j, D_j the displacement it is asked to make (mm); a_k anchor k of the ring that lies in the still
part a little behind its edge; c = h and a together; d(v, c) distance along the surface (mm); phi kernel with support R;
w window.

    phi    one of deform3d.kernels, blunt at its top, 0 from d = R on
    g      = phi(d(v, c)) phi(d(c, c))^-1                        1 at its own handle, 0 at all others and on the ring
    w(v)   = 1 - (1 - S(e/ramp)) (1 - S(e/(e + m)))              e(v) distance to the still part: exactly 0 there;
                                                                 m(v) distance to the nearest moved handle: 1 there
    q      w g with both lips of a closed mouth as one (deform3d.seal); what that takes from handles is given back:
             Q = q (P q)^-1 P w g
    b      hills about the moved handles, a few triangles wide; P barycentric weights of these handles
    s      how much of what a handle misses at the worst ends of its steps' clamps is above LANDS_MM, as a share
    f      = Q + b (P b)^-1 s (1 - P Q),  so that P f = 1 on the mesh, to LANDS_MM of motion; giving way in folds
             that a step at an end of its clamp would turn over (deform3d.unfold)
    u(v)   = sum_j f_j(v) D_j

Nothing is measured, and nothing moves, further from every moved handle than R, the ring's setback and a triangle; the
other lip, where lips touch, counts as near.
The ring makes the interpolant itself die out towards the edge, so that the window has little to cut off. It lies behind
the edge, not on it: anchors close to a handle make the interpolant swing over beyond the handle, and the edge, drawn by
the regions' weights, is a triangle further on one side of a face than on the other.
A mesh interpolates between its corners, so that w g falls short of 1 by the bend of the handle's triangle. Kernels are
blunt for it to be little (TOP_MM); hills make up for the rest there and change nothing further off. So every handle
that any step moves lands within LANDS_MM of where it is asked to, on every mesh; mere anchors are held by g, on the
mesh to within the bend of a triangle. What is left is not made up for, because hills are a matter of the mesh: its
corners would go further than those of finer triangles.
f is computed once per mesh and procedure; a plan costs one product.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_array

from core.anatomy import Anatomy
from core.errors import PrevisageError
from core.mesh import Mesh
from core.procedure import Procedure
from core.records import freeze, record
from core.sides import Side, side_of
from core.surface import SurfacePoints
from deform3d.geodesic import edge_line, smoothstep, spaced
from deform3d.ground import LARGEST_MM, Ground, from_nearest, ground_near, regions_on
from deform3d.handles import Context, handle_points
from deform3d.kernels import KERNELS, blunt, wendland
from deform3d.lining import with_lining
from deform3d.seal import as_one, seal_of
from deform3d.unfold import unfolded

LEAST_REACH = 0.2
"""A moved handle that the window and its triangle let go less than this part would tear at its neighbours."""
WORST_CONDITION = 1e6
"""Above this the cardinal fields swing by far more than the handles move; real heads give 10 to 1000."""
BUMP_SIZES, FLAT_SIZES = 2.5, 0.7
"""A hill reaches, and its top is flat, so many times as far as the corners of the handle's triangle on the mean, by
their weights."""
TOP_MM, TOP_SHARE = 3.0, 0.3
"""A kernel is blunt so far about its centre, or to this share of the way to the nearest other one: as wide as the
larger triangles, so that their corners go with a handle and need no hill; wider, near handles would swing."""
OPPOSITE = 0.1
"""Two handles that lie on each other, one on either lip, cannot both have their way: below this part of what the others
have, none of it is given back by the field, and hills must do."""
LINE_STEPS = 6
"""A line is taken as points, so many to the width of the window's rise."""
LANDS_MM = 0.05
"""So near to plan every handle lands when a step is at the end of its clamp; within twice that whatever steps are taken
together. To make up for this much, too, would raise the corners of its triangle by what finer triangles do not need."""
LEAST_BUMP_MM = 0.4
"""A hill about a handle that lies at a corner of its triangle."""


@dataclass(frozen=True, kw_only=True)
class FieldOptions:
    """How a handle's pull spreads.

    support_per_falloff: kernel support R over the procedure's falloff; at 1.5 the pull at the falloff is 4.5 %.
    ramp_per_falloff: width of the window's rise from the still part, over the falloff.
    setback_per_falloff, ring_per_falloff: how far behind the edge of the still part its anchors lie, and their spacing,
    both over the falloff.
    still_weight: a vertex is still when a still region's weight reaches this, or the moving regions' stays below it.
    """

    support_per_falloff: float = 1.5
    ramp_per_falloff: float = 0.6
    setback_per_falloff: float = 0.3
    ring_per_falloff: float = 0.5
    still_weight: float = 0.05

    def support(self, procedure: Procedure) -> float:
        """R of a procedure (mm)."""
        return self.support_per_falloff * procedure.falloff_mm


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
    text = repr((options, locked)).encode() + procedure.model_dump_json().encode()
    digest = hashlib.sha256(text + head_digest(mesh, anatomy)).hexdigest()
    return solve(Problem(digest, mesh, anatomy, procedure, options, locked))


@lru_cache(maxsize=4)
def head_digest(mesh: Mesh, anatomy: Anatomy) -> bytes:
    """Of everything in a head that a field depends on."""
    arrays = (mesh.vertices_mm, mesh.faces, anatomy.pin_points.face, anatomy.pin_points.bary, anatomy.region_weights)
    names = repr((anatomy.pin_names, anatomy.region_names)).encode()
    digest = hashlib.sha256(names)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


@lru_cache(maxsize=8)
def solve(problem: Problem) -> Field:
    """Solve the joint system of all handles."""
    mesh, procedure = problem.mesh, problem.procedure
    pins, points = handle_points(mesh, problem.anatomy, procedure)
    moved = np.isin(pins, [p for p in procedure.moved_pins() if problem.locked is None or side_of(p) not in (
        None, problem.locked)])
    found = interpolant(problem, points, moved)
    missed = np.eye(int(moved.sum())) - found.at(points[moved], mesh.faces, found.smooth)
    check_reach(procedure, np.array(pins)[moved], 1 - np.diag(missed))
    context = Context(mesh, problem.anatomy, procedure, points)
    asked = [[context.asked_mm(step, value) for value in step.clamp if value] for step in procedure.steps]
    near = bumps(mesh, points[moved], found.away_mm)
    made_up = made_up_share([[wish[moved] for wish in step] for step in asked], missed)[:, None] * missed
    smooth = found.smooth + near @ np.linalg.solve(found.at(points[moved], mesh.faces, near), made_up)
    cardinal = np.zeros((len(mesh.vertices_mm), len(pins)))
    cardinal[np.ix_(found.rows, np.flatnonzero(moved))] = smooth
    cardinal = with_lining(mesh, problem.anatomy, procedure, cardinal, context.position[moved],
                           problem.options.support(procedure), found.immobile)
    return Field(pins=pins, points=points, cardinal=unfolded(mesh, cardinal, ~cardinal.any(1), sum(asked, []), points))


@dataclass(frozen=True, kw_only=True)
class Interpolant:
    """w g of the M moved handles at those C vertices of the head (`rows`) that they reach, and how far these are from
    every moved handle (mm; inf beyond its support). column (V,): where a vertex stands among the rows, -1 for none.
    immobile (V,): what no part of the field may move."""

    rows: Int[np.ndarray, "c"]
    column: Int[np.ndarray, "v"]
    smooth: Float[np.ndarray, "c m"]
    away_mm: Float[np.ndarray, "m c"]
    immobile: Bool[np.ndarray, "v"]

    def at(self, points: SurfacePoints, faces: Int[np.ndarray, "f 3"], values: Float[np.ndarray, "c m"]) -> Float[
            np.ndarray, "n m"]:
        """Values known at the rows, and 0 elsewhere, at points of the head."""
        corner = self.column[faces[points.face]]
        return np.einsum("nk,nkm->nm", points.bary, np.where((corner >= 0)[..., None], values[corner], 0))


def interpolant(problem: Problem, handles: SurfacePoints, moved: Bool[np.ndarray, "h"]) -> Interpolant:
    """w g of the moved handles, measured on the head's ground: of that, on the part where paths that count can run.
    They end within `reach` of a moved handle and are no longer than the support."""
    procedure, options, mesh = problem.procedure, problem.options, problem.mesh
    support, falloff = options.support(procedure), procedure.falloff_mm
    ramp, setback = options.ramp_per_falloff * falloff, options.setback_per_falloff * falloff
    places, reach, pulled = mesh.points(handles), support + setback + LARGEST_MM, handles[moved]
    ground = ground_near(mesh, places[moved], reach + support)
    surface, scores = ground.surface, still_scores(problem, ground)
    still, immobile = (scores >= 0).any(0), (still_scores(problem)[1:] >= 0).any(0)
    far = from_nearest(surface.vertices_mm, places[moved]) - reach
    edge = surface.from_line(edge_line(surface, scores, ramp / LINE_STEPS, far),
                             np.where(still, setback + surface.longest_mm, ramp))
    behind = np.minimum(edge, setback + LARGEST_MM) * np.where(still, 1, -1) - setback
    ring = spaced(surface.vertices_mm, surface.faces, behind, options.ring_per_falloff * falloff, far)
    ring = ring[np.flatnonzero(from_nearest(ring.on(surface.vertices_mm, surface.faces), places[moved]) <= support)]
    near = np.asarray(from_nearest(places, places[moved])) <= support
    points, moved = ground.points(handles[near]), moved[near]
    free = points.on((~still)[:, None].astype(float), surface.faces)[:, 0] > 0  # what is still holds anyway
    points, moved = points[moved | free], moved[moved | free]
    centres = SurfacePoints(face=np.concatenate([points.face, ring.face]),
                            bary=np.concatenate([points.bary, ring.bary]))
    rows = np.flatnonzero((ground.own >= 0) & ((far <= 0) & ~still)[ground.own])
    of = ground.own[rows]
    away = surface.from_points(centres, np.where(still & np.isinf(edge), -1, support),
                               np.concatenate([of, surface.faces[centres.face].ravel()]))
    kernel = KERNELS[procedure.kernel]
    corners = np.arange(len(of), away.shape[1]).reshape(-1, 3)
    apart = surface.at(away, corners, centres)
    nearest_mm = np.min(apart, axis=1, where=~np.eye(len(apart), dtype=bool), initial=np.inf)
    top = np.minimum(TOP_MM, TOP_SHARE * nearest_mm) / support
    at_centres = kernel(blunt(apart / support, top[:, None])).T
    condition = np.linalg.cond(at_centres)
    if not condition < WORST_CONDITION:
        raise PrevisageError("handles_coincide", f"Handles of {procedure.name} fall on the same spot of this head "
                             f"(condition {condition:.1e}).", "Move or remove a handle in the procedure's file.")
    weights = np.linalg.inv(at_centres)[:, :len(moved)][:, moved]
    away = np.ascontiguousarray(away[:, :len(of)])
    of_moved = away[np.flatnonzero(moved)]
    w = window(edge[of], of_moved.min(0), ramp)
    reached = np.flatnonzero(away < support)
    pull = kernel(blunt(away.ravel()[reached] / support, top[reached // len(of)]))
    pulls = csr_array((pull, reached % len(of),
                       np.searchsorted(reached, len(of) * np.arange(len(away) + 1))), shape=away.shape)
    column = np.full(len(ground.own), -1)
    column[rows] = np.arange(len(rows))
    found = Interpolant(rows=rows, column=column, away_mm=of_moved, smooth=w[:, None] * (pulls.T @ weights),
                        immobile=immobile)
    return sealed(problem, found, w, pulled)


def sealed(problem: Problem, found: Interpolant, w: Float[np.ndarray, "c"], handles: SurfacePoints) -> Interpolant:
    """The same with lips that touch going as one, where any of them moves. What this takes from a handle at the lips,
    all moved handles' fields together give back."""
    mesh, anatomy = problem.mesh, problem.anatomy
    if not anatomy.has("lips") or not found.smooth[anatomy.region("lips")[found.rows] > 0].any():
        return found
    seal = seal_of(mesh, anatomy)
    smooth = as_one(seal, found.smooth, found.at(seal.across, mesh.faces, found.smooth), w, found.column)
    asked, left = (found.at(handles, mesh.faces, values) for values in (found.smooth, smooth))
    return replace(found, smooth=smooth @ (np.linalg.pinv(left, OPPOSITE) @ asked))


def bumps(mesh: Mesh, points: SurfacePoints, away_mm: Float[np.ndarray, "m c"]) -> Float[np.ndarray, "c m"]:
    """A small hill about each handle, as wide as its triangle needs: on an edge the same from both sides. Its top is
    flat, so that the corner which is nearest goes no further than it must."""
    corners = mesh.vertices_mm[mesh.faces[points.face]]
    size = (points.bary * np.linalg.norm(corners - mesh.points(points)[:, None], axis=2)).sum(1)
    width = BUMP_SIZES * size + LEAST_BUMP_MM
    handle, vertex = np.nonzero(away_mm < width[:, None])
    out = np.zeros(away_mm.T.shape)
    out[vertex, handle] = wendland(np.maximum(away_mm[handle, vertex], FLAT_SIZES * size[handle]) / width[handle])
    return out


def made_up_share(asked_mm: Sequence[Sequence[Float[np.ndarray, "m 3"]]], missed: Float[np.ndarray, "m m"]) -> Float[
        np.ndarray, "m"]:
    """The part of what each handle misses that hills make up for; asked_mm: of every step, at the ends of its clamp."""
    none = np.zeros(len(missed))
    worst = [np.max([none, *(np.linalg.norm(missed @ wish, axis=1) for wish in step)], axis=0) for step in asked_mm]
    return 1 - LANDS_MM / np.max([none + LANDS_MM, *worst, np.sum([none, *worst], axis=0) / 2], axis=0)


def still_scores(problem: Problem, ground: Ground | None = None) -> Float[np.ndarray, "s w"]:
    """A vertex of the ground, or of the head, must be still where any of these is positive or zero: for lack of moving
    regions, by weight of an immobile one, or on a locked side. Each is linear on the head's triangles, so that finer
    ones have the same edge."""
    mesh, anatomy, procedure = problem.mesh, problem.anatomy, problem.procedure
    missing = sorted(r for r in {*procedure.regions, *procedure.immobile, *procedure.follows} if not anatomy.has(r))
    if missing:
        raise PrevisageError("missing_region", f"This head has no region {', '.join(missing)}, which the procedure "
                             f"{procedure.name} needs.", f"It has: {', '.join(anatomy.region_names)}.")
    names, place = (*procedure.regions, *procedure.immobile), mesh if ground is None else ground
    weights = regions_on(ground, anatomy, names) if ground is not None else np.array(
        [anatomy.region(r) for r in names], float)
    x_mm = place.vertices_mm[:, 0]
    count, still = len(procedure.regions), problem.options.still_weight
    side = {None: [], "left": [x_mm], "right": [-x_mm]}[problem.locked]
    return np.array([still - weights[:count].sum(0), *(weights[count:] - still), *side])


def still_part(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, options: FieldOptions,
               locked: Side | None) -> Bool[np.ndarray, "v"]:
    """The vertices that no field of a procedure moves."""
    scores = still_scores(Problem("", mesh, anatomy, procedure, options, locked))
    follows = np.max([np.zeros(scores.shape[1]), *(anatomy.region(r) for r in procedure.follows)], axis=0) > 0
    return np.asarray((scores[1:] >= 0).any(0) | ((scores[0] >= 0) & ~follows))


def window(edge_mm: Float[np.ndarray, "w"], moved_mm: Float[np.ndarray, "w"], ramp_mm: float) -> Float[np.ndarray, "w"]:
    """w from the distances e to the still part and m to the nearest moved handle."""
    near = np.isfinite(edge_mm)
    share = np.where(near, edge_mm / np.where(near, np.maximum(edge_mm + moved_mm, 1e-9), 1), 1)
    return 1 - (1 - smoothstep(edge_mm / ramp_mm)) * (1 - smoothstep(share))


def check_reach(procedure: Procedure, pins: np.ndarray, reach: Float[np.ndarray, "m"]) -> None:
    """PrevisageError when a moved handle can hardly move because its triangle must be still."""
    stuck = [str(pin) for pin in pins[reach < LEAST_REACH]]
    if stuck:
        raise PrevisageError(
            "handle_in_still_part", f"{procedure.name} moves {', '.join(stuck)}, which on this head lies in or at the "
            "edge of a part that the procedure keeps still.", "Change `regions`, `immobile` or the handle.")
