"""Load: the models of a mode, from the folders that a person added, onto one device. Never a network call.

The parts are diffusers' own classes. They are kept in its inpainting pipeline, whose text and image encoding we use;
the sampling is ours (`denoise`), because the pipelines neither take a batch of different views nor anchored noise.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import PrevisageError, UsageError
from core.progress import Progress, silent
from core.records import record
from synth.diffusion.options import NEEDS, DiffusionOptions
from synth.weight_kinds import ADAPTER, LORA
from synth.weights import files_of, weights

FEW = {"lcm": 4, "unipc": 8}
"""Steps that are run in the few-step mode."""


@record
class Loaded:
    """Models ready to paint. pipe: diffusers' StableDiffusionInpaintPipeline; embed_control: the part of the ControlNet
    that reads the control picture, taken out so that it runs once instead of at every step; sampler: a scheduler name;
    few_steps: whether they were made ready for few steps (LCM-LoRA is merged where it was added).
    """

    mode: str
    pipe: Any
    controlnet: Any
    embed_control: Any
    device: Any
    dtype: Any
    sampler: str
    few_steps: bool = False
    notes: tuple[str, ...] = ()

    @property
    def latent_px(self) -> int:
        """Pixels to a latent pixel's side."""
        return int(self.pipe.vae_scale_factor)


def load(options: DiffusionOptions, progress: Progress = silent) -> Loaded:
    """The models that `options.mode` needs.

    UsageError: weights were never added, a package or the device is missing. PrevisageError: weights are missing,
    altered or do not fit each other.
    """
    needs = NEEDS[options.mode]
    torch = packages()
    device, dtype = placed(torch, options)
    places = {}
    for number, name in enumerate(needs):
        progress(0.3 * number / len(needs), f"Checking the weights of {name}")
        places[name] = weights(name)
    notes: list[str] = []
    with offline(), reading():
        progress(0.3, "Loading Stable Diffusion 1.5")
        pipe = base(places["sd15"], dtype)
        sampler = options.scheduler
        if options.few_steps:
            sampler = few_sampler(pipe.unet, notes)
        controlnet = embed = None
        if "controlnet" in needs:
            progress(0.7, "Loading the ControlNet")
            controlnet = control(places["controlnet"], dtype, pipe.unet.config.cross_attention_dim)
            embed = taken_out(controlnet)
        if "ip-adapter" in needs:
            progress(0.8, "Loading IP-Adapter")
            adapt(pipe, places["ip-adapter"], dtype)
    if options.slices:
        slice_attention(pipe.unet, controlnet)
    made = Loaded(mode=options.mode, pipe=pipe, controlnet=controlnet, embed_control=embed, device=device, dtype=dtype,
                  sampler=sampler, few_steps=options.few_steps, notes=tuple(notes))
    place(made, options.compiled)
    progress(1.0, "The models are ready")
    return made


def packages() -> Any:
    """torch, with everything else that is needed. UsageError: a package is missing."""
    try:
        import diffusers
        import torch
        import transformers
    except ImportError as error:
        raise UsageError("no_diffusion", f"The generative modes need the package {error.name}.",
                         "pip install 'previsage[diffusion]'; without it pictures come from warp3d.") from error
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    diffusers.utils.logging.disable_progress_bar()
    return torch


def placed(torch: Any, options: DiffusionOptions) -> tuple[Any, Any]:
    """Device and number type. UsageError: the device is not there, or half floats on a processor."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    name = options.device if options.device != "auto" else next(d for d in ("cuda", "mps", "cpu") if there[d])
    if not there[name]:
        raise UsageError("no_device", f"There is no {name} device here.", "Leave --device out.")
    kinds = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
    dtype = options.dtype if options.dtype != "auto" else {"cuda": "fp16", "mps": "fp16", "cpu": "fp32"}[name]
    if (name, dtype) == ("cpu", "fp16"):
        raise UsageError("bad_option", "A processor cannot paint in fp16.", "Take fp32 or bf16, or leave it out.")
    return torch.device(name), kinds[dtype]


@contextlib.contextmanager
def offline() -> Iterator[None]:
    """Hugging Face's libraries read these when they wish to ask the hub; local folders need no hub."""
    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """What the libraries say of files that do not fit becomes a named error."""
    try:
        yield
    except PrevisageError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        if "out of memory" in str(error).lower():
            raise
        told = (str(error).splitlines() or [""])[0][:200]
        raise PrevisageError("weights_unreadable", f"The weights cannot be loaded ({type(error).__name__}: {told}).",
                             "Their files do not belong together: fetch them anew and add them again.") from error


def variant(name: str, part: str) -> str | None:
    """`fp16` where the half-precision file of a part was added."""
    return "fp16" if any(f.startswith(part) and ".fp16." in f for f in files_of(name)) else None


def whole(cls: Any, folder: Path, kind: str, part: str, dtype: Any) -> Any:
    """A model of diffusers from its folder, all its weights found. ValueError: some are missing."""
    model, told = cls.from_pretrained(folder, variant=variant(kind, part), torch_dtype=dtype, local_files_only=True,
                                      use_safetensors=True, output_loading_info=True)
    if told["missing_keys"]:
        raise ValueError(f"{folder.name} lacks {sorted(told['missing_keys'])[0]}")
    return model


def whole_clip(cls: Any, folder: Path, kind: str, part: str, dtype: Any) -> Any:
    """A model of transformers from its folder, all its weights found. ValueError: some are missing."""
    model, told = cls.from_pretrained(folder, variant=variant(kind, part), dtype=dtype, local_files_only=True,
                                      use_safetensors=True, output_loading_info=True)
    if told["missing_keys"]:
        raise ValueError(f"{folder.name} lacks {sorted(told['missing_keys'])[0]}")
    return model


def base(home: Path, dtype: Any) -> Any:
    """Stable Diffusion 1.5, part by part, in diffusers' inpainting pipeline; its safety checker is not used: it was
    trained on other harms than ours, and the guard judges every picture."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    text = whole_clip(CLIPTextModel, home / "text_encoder", "sd15", "text_encoder/", dtype)
    return StableDiffusionInpaintPipeline(
        vae=whole(AutoencoderKL, home / "vae", "sd15", "vae/", dtype), text_encoder=text,
        tokenizer=CLIPTokenizer.from_pretrained(home / "tokenizer", local_files_only=True),
        unet=whole(UNet2DConditionModel, home / "unet", "sd15", "unet/", dtype),
        scheduler=DDIMScheduler.from_pretrained(home / "scheduler", local_files_only=True), safety_checker=None,
        feature_extractor=None, requires_safety_checker=False)


def control(home: Path, dtype: Any, width: int) -> Any:
    """The ControlNet. PrevisageError: it listens to another text encoder."""
    from diffusers import ControlNetModel

    net = whole(ControlNetModel, home, "controlnet", "", dtype)
    if net.config.cross_attention_dim != width:
        raise PrevisageError("other_base_model", "The ControlNet belongs to another Stable Diffusion than the one that "
                             "was added.", "For 1.5 give CrucibleAI's sub-folder diffusion_sd15.")
    return net


def taken_out(net: Any) -> Any:
    """The control picture's own layers, replaced in the net by nothing: their result is handed in instead."""
    import torch

    layers, swapped = net.controlnet_cond_embedding, net.config.controlnet_conditioning_channel_order == "bgr"
    net.controlnet_cond_embedding = torch.nn.Identity()

    class Embed(torch.nn.Module):
        """Control picture (n,3,h,w) in 0..1 to features (n,c,h/8,w/8)."""

        def __init__(self) -> None:
            super().__init__()
            self.layers = layers

        def forward(self, picture: Any) -> Any:
            """A net trained on BGR flips what it gets, so features are flipped in advance."""
            return self.layers(picture.flip(1)).flip(1) if swapped else self.layers(picture)

    return Embed()


def adapt(pipe: Any, home: Path, dtype: Any) -> None:
    """IP-Adapter and its image encoder, into the pipeline."""
    from transformers import CLIPVisionModelWithProjection

    pipe.register_modules(image_encoder=whole_clip(CLIPVisionModelWithProjection, home / "image_encoder", "ip-adapter",
                                                   "image_encoder/", dtype))
    pipe.load_ip_adapter(str(home), subfolder="", weight_name=ADAPTER, image_encoder_folder=None, local_files_only=True)


def few_sampler(unet: Any, notes: list[str]) -> str:
    """The sampler of the few-step mode: LCM where its LoRA was added, merged here; else UniPC, which is said."""
    from synth.diffusion.lora import merge_lora

    if not files_of("lcm-lora"):
        notes.append(f"LCM-LoRA was not added: {FEW['unipc']} steps of UniPC instead of {FEW['lcm']} (previsage models "
                     "add lcm-lora).")
        return "unipc"
    home = weights("lcm-lora")
    merge_lora(unet, home / next((f for f in files_of("lcm-lora")), LORA))
    return "lcm"


def slice_attention(*nets: Any) -> None:
    """Self-attention head by head, which is where the memory goes; cross-attention may be IP-Adapter's and stays."""
    from diffusers.models.attention_processor import SlicedAttnProcessor

    for net in nets:
        if net is not None:
            net.set_attn_processor({name: SlicedAttnProcessor(1) if name.endswith("attn1.processor") else old
                                    for name, old in net.attn_processors.items()})


def place(made: Loaded, compiled: bool) -> None:
    """Onto the device, in evaluation mode, channels last where that is faster."""
    import torch

    pipe = made.pipe
    parts = (pipe.vae, pipe.text_encoder, pipe.unet, pipe.image_encoder, made.controlnet, made.embed_control)
    for part in parts:
        if part is not None:
            part.to(device=made.device, dtype=made.dtype).eval().requires_grad_(False)
    if made.device.type != "mps":
        for part in (pipe.vae, pipe.unet, made.controlnet, made.embed_control):
            if part is not None:
                part.to(memory_format=torch.channels_last)
    if compiled:
        for net in (pipe.unet, made.controlnet):
            if net is not None:
                net.compile()
    pipe.set_progress_bar_config(disable=True)
