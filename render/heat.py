"""Heat maps: how many millimetres the surface moves, on a fixed scale, so that two maps can be compared.

Letters: d displacement of a surface point, n its outward unit normal before the operation (head axes, mm).
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh
from core.records import record
from render.buffers import normals, unit
from render.draw import INK, PAPER, write
from render.picture import PictureOptions, Skin, as_bytes, smooth
from render.rasterize import Hits, Rasterizer
from render.surface import Surface

OUTWARD = ((0.0, (214, 210, 205)), (0.25, (246, 196, 150)), (0.6, (222, 96, 60)), (1.0, (128, 8, 30)))
INWARD = ((0.0, (214, 210, 205)), (0.25, (158, 200, 232)), (0.6, (52, 118, 196)), (1.0, (12, 28, 108)))
SIZE = ((0.0, (214, 210, 205)), (0.2, (246, 224, 130)), (0.5, (240, 140, 60)), (0.8, (190, 40, 90)),
        (1.0, (70, 10, 110)))
"""Colours by share of the limit. All three darken steadily, so they also read in grey and for the colour-blind."""


@record
class HeatOptions:
    """kind: `signed` is the motion along the normal (out is added, in is taken away), `size` the whole motion.

    limit_mm: the end of the scale, the same for every view and plan unless the caller changes it.
    """

    kind: Literal["signed", "size"] = "signed"
    limit_mm: float = 5.0


HEAT = HeatOptions()
"""Signed, up to 5 mm: the range of soft-tissue rhinoplasty and small chin moves."""


def motion_mm(fragments: Fragments, mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"],
              options: HeatOptions = HEAT) -> Float[np.ndarray, "h w"]:
    """Millimetres of motion at every pixel of the mesh before the operation, zero where it is not seen."""
    moved = fragments.interpolate(displacement_mm, mesh.faces)
    return along(moved, normals(fragments, mesh), options)


def along(moved: Float[np.ndarray, "*n 3"], normal: Float[np.ndarray, "*n 3"], options: HeatOptions) -> Float[
        np.ndarray, "*n"]:
    """The number the map shows: motion along the normal, or its whole length."""
    return np.linalg.norm(moved, axis=-1) if options.kind == "size" else np.sum(moved * normal, axis=-1)


def heat_colors(motion: Float[np.ndarray, "*n"], options: HeatOptions = HEAT) -> Float[np.ndarray, "*n 3"]:
    """Colours 0..255 of millimetres; beyond the limit the end colour stays."""
    share = motion / options.limit_mm
    if options.kind == "size":
        return ramp(SIZE, share)
    return np.where((share > 0)[..., None], ramp(OUTWARD, share), ramp(INWARD, -share))


def ramp(stops: tuple[tuple[float, tuple[int, int, int]], ...], share: Float[np.ndarray, "*n"]) -> Float[
        np.ndarray, "*n 3"]:
    """Piecewise linear colours."""
    at, colors = np.array([s for s, _ in stops]), np.array([c for _, c in stops], float)
    return np.stack([np.interp(share, at, colors[:, k]) for k in range(3)], -1)


class HeatSkin(Skin):
    """A surface coloured by its motion and softly lit from the camera; paper around it."""

    def __init__(self, surface: Surface, camera: Camera, displacement_mm: Float[np.ndarray, "v 3"],
                 heat: HeatOptions) -> None:
        super().__init__(surface, camera, None, PictureOptions(light="headlight", background=PAPER))
        self.heat = heat
        self.displacement_mm = displacement_mm.astype(np.float32)

    def lit(self, color: Float[np.ndarray, "n 3"], hits: Hits) -> Float[np.ndarray, "n 3"]:
        """The colour of the motion instead of the surface's own."""
        corners = self.surface.mesh.faces[hits.face]
        moved = np.einsum("nk,nkc->nc", hits.bary, self.displacement_mm[corners])
        normal = unit(np.einsum("nk,nkc->nc", hits.bary, self.surface.normals[corners]))
        return super().lit(heat_colors(along(moved, normal, self.heat), self.heat).astype(np.float32), hits)


def heat_map(rasterizer: Rasterizer, camera: Camera, displacement_mm: Float[np.ndarray, "v 3"],
             options: HeatOptions = HEAT, fragments: Fragments | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """The head before the operation, coloured by its motion. `fragments` may be handed in when they are known."""
    fragments = rasterizer(camera) if fragments is None else fragments
    skin = HeatSkin(rasterizer.surface, camera, displacement_mm, options)
    return as_bytes(smooth(rasterizer, camera, skin, fragments))


def color_bar(width: int, height: int, options: HeatOptions = HEAT) -> UInt8[np.ndarray, "h w 3"]:
    """A horizontal scale with ticks in mm, on paper."""
    canvas = Image.new("RGB", (width, height), PAPER)
    size = max(9, height // 4)
    left, right, top, bottom = 2 * size, width - 2 * size, size // 2, height - 2 * size
    low = -options.limit_mm if options.kind == "signed" else 0.0
    values = np.linspace(low, options.limit_mm, right - left)
    strip = np.repeat(as_bytes(heat_colors(values, options)[None].astype(np.float32)), bottom - top, 0)
    canvas.paste(Image.fromarray(strip), (left, top))
    draw = ImageDraw.Draw(canvas)
    for value in np.linspace(low, options.limit_mm, 5):
        x = left + (value - low) / (options.limit_mm - low) * (right - left - 1)
        draw.line((x, bottom, x, bottom + size // 3), fill=INK)
        sign = "+" if options.kind == "signed" and value > 0 else ""
        write(canvas, (x, bottom + size // 2), f"{sign}{value:g}", size, "ma")
    return np.asarray(canvas)
