"""warp3d against true after-frames, beside a thin plate that bends the single photo.

    python benchmarks/warp3d.py --captures ../shared/data --tool ../shared/tools/head_capture.py --cases DIR \\
        -o benchmarks/warp3d.md [--look DIR] [--only 101]

For every capture: reconstructed from its video (or taken from --cases/NUMBER), a plan is predicted, its displacement is
carried to the true head (`true_after`) and that head is filmed again. Compared where the surgical mask is over 1/2:
PSNR of RGB and SSIM of luminance (Gaussian window, 1.5 px), data range 255. Two inputs: `lens`, the same frame without
sensor noise and video compression, which is what the warp itself is judged by; and `video`, the frame as it was
captured, beside the ceiling that its noise and compression set (the untouched frame against the untouched truth).
Achieved over asked motion is read by optical flow, as the guard reads it, from warp3d's picture and from the true
after-frame: what the flow reads there that is not 1 is its own error.
The flat opponent gets the true head-motion of the visible landmarks of the 478, projected: more than a single photo
can know.
"""

import argparse
import functools
import importlib.util
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
from PIL import Image

from benchmarks.true_after import Truth, carried, fitted
from core.camera import Camera
from core.reconstruction import Reconstruction
from core.store import load_reconstruction
from deform3d import catalogue, predict, read_plan
from previsage.studio import Made, Studio
from render.flow import Seen, correspondence, skins
from render.picture import photograph
from render.rasterize import Rasterizer
from render.wireframe import pinned, project_landmarks
from synth.achieved import achieved
from synth.guard import GUARD
from synth.relight import light_ratio
from synth.thinplate import warped
from synth.warp3d import warp3d

PROCEDURES = ("rhinoplasty", "mentoplasty", "brow_lift")
YAWS_DEG = (-60, -30, 0, 30, 60)
INTENSITY = 60.0
BAR_DB, BAR_SSIM = 32.0, 0.95
Row = dict[str, Any]


def main() -> int:
    """Measure, print and write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captures", type=Path, required=True, help="folder of capture_101, ...")
    parser.add_argument("--tool", type=Path, required=True, help="head_capture.py")
    parser.add_argument("--cases", type=Path, required=True, help="where cases are, or are made")
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--look", type=Path, help="before | after | truth | difference of every cell, as PNG")
    parser.add_argument("--only", nargs="+", default=["101", "102", "103"])
    given = parser.parse_args()
    tool = module_of(given.tool)
    rows, speed = [], ""
    for number in given.only:
        case = given.cases / number
        if not (case / "recon" / "stage.json").exists():
            video = given.captures / f"capture_{number}" / "video.mp4"
            subprocess.run([sys.executable, "-m", "viewer.cli", "reconstruct", video, "-o", case], check=True)
        head = load_reconstruction(case / "recon")
        rows += measured(number, case, head, Truth(given.captures / f"capture_{number}", tool), given.look)
        speed = speed or timed(case, head)
    text = page(rows, speed)
    print(text)
    if given.output:
        given.output.write_text(text, "utf-8")
    return 0


def module_of(path: Path) -> ModuleType:
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def displacement(head: Reconstruction, procedure: str) -> np.ndarray:
    """What the plan moves (mm)."""
    plan = read_plan({"procedures": [{"procedure": procedure, "intensity": INTENSITY}]})
    return predict(head.mesh, head.anatomy, plan, catalogue()).total_mm()


def measured(number: str, case: Path, head: Reconstruction, truth: Truth, look: Path | None) -> list[Row]:
    """Every cell of one capture."""
    face = head.anatomy.region("face") > 0.5
    to_truth = fitted(head.mesh.vertices_mm, head.landmarks.points, truth, face)
    yaw = np.degrees([v.camera.head_angles_rad[0] for v in head.views])
    chosen = [int(np.argmin(np.abs(yaw - y))) for y in YAWS_DEG]
    lens = {k: as_bytes(truth.frame(source(head, k))) for k in chosen}
    rows = []
    for procedure in PROCEDURES:
        moved = displacement(head, procedure)
        true_moved = carried(moved, head.mesh.vertices_mm, head.mesh.faces, truth, to_truth)
        studio = Studio(case, head, moved)
        studio.gather_plate()
        for k in chosen:
            after = truth.frame(source(head, k), true_moved)
            row, pictures = cell(studio, k, lens[k], after)
            rows.append({"capture": number, "procedure": procedure, "yaw": float(yaw[k]), **row})
            print(rows[-1], flush=True)
            if look is not None:
                look.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pictures).save(look / f"{number}_{procedure}_{yaw[k]:+03.0f}.png")
    return rows


def source(head: Reconstruction, k: int) -> int:
    """The number of a view's frame in its video."""
    return int(head.views[k].source.rpartition("#")[2])


def cell(studio: Studio, k: int, lens: np.ndarray, true_after: np.ndarray) -> tuple[Row, np.ndarray]:
    """One frame: warp3d and the thin plate from the lens's frame, warp3d from the video's; and pictures to look at."""
    view = studio.head.views[k]
    camera = view.camera
    seen = correspondence(studio.before, studio.after, camera)
    assert seen is not None
    mask = np.zeros(lens.shape[:2], np.float32)
    mask[seen.correspondence.window] = seen.correspondence.mask
    inside = mask > 0.5
    made = studio_made(studio, view, lens)
    video = studio.frame(view)
    from_video = studio.made(view).picture
    flat = warped(lens, *motions(studio, camera))
    row = {"none": quality(lens, true_after, inside), "plate": quality(flat, true_after, inside),
           "warp3d": quality(made, true_after, inside), "video": quality(from_video, true_after, inside),
           "ceiling": quality(video, lens, inside),
           "shares": shares(studio, seen, lens, made), "true": shares(studio, seen, lens, as_bytes(true_after))}
    window = seen.correspondence.window
    parts = [lens[window], made[window], as_bytes(true_after)[window],
             np.clip(128 + 3 * (made[window].astype(float) - true_after[window]), 0, 255).astype(np.uint8)]
    wide = np.concatenate(parts, 1)
    return row, np.asarray(Image.fromarray(wide).resize((2 * wide.shape[1], 2 * wide.shape[0]), Image.LANCZOS))


def shares(studio: Studio, seen: Seen, before: np.ndarray, after: np.ndarray) -> list[float | None]:
    """Achieved over asked motion of the patient's left, of the right, and left over right; None: not measurable."""
    window = seen.correspondence.window
    across = seen.after.interpolate(studio.after.mesh.vertices_mm[:, :1], studio.head.mesh.faces)[..., 0]
    found = achieved(*(np.ascontiguousarray(p[window]) for p in (before, after)), seen.correspondence,
                     {"left": across > 0, "right": across < 0})
    left, right = (part.share if part.measurable(GUARD.least_px, GUARD.largest_spread) else None
                   for part in found.values())
    return [left, right, None if left is None or right is None else left / right]


def studio_made(studio: Studio, view: Any, frame: np.ndarray) -> np.ndarray:
    """warp3d's picture of a frame that is not the case's own."""
    class Given(Studio):
        def __init__(self) -> None:
            self.__dict__.update(studio.__dict__)

        def frame(self, view: Any) -> np.ndarray:
            return frame
    made: Made = Given().made(view)
    return made.picture


def motions(studio: Studio, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where the visible landmarks are before and after, px."""
    pins = studio.head.anatomy.pins478
    before = project_landmarks(pinned(studio.head.mesh, pins), camera, studio.before)
    after = project_landmarks(pinned(studio.after.mesh, pins), camera, studio.after)
    both = (before.confidence > 0) & (after.confidence > 0)
    return before.points[both], after.points[both]


def quality(picture: np.ndarray, truth: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """PSNR (dB) and SSIM where `inside`."""
    error = (picture.astype(float) - truth)[inside]
    return float(10 * np.log10(255**2 / np.mean(error**2))), float(structure(picture, truth)[inside].mean())


def structure(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM's map of luminance (Wang et al. 2004: 11 px Gaussian window of 1.5 px, K 0.01 and 0.03)."""
    x, y = (p.astype(np.float64) @ np.array([0.299, 0.587, 0.114]) for p in (a, b))
    blur = functools.partial(cv2.GaussianBlur, ksize=(11, 11), sigmaX=1.5)
    mx, my = blur(x), blur(y)
    vx, vy, c = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    c1, c2 = 2.55**2, 7.65**2
    return (2 * mx * my + c1) * (2 * c + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))


def as_bytes(picture: np.ndarray) -> np.ndarray:
    """Rounded to bytes."""
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def timed(case: Path, head: Reconstruction) -> str:
    """Milliseconds at 1080 x 1920, warm, of the frame nearest to frontal: on the clock, and of processor time."""
    view = min(head.views, key=lambda v: abs(v.camera.head_angles_rad[0]))
    camera = view.camera.resized((1080, 1920))
    lines = []
    for procedure in PROCEDURES:
        studio = Studio(case, head, displacement(head, procedure))
        studio.gather_plate()
        frame = cv2.resize(studio.frame(view), camera.size_wh, interpolation=cv2.INTER_CUBIC)

        def whole(studio: Studio = studio, frame: np.ndarray = frame) -> None:
            seen = correspondence(studio.before, studio.after, camera)
            assert seen is not None
            warp3d(frame, seen.correspondence, light_ratio(seen.correspondence, studio.shade(camera)), None,
                   functools.partial(skins, seen, studio.before, studio.after, studio.skin))
        lines.append(f"| warp3d, {procedure}, with correspondence and mask | {median_ms(whole)} |")
    rasterizer = Rasterizer(head.mesh)
    skin = Studio(case, head, np.zeros_like(head.mesh.vertices_mm)).skin
    lines.append(f"| rasterise the whole head | {median_ms(lambda: rasterizer(camera))} |")
    lines.append("| rasterise and shade the whole head, smooth edges | "
                 f"{median_ms(lambda: photograph(rasterizer, camera, skin))} |")
    return "\n".join(lines)


def median_ms(work: Any) -> str:
    """Median of five, after one: on the clock | of processor time (all threads)."""
    work()
    took = []
    for _ in range(5):
        start = time.perf_counter(), time.process_time()
        work()
        took.append((time.perf_counter() - start[0], time.process_time() - start[1]))
    clock, processor = 1000 * np.median(took, axis=0)
    return f"{clock:.0f} | {processor:.0f}"


def page(rows: list[Row], speed: str) -> str:
    """The page."""
    reached = sum(r["warp3d"][0] >= BAR_DB and r["warp3d"][1] >= BAR_SSIM for r in rows)
    beats = sum(r["warp3d"][0] > r["plate"][0] and r["warp3d"][1] > r["plate"][1] for r in rows)
    read = {of: [[r[of][k] for r in rows if r[of][k] is not None] for k in range(3)] for of in ("shares", "true")}
    one, both_sides = read["shares"][0] + read["shares"][1], read["shares"][2]
    packages = ", ".join(f"{name} {version(name)}" for name in ("numpy", "opencv-contrib-python", "open3d"))
    both = lambda pair: f"{pair[0]:.1f} / {pair[1]:.3f}"  # noqa: E731
    told = lambda value: "–" if value is None else f"{value:.2f}"  # noqa: E731
    cells = "\n".join(
        f"| {r['capture']} | {r['procedure']} | {r['yaw']:+.0f} | {both(r['none'])} | {both(r['plate'])} | "
        f"**{both(r['warp3d'])}** | {both(r['video'])} | {both(r['ceiling'])} | "
        f"{' | '.join(told(share) for share in (*r['shares'], r['true'][2]))} |" for r in rows)
    return f"""# warp3d against true after-frames

`benchmarks/warp3d.py`; {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, {packages}.
How it is measured stands at the head of that file. PSNR (dB) / SSIM inside the surgical mask, plans at
{INTENSITY:.0f} %.

* Bar (PSNR {BAR_DB:.0f} dB and SSIM {BAR_SSIM}) reached in {reached} of {len(rows)} cells from the lens's frames; least
  {min(r['warp3d'][0] for r in rows):.1f} dB and {min(r['warp3d'][1] for r in rows):.3f}.
* The thin plate is beaten in both numbers in {beats} of {len(rows)} cells.
* Video frames cannot reach SSIM {BAR_SSIM} in every cell, whatever is done to them: noise and compression alone leave
  {min(r['ceiling'][1] for r in rows):.3f} to {max(r['ceiling'][1] for r in rows):.3f} (column `ceiling`, no operation).
* Achieved over asked motion, by optical flow, each side on its own: {min(one):.2f} to {max(one):.2f}; left over
  right {min(both_sides):.2f} to {max(both_sides):.2f}. A side that hardly shows in a picture is not measured (–).
* The flow's own error: it reads the true after-frames as {min(read["true"][0] + read["true"][1]):.2f} to \
{max(read["true"][0] + read["true"][1]):.2f}, left over right {min(read["true"][2]):.2f} to
  {max(read["true"][2]):.2f} (last column).

| capture | plan | yaw | untouched | thin plate | warp3d | from video | its ceiling | left | right | l/r | its truth |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|
{cells}

| 1080 x 1920 | ms | ms of processor |
|---|--:|--:|
{speed}

Load of the machine while it was timed: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.
"""


if __name__ == "__main__":
    sys.exit(main())
