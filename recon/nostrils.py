"""Nostrils: the openings under the nose, where the pictures show them, and the pockets behind them.

The head model's nostrils are slits, a normal offset cannot open them, and no flow measures the inside of a hole
fifteen pixels wide. What is seen of a nostril is its rim, an edge in every picture that looks under the nose: dark
against skin on most people, skin against a thin shadow where the inside is lit.

The plane of the nose's base: x the head's left, v from the subnasal point to the tip, n down and out of it. In it

    ring    the detector's landmarks around an opening, drawn to the edge that near-frontal views agree on (dynamic
            programming along the closed ring: Amini, Weymouth & Jain, 1990); where there is hardly one, there is no
            opening (a plaster cast, a scan that was closed)
    patch   the mesh's vertices inside the ring and all that hides behind them, spread evenly over the plane (Tutte,
            1963), so that the model's own slit unfolds
    pocket  inside the ring, the patch goes up into the nose, deeper than the opening is wide, with a wider room
            behind the rim, as a nasal vestibule has

How deep a pocket is, is anatomy and not measurement; that the skin does not go across the opening is measured.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu

from core.anatomy import Anatomy
from core.camera import Camera
from core.mesh import Mesh
from core.records import record
from core.surface import SurfacePoints
from recon.graph import edges_of, neighbours
from recon.scene import cast, closest, scene_of

Picture = UInt8[np.ndarray, "h w 3"]

RINGS = ((79, 239, 238, 20, 60, 75, 166), (309, 459, 458, 250, 290, 305, 392))
"""MediaPipe's landmarks around the right and the left nostril, in order."""
SUBNASAL, UNDER_TIP = 2, 1
RING_POINTS = 40
AROUND_MM = 14.0
"""No part of a nostril lies farther from its middle."""
OUTSIDE_DEG = (-80, -45, 0, 45, 80)
"""Yaws that see the outside of a face; what none of them, nor the look from below, sees is a hole's inside."""


@record
class NostrilOptions:
    """How nostrils are opened.

    margin_mm: skin around a ring that is spread out with it. off_mm, step_mm: where the edge is looked for, from within
    the ring to outside. prior_mm: how far (1 sd) the landmarks' ring is off. bend: how little neighbouring points of
    the ring part (1/mm2). edge: weight of the strongest edge. contrast: least change of brightness a pixel around an
    opening, as a share of it (open ones: 0.046 to 0.11; a closed one: 0.03). depth: of a pocket, as a share of the
    diameter of a circle as large as the opening. widening: of the room behind the rim. area_mm2: openings of other
    sizes are left alone. least_cosine: of a view's direction against the base's; aside: its most, sideways.
    """

    margin_mm: float = 1.2
    off_mm: tuple[float, float] = (-1.5, 3.0)
    step_mm: float = 0.25
    prior_mm: float = 1.5
    bend: float = 4.0
    edge: float = 3.0
    contrast: float = 0.038
    depth: float = 1.5
    widening: float = 1.4
    area_mm2: tuple[float, float] = (8.0, 200.0)
    least_cosine: float = 0.25
    aside: float = 0.6


DEFAULTS = NostrilOptions()


@record
class Base:
    """The plane of the nose's base: origin_mm on it, axes (3,3) rows x, v, n."""

    origin_mm: Float[np.ndarray, "3"]
    axes: Float[np.ndarray, "3 3"]

    @classmethod
    def under(cls, landmarks_mm: Float[np.ndarray, "478 3"]) -> "Base":
        """The plane through the subnasal point and the skin under the tip, level from side to side."""
        v = (landmarks_mm[UNDER_TIP] - landmarks_mm[SUBNASAL]) * [0, 1, 1]
        v = v / np.linalg.norm(v)
        x = np.array([1.0, 0, 0])
        return cls(origin_mm=landmarks_mm[SUBNASAL], axes=np.stack([x, v, np.cross(x, v)]))

    def here(self, points_mm: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """Head-frame points in the plane's coordinates: across, forward, and out of the nose."""
        return (points_mm - self.origin_mm) @ self.axes.T

    def there(self, local_mm: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """The inverse of `here`."""
        return self.origin_mm + local_mm @ self.axes


def opened(mesh: Mesh, anatomy: Anatomy, cameras: Sequence[Camera], pictures: Callable[[int], Picture],
           options: NostrilOptions = DEFAULTS) -> tuple[Mesh, Anatomy]:
    """The head with its nostrils open; pins that lay on what was spread out stay at their places in space."""
    landmarks = mesh.points(anatomy.pins478)
    base = Base.under(landmarks)
    local = base.here(mesh.vertices_mm)
    near = neighbours(*edges_of(mesh.faces), len(local))
    inner = hidden(mesh, base.axes[2])
    free = anatomy.region("lips") < 0.5
    moved = local.copy()
    rings, contrast = zip(*(on_edges(mesh, base, resampled(rounded(base.here(landmarks[list(marks)]))), cameras,
                                     pictures, options) for marks in RINGS), strict=True)
    if np.mean(contrast) < options.contrast:
        return mesh, anatomy
    for ring in rings:
        if not options.area_mm2[0] < abs(area(ring)) < options.area_mm2[1]:
            continue
        patch = patch_of(local, near, inner, free, ring, options.margin_mm)
        if patch is not None:
            moved[patch] = pocket(spread(local, near, patch), ring, options)
    changed = (moved != local).any(1)
    open_head = mesh.with_vertices(np.where(changed[:, None], base.there(moved), mesh.vertices_mm))
    return open_head, repinned(mesh, open_head, anatomy, changed)


def repinned(before: Mesh, after: Mesh, anatomy: Anatomy, changed: Bool[np.ndarray, "v"]) -> Anatomy:
    """The anatomy with the pins of changed triangles laid where they were in space."""
    scene = scene_of(after)

    def kept(pins: SurfacePoints) -> SurfacePoints:
        rows = changed[before.faces[pins.face]].any(1)
        found = closest(scene, before.points(pins))
        return SurfacePoints(face=np.where(rows, found.face, pins.face),
                             bary=np.where(rows[:, None], found.bary, pins.bary))

    return replace(anatomy, pins478=kept(anatomy.pins478), pin_points=kept(anatomy.pin_points))


def hidden(mesh: Mesh, below: Float[np.ndarray, "3"]) -> Bool[np.ndarray, "v"]:
    """Vertices that are seen neither from in front, nor from the sides, nor from `below`."""
    normals = mesh.vertex_normals()
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    scene, seen = scene_of(mesh), np.zeros(len(normals), bool)
    yaws = np.radians(OUTSIDE_DEG)
    for towards in (below, *np.stack([np.sin(yaws), 0 * yaws, np.cos(yaws)], 1)):
        free = ~np.isfinite(cast(scene, mesh.vertices_mm + 0.1 * normals, np.broadcast_to(towards, normals.shape)))
        seen |= free & (normals @ towards > 0.1)
    return ~seen


def rounded(points: Float[np.ndarray, "k d"], between: int = 8) -> Float[np.ndarray, "m d"]:
    """A closed Catmull-Rom curve through the points."""
    a, b, c, d = (np.roll(points, shift, 0)[:, None] for shift in (1, 0, -1, -2))
    t = (np.arange(between) / between)[None, :, None]
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    return (curve / 2).reshape(-1, points.shape[1])


def resampled(ring: Float[np.ndarray, "m d"], count: int = RING_POINTS) -> Float[np.ndarray, "k d"]:
    """So many points evenly along a closed curve."""
    closed = np.concatenate([ring, ring[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed[:, :2], axis=0), axis=1))])
    at = np.arange(count) / count * along[-1]
    return np.stack([np.interp(at, along, column) for column in closed.T], 1)


def area(ring: Float[np.ndarray, "k d"]) -> float:
    """Signed area (mm2) of a closed curve in the plane, by the shoelace formula."""
    x, y = ring[:, 0], ring[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def inside_mm(ring: Float[np.ndarray, "k d"], points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
    """How deep (mm) points of the plane lie inside the ring; negative outside."""
    outline = ring[:, :2].astype(np.float32)[:, None]
    return np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), True) for x, y in points])


def on_edges(mesh: Mesh, base: Base, ring: Float[np.ndarray, "k 3"], cameras: Sequence[Camera],
             pictures: Callable[[int], Picture], options: NostrilOptions) -> tuple[Float[np.ndarray, "k 3"], float]:
    """The ring drawn in its plane to the edges of the pictures, and the median change of brightness there (a share of
    it a pixel); as it is, and inf, where no view looks under the nose."""
    tangent = np.roll(ring, -1, 0) - np.roll(ring, 1, 0)
    out = np.sign(area(ring)) * np.stack([tangent[:, 1], -tangent[:, 0]], 1)
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    off = np.arange(options.off_mm[0], options.off_mm[1] + 1e-6, options.step_mm)
    flat = ring[:, None, :2] + off[None, :, None] * out[:, None]
    place = base.there(np.concatenate([flat, skin_height(mesh, base, flat)[..., None]], 2))
    towards = np.concatenate([out, np.zeros((len(out), 1))], 1) @ base.axes
    strength, brightness = edge_strength(place, towards, base, ring, cameras, pictures, options)
    if strength is None:
        return ring, np.inf
    usual = max(float(np.percentile(strength, 90)), 1.0)
    cost = (off / options.prior_mm)[None] ** 2 / 2 - options.edge * strength / usual
    states = cheapest(cost, options.bend * (off[:, None] - off[None]) ** 2)
    contrast = float(np.median(strength[np.arange(len(ring)), states])) / max(brightness, 1.0)
    return np.concatenate([ring[:, :2] + off[states, None] * out, ring[:, 2:]], 1), contrast


def skin_height(mesh: Mesh, base: Base, flat: Float[np.ndarray, "k o 2"]) -> Float[np.ndarray, "k o"]:
    """Height of the outermost skin over points of the plane, seen from below; folds smoothed away."""
    above = 30.0
    start = base.there(np.concatenate([flat, np.full((*flat.shape[:2], 1), above)], 2))
    height = above - cast(scene_of(mesh), start, np.broadcast_to(-base.axes[2], start.shape))
    height = np.where(np.isfinite(height) & (height > -above / 2), height, np.nan)
    filled = np.where(np.isfinite(height), height, np.nanmedian(height)) if np.isfinite(height).any() else 0 * above
    return np.asarray(cv2.medianBlur(np.broadcast_to(filled, flat.shape[:2]).astype(np.float32), 5), float)


def edge_strength(place: Float[np.ndarray, "k o 3"], towards: Float[np.ndarray, "k 3"], base: Base,
                  ring: Float[np.ndarray, "k 3"], cameras: Sequence[Camera], pictures: Callable[[int], Picture],
                  options: NostrilOptions) -> tuple[Float[np.ndarray, "k o"] | None, float]:
    """How strongly (grey levels a pixel) brightness changes across the ring at each place, in the mean of the views
    that look under the nose (a change of one sign in all is an edge of the head), and how bright it is there (grey
    level); None without such a view."""
    total, count, bright = np.zeros(place.shape[:2]), np.full(place.shape[:2], 1e-6), []
    middle = base.there(ring).mean(0)
    for k, camera in enumerate(cameras):
        sight = (camera.position_mm - middle) / np.linalg.norm(camera.position_mm - middle)
        if sight @ base.axes[2] < options.least_cosine or abs(sight[0]) > options.aside:
            continue
        grey = cv2.GaussianBlur(cv2.cvtColor(pictures(k), cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.8)
        px = camera.px_from_points(place.reshape(-1, 3)).reshape(*place.shape[:2], 2)
        across = camera.px_from_points((place + 0.5 * towards[:, None]).reshape(-1, 3)).reshape(px.shape) - px
        length = np.linalg.norm(across, axis=2)
        across /= np.maximum(length, 1e-6)[..., None]
        bright.append(cv2.remap(grey, px.astype(np.float32), None, cv2.INTER_LINEAR).mean())
        slope = [cv2.remap(cv2.Sobel(grey, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=0.125), px.astype(np.float32), None,
                           cv2.INTER_LINEAR) for dx in (1, 0)]
        weight = np.minimum(2 * length, 2)  # foreshortened, an edge is a blur
        total += weight * (slope[0] * across[..., 0] + slope[1] * across[..., 1])
        count += weight
    return (np.abs(total / count), float(np.mean(bright))) if bright else (None, 0.0)


def cheapest(cost: Float[np.ndarray, "k o"], step: Float[np.ndarray, "o o"]) -> Int[np.ndarray, "k"]:
    """The states (K,) of a closed chain with the least cost: dynamic programming from every first state at once."""
    states = np.arange(len(step))
    best, back = np.where(states[:, None] == states, cost[0], np.inf), []  # by first state, and the present one
    for here in cost[1:]:
        total = best[:, :, None] + step
        back.append(total.argmin(1))
        best = total.min(1) + here
    first, last = np.unravel_index((best + step.T).argmin(), best.shape)
    chain = [int(last)]
    for before in back[::-1]:
        chain.append(int(before[first, chain[-1]]))
    return np.array(chain[::-1])


def patch_of(local: Float[np.ndarray, "v 3"], near: csr_matrix, inner: Bool[np.ndarray, "v"],
             free: Bool[np.ndarray, "v"], ring: Float[np.ndarray, "k 3"], margin_mm: float) -> Bool[
                 np.ndarray, "v"] | None:
    """The vertices inside the ring, with all that hides behind them and is joined to them; without holes. None where
    there are too few to make a pocket of."""
    middle = np.array([*ring[:, :2].mean(0), np.median(ring[:, 2])])
    away = np.linalg.norm(local - middle, axis=1)
    close = np.flatnonzero((away < AROUND_MM) & free)
    inside = inside_mm(ring, local[close, :2]) > -margin_mm
    low = local[close, 2] < ring[:, 2].max() + 6
    able = close[(inside | inner[close]) & low]
    if len(able) < RING_POINTS:
        return None
    pieces = connected_components(near[able][:, able])[1]
    patch = np.zeros(len(local), bool)
    patch[able[pieces == pieces[away[able].argmin()]]] = True
    rest = np.flatnonzero(~patch)
    pieces = connected_components(near[rest][:, rest])[1]
    enclosed = (pieces != np.bincount(pieces).argmax()) & (away[rest] < AROUND_MM)
    joined = near[rest] @ patch > 0  # a piece that touches the patch; eyeballs stay
    patch[rest[enclosed & np.isin(pieces, pieces[joined])]] = True
    return patch if patch.sum() >= RING_POINTS else None


def spread(local: Float[np.ndarray, "v 3"], near: csr_matrix, patch: Bool[np.ndarray, "v"]) -> Float[np.ndarray, "p 3"]:
    """The patch's vertices each at the mean of its neighbours, the skin around it held."""
    rows = near[np.flatnonzero(patch)]
    matrix = diags(np.asarray(rows.sum(1)).ravel()) - rows[:, np.flatnonzero(patch)]
    return np.asarray(splu(matrix.tocsc()).solve(np.asarray(rows[:, np.flatnonzero(~patch)] @ local[~patch])))


def pocket(flat: Float[np.ndarray, "p 3"], ring: Float[np.ndarray, "k 3"], options: NostrilOptions) -> Float[
        np.ndarray, "p 3"]:
    """Vertices over the base, those inside the ring sunk into a half-ellipsoid that widens behind the rim.

    Evenly spread vertices are drawn outwards so that the steep wall gets as many as the floor.
    """
    deep = inside_mm(ring, flat[:, :2])
    most = max(float(deep.max()), 1.0)
    angle = np.clip(deep / most, 0, 1) * np.pi / 2
    drawn = most * np.cos(angle) / np.maximum(most - deep, 0.05 * most)
    wide = np.minimum(drawn, 3) * (1 + (options.widening - 1) * np.sin(2 * angle))
    middle = ring[:, :2].mean(0)
    depth = options.depth * np.sqrt(4 * abs(area(ring)) / np.pi)
    sunk = np.column_stack([middle + (flat[:, :2] - middle) * wide[:, None], flat[:, 2] - depth * np.sin(angle)])
    return np.where((deep > 0)[:, None], sunk, flat)
