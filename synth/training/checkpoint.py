"""Checkpoints: all that a run needs to go on, written whole or not at all; the last two are kept."""

import shutil
from pathlib import Path
from typing import Any

from core.errors import PrevisageError
from core.files import whole_folder
from core.records import record

WEIGHTS, STATE, KEEP = "controlnet.safetensors", "state.pt", 2


@record
class Kept:
    """The ControlNet, its optimiser, the rate's schedule, the averaged weights or None."""

    net: Any
    optimiser: Any
    rate: Any
    average: Any


def keep(folder: Path, step: int, kept: Kept) -> None:
    """Write a checkpoint, then drop all but the last two."""
    import torch
    from safetensors.torch import save_file

    with whole_folder(folder / f"step-{step:08d}") as place:
        save_file({k: v.contiguous() for k, v in kept.net.state_dict().items()}, place / WEIGHTS)
        torch.save({"step": step, "optimiser": kept.optimiser.state_dict(), "rate": kept.rate.state_dict(),
                    "average": None if kept.average is None else kept.average.state_dict()}, place / STATE)
    for old in steps(folder)[:-KEEP]:
        shutil.rmtree(old)


def steps(folder: Path) -> list[Path]:
    """Checkpoints, the oldest first."""
    return sorted(p for p in folder.glob("step-*") if p.is_dir()) if folder.is_dir() else []


def latest(folder: Path, kept: Kept) -> int:
    """Take up the last checkpoint; its step, 0 when there is none. PrevisageError: it is damaged."""
    import torch
    from safetensors.torch import load_file

    found = steps(folder)
    if not found:
        return 0
    try:
        kept.net.load_state_dict(load_file(found[-1] / WEIGHTS))
        state = torch.load(found[-1] / STATE, map_location="cpu", weights_only=True)
        kept.optimiser.load_state_dict(state["optimiser"])
        kept.rate.load_state_dict(state["rate"])
        if kept.average is not None:
            kept.average.load_state_dict(state["average"])
        return int(state["step"])
    except Exception as error:
        raise PrevisageError("checkpoint_damaged", f"The checkpoint {found[-1].name} is damaged "
                             f"({type(error).__name__}).", f"Delete {found[-1]}; the one before it is taken then."
                             ) from error
