"""Speed and truth of the flat warp (synth.thinplate) at three sizes, against a dense evaluation of the same plate.

    python benchmarks/thinplate.py -o benchmarks/thinplate.md [--picture PHOTO] [--look look.png] [--flow PHOTO ...]

A portrait (scikit-image's astronaut, public domain, or the given photo) is cut to its face and enlarged; its 478
landmarks are found once. Two plans: `nose` narrows the wings inside a region of the nose, `jowls` lifts both sides of
the jaw of the whole face with eyes and mouth held rigid. Timed, warm, the least disturbed of seven: landmarks to
composite, which is `find` and `apply`; and the processor's time of both, over all its cores. Dense: u at every pixel of
the region and its fixed point (8 evaluations), timed on a sample of pixels and scaled to their number. Error: between
where sampled pixels come from and where the plate says so. Landing error: landmarks in rigid parts cannot land. Memory:
the process's peak, and by how much it grew meanwhile.
"""

import argparse
import os
import platform
import resource
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy.ndimage import map_coordinates

from recon.detect import Detector
from synth import thinplate

SIZES = ((512, 512), (2048, 2048), (3024, 4032))
OUTLINE = (152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
"""The jaw's outline in MediaPipe's scheme, chin first, right side (of the patient) before left."""
NOSE_WINGS = ((64, 98, 48, 115, 220, 129), (294, 327, 278, 344, 440, 358))
EYES = ((33, 160, 158, 133, 153, 144), (263, 387, 385, 362, 380, 373))
LIPS = (78, 81, 13, 311, 308, 402, 14, 178)


def main() -> int:
    """Print, and write, the table; with --one, one row in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--look", type=Path, help="before | after of both plans at 512 px, as a picture")
    parser.add_argument("--flow", type=Path, nargs="*", default=[], metavar="PHOTO",
                        help="more photos for the last table")
    parser.add_argument("--one", nargs=2, metavar=("SIZE", "PLAN"))
    given = parser.parse_args()
    picture = portrait(given.picture)
    if given.one:
        print(row(picture, SIZES[int(given.one[0])], given.one[1]))
        return 0
    again = [sys.executable, __file__, *(["--picture", str(given.picture)] if given.picture else [])]
    rows = [subprocess.run([*again, "--one", str(k), plan], check=True, capture_output=True, text=True).stdout.strip()
            for plan in ("nose", "jowls") for k in range(len(SIZES))]
    text = page(rows) + flow_table([given.picture, *given.flow])
    print(text)
    if given.output:
        given.output.write_text(text, "utf-8")
    if given.look:
        look(picture).save(given.look)
    return 0


def portrait(path: Path | None) -> np.ndarray:
    """The picture, cut to a square or upright frame about its face."""
    if path is None:
        from skimage import data

        whole = data.astronaut()
    else:
        whole = np.asarray(Image.open(path).convert("RGB"))
    found = face_points(whole)
    middle, half = (found.min(0) + found.max(0)) / 2, 0.85 * np.ptp(found[:, 1])
    left, top = np.maximum((middle - half).astype(int), 0)
    side = int(min(2 * half, whole.shape[1] - left, whole.shape[0] - top))
    return whole[top:top + side, left:left + side]


def face_points(picture: np.ndarray) -> np.ndarray:
    """The 478 landmarks of the picture's largest face (px)."""
    face = Detector().follow(picture, None)
    if face is None:
        sys.exit("no face was found in the picture")
    return face.points_px[:, :2].astype(float)


def sized(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Enlarged, and continued at the sides to the wanted shape."""
    side = min(size_wh)
    large = cv2.resize(picture, (side, side), interpolation=cv2.INTER_CUBIC)
    tall, wide = size_wh[1] - side, size_wh[0] - side
    return cv2.copyMakeBorder(large, tall // 2, tall - tall // 2, wide // 2, wide - wide // 2, cv2.BORDER_REFLECT)


def plan_of(points: np.ndarray, size_wh: tuple[int, int], plan: str) -> tuple[np.ndarray, np.ndarray | None,
                                                                             np.ndarray | None]:
    """Where the landmarks go, what may change, what is rigid."""
    iod = float(np.linalg.norm(points[263] - points[33]))
    across = (points[263] - points[33]) / iod
    up = np.array([across[1], -across[0]])
    middle = points[[168, 1, 152]].mean(0)
    shape = (size_wh[1], size_wh[0])
    if plan == "nose":
        motion = np.zeros_like(points)
        for side, wings in zip((1.0, -1.0), NOSE_WINGS, strict=True):
            far = np.linalg.norm(points - points[list(wings)].mean(0), axis=-1)
            motion += side * 0.045 * iod * np.exp(-(far / (0.1 * iod))**2)[:, None] * across
        region = np.zeros(shape, np.uint8)
        cv2.ellipse(region, tuple(np.rint(points[[168, 2]].mean(0)).astype(int).tolist()),
                    (round(0.48 * iod), round(0.62 * iod)), 0, 0, 360, 1, -1)
        return points + motion, region.astype(float), None
    motion = np.zeros_like(points)
    for corner in (172, 397):
        far = np.linalg.norm(points - points[corner], axis=1)
        outward = np.sign(np.dot(points[corner] - middle, across)) * across
        motion += 0.09 * iod * np.exp(-(far / (0.3 * iod))**2)[:, None] * (up + 0.3 * outward)
    still = np.zeros(shape, np.uint8)
    for ring in (*EYES, LIPS):
        cv2.fillPoly(still, [np.rint(points[list(ring)]).astype(np.int32)], 1)
    return points + motion, None, still.astype(float)


def row(picture: np.ndarray, size_wh: tuple[int, int], plan: str) -> str:
    """One line of the table."""
    sheet = sized(picture, size_wh)
    points = face_points(sheet)
    to, region, still = plan_of(points, size_wh, plan)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = []
    spent = []
    for _ in range(8):
        start, began = time.perf_counter(), time.process_time()
        warp = thinplate.find(size_wh, points, to, region, still)
        middle = time.perf_counter()
        after = thinplate.apply(sheet, warp)
        times.append((middle - start, time.perf_counter() - middle))
        spent.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    find_s, apply_s = min(times[1:], key=sum)
    dense_s, error, most = dense(warp, points, to, region, still)
    outside = np.ones(sheet.shape[:2], bool) if warp.inside is None else ~warp.inside
    changed = int((after != sheet).any(-1)[outside].sum()) if warp.inside is not None else 0
    landed = np.linalg.norm(warp.landed_px - to, axis=1).max() if warp.share == 1 else float("nan")
    return (f"| {plan} | {size_wh[0]}x{size_wh[1]} | {find_s:.3f} | {apply_s:.3f} | **{find_s + apply_s:.3f}** | "
            f"{min(spent[1:]):.3f} | {dense_s:.1f} | {dense_s / (find_s + apply_s):.0f} | {error:.3f}, {most:.3f} | "
            f"{np.abs(to - points).max():.1f} | {landed:.2f} | {warp.share:.2f} | {changed} | "
            f"{peak / 1024:.0f} (+{(peak - before) / 1024:.0f}) |")


def dense(warp: thinplate.Warp, points: np.ndarray, to: np.ndarray, region: np.ndarray | None,
          still: np.ndarray | None) -> tuple[float, float, float]:
    """Seconds of a dense evaluation for every pixel of the disc or region; error of a sample: largest, 99 % (px)."""
    plate = thinplate.Plate(warp.size_wh, points, to - points, region, still, thinplate.THIN_PLATE)
    count, wanted, source = 0, [], []
    rng = np.random.default_rng(0)
    for rows, columns, places in thinplate.maps(warp):
        keep = np.argwhere(thinplate.inside(warp, rows, columns))
        count += len(keep)
        chosen = keep[rng.permutation(len(keep))[:2000]]
        wanted.append(chosen[:, ::-1] + np.array([columns.start, rows.start]))
        source.append(places[chosen[:, 0], chosen[:, 1]])
    y, x = np.concatenate(wanted).astype(float), np.concatenate(source).astype(float)
    window = np.ones(len(x))
    if plate.inside is not None:
        window = window_at(plate, x, region, still)
    start = time.perf_counter()
    found = plate.bend(x, window)
    seconds = (time.perf_counter() - start) * 8 * count / len(x)
    error = np.linalg.norm(x + warp.share * found - y, axis=1)
    error = error[window > 0]
    return seconds, float(error.max()), float(np.percentile(error, 99))


def window_at(plate: thinplate.Plate, x: np.ndarray, region: np.ndarray | None, still: np.ndarray | None) -> np.ndarray:
    """The window at pixels, from the masks at full resolution."""
    window = np.ones(len(x))
    for mask, share in ((None if region is None else region > 0, thinplate.THIN_PLATE.feather),
                        (None if still is None else still <= 0.5, thinplate.THIN_PLATE.still_feather)):
        if mask is not None:
            typical = plate.radius if region is None else np.sqrt((region > 0).sum() / np.pi)
            far = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            at = map_coordinates(far, x.T[::-1], order=1, mode="nearest")
            window *= thinplate.smoothstep(at.astype(float) / (share * typical))
    return window


def look(picture: np.ndarray) -> Image.Image:
    """Before | nose | jowls | twice the jowls, at 512 px."""
    sheet = sized(picture, SIZES[0])
    points = face_points(sheet)
    row_of = [sheet]
    for plan, factor in (("nose", 1.0), ("nose", 2.0), ("jowls", 1.0), ("jowls", 2.0)):
        to, region, still = plan_of(points, SIZES[0], plan)
        row_of.append(thinplate.warped(sheet, points, points + factor * (to - points), region, still))
    return Image.fromarray(np.concatenate(row_of, 1))


def flow_table(paths: list[Path | None]) -> str:
    """Motion of both jowls by optical flow over the motion asked, at a fifth to all of it."""
    parts = (0.2, 0.4, 0.6, 0.8, 1.0)
    lines = ["", "Jowls at 512 px: motion by optical flow (DIS) over the motion asked, right/left of the patient.", "",
             "| photo | " + " | ".join(f"{part:.0%}" for part in parts) + " |", "|---" * (len(parts) + 1) + "|"]
    for path in paths:
        sheet = sized(portrait(path), SIZES[0])
        points = face_points(sheet)
        to, region, still = plan_of(points, SIZES[0], "jowls")
        cells = []
        for part in parts:
            after = thinplate.warped(sheet, points, points + part * (to - points), region, still)
            cells.append("/".join(f"{share:.2f}" for share in achieved(sheet, after, points, part * (to - points))))
        lines.append(f"| {'astronaut' if path is None else path.stem} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def achieved(before: np.ndarray, after: np.ndarray, points: np.ndarray, asked: np.ndarray) -> list[float]:
    """Flow along the asked motion over its length, at the landmarks about each jowl."""
    finder = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    finder.setFinestScale(0)
    flow = finder.calc(*(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY) for p in (before, after)), None)
    shares = []
    for corner in (172, 397):
        near = np.linalg.norm(points - points[corner], axis=1) < 0.16 * np.linalg.norm(points[263] - points[33])
        at = np.clip(np.rint(points[near]).astype(int), 0, np.array(before.shape[1::-1]) - 1)
        shares.append(float((flow[at[:, 1], at[:, 0]] * asked[near]).sum() / (asked[near]**2).sum()))
    return shares


def page(rows: list[str]) -> str:
    """The table with the machine and the versions."""
    model = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.processor())
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "opencv-contrib-python"))
    return "\n".join([
        "# The flat warp", "", "Made by `OMP_NUM_THREADS=1 python benchmarks/thinplate.py -o benchmarks/thinplate.md "
        "--flow PHOTO ...`; what each column means stands in that file.", "",
        f"{model}, {os.cpu_count()} cores shared with other work "
        f"(load {os.getloadavg()[0]:.1f}), {version_line(versions)}", "",
        "| plan | picture | find s | apply s | both s | processor s | dense s | times faster | "
        "error px, largest and 99 % | "
        "largest motion px | landing error px | share done | changed outside | peak MB |",
        "|---" * 14 + "|", *rows, ""])


def version_line(versions: str) -> str:
    """Python and packages."""
    return f"Python {platform.python_version()}, {versions}."


if __name__ == "__main__":
    sys.exit(main())
