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
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
from core.errors import PrevisageError  # noqa: E402  (the repository need not be installed)
from core.plan import Plan  # noqa: E402
from previsage.photo import PhotoResult, begin, carried_out  # noqa: E402
from previsage.photo_study import tools  # noqa: E402
from previsage.portrait import portrait  # noqa: E402
from recon.face478 import topology  # noqa: E402
from synth.photo_file import PhotoFile  # noqa: E402

MODES = ("tps", "warp3d")
SIZES = {"512 x 512": (512, 512), "2048 x 2048": (2048, 2048), "3024 x 4032": (3024, 4032)}
BARS = {"512 x 512": "0.060 s", "2048 x 2048": "0.6 s", "3024 x 4032": "2.5 s, 1.5 GB"}
PEER_NAMES = {"rhinoplasty": "rhinoplasty", "rhytidectomy": "rhytidectomy", "brow_lift": "brow_lift",
              "blepharoplasty_upper": "blepharoplasty", "orthognathic_maxilla": "orthognathic",
              "mentoplasty": "mentoplasty"}
VALUES = {"orthognathic_maxilla": {"impaction_mm": 3.6}, "mentoplasty": {"vertical_mm": 4.0}}
"""Steps that show from the front, for operations that move mostly along the line of sight."""
JOWLS, MOUTH = (172, 397), (61, 291)
STEPS = (20, 40, 60, 80, 100)
FRONTAL = ("portraits_public_domain/obama.jpg", "portraits_public_domain/biden.jpg",
           "portraits_synthetic_dynaface/img4-1024-frontal.jpg")
FLOW_PX = 1000.0
"""Flow is sought with the face so high, so that its patches are as small a part of every face."""
LEAST_PX = 1.0
"""Motions asked that are smaller are not measured by flow."""


class Made(NamedTuple):
    """A before and an after; mask: what may change; start, end (478,2): landmarks and where they are asked to go, px."""

    before: np.ndarray
    after: np.ndarray
    mask: np.ndarray
    start: np.ndarray
    end: np.ndarray


Maker = Callable[[np.ndarray, str, float], Made]
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


def maker(who: str, peer: Path | None) -> Maker:
    """`peer`, or a mode of ours."""
    return Peer(peer) if who == "peer" and peer is not None else Ours(who)


class Ours:
    """A mode; the photo's study is kept as long as the photo is."""

    def __init__(self, mode: str) -> None:
        self.mode, self.study = mode, None

    def __call__(self, picture: np.ndarray, procedure: str, intensity: float) -> Made:
        """All of it, from the pixels."""
        if self.study is None or self.study.photo.picture is not picture:
            self.study = begin(in_memory(picture))
            self.study.photo.__dict__["picture"] = picture  # so that the same photo is known again
        return made_of(carried_out(self.study, plan_for(procedure, intensity), self.mode))


class Peer:
    """LandmarkDiff's `LandmarkDiffPipeline(mode="tps").generate`."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(folder))
        import landmarkdiff.inference as inference
        import landmarkdiff.landmarks as landmarks
        import torch

        landmarks._extract_tasks_api = offline
        self.inference = inference
        self.pipeline = inference.LandmarkDiffPipeline(mode="tps", device=torch.device("cpu"))
        self.pipeline.load()

    def __call__(self, picture: np.ndarray, procedure: str, intensity: float, seed: int = 0) -> Made:
        """As its own program does it: squeezed to 512 x 512."""
        out = self.pipeline.generate(picture[..., ::-1], procedure=PEER_NAMES[procedure], intensity=intensity,
                                     seed=seed)
        return Made(before=out["input"][..., ::-1], after=out["output"][..., ::-1], mask=out["mask"],
                    start=out["landmarks_original"].pixel_coords, end=out["landmarks_manipulated"].pixel_coords)

    def native(self, picture: np.ndarray, procedure: str, intensity: float) -> np.ndarray:
        """The same functions at the picture's own size, which its program does not offer."""
        i, bgr = self.inference, np.ascontiguousarray(picture[..., ::-1])
        height, width = bgr.shape[:2]
        face = i.extract_landmarks(bgr)
        moved = i.apply_procedure_preset(face, PEER_NAMES[procedure], intensity, image_size=width)
        mask = i.generate_surgical_mask(face, PEER_NAMES[procedure], width, height)
        return i.mask_composite(i.warp_image_tps(bgr, face.pixel_coords, moved.pixel_coords), bgr, mask)


def offline(*_: Any) -> None:
    """Instead of the peer's download."""
    raise RuntimeError("not downloaded")


def in_memory(picture: np.ndarray) -> PhotoFile:
    """A photo that was never a file."""
    return PhotoFile(name="photo", format="png", picture=picture, alpha=None, profile=None, notes=())


def plan_for(procedure: str, intensity: float) -> Plan:
    """So many per cent; of the steps that show, where most of an operation goes along the line of sight."""
    steps = VALUES.get(procedure)
    how: dict[str, Any] = {"intensity": intensity} if steps is None else {
        "values": {name: value * intensity / 100 for name, value in steps.items()}}
    return Plan.model_validate({"procedures": [{"procedure": procedure, **how}]})


def made_of(result: PhotoResult) -> Made:
    """What is measured of a result."""
    return Made(before=result.photo.picture, after=result.output, mask=result.mask, start=result.landmarks_before,
                end=result.landmarks_after)


def flow_at(made: Made, rows: np.ndarray) -> np.ndarray:
    """Motion (px) from before to after at landmarks; DIS, to its finest scale."""
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setFinestScale(0)
    room = 0.2 * np.ptp(made.start[:, 1])
    x, y = np.maximum(made.start.min(0) - room, 0).astype(int)
    right, bottom = np.minimum(made.start.max(0) + room, made.before.shape[1::-1]).astype(int)
    zoom = FLOW_PX / float(np.ptp(made.start[:, 1]))
    size = (round((right - x) * zoom), round((bottom - y) * zoom))
    how = cv2.INTER_CUBIC if zoom > 1 else cv2.INTER_AREA
    flow = finder.calc(*(cv2.resize(cv2.cvtColor(np.ascontiguousarray(p[y:bottom, x:right]), cv2.COLOR_RGB2GRAY), size,
                                    interpolation=how) for p in (made.before, made.after)), None)
    at = np.clip((made.start[rows] - [x, y] + 0.5) * zoom - 0.5, 0, np.array(size) - 1).astype(np.float32)
    return cv2.remap(flow, at[None], None, cv2.INTER_LINEAR)[0] / zoom


def landed(made: Made, rows: np.ndarray | None = None) -> tuple[float, float]:
    """Motion asked (px, root mean square) and the share of it that flow finds; of the strongest half of some landmarks."""
    asked = made.end - made.start
    size = np.linalg.norm(asked[:468], axis=1)
    chosen = np.arange(468) if rows is None else rows
    chosen = chosen[size[chosen] >= 0.5 * size[chosen].max()]
    if size[chosen].max() < 1e-6:
        return 0.0, float("nan")
    went = flow_at(made, chosen)
    return float(np.sqrt((size[chosen]**2).mean())), float((went * asked[chosen]).sum() / (size[chosen]**2).sum())


def about(points: np.ndarray, centre: int, share: float) -> np.ndarray:
    """Landmarks within a share of the distance between the outer eye corners, on the same side of the face."""
    near = np.linalg.norm(points - points[centre], axis=1) < share * np.linalg.norm(points[263] - points[33])
    left = np.zeros(478, bool)
    left[topology().left] = True
    return np.flatnonzero(near & (left == left[centre]) & (np.arange(478) < 468))


def sized(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A square picture at another size, continued above and below."""
    side = min(size_wh)
    how = cv2.INTER_AREA if side < picture.shape[0] else cv2.INTER_CUBIC
    large = cv2.resize(picture, (side, side), interpolation=how)
    tall = size_wh[1] - side
    return cv2.copyMakeBorder(large, tall // 2, tall - tall // 2, 0, 0, cv2.BORDER_REFLECT)


def frontal(data: Path) -> dict[str, np.ndarray]:
    """The frontal portraits, cut square about the face."""
    found = {"astronaut": portrait()}
    for path in FRONTAL:
        if (data / path).exists():
            whole = np.asarray(Image.open(data / path).convert("RGB"))
            face = tools().detector.follow(whole, None)
            if face is not None:
                middle, half = face.points_px[:468, :2].mean(0), min(1.1 * face.height_px, min(whole.shape[:2]) / 2)
                left, top = np.clip(middle - half, 0, np.array(whole.shape[1::-1]) - 2 * half).astype(int)
                found[Path(path).stem] = whole[top:top + int(2 * half), left:left + int(2 * half)]
    return found


def symmetric(picture: np.ndarray) -> np.ndarray:
    """The picture turned upright, its right half (at the left) beside its mirror image."""
    face = tools().detector.follow(picture, None)
    if face is None:
        raise SystemExit("no face was found in a frontal portrait")
    t, points = topology(), face.points_px[:, :2]
    pairs = points[t.left] - points[t.mirror[t.left]]
    turn, side = np.arctan2(*pairs.sum(0)[::-1]), picture.shape[0]
    middle = ((points[t.left] + points[t.mirror[t.left]]) / 2).mean(0)
    M = cv2.getRotationMatrix2D(tuple(middle.tolist()), float(np.degrees(turn)), 1.0)
    M[0, 2] += (side - 1) / 2 - middle[0]
    upright = cv2.warpAffine(picture, M, (side, side), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    half = upright[:, :(side + 1) // 2]
    return np.ascontiguousarray(np.concatenate([half, half[:, ::-1][:, side % 2:]], 1))


def timed(make: Maker, size_wh: tuple[int, int], procedure: str) -> dict[str, float]:
    """Warm: the median and the least of nine, wall and processor time (s) of a photo seen for the first time."""
    picture = sized(portrait(), size_wh)
    wall, spent = [], []
    count = 10 if max(size_wh) < 2000 or isinstance(make, Ours) else 1
    for _ in range(count):
        fresh = picture.copy()
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


def speed(peer: Path | None, data: Path) -> str:
    """Each in a process of its own."""
    rows = []
    for size in SIZES:
        theirs = None
        for who, procedure in (("peer", "rhinoplasty"), *((m, p) for m in MODES for p in ("rhinoplasty", "rhytidectomy"))):
            if who == "peer" and (peer is None or size == "3024 x 4032"):
                continue
            told = json.loads(subprocess.run(
                [sys.executable, __file__, "--one", who, size, procedure, *(["--peer", str(peer)] if peer else [])],
                check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            theirs = told if who == "peer" else theirs
            faster = "" if theirs is None or who == "peer" else f"{theirs['cpu_least'] / told['cpu_least']:.0f}"
            rows.append((size, who, procedure, f"{told['wall']:.3f}", f"{told['least']:.3f}", f"{told['cpu']:.3f}",
                         f"**{told['cpu_least']:.3f}**", faster, BARS[size] if procedure == "rhinoplasty" else "",
                         f"{told['mb']:.0f}", f"{told['load']:.1f}"))
    return table("Speed: from the pixels to the composite, warm, seconds", (
        "size", "who", "operation", "wall, median of 9", "wall, least", "processor, median", "processor, least",
        "peer / ours", "bar", "peak MB", "load"), rows, SPEED)


def sides(peer: Path | None, data: Path) -> str:
    """Jowl and mouth corner of symmetric faces, left over right."""
    rows = []
    for name, picture in frontal(data).items():
        photo = sized(symmetric(picture), (512, 512))
        for label, procedure, centres, share in (("jowl", "rhytidectomy", JOWLS, 0.16),
                                                 ("mouth corner", "orthognathic_maxilla", MOUTH, 0.08)):
            for who in (*(("peer",) if peer else ()), *MODES):
                made = maker(who, peer)(photo, procedure, 100)
                (asked_r, share_r), (asked_l, share_l) = (landed(made, about(made.start, c, share)) for c in centres)
                right, left = asked_r * share_r, asked_l * share_l
                rows.append((name, label, who, f"{asked_l:.1f} / {asked_r:.1f}", f"{left:.1f} / {right:.1f}",
                             judged(share_l), judged(share_r), judged(left / right if right else np.nan)))
    return table("Left and right of symmetric faces at 512 x 512, 100 per cent; px", (
        "photo", "where", "who", "asked left / right", "moved left / right", "moved / asked left",
        "moved / asked right", "left / right (0.9 to 1.1)"), rows, SIDES)


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
                    pairs = [landed(make(photo, procedure, step)) for step in STEPS]
                except PrevisageError as error:
                    rows.append((name, procedure, who, *[""] * len(STEPS), error.code, ""))
                    continue
                moved = [asked * share for asked, share in pairs]
                rows.append((name, procedure, who, *(judged(s) if a >= LEAST_PX else f"({s:.2f})" for a, s in pairs),
                             "yes" if np.all(np.diff(moved) > 0) else "**no**", f"{pairs[-1][0]:.1f}"))
    return table("The slider: moved over asked, by flow, where the landmarks move most", (
        "photo", "operation", "who", *(f"{s} %" for s in STEPS), "monotone", "asked px at 100 %"), rows, SLIDER)


def framings(picture: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The same face larger, smaller, turned, cut and moved: picture, and the affine map (2,3) from the first one."""
    side = picture.shape[0]
    out = {}
    for factor in (1.0, 0.25, 0.5, 2.0, 4.0):
        n = round(side * factor)
        how = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        out[f"{factor:g} x the pixels"] = (cv2.resize(picture, (n, n), interpolation=how),
                                           np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2]]))
    for degrees in (-30, -15, 15, 30):
        M = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, 1.0)
        out[f"rolled by {degrees}°"] = (cv2.warpAffine(picture, M, (side, side), flags=cv2.INTER_CUBIC,
                                                       borderMode=cv2.BORDER_REFLECT), M)
    for label, cut in (("cut close", (0.15, 0.12, 0.85, 0.92)), ("face to the side", (0.0, 0.0, 0.78, 1.0))):
        x0, y0, x1, y1 = (int(c * side) for c in cut)
        out[label] = (np.ascontiguousarray(picture[y0:y1, x0:x1]), np.array([[1.0, 0, -x0], [0, 1, -y0]]))
    wide = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_REFLECT_101)
    wide[:side] = wide[2 * side:] = wide[:, :side] = wide[:, 2 * side:] = 110
    out["a third of the frame"] = (wide, np.array([[1.0, 0, side], [0, 1, side]]))
    return out


def framing(peer: Path | None, data: Path) -> str:
    """Asked and moved, carried back to the first framing; deviation from it in per cent."""
    rows = []
    photo = sized(portrait(), (768, 768))
    for who in (*(("peer",) if peer else ()), *MODES):
        make, first = maker(who, peer), None
        for label, (picture, M) in framings(photo).items():
            try:
                made = make(picture, "rhinoplasty", 100)
            except (PrevisageError, ValueError) as error:
                rows.append((label, who, "", "", "", getattr(error, "code", str(error))))
                continue
            squeeze = np.array(made.before.shape[1::-1]) / np.array(picture.shape[1::-1])
            back = np.linalg.inv(M[:, :2])
            asked = ((made.end - made.start)[:468] / squeeze) @ back.T
            size = np.linalg.norm(asked, axis=1)
            strong = size >= 0.5 * size.max()
            went = (flow_at(made, np.flatnonzero(strong)) / squeeze) @ back.T
            moved = float((went * asked[strong]).sum() / np.sqrt((size[strong]**2).sum() * strong.sum()))
            wanted = float(np.sqrt((size[strong]**2).mean()))
            first = first or (wanted, moved)
            off = [100 * (v / f - 1) for v, f in zip((wanted, moved), first, strict=True)]
            rows.append((label, who, f"{wanted:.2f} / {moved:.2f}", *(
                f"{o:+.1f} %" if abs(o) <= 5 else f"**{o:+.1f} %**" for o in off), ""))
    return table("The same face in other frames: rhinoplasty at 100 per cent, px of the first frame", (
        "frame", "who", "asked / moved", "asked (± 5 %)", "moved (± 5 %)", ""), rows, FRAMING)


def stays(peer: Path | None, data: Path) -> str:
    """Pixels that must not change."""
    rows = []
    for name, picture in frontal(data).items():
        photo = sized(picture, (512, 512))
        for procedure in ("rhinoplasty", "rhytidectomy"):
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
    """The score of a symmetric head that turns; waits for analysis.symmetry."""
    return "## Symmetry of a turned head\n\nNot measured yet.\n"


def table(title: str, names: tuple[str, ...], rows: Rows, note: str) -> str:
    """Markdown."""
    lines = [f"## {title}", "", *([note, ""] if note else []), "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
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
SPEED = """The machine was shared, so wall times say what the load made of them; processor time counts all cores. `peer / ours` is
the ratio of the least processor times. Peer beyond 512 px: its own functions at that size, once, which its program does
not offer (it squeezes every photo to 512 x 512). Ours finds the face, fits the head and checks the result."""
SIDES = """Mouth corner: the peer's `orthognathic`; ours moves the maxilla up by 3.6 mm (advancement shows little from the
front)."""
SLIDER = """In brackets: less than 1 px is asked, which flow cannot judge. Ours: maxilla up by 3.6 mm and chin longer by 4 mm at
100 per cent, which show from the front."""
FRAMING = "Frames made by resampling one photo (face 290 px high); the peer sees all of them at 512 x 512."
TABLES = {"speed": speed, "sides": sides, "slider": slider, "framing": framing, "stays": stays, "symmetry": symmetry}

if __name__ == "__main__":
    sys.exit(main())
