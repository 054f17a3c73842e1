"""Training, wired: pairs from 3D or portraits, made here or on a cluster; a ControlNet fine-tuned on them."""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.progress import Progress, silent
from deform3d import catalogue
from synth.training import TrainOptions, write_pairs
from synth.training.cluster import on_cluster

SIZES = (64, 1024)


def pairs(folder: Path, count: int, size_px: int = 512, per_shard: int = 250, seed: int = 0,
          procedures: Sequence[str] = (), portraits: Path | None = None, workers: int = 0,
          scheduler: str | None = None, security: dict[str, str] | None = None, progress: Progress = silent) -> dict[
              str, Any]:
    """Make a set of pairs in a folder; what it holds. A stopped set goes on.

    portraits: a folder of photos instead of 3D. workers: processes here (0: this one); scheduler: a Dask cluster, whose
    workers see the folder under the same path. UsageError: a size or operation that there is not, a folder of another
    set, no cluster there. InputRefused: no portrait with a face.
    """
    if not SIZES[0] <= size_px <= SIZES[1] or size_px % 8:
        raise UsageError("bad_size", f"Pictures of {size_px} px cannot be made.", "A multiple of 8 from 64 to 1024.")
    unknown = sorted(set(procedures) - set(catalogue()))
    if unknown:
        raise UsageError("unknown_procedure", f"There is no procedure {', '.join(unknown)}.",
                         "See `previsage procedures`.")
    recipe: dict[str, Any] = {"seed": seed, "size_px": size_px}
    make: Any
    left_out: tuple[str, ...] = ()
    if portraits is not None:
        from previsage.portraits import PortraitPairs

        progress(0.0, "Looking for faces")
        make = PortraitPairs(portraits, seed, size_px)
        left_out = make.left_out
        recipe |= {"kind": "portraits", "portraits": make.mark()}
    else:
        from previsage.sitters import SittersPairs
        from previsage.versions import code_version

        make = SittersPairs(seed=seed, size_px=size_px, procedures=tuple(sorted(procedures)))
        recipe |= {"kind": "3d", "procedures": list(make.procedures),
                   "code": code_version("core", "deform3d", "render", "previsage/sitters.py", "data")}
    spread = on_cluster(scheduler, workers, security) if scheduler or workers else None
    index = write_pairs(folder.resolve(), make, count, per_shard, recipe, progress, spread)
    return {"folder": folder, "pairs": index["pairs"], "shards": len(index["shards"]), "recipe": index["recipe"],
            "left_out": left_out}


def controlnet(pairs_folder: Path, out: Path, options: TrainOptions, progress: Progress = silent) -> dict[str, Any]:
    """Fine-tune a ControlNet, or go on with it; what came of it. A request to end (SIGTERM, SIGUSR1) lets the running
    step finish, keeps the state and ends. Errors: see `synth.training.controlnet.train`."""
    from synth.training.controlnet import train

    with asked_to_end() as stop:
        return train(pairs_folder, out, options, progress, stop)


class Asked:
    """Whether a scheduler asked this process to end."""

    asked = False

    def __call__(self) -> bool:
        """The answer."""
        return self.asked

    def hear(self, number: int, frame: object) -> None:
        """The signal's handler."""
        self.asked = True


@contextlib.contextmanager
def asked_to_end() -> Iterator[Asked]:
    """Hear requests to end while the block runs."""
    asked, before = Asked(), {}
    for name in ("SIGTERM", "SIGUSR1"):  # Windows knows no SIGUSR1
        if hasattr(signal, name):
            before[name] = signal.signal(getattr(signal, name), asked.hear)
    try:
        yield asked
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
