"""Procedures at 100 % on several heads, before and after, from the front, oblique, in profile and from below.

    python benchmarks/procedure_sheets.py OUT.png rhinoplasty --heads CASE CASE model model:3
    python benchmarks/procedure_sheets.py OUT.png brow_lift --steps mid_mm=6 tail_mm=6 --heads model --views frontal
    python benchmarks/procedure_sheets.py docs/results/rhinoplasty.jpg rhinoplasty --heads ...

A head is a case folder, `model` (the mean of the embedded model) or `model:SEED` (a random person of it, without skin).
Without --steps the intensity of 100 sets every preset step. Prints what landed, the volumes and the warnings.
"""

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from core import Plan
from core.anatomy import Anatomy
from core.mesh import Mesh
from core.store import load_reconstruction
from core.texture import Texture
from deform3d import catalogue, predict, read_plan
from recon.models import load_model
from render.picture import PictureOptions
from render.sheets import SheetOptions, view_pictures
from render.views import standard_cameras
from viewer.plans import step_values

CELL_PX = 230
RENDER_PX = 460
"""Pictures are rendered larger and cut to the face."""
LARGEST = 250_000
"""Bytes of a committed picture."""


def main() -> int:
    """Write the sheet; exit 1 when a JPEG cannot be made small enough."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("procedure")
    parser.add_argument("--steps", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--heads", nargs="+", required=True)
    parser.add_argument("--views", nargs="+", default=["frontal", "left_oblique", "left_lateral", "basal"])
    given = parser.parse_args()
    values = step_values(given.procedure, given.steps)
    plan = read_plan({"procedures": [{"procedure": given.procedure, "values": values,
                                      "intensity": None if values else 100.0}]})
    page = stacked([row(head, plan, given.views) for head in given.heads], given.views)
    if given.output.suffix == ".png":
        page.save(given.output)
        return 0
    for quality in range(88, 40, -6):
        page.convert("RGB").save(data := io.BytesIO(), "JPEG", quality=quality, optimize=True)
        if data.tell() <= LARGEST:
            given.output.write_bytes(data.getvalue())
            return 0
    print(f"{given.output} would be larger than {LARGEST} bytes.", file=sys.stderr)
    return 1


def head_of(name: str) -> tuple[Mesh, Anatomy, Texture | None]:
    """A case's head, or one of the embedded model."""
    if name.split(":")[0] != "model":
        head = load_reconstruction(Path(name) / "recon")
        return head.mesh, head.anatomy, head.texture
    model, seed = load_model(), name.partition(":")[2]
    size = len(model.identity_basis_mm)
    coefficients = np.random.default_rng(int(seed)).normal(size=size) if seed else np.zeros(size)
    shaped = model.shape(coefficients).pose(np.zeros(len(model.expression_names)))
    return shaped.mesh(), model.anatomy, None


def row(name: str, plan: Plan, views: list[str]) -> list[Image.Image]:
    """Before and after of every view of one head; says what happened."""
    mesh, anatomy, texture = head_of(name)
    made = predict(mesh, anatomy, plan, catalogue())
    worst = max((i.error_mm for i in made.landed), default=0.0)
    print(f"{name}: handles within {worst:.4f} mm, +{made.volume_added_ml:.2f} -{made.volume_removed_ml:.2f} ml, at "
          f"most {np.linalg.norm(made.total_mm(), axis=1).max():.2f} mm, sharpest edge {made.min_dihedral_deg:.0f} deg")
    for text in (*(c.in_words() for c in made.couplings), *made.warnings):
        print("   ", text)
    cameras = standard_cameras(mesh, (RENDER_PX, RENDER_PX), anatomy)
    light = PictureOptions(light="as_seen" if texture else "headlight")
    shown = view_pictures(mesh, texture, made.total_mm(), {v: cameras[v] for v in views}, SheetOptions(picture=light))
    out = []
    for view in views:
        for picture in (shown[view].before, shown[view].after):
            out.append(cut(picture, cameras[view].px_from_points(face_points(mesh, anatomy))))
    return out


def face_points(mesh: Mesh, anatomy: Anatomy) -> np.ndarray:
    """The skin that a cut of a picture must hold."""
    return mesh.points(anatomy.pin_points)


def cut(picture: np.ndarray, points_px: np.ndarray) -> Image.Image:
    """The square about some points, scaled to a cell."""
    low, high = points_px.min(0), points_px.max(0)
    half = 0.62 * (high - low).max()
    pad = 2 * RENDER_PX
    x, y = (low + high) / 2 + pad
    wide = np.pad(picture, ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    return Image.fromarray(wide).crop((int(x - half), int(y - half), int(x + half), int(y + half))).resize(
        (CELL_PX, CELL_PX), Image.Resampling.LANCZOS)


def stacked(rows: list[list[Image.Image]], views: list[str]) -> Image.Image:
    """One page: a row a head."""
    page = Image.new("RGB", (CELL_PX * 2 * len(views), 22 + CELL_PX * len(rows)), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(13)
    for column, view in enumerate(views):
        for half, word in enumerate(("before", "simulated")):
            pen.text(((2 * column + half) * CELL_PX + 6, 3), f"{view.replace('_', ' ')}: {word}",
                     (163, 38, 28) if half else (40, 46, 52), font)
    for line, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            page.paste(picture, (column * CELL_PX, 22 + line * CELL_PX))
    return page


if __name__ == "__main__":
    sys.exit(main())
