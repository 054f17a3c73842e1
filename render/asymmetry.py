"""Asymmetry on a photo: what differs between left and right in mm, coloured on the skin, before against after."""

from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw

from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import freeze, record
from render.draw import INK, MARK, PAPER, RED, font, tagged, text_size, write
from render.heat import SIZE, ramp
from render.picture import as_bytes

LIMIT_MM = 6.0
"""The end of the scale: the same for every face."""
STRENGTH = 0.62
"""How much of the skin the strongest colour covers."""
SHEET_PX = 900
"""Height of one picture of a sheet."""


@record
class Place:
    """What was measured somewhere. at_mm (n,3): one place, or a left and a right one, in the head frame. size_mm:
    spread of its colour. value_mm: signed difference; sd_mm: its standard deviation. told: its number is written."""

    told: bool
    at_mm: Float[np.ndarray, "n 3"]
    size_mm: float
    value_mm: float
    sd_mm: float

    def __post_init__(self) -> None:
        freeze(self, at_mm=(self.at_mm, float))


def asymmetry_map(picture: UInt8[np.ndarray, "h w 3"], camera: Camera, mesh: Mesh, places: Sequence[Place],
                  rasterize: Rasterize) -> UInt8[np.ndarray, "h w 3"]:
    """The photo with the size of every difference on the skin, its midline, and the numbers of the places told."""
    if not places:
        return picture.copy()
    seen = rasterize(mesh, camera)
    shown = seen.interpolate(np.column_stack(vertex_colours(mesh, places)), mesh.faces)
    colour, share = ramp(SIZE, shown[..., 0] / LIMIT_MM), STRENGTH * shown[..., 1:2]
    mixed = picture * (1 - share) + colour * share
    canvas = Image.fromarray(as_bytes(np.asarray(mixed, np.float32)))
    draw_midline(canvas, camera, mesh, seen.covered)
    size = max(9, picture.shape[0] // 42)
    for place in places:
        if place.told:
            number(canvas, camera, place, size)
    return np.asarray(canvas)


def vertex_colours(mesh: Mesh, places: Sequence[Place]) -> tuple[Float[np.ndarray, "v"], Float[np.ndarray, "v"]]:
    """Millimetres (V,) blended between the places near each vertex, and how strongly they show (V,): 1 at a place whose
    difference is beyond doubt, less where it may be noise or lies further off."""
    total, weights, near = (np.zeros(len(mesh.vertices_mm)) for _ in range(3))
    for place in places:
        for at in place.at_mm:
            reach2 = ((mesh.vertices_mm - at) ** 2).sum(1) / place.size_mm**2
            weight = np.exp(-reach2 / 2)
            total += weight * abs(place.value_mm)
            weights += weight
            sure = min(abs(place.value_mm) / max(2 * place.sd_mm, 1e-9), 1.0)
            near = np.maximum(near, sure * np.exp(-(reach2**2) / 2))  # flat in the middle, gone soon after
    return total / np.maximum(weights, 1e-9), near


def draw_midline(canvas: Image.Image, camera: Camera, mesh: Mesh, covered: Bool[np.ndarray, "h w"]) -> None:
    """The plane x = 0 where it cuts the front of the head."""
    front = mesh.vertices_mm[np.abs(mesh.vertices_mm[:, 0]) < 4]
    front = front[front[:, 2] > -40]
    if len(front) < 2:
        return
    heights = np.arange(-85.0, 56.0, 3.0)
    line = []
    for y in heights:
        band = front[np.abs(front[:, 1] - y) < 6]
        if len(band):
            line.append([0.0, y, band[:, 2].max()])
    if len(line) < 2:
        return
    px = camera.px_from_points(np.array(line))
    inside = np.isfinite(px).all(1)
    draw = ImageDraw.Draw(canvas)
    width = max(1, canvas.height // 500)
    for a, b in zip(px[inside][:-1:2], px[inside][1::2], strict=False):
        draw.line([tuple(a), tuple(b)], fill=PAPER, width=width)


def number(canvas: Image.Image, camera: Camera, place: Place, size: int) -> None:
    """The difference, on the patient's left place (the picture's right), outlined so that it reads on any skin."""
    at = place.at_mm[np.argmax(place.at_mm[:, 0])]
    x, y = camera.px_from_points(at[None])[0]
    if not (0 <= x < canvas.width and 0 <= y < canvas.height):
        return
    ImageDraw.Draw(canvas).text((x, y), f"{abs(place.value_mm):.1f}", fill=INK, font=font(size), anchor="mm",
                                stroke_width=max(1, size // 6), stroke_fill=PAPER)


def legend(width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
    """The colours' meaning in mm."""
    canvas = Image.new("RGB", (width, height), PAPER)
    size = max(10, height // 4)
    left, right, top, bottom = width // 4, width - width // 4, size // 2, height - 2 * size
    values = np.linspace(0, 1, max(right - left, 2))
    strip = np.repeat(as_bytes(ramp(SIZE, values)[None].astype(np.float32)), max(bottom - top, 1), 0)
    canvas.paste(Image.fromarray(strip), (left, top))
    for k in range(4):
        last = f"{LIMIT_MM:g} and more"
        write(canvas, (left + (right - left) * k / 3, bottom + size // 3),
              last if k == 3 else f"{LIMIT_MM * k / 3:g}", size, "ma")
    write(canvas, (left - size, (top + bottom) / 2), "left against right, mm", size, "rm")
    return np.asarray(canvas)


def asymmetry_sheet(before: UInt8[np.ndarray, "h w 3"], after: UInt8[np.ndarray, "h2 w2 3"] | None,
                    lines_before: Sequence[str], lines_after: Sequence[str] = ()) -> UInt8[np.ndarray, "h3 w3 3"]:
    """Maps side by side with their results in words below, and the scale. after: of a simulation, so it is marked."""
    columns = [column(tagged(scaled_to(before), "before" if after is not None else "left against right"), lines_before)]
    if after is not None:
        simulated = tagged(tagged(scaled_to(after), "after"), MARK, RED, bottom=True)
        columns.append(column(simulated, lines_after))
    tall = max(c.shape[0] for c in columns)
    padded = [cv2.copyMakeBorder(c, 0, tall - c.shape[0], 0, 8, cv2.BORDER_CONSTANT, value=PAPER) for c in columns]
    page = np.concatenate(padded, 1)
    return np.concatenate([page, legend(page.shape[1], 64)], 0)


def scaled_to(picture: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h2 w2 3"]:
    """A picture at the sheet's height."""
    width = max(1, round(picture.shape[1] * SHEET_PX / picture.shape[0]))
    how = cv2.INTER_AREA if picture.shape[0] > SHEET_PX else cv2.INTER_LINEAR
    return cv2.resize(picture, (width, SHEET_PX), interpolation=how)


def column(picture: UInt8[np.ndarray, "h w 3"], lines: Sequence[str]) -> UInt8[np.ndarray, "h2 w 3"]:
    """A picture over its lines of text, shrunk to fit."""
    size = 18
    while lines and max(text_size(line, size)[0] for line in lines) > picture.shape[1] - 24 and size > 8:
        size -= 1
    box = Image.new("RGB", (picture.shape[1], round(1.5 * size * len(lines)) + 16), PAPER)
    for k, line in enumerate(lines):
        write(box, (12, 8 + 1.5 * size * k), line, size)
    return np.concatenate([picture, np.asarray(box)], 0)
