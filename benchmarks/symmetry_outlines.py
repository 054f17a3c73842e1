"""Cheeks and jaw of a photo and of a visit: is a symmetric head symmetric, does a known asymmetry come back?

    python -m benchmarks.symmetry_outlines [--skins FOLDER] [--json OUT | --from-json OUT]

The heads of `benchmarks.symmetry`, and the whole way from the pixels: the face found, a head fitted, in a visit one to
three photos. Distance, light, nod and lean are drawn anew for every photo. The mandible is moved to a side, a jaw angle
or a cheekbone made fuller on the left. True values: the same outlines of the head itself, bent and unbent, without a
picture. Results: `benchmarks/symmetry.md`.
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np

from analysis.face_outline import bare, ladder_of, silhouette
from analysis.outline_symmetry import EYE_LEVELS, FRONT_LEVELS, SIDE_LEVELS, Shown
from analysis.spots import Spot, spots
from analysis.symmetry import COMPONENTS, Symmetry
from benchmarks.symmetry import camera, heads, picture, step
from core.camera import Camera
from core.errors import InputRefused
from core.files import write_json
from core.mesh import Mesh
from previsage.photo import begin
from previsage.photo_measures import front_of, symmetry_of
from previsage.photo_study import Study, tools
from previsage.photo_visit import one_head
from previsage.rasterizer import rasterizer
from recon.models import load_model
from render.mipmap import Mipmap
from synth.photo_file import PhotoFile

FRONT = (("none", 0, 0), ("none", 0, 10), ("none", 0, 20), ("mandible", 2, 0), ("mandible", 4, 0), ("mandible", 6, 0),
         ("mandible", -4, 8), ("jaw angle", 6, 0))
VISIT = (("none", 0), ("mandible", 4), ("mandible", -6), ("cheekbone", 6))
TURN_DEG = 40.0
NEAR_MM, FAR_MM = 600.0, 1500.0


def bent(mesh: Mesh, kind: str, mm: float) -> Mesh:
    """The head with its lower jaw moved to the patient's left, or with more on the left."""
    anatomy, v = load_model().anatomy, mesh.vertices_mm

    def pin(name: str) -> np.ndarray:
        return mesh.points(anatomy.pin(name))[0]

    mouth, chin, angle = pin("sto"), pin("me"), pin("go_l")
    if kind == "mandible":
        share = step((mouth[1] + 8 - v[:, 1]) / 22) * step((v[:, 2] - (angle[2] - 25)) / 45)
        return mesh.moved(mm * (share * step((v[:, 1] - (chin[1] - 45)) / 35))[:, None] * [1, 0, 0])
    if kind == "jaw angle":
        off = (v - angle - [0, 12, 8]) / [20, 18, 18]
        return mesh.moved(mm * np.exp(-(off**2).sum(1) / 2)[:, None] * [1, 0, 0.15])
    if kind == "cheekbone":
        middle = mesh.points(anatomy.pins478)[[280, 330, 347, 425]].mean(0) + [8, 0, -4]
        return mesh.moved(mm * np.exp(-((v - middle) ** 2).sum(1) / 2 / 15**2)[:, None] * [0.5, 0, 0.87])
    return mesh


def true_mm(mesh: Mesh, changed: Mesh, spot: Spot, component: str) -> float:
    """A spot's difference on the head itself: its outline bent against unbent, from the front or from both sides."""
    if component == "shift":
        rows, out = outlines(mesh, changed, 0.0, FRONT_LEVELS)
        return float(mean_at(out.mean(0), rows, FRONT_LEVELS, spot.front))
    sides = []
    for row, sign in enumerate((1, -1)):
        rows, out = outlines(mesh, changed, sign * TURN_DEG, SIDE_LEVELS)
        away = sign * out[row] * np.sqrt(rows[row])
        sides.append(mean_at(away, np.ones_like(rows[row]), SIDE_LEVELS, spot.oblique)
                     - mean_at(away, np.ones_like(rows[row]), SIDE_LEVELS, EYE_LEVELS))
    return float(sides[0] - sides[1])


def outlines(mesh: Mesh, changed: Mesh, yaw_deg: float, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How steep the outline is at each level (2,L: squared cosine), and how far it moved (2,L: mm across)."""
    anatomy, seen_by = load_model().anatomy, camera(yaw_deg, 0, 0)
    ladder = ladder_of(seen_by, mesh, anatomy)
    was, now = (ladder.crossings(silhouette(bare(m, anatomy), seen_by, rasterizer()), levels) for m in (mesh, changed))
    slope = np.gradient(was, levels * ladder.rung_px / ladder.px_per_mm, axis=1)
    return 1 / (1 + slope**2), now - was


def mean_at(value: np.ndarray, weight: np.ndarray, levels: np.ndarray, between: tuple[float, float] | None) -> float:
    """The mean between two levels."""
    assert between is not None
    weight = weight if weight.ndim == 1 else weight.mean(0)
    rows = (levels >= between[0]) & (levels <= between[1]) & np.isfinite(value * weight)
    return float((weight[rows] * value[rows]).sum() / weight[rows].sum())


def photographed(mesh: Mesh, skin: Mipmap, yaw_deg: float, rng: np.random.Generator, distance_mm: float) -> Study:
    """A photo of the head, opened. InputRefused: no face is found in it."""
    seen_by = from_afar(camera(yaw_deg, *rng.normal(0, 4, 2)), distance_mm)
    pixels = picture(mesh, skin, seen_by).astype(float)
    light = 1 + rng.uniform(-0.25, 0.25) * np.linspace(-1, 1, pixels.shape[1])[None, :, None]
    noisy = np.clip(pixels * light + rng.normal(0, 2.5, pixels.shape), 0, 255).astype(np.uint8)
    return begin(PhotoFile(name="head", format="png", picture=noisy, alpha=None, profile=None, notes=()))


def from_afar(seen_by: Camera, distance_mm: float) -> Camera:
    """The same framing from another distance."""
    share = distance_mm / seen_by.cam_from_head[2, 3]
    K, pose = seen_by.K_px.copy(), seen_by.cam_from_head.copy()
    K[[0, 1], [0, 1]] *= share
    pose[2, 3] = distance_mm
    return dataclasses.replace(seen_by, K_px=K, cam_from_head=pose)


def visited(mesh: Mesh, skin: Mipmap, rng: np.random.Generator) -> Symmetry | None:
    """The symmetry of three photos; None when a face is not found."""
    distance = rng.uniform(NEAR_MM, FAR_MM)
    yaws = (0.0, TURN_DEG + rng.normal(0, 3), -TURN_DEG + rng.normal(0, 3))
    try:
        studies = [photographed(mesh, skin, yaw, rng, distance) for yaw in yaws]
    except InputRefused:
        return None
    one_head(studies, None)
    front, *others = (front_of(s) for s in studies)
    return symmetry_of(front, [Shown(picture=o.picture, camera=o.camera, mesh=o.head.mesh) for o in others])


def told(found: Symmetry | None, spot: Spot, component: str) -> dict:
    """What was found of a spot."""
    out: dict = {"found_mm": None, "sd_mm": None, "score": None, "why": "no face is found" if found is None else
                 found.missing.get(spot.name, "")}
    for d in found.differences if found else ():
        row = COMPONENTS.index(component)
        if d.spot.name == spot.name and np.isfinite(d.value_mm[row]):
            region = found.region(spot.region) if found else None
            out |= {"found_mm": float(d.value_mm[row]), "sd_mm": float(d.sd_mm[row]),
                    "score": None if region is None else region.score}
    return out


def measure(skins: Path | None) -> list[dict]:
    """Everything: a row for each head, change and spot."""
    rows = []
    for number, (name, mesh, skin) in enumerate(heads(skins, tools().detector)):
        rng = np.random.default_rng([number, 31])
        for kind, mm, yaw in FRONT:
            changed = bent(mesh, kind, mm)
            try:
                study = photographed(changed, skin, yaw, rng, rng.uniform(NEAR_MM, FAR_MM))
            except InputRefused:
                continue
            found = symmetry_of(front_of(study))
            rows += [{"head": name, "from": "front", "kind": kind, "asked_mm": mm, "yaw": yaw, "spot": s.name,
                      "true_mm": true_mm(mesh, changed, s, "shift"), **told(found, s, "shift")}
                     for s in spots() if s.front is not None]
        for kind, mm in VISIT:
            changed = bent(mesh, kind, mm)
            found_all = visited(changed, skin, rng)
            rows += [{"head": name, "from": "visit", "kind": kind, "asked_mm": mm, "yaw": 0, "spot": s.name,
                      "true_mm": true_mm(mesh, changed, s, "outward"), **told(found_all, s, "outward")}
                     for s in spots() if s.oblique is not None]
        print(f"{name} done", flush=True)
    return rows


def table(rows: list[dict]) -> str:
    """The page's table: a line for each place and change."""
    lines = ["| place | from | changed | yaw | given | true mm: found (rms error) | within 1.96 sd | side right | "
             "lowest score |", "|" + 9 * "---|"]
    names = ("spot", "from", "kind", "asked_mm", "yaw")
    for key in dict.fromkeys(tuple(r[n] for n in names) for r in rows):
        spot, view, kind, mm, yaw = key
        at = [r for r in rows if tuple(r[n] for n in names) == key]
        given = [r for r in at if r["found_mm"] is not None]
        changed = "nothing" if kind == "none" else f"{kind} {mm:+d} mm"
        cells = ["-"] * 4
        if given:
            true, found, sd = (np.array([r[k] for r in given]) for k in ("true_mm", "found_mm", "sd_mm"))
            rms = np.sqrt(np.mean((found - true) ** 2))
            claimed = np.abs(found) > sd
            right = np.sign(found) == np.sign(true)
            cells = [f"{true.mean():+.1f}: {found.mean():+.1f} ({rms:.1f})",
                     f"{(np.abs(found - true) < 1.96 * sd).sum()} of {len(given)}",
                     f"{(right & claimed).sum()} of {claimed.sum()} told" if abs(true.mean()) > 0.5 else "-",
                     f"{min(r['score'] for r in given):.1f}"]
        lines.append(f"| {spot} | {view} | {changed} | {yaw} | {len(given)} of {len(at)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skins", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from-json", type=Path)
    args = parser.parse_args()
    rows = json.loads(args.from_json.read_text()) if args.from_json else measure(args.skins)
    if args.json:
        write_json(args.json, rows)
    print(table(rows))


if __name__ == "__main__":
    main()
