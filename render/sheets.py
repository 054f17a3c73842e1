"""Sheets: before and after side by side, and all standard views on one page with what changed."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from core.camera import Camera
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.store import save_png
from core.texture import Texture
from render.buffers import px_per_mm
from render.draw import MARK, PAPER, RED, marked, scaled, tagged, text_size, write
from render.heat import HEAT, HeatOptions, color_bar, heat_map
from render.mipmap import Mipmap
from render.picture import AS_SEEN, PictureOptions, photograph
from render.rasterize import Rasterizer
from render.views import VIEWS


@record
class SheetOptions:
    """picture: how the head is shown. heat: the difference row's scale."""

    picture: PictureOptions = AS_SEEN
    heat: HeatOptions = HEAT


SHEET = SheetOptions()
"""As-seen colours and the standard heat scale."""


@record
class Views:
    """One camera's pictures, without lettering: before, after and difference (H,W,3), and the scale at the face."""

    before: UInt8[np.ndarray, "h w 3"]
    after: UInt8[np.ndarray, "h w 3"]
    difference: UInt8[np.ndarray, "h w 3"]
    px_per_mm: float


def view_pictures(mesh: Mesh, texture: Texture | None, displacement_mm: Float[np.ndarray, "v 3"],
                  cameras: Mapping[str, Camera], options: SheetOptions = SHEET,
                  progress: Progress = silent) -> dict[str, Views]:
    """Every camera's pictures before and after. Without displacement both are the same bytes."""
    skin = None if texture is None else Mipmap(texture)
    before = Rasterizer(mesh)
    moves = bool(np.any(displacement_mm))
    after = Rasterizer(mesh.moved(displacement_mm)) if moves else before
    pictures = {}
    for number, (name, camera) in enumerate(cameras.items()):
        progress(number / len(cameras), f"view {name}")
        fragments = before(camera)
        shown = photograph(before, camera, skin, options.picture, fragments=fragments)
        pictures[name] = Views(
            before=shown, difference=heat_map(before, camera, displacement_mm, options.heat, fragments),
            after=photograph(after, camera, skin, options.picture, before=before.surface) if moves else shown,
            px_per_mm=px_per_mm(fragments, camera))
    return pictures


def pair(view: Views, label: str) -> UInt8[np.ndarray, "h w2 3"]:
    """Before and after side by side, labelled, with a 10 mm bar in each and the mark on the simulated one."""
    before = scaled(tagged(view.before, f"{label}: before"), view.px_per_mm)
    after = scaled(marked(tagged(view.after, f"{label}: after")), view.px_per_mm)
    gap = np.full((before.shape[0], max(4, before.shape[1] // 100), 3), 255, np.uint8)
    return np.concatenate([before, gap, after], 1)


def change(view: Views, heat: HeatOptions = HEAT) -> UInt8[np.ndarray, "h2 w 3"]:
    """The heat map on its own: scale bar, mark, and the colours' meaning below."""
    shown = scaled(marked(tagged(view.difference, "change in mm")), view.px_per_mm)
    height, width = shown.shape[:2]
    return np.concatenate([shown, color_bar(width, max(44, height // 10), heat)], 0)


def contact_sheet(views: Mapping[str, Views], title: str, options: SheetOptions = SHEET) -> UInt8[np.ndarray, "h w 3"]:
    """All views on one page: a row before, a row after, a row of motion in mm with its scale."""
    cells = [[scaled(tagged(v.before, label_of(n)), v.px_per_mm) for n, v in views.items()],
             [scaled(marked(tagged(v.after, label_of(n))), v.px_per_mm) for n, v in views.items()],
             [v.difference for v in views.values()]]
    height, width = cells[0][0].shape[:2]
    gap, margin = max(4, width // 60), max(28, width // 9)
    size = max(11, height // 26)
    head, foot = 3 * size, 4 * size
    page = Image.new("RGB", (margin + len(views) * (width + gap), head + 3 * (height + gap) + foot), PAPER)
    for row, pictures in enumerate(cells):
        y = head + row * (height + gap)
        side_label(page, margin, y, height, ("before", "after", "change in mm")[row], size)
        for column, picture in enumerate(pictures):
            page.paste(Image.fromarray(picture), (margin + column * (width + gap), y))
    write(page, (margin, head / 2), title, round(1.2 * size), "lm")
    write(page, (page.width - gap, head / 2), MARK, size, "rm", RED)
    legend(page, margin, foot, size, options.heat)
    return np.asarray(page)


def label_of(name: str) -> str:
    """A person's word for a view; a captured view keeps its own name."""
    return VIEWS[name].label if name in VIEWS else name


def side_label(page: Image.Image, margin: int, y: int, height: int, text: str, size: int) -> None:
    """Text along the left edge of a row, reading upwards."""
    strip = Image.new("RGB", (height, margin), PAPER)
    write(strip, (height / 2, margin / 2), text, size, "mm")
    page.paste(strip.rotate(90, expand=True), (0, y))


def legend(page: Image.Image, margin: int, foot: int, size: int, heat: HeatOptions) -> None:
    """The heat scale and what its signs mean, at the page's foot."""
    words = ("mm along the skin's normal: + outwards, - inwards" if heat.kind == "signed" else "mm of motion")
    words += f"; colours end at {heat.limit_mm:g} mm"
    room = page.width - margin - 14 * size - 3 * size  # five numbers stand under the bar
    lines = [words] if text_size(words, size)[0] <= room else words.replace(": ", ":; ").split("; ")
    letters = min(size, int(foot / (1.3 * len(lines) + 1.4)))
    while letters > 7 and max(text_size(line, letters)[0] for line in lines) > room:
        letters -= 1
    widest = max(text_size(line, letters)[0] for line in lines)
    bar_width = max(14 * size, min(22 * size, page.width - margin - widest - 3 * size))
    page.paste(Image.fromarray(color_bar(bar_width, foot - size // 2, heat)), (margin, page.height - foot + size // 4))
    for number, line in enumerate(lines):
        y = page.height - foot / 2 + 1.3 * letters * (number - (len(lines) - 1) / 2)
        write(page, (margin + bar_width + size, y), line, letters, "lm")


def save_views(folder: Path, views: Mapping[str, Views], title: str, options: SheetOptions = SHEET) -> list[Path]:
    """Write NAME_before.png, NAME_after.png (marked), NAME_pair.png, NAME_change.png and sheet.png; their paths.

    Where nothing moves in any view nothing is simulated: then NAME_after.png is NAME_before.png, byte for byte.
    """
    simulated = any(not np.array_equal(v.before, v.after) for v in views.values())
    written = [path for name, view in views.items() for path in save_view(folder, name, view, simulated, options)]
    written.append(folder / "sheet.png")
    save_png(written[-1], contact_sheet(views, title, options))
    return written


def save_view(folder: Path, name: str, view: Views, simulated: bool = True, options: SheetOptions = SHEET) -> list[
        Path]:
    """Write one camera's NAME_before.png, NAME_after.png (marked when simulated), NAME_change.png, NAME_pair.png."""
    written = []
    for kind, picture in (("before", view.before), ("after", marked(view.after) if simulated else view.after),
                          ("change", change(view, options.heat)), ("pair", pair(view, label_of(name)))):
        written.append(folder / f"{name}_{kind}.png")
        save_png(written[-1], picture)
    return written
