"""How far closed lips open and nostrils change, as a surgeon looks at them: a table.

    python benchmarks/mouth.py -o benchmarks/mouth.md --heads model model:1 CASE ...

For every procedure that moves lips or nose, over its plans (every step at its maximum and at both ends of its clamp,
and all presets at 100 %): the lining of the mouth that shows between the lips after it, less what showed before, in
the view where that is most; and how much of each nostril's pit shows from below. mm2, on a grid of 0.3 mm.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import open3d as o3d

from benchmarks.procedure_sheets import head_of
from benchmarks.procedures import bare, plans_of
from core.anatomy import Anatomy
from core.mesh import Mesh
from core.plan import Plan
from deform3d import catalogue, predict
from deform3d.predict import METHOD
from recon.scene import scene_of

VIEWS = {"front": (0, 0), "oblique": (40, 0), "15 below": (0, -15), "30 below": (0, -30), "basal": (0, -60),
         "oblique, 25 below": (40, -25)}
"""Azimuth towards the patient's left and elevation (degrees)."""
STEP_MM, NEAR_MM = 0.3, 40.0
"""The grid; lining further from the mouth is seen through the open neck, not between the lips."""
PIT_OPEN, PIT_RAYS = 0.3, 64
"""A pit is skin of the nose that sees less than this share of the open around it, by so many rays."""
NAMES = ("orthognathic_mandible", "orthognathic_maxilla", "orthognathic_bimaxillary", "lip_lift", "lip_augmentation",
         "mentoplasty", "rhytidectomy", "rhinoplasty")


def main() -> int:
    """Print, and write, the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--heads", nargs="+", required=True)
    parser.add_argument("--procedures", nargs="+", default=NAMES)
    given = parser.parse_args()
    lines = ["# Lips and nostrils, before and after", "", *(__doc__ or "").strip().splitlines()[5:], "",
             f"Method: {METHOD}.", "",
             "| head | lining before | procedure | opened most | view | plan | nostrils left, right | after |",
             "|---|---|---|---|---|---|---|---|"]
    for name in given.heads:
        mesh, anatomy, _ = head_of(name)
        for procedure in given.procedures:
            lines.append(f"| {Path(name).name} | {row(mesh, anatomy, procedure)} |")
            print(lines[-1], file=sys.stderr, flush=True)
    text = "\n".join(lines) + "\n"
    print(text)
    if given.output:
        given.output.write_text(text, "utf-8")
    return 0


def row(mesh: Mesh, anatomy: Anatomy, procedure: str) -> str:
    """One head and procedure."""
    lining, pits = lining_of(mesh, anatomy), pits_of(mesh, anatomy)
    before, open_before = lips_mm2(mesh, mesh, anatomy, lining), nostrils_mm2(mesh, mesh, anatomy, pits)
    opened, nostrils = [], []
    for plan in plans_of(catalogue()[procedure]):
        after = mesh.moved(predict(mesh, anatomy, plan, bare(), swelling=False).total_mm())
        gain = lips_mm2(mesh, after, anatomy, lining) - before
        opened.append((float(gain.max()), list(VIEWS)[int(gain.argmax())], in_words(plan)))
        nostrils.append(nostrils_mm2(mesh, after, anatomy, pits))
    most = max(opened)
    low, high = np.min(nostrils, axis=0), np.max(nostrils, axis=0)
    return (f"{before.max():.1f} | {procedure} | {most[0]:.1f} | {most[1]} | {most[2]} | "
            f"{open_before[0]:.0f}, {open_before[1]:.0f} | "
            f"{low[0]:.0f} to {high[0]:.0f}, {low[1]:.0f} to {high[1]:.0f}")


def in_words(plan: Plan) -> str:
    """The one step of a plan, or that all presets are meant."""
    return ", ".join(f"{k} {v}" for k, v in plan.procedures[0].values.items()) or "all at 100 %"


def lips_mm2(mesh: Mesh, after: Mesh, anatomy: Anatomy, lining: np.ndarray) -> np.ndarray:
    """The lining that shows in every view."""
    middle = mesh.points(anatomy.pin("sto"))[0]
    width = float(np.linalg.norm(mesh.points(anatomy.pin("ch_l")) - mesh.points(anatomy.pin("ch_r")))) / 2 + 6
    return np.array([shown_mm2(after, middle, view, (width, 16.0), lining) for view in VIEWS.values()])


def nostrils_mm2(mesh: Mesh, after: Mesh, anatomy: Anatomy, pits: np.ndarray) -> np.ndarray:
    """The pit of the left and of the right nostril that shows from below."""
    middle = (mesh.points(anatomy.pin("sn"))[0] + mesh.points(anatomy.pin("prn"))[0]) / 2
    left = mesh.vertices_mm[mesh.faces].mean(1)[:, 0] > 0
    return np.array([shown_mm2(after, middle, VIEWS["basal"], (26.0, 26.0), pits & side) for side in (left, ~left)])


def shown_mm2(mesh: Mesh, middle_mm: np.ndarray, view: tuple[float, float], half_mm: tuple[float, float],
              wanted: np.ndarray) -> float:
    """How much of some triangles shows in a window about a place."""
    azimuth, elevation = np.deg2rad(view)
    towards = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.array([np.cos(azimuth), 0, -np.sin(azimuth)])
    x, y = np.meshgrid(*(np.arange(-half, half, STEP_MM) for half in half_mm))
    start = middle_mm + 150 * towards + x[..., None] * right + y[..., None] * np.cross(towards, right)
    hit = hits(mesh, start.reshape(-1, 3), -towards)
    return float(wanted[hit[hit >= 0]].sum() * STEP_MM**2)


def hits(mesh: Mesh, start_mm: np.ndarray, along: np.ndarray) -> np.ndarray:
    """The triangle that each ray meets; -1 for none."""
    rays = np.hstack([start_mm, np.broadcast_to(along, start_mm.shape)]).astype(np.float32)
    found = scene_of(mesh).cast_rays(o3d.core.Tensor(rays))
    away = found["t_hit"].numpy()
    return np.where(np.isfinite(away), found["primitive_ids"].numpy().astype(np.int64), -1)


def lining_of(mesh: Mesh, anatomy: Anatomy) -> np.ndarray:
    """The triangles of the mouth's inside that lie behind the lips."""
    away = np.linalg.norm(mesh.vertices_mm[mesh.faces].mean(1) - mesh.points(anatomy.pin("sto"))[0], axis=1)
    return (anatomy.region("mouth_interior")[mesh.faces].min(1) > 0.5) & (away < NEAR_MM)


def pits_of(mesh: Mesh, anatomy: Anatomy) -> np.ndarray:
    """The triangles in the nostrils: skin of the nose below its tip that sees little."""
    middle, normal = mesh.vertices_mm[mesh.faces].mean(1), mesh.face_normals()
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    tip = mesh.points(anatomy.pin("prn"))[0]
    near = np.flatnonzero((anatomy.region("nose")[mesh.faces].min(1) > 0.5) & (middle[:, 1] < tip[1] + 6)
                          & (np.linalg.norm(middle - tip, axis=1) < NEAR_MM))
    out = np.random.default_rng(0).normal(size=(PIT_RAYS, 3))
    free, tried = np.zeros(len(near)), np.zeros(len(near))
    for ray in out / np.linalg.norm(out, axis=1, keepdims=True):
        up = normal[near] @ ray > 0.2
        free += up & (hits(mesh, middle[near] + 0.05 * normal[near], ray) < 0)
        tried += up
    pits = np.zeros(len(mesh.faces), bool)
    pits[near[free / np.maximum(tried, 1) < PIT_OPEN]] = True
    return pits


if __name__ == "__main__":
    sys.exit(main())
