"""Pictures: a textured or clay head as an sRGB picture.

Letters: n unit normal, l unit direction to the light, both in head axes; s(n) = ambient + (1 - ambient) max(n.l, 0).
The texture already carries the light of the capture, so by default colours are shown as seen. After an operation the
colour is multiplied by s(n after) / s(n before): a changed surface is lit as changed, an unchanged one is not touched.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, UInt8

from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh
from core.records import record
from core.texture import Texture
from render.buffers import unit
from render.mipmap import Mipmap, texel_levels
from render.mix import of_corners, of_vertices
from render.rasterize import Hits, Rasterizer
from render.surface import Surface

GAMMA = 2.2
"""Light adds in linear values; sRGB is close enough to this power for a factor near one."""

EDGE_RAYS = 8
"""Edge pixels are looked at through so many rays, no two of them in one row or column of the pixel: an upright edge has
as many shades, where a grid of sixteen has four."""
LATTICE_STEP = {5: 2, 8: 3}
"""Fibonacci lattices: from one ray to the next, one row down and so many columns on."""

EDGE_PIXELS = 2048
"""Edge pixels looked at together: their rays stay near the processor's cache."""
BAND_ROWS = 128
"""Rows shaded at once, one band per processor."""


@record
class PictureOptions:
    """How a head is shown.

    light: `as_seen` shows the texture's own colours, `headlight` adds gentle shading from the camera's side.
    ambient: the headlight's share, 0..1, that reaches every normal. room_ambient: the same of the capture's light, by
    which changed skin is lit anew; rooms are softer.
    background: sRGB bytes around the head. clay: sRGB bytes of the skin when no texture is given.
    """

    light: Literal["as_seen", "headlight"] = "as_seen"
    ambient: float = 0.3
    room_ambient: float = 0.55
    background: tuple[int, int, int] = (236, 238, 240)
    clay: tuple[int, int, int] = (206, 200, 194)


AS_SEEN = PictureOptions()
"""The texture's own colours on light grey."""


class Skin:
    """What a surface point looks like: the texture's mipmap, the normals before and after, and the light."""

    def __init__(self, surface: Surface, camera: Camera, texture: Texture | Mipmap | None, options: PictureOptions,
                 before: Surface | None = None) -> None:
        self.surface, self.options = surface, options
        self.background = np.array(options.background, np.float32)  # one colour, or a picture (H,W,3)
        self.mipmap = Mipmap(texture) if isinstance(texture, Texture) else texture
        to_camera = -camera.cam_from_head[2, :3]  # head axes
        up = -camera.cam_from_head[1, :3]
        self.light = unit(to_camera + 0.35 * up).astype(np.float32)
        self.room_light = unit(np.array([0.0, 0.45, 0.9])).astype(np.float32)  # windows and lamps: in front, above
        changed = before is not None and not np.array_equal(before.mesh.vertices_mm, surface.mesh.vertices_mm)
        self.before = before if changed and self.mipmap is not None else None  # clay carries no light to correct
        if self.before is not None:
            turned = (surface.normals != self.before.normals).any(1)
            self.turned_face = turned[surface.mesh.faces].any(1)

    def uv(self, hits: Hits) -> Float[np.ndarray, "n 2"]:
        """Texture coordinates of hits; far from every texel where nothing was met."""
        return of_corners(hits.face, hits.bary, self.surface.corner_uv)

    def lit(self, color: Float[np.ndarray, "n 3"], hits: Hits) -> Float[np.ndarray, "n 3"]:
        """Surface colours (sRGB 0..255) of hits, as the chosen light shows them."""
        factor = self._light_factor(hits)
        return color if factor is None else color * factor[:, None] ** np.float32(1 / GAMMA)

    def _light_factor(self, hits: Hits) -> np.ndarray | None:
        factor = None
        if self.options.light == "headlight":
            factor = self._shade(self.surface, self.light, self.options.ambient, hits)
        if self.before is not None:
            turned = np.flatnonzero(self.turned_face[hits.face])
            some = Hits(face=hits.face[turned], bary=hits.bary[turned], depth_mm=hits.depth_mm[turned])
            factor = np.ones(len(hits.face), np.float32) if factor is None else factor
            factor[turned] *= (self._shade(self.surface, self.room_light, self.options.room_ambient, some)
                               / self._shade(self.before, self.room_light, self.options.room_ambient, some))
        return factor

    def _shade(self, surface: Surface, light: np.ndarray, ambient: float, hits: Hits) -> np.ndarray:
        n = unit(of_vertices(hits.face, hits.bary, surface.mesh.faces, surface.normals))
        return np.float32(ambient) + np.float32(1 - ambient) * np.maximum(n @ light, 0)


def picture(fragments: Fragments, mesh: Mesh, camera: Camera, texture: Texture | Mipmap | None,
            options: PictureOptions = AS_SEEN, before: Mesh | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """One colour per pixel centre, without smoothing of the silhouette; `photograph` smooths it.

    texture None gives clay. before: the mesh the texture was seen on, to light what has changed.
    """
    old = None if before is None else Surface(before)
    return as_bytes(shaded(fragments, Skin(Surface(mesh), camera, texture, options, old))[0])


def photograph(rasterizer: Rasterizer, camera: Camera, texture: Texture | Mipmap | None,
               options: PictureOptions = AS_SEEN, before: Surface | None = None,
               fragments: Fragments | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """The picture with smooth edges. `fragments` may be handed in when they are known already.

    before: the surface the texture was seen on (`Rasterizer.surface` of the unchanged head), to light what has changed.
    """
    fragments = rasterizer(camera) if fragments is None else fragments
    return as_bytes(smooth(rasterizer, camera, Skin(rasterizer.surface, camera, texture, options, before), fragments))


def smooth(rasterizer: Rasterizer, camera: Camera, skin: Skin, fragments: Fragments,
           edge_rays: int = EDGE_RAYS) -> Float[np.ndarray, "h w 3"]:
    """Shade every pixel once, and pixels at edges with `edge_rays` rays (5 or 8); sRGB 0..255."""
    color, level = shaded(fragments, skin)
    edge = edges(fragments)
    pixels, levels = np.argwhere(edge)[:, ::-1], level[edge]
    parts = [slice(k, k + EDGE_PIXELS) for k in range(0, len(pixels), EDGE_PIXELS)]
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda p: edge_colors(rasterizer, camera, skin, pixels[p], levels[p], edge_rays), parts))
    if done:
        color[edge] = np.concatenate(done)
    return color


def shaded(fragments: Fragments, skin: Skin) -> tuple[Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """Colours 0..255 at pixel centres, and the level of detail of each pixel."""
    height, width = fragments.face.shape
    color = np.empty((height, width, 3), np.float32)
    color[:] = skin.background
    level = np.zeros((height, width), np.float32)

    columns = np.flatnonzero(fragments.covered.any(0))
    if not columns.size:
        return color, level
    across = slice(int(columns[0]), int(columns[-1]) + 1)

    def band(rows: slice) -> None:
        face = fragments.face[rows, across]
        seen = face >= 0
        if seen.any():  # the few background pixels within the rectangle are shaded too, and dropped
            hits = Hits(face=face.ravel(), bary=fragments.bary[rows, across].reshape(-1, 3),
                        depth_mm=fragments.depth_mm[rows, across].ravel())
            shown, level[rows, across] = skin_colors(skin, hits, seen)
            np.copyto(color[rows, across], shown, where=seen[..., None])

    in_bands(band, height)
    return color, level


def skin_colors(skin: Skin, hits: Hits, seen: Bool[np.ndarray, "h w"]) -> tuple[
        Float[np.ndarray, "h w 3"], Float[np.ndarray, "h w"]]:
    """Lit colours of a block of pixels and their level of detail; meaningless where not `seen`."""
    level = np.zeros(seen.shape, np.float32)
    if skin.mipmap is None:
        color = np.full((*seen.shape, 3), skin.options.clay, np.float32)
    else:
        uv = skin.uv(hits).reshape(*seen.shape, 2)
        level = texel_levels(uv, skin.mipmap.size_wh)
        color = skin.mipmap.sample(uv, level)
    return skin.lit(color.reshape(-1, 3), hits).reshape(color.shape), level


def in_bands(work: Callable[[slice], None], height: int) -> None:
    """Do `work` on bands of rows in threads; numpy and OpenCV let them run side by side."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, [slice(y, min(y + BAND_ROWS, height)) for y in range(0, height, BAND_ROWS)]))


def edges(fragments: Fragments) -> Bool[np.ndarray, "h w"]:
    """Pixels beside the silhouette or a step in depth of over 0.4 % (5 mm at 1.2 m)."""
    depth = np.minimum(fragments.depth_mm, np.float32(1e6))
    near = np.zeros(depth.shape, bool)
    down = np.abs(depth[1:] - depth[:-1]) > 0.004 * np.minimum(depth[1:], depth[:-1])
    near[:-1] |= down
    near[1:] |= down
    across = np.abs(depth[:, 1:] - depth[:, :-1]) > 0.004 * np.minimum(depth[:, 1:], depth[:, :-1])
    near[:, :-1] |= across
    near[:, 1:] |= across
    return near


def edge_colors(rasterizer: Rasterizer, camera: Camera, skin: Skin, pixels: np.ndarray,
                level: Float[np.ndarray, "n"], rays: int) -> Float[np.ndarray, "n 3"]:
    """Mean colour of some rays in each of N pixels (x, y), background included."""
    row = np.arange(rays)
    offsets = (np.stack([row * LATTICE_STEP[rays] % rays, row], -1) + 0.5) / rays - 0.5
    points = (pixels[:, None] + offsets).reshape(-1, 2).astype(float)
    if not len(points):
        return np.zeros((0, 3), np.float32)
    hits = rasterizer.at(points, camera)
    color = np.empty((len(points), 3), np.float32)
    at_pixel = skin.background if skin.background.ndim == 1 else skin.background[pixels[:, 1], pixels[:, 0]][:, None]
    color.reshape(len(pixels), -1, 3)[:] = at_pixel
    seen = hits.face >= 0
    met = Hits(face=hits.face[seen], bary=hits.bary[seen], depth_mm=hits.depth_mm[seen])
    shown = np.full((len(met.face), 3), skin.options.clay, np.float32)
    if skin.mipmap is not None:  # a background pixel knows no level: a sharp one, the mean over the rays smooths it
        shown = skin.mipmap.sample(skin.uv(met), np.repeat(np.clip(level, 0, 4), len(offsets))[seen])
    color[seen] = skin.lit(shown, met)
    return color.reshape(len(pixels), len(offsets), 3).mean(1)


def as_bytes(color: Float[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w 3"]:
    """Colours 0..255 rounded to bytes."""
    shifted = color + np.float32(0.5)
    return np.clip(shifted, 0, 255.5, out=shifted).astype(np.uint8)
