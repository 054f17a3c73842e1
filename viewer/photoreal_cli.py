"""The command `photoreal`: a plan on the person's own pictures."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import UsageError
from viewer import shown
from viewer.common import Band, CaseArg, Json, PlanOption, work
from viewer.terminal import current


class Mode(StrEnum):
    """How the pictures are made."""

    warp3d = "warp3d"
    img2img = "img2img"
    controlnet = "controlnet"
    controlnet_ip = "controlnet_ip"


class Device(StrEnum):
    """Where the painting modes run."""

    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


def photoreal(
    case: CaseArg, plan: PlanOption = None,
    mode: Annotated[Mode, typer.Option(
        help="warp3d bends the pictures themselves and needs no weights; the others paint inside the changed region, "
        "with weights that you add (`previsage models`).")] = Mode.warp3d,
    frames: Annotated[str, typer.Option(
        metavar="N|all", help="How many of the captured pictures, spread over the turn; from 8 on also as a movie.")]
    = "5",
    band: Annotated[Band, typer.Option(help="Where tissue responds least, on average, or most.")] = Band.mean,
    output: Annotated[Path | None, typer.Option(
        "-o", "--output", metavar="DIR", help="Also copy the pictures there; they are stored in the case.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Painting modes: the same seed paints the same.")] = None,
    strength: Annotated[float | None, typer.Option(
        min=0.05, max=1, help="Painting modes: how much is painted anew.")] = None,
    prompt: Annotated[str | None, typer.Option(metavar="WORDS", help="Painting modes: instead of the plan's own.")]
    = None,
    steps: Annotated[int | None, typer.Option(min=1, max=100, help="Painting modes: of the whole schedule.")] = None,
    guidance: Annotated[float | None, typer.Option(
        min=1, max=15, help="Painting modes: how strongly the prompt pulls; 1 is not at all, twice as fast.")] = None,
    conditioning: Annotated[float | None, typer.Option(
        min=0, max=1.2, help="Modes controlnet: weight of the control picture.")] = None,
    few_steps: Annotated[bool | None, typer.Option(
        "--few-steps", help="Painting modes: four steps with LCM-LoRA, eight without.", show_default=False)] = None,
    restore: Annotated[str | None, typer.Option(
        metavar="NAME", help="Painting modes: codeformer, gfpgan or realesrgan, which you added; it makes detail up.")]
    = None,
    restore_strength: Annotated[float | None, typer.Option(min=0.05, max=1, help="How much of what it adds.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, max=64, help="Painting modes: views at once.")] = None,
    device: Annotated[Device | None, typer.Option(help="Painting modes: where; the fastest there is, if left out.")]
    = None,
    json_: Json = False,
) -> None:
    """Draw a plan on the person's own pictures: before, after, and what changed in mm.

    Every picture is checked before it is shown; where one does not pass, the plain render stands in, and it is said
    why. The same command with the same arguments goes on where it was stopped, and does nothing twice.

    \b
      previsage photoreal cases/anna
      previsage photoreal cases/anna --plan rhinoplasty --frames all -o for-anna
      previsage photoreal cases/anna --plan rhinoplasty --band high
      previsage photoreal cases/anna --plan rhinoplasty --mode controlnet --seed 7
    """
    import previsage

    given = {"seed": seed, "strength": strength, "prompt": prompt, "steps": steps, "guidance": guidance,
             "conditioning": conditioning, "few_steps": few_steps, "batch": batch,
             "restore": restore, "restore_strength": restore_strength,
             "device": None if device is None else device.value}
    chosen: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    with work(case) as progress:
        made = previsage.photoreal(case, plan, mode.value, frames_from(frames), band.value, output, progress, **chosen)
    current.get().result({"folder": made.folder, "mode": made.mode, "band": made.band, "frames": made.frames,
                          "ran": made.ran, "files": made.files}, lambda: shown.photoreal(made))


def frames_from(text: str) -> Any:
    """A number of pictures, or all. UsageError: neither."""
    if text == "all":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise UsageError("bad_frames", f"{text!r} is no number of pictures.", "Give a number from 1, or all.")
    return int(text)
