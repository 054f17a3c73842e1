"""One photo, measured against the open 2D peer in the same run: speed, sides, slider, millimetres, what stays.

    python benchmarks/photo.py [--peer FOLDER] [--data ../shared/data] [--rows speed,sides,...] [-o benchmarks/photo.md]

FOLDER holds the peer, LandmarkDiff v0.2.3 (`git clone --branch v0.2.3`), which whoever runs this gets; its flat mode
needs only packages that are here. Without it its columns stay empty. Its landmarks come from its second way, the
mediapipe wheel: its first one downloads a file at every call. Photos: scikit-image's astronaut (public domain), cut and
enlarged, and the frontal photos of --data.

Motion is measured by dense optical flow between before and after, at the landmarks that are asked to move most (half of
the largest motion or more), along the motion asked: landed over asked. Landmarks are never looked for in the result.
A symmetric photo is a portrait turned upright, its right half beside its mirror image.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from benchmarks import symmetry as symmetric_heads  # noqa: E402
from benchmarks.photo_measures import (  # noqa: E402  (the repository need not be installed)
    PEER_NAMES,
    Maker,
    Ours,
    Peer,
    about,
    by_map,
    flow_at,
    framings,
    frontal,
    landed,
    maker,
    peer_symmetry,
    sized,
    symmetric,
)
from core.errors import PrevisageError  # noqa: E402
from previsage.photo_study import tools  # noqa: E402
from previsage.portrait import portrait  # noqa: E402

MODES = ("tps", "warp3d")
SIZES = {"512 x 512": (512, 512), "2048 x 2048": (2048, 2048), "3024 x 4032": (3024, 4032)}
BARS = {"512 x 512": "0.060 s", "2048 x 2048": "0.6 s", "3024 x 4032": "2.5 s, 1.5 GB"}
JOWLS, MOUTH = (172, 397), (61, 291)
JOWL, CORNER = 0.35, 0.08
"""How far around them landmarks count: shares of the distance between the outer eye corners."""
OPERATIONS = ("rhinoplasty", "rhytidectomy")
YAWS = (0, 10, 20)
STEPS = (20, 40, 60, 80, 100)
LEAST_PX = 1.0
"""Motions asked that are smaller are not measured by flow."""
Rows = Iterable[tuple[str, ...]]


def main() -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--rows", default=",".join(TABLES))
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("WHO", "SIZE", "PROCEDURE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(timed(maker(given.one[0], given.peer), SIZES[given.one[1]], given.one[2])))
        return 0
    parts = [HEAD.format(machine=machine(), peer="LandmarkDiff " + peer_version(given.peer) if given.peer else
                         "not given; give it with --peer")]
    for name in given.rows.split(","):
        parts.append(TABLES[name](given.peer, given.data))
        print(parts[-1], flush=True)
        if given.output:
            given.output.write_text("\n".join(parts), "utf-8")
    return 0


def timed(make: Maker, size_wh: tuple[int, int], procedure: str) -> dict[str, float]:
    """Warm: the median and the least, wall and processor time (s), of a photo seen for the first time."""
    picture, noise = sized(portrait(), size_wh), np.random.default_rng(0)
    wall, spent = [], []
    count = 10 if max(size_wh) < 2000 or isinstance(make, Ours) and make.mode == "tps" else (
        1 if isinstance(make, Peer) else 4)
    for _ in range(count):
        fresh = another(picture, noise)
        start, began = time.perf_counter(), time.process_time()
        if isinstance(make, Peer) and max(size_wh) > 512:
            make.native(fresh, procedure, 100)
        else:
            make(fresh, procedure, 100)
        wall.append(time.perf_counter() - start)
        spent.append(time.process_time() - began)
    kept = slice(1, None) if count > 1 else slice(None)
    return {"wall": float(np.median(wall[kept])), "least": min(wall[kept]), "cpu": float(np.median(spent[kept])),
            "cpu_least": min(spent[kept]), "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "load": os.getloadavg()[0]}


def another(picture: np.ndarray, noise: np.random.Generator) -> np.ndarray:
    """The picture as if taken again, each byte's last bit by chance: what is kept of one head must not answer for the
    next. It takes no more memory than a copy."""
    other = noise.integers(0, 2, picture.shape, np.uint8)
    other ^= picture
    return other


def speed(peer: Path | None, data: Path) -> str:
    """Each in a process of its own."""
    rows = []
    for size in SIZES:
        theirs = None
        for who, procedure in (("peer", "rhinoplasty"), *((m, p) for m in MODES for p in OPERATIONS)):
            if who == "peer" and (peer is None or size == "3024 x 4032"):
                continue
            told = json.loads(subprocess.run(
                [sys.executable, __file__, "--one", who, size, procedure, *(["--peer", str(peer)] if peer else [])],
                check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            theirs = told if who == "peer" else theirs
            faster = "" if theirs is None or who == "peer" else f"{theirs['cpu_least'] / told['cpu_least']:.0f}"
            barred = procedure == "rhinoplasty"
            late = barred and who != "peer" and told["wall"] > float(BARS[size].split(" s")[0])
            rows.append((size, who, procedure, f"**{told['wall']:.3f}**" if late else f"{told['wall']:.3f}",
                         f"{told['least']:.3f}", f"{told['cpu']:.3f}", f"{told['cpu_least']:.3f}", faster,
                         BARS[size] if barred else "",
                         f"{told['mb']:.0f}", f"{told['load']:.1f}"))
    return table("Speed: from the pixels to the composite, warm, seconds", (
        "size", "who", "operation", "wall, median", "wall, least", "processor, median", "processor, least",
        "peer / ours", "bar", "peak MB", "load"), rows, SPEED)


def sides(peer: Path | None, data: Path) -> str:
    """Jowl and mouth corner of symmetric faces, left over right."""
    rows = []
    for name, picture in frontal(data).items():
        photo = sized(symmetric(picture), (1024, 1024))
        for label, procedure, centres, share in (("jowl", "rhytidectomy", JOWLS, JOWL),
                                                 ("mouth corner", "orthognathic_maxilla", MOUTH, CORNER)):
            for who in (*(("peer",) if peer else ()), *MODES):
                make = maker(who, peer)
                made = make(photo, procedure, 100)
                (asked_r, share_r), (asked_l, share_l) = (landed(made, about(made.start, c, share)) for c in centres)
                right, left = asked_r * share_r, asked_l * share_l
                rows.append((name, label, who, f"{asked_l:.1f} / {asked_r:.1f}", f"{left:.1f} / {right:.1f}",
                             judged(share_l), judged(share_r), judged(left / right if right else np.nan),
                             " / ".join(judged(by_map(make.study, procedure, 100, made, about(made.start, c, share)))
                                        for c in reversed(centres)) if isinstance(make, Ours) and who == "warp3d"
                             else ""))
    return table("Left and right of symmetric faces, 100 per cent; px (ours of 1024 x 1024, the peer's of 512 x 512)", (
        "photo", "where", "who", "asked left / right", "moved left / right", "moved / asked left",
        "moved / asked right", "left / right (0.9 to 1.1)", "by the map drawn with, left / right"), rows, SIDES)


def judged(ratio: float) -> str:
    """A ratio; bold when it misses the bar."""
    return f"{ratio:.2f}" if 0.9 <= ratio <= 1.1 else f"**{ratio:.2f}**"


def slider(peer: Path | None, data: Path) -> str:
    """Landed over asked, and whether more is asked and moved at each step."""
    rows = []
    for name, picture in list(frontal(data).items())[:2]:
        photo = sized(picture, (512, 512))
        for procedure in PEER_NAMES:
            for who in (*(("peer",) if peer else ()), *MODES):
                make = maker(who, peer)
                try:
                    made = [make(photo, procedure, step) for step in STEPS]
                    pairs = [landed(one) for one in made]
                except PrevisageError as error:
                    rows.append((name, procedure, who, *[""] * len(STEPS), error.code, "", ""))
                    continue
                known = [by_map(make.study, procedure, step, one) for step, one in zip(STEPS, made, strict=True)
                         ] if isinstance(make, Ours) and who == "warp3d" else []
                moved = [asked * share for asked, share in pairs]
                rows.append((name, procedure, who, *(judged(s) if a >= LEAST_PX else f"({s:.2f})" for a, s in pairs),
                             "yes" if np.all(np.diff(moved) > 0) else "**no**", f"{pairs[-1][0]:.1f}",
                             f"{judged(min(known))} to {judged(max(known))}" if known else ""))
    return table("The slider: moved over asked, by flow, where the landmarks move most", (
        "photo", "operation", "who", *(f"{s} %" for s in STEPS), "monotone", "asked px at 100 %",
        "by the map drawn with"), rows, SLIDER)


def framing(peer: Path | None, data: Path) -> str:
    """Asked and moved, carried back to the first frame and along what was asked there; deviation in per cent."""
    rows = []
    photo = sized(portrait(), (768, 768))
    for who in (*(("peer",) if peer else ()), *MODES):
        make, first, start = maker(who, peer), None, None
        for label, (picture, M) in framings(photo).items():
            try:
                made = make(picture, "rhinoplasty", 100)
            except (PrevisageError, ValueError) as error:
                rows.append((label, who, "", "", "", getattr(error, "code", str(error))))
                continue
            squeeze = np.array(made.before.shape[1::-1]) / np.array(picture.shape[1::-1])
            back = np.linalg.inv(M[:, :2])
            asked = ((made.end - made.start)[:468] / squeeze) @ back.T
            if first is None:
                size = np.linalg.norm(asked, axis=1)
                strong = np.flatnonzero(size >= 0.5 * size.max())
                first = asked[strong] / np.sqrt((size[strong]**2).mean())
            along = [float((v * first).sum() / len(strong)) for v in (
                asked[strong], (flow_at(made, strong) / squeeze) @ back.T)]
            start = start or along
            off = [100 * (v / s - 1) for v, s in zip(along, start, strict=True)]
            rows.append((label, who, f"{along[0]:.2f} / {along[1]:.2f}", *(
                f"{o:+.1f} %" if abs(o) <= 5 else f"**{o:+.1f} %**" for o in off), ""))
    return table("The same face in other frames: rhinoplasty at 100 per cent, px of the first frame", (
        "frame", "who", "asked / moved", "asked (± 5 %)", "moved (± 5 %)", ""), rows, FRAMING)


def stays(peer: Path | None, data: Path) -> str:
    """Pixels that must not change."""
    rows = []
    for name, picture in frontal(data).items():
        photo = sized(picture, (512, 512))
        for procedure in OPERATIONS:
            for who in (*(("peer",) if peer else ()), *MODES):
                make = maker(who, peer)
                made, nothing = make(photo, procedure, 100), make(photo, procedure, 0)
                again = maker(who, peer)(photo.copy(), procedure, 100)
                outside = int(((made.after != made.before).any(-1) & (made.mask <= 0)).sum())
                rows.append((name, procedure, who, *(str(n) if n == 0 else f"**{n}**" for n in (
                    outside, int((nothing.after != nothing.before).any(-1).sum()),
                    int((again.after != made.after).any(-1).sum())))))
    return table("What stays: pixels that changed (512 x 512)", (
        "photo", "operation", "who", "outside the mask", "at 0 %", "second run, same seed"), rows, "")


def symmetry(peer: Path | None, data: Path) -> str:
    """The score of a symmetric rendered head that turns."""
    seen, rows = tools().detector, []
    theirs = None if peer is None else peer_symmetry(peer)
    for name, mesh, skin in symmetric_heads.heads(None, seen):
        pictures = [symmetric_heads.picture(mesh, skin, symmetric_heads.camera(yaw, 0, 0)) for yaw in YAWS]
        if theirs is not None:
            rows.append((name, "peer", *(f"{theirs(p):.1f}" for p in pictures), ""))
        found = [symmetric_heads.read(p, seen) for p in pictures]
        scores = np.array([np.nan if f is None or f.score is None else f.score for f in found])
        apart = float(np.ptp(scores))
        rows.append((name, "ours", *(f"{s:.1f}" for s in scores), f"{apart:.1f}" if apart <= 2 else f"**{apart:.1f}**"))
    return table("Symmetry: the score of a symmetric head that turns", (
        "head", "who", *(f"yaw {y}°" for y in YAWS), "apart (2)"), rows, "More in `symmetry.md`.")


def table(title: str, names: tuple[str, ...], rows: Rows, note: str) -> str:
    """Markdown."""
    lines = [f"## {title}", "", *([note, ""] if note else []), "| " + " | ".join(names) + " |",
             "|---" * len(names) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(r) + " |" for r in rows), ""])


def peer_version(folder: Path) -> str:
    """From its own package."""
    text = (folder / "landmarkdiff" / "__init__.py").read_text("utf-8")
    return next(line.split('"')[1] for line in text.splitlines() if line.startswith("__version__"))


def machine() -> str:
    """Processor, cores, load, versions."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    return (f"{model}, {os.cpu_count()} cores shared with other work (load {os.getloadavg()[0]:.1f}), "
            f"Python {platform.python_version()}, numpy {np.__version__}, OpenCV {cv2.__version__}")


HEAD = """# One photo, beside the open 2D peer

Made by `python benchmarks/photo.py --peer FOLDER -o benchmarks/photo.md`; that file says how everything is measured.
Bold: a bar that is missed. {machine}. Peer: {peer}.
"""
SPEED = """The machine was shared, so wall times say what the load made of them; processor time counts all cores. Nine
runs after one that warms up, three of warp3d beyond 512 px, each on a photo with other noise (the last bits), so that
no head is seen twice. `peer / ours` is the ratio of the least processor times.
Peer beyond 512 px: its own functions at that size, once; its program does not offer that (it squeezes every photo to
512 x 512). Ours finds the face, fits the head and checks the result. The default mode is warp3d; tps is the flat one,
which does what the peer does."""
SIDES = """Mouth corner: the peer's `orthognathic`; ours moves the maxilla up by 3.6 mm, since advancement shows little
from the front. Jowl: without the face's outline, where flow cannot tell skin from what lies behind it. On smooth skin
flow stays near where it starts, and warp3d's new shading, which does not move with the skin, misleads it: the last
column holds the same landmarks against the map that the picture was drawn with."""
SLIDER = """In brackets: less than 1 px is asked, which flow cannot judge. Ours: maxilla up by 3.6 mm and chin longer by
4 mm at 100 per cent, which show from the front. Last column: all five by the maps that warp3d drew with."""
FRAMING = """Frames made by resampling one photo (face 290 px high; at a quarter of the pixels 72 px); the peer sees all
of them at 512 x 512."""
TABLES = {"speed": speed, "sides": sides, "slider": slider, "framing": framing, "stays": stays, "symmetry": symmetry}

if __name__ == "__main__":
    sys.exit(main())
