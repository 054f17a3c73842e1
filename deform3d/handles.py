"""Handles: where a procedure's pins lie on a head, and how far each step asks them to move.

A rotation turns a handle at position p about the line through the pivot q along the unit axis k, by the angle
a = value * share * response (Rodrigues): with r = p - q its displacement is
(cos a - 1) (r - k (k . r)) + sin a (k x r). It follows the arc exactly and is zero at a = 0.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache

import numpy as np
from jaxtyping import Float, Int

from core.anatomy import Anatomy
from core.errors import PrevisageError
from core.evidence import Band
from core.mesh import Mesh
from core.procedure import Axis, Furthest, Handle, Level, Point, Procedure, Step
from core.sides import Side, side_of
from core.surface import SurfacePoints
from deform3d.compiled import compiled, gap
from deform3d.nearest import BLOCK, Inside, Triangles

WELL_INSIDE = 0.5
"""A procedure's own point lies where the moving regions have at least this weight together."""
WHOLLY = 0.99
"""The furthest point of a region is looked for where it has this weight: its soft edge lies on the skin around, and may
lie further out than the rim of an ear."""
CLEAR = 0.002
"""Nor has an immobile region more weight there: at its very edge a place could not move without tearing."""
MIDLINE_STRETCH = 20.0
"""How much more a millimetre aside counts for a point on the midline: in a hollow the nearest skin lies beside it."""
NORMAL_MM = 5.0
"""The skin's normal at a handle is the mean of its surroundings, fading out at this distance: pores have none."""
SAMPLE_MM = 1.0
"""The mean is taken over places about so far apart."""

LEAST_SLIDE = 0.5
"""A motion of which less than this share lies in the skin's plane is not drawn out to its full length."""

Weights = Mapping[str, float]


def handle_points(mesh: Mesh, anatomy: Anatomy, procedure: Procedure) -> tuple[tuple[str, ...], SurfacePoints]:
    """Names and surface points of all handles of a procedure, in the order of `procedure.pins()`.

    PrevisageError `missing_pin` when the anatomy does not know a pin.
    """
    places, pins = Places(mesh, anatomy, procedure), procedure.pins()
    found = [places.point(pin) for pin in pins]
    return pins, SurfacePoints(face=np.concatenate([p.face for p in found]),
                               bary=np.concatenate([p.bary for p in found]))


class Places:
    """Where a procedure's handles lie on a head: its own points and landmarks of the anatomy; each is found once."""

    def __init__(self, mesh: Mesh, anatomy: Anatomy, procedure: Procedure, known: SurfacePoints | None = None) -> None:
        """Nothing is looked for yet. known: the points of `procedure.pins()`, where they are."""
        self.mesh, self.anatomy, self.procedure, self.known = mesh, anatomy, procedure, known
        self.rows = {} if known is None else {pin: row for row, pin in enumerate(procedure.pins())}
        self.found: dict[str, SurfacePoints] = {}
        self.means: dict[tuple[tuple[str, float], ...], np.ndarray] = {}

    def point(self, pin: str) -> SurfacePoints:
        """One handle, as a batch of one. PrevisageError when this head lacks the landmark or the region."""
        if pin not in self.found:
            extra = self.procedure.points.get(pin)
            if self.known is not None and pin in self.rows:
                self.found[pin] = self.known[[self.rows[pin]]]
            elif extra is None:
                self.found[pin] = self.landmark(pin)
            elif extra.furthest is not None:
                self.found[pin] = self.furthest(extra.furthest)
            else:
                self.found[pin] = self.skin_near(pin, extra)
        return self.found[pin]

    def mean_mm(self, of: Weights) -> Float[np.ndarray, "3"]:
        """The weighted mean position (mm) of some landmarks or points of the procedure. Every handle of a jaw that
        turns asks for the same few."""
        key = tuple(of.items())
        if key not in self.means:
            self.means[key] = np.array(list(of.values())) @ np.array(
                [self.mesh.points(self.point(pin))[0] for pin in of])
        return self.means[key]

    def landmark(self, pin: str) -> SurfacePoints:
        """A landmark pin; PrevisageError when this head has none of that name."""
        if pin not in self.anatomy.pin_names:
            raise PrevisageError("missing_pin", f"This head has no landmark {pin!r}, which {self.procedure.name} "
                                 "needs.", f"It has: {', '.join(self.anatomy.pin_names)}.")
        return self.anatomy.pin(pin)

    def furthest(self, place: Furthest) -> SurfacePoints:
        """The place wholly inside a region that lies furthest in a direction."""
        if not self.anatomy.has(place.region):
            raise missing_region(self.anatomy, place.region, self.procedure)
        rows, parts = above(self.mesh.faces, self.anatomy.region(place.region).astype(float), WHOLLY)
        if not len(rows):
            raise missing_region(self.anatomy, place.region, self.procedure)
        corners = np.einsum("gij,gjc->gic", parts, self.mesh.vertices_mm[self.mesh.faces[rows]])
        row, corner = np.unravel_index(np.argmax(corners @ np.array(place.direction)), corners.shape[:2])
        return SurfacePoints(face=rows[[row]], bary=parts[row, [corner]])

    def skin_near(self, name: str, point: Point) -> SurfacePoints:
        """The nearest place well inside the moving regions to a mean of pins plus an offset; a point without a side
        stays in its sagittal plane.
        """
        middle = side_of(name) is None
        stretch = np.array((MIDLINE_STRETCH if middle else 1.0, 1.0, 1.0))
        target = (self.mean_mm(point.of or {}) + point.offset_mm) * stretch
        facing = None if point.facing is None else np.array(point.facing) * stretch
        skin = skin_of(self.mesh, stretch[0])
        row, bary = skin.nearest(target, self.clear if point.within is None else self.well_in(point.within), facing)
        if row < 0 and point.within is None:
            row, bary = skin.nearest(target, self.well_in(*self.procedure.regions), facing)
        if row < 0:
            raise missing_region(self.anatomy, point.within or " or ".join(self.procedure.regions), self.procedure)
        return SurfacePoints(face=np.array([row]), bary=bary[None])

    @cached_property
    def clear(self) -> Inside:
        """What lies well inside the moving regions and outside what must be still."""
        faces, inside = self.well_in(*self.procedure.regions)
        still = [CLEAR - self.anatomy.region(r) for r in self.procedure.immobile if self.anatomy.has(r)]
        return faces, np.array([*inside, *still], float)

    def well_in(self, *names: str) -> Inside:
        """What lies well inside some regions together."""
        regions = [self.anatomy.region(r) for r in names if self.anatomy.has(r)]
        weight = np.sum([np.zeros(len(self.mesh.vertices_mm)), *regions], axis=0)
        return self.mesh.faces, (weight - WELL_INSIDE)[None]


@lru_cache(maxsize=4)
def skin_of(mesh: Mesh, stretch: float) -> Triangles:
    """All triangles of a head, drawn out sideways."""
    return Triangles((mesh.vertices_mm * (stretch, 1.0, 1.0))[mesh.faces])


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


class Context:
    """A head and a procedure's handles on it."""

    def __init__(self, mesh: Mesh, anatomy: Anatomy, procedure: Procedure, points: SurfacePoints) -> None:
        """points: of `procedure.pins()`."""
        self.mesh, self.places = mesh, Places(mesh, anatomy, procedure, points)
        self.pins, self.points, self.position = procedure.pins(), points, mesh.points(points)

    def asked_mm(self, step: Step, value: float, side: Side | None = None, band: Band = "mean") -> Float[
            np.ndarray, "h 3"]:
        """The displacement (mm) that a step asks of every handle; zero for those it does not move.

        Couplings are included. side: only the handles of that side.
        """
        out = self.moved(step.handles, value, band, step)
        for coupling in step.couplings:
            out += self.moved(coupling.handles, value * coupling.amount.at(band), band, None)
        if side is not None:
            out[[side_of(pin) != side for pin in self.pins]] = 0
        return out

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
        for row in (self.pins.index(handle.pin) for handle in handles if handle.slide):
            out[row] = slid(self.normals[row], out[row])
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
                return value * (handle.outward or 0.0) * self.normals[row]
            case "level":
                return -value * handle.share * self.standing_out_mm(row, handle.level) * self.normals[row]
            case "centre":
                return np.array([-position[0] * (handle.centre or 0.0) * value / 100, 0.0, 0.0])
        arm = position - self.places.mean_mm(handle.rotate_about or {})
        return turned_mm(arm, self.axis(handle), np.deg2rad(value * handle.share))

    def standing_out_mm(self, row: int, level: Level | None) -> float:
        """How far the skin at a handle stands out beyond a line between two pins (mm), more than is spared; never less
        than 0."""
        if level is None:
            return 0.0
        start, end = (self.places.mean_mm({pin: 1.0}) for pin in (level.start, level.end))
        line, here = end - start, self.position[row] - start
        beside = here - line * (line @ here) / (line @ line)
        return max(0.0, float(beside @ self.normals[row]) - level.spare_mm)

    @cached_property
    def normals(self) -> Float[np.ndarray, "h 3"]:
        """The skin's outward unit normal at every handle."""
        skin = skin_of(self.mesh, 1.0)
        return np.asarray(normals_at(skin.corners, skin.middle, skin.reach, skin.block, skin.block_reach, self.position,
                                     self.points.face))

    def axis(self, handle: Handle) -> Float[np.ndarray, "3"]:
        """The unit axis of a rotation."""
        if isinstance(handle.axis, Axis):
            start, end = (self.places.mean_mm(m) for m in (handle.axis.start, handle.axis.end))
            along = end - start
        else:
            along = np.array(handle.axis)
        return along / np.linalg.norm(along)


def slid(normal: Float[np.ndarray, "3"], motion_mm: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """A motion turned into the plane across a unit normal, as long as before; shorter where it goes nearly along the
    normal, which leaves no direction."""
    flat = motion_mm - normal * (normal @ motion_mm)
    size, left = np.linalg.norm(motion_mm), np.linalg.norm(flat)
    return flat * (size / max(left, LEAST_SLIDE * size, np.finfo(float).tiny))


def turned_mm(arm: Float[np.ndarray, "3"], axis: Float[np.ndarray, "3"], angle_rad: float) -> Float[np.ndarray, "3"]:
    """The displacement of the end of an arm that turns by the right hand about a unit axis."""
    (a, b, c), (x, y, z) = axis.tolist(), arm.tolist()  # plain numbers: numpy is slow for one vector
    along, turned, ahead = a * x + b * y + c * z, math.cos(angle_rad) - 1, math.sin(angle_rad)
    return np.array([turned * (x - a * along) + ahead * (b * z - c * y), turned * (y - b * along) + ahead * (
        c * x - a * z), turned * (z - c * along) + ahead * (a * y - b * x)])


@compiled
def normals_at(  # type: ignore[no-untyped-def]  # noqa: ANN201
        corners, middle, reach, block, block_reach, position, face):  # noqa: ANN001
    """The outward unit normals (N, 3) of the skin about places (N, 3) on triangles `face`: the mean over all skin
    within `NORMAL_MM` that faces the same way, whatever its triangles, taken at points `SAMPLE_MM` apart. Triangles lie
    in blocks, as in `Triangles`."""
    out = np.zeros((len(position), 3))
    for n in range(len(position)):
        own = np.cross(corners[face[n], 1] - corners[face[n], 0], corners[face[n], 2] - corners[face[n], 0])
        out[n] = 1e-9 * own
        for b in range(len(block)):
            if gap(block[b], position[n]) - block_reach[b] >= NORMAL_MM:
                continue
            for f in range(b * BLOCK, min((b + 1) * BLOCK, len(corners))):
                if gap(middle[f], position[n]) - reach[f] >= NORMAL_MM:
                    continue
                normal = np.cross(corners[f, 1] - corners[f, 0], corners[f, 2] - corners[f, 0])
                if (normal * own).sum() <= 0:
                    continue
                parts = int(np.ceil(2 * reach[f] / SAMPLE_MM))
                weight = 0.0
                for i in range(parts):
                    for j in range(2 * i + 1):  # row i of the triangle cut into parts * parts alike ones: their middles
                        up = (j % 2) / 3
                        one, two = 1 - (i + 2 / 3 - up) / parts, (j // 2 + 1 / 3 + up) / parts
                        square = 0.0
                        for k in range(3):
                            square += (one * corners[f, 0, k] + two * corners[f, 1, k] + (1 - one - two) * corners[
                                f, 2, k] - position[n, k])**2
                        weight += max(1 - (np.sqrt(square) / NORMAL_MM)**2, 0.0)**2
                out[n] += weight / parts**2 * normal
        out[n] /= np.sqrt((out[n]**2).sum())
    return out
