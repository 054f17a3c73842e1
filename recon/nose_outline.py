"""Nose outline: from three quarters, a nose fitted to one photo is drawn to where it ends before the far cheek.

The 478 landmarks place the back and the tip of a turned nose up to 6 mm beside the pictured ones: on 28 frames of
three rendered heads the fitted outline lies 3.1 mm (root mean square) off the true one, drawn to the photo 1.7
(benchmarks/nose_outline.md). A picture bent there carries skin of the cheek along, or leaves a rim of the nose behind.

Along the fitted outline, from the nose's root around its tip, rays across it are read in the photo: an outline is
where brightness or colour changes, on a line that bends little and lies near the fitted one, within the person. All
that lies on one line of sight before the cheek moves alike, across it, as much as the outline does; the near side of
the nose and the cheek stay.
Letters: P outline point (px), d distance along its ray in mm, positive outwards.
"""

import dataclasses

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Fragments, Rasterize
from core.mesh import Mesh
from core.records import record
from recon.outline import CODEC, rim
from recon.wings import path, rising

STEP_MM, ALONG_MM = 0.2, 0.5
"""Distances between readings on a ray, and between rays."""
FINE_PX, REACH_MM = 4.0, 42.0
"""The nose is looked at so fine (px per mm), within so much around its middle."""
BEHIND_MM, BESIDE_MM = 5.0, 0.8
"""Past an outline, by the second, the head lies deeper by the first at least."""
ASIDE = 0.1
"""Of the outline's direction: where it faces downwards it is the nose's underside."""
ROUND_MM, SOFT_MM = 9.0, 2.0
"""So far within the outermost point is the place around which the outline's points are in order. Skin
follows the points of the outline next to it, with weights that fall off over the second (a Gaussian's spread)."""


@record
class NoseOutlineOptions:
    """yaw_deg: turns at which the far outline is looked for: with less hardly any of the nose stands before the cheek.
    px_per_mm: below, it is not. d_mm: where. usual_mm, spread_mm: of d, and prior: how much that counts on a mm of
    outline beside a clear edge. bend: how little d may change along it (1/mm2). faint: change of brightness per mm, as
    a share of the skin's, that is half an edge. person_mm, cheek_mm: an edge so near the person's own outline, where
    the fitted cheek ends no more than the second within it, is the cheek's. sure: least mean clearness, and margin: by
    how much the next best line, other_mm off, must be worse. least_mm: of outline. ends_mm: over which d fades at both
    ends. reach_mm: over which skin within follows, at least; beside_mm: beside the nose's region."""

    yaw_deg: tuple[float, float] = (18.0, 65.0)
    px_per_mm: float = 1.0
    d_mm: tuple[float, float] = (-7.0, 7.0)
    usual_mm: float = 0.0
    spread_mm: float = 3.0
    prior: float = 0.15
    bend: float = 1.5
    faint: float = 0.10
    person_mm: float = 1.2
    cheek_mm: float = 3.0
    sure: float = 0.5
    other_mm: float = 2.0
    margin: float = 0.05
    least_mm: float = 20.0
    ends_mm: float = 5.0
    reach_mm: float = 11.0
    beside_mm: float = 8.0


OPTIONS = NoseOutlineOptions()


@record
class NoseOutline:
    """P (N,2) of a camera every `ALONG_MM` from the root on, directions out (N,2), depth_mm (N,)."""

    px: Float[np.ndarray, "n 2"]
    out: Float[np.ndarray, "n 2"]
    depth_mm: Float[np.ndarray, "n"]
    px_per_mm: float

    def at(self, d_mm: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d 2"]:
        """Pixels so far along the rays."""
        return np.asarray(self.px[:, None] + d_mm[..., None] * self.px_per_mm * self.out[:, None])


def with_nose_outline(mesh: Mesh, anatomy: Anatomy, camera: Camera, picture: UInt8[np.ndarray, "h w 3"],
                      person: Bool[np.ndarray, "h w"], rasterize: Rasterize,
                      options: NoseOutlineOptions = OPTIONS) -> Mesh:
    """The head with its nose as far out as the photo has it; as it is where the photo does not tell.

    person: who is seen in the picture, hair and clothes too.
    """
    yaw = np.degrees(camera.head_angles_rad[0])
    middle = mesh.points(anatomy.pin("prn"))[0]
    per_mm = float(camera.K_px[0, 0] / camera.cam_from_points(middle)[2])
    if not options.yaw_deg[0] <= abs(yaw) <= options.yaw_deg[1] or per_mm < options.px_per_mm:
        return mesh
    near, part, there = close_up(camera, middle, per_mm, picture, person)
    outline = outline_of(mesh, anatomy, near, rasterize, 1 if yaw > 0 else -1)
    if outline is None or len(outline.px) * ALONG_MM < options.least_mm:
        return mesh
    edge = wall_edge(mesh, anatomy, near, there, rasterize, options)
    d = departures(part, edge, outline, options)
    return mesh if d is None else mesh.moved(followed(mesh, anatomy, near, outline, d, options))


def close_up(camera: Camera, middle_mm: Float[np.ndarray, "3"], per_mm: float, picture: UInt8[np.ndarray, "h w 3"],
             person: Bool[np.ndarray, "h w"]) -> tuple[Camera, UInt8[np.ndarray, "a b 3"], Bool[np.ndarray, "a b"]]:
    """The nose alone, as fine as it is looked at, or as the photo has it."""
    at, reach = camera.px_from_points(middle_mm), REACH_MM * per_mm
    low = np.clip(np.floor(at - reach), 0, np.array(camera.size_wh) - 2).astype(int)
    high = np.clip(np.ceil(at + reach), low + 2, camera.size_wh).astype(int)
    K = camera.K_px.copy()
    K[:2, 2] -= low
    size = high - low
    shrunk = np.maximum(np.rint(size * min(1.0, FINE_PX / per_mm)), 2).astype(int)
    near = Camera(K_px=K, cam_from_head=camera.cam_from_head, size_wh=(int(size[0]), int(size[1])),
                  distortion=camera.distortion).resized((int(shrunk[0]), int(shrunk[1])))
    window = np.s_[low[1]:high[1], low[0]:high[0]]
    part = cv2.resize(np.ascontiguousarray(picture[window]), near.size_wh, interpolation=cv2.INTER_AREA)
    there = cv2.resize(person[window].astype(np.uint8), near.size_wh, interpolation=cv2.INTER_NEAREST) > 0
    return near, part, there


def outline_of(mesh: Mesh, anatomy: Anatomy, camera: Camera, rasterize: Rasterize, side: int) -> NoseOutline | None:
    """The fitted nose's outline before what lies behind it, on the far side (1: at the right of an upright picture)."""
    normals = mesh.vertex_normals()
    on = rim(mesh, normals, anatomy.region("nose"), camera)
    points = mesh.points(on)
    px, depth = camera.px_from_points(points), camera.cam_from_points(points)[:, 2]
    away = camera.px_from_points(points + on.on(normals, mesh.faces)) - px
    per_mm = float(camera.K_px[0, 0] / np.median(depth))
    away /= np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-9)
    root, foot = (mesh.points(anatomy.pin(name))[0] for name in ("se", "sn"))
    down = np.subtract(*camera.px_from_points(np.stack([foot, root])))
    down /= np.linalg.norm(down)
    aside = side * np.array([down[1], -down[0]])
    drawn = rasterize(mesh, camera)
    shown = np.abs(depth_at(drawn, px - BESIDE_MM * per_mm * away) - depth) < BEHIND_MM + 1
    shown &= depth_at(drawn, px + BESIDE_MM * per_mm * away) > depth + BEHIND_MM
    shown &= (away @ aside > ASIDE) & (points[:, 1] > foot[1] - 3)
    if shown.sum() < 8:
        return None
    return ordered(px[shown], away[shown], depth[shown], aside, down, per_mm)


def depth_at(drawn: Fragments, px: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
    """Depth of what is drawn at pixels; far where nothing is."""
    deep = np.where(drawn.covered, drawn.depth_mm, 1e6).astype(np.float32)
    read = cv2.remap(deep, px.astype(np.float32)[:, None], None, cv2.INTER_NEAREST, borderValue=1e6)
    return np.asarray(read[:, 0])


def ordered(px: Float[np.ndarray, "m 2"], away: Float[np.ndarray, "m 2"], depth: Float[np.ndarray, "m"],
            aside: Float[np.ndarray, "2"], down: Float[np.ndarray, "2"], per_mm: float) -> NoseOutline:
    """Single points as a smooth line from the root on."""
    centre = px[np.argmax(px @ aside)] - ROUND_MM * per_mm * aside
    order = np.argsort(np.arctan2((px - centre) @ down, (px - centre) @ aside))
    values = np.column_stack([px, away, depth])[order]
    gone = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(values[:, :2], axis=0), axis=1))]) / per_mm
    at = np.arange(0, gone[-1], ALONG_MM)
    even = np.column_stack([np.interp(at, gone, v) for v in values.T])
    even = gaussian_filter1d(even, 3, axis=0, mode="nearest")
    along = np.gradient(even[:, :2], axis=0)
    out = np.column_stack([along[:, 1], -along[:, 0]])
    out *= np.sign((out * even[:, 2:4]).sum(1, keepdims=True))
    out = gaussian_filter1d(out / np.linalg.norm(out, axis=1, keepdims=True), 6, axis=0, mode="nearest")
    return NoseOutline(px=even[:, :2], out=out / np.linalg.norm(out, axis=1, keepdims=True), depth_mm=even[:, 4],
                       px_per_mm=per_mm)


def wall_edge(mesh: Mesh, anatomy: Anatomy, camera: Camera, person: Bool[np.ndarray, "h w"], rasterize: Rasterize,
              options: NoseOutlineOptions) -> Bool[np.ndarray, "h w"]:
    """Where an edge is that between the far cheek and the wall: near the person's outline and the fitted cheek."""
    cheek = (anatomy.region("nose")[mesh.faces] < 0.5).any(1)
    drawn = rasterize(dataclasses.replace(mesh, faces=mesh.faces[cheek], faces_uv=mesh.faces_uv[cheek]), camera)
    per_mm = camera.K_px[0, 0] / float(np.median(drawn.depth_mm[drawn.covered])) if drawn.covered.any() else 1.0
    off, inside = (cv2.distanceTransform(there.astype(np.uint8), cv2.DIST_L2, 5) / per_mm
                   for there in (~drawn.covered, person))
    return np.asarray((inside < options.person_mm) & (off < options.cheek_mm))


def departures(picture: UInt8[np.ndarray, "h w 3"], wall: Bool[np.ndarray, "h w"], outline: NoseOutline,
               options: NoseOutlineOptions = OPTIONS) -> Float[np.ndarray, "n"] | None:
    """d of the pictured outline on every ray; None where it is not clear."""
    d = np.arange(options.d_mm[0], options.d_mm[1] + STEP_MM / 2, STEP_MM)
    clear = clearness(picture, wall, outline, d, options)
    far = (d - options.usual_mm) ** 2 / (2 * options.spread_mm**2)
    cost = ALONG_MM * (options.prior * far - clear)
    rays = np.arange(len(clear))
    best = path(cost, d, options.bend)
    other = path(cost + 10.0 * (np.abs(d - d[best][:, None]) < options.other_mm), d, options.bend)
    worse = float((cost[rays, other] - cost[rays, best]).mean() / ALONG_MM)
    if clear[rays, best].mean() < options.sure or worse < options.margin:
        return None
    ends = np.minimum(rays + 1, len(rays) - rays) * ALONG_MM
    return np.asarray(gaussian_filter1d(d[best], 3, mode="nearest") * rising(ends / options.ends_mm))


def clearness(picture: UInt8[np.ndarray, "h w 3"], wall: Bool[np.ndarray, "h w"], outline: NoseOutline,
              d_mm: Float[np.ndarray, "m"], options: NoseOutlineOptions) -> Float[np.ndarray, "n m"]:
    """How clear an edge is at each d of each ray, 0 to 1."""
    steps = np.arange(len(d_mm) + 3)  # the change at a place is that between its neighbours, three steps apart
    places = d_mm[0] + (steps - 1.5) * STEP_MM
    px = outline.at(np.broadcast_to(places, (len(outline.px), len(steps)))).astype(np.float32)
    soft = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), max(0.15 * outline.px_per_mm, 0.5))
    read = cv2.remap(soft, px, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) @ CODEC.T
    read /= max(float(np.median(read[:, 0, 0])), 20.0)
    change = np.linalg.norm(read[:, 3:] - read[:, :-3], axis=2) / (3 * STEP_MM)
    change = gaussian_filter1d(change, 1.2, axis=0)
    there = cv2.remap(wall.astype(np.uint8), (px[:, 1:-2] + px[:, 2:-1]) / 2, None, cv2.INTER_NEAREST)
    return np.asarray(np.where(there > 0, 0.0, change**2 / (change**2 + options.faint**2)))


def followed(mesh: Mesh, anatomy: Anatomy, camera: Camera, outline: NoseOutline, d_mm: Float[np.ndarray, "n"],
             options: NoseOutlineOptions) -> Float[np.ndarray, "v 3"]:
    """How every vertex moves so that the nose ends so much farther out."""
    nose = anatomy.region("nose") > 0.5
    beside = cKDTree(mesh.vertices_mm[nose]).query(mesh.vertices_mm, distance_upper_bound=options.beside_mm)[0]
    near = np.flatnonzero(np.isfinite(beside))
    px, cam = camera.px_from_points(mesh.vertices_mm[near]), camera.cam_from_points(mesh.vertices_mm[near])
    away = cdist(px, outline.px) / outline.px_per_mm
    weight = np.exp((away.min(1, keepdims=True) ** 2 - away**2) / (2 * SOFT_MM**2))
    weight /= weight.sum(1, keepdims=True)
    px_there, out, d, depth = (weight @ v for v in (outline.px, outline.out, d_mm, outline.depth_mm))
    r = ((px - px_there) * out).sum(1) / outline.px_per_mm
    share = rising(1 + np.minimum(r, 0) / np.maximum(options.reach_mm, 2.5 * np.abs(d)))
    share *= rising(1 - beside[near] / options.beside_mm)
    by = np.zeros_like(mesh.vertices_mm)
    by[near] = (d * share * cam[:, 2] / depth)[:, None] * out @ camera.cam_from_head[:2, :3]
    return by
