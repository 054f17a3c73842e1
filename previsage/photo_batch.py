"""Batch: a folder of photos, one result each; stopped and called again, it goes on where it was.

    DIR/<photo>/...      the files of one photo (`photo_output`), and done.json: its row and what it was made from
    DIR/photos.csv       a row a photo, rewritten after each
"""

import csv
import io
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from core.errors import InputRefused, PrevisageError, UsageError
from core.files import digest, read_json, sha256, write_bytes, write_json
from core.progress import Progress, part, silent
from previsage.photo import PhotoResult
from previsage.photo_output import CODE
from previsage.versions import code_version
from synth.photo_file import FORMATS

KINDS = (*FORMATS, ".bmp", ".gif")
COLUMNS = ("photo", "outcome", "reason", "what_to_do", "view", "yaw_deg", "pitch_deg", "roll_deg", "eyes_px",
           "px_per_mm", "scale_source", "scale_95_percent", "plan", "mode", "motion_left", "motion_right", "notes",
           "seconds", "folder")
DONE = "done.json"
Make = Callable[[Path, Path, Progress], Sequence[PhotoResult]]
"""A photo, its folder: what was made of it."""


def photos_in(inputs: Sequence[Path]) -> list[Path]:
    """The photos of some files and folders, in order. UsageError: a path is not there, or there is no photo."""
    found: list[Path] = []
    for path in inputs:
        if path.is_dir():
            found += sorted(p for p in path.iterdir()
                            if p.suffix.lower() in KINDS and not p.name.startswith(".") and p.is_file())
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError("no_file", f"There is no file or folder {path}.", "Give a photo or a folder of photos.")
    if not found:
        raise UsageError("no_photos", f"There is no photo in {', '.join(map(str, inputs))}.",
                         f"Endings that are read: {', '.join(KINDS)}.")
    return found


def batch(photos: Sequence[Path], folder: Path, make: Make, key: Any,
          progress: Progress = silent) -> list[dict[str, Any]]:
    """`make(photo, its folder, progress)` for every photo that is not done yet; all rows.

    key: what the results depend on beside the photo and the program. A photo that is refused or fails keeps a row with
    its reason and what to do, and the next one is made; a full disk, and Ctrl-C, stop the batch.
    """
    mark = digest({"key": key, "code": code_version(*CODE)})
    rows: list[dict[str, Any]] = []
    for number, (photo, name) in enumerate(zip(photos, folder_names(photos), strict=True)):
        progress(number / len(photos), f"photo {number + 1} of {len(photos)}: {photo.name}")
        place = folder / name
        made_from = digest([mark, sha256(photo)])
        kept = read_json(place / DONE) if (place / DONE).is_file() else {}
        if kept.get("made_from") != made_from:
            row = one(photo, place, make, part(progress, number / len(photos), (number + 1) / len(photos)))
            write_json(place / DONE, {"made_from": made_from, "row": row})
        else:
            row = kept["row"]
        rows.append(row)
        write_bytes(folder / "photos.csv", table(rows))
    progress(1.0, "Done")
    return rows


def folder_names(photos: Sequence[Path]) -> list[str]:
    """A folder for each photo: its name, with its ending where two would be the same, numbered where they still are."""
    stems = [p.stem for p in photos]
    names: list[str] = []
    for photo in photos:
        name = photo.stem if stems.count(photo.stem) == 1 else photo.name.replace(".", "_")
        while name in names:
            name += "_2"
        names.append(name)
    return names


def one(photo: Path, place: Path, make: Make, progress: Progress) -> dict[str, Any]:
    """The row of one photo."""
    started = time.perf_counter()
    row: dict[str, Any] = dict.fromkeys(COLUMNS, "") | {"photo": photo.name, "folder": place.name}
    try:
        results = make(photo, place, progress)
    except UsageError:
        raise  # the plan is wrong, for every photo
    except PrevisageError as error:
        if error.code in ("disk_full", "not_writable"):
            raise
        return row | {"outcome": "refused" if isinstance(error, InputRefused) else "failed", "reason": error.message,
                      "what_to_do": error.hint, "seconds": round(time.perf_counter() - started, 2)}
    return row | row_of(results) | {"seconds": round(time.perf_counter() - started, 2)}


def row_of(results: Sequence[PhotoResult]) -> dict[str, Any]:
    """What was made of one photo in a row; of several plans, what they share, and how many are plain renders."""
    result, plain = results[-1], [r for r in results if not r.shown]
    if len({r.plan.id for r in results}) > 1:
        reason = f"{len(plain)} of {len(results)} are plain renders." if plain else ""
        return row_of([result]) | {
            "outcome": "plain render" if len(plain) == len(results) else "done", "reason": reason, "plan": "all",
            "motion_left": "", "motion_right": "",
            "notes": " ".join(n for n in result.notes if all(n in r.notes for r in results))}
    yaw, pitch, roll = (round(a, 1) for a in result.angles_deg)
    motion = {c.name.removeprefix("motion "): c.value for c in result.checks.checks if c.name.startswith("motion ")}
    told = {side: "" if motion.get(side) is None else round(float(motion[side] or 0), 3) for side in ("left", "right")}
    return {"outcome": "done" if result.shown else "plain render", "reason": result.reason, "view": result.view,
            "yaw_deg": yaw, "pitch_deg": pitch, "roll_deg": roll, "eyes_px": round(result.eyes_px, 1),
            "px_per_mm": round(result.px_per_mm, 4), "scale_source": result.scale.source,
            "scale_95_percent": round(result.scale.interval95_percent, 1), "plan": result.plan.id,
            "mode": result.mode, "motion_left": told["left"], "motion_right": told["right"],
            "notes": " ".join(result.notes)}


def table(rows: Sequence[dict[str, Any]]) -> bytes:
    """The CSV, with a byte order mark so that spreadsheets read it as UTF-8."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8-sig")
