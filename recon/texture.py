"""Texture: the person's skin over the head, gathered from the frames by angle of view, sharpness and visibility.

Letters: T texture side in texels, M texels inside the layout. Two bands: colours and light are averaged smoothly over
all views; detail comes from the one view that sees a texel best, so that pores stay sharp where views disagree by a
pixel. What no view saw is filled from the mirror side, then from the surrounding skin; `Texture.seen` says where.
"""

import hashlib
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import open3d as o3d
from jaxtyping import Float, Int, UInt8

from core.camera import Camera, distort
from core.fragments import Rasterize
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.texture import Texture

Picture = UInt8[np.ndarray, "h w 3"]


@record
class TextureOptions:
    """How the skin is gathered.

    side: texels per side. views: pictures used at most. band_mm: detail finer than this comes from one view. power: how
    sharply the head-on view wins. least_cosine: steeper views are not used. depth_tolerance_mm: for visibility.
    border_px: pixels next to a silhouette that are not trusted.
    """

    side: int = 2048
    views: int = 10
    band_mm: float = 4.0
    power: float = 4.0
    least_cosine: float = 0.2
    depth_tolerance_mm: float = 2.0
    border_px: int = 5


DEFAULTS = TextureOptions()
LEAST_WEIGHT = 1e-15
"""Less was hardly seen (a head-on view weighs 1e-6): dividing by it would turn rounding into black texels."""
LEAST_PERSON = 0.3
"""Share of the head's silhouette that the person's mask must cover to be believed."""
LINING_RGB = (84, 42, 40)
"""Colour of the mouth's and eye sockets' lining, which no camera sees."""


@record
class Layout:
    """Which triangle each texel lies on: face (T,T) or -1, bary (T,T,3)."""

    face: Int[np.ndarray, "t t"]
    bary: Float[np.ndarray, "t t 3"]


_layouts: dict[tuple[str, int], Layout] = {}


def layout(mesh: Mesh, side: int) -> Layout:
    """Rasterise the texture coordinates once per topology: rays down on the flat layout, texel centres at +0.5."""
    key = (hashlib.sha256(mesh.uv.tobytes() + mesh.faces_uv.tobytes()).hexdigest(), side)
    if key not in _layouts:
        flat = np.column_stack([mesh.uv * side - 0.5, np.zeros(len(mesh.uv))]).astype(np.float32)
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(o3d.core.Tensor(flat), o3d.core.Tensor(mesh.faces_uv.astype(np.uint32)))
        x, y = np.meshgrid(np.arange(side, dtype=np.float32), np.arange(side, dtype=np.float32))
        one = np.ones_like(x)
        hit = scene.cast_rays(o3d.core.Tensor(np.stack([x, y, one, 0 * x, 0 * x, -one], -1)))
        face = np.where(np.isfinite(hit["t_hit"].numpy()), hit["primitive_ids"].numpy().astype(np.int64), -1)
        uv = hit["primitive_uvs"].numpy()
        _layouts[key] = Layout(face=face.astype(np.int32), bary=np.dstack([1 - uv.sum(2), uv]).astype(np.float32))
    return _layouts[key]


def on_texels(values: Float[np.ndarray, "v c"], mesh: Mesh, flat: Layout) -> Float[np.ndarray, "t t c"]:
    """Per-vertex values at every texel, zero outside the layout."""
    corner = mesh.faces[np.maximum(flat.face, 0)]
    table = values.astype(np.float32)
    out = sum(flat.bary[..., k:k + 1] * table[corner[..., k]] for k in range(3))
    return np.where(flat.face[..., None] >= 0, out, 0).astype(np.float32)


def choose_views(cameras: Sequence[Camera], sharpness: Float[np.ndarray, "n"], count: int) -> list[int]:
    """Views spread over the head's turn and nod, the sharpest of each neighbourhood; at most `count`."""
    angles = np.stack([c.head_angles_rad[:2] for c in cameras])
    chosen = [int(np.argmin(np.abs(angles).sum(1)))]
    while len(chosen) < min(count, len(cameras)):
        gap = np.min([np.linalg.norm(angles - angles[c], axis=1) for c in chosen], axis=0)
        gain = gap * (0.5 + 0.5 * sharpness / sharpness.max())
        gain[chosen] = -1
        chosen.append(int(np.argmax(gain)))
    return chosen


def view_weight(points: np.ndarray, normals: np.ndarray, mesh: Mesh, camera: Camera, rasterize: Rasterize,
                foreground: np.ndarray, options: TextureOptions) -> tuple[np.ndarray, np.ndarray]:
    """Pixel (T,T,2) and weight (T,T) of every texel in one view; weight 0 where it is hidden, oblique or background."""
    cam = points @ camera.cam_from_head[:3, :3].astype(np.float32).T + camera.cam_from_head[:3, 3].astype(np.float32)
    depth = cam[..., 2]
    px = distort(cam[..., :2] / np.maximum(depth, 1)[..., None], camera.distortion)
    px = (px * np.diag(camera.K_px)[:2] + camera.K_px[:2, 2]).astype(np.float32)
    to_camera = camera.position_mm.astype(np.float32) - points
    distance = np.sqrt(np.einsum("uvc,uvc->uv", to_camera, to_camera))
    cosine = np.einsum("uvc,uvc->uv", normals, to_camera) / np.maximum(distance, 1e-6)
    seen = rasterize(mesh, camera)
    person = seen.covered & foreground
    if person.sum() < LEAST_PERSON * seen.covered.sum():  # the network did not recognise the head at all
        person = seen.covered
    trusted = person.astype(np.uint8)
    trusted = cv2.erode(trusted, np.ones((2 * options.border_px + 1,) * 2, np.uint8), borderValue=0)
    soft = cv2.GaussianBlur(trusted.astype(np.float32), (0, 0), options.border_px) * trusted
    depth_map = np.where(np.isfinite(seen.depth_mm), seen.depth_mm, 0).astype(np.float32)
    surface = cv2.remap(depth_map, px, None, cv2.INTER_NEAREST, borderValue=0)
    visible = depth < surface + options.depth_tolerance_mm
    weight = np.clip((cosine - options.least_cosine) / (1 - options.least_cosine), 0, 1) ** options.power
    weight *= cv2.remap(soft, px, None, cv2.INTER_LINEAR, borderValue=0) * visible
    return px, (weight / np.maximum(distance, 1) ** 2).astype(np.float32)


def gather(mesh: Mesh, cameras: Sequence[Camera], pictures: Callable[[int], Picture],
           foreground: Callable[[Picture], np.ndarray], sharpness: Float[np.ndarray, "n"], rasterize: Rasterize,
           options: TextureOptions = DEFAULTS, progress: Progress = silent,
           lining: Float[np.ndarray, "v"] | None = None) -> Texture:
    """Blend the pictures into a texture.

    pictures(i): RGB of view i. foreground(picture): boolean (h,w), the person. sharpness (n,): larger is better.
    lining (V,): weight of surfaces no camera can see (mouth, eye sockets), painted dark.
    """
    flat = layout(mesh, options.side)
    points, normals = on_texels(mesh.vertices_mm, mesh, flat), on_texels(mesh.vertex_normals(), mesh, flat)
    shape = flat.face.shape
    low_sum, weight_sum = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32)
    detail, best = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.float32)
    chosen = choose_views(cameras, sharpness, options.views)
    for turn, view in enumerate(chosen):
        progress(turn / len(chosen), f"Gathering skin, view {turn + 1} of {len(chosen)}")
        picture, camera = pictures(view), cameras[view]
        px, weight = view_weight(points, normals, mesh, camera, rasterize, foreground(picture), options)
        weight *= np.float32(sharpness[view] / sharpness.max())
        blur_px = options.band_mm * camera.K_px[0, 0] / np.linalg.norm(camera.position_mm)
        low = cv2.remap(cv2.GaussianBlur(picture, (0, 0), blur_px), px, None, cv2.INTER_LINEAR).astype(np.float32)
        low_sum += low * weight[..., None]
        weight_sum += weight
        wins = weight > best
        full = cv2.remap(picture, px, None, cv2.INTER_CUBIC).astype(np.float32)
        detail[wins] = (full - low)[wins]
        best = np.maximum(best, weight)
    seen = (weight_sum > LEAST_WEIGHT) & (flat.face >= 0)
    skin = np.clip(low_sum / np.maximum(weight_sum, LEAST_WEIGHT)[..., None] + detail, 0, 255)
    colour = complete(skin, seen, flat.face >= 0)
    if lining is not None:
        inner = on_texels(lining[:, None], mesh, flat)[..., 0] > 0.99
        colour[inner & ~seen] = LINING_RGB
    return Texture(rgb=np.rint(np.clip(colour, 0, 255)).astype(np.uint8), seen=np.where(seen, 255, 0).astype(np.uint8))


def complete(skin: np.ndarray, seen: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Fill unseen texels: from the mirror side (the layout is symmetric left to right), then from around."""
    mirror = skin[:, ::-1]
    from_mirror = ~seen & seen[:, ::-1] & inside
    known = seen | from_mirror
    mixed = np.where(from_mirror[..., None], mirror, skin)
    around = pull_push(mixed, known)
    edge = cv2.GaussianBlur(seen.astype(np.float32), (0, 0), 12)[..., None]
    softened = np.where(from_mirror[..., None], edge * around + (1 - edge) * mixed, mixed)
    return np.where(known[..., None], softened, around)


def pull_push(colour: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Colours everywhere from the known ones: averages of ever coarser neighbourhoods (Gortler 1996, pull-push)."""
    weight = known.astype(np.float32)[..., None]
    levels = [(colour.astype(np.float32) * weight, weight)]
    while min(levels[-1][0].shape[:2]) > 2:
        c, w = levels[-1]
        half = (c.shape[1] // 2, c.shape[0] // 2)
        levels.append((cv2.resize(c, half, interpolation=cv2.INTER_AREA),
                       cv2.resize(w, half, interpolation=cv2.INTER_AREA)[..., None]))
    c, w = levels[-1]
    fill = c / np.maximum(w, 1e-8) if w.any() else np.full_like(c, 128)
    for c, w in reversed(levels[:-1]):
        up = cv2.resize(fill, (c.shape[1], c.shape[0]), interpolation=cv2.INTER_LINEAR)
        mean = c / np.maximum(w, 1e-8)
        trust = np.minimum(w, 1)
        fill = np.where(w > 1e-6, trust * mean + (1 - trust) * up, up)
    return fill
