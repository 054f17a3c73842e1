"""`previsage train`: pairs to learn from, and a ControlNet that learns from them."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from core.errors import UsageError
from core.progress import silent
from viewer.terminal import current, say

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for results and for errors.")]
Output = Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder; the same command goes on there.")]


class Phase(StrEnum):
    """a: the diffusion term alone; b: landmarks, identity and perception as well."""

    a = "a"
    b = "b"


class Start(StrEnum):
    """From what the ControlNet begins."""

    unet = "unet"
    added = "added"


class Precision(StrEnum):
    """Numbers of the forward pass."""

    fp32 = "fp32"
    bf16 = "bf16"


@app.callback()
def train(json_: Json = False) -> None:
    """Fine-tune the ControlNet of the painting modes; needs a graphics card to be of use.

    \b
      previsage train pairs -o pairs --count 50000 --workers 16
      previsage train controlnet pairs -o run
      previsage models add controlnet run/controlnet --accept-licence
    """


@app.command()
def pairs(
    output: Output,
    count: Annotated[int, typer.Option("--count", min=1, help="How many pairs.")] = 50_000,
    size: Annotated[int, typer.Option("--size", help="Side of the pictures, px.")] = 512,
    per_shard: Annotated[int, typer.Option("--per-shard", min=1, help="Pairs to a file.")] = 250,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same pairs.")] = 0,
    procedure: Annotated[list[str] | None, typer.Option("--procedure", metavar="NAME", show_default=False,
                                                        help="Only these operations; may be repeated.")] = None,
    portraits: Annotated[Path | None, typer.Option("--portraits", metavar="DIR", show_default=False,
                                                   help="From photos with one face each, instead of 3D.")] = None,
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes here; 0 is this one.")] = 0,
    scheduler: Annotated[str | None, typer.Option("--scheduler", metavar="ADDRESS", show_default=False,
                                                  help="A Dask cluster whose workers see the folder.")] = None,
    tls_ca: Annotated[Path | None, typer.Option("--tls-ca", metavar="PEM", show_default=False)] = None,
    tls_cert: Annotated[Path | None, typer.Option("--tls-cert", metavar="PEM", show_default=False)] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", metavar="PEM", show_default=False)] = None,
    json_: Json = False,
) -> None:
    """Make pairs: a face before and after a plan, the control picture, the mask. Stopped, the same command goes on.

    \b
      previsage train pairs -o pairs --count 200 --procedure rhinoplasty
      previsage train pairs -o pairs --scheduler tcp://head-node:8786
      previsage train pairs -o faces --portraits photos --count 5000
    """
    from previsage.training import pairs as make

    tls = {"ca": tls_ca, "cert": tls_cert, "key": tls_key}
    if any(tls.values()) and not all(tls.values()):
        raise UsageError("no_certificate", "TLS needs three files.", "Give --tls-ca, --tls-cert and --tls-key.")
    security = {name: str(file) for name, file in tls.items()} if all(tls.values()) else None
    terminal = current.get()
    with terminal.progress() as progress:
        made = make(output, count, size, per_shard, seed, procedure or (), portraits, workers, scheduler, security,
                    progress)
    terminal.result(made, lambda: shown_pairs(made))


def shown_pairs(made: dict[str, Any]) -> None:
    """A set of pairs in words."""
    say(f"Pairs     {made['pairs']} in {made['shards']} files, {made['folder']}")
    for name in made["left_out"]:
        say(f"Left out  {name}: not one clear face in it")
    say(f"Next      previsage train controlnet {made['folder']} -o RUN")


@app.command()
def controlnet(
    pairs: Annotated[Path, typer.Argument(metavar="PAIRS", help="Folder that `previsage train pairs` made.")],
    output: Output,
    phase: Annotated[Phase, typer.Option("--phase", help="b needs the three networks below.")] = Phase.a,
    start: Annotated[Start, typer.Option("--start", help="A copy of the UNet, or the ControlNet that was added."
                                         )] = Start.unet,
    steps: Annotated[int, typer.Option("--steps", help="Steps of the optimiser.")] = 20_000,
    batch: Annotated[int, typer.Option("--batch", help="Pairs per process and pass.")] = 4,
    accumulate: Annotated[int, typer.Option("--accumulate", help="Passes per step.")] = 4,
    rate: Annotated[float, typer.Option("--rate", help="Learning rate; falls by a half cosine.")] = 1e-5,
    warmup: Annotated[int, typer.Option("--warmup", help="Steps in which the rate rises.")] = 500,
    ema: Annotated[float, typer.Option("--ema", help="Decay of the averaged weights; 0: none.")] = 0.999,
    precision: Annotated[Precision, typer.Option("--precision")] = Precision.bf16,
    save_every: Annotated[int, typer.Option("--save-every", help="Steps between checkpoints.")] = 500,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    landmark_net: Annotated[Path | None, typer.Option("--landmark-net", metavar="PT", show_default=False,
                                                      help="TorchScript: picture to 478 points, px.")] = None,
    identity_net: Annotated[Path | None, typer.Option("--identity-net", metavar="PT", show_default=False,
                                                      help="TorchScript: picture to embedding.")] = None,
    perceptual_net: Annotated[Path | None, typer.Option("--perceptual-net", metavar="PT", show_default=False,
                                                        help="TorchScript: two pictures to distance.")] = None,
    landmark: Annotated[float, typer.Option("--landmark", help="Weight of the term; 0 leaves it out.")] = 0.1,
    identity: Annotated[float, typer.Option("--identity", help="Weight of the term; 0 leaves it out.")] = 0.05,
    perceptual: Annotated[float, typer.Option("--perceptual", help="Weight of the term; 0 leaves it out.")] = 0.1,
    checkpointing: Annotated[bool, typer.Option("--checkpointing", help="Less memory, slower.")] = False,
    json_: Json = False,
) -> None:
    """Fine-tune a ControlNet on pairs; SD 1.5 must have been added and stays frozen. Stopped, the same command goes on.

    On several graphics cards: tools/training/single.sh; on a SLURM cluster: tools/training/slurm.sh.

    \b
      previsage train controlnet pairs -o run
      previsage train controlnet pairs -o run-b --phase b --start added --landmark-net marks.pt
    """
    from previsage.training import controlnet as run
    from synth.training import TrainOptions

    options = TrainOptions(
        phase=phase.value, start=start.value, steps=steps, batch=batch, accumulate=accumulate, rate=rate, warmup=warmup,
        ema=ema, precision=precision.value, save_every=save_every, seed=seed, landmark=landmark, identity=identity,
        perceptual=perceptual, checkpointing=checkpointing, landmark_net=named(landmark_net),
        identity_net=named(identity_net), perceptual_net=named(perceptual_net))
    terminal = current.get()
    if int(os.environ.get("RANK", "0")) > 0:  # one of several processes: the first one speaks
        run(pairs, output, options, silent)
        return
    with terminal.progress() as progress:
        made = run(pairs, output, options, progress)
    terminal.result(made, lambda: shown_run(made))


def named(file: Path | None) -> str | None:
    """A path as text."""
    return None if file is None else str(file)


def shown_run(made: dict[str, Any]) -> None:
    """A run in words."""
    told = ", ".join(f"{name} {value:.4f}" for name, value in made["terms"].items())
    say(f"Steps     {made['steps']} on {made['processes']} process{'es' if made['processes'] > 1 else ''}; {told}")
    if made["finished"]:
        say(f"Next      previsage models add controlnet {made['controlnet']} --accept-licence")
    else:
        say("Stopped   as asked; the same command goes on from here")
