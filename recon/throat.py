"""Throat: where the skin under the chin ends before the room, in the views from the side.

A fitted head's throat is what its face makes likely. It came out up to 17 mm too low or too high, which is too far for
optical flow and for the reach of `recon.outline`. So the picture is read along long lines across the head's outline,
from well inside the skin outwards, for the place where its colour changes for good. Where hair or a collar lies before
that place nothing is read. A few rounds bring the throat near enough for what follows.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from jaxtyping import Float, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.subdivide import halved
from core.surface import SurfacePoints
from recon.dense import Depths
from recon.outline import OutlineOptions, agreeing, bounding, edges
from recon.skin import all_skin, chroma, usual_skin
from recon.surface import SurfaceOptions, offsets

Picture = UInt8[np.ndarray, "h w 3"]
TURNED_RAD = 0.4
"""Views turned less show the neck behind the chin, not the room."""
FAR, NEAR = (16.0, 6.0), (3.0, 3.0)
"""How far (mm) into and off the head its outline is looked for, first and when it is near: throats are seen too low
more often than too high."""
ROUNDS = 3
HALVINGS, EDGE_MM = 3, 3.0
"""Longer edges are halved so often while the throat is brought near, for outlines are found on edges."""
FAR_READING = OutlineOptions(agree_px=3.0, near_px=20.0, sd_px=0.5)
NEAR_READING = OutlineOptions(agree_px=1.5, near_px=20.0, sd_px=0.5)
SPREAD = SurfaceOptions(floor_mm=0.3, far_mm=3.0, stiffness=30.0, hold_mm=20.0, most_mm=18.0)
LIKE_SPREADS = 4.0
"""Skin whose colour is so many spreads off the usual is half as likely."""
DARKEST = 0.2
"""A smaller share of the usual brightness is no skin; under the chin there is shade."""
FAINT = 0.02
"""Skin with less weight stays."""
LEAST = 100
"""Readings below which the throat stays as fitted."""


Skins = dict[int, Float[np.ndarray, "k l"]]
"""How much every second pixel of a turned view looks like the person's skin, 0 to 1, by view."""


def with_throat(head: Mesh, anatomy: Anatomy, cameras: Sequence[Camera], pictures: Callable[[int], Picture],
                skins: Skins, rasterize: Rasterize) -> Mesh:
    """The head with its throat near where the pictures show it end; the same head where they do not."""
    mesh, fine = head, anatomy
    for _ in range(HALVINGS):
        mesh, fine, _ = halved(mesh, fine, long_edges(mesh, throat(mesh, fine)))
    weight = throat(mesh, fine)
    movable = weight > FAINT
    for _ in range(ROUNDS):
        told = measure_throat(mesh, weight, cameras, pictures, skins, rasterize, FAR, FAR_READING)
        if len(told.sd_mm) < LEAST:
            return head
        along, _ = offsets(mesh, told, movable.astype(float), SPREAD)
        mesh = mesh.moved((along * movable)[:, None] * mesh.vertex_normals())
    return head.with_vertices(mesh.vertices_mm[:len(head.vertices_mm)])


def measure_throat(mesh: Mesh, weight: Float[np.ndarray, "v"], cameras: Sequence[Camera],
                   pictures: Callable[[int], Picture], skins: Skins, rasterize: Rasterize,
                   reach_mm: tuple[float, float] = NEAR, options: OutlineOptions = NEAR_READING) -> Depths:
    """How far the throat (`weight`) lies from the mesh where it is an outline in a turned view."""
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda k: reading(mesh, weight, cameras[k], pictures(k), skins[k], rasterize, reach_mm,
                                                options), skins))
    none = np.zeros((0, 3))
    found.append((np.zeros(0, np.int32), none, none, none, np.zeros(0)))
    face, bary, target, normal, sd = (np.concatenate([f[k] for f in found]) for k in range(5))
    view = np.concatenate([np.full(len(f[0]), float(k)) for f, k in zip(found, [*skins, -1], strict=True)])
    return Depths(on=SurfacePoints(face=face, bary=bary), target_mm=target, normal=normal, sd_mm=sd, view=view)


def throat(mesh: Mesh, anatomy: Anatomy) -> Float[np.ndarray, "v"]:
    """Weight of the skin under the chin, from its border to the front of the neck."""
    height, ahead = mesh.vertices_mm[:, 1], mesh.vertices_mm[:, 2]
    points = mesh.points(anatomy.pins478)
    chin, ears = points[152], points[[234, 454]].mean(0)
    other = np.max([anatomy.region(n) for n in ("forehead", "nose", "lips", "ear_l", "ear_r")], axis=0)
    reach = np.minimum((height - chin[1] + 60) / 20, (chin[1] + 12 - height) / 8)
    weight: np.ndarray = all_skin(anatomy) * (1 - other) * np.clip(
        np.minimum(reach, (ahead - ears[2] + 10) / 15), 0, 1)
    return weight


def long_edges(mesh: Mesh, weight: Float[np.ndarray, "v"]) -> np.ndarray:
    """The edges ab, bc, ca that touch a part and are longer than `EDGE_MM`."""
    following = np.roll(mesh.faces, -1, axis=1)
    length = np.linalg.norm(mesh.vertices_mm[mesh.faces] - mesh.vertices_mm[following], axis=2)
    out: np.ndarray = (length > EDGE_MM) & ((weight[mesh.faces] > FAINT) | (weight[following] > FAINT))
    return out


def skins_of(cameras: Sequence[Camera], pictures: Callable[[int], Picture],
             points_px: Float[np.ndarray, "n 478 2"]) -> Skins:
    """What looks like the person's skin in the turned views."""
    colours = {k: chroma(pictures(k), points_px[k]) for k, c in enumerate(cameras)
               if abs(c.head_angles_rad[0]) > TURNED_RAD}
    if not colours:
        return {}
    usual, spread = usual_skin(np.concatenate([known for _, known in colours.values()]))

    def of(values: np.ndarray) -> np.ndarray:
        off2 = (((values[..., 1:] - usual[1:]) / spread[1:]) ** 2).sum(2)
        out: np.ndarray = ((values[..., 0] > DARKEST * usual[0]) / (1 + off2 / LIKE_SPREADS**2)).astype(np.float32)
        return out

    return {k: of(values) for k, (values, _) in colours.items()}


def reading(mesh: Mesh, weight: Float[np.ndarray, "v"], camera: Camera, picture: Picture,
            skin: Float[np.ndarray, "k l"], rasterize: Rasterize, reach_mm: tuple[float, float],
            options: OutlineOptions) -> tuple[np.ndarray, ...]:
    """Face, barycentrics, target, normal and sd of one view's outline of a part."""
    outline = bounding(mesh, weight, camera, rasterize)
    normal = outline.on.on(mesh.vertex_normals(), mesh.faces)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    per_mm = np.linalg.norm(camera.px_from_points(outline.points_mm + normal) - outline.px, axis=1)
    if len(per_mm) == 0:
        return outline.on.face, outline.on.bary, outline.points_mm, normal, per_mm
    inward_px, outward_px = np.array(reach_mm) * np.median(per_mm)
    off, sure = edges(picture, outline.px, outline.out, float(outward_px), options, float(inward_px), skin)
    rows = np.flatnonzero(sure & agreeing(outline.px, off, sure, options) & (per_mm > 0.2))
    target = outline.points_mm[rows] + (off[rows] / per_mm[rows])[:, None] * normal[rows]
    return outline.on.face[rows], outline.on.bary[rows], target, normal[rows], options.sd_px / per_mm[rows]
