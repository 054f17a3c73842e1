"""Outline: where the head ends in the pictures. The nose and the chin before the room, or the nose before the far
cheek, are seen without any texture of their skin, and flow measures least just there.

On the mesh, the outline of a view is the line where its normals stand across the lines of sight (found on the edges
where n.v changes sign). Beside each of its points the picture is read along the normal; the place that best splits what
is read into two colours is where the head really ends.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import record
from core.surface import SurfacePoints
from recon.dense import Depths

Picture = UInt8[np.ndarray, "h w 3"]


@record
class OutlineOptions:
    """How outlines are read.

    reach_mm: an outline is looked for so far off the mesh's. behind_mm: what lies beside it is at least so far behind.
    contrast: least difference between its two sides (grey levels), in spreads of each side too. agree_px: farther
    from the median of its neighbours (within `near_px`) than this, it is not believed. sd_px: one sd of a reading.
    """

    reach_mm: float = 3.0
    behind_mm: float = 12.0
    contrast: float = 14.0
    spreads: float = 5.0
    agree_px: float = 1.0
    near_px: float = 12.0
    sd_px: float = 0.25


DEFAULTS = OutlineOptions()
STEP_PX = 0.5
CODEC = np.array([[0.299, 0.587, 0.114], [0.2, -0.167, -0.033], [-0.068, -0.132, 0.2]])
"""Brightness (BT.601) and colour of an RGB value; colour counts 0.4 of its size: a video holds it at half size."""
INSIDE, GAP, OUTSIDE = 1.5, 0.5, 3.0
"""Pixels read on the head's side of a cut, left out on both sides of it (they are mixed), and read outside. The skin
darkens or shines towards its rim, so that only what lies next to the rim says its colour there."""
WELL_IN, WELL_OUT = (8.0, 2.0), (2.0, 6.0)
"""Pixels inside and outside a cut between which a far search asks what is skin, and if the colour changes for good."""
LIKE = 0.3
"""How much what lies before the change that a far search finds must look like skin, 0 to 1."""


def measure_outlines(mesh: Mesh, skin: Float[np.ndarray, "v"], cameras: Sequence[Camera],
                     pictures: Callable[[int], Picture], rasterize: Rasterize, options: OutlineOptions = DEFAULTS,
                     ) -> Depths:
    """How far the skin (`skin` (V,): weight) lies from the mesh, where it is an outline in a view."""
    normals = mesh.vertex_normals()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda k: one_outline(mesh, normals, skin, cameras[k], pictures(k), rasterize, options),
                              range(len(cameras))))
    face, bary, target, normal, sd = (np.concatenate([f[k] for f in found]) for k in range(5))
    view = np.concatenate([np.full(len(f[0]), k, np.float32) for k, f in enumerate(found)])
    return Depths(on=SurfacePoints(face=face, bary=bary), target_mm=target, normal=normal, sd_mm=sd, view=view)


def rim(mesh: Mesh, normals: Float[np.ndarray, "v 3"], skin: Float[np.ndarray, "v"], camera: Camera) -> SurfacePoints:
    """Points of the mesh's edges that a camera sees from the side, on skin."""
    facing = (normals * (camera.position_mm - mesh.vertices_mm)).sum(1)
    faces, bary = [], []
    on = (skin[mesh.faces] > 0.5).all(1)
    for a, b in ((0, 1), (1, 2), (2, 0)):
        first, second = mesh.faces[:, a], mesh.faces[:, b]
        crossed = np.flatnonzero(on & (first < second) & (facing[first] * facing[second] < 0))
        share = facing[first[crossed]] / (facing[first[crossed]] - facing[second[crossed]])
        corner = np.zeros((len(crossed), 3))
        corner[:, a], corner[:, b] = 1 - share, share
        faces.append(crossed)
        bary.append(corner)
    return SurfacePoints(face=np.concatenate(faces).astype(np.int32), bary=np.concatenate(bary))


@record
class Outline:
    """Where a head bounds itself in a picture: its points, px (N,2), normals out (N,2), points_mm (N,3)."""

    on: SurfacePoints
    points_mm: Float[np.ndarray, "n 3"]
    px: Float[np.ndarray, "n 2"]
    out: Float[np.ndarray, "n 2"]

    def at(self, rows: np.ndarray) -> "Outline":
        """Some of its points."""
        return Outline(on=self.on[rows], points_mm=self.points_mm[rows], px=self.px[rows], out=self.out[rows])


def bounding(mesh: Mesh, skin: Float[np.ndarray, "v"], camera: Camera, rasterize: Rasterize) -> Outline:
    """The part of `rim` with no more of the head beside it in the picture."""
    normals = mesh.vertex_normals()
    on = rim(mesh, normals, skin, camera)
    points = mesh.points(on)
    px = camera.px_from_points(points)
    out = camera.px_from_points(points + on.on(normals, mesh.faces)) - px
    out /= np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    half = camera.resized((camera.size_wh[0] // 2, camera.size_wh[1] // 2))
    covered = rasterize(mesh, half).covered
    at = np.rint((px + 3 * out + 0.5) / 2 - 0.5).astype(int)
    within = ((at >= 0) & (at < half.size_wh)).all(1)
    at = np.clip(at, 0, np.array(half.size_wh) - 1)
    return Outline(on=on, points_mm=points, px=px, out=out).at(np.flatnonzero(within & ~covered[at[:, 1], at[:, 0]]))


def one_outline(mesh: Mesh, normals: Float[np.ndarray, "v 3"], skin: Float[np.ndarray, "v"], camera: Camera,
                picture: Picture, rasterize: Rasterize, options: OutlineOptions) -> tuple[np.ndarray, ...]:
    """Face, barycentrics, target, normal and sd of the outline's points that are sure."""
    pins = rim(mesh, normals, skin, camera)
    place = mesh.points(pins)
    normal = pins.on(normals, mesh.faces)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    px = camera.px_from_points(place)
    away = camera.px_from_points(place + normal) - px
    per_mm = np.linalg.norm(away, axis=1)
    away /= np.maximum(per_mm, 1e-9)[:, None]
    depth = camera.cam_from_points(place)[:, 2]
    drawn = rasterize(mesh, camera.resized((camera.size_wh[0] // 2, camera.size_wh[1] // 2)))
    behind = np.where(drawn.covered, drawn.depth_mm, 1e6).astype(np.float32)

    def depth_at(points_px: np.ndarray) -> np.ndarray:
        half = ((points_px + 0.5) / 2 - 0.5).astype(np.float32)
        out: np.ndarray = cv2.remap(behind, half[:, None], None, cv2.INTER_NEAREST, borderValue=1e6)[:, 0]
        return out

    shown = (np.abs(depth_at(px - 2.5 * away) - depth) < options.behind_mm / 2) & (
        depth_at(px + 2.5 * away) > depth + options.behind_mm)
    rows = np.flatnonzero(shown & (per_mm > 0.2))
    pins, place, normal, px, away, per_mm = pins[rows], place[rows], normal[rows], px[rows], away[rows], per_mm[rows]
    if len(rows) == 0:
        return pins.face, pins.bary, place, normal, np.zeros(0)
    off, sure = edges(picture, px, away, options.reach_mm * float(np.median(per_mm)), options)
    sure &= agreeing(px, off, sure, options)
    target = place + (off / per_mm)[:, None] * normal
    return pins.face[sure], pins.bary[sure], target[sure], normal[sure], (options.sd_px / per_mm)[sure]


def edges(picture: Picture, px: Float[np.ndarray, "p 2"], away: Float[np.ndarray, "p 2"], reach_px: float,
          options: OutlineOptions, inward_px: float | None = None, skin: Float[np.ndarray, "k l"] | None = None,
          ) -> tuple[Float[np.ndarray, "p"], np.ndarray]:
    """How far (px) along `away` the picture changes from one colour to another, and where that is sure.

    inward_px: how far it is looked for the other way, `reach_px` without it. skin: in a far search, how much every
    second pixel looks like the person's skin (0 to 1): there must be some before the change, which must last.
    """
    inward_px = reach_px if inward_px is None else inward_px
    before, behind = (INSIDE + GAP, OUTSIDE + GAP) if skin is None else (WELL_IN[0], WELL_OUT[1])
    steps = np.arange(-inward_px - before, reach_px + behind + 1e-6, STEP_PX)
    at = (px[:, None] + steps[None, :, None] * away[:, None]).astype(np.float32)
    read = cv2.remap(picture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) @ CODEC.T
    first, second = np.cumsum(read, 1), np.cumsum((read**2).sum(2), 1)
    zero = np.zeros_like(first[:, :1])
    first, second = np.concatenate([zero, first], 1), np.concatenate([zero[..., 0], second], 1)
    gap, inside, outside = (round(w / STEP_PX) for w in (GAP, INSIDE, OUTSIDE))
    cuts = np.arange(round(before / STEP_PX), len(steps) - round(behind / STEP_PX) + 1)
    # the change lies between samples cut - 1 and cut

    def side_of(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = (first[:, high] - first[:, low]) / (high - low)[None, :, None]
        rest = (second[:, high] - second[:, low]) / (high - low) - (mean**2).sum(2)
        return mean, np.maximum(rest, 0)

    inner, inner_var = side_of(cuts - gap - inside, cuts - gap)
    outer, outer_var = side_of(cuts + gap, cuts + gap + outside)
    apart = np.linalg.norm(outer - inner, axis=2)
    quality = apart / np.sqrt(inner_var + outer_var + 16)
    if skin is not None:
        (deep, near), (beside, beyond) = ([round(w / STEP_PX) for w in side] for side in (WELL_IN, WELL_OUT))
        like = cv2.remap(skin, (at + 0.5) / 2 - 0.5, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        like = np.concatenate([zero[..., 0], np.cumsum(like, 1)], 1)
        within = (like[:, cuts - near] - like[:, cuts - deep]) / (deep - near)
        wide = side_of(cuts + beside, cuts + beyond)[0] - side_of(cuts - deep, cuts - near)[0]
        quality *= (within > LIKE) & (np.linalg.norm(wide, axis=2) > options.contrast)
    best = quality.argmax(1)
    row = np.arange(len(px))
    a, b = inner[row, best], outer[row, best]
    along = ((read - a[:, None]) * (b - a)[:, None]).sum(2) / np.maximum(apart[row, best] ** 2, 1e-9)[:, None]
    k = cuts[best]
    # the half-way crossing next to the cut
    window = np.clip(k[:, None] + np.arange(-3, 4), 1, len(steps) - 1)
    low, high = along[row[:, None], window - 1], along[row[:, None], window]
    crosses = (low < 0.5) & (high >= 0.5)
    pick = np.where(crosses, np.abs(np.arange(-3, 4)), 99).argmin(1)
    share = (0.5 - low[row, pick]) / np.maximum(high[row, pick] - low[row, pick], 1e-6)
    off = steps[window[row, pick] - 1] + np.clip(share, 0, 1) * STEP_PX
    sure = crosses.any(1) & (apart[row, best] > options.contrast) & (quality[row, best] > options.spreads) & (
        off < reach_px) & (off > -inward_px)
    return off, sure


def agreeing(px: Float[np.ndarray, "p 2"], off: Float[np.ndarray, "p"], sure: np.ndarray, options: OutlineOptions,
             ) -> np.ndarray:
    """Where a reading lies near the median of at least five sure ones around it."""
    near = np.linalg.norm(px[:, None] - px[None], axis=2) < options.near_px
    told = np.where(near & sure[None], off[None], np.nan)
    enough = np.isfinite(told).sum(1) >= 5
    told[~enough] = 0
    good: np.ndarray = enough & (np.abs(off - np.nanmedian(told, axis=1)) < options.agree_px)
    return good
