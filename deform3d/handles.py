"""Handles: where a procedure's pins lie on a head, and how far each step asks them to move.

A rotation turns a handle at position p about the line through the pivot q along the head's x axis by the angle
a = value * share; with r = p - q the displacement is (0, r_y (cos a - 1) + r_z sin a, r_z (cos a - 1) - r_y sin a),
so positive angles lift what lies in front of the pivot. It follows the arc exactly and is zero at a = 0.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.errors import PrevisageError
from core.mesh import Mesh
from core.procedure import Handle, Point, Procedure, Step
from core.surface import SurfacePoints
from deform3d.nearest import nearest

WELL_INSIDE = 0.5
"""A procedure's own point lies on triangles whose corners all have at least this weight in a moving region."""


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
    return landmark(anatomy, pin, procedure.name) if extra is None else skin_near(mesh, anatomy, procedure, extra)


def landmark(anatomy: Anatomy, pin: str, procedure: str) -> SurfacePoints:
    """A landmark pin; PrevisageError when this head has none of that name."""
    if pin not in anatomy.pin_names:
        raise PrevisageError("missing_pin", f"This head has no landmark {pin!r}, which {procedure} needs.",
                             f"It has: {', '.join(anatomy.pin_names)}.")
    return anatomy.pin(pin)


def skin_near(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, point: Point) -> SurfacePoints:
    """The nearest place well inside the moving regions to a mean of pins plus an offset."""
    target = mean_mm(mesh, anatomy, procedure, point.of) + point.offset_mm
    moving = np.max([anatomy.region(r) for r in procedure.regions if r in anatomy.region_names], axis=0, initial=0)
    inside = np.flatnonzero((moving >= WELL_INSIDE)[mesh.faces].all(1))
    if not len(inside):
        raise PrevisageError("missing_region", f"This head has no skin in {' or '.join(procedure.regions)}, which the "
                             f"procedure {procedure.name} needs.", f"It has: {', '.join(anatomy.region_names)}.")
    return nearest(mesh, target, inside)


def mean_mm(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, of: Mapping[str, float]) -> Float[np.ndarray, "3"]:
    """The weighted mean position of some landmarks (mm)."""
    found = [mesh.points(landmark(anatomy, pin, procedure.name))[0] for pin in of]
    return np.array(list(of.values())) @ np.array(found)


def asked_mm(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, step: Step, value: float,
             points: SurfacePoints) -> Float[np.ndarray, "h 3"]:
    """The displacement (mm) that a step asks of every handle of `procedure.pins()`; zero for those it does not move."""
    pins, position, out = procedure.pins(), mesh.points(points), np.zeros((len(points), 3))
    for handle in step.handles:
        if handle.follow is None:
            row = pins.index(handle.pin)
            pivot = position[row] if handle.rotate_about is None else mean_mm(
                mesh, anatomy, procedure, handle.rotate_about)
            out[row] = motion_mm(handle, value, position[row], pivot)
    for handle in step.handles:
        if handle.follow is not None:
            out[pins.index(handle.pin)] = handle.share * out[pins.index(handle.follow)]
    return out


def motion_mm(handle: Handle, value: float, position: Float[np.ndarray, "3"], pivot: Float[np.ndarray, "3"]) -> Float[
        np.ndarray, "3"]:
    """How far one handle that follows no other goes at a step's value (mm or degrees)."""
    if handle.move is not None:
        return value * np.array(handle.move)
    if handle.medial is not None:
        return np.array([-np.sign(position[0]) * handle.medial * value, 0.0, 0.0])
    angle = np.deg2rad(value * handle.share)
    _, y, z = position - pivot
    return np.array([0.0, y * (np.cos(angle) - 1) + z * np.sin(angle), z * (np.cos(angle) - 1) - y * np.sin(angle)])
