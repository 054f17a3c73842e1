"""Dense depth: the fitted head, seen through recovered cameras, tells optical flow where to look; what flow finds
left over is how far the true skin lies before or behind the head.

For a reference view, every pixel p on the head has a place X on it. A neighbouring picture is warped into the reference
through the head, so that a perfect head leaves no motion between the two; dense inverse search (Kroeger et al., ECCV
2016) measures the motion e that remains. With J = d(pixel in the neighbour)/d(depth along p's ray), each neighbour says
the depth is wrong by dz = (J.e)/(J.J) with variance s^2/(J.J); the part of e across J can only be error. Neighbours are
combined by inverse variance, reweighted three times (Geman-McClure).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.camera import Camera
from core.fragments import Fragments, Rasterize
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import freeze, record
from core.surface import SurfacePoints

Picture = UInt8[np.ndarray, "h w 3"]


@record
class DenseOptions:
    """How depth is measured.

    references: views in which it is measured. neighbours: pictures compared with each. apart_rad: angles between
    which a neighbour is of use. flow_px: noise of the flow (1 sd). across_px, back_px: farther off the ray, or not back
    at its start when followed backwards, and the flow is not believed. least_cosine: of the surface against the
    line of sight. most_mm: no believable correction is larger. step_px: every so many pixels is kept. hidden_mm:
    tolerance of visibility. agree: neighbours that must say the same.
    """

    references: int = 18
    neighbours: int = 6
    apart_rad: tuple[float, float] = (0.10, 0.35)
    flow_px: float = 0.35
    across_px: float = 1.5
    back_px: float = 1.0
    least_cosine: float = 0.2
    most_mm: float = 8.0
    step_px: int = 2
    hidden_mm: float = 3.0
    agree: int = 2


DEFAULTS = DenseOptions()
MARGIN_PX = 12
EDGE_PX = 9
"""Pixels next to the head's rim or to a hidden part, where a patch of flow sees two surfaces."""
NOD = 1.5
"""How much more a nod than a turn tells views apart: it is small, and alone shows the skin under the chin."""
LEAST_GAIN = 0.02
"""Least J.J (px2/mm2) of a neighbour: less parallax says nothing of depth."""


@record
class Depths:
    """P measured places: where on the head (`on`), `target_mm` (P,3) where the skin really is along the line of sight,
    `normal` (P,3) of the head there, `sd_mm` (P,) along the normal, `view` (P,) the reference it was measured in."""

    on: SurfacePoints
    target_mm: Float[np.ndarray, "p 3"]
    normal: Float[np.ndarray, "p 3"]
    sd_mm: Float[np.ndarray, "p"]
    view: Float[np.ndarray, "p"]

    def __post_init__(self) -> None:
        freeze(self, target_mm=(self.target_mm, np.float32), normal=(self.normal, np.float32),
               sd_mm=(self.sd_mm, np.float32), view=(self.view, np.float32))


def joined(first: Depths, second: Depths) -> Depths:
    """Both measurements together."""
    def both(name: str) -> np.ndarray:
        return np.concatenate([getattr(first, name), getattr(second, name)])

    on = SurfacePoints(face=np.concatenate([first.on.face, second.on.face]),
                       bary=np.concatenate([first.on.bary, second.on.bary]))
    return Depths(on=on, target_mm=both("target_mm"), normal=both("normal"), sd_mm=both("sd_mm"), view=both("view"))


class Reference:
    """One view cropped to the head: camera, picture, and what each pixel sees (single precision)."""

    def __init__(self, mesh: Mesh, skin: Float[np.ndarray, "v"], camera: Camera, picture: Picture,
                 mask: UInt8[np.ndarray, "h w"], rasterize: Rasterize, options: DenseOptions) -> None:
        self.camera, window = cropped(camera, mesh.vertices_mm[skin > 0.5])
        seen: Fragments = rasterize(mesh, self.camera)
        values = np.concatenate([mesh.vertices_mm, mesh.vertex_normals(), skin[:, None]], 1).astype(np.float32)
        there = seen.interpolate(values, mesh.faces)
        self.face, self.bary = seen.face, seen.bary
        self.place = there[..., :3]
        self.normal = there[..., 3:6] / np.maximum(np.linalg.norm(there[..., 3:6], axis=2, keepdims=True), 1e-6)
        self.depth = np.where(seen.covered, seen.depth_mm, 0).astype(np.float32)
        to_camera = self.camera.position_mm.astype(np.float32) - self.place
        cosine = (self.normal * to_camera).sum(2) / np.maximum(np.linalg.norm(to_camera, axis=2), 1e-6)
        self.usable = seen.covered & (there[..., 6] > 0.5) & (cosine > options.least_cosine) & (mask[window] > 0)
        self.grey = cv2.cvtColor(picture[window], cv2.COLOR_RGB2GRAY)


class Companion:
    """A neighbouring view: its picture, and at half its size how far the head is and how squarely it is seen."""

    def __init__(self, mesh: Mesh, skin: Float[np.ndarray, "v"], camera: Camera, picture: Picture,
                 mask: UInt8[np.ndarray, "h w"], rasterize: Rasterize) -> None:
        self.camera, window = cropped(camera, mesh.vertices_mm[skin > 0.5])
        width, height = self.camera.size_wh
        seen = rasterize(mesh, self.camera.resized((width // 2, height // 2)))
        there = seen.interpolate(np.concatenate([mesh.vertices_mm, mesh.vertex_normals()], 1).astype(np.float32),
                                 mesh.faces)
        bare = cv2.resize(mask[window], (width // 2, height // 2), interpolation=cv2.INTER_NEAREST) > 0
        self.depth = np.where(seen.covered & bare, seen.depth_mm, 0).astype(np.float32)
        to_camera = self.camera.position_mm.astype(np.float32) - there[..., :3]
        length = np.linalg.norm(to_camera, axis=2) * np.linalg.norm(there[..., 3:], axis=2)
        self.cosine = (there[..., 3:] * to_camera).sum(2) / np.maximum(length, 1e-6)
        self.grey = cv2.cvtColor(picture[window], cv2.COLOR_RGB2GRAY)

    def project(self, points: Float[np.ndarray, "h w 3"]) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (h,w,2) and depths (h,w) of head-frame points, in single precision."""
        R, t = (self.camera.cam_from_head[:3, k].astype(np.float32) for k in (slice(3), 3))
        cam = points @ R.T + t
        px = cam[..., :2] / np.maximum(cam[..., 2:], 1) * np.float32(self.camera.K_px[0, 0])
        return px + self.camera.K_px[:2, 2].astype(np.float32), cam[..., 2]

    def drawn_out(self, px: Float[np.ndarray, "h w 2"], depth: Float[np.ndarray, "h w"],
                  ray: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 2"]:
        """How far (px/mm) these pixels move when their points move along `ray` (mm per mm of depth)."""
        cam = ray @ self.camera.cam_from_head[:3, :3].astype(np.float32).T
        away = (px - self.camera.K_px[:2, 2].astype(np.float32)) * cam[..., 2:]
        out: np.ndarray = (np.float32(self.camera.K_px[0, 0]) * cam[..., :2] - away) / np.maximum(depth, 1)[..., None]
        return out

    def shows(self, px: Float[np.ndarray, "h w 2"], depth: Float[np.ndarray, "h w"], options: DenseOptions,
              ) -> Bool[np.ndarray, "h w"]:
        """Where points at these pixels and depths are not hidden from it, nor seen too much from the side."""
        half = (px + np.float32(0.5)) / 2 - np.float32(0.5)
        met = cv2.remap(self.depth, half, None, cv2.INTER_NEAREST)
        squarely = cv2.remap(self.cosine.astype(np.float32), half, None, cv2.INTER_LINEAR)
        out: np.ndarray = (np.abs(met - depth) < options.hidden_mm) & (squarely > options.least_cosine)
        return out


def cropped(camera: Camera, points_mm: Float[np.ndarray, "n 3"]) -> tuple[Camera, tuple[slice, slice]]:
    """The camera of the part of the picture that shows the points, and that part (rows, columns)."""
    px = camera.px_from_points(points_mm)
    size = np.array(camera.size_wh)
    low = np.clip(np.floor(px.min(0)).astype(int) - MARGIN_PX, 0, size - 16)
    high = np.clip(np.ceil(px.max(0)).astype(int) + MARGIN_PX, low + 16, size)
    K = camera.K_px.copy()
    K[:2, 2] -= low
    part = Camera(K_px=K, cam_from_head=camera.cam_from_head, size_wh=(int(high[0] - low[0]), int(high[1] - low[1])))
    return part, (slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0])))


def measure_depths(mesh: Mesh, skin: Float[np.ndarray, "v"], cameras: Sequence[Camera],
                   pictures: Callable[[int], Picture], masks: Sequence[UInt8[np.ndarray, "h w"]],
                   rasterize: Rasterize, options: DenseOptions = DEFAULTS, progress: Progress = silent) -> Depths:
    """How far the skin lies from the head, wherever two views or more agree.

    skin (V,): weight of what is skin on the head; masks: the same in every picture (0 where it is not).
    """
    towards = np.stack([c.position_mm for c in cameras])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    references = spread_out(towards, options.references)
    plan = {view: companions(towards, view, options) for view in references}
    needed = sorted({k for others in plan.values() for k in others})

    def measured(view: int) -> tuple[np.ndarray, ...]:
        here = Reference(mesh, skin, cameras[view], pictures(view), masks[view], rasterize, options)
        return one_view(here, [neighbours[k] for k in plan[view]], view, options)

    with ThreadPoolExecutor(2) as pool:
        neighbours = dict(zip(needed, pool.map(
            lambda k: Companion(mesh, skin, cameras[k], pictures(k), masks[k], rasterize), needed), strict=True))
        able = [view for view in references if len(plan[view]) >= options.agree]
        found = []
        for turn, result in enumerate(pool.map(measured, able)):
            progress((turn + 1) / len(able), f"Measuring depth, view {turn + 1} of {len(able)}")
            found.append(result)
    if not found:
        none = np.zeros((0, 3))
        return Depths(on=SurfacePoints(face=np.zeros(0, np.int32), bary=none), target_mm=none, normal=none,
                      sd_mm=np.zeros(0), view=np.zeros(0))
    face, bary, target, normal, sd, of = (np.concatenate([f[k] for f in found]) for k in range(6))
    return Depths(on=SurfacePoints(face=face, bary=bary), target_mm=target, normal=normal, sd_mm=sd, view=of)


def spread_out(towards: Float[np.ndarray, "n 3"], count: int) -> list[int]:
    """Views that look from evenly spread sides: the most frontal first, then always the one farthest from all taken."""
    chosen = [int(np.argmax(towards[:, 2]))]
    towards = towards * np.array([1, NOD, 1])
    while len(chosen) < min(count, len(towards)):
        nearest = np.linalg.norm(towards[:, None] - towards[chosen][None], axis=2).min(1)
        if nearest.max() < np.radians(3):
            break
        chosen.append(int(nearest.argmax()))
    return chosen


def companions(towards: Float[np.ndarray, "n 3"], view: int, options: DenseOptions) -> list[int]:
    """Views at a useful angle from one, spread around it."""
    angle = np.arccos(np.clip(towards @ towards[view], -1, 1))
    able = np.flatnonzero((angle > options.apart_rad[0]) & (angle < options.apart_rad[1]))
    chosen: list[int] = []
    while len(chosen) < min(options.neighbours, len(able)):
        if chosen:
            gap = np.linalg.norm(towards[able][:, None] - towards[chosen][None], axis=2).min(1)
            chosen.append(int(able[gap.argmax()]))
        else:
            chosen.append(int(able[np.argmin(np.abs(angle[able] - np.mean(options.apart_rad)))]))
    return chosen


def evened(picture: UInt8[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"], radius_px: float = 3.0) -> UInt8[
        np.ndarray, "h w"]:
    """Grey with local mean and contrast taken out: the light stays in the room while the head turns, so that shading
    drifts over the skin and would make what bulges look flatter."""
    grey, m = picture.astype(np.float32), mask.astype(np.float32)
    weight = cv2.GaussianBlur(m, (0, 0), radius_px) + 1e-3
    rest = (grey - cv2.GaussianBlur(grey * m, (0, 0), radius_px) / weight) * m
    contrast = np.sqrt(cv2.GaussianBlur(rest * rest, (0, 0), radius_px) / weight)
    out: np.ndarray = np.clip(128 + 40 * rest / (contrast + 2), 0, 255).astype(np.uint8) * mask
    return out


def flow_engine() -> cv2.DISOpticalFlow:
    """Dense inverse search down to full resolution, 8-pixel patches."""
    engine = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    engine.setFinestScale(0)
    engine.setPatchSize(8)
    engine.setPatchStride(4)
    engine.setVariationalRefinementIterations(0)  # its smoothness would pull narrow features to their surroundings
    return engine


def one_neighbour(here: Reference, there: Companion, ray: np.ndarray, engine: cv2.DISOpticalFlow, options: DenseOptions,
                  ) -> tuple[np.ndarray, np.ndarray] | None:
    """Depth error dz (h,w) mm as one neighbour sees it, and its weight 1/mm2 (0 where it sees nothing)."""
    px, depth = there.project(here.place)
    both = here.usable & there.shows(px, depth, options)
    if both.sum() < 500:
        return None
    a, b = evened(here.grey, both), evened(cv2.remap(there.grey, px, None, cv2.INTER_CUBIC), both)
    forth, back = engine.calc(a, b, None), engine.calc(b, a, None)
    rows, columns = np.indices(both.shape, np.float32)
    met_px = np.dstack([columns + forth[..., 0], rows + forth[..., 1]])
    fro = cv2.remap(back, met_px, None, cv2.INTER_LINEAR) + forth
    e = cv2.remap(px, met_px, None, cv2.INTER_LINEAR) - px
    J = there.drawn_out(px, depth, ray)
    gain = np.maximum(J[..., 0]**2 + J[..., 1]**2, LEAST_GAIN)
    dz = (J[..., 0] * e[..., 0] + J[..., 1] * e[..., 1]) / gain
    across = np.abs(J[..., 0] * e[..., 1] - J[..., 1] * e[..., 0]) / np.sqrt(gain)
    inside = cv2.erode(both.astype(np.uint8), np.ones((EDGE_PX, EDGE_PX), np.uint8), borderValue=0)
    landed = cv2.remap(both.astype(np.uint8), met_px, None, cv2.INTER_NEAREST)
    good = (inside > 0) & (landed > 0) & (across < options.across_px) & (gain > LEAST_GAIN) & (
        fro[..., 0]**2 + fro[..., 1]**2 < options.back_px**2)
    weight = np.where(good, gain / (options.flow_px**2 + across**2), 0)
    return dz.astype(np.float32), weight.astype(np.float32)


def one_view(here: Reference, others: Sequence[Companion], view: int, options: DenseOptions) -> tuple[np.ndarray, ...]:
    """Face, barycentrics, target, normal, sd along the normal and view number of the pixels that are sure."""
    engine = flow_engine()
    ray = (here.place - here.camera.position_mm.astype(np.float32)) / np.maximum(here.depth, 1)[..., None]
    said = [s for s in (one_neighbour(here, other, ray, engine, options) for other in others) if s is not None]
    if len(said) < options.agree:
        shape = [(0,), (0, 3), (0, 3), (0, 3), (0,), (0,)]
        return tuple(np.zeros(s, np.int32 if k == 0 else np.float32) for k, s in enumerate(shape))
    dz, prior = np.stack([s[0] for s in said]), np.stack([s[1] for s in said])
    weight = prior
    for _ in range(4):
        total = np.maximum(weight.sum(0), 1e-9)
        mean = (weight * dz).sum(0) / total
        weight = prior / (1 + (dz - mean) ** 2 * np.minimum(prior, 16) / 4)
    agreeing = ((weight > 0.3 * prior) & (prior > 0)).sum(0)
    scatter = np.sqrt((weight * (dz - mean) ** 2).sum(0) / total)
    sure = (agreeing >= options.agree) & (np.abs(mean) < options.most_mm) & (scatter < 1.0)
    grid = np.zeros_like(sure)
    grid[::options.step_px, ::options.step_px] = True
    rows = np.nonzero(sure & grid)
    slope = np.abs((ray[rows] * here.normal[rows]).sum(1))
    sd = np.hypot(1 / np.sqrt(total[rows]), scatter[rows] / np.sqrt(agreeing[rows])) * slope
    return (here.face[rows], here.bary[rows], here.place[rows] + mean[rows][:, None] * ray[rows], here.normal[rows],
            sd, np.full(len(sd), view, np.float32))
