"""Handles: where a procedure's pins lie on a head, and how far each step asks them to move.

A rotation turns a handle at position p about the line through the pivot q along the unit axis k, by the angle
a = value * share * response (Rodrigues): with r = p - q its displacement is
(cos a - 1) (r - k (k . r)) + sin a (k x r). It follows the arc exactly and is zero at a = 0.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from core.anatomy import Anatomy
from core.errors import PrevisageError
from core.evidence import Band
from core.mesh import Mesh
from core.procedure import Axis, Furthest, Handle, Point, Procedure, Step
from core.sides import Side, side_of
from core.surface import SurfacePoints
from deform3d.nearest import nearest

WELL_INSIDE = 0.5
"""A procedure's own point lies on triangles whose corners all have at least this weight in a moving region."""
MIDLINE_STRETCH = 20.0
"""How much more a millimetre aside counts for a point on the midline: in a hollow the nearest skin lies beside it."""
NORMAL_MM = 5.0
"""The skin's normal at a handle is the mean of its surroundings, fading out at this distance: pores have none."""

Weights = Mapping[str, float]


def handle_points(mesh: Mesh, anatomy: Anatomy, procedure: Procedure) -> tuple[tuple[str, ...], SurfacePoints]:
    """Names and surface points of all handles of a procedure, in the order of `procedure.pins()`.

    PrevisageError `missing_pin` when the anatomy does not know a pin.
    """
    pins = procedure.pins()
    found = [point_of(mesh, anatomy, procedure, pin) for pin in pins]
    return pins, SurfacePoints(face=np.concatenate([p.face for p in found]),
                               bary=np.concatenate([p.bary for p in found]))


def point_of(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, pin: str) -> SurfacePoints:
    """One handle: a point of the procedure, or a landmark of the anatomy."""
    extra = procedure.points.get(pin)
    if extra is None:
        return landmark(anatomy, pin, procedure.name)
    if extra.furthest is not None:
        return furthest(mesh, anatomy, procedure, extra.furthest)
    return skin_near(mesh, anatomy, procedure, pin, extra)


def landmark(anatomy: Anatomy, pin: str, procedure: str) -> SurfacePoints:
    """A landmark pin; PrevisageError when this head has none of that name."""
    if pin not in anatomy.pin_names:
        raise PrevisageError("missing_pin", f"This head has no landmark {pin!r}, which {procedure} needs.",
                             f"It has: {', '.join(anatomy.pin_names)}.")
    return anatomy.pin(pin)


def furthest(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, place: Furthest) -> SurfacePoints:
    """The vertex of a region that lies furthest in a direction."""
    if not anatomy.has(place.region):
        raise missing_region(anatomy, place.region, procedure)
    inside = np.flatnonzero(anatomy.region(place.region) >= WELL_INSIDE)
    if not len(inside):
        raise missing_region(anatomy, place.region, procedure)
    vertex = inside[np.argmax(mesh.vertices_mm[inside] @ np.array(place.direction))]
    face, corner = (int(i[0]) for i in np.nonzero(mesh.faces == vertex))
    return SurfacePoints(face=np.array([face]), bary=np.eye(3)[[corner]])


def skin_near(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, name: str, point: Point) -> SurfacePoints:
    """The nearest place well inside the moving regions to a mean of pins plus an offset; a point without a side stays
    in its sagittal plane.
    """
    target = mean_mm(mesh, anatomy, procedure, point.of or {}) + point.offset_mm
    moving = np.max([anatomy.region(r) for r in procedure.regions if anatomy.has(r)], axis=0, initial=0)
    stretch = np.array([1.0 if side_of(name) else MIDLINE_STRETCH, 1.0, 1.0])
    rows, parts = above(mesh.faces, moving.astype(float), WELL_INSIDE)
    if not len(rows):
        raise missing_region(anatomy, " or ".join(procedure.regions), procedure)
    corners = np.einsum("gij,gjc->gic", parts, mesh.vertices_mm[mesh.faces[rows]])
    cut = Mesh(vertices_mm=stretch * corners.reshape(-1, 3), faces=np.arange(3 * len(rows)).reshape(-1, 3),
               uv=np.zeros((1, 2)), faces_uv=np.zeros((len(rows), 3), np.int32))
    found = nearest(cut, stretch * target)
    return SurfacePoints(face=rows[found.face], bary=found.bary @ parts[found.face[0]])


def above(faces: Int[np.ndarray, "f 3"], weight: Float[np.ndarray, "v"], level: float) -> tuple[
        Int[np.ndarray, "g"], Float[np.ndarray, "g 3 3"]]:
    """The part of the triangles where a weight reaches a level: triangle numbers, and the corners of each piece as
    barycentric coordinates. The weight is linear on a triangle, so finer triangles have the same part.
    """
    over = weight[faces] - level
    rows, parts = [np.flatnonzero((over >= 0).all(1))], []
    parts.append(np.broadcast_to(np.eye(3), (len(rows[0]), 3, 3)))
    for k in range(3):
        a, b, c = np.roll(np.arange(3), -k)
        lone = np.flatnonzero((over[:, a] >= 0) & (over[:, b] < 0) & (over[:, c] < 0))
        pair = np.flatnonzero((over[:, a] < 0) & (over[:, b] >= 0) & (over[:, c] >= 0))
        one = np.eye(3)
        for mixed in (lone, pair):
            ab, ac = (one[a] + (over[mixed, a] / (over[mixed, a] - over[mixed, q]))[:, None] * (one[q] - one[a])
                      for q in (b, c))
            corner = [np.broadcast_to(one[q], (len(mixed), 3)) for q in (a, b, c)]
            if mixed is lone:
                rows, parts = [*rows, mixed], [*parts, np.stack([corner[0], ab, ac], 1)]
            else:
                rows = [*rows, mixed, mixed]
                parts += [np.stack([ab, corner[1], corner[2]], 1), np.stack([ab, corner[2], ac], 1)]
    return np.concatenate(rows), np.concatenate(parts)


def missing_region(anatomy: Anatomy, region: str, procedure: Procedure) -> PrevisageError:
    """This head has no such part."""
    return PrevisageError("missing_region", f"This head has no skin in {region}, which the procedure {procedure.name} "
                          "needs.", f"It has: {', '.join(anatomy.region_names)}.")


def mean_mm(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, of: Weights) -> Float[np.ndarray, "3"]:
    """The weighted mean position (mm) of some landmarks or points of the procedure."""
    found = [mesh.points(landmark(anatomy, pin, procedure.name) if pin not in procedure.points
                         else point_of(mesh, anatomy, procedure, pin))[0] for pin in of]
    return np.array(list(of.values())) @ np.array(found)


def asked_mm(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, step: Step, value: float, points: SurfacePoints,
             side: Side | None = None, band: Band = "mean") -> Float[np.ndarray, "h 3"]:
    """The displacement (mm) that a step asks of every handle of `procedure.pins()`; zero for those it does not move.

    Couplings are included. side: only the handles of that side.
    """
    context = Context(mesh, anatomy, procedure, points)
    out = context.moved(step.handles, value, band, step)
    for coupling in step.couplings:
        out += context.moved(coupling.handles, value * coupling.amount.at(band), band, None)
    if side is not None:
        out[[side_of(pin) != side for pin in procedure.pins()]] = 0
    return out


class Context:
    """A head and a procedure's handles on it."""

    def __init__(self, mesh: Mesh, anatomy: Anatomy, procedure: Procedure, points: SurfacePoints) -> None:
        """points: of `procedure.pins()`."""
        self.mesh, self.anatomy, self.procedure = mesh, anatomy, procedure
        self.pins, self.points, self.position = procedure.pins(), points, mesh.points(points)

    def moved(self, handles: Sequence[Handle], value: float, band: Band, step: Step | None) -> Float[np.ndarray, "h 3"]:
        """What some handles of a step or coupling do at a value."""
        out = np.zeros((len(self.pins), 3))
        for handle in handles:
            if handle.follow is None:
                response = handle.response or (step.response if step else None)
                shown = value * (response.at(band) if response else 1)
                out[self.pins.index(handle.pin)] = self.motion_mm(handle, shown)
        for handle in handles:
            if handle.follow is not None:
                out[self.pins.index(handle.pin)] = handle.share * out[self.pins.index(handle.follow)]
        return out

    def motion_mm(self, handle: Handle, value: float) -> Float[np.ndarray, "3"]:
        """How far one handle that follows no other goes at a value (mm, degrees or percent)."""
        row = self.pins.index(handle.pin)
        position = self.position[row]
        match handle.motion:
            case "move":
                return value * np.array(handle.move)
            case "medial":
                return np.array([-np.sign(position[0]) * (handle.medial or 0.0) * value, 0.0, 0.0])
            case "outward":
                return value * (handle.outward or 0.0) * normal_at(self.mesh, position, self.points[[row]])
            case "centre":
                return np.array([-position[0] * (handle.centre or 0.0) * value / 100, 0.0, 0.0])
        arm = position - mean_mm(self.mesh, self.anatomy, self.procedure, handle.rotate_about or {})
        return turned_mm(arm, self.axis(handle), np.deg2rad(value * handle.share))

    def axis(self, handle: Handle) -> Float[np.ndarray, "3"]:
        """The unit axis of a rotation."""
        if isinstance(handle.axis, Axis):
            start, end = (mean_mm(self.mesh, self.anatomy, self.procedure, m)
                          for m in (handle.axis.start, handle.axis.end))
            along = end - start
        else:
            along = np.array(handle.axis)
        return along / np.linalg.norm(along)


def turned_mm(arm: Float[np.ndarray, "3"], axis: Float[np.ndarray, "3"], angle_rad: float) -> Float[np.ndarray, "3"]:
    """The displacement of the end of an arm that turns by the right hand about a unit axis."""
    across = arm - axis * (axis @ arm)
    return (np.cos(angle_rad) - 1) * across + np.sin(angle_rad) * np.cross(axis, arm)


def normal_at(mesh: Mesh, position: Float[np.ndarray, "3"], point: SurfacePoints) -> Float[np.ndarray, "3"]:
    """The outward unit normal of the skin about a place: its triangles within `NORMAL_MM` that face the same way."""
    normals = mesh.face_normals()
    gap = np.linalg.norm(mesh.vertices_mm[mesh.faces].mean(1) - position, axis=1)
    own = normals[point.face[0]]
    weight = np.clip(1 - (gap / NORMAL_MM)**2, 0, None)**2 * (normals @ own > 0)
    weight[point.face[0]] += 1e-9
    mean = weight @ normals
    return mean / np.linalg.norm(mean)
