"""Symmetry from one photo: does a symmetric head read symmetric in every pose, and does a known asymmetry come back?

    python -m benchmarks.symmetry [--skins FOLDER] [--json OUT]

Heads of the embedded model, made exactly symmetric, with a made-up skin; with `--skins`, also with the skin of each
frontal photo `*_03.jpg` in the folder that is named in REAL (the London stills). Each is bent by a known amount,
pictured, detected and fitted anew. Results: `benchmarks/symmetry.md`.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from analysis.photo_symmetry import photo_symmetry
from analysis.spots import sides, spots
from analysis.symmetry import Symmetry
from core.camera import Camera
from core.files import write_json
from core.mesh import Mesh
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from previsage.portrait import gathered
from recon.bundle import Bundle, adjust
from recon.detect import Detector, Face
from recon.models import load_model
from recon.observations import UNKNOWN_FOCAL, UNKNOWN_FOCAL_SD, Observations
from render.complexion import complexion
from render.film import FilmedSkin
from render.mipmap import Mipmap
from render.picture import as_bytes, smooth
from render.rasterize import Rasterizer, rasterize
from render.room import Lamp, Lighting
from tools.head_model.mirror import reflected, vertex_partner

SEEDS, REAL = (10, 11), ("022", "044", "064")
SIDE_PX, DISTANCE_MM, WIDE_MM = 900, 900.0, 330.0
LOOK_AT_MM = np.array([0.0, -35.0, -20.0])
LIGHT = Lighting(lamps=(Lamp(towards=(0.0, -0.4, -0.9), color=(0.35, 0.35, 0.35)),), ambient=0.68, gloss=0.02)
POSES = ((0, 0, 0), (10, 0, 0), (-10, 0, 0), (20, 0, 0), (-20, 0, 0), (0, 15, 0), (0, -15, 0), (0, 0, 20),
         (10, 10, -15))
YAWS, SIZES_MM = (0, 10, 20), (2, 4, 6)
WATCHED = {"brow": ("brow_centre", "height"), "eye": ("eye", "height"), "mouth corner": ("mouth_corner", "height"),
           "nose": ("nose", "shift")}


def step(x: np.ndarray) -> np.ndarray:
    """0 to 1, smooth at both ends."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))


def bent(mesh: Mesh, kind: str, mm: float) -> Mesh:
    """The head with one thing changed on the patient's left, or moved to that side."""
    anatomy, v = load_model().anatomy, mesh.vertices_mm
    move = np.zeros_like(v)

    def pin(name: str) -> np.ndarray:
        return mesh.points(anatomy.pin(name))[0]

    def bump(centre: np.ndarray, size: float) -> np.ndarray:
        return np.asarray(np.exp(-((v - centre) ** 2).sum(1) / (2 * size**2)))

    if kind == "brow":
        marks = mesh.points(anatomy.pins478)[[336, 296, 334, 293, 300, 285, 295, 282, 283, 276]]
        move[:, 1] = -mm * np.max([bump(m, 9) for m in marks], 0) * (1 - anatomy.region("eyelids_l"))
    elif kind == "eye":
        move[:, 1] = -mm * bump((pin("en_l") + pin("ex_l")) / 2, 18)
    elif kind == "mouth corner":
        move[:, 1] = -mm * bump(pin("ch_l"), 11)
    else:
        n, tip, base, wing = pin("n"), pin("prn"), pin("sn"), pin("ac_l")
        down = step((n[1] - v[:, 1]) / (n[1] - tip[1])) * step((v[:, 1] - (base[1] - 8)) / 8)
        move[:, 0] = mm * down * step((wing[0] + 14 - np.abs(v[:, 0])) / 14) * (v[:, 2] > wing[2] - 12)
    return mesh.moved(move)


def camera(yaw_deg: float, pitch_deg: float, roll_deg: float) -> Camera:
    """Sees the whole face."""
    turned = OPENCV_FROM_HEAD @ head_rotation(*(float(np.radians(a)) for a in (yaw_deg, pitch_deg, roll_deg)))
    focal, middle = SIDE_PX * DISTANCE_MM / WIDE_MM, (SIDE_PX - 1) / 2
    return Camera(K_px=np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]]), size_wh=(SIDE_PX, SIDE_PX),
                  cam_from_head=rigid(turned, np.array([0, 0, DISTANCE_MM]) - turned @ LOOK_AT_MM))


def picture(mesh: Mesh, skin: Mipmap, seen_by: Camera) -> np.ndarray:
    """A photo on grey."""
    rasterizer = Rasterizer(mesh)
    ground = np.full((SIDE_PX, SIDE_PX, 3), 150, np.float32)
    return as_bytes(smooth(rasterizer, seen_by, FilmedSkin(rasterizer.surface, seen_by, skin, ground, LIGHT),
                           rasterizer(seen_by), 5))


def fitted(face: Face, size_wh: tuple[int, int]) -> tuple[Bundle, Observations]:
    """The head model on one photo."""
    marks = face.landmarks()
    seen = Observations(points_px=marks.points[None], visible=(marks.confidence[None] > 0.02).astype(float),
                        size_wh=np.array([size_wh]), lens=np.zeros(1, int), focal_sd=np.array([UNKNOWN_FOCAL_SD]),
                        focal_px=np.array([UNKNOWN_FOCAL * np.hypot(*size_wh)]))
    return adjust(load_model(), seen), seen


def read(pixels: np.ndarray, detector: Detector) -> Symmetry | None:
    """What one photo says."""
    model, face = load_model(), detector.follow(pixels, None)
    if face is None:
        return None
    bundle, seen = fitted(face, (pixels.shape[1], pixels.shape[0]))
    mesh = model.shape(bundle.identity).pose(bundle.expression[0]).mesh()
    return photo_symmetry(pixels, bundle.camera(0, seen), mesh, model.anatomy, face.landmarks(), rasterize)


def heads(skins: Path | None, detector: Detector) -> Iterator[tuple[str, Mesh, Mipmap]]:
    """Symmetric heads: made up, and with real skins."""
    from PIL import Image

    model = load_model()
    partner = vertex_partner(model.template_mm)

    def even(vertices: np.ndarray) -> np.ndarray:
        return np.asarray((vertices + reflected(vertices, partner)) / 2)

    mean = model.mean_mesh()
    for seed in SEEDS:
        identity = np.zeros(len(model.identity_basis_mm))
        identity[:60] = np.random.default_rng([seed, 5]).normal(0, 0.8, 60)
        mesh = mean.with_vertices(even(model.shape(identity).neutral_mm))
        yield f"made-up {seed}", mesh, Mipmap(complexion(mesh, model.anatomy, seed, 1024)[0])
    for number, name in enumerate(REAL if skins else ()):
        assert skins is not None
        pixels = np.asarray(Image.open(skins / f"{name}_03.jpg").convert("RGB"))
        face = detector.follow(pixels, None, detector.boxes(pixels))
        assert face is not None
        bundle, seen = fitted(face, (pixels.shape[1], pixels.shape[0]))
        mesh = model.shape(bundle.identity).pose(bundle.expression[0]).mesh()
        skin = gathered(mesh, model.anatomy, bundle.camera(0, seen), pixels, 1536)
        yield f"real skin {number}", mesh.with_vertices(even(mesh.vertices_mm)), Mipmap(skin)


def true_mm(mesh: Mesh, spot: str, component: str) -> float:
    """A spot's difference on the head itself."""
    points = mesh.points(load_model().anatomy.pins478)
    left, right = sides(next(s for s in spots() if s.name == spot), points)
    return float((left[0] + right[0]) / 2 if component == "shift" else left[1] - right[1])


def value_of(found: Symmetry | None, spot: str, component: str) -> tuple[float, float] | None:
    """Its difference and sd as measured; None when it was not."""
    for d in found.differences if found else ():
        if d.spot.name == spot:
            row = 0 if component == "shift" else 1
            return float(d.value_mm[row]), float(d.sd_mm[row])
    return None


def measure(skins: Path | None, told: Callable[[str], None] = print) -> dict:
    """Everything."""
    detector, poses, back = Detector(), [], []
    for name, mesh, skin in heads(skins, detector):
        straight = {}
        for pose in POSES:
            found = read(picture(mesh, skin, camera(*pose)), detector)
            straight[pose] = found
            poses.append({"head": name, "pose": pose, "score": None if found is None else found.score,
                          "regions": {} if found is None else {k: None if r is None else round(r.score, 1)
                                                               for k, r in found.regions.items()}})
        for kind, (spot, component) in WATCHED.items():
            for yaw in YAWS:
                for mm in SIZES_MM:
                    changed = bent(mesh, kind, mm)
                    found = read(picture(changed, skin, camera(yaw, 0, 0)), detector)
                    now, then = (value_of(s, spot, component) for s in (found, straight[(yaw, 0, 0)]))
                    region = None if found is None else found.region(next(s.region for s in spots() if s.name == spot))
                    back.append({"head": name, "kind": kind, "yaw": yaw, "asked_mm": mm,
                                 "true_mm": true_mm(changed, spot, component) - true_mm(mesh, spot, component),
                                 "found_mm": None if now is None or then is None else now[0] - then[0],
                                 "sd_mm": None if now is None else now[1],
                                 "region_score": None if region is None else region.score,
                                 "score": None if found is None else found.score})
        told(f"{name} done")
    return {"poses": poses, "bent": back}


def table(result: dict) -> str:
    """The two tables of the page."""
    lines = ["| pose (yaw, pitch, roll) | score, made-up skins | score, real skins | lowest |", "|---|---|---|---|"]
    for pose in POSES:
        rows = [p for p in result["poses"] if tuple(p["pose"]) == tuple(pose) and p["score"] is not None]
        groups = [[p["score"] for p in rows if p["head"].startswith(k)] for k in ("made", "real")]
        means = [f"{np.mean(g):.1f}" if g else "-" for g in groups]
        lines.append(f"| {pose} | {means[0]} | {means[1]} | {min(p['score'] for p in rows):.1f} |")
    lines += ["", "| changed | yaw | true mm: found (rms error) | within 1.96 sd | region's score | not measured |",
              "|---|---|---|---|---|---|"]
    for kind in WATCHED:
        for yaw in YAWS:
            rows = [b for b in result["bent"] if b["kind"] == kind and b["yaw"] == yaw]
            cells, scores = [], []
            for mm in SIZES_MM:
                at = [b for b in rows if b["asked_mm"] == mm]
                got = [b for b in at if b["found_mm"] is not None]
                if got:
                    off = np.array([b["found_mm"] - b["true_mm"] for b in got])
                    true, found = (np.mean([b[k] for b in got]) for k in ("true_mm", "found_mm"))
                    cells.append(f"{true:.1f}: {found:.1f} ({np.sqrt((off**2).mean()):.1f})")
                scores += [f"{np.mean([b['region_score'] for b in at if b['region_score'] is not None]):.0f}"
                           if any(b["region_score"] is not None for b in at) else "-"]
            known = [b for b in rows if b["found_mm"] is not None]
            held = np.mean([abs(b["found_mm"] - b["true_mm"]) < 1.96 * b["sd_mm"] for b in known]) if known else np.nan
            lines.append(f"| {kind} | {yaw} | {'; '.join(cells) or '-'} | {held:.0%} | {', '.join(scores)} | "
                         f"{len(rows) - len(known)} of {len(rows)} |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--skins", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from-json", type=Path)
    args = parser.parse_args()
    result = json.loads(args.from_json.read_text()) if args.from_json else measure(args.skins)
    if args.json:
        write_json(args.json, result)
    print(table(result))


if __name__ == "__main__":
    main()
