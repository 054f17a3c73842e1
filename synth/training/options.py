"""What decides a training run, with its bounds."""

import dataclasses
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.records import record

TERMS = ("landmark", "identity", "perceptual")
BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, 10_000_000), "batch": (1, 1024), "accumulate": (1, 1024), "rate": (1e-8, 1.0),
    "warmup": (0, 1_000_000), "ema": (0.0, 0.99999), "clip": (1e-6, 1e6), "save_every": (1, 10_000_000),
    "least_snr": (0.0, 1e6), "drop_prompt": (0.0, 1.0), "seed": (0, 2**32 - 1), "diffusion": (0.0, 1e3),
    "landmark": (0.0, 1e3), "identity": (0.0, 1e3), "perceptual": (0.0, 1e3), "weight_decay": (0.0, 1.0),
    "workers": (1, 64)}


@record
class TrainOptions:
    """Choices of ControlNet fine-tuning.

    phase: `a`, the diffusion term alone, or `b`, with landmark (inside the mask, over the distance of the outer eye
    corners), identity and perceptual (outside the mask) terms, each only where the noise is low enough (SNR at least
    `least_snr`) that a picture can be told from the prediction. start: `unet` (a copy of its encoder, as ControlNet
    begins) or `added` (the ControlNet that was added). steps: of the optimiser; batch: pairs per process and pass;
    accumulate: passes per step. rate: falls by a half cosine to zero after `warmup` steps. ema: decay of the averaged
    weights, which are what is kept; 0 keeps the last ones. drop_prompt: share of pairs that train without words.
    precision: fp32 or bf16. landmark_net ...: TorchScript files that a person supplies.
    """

    phase: str = "a"
    start: str = "unet"
    steps: int = 20_000
    batch: int = 4
    accumulate: int = 4
    rate: float = 1e-5
    warmup: int = 500
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    precision: str = "bf16"
    drop_prompt: float = 0.1
    save_every: int = 500
    seed: int = 0
    diffusion: float = 1.0
    landmark: float = 0.1
    identity: float = 0.05
    perceptual: float = 0.1
    least_snr: float = 1.0
    landmark_net: str | None = None
    identity_net: str | None = None
    perceptual_net: str | None = None
    checkpointing: bool = False
    workers: int = 2

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            if not low <= getattr(self, name) <= high:
                raise UsageError("bad_option", f"{name} is {getattr(self, name)}; it must be {low:g} to {high:g}.",
                                 "Leave it out for the usual value.")
        for name, known in (("phase", ("a", "b")), ("start", ("unet", "added")), ("precision", ("fp32", "bf16"))):
            if getattr(self, name) not in known:
                raise UsageError("bad_option", f"{name} is {getattr(self, name)!r}.", f"Known: {', '.join(known)}.")
        for term in TERMS if self.phase == "b" else ():
            if getattr(self, term) > 0 and getattr(self, f"{term}_net") is None:
                raise UsageError(
                    f"no_{term}_net", f"Phase b weighs {term} with {getattr(self, term):g}, but no network for it was "
                    f"given.", f"Give --{term}-net FILE.pt (TorchScript), or --{term} 0 to train without that term. "
                    "Nothing else can stand in for it.")

    def decides(self) -> dict[str, Any]:
        """What a resumed run must share with the one that it goes on with; how often it saves may differ, and how a
        step's samples are shared out."""
        told = dataclasses.asdict(self)
        for name in ("save_every", "workers", "checkpointing", "batch", "accumulate"):
            del told[name]
        return told

    def weights(self) -> dict[str, float]:
        """The terms that count, and their weights."""
        terms = {"diffusion": self.diffusion}
        if self.phase == "b":
            terms |= {term: getattr(self, term) for term in TERMS if getattr(self, term) > 0}
        return terms

    def nets(self) -> dict[str, Path]:
        """The networks that the terms need."""
        return {term: Path(str(getattr(self, f"{term}_net"))) for term in self.weights() if term in TERMS}
