"""The quality sheet: one picture from which the person who filmed sees what is good and what to film again."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core.store import save_png
from recon.quality import Measure
from recon.verdict import Check

Number = float | int
WIDTH, TALLEST = 1500, 1800
COLORS = {"green": (38, 142, 84), "amber": (214, 140, 20), "red": (196, 48, 43)}
VERDICTS = {"good": ("green", "Good capture"), "usable": ("amber", "Usable capture"), "poor": ("red", "Poor capture")}
INK, SOFT, LINE, PAPER = (28, 32, 38), (104, 112, 122), (218, 222, 227), (255, 255, 255)
SIGNS = {"amber": "Better", "red": "Film again"}
DARK = {"amber": (150, 92, 0), "red": (170, 30, 26)}
THUMBS = 9


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own typeface, so that the sheet looks the same everywhere."""
    return ImageFont.load_default(size=size)


def draw_sheet(folder: Path, paths: Sequence[str], kept: Sequence[Measure], everything: Sequence[Measure],
               results: Sequence[Check], quality: dict) -> None:
    """Draw and write quality.png."""
    sheet = Image.new("RGB", (WIDTH, TALLEST), PAPER)
    draw = ImageDraw.Draw(sheet)
    top = heading(draw, quality) + 24
    arc(draw, (375, top + 70), 290, kept, everything)
    bottom = max(top + 420, table(draw, (770, top), results)) + 20
    bottom = thumbnails(sheet, (40, bottom), folder, paths, kept)
    save_png(folder / "quality.png", np.asarray(sheet)[:bottom + 40])


def heading(draw: ImageDraw.ImageDraw, quality: dict) -> int:
    """Verdict in a coloured band, the sentence and the notes below; returns where they end."""
    color, title = VERDICTS[quality["verdict"]]
    draw.rectangle((0, 0, WIDTH, 84), fill=COLORS[color])
    draw.text((40, 42), title, font=font(40), fill=PAPER, anchor="lm")
    f = quality["frames"]
    draw.text((WIDTH - 40, 42), f"{f['chosen']} of {f['given']} pictures used", font=font(26), fill=PAPER, anchor="rm")
    y = 104
    for line in wrap(draw, quality["sentence"], 24, WIDTH - 80):
        draw.text((40, y), line, font=font(24), fill=INK)
        y += 34
    for note in quality["notes"]:
        for line in wrap(draw, note, 20, WIDTH - 80):
            draw.text((40, y), line, font=font(20), fill=SOFT)
            y += 28
    return y


def wrap(draw: ImageDraw.ImageDraw, text: str, size: int, width: int) -> list[str]:
    """Break a text into lines that fit."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if draw.textlength(longer, font=font(size)) > width and lines[-1]:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def arc(draw: ImageDraw.ImageDraw, center: tuple[Number, Number], radius: Number, kept: Sequence[Measure],
        everything: Sequence[Measure]) -> None:
    """The head from above, and from which sides it was seen: a sector per 5 degrees of yaw, a tick per chosen frame.

    The patient looks down the page, so that the patient's left is on the right, as one sees a person from the front.
    """
    x, y = center
    yaw = np.array([m.angles_deg[0] for m in kept])
    seen = np.array([m.angles_deg[0] for m in everything])
    box = (x - radius, y - radius, x + radius, y + radius)
    for start in range(-90, 90, 5):
        inside = (yaw >= start) & (yaw < start + 5)
        found = (seen >= start) & (seen < start + 5)
        needed = -45 <= start < 45
        fill = COLORS["green"] if inside.any() else COLORS["amber"] if found.any() else \
            (244, 214, 212) if needed else (238, 240, 243)
        draw.pieslice(box, 90 - start - 5 + 0.4, 90 - start - 0.4, fill=fill)
    inner = radius * 0.72
    draw.pieslice((x - inner, y - inner, x + inner, y + inner), 0, 180, fill=PAPER)
    for angle in yaw:
        draw.line((polar(center, inner - 4, angle), polar(center, inner - 22, angle)), fill=INK, width=2)
    head_from_above(draw, center, radius * 0.24)
    for angle in (-90, -60, -30, 0, 30, 60, 90):
        draw.text(polar(center, radius + 26, angle), f"{abs(angle)}°", font=font(20), fill=SOFT, anchor="mm")
    for side, name, turn in ((-1, "right", -yaw.min()), (1, "left", yaw.max())):
        draw.text((x + side * radius * 0.46, y + 34), f"{name}\n{max(turn, 0):.0f}°", font=font(24), fill=INK,
                  anchor="mm", align="center")
    draw.text((x, y + radius * 0.5), "seen from above", font=font(18), fill=SOFT, anchor="mm")


def polar(center: tuple[Number, Number], radius: Number, yaw_deg: Number) -> tuple[Number, Number]:
    """A point of the arc: yaw 0 is down the page, the patient's left (positive) on the right."""
    a = np.radians(yaw_deg)
    return center[0] + radius * float(np.sin(a)), center[1] + radius * float(np.cos(a))


def head_from_above(draw: ImageDraw.ImageDraw, center: tuple[Number, Number], r: Number) -> None:
    """A small head with nose and ears."""
    x, y = center
    draw.polygon([(x - r * 0.16, y + r * 0.8), (x + r * 0.16, y + r * 0.8), (x, y + r * 1.2)], fill=(196, 202, 210))
    for side in (-1, 1):
        draw.ellipse((x + side * r * 0.82 - r * 0.1, y - r * 0.2, x + side * r * 0.82 + r * 0.1, y + r * 0.2),
                     fill=(196, 202, 210))
    draw.ellipse((x - r * 0.8, y - r, x + r * 0.8, y + r), fill=(221, 225, 230))


def table(draw: ImageDraw.ImageDraw, corner: tuple[int, int], results: Sequence[Check]) -> int:
    """One line per check: a lamp, its name, value and bound; advice where the lamp is not green. Returns where it
    ends."""
    x, y = corner
    for check in results:
        draw.ellipse((x, y + 4, x + 22, y + 26), fill=COLORS[check.level])
        draw.text((x + 38, y), check.name, font=font(24), fill=INK)
        draw.text((x + 350, y), check.value, font=font(24), fill=INK)
        bound = f"good: {check.bound}"
        if draw.textlength(check.value, font=font(24)) + draw.textlength(bound, font=font(18)) < WIDTH - 410 - int(x):
            draw.text((WIDTH - 40, y + 5), bound, font=font(18), fill=SOFT, anchor="ra")
        if check.level != "green":
            for line in wrap(draw, f"{SIGNS[check.level]}: {check.advice}", 20, WIDTH - 80 - int(x)):
                y += 28
                draw.text((x + 38, y + 3), line, font=font(20), fill=DARK[check.level])
        y += 40
        draw.line((x, y - 6, WIDTH - 40, y - 6), fill=LINE)
    return y


def thumbnails(sheet: Image.Image, corner: tuple[int, int], folder: Path, paths: Sequence[str],
               kept: Sequence[Measure]) -> int:
    """Faces of some chosen frames, from the patient's right to the left. Returns where they end."""
    draw = ImageDraw.Draw(sheet)
    order = np.argsort([m.angles_deg[0] for m in kept])
    some = order[np.unique(np.linspace(0, len(order) - 1, min(THUMBS, len(order))).astype(int))]
    side = (WIDTH - 80 - 8 * (THUMBS - 1)) // THUMBS
    for n, k in enumerate(some):
        left = corner[0] + n * (side + 8)
        sheet.paste(face_square(folder / paths[k], kept[k], side), (left, corner[1]))
        draw.text((left + side / 2, corner[1] + side + 20), view_name(kept[k].angles_deg[0]), font=font(18), fill=SOFT,
                  anchor="mm")
    return corner[1] + side + 36


def face_square(path: Path, measure: Measure, side: int) -> Image.Image:
    """The face of a frame, cut out."""
    points = measure.face.points_px[:468, :2]
    low, high = points.min(0), points.max(0)
    half = 0.7 * float((high - low).max())
    x, y = (low + high) / 2
    with Image.open(path) as picture:
        box = (round(x - half), round(y - half), round(x + half), round(y + half))
        return picture.convert("RGB").crop(box).resize((side, side), Image.Resampling.LANCZOS)


def view_name(yaw_deg: Number) -> str:
    """A view for people."""
    if abs(yaw_deg) < 3:
        return "front"
    return f"{abs(yaw_deg):.0f}° to the {'left' if yaw_deg > 0 else 'right'}"
