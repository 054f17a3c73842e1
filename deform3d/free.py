"""Free hand: any place on the skin moved by hand, fading out along the surface."""

import hashlib

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.errors import UsageError
from core.mesh import Mesh
from core.plan import FreeMove
from core.sides import Side
from core.surface import SurfacePoints
from deform3d.geodesic import edge_line, smoothstep
from deform3d.ground import ground_of
from deform3d.kernels import wendland
from deform3d.nearest import nearest

RIGID = ("eye_l", "eye_r", "mouth_interior")
"""What no hand may move."""
RAMP_MM = 3.0
"""The move fades over this distance before a rigid part."""
OFF_SKIN_MM = 30.0
"""A position further from the skin than this was meant for another head."""


def topology(mesh: Mesh) -> str:
    """The name of a mesh's triangles: plans that point at a triangle hold for one topology."""
    return hashlib.sha256(np.ascontiguousarray(mesh.faces).tobytes()).hexdigest()[:16]


def place(mesh: Mesh, anatomy: Anatomy, move: FreeMove) -> SurfacePoints:
    """Where a free move takes hold. UsageError for an unknown landmark, a position off the skin, a missing triangle."""
    if move.at is not None:
        if move.at not in anatomy.pin_names:
            raise UsageError("missing_pin", f"This head has no landmark {move.at!r}.",
                             f"It has: {', '.join(anatomy.pin_names)}.")
        return anatomy.pin(move.at)
    if move.face is not None and move.bary is not None:
        if move.face >= len(mesh.faces) or min(move.bary) < 0 or abs(sum(move.bary) - 1) > 1e-3:
            raise UsageError("no_such_place", f"{move.label}: this head has no such place on a triangle.",
                             "Pick the place again on this head.")
        return SurfacePoints(face=np.array([move.face]), bary=np.array([move.bary]) / sum(move.bary))
    found = nearest(mesh, np.array(move.at_mm, float))
    gap = float(np.linalg.norm(mesh.points(found)[0] - np.array(move.at_mm)))
    if gap > OFF_SKIN_MM:
        raise UsageError("off_the_skin", f"{move.label}: the place lies {gap:.0f} mm from the skin.",
                         "Give a place on the head, in millimetres of the head frame.")
    return found


def free_field(mesh: Mesh, anatomy: Anatomy, move: FreeMove, locked: Side | None = None) -> tuple[
        SurfacePoints, Float[np.ndarray, "v"]]:
    """Where a free move takes hold, and the share of it that every vertex makes: 1 there, 0 from its radius on.

    locked: a side of the head that does not move at all.
    UsageError when the place lies in a part that no hand may move.
    """
    point = place(mesh, anatomy, move)
    rigid = rigidity(mesh, anatomy, locked)
    ground = ground_of(mesh)
    above, surface = ground.values(rigid[:, None])[:, 0], ground.surface
    away = surface.from_line(edge_line(surface, above[None], RAMP_MM / 4), np.full(len(above), RAMP_MM))[ground.own]
    away = np.where(rigid >= 0, 0, away)
    far = surface.from_points(ground.points(point), np.full(len(above), move.radius_mm), ground.own)[0]
    share = smoothstep(away / RAMP_MM) * wendland(far / move.radius_mm)
    there = float(point.on(share[:, None], mesh.faces)[0, 0])
    if there < 0.2:
        raise UsageError("rigid_part", f"{move.label}: eyes, teeth, the inside of the mouth and a locked side are not "
                         "moved.", "Pick a place on the skin that may move.")
    return point, share / there


def rigidity(mesh: Mesh, anatomy: Anatomy, locked: Side | None) -> Float[np.ndarray, "v"]:
    """What no hand moves: where this is positive or zero. Linear on the triangles."""
    regions = [anatomy.region(r) for r in RIGID if r in anatomy.region_names]
    rigid = np.max([np.zeros(len(mesh.vertices_mm)), *regions], axis=0) - 0.05
    return rigid if locked is None else np.maximum(rigid, mesh.vertices_mm[:, 0] * (1.0 if locked == "left" else -1.0))
