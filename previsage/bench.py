"""Bench: captures whose truth is known are reconstructed one by one, each in a process of its own, and scored.

A capture is a folder with `video.mp4` and `truth.npz`: verts (V,3) and tris of the head in mm, K (3,3) px,
cam_from_head (N,4,4) in mm for every frame, landmarks478 (478,3) in mm on the surface, NaN where not seen.
`head.npz` beside them may hold `ipd_mm`, the distance between the pupils that a person would type.

One capture at one quality, with or without the typed distance, is one row: a plain dictionary, as it is written.
"""

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from analysis.accuracy import NOSE_TIP, Placed, errors, placed
from analysis.honesty import camera_errors, coverage, shape_sd, size_is_held
from core.errors import PrevisageError, UsageError
from core.files import plain
from core.mesh import Mesh
from core.progress import Progress
from core.reconstruction import Reconstruction, View
from core.records import record
from core.store import load_npz, load_reconstruction
from previsage.measured import Measured, measured
from previsage.options import Quality
from previsage.versions import ROOT

FILM, TRUTH, HEAD = "video.mp4", "truth.npz", "head.npz"
LIMIT_S = 900.0
NO_SKIN = ("eye_l", "eye_r", "mouth_interior")
Row = dict[str, Any]


@record
class Truth:
    """What is known of a capture. K_px: of the film's own pixels; cam_from_head: one per frame."""

    mesh: Mesh
    landmarks_mm: Float[np.ndarray, "478 3"]
    K_px: Float[np.ndarray, "3 3"]
    cam_from_head: Float[np.ndarray, "n 4 4"]

    def focal_px(self, view: View) -> float:
        """The true focal length in the pixels of a view, which may have been reduced."""
        longest = 2 * max(self.K_px[0, 2], self.K_px[1, 2]) + 1  # the principal point is the picture's middle
        return float(self.K_px[0, 0]) * max(view.camera.size_wh) / float(longest)


@record
class Setting:
    """How the captures are reconstructed. command: what starts `previsage reconstruct`, before its arguments."""

    command: tuple[str, ...]
    quality: Quality = "full"
    ipd: bool = False
    keep: Path | None = None


def captures_in(folders: Iterable[Path]) -> dict[str, Path]:
    """Captures in or below the folders by a short name, in order. UsageError when there are none."""
    given = list(folders)
    found = list(dict.fromkeys(path.parent for folder in given for path in sorted(folder.resolve().rglob(TRUTH))
                               if (path.parent / FILM).is_file()))
    if not found:
        raise UsageError("no_captures", f"No capture with truth lies in {', '.join(map(str, given))}.",
                         f"A capture is a folder with {FILM} and {TRUTH}.")
    names = [folder.name for folder in found]
    short = [f"{f.parent.name}/{f.name}" if names.count(f.name) > 1 else f.name for f in found]
    if len(set(short)) < len(short):
        raise UsageError("same_names", "Two captures have the same name and lie in folders of the same name.",
                         "Measure them in two calls with different -o.")
    return dict(zip(short, found, strict=True))


def measure_all(captures: dict[str, Path], setting: Setting, progress_of: Callable[[str], Progress],
                done: Callable[[Row], None]) -> list[Row]:
    """One row per capture, one after the other; `done` hears of each at once. UsageError: a kept case is in the way."""
    with tempfile.TemporaryDirectory(prefix="previsage-bench-") as scratch:
        cases = {name: (setting.keep or Path(scratch)).resolve() / case_name(name, setting) for name in captures}
        if there := [str(case) for case in cases.values() if case.exists()]:
            raise UsageError("case_exists", f"Already there: {', '.join(there)}.",
                             "A finished stage would not run again; choose another folder, or remove these.")
        rows = []
        for name, folder in captures.items():
            rows.append(plain(row_of(name, folder, cases[name], setting, progress_of(name))))
            done(rows[-1])
        return rows


def case_name(capture: str, setting: Setting) -> str:
    """The folder of a capture's case."""
    return f"{capture.replace('/', '-')}-{setting.quality}{'-ipd' if setting.ipd else ''}"


def row_of(name: str, folder: Path, case: Path, setting: Setting, progress: Progress) -> Row:
    """Reconstruct and score one capture; whatever goes wrong is said in the row, and the next one can go on."""
    row: Row = {"capture": name, "quality": setting.quality, "typed_ipd": setting.ipd, "state": "failed"}
    try:
        progress(0.0, "reading the truth")
        truth = truth_of(folder / TRUTH)
        row["frames"] = len(truth.cam_from_head)
        row["ipd_mm"] = true_ipd_mm(folder) if setting.ipd else None
        row["load_before"] = round(os.getloadavg()[0], 1)
        progress(0.02, "reconstructing")
        ran = reconstruct(folder, case, setting, row["ipd_mm"])
        row |= {"load_after": round(os.getloadavg()[0], 1), **cost(ran)}
        if ran.exit:
            row |= {"state": "refused" if ran.exit == 3 else "failed", "reason": reason(ran, case, folder)}
            progress(1.0, f"{row['state']}: {row['reason']}")
            return row
        progress(0.8, "scoring")
        head = load_reconstruction(case / "recon")
        row |= score(head, truth) | {"state": "done"}
        progress(1.0, f"shape {row['shape_mm']:.2f} mm, {row['wall_s']:.0f} s")
    except (PrevisageError, OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, MemoryError) as error:
        row["reason"] = str(error) or type(error).__name__
        progress(1.0, f"failed: {row['reason']}")
    return row


def truth_of(path: Path) -> Truth:
    """Read `truth.npz`; ValueError when it lacks something."""
    with np.load(path) as arrays:
        if lacking := {"verts", "tris", "K", "cam_from_head", "landmarks478"} - set(arrays.files):
            raise ValueError(f"{path.name} lacks {', '.join(sorted(lacking))}")
        if not np.isfinite(arrays["landmarks478"][NOSE_TIP]).all():
            raise ValueError(f"{path.name} has no landmark on the nose tip: film it where mediapipe is installed")
        faces = arrays["tris"].astype(np.int32)
        mesh = Mesh(vertices_mm=arrays["verts"].astype(float), faces=faces, uv=np.zeros((1, 2)),
                    faces_uv=np.zeros_like(faces))
        return Truth(mesh=mesh, landmarks_mm=arrays["landmarks478"].astype(float), K_px=arrays["K"].astype(float),
                     cam_from_head=arrays["cam_from_head"].astype(float))


def true_ipd_mm(folder: Path) -> float:
    """The interpupillary distance that a person would type. ValueError: the capture does not say."""
    arrays = load_npz(folder / HEAD) if (folder / HEAD).is_file() else {}
    if "ipd_mm" not in arrays:
        raise ValueError(f"the distance between the pupils is not known: no ipd_mm in {HEAD}")
    return float(arrays["ipd_mm"])


def reconstruct(folder: Path, case: Path, setting: Setting, ipd_mm: float | None) -> Measured:
    """What a person would type, in a process of its own."""
    typed = [] if ipd_mm is None else ["--ipd-mm", f"{ipd_mm:.2f}"]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return measured([*setting.command, str(folder / FILM), "-o", str(case), "--quality", setting.quality, *typed,
                     "--json"], LIMIT_S, {**os.environ, "PYTHONPATH": path})


def cost(ran: Measured) -> Row:
    """Time and memory, where they are known."""
    if ran.wall_s is None or ran.cpu_s is None or ran.peak_bytes is None:
        return {"exit": ran.exit}
    return {"exit": ran.exit, "wall_s": round(ran.wall_s, 1), "cpu_s": round(ran.cpu_s, 1),
            "peak_gb": round(ran.peak_bytes / 1e9, 2)}


def reason(ran: Measured, case: Path, folder: Path) -> str:
    """Why a reconstruction did not finish, in its own words; no path of this machine."""
    if ran.exit == 124 and ran.wall_s is None:
        return f"not finished after {LIMIT_S:.0f} s"
    try:
        error = json.loads(ran.out)["error"]
        said = f"{error['message']} {error['hint']}".strip()
    except (ValueError, KeyError, TypeError):
        lines = (ran.err or ran.out).strip().splitlines()
        said = f"exit {ran.exit}: {lines[-1] if lines else 'it said nothing'}"
    return said.replace(str(case), case.name).replace(str(folder), folder.name)


def score(head: Reconstruction, truth: Truth) -> Row:
    """Every measure of a finished head."""
    both = placed(head.mesh, head.landmarks.points, truth.mesh, truth.landmarks_mm)
    shape, metric = (errors(both[name], head.landmarks.points, truth.landmarks_mm) for name in ("shape", "metric"))
    row = {"shape_mm": shape["mean"], "metric_mm": metric["mean"], "nose_mm": shape["nose"], "chin_mm": shape["chin"],
           "landmark_mm": shape["inner_landmarks"], "scale_percent": both["shape"].scale_error_percent,
           "interval_percent": head.scale.interval95_percent,
           **stated(head, truth, both), **seen_from(head, truth, both["shape"]),
           "reprojection_px": head.report["reprojection_px"]["median"]}
    rounded = {key: round(float(value), 3) for key, value in row.items()}
    return rounded | {"interval_holds": size_is_held(both["shape"], head.scale.interval95_percent),
                      "scale_source": head.scale.source, "views": len(head.views), "model": head.model,
                      "seconds": {name: round(s, 1) for name, s in head.report["seconds"].items()},
                      "what_ran": head.report.get("what_ran", {})}


def stated(head: Reconstruction, truth: Truth, both: dict[str, Placed]) -> dict[str, float]:
    """Per cent of the face's vertices whose error lies within what is stated of it: of the shape, and in mm."""
    skin = np.ones(len(head.mesh.vertices_mm), bool)
    for name, weight in zip(head.anatomy.region_names, head.anatomy.region_weights, strict=True):
        skin &= (weight < 0.5) | (name not in NO_SKIN)
    full = head.uncertainty_mm
    alone = shape_sd(full, head.mesh.vertices_mm, head.scale.sd_relative)
    tip = truth.landmarks_mm[NOSE_TIP]
    return {f"coverage_{name}_percent": 100 * coverage(head.mesh, sd, skin, truth.mesh, tip, both[name])
            for name, sd in (("shape", alone), ("metric", full))}


def seen_from(head: Reconstruction, truth: Truth, place: Placed) -> dict[str, float]:
    """Errors of the cameras of all views whose frame is known: the number behind `#` in a view's source."""
    frames = {k: int(number) for k, view in enumerate(head.views)
              if (number := view.source.rpartition("#")[2]).isdigit() and int(number) < len(truth.cam_from_head)}
    if not frames:
        return dict.fromkeys(("rotation_median_deg", "rotation_max_deg", "centre_mm", "focal_percent",
                              "centres_held_percent"), float("nan"))
    views = [head.views[k] for k in frames]
    turned, moved = camera_errors([v.camera for v in views], truth.cam_from_head[list(frames.values())], place)
    stated = np.array([v.centre95_mm for v in views])
    held = 100 * float((moved <= place.scale * stated).mean()) if np.isfinite(stated).all() else float("nan")
    focal = [v.camera.K_px[0, 0] / truth.focal_px(v) - 1 for v in views]
    return {"rotation_median_deg": float(np.median(turned)), "rotation_max_deg": float(turned.max()),
            "centre_mm": float(np.median(moved)), "focal_percent": 100 * float(np.median(focal)),
            "centres_held_percent": held}
