"""Several results of one photo on a page: every procedure side by side, or one from nothing to its largest extent."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from core.errors import InputRefused, UsageError
from core.evidence import Band
from core.files import write_bytes
from core.progress import Progress, part, silent
from deform3d import catalogue
from previsage.photo import PhotoResult, asked_plan, carried_out
from previsage.photo_output import cells_of, name_of, origin_of, save_result
from previsage.photo_study import Study
from previsage.photoreal_stage import CELL_WH
from render.draw import marked, tagged
from render.gallery import gallery, note_card
from render.movie import write_movie
from synth.provenance import attest, export

COLUMNS = 6
SWEEP_FPS, GIF_MS = 8, 140


def sweep(study: Study, procedure: str, count: int, mode: str, band: Band = "mean", progress: Progress = silent,
          **options: Any) -> list[PhotoResult]:
    """One procedure from 0 to 100 per cent in `count` steps (at least 2)."""
    if count < 2:
        raise UsageError("bad_sweep", f"A sweep of {count} pictures shows no change.", "Give 2 or more.")
    def made(number: int, percent: float, little: bool) -> PhotoResult:
        return carried_out(study, asked_plan(procedure, percent, None), mode, band,
                           part(progress, number / count, (number + 1) / count), little, **options)

    whole = made(0, 100.0, False)  # refused when not even that shows; the small steps before it may
    return [*(made(k + 1, float(value), True) for k, value in enumerate(np.linspace(0, 100, count)[:-1])), whole]


def every(study: Study, intensity: float, mode: str, band: Band = "mean", progress: Progress = silent,
          **options: Any) -> dict[str, PhotoResult | str]:
    """Every procedure of the catalogue at one intensity; a sentence where the photo shows none of it."""
    wanted = [asked_plan(name, intensity, None) for name in catalogue()]
    found: dict[str, PhotoResult | str] = {}
    for number, plan in enumerate(wanted):
        try:
            found[plan.id] = carried_out(study, plan, mode, band, part(progress, number / len(wanted),
                                                                       (number + 1) / len(wanted)), **options)
        except (InputRefused, UsageError) as error:
            if error.code not in ("not_seen_from_here", "no_landmarks_there", "face_too_small", "ears_unknown"):
                raise
            found[plan.id] = f"{error.message} {error.hint}"
    return found


def save_sweep(results: Sequence[PhotoResult], folder: Path, name: str) -> list[Path]:
    """NAME_sweep.png, NAME_sweep.mp4 and NAME_sweep.gif: there and back."""
    intensities = np.linspace(0, 100, len(results))
    cells = {f"{value:.0f} %": cells_of(r)[1] for value, r in zip(intensities, results, strict=True)}
    files = [folder / f"{name}_sweep{ending}" for ending in (".png", ".mp4", ".gif")]
    last = origin_of(results[-1])
    export(files[0], gallery(cells, f"{results[-1].plan.id}, 0 to 100 %", COLUMNS), last)
    frames = [marked(tagged(cell, word)) for word, cell in cells.items()]
    there_and_back = frames + frames[-2:0:-1]
    write_movie(files[1], there_and_back, CELL_WH, SWEEP_FPS)
    write_gif(files[2], there_and_back)
    for file in files[1:]:
        attest(file, last)
    return files


def write_gif(path: Path, frames: Sequence[UInt8[np.ndarray, "h w 3"]]) -> None:
    """A GIF that goes on for ever; all frames share one palette, so that still skin does not flicker."""
    palette = Image.fromarray(np.concatenate(list(frames[:: max(1, len(frames) // 4)]), 1)).quantize(
        255, Image.Quantize.MEDIANCUT)
    pictures = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG) for f in frames]
    out = io.BytesIO()
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:], duration=GIF_MS, loop=0)
    write_bytes(path, out.getvalue())


def save_every(results: dict[str, PhotoResult | str], study: Study, folder: Path, intensity: float, mode: str) -> list[
        Path]:
    """PHOTO_all_MODE.png: the photo and every procedure, or why it is not there."""
    done = [r for r in results.values() if not isinstance(r, str)]
    if not done:
        raise InputRefused("not_seen_from_here", "No procedure shows in this photo.", "Take it from another side.")
    labels = {name: procedure.label for name, procedure in catalogue().items()}
    cells = {"before": cells_of(next((r for r in done if r.shown), done[0]))[0]}
    for name, result in results.items():
        cells[labels.get(name, name)] = note_card(result, CELL_WH) if isinstance(result, str) else cells_of(result)[1]
    file = folder / f"{Path(study.photo.name).stem}_all_{mode}.png"
    export(file, gallery(cells, f"Every procedure at {intensity:g} %, {mode}", COLUMNS), origin_of(done[0]))
    return [file]


def save_each(results: Sequence[PhotoResult], folder: Path, form: str, details: bool) -> list[Path]:
    """The files of every picture of a page as if it had been made alone; those of a sweep in folders by number."""
    names = [name_of(r) for r in results]
    alone = len(set(names)) == len(names)
    return [file for k, result in enumerate(results)
            for file in save_result(result, folder if alone else folder / f"{names[k]}_sweep" / f"{k + 1:02d}", form,
                                    details)]
