"""What a person may choose of the generative modes, with its bounds."""

from typing import Any

from core.errors import UsageError
from core.records import record

MODES = ("img2img", "controlnet", "controlnet_ip")
NEEDS: dict[str, tuple[str, ...]] = {"img2img": ("sd15",), "controlnet": ("sd15", "controlnet"),
                                     "controlnet_ip": ("sd15", "controlnet", "ip-adapter")}
"""The weights that each mode needs."""
SCHEDULERS = ("unipc", "dpm++", "ddim")
BOUNDS: dict[str, tuple[float, float]] = {
    "steps": (1, 100), "strength": (0.05, 1.0), "guidance": (1.0, 15.0), "conditioning": (0.0, 1.2),
    "ip_scale": (0.0, 1.0), "batch": (1, 64), "seed": (0, 2**32 - 1)}


@record
class DiffusionOptions:
    """Choices of the generative modes.

    strength: how much of the warp3d picture is noised away inside the mask (0.05 to 1). steps: of the whole schedule,
    of which `strength` are run. guidance: how strongly the prompt pulls (1: not at all, and twice as fast).
    conditioning: weight of the control picture, at most 1.2: above it ControlNet burns its lines into the skin.
    ip_scale: weight of the person's own frame. few_steps: four steps with LCM-LoRA where it was added, else eight of
    UniPC. anchored: noise sticks to the surface, so that views agree. batch: views at once; halved when memory is
    short. device: auto, cpu, cuda or mps; dtype: auto, fp32, fp16 or bf16. slices: attention in slices, for small
    memory. keep_grain: skin finer than the model's pixels comes from the picture itself.
    compiled: torch.compile, worth its minute only for many views.
    """

    mode: str = "controlnet"
    seed: int = 0
    steps: int = 20
    strength: float = 0.4
    guidance: float = 5.0
    conditioning: float = 0.9
    ip_scale: float = 0.6
    scheduler: str = "unipc"
    few_steps: bool = False
    anchored: bool = True
    batch: int = 4
    device: str = "auto"
    dtype: str = "auto"
    slices: bool = False
    keep_grain: bool = True
    compiled: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in BOUNDS.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError("bad_option", f"{name} is {value}; it must be {low:g} to {high:g}.",
                                 "Leave it out for the usual value.")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise UsageError("bad_option", f"{name} is {getattr(self, name)!r}.", f"Known: {', '.join(known)}.")


CHOICES: dict[str, tuple[Any, ...]] = {
    "mode": MODES, "scheduler": SCHEDULERS, "device": ("auto", "cpu", "cuda", "mps"),
    "dtype": ("auto", "fp32", "fp16", "bf16")}
