"""Certainty as a picture: how many millimetres the true skin may lie off, on one scale for every head, and what no
camera saw, striped.

The number shown is the half-width of the 95 % interval, 1.96 standard deviations of a vertex.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from core.camera import Camera
from core.certainty import SEEN, WITHIN_95, within95_mm
from core.mesh import Mesh
from render.draw import INK, PAPER, tagged, text_size, write
from render.heat import ramp
from render.picture import PictureOptions, Skin, as_bytes, smooth
from render.rasterize import Hits, Rasterizer
from render.surface import Surface
from render.views import VIEWS

LIMIT_MM = 5.0
"""The end of the scale, the same for every head, so that two can be compared; beyond it the end colour stays."""
COLORS = ((0.0, (68, 1, 84)), (0.125, (71, 45, 123)), (0.25, (59, 82, 139)), (0.375, (44, 114, 142)),
          (0.5, (33, 145, 140)), (0.625, (40, 174, 128)), (0.75, (94, 201, 98)), (0.875, (173, 220, 48)),
          (1.0, (253, 231, 37)))
"""By share of the limit: viridis (van der Walt and Smith, CC0). It brightens steadily, so it also reads in grey and
for the colour-blind; yellow, the least certain, catches the eye."""
STRIPES = ((204, 207, 210), (142, 148, 154))
"""Two greys of what was not seen; no colour of the scale is a grey, and none has stripes."""
STRIPE_SHARE = 1 / 70
"""A pair of stripes across the picture's diagonal directions, as a share of its height."""
LIGHT = PictureOptions(light="headlight", ambient=0.72, background=PAPER)
"""Enough shade to see the form, too little to change what a colour says."""
SHEET = ("right_lateral", "right_oblique", "frontal", "left_oblique", "left_lateral")
"""Views of the sheet, as the head turns."""
NOT_SEEN = "Not seen by the camera: completed from the other side and the average face"


def within_words(within_mm: float) -> str:
    """The sentence that every legend carries."""
    return f"95 % of the face lies within ± {within_mm:.1f} mm" if np.isfinite(within_mm) else "No face was seen"


def half_width_colors(half_width_mm: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 3"]:
    """Colours 0..255 of millimetres."""
    return ramp(COLORS, half_width_mm / LIMIT_MM)


def striped(px: Float[np.ndarray, "n 2"], height: int) -> Bool[np.ndarray, "n"]:
    """Whether a pixel lies on a dark stripe; they run the same way in the whole picture, whatever the form."""
    return np.mod(px.sum(1) / (STRIPE_SHARE * height), 1) < 0.4


class CertaintySkin(Skin):
    """A surface coloured by its certainty, softly lit from the camera; paper around it."""

    def __init__(self, surface: Surface, camera: Camera, sd_mm: Float[np.ndarray, "v"],
                 seen: Float[np.ndarray, "v"]) -> None:
        super().__init__(surface, camera, None, LIGHT)
        self.camera = camera
        self.table = np.column_stack([WITHIN_95 * sd_mm, seen, surface.mesh.vertices_mm]).astype(np.float32)

    def lit(self, color: Float[np.ndarray, "n 3"], hits: Hits) -> Float[np.ndarray, "n 3"]:
        """The colour of the certainty instead of the surface's own."""
        values = np.einsum("nk,nkc->nc", hits.bary, self.table[self.surface.mesh.faces[hits.face]])
        grey = np.array(STRIPES, float)[striped(self.camera.px_from_points(values[:, 2:].astype(float)),
                                                       self.camera.size_wh[1]).astype(int)]
        shown = np.where(values[:, 1:2] > SEEN, half_width_colors(values[:, 0]), grey)
        return super().lit(shown.astype(np.float32), hits)


def certainty_map(rasterizer: Rasterizer, camera: Camera, sd_mm: Float[np.ndarray, "v"],
                  seen: Float[np.ndarray, "v"]) -> UInt8[np.ndarray, "h w 3"]:
    """The head as a camera sees it, coloured by its certainty."""
    skin = CertaintySkin(rasterizer.surface, camera, sd_mm, seen)
    return as_bytes(smooth(rasterizer, camera, skin, rasterizer(camera)))


def certainty_sheet(mesh: Mesh, sd_mm: Float[np.ndarray, "v"], seen: Float[np.ndarray, "v"],
                    cameras: Mapping[str, Camera], face_seen: Float[np.ndarray, "v"] | None = None) -> UInt8[
                        np.ndarray, "h w 3"]:
    """Both profiles, both three-quarter views and the front in a row, above what the colours mean; face_seen: what the
    sentence is about, without it all that was seen."""
    rasterizer = Rasterizer(mesh)
    row = np.concatenate([tagged(certainty_map(rasterizer, cameras[name], sd_mm, seen), VIEWS[name].label)
                          for name in SHEET if name in cameras], 1)
    within_mm = within95_mm(mesh, sd_mm, seen if face_seen is None else face_seen)
    return np.concatenate([row, legend(row.shape[1], max(96, row.shape[0] // 4), within_mm)], 0)


def legend(width: int, height: int, within_mm: float) -> UInt8[np.ndarray, "h w 3"]:
    """The scale with its ticks in mm, the interval of the whole, and what the stripes mean."""
    page = Image.new("RGB", (width, height), PAPER)
    size = max(9, height // 6)
    left, top = 2 * size, size // 2
    wide = max(12 * size, min(30 * size, width // 3))
    colors = as_bytes(half_width_colors(np.linspace(0, LIMIT_MM, wide))[None].astype(np.float32))
    page.paste(Image.fromarray(np.repeat(colors, 2 * size, 0)), (left, top))
    draw = ImageDraw.Draw(page)
    for tick in range(int(LIMIT_MM) + 1):
        x = left + tick / LIMIT_MM * (wide - 1)
        draw.line((x, top + 2 * size, x, top + 2.4 * size), fill=INK)
        write(page, (x, top + 2.6 * size), f"{tick}", size, "ma")
    write(page, (left + wide + 0.8 * size, top + 2.6 * size), "mm or more", size, "la")
    across = left + wide + 8 * size
    box = (across, top, across + 3 * size, top + 2 * size)
    swatch = np.indices((2 * size, 3 * size)).sum(0) // max(2, size // 4) % 2
    page.paste(Image.fromarray(np.array(STRIPES, np.uint8)[swatch]), box[:2])
    write(page, (box[2] + size, top + size), NOT_SEEN, fitting(NOT_SEEN, size, width - box[2] - 2 * size), "lm")
    words = f"Half-width of the 95 % interval at each place.  {within_words(within_mm)}."
    write(page, (left, height - size // 2), words, size, "ls")
    return np.asarray(page)


def fitting(words: str, size: int, width: int) -> int:
    """The largest lettering up to `size` at which the words keep to a width."""
    while size > 6 and text_size(words, size)[0] > width:
        size -= 1
    return size
