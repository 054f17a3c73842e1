"""Paint: warp3d's pictures of one plan, painted inside their masks, all views with the same noise on the skin.

    canvases -> crops at 512 px -> latents -> denoise in batches -> crops -> back into the pictures

What cannot be painted stays as warp3d made it, and is said: a view that the mask does not touch, or (with ControlNet)
one in which no face is seen. Outside the mask every pixel stays bit for bit.
"""

import dataclasses
import gc
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.errors import InputRefused, PrevisageError, UsageError
from core.progress import Progress, silent
from core.records import record
from synth.diffusion.crop import SIZE_PX, TOUCHED, Crop, crop_around, face_side_px
from synth.diffusion.denoise import Batch, denoise, run_steps
from synth.diffusion.models import FEW, Loaded, slice_attention
from synth.diffusion.noise import LATENT_PX, free_noise, noise_texture, surface_noise, texels_for
from synth.diffusion.options import DiffusionOptions
from synth.diffusion.prompts import check_length, checked_prompt, fitting_prompt, negative_prompt
from synth.weights import weights_mark

Say = Callable[[str], None]
CLIP_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
CLIP_SD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
"""Of the pictures that CLIP was trained on."""
LEAST_LINES = 16
"""Pixels of a control picture that are not black: fewer are no face."""


@record
class Canvas:
    """One view: warp3d's picture, the surgical mask in it, and what is seen in the crop around the mask, at the crop's
    size: the control picture, and texture coordinates (NaN where no surface is seen) to which noise sticks.
    """

    name: str
    picture: UInt8[np.ndarray, "h w 3"]
    mask: Float[np.ndarray, "h w"]
    crop: Crop | None
    control: UInt8[np.ndarray, "s s 3"] | None = None
    uv: Float[np.ndarray, "s s 2"] | None = None


@record
class Painted:
    """Pictures by view, in the order given; painted: the views that were; notes for people; provenance: what ran."""

    pictures: dict[str, UInt8[np.ndarray, "h w 3"]]
    painted: tuple[str, ...]
    notes: tuple[str, ...]
    provenance: dict[str, Any]


def canvas(name: str, picture: UInt8[np.ndarray, "h w 3"], mask: Float[np.ndarray, "h w"], camera: Camera,
           control: Callable[[Camera], UInt8[np.ndarray, "s s 3"]] | None = None,
           uv: Callable[[Camera], Float[np.ndarray, "s s 2"]] | None = None, size_px: int = SIZE_PX) -> Canvas:
    """A view with what its crop needs: `control` and `uv` draw the head after the operation through the crop's camera.

    A mask that covers nothing gives a canvas without a crop, which stays as it is.
    """
    if mask.max() <= TOUCHED:
        return Canvas(name=name, picture=picture, mask=mask, crop=None)
    crop = crop_around(mask, size_px, face_side_px(camera))
    seen = crop.camera(camera)
    return Canvas(name=name, picture=picture, mask=mask, crop=crop, control=control(seen) if control else None,
                  uv=uv(seen) if uv else None)


def paint(canvases: Sequence[Canvas], loaded: Loaded, options: DiffusionOptions, procedures: Sequence[str] = (),
          prompt: str | None = None, face: UInt8[np.ndarray, "y x 3"] | None = None, progress: Progress = silent,
          say: Say | None = None) -> Painted:
    """Paint all views of one plan.

    procedures or prompt: what is told to the model. face: a square of the person's own frame around the face, for
    controlnet_ip. say: called with every note at once. UsageError: options and models do not fit, a prompt in another
    language or too long, no face given. InputRefused: no view can be painted. PrevisageError: out of memory even one
    view at a time, or pictures that are not finite.
    """
    notes = list(loaded.notes)

    def tell(note: str) -> None:
        notes.append(note)
        if say is not None:
            say(note)

    if (loaded.mode, loaded.few_steps) != (options.mode, options.few_steps):
        raise UsageError("other_mode", f"The models were loaded for {loaded.mode}, not {options.mode}, or for another "
                         "number of steps.", "Load them with the options that paint.")
    if not options.few_steps:
        loaded = dataclasses.replace(loaded, sampler=options.scheduler)
    words = told_words(loaded, procedures, prompt, tell)
    chosen = paintable(canvases, options.mode, tell)
    steps, guidance = schedule(loaded, options)
    text = read(loaded, words, guidance)
    looks = looks_of(loaded, face, len(text), options.ip_scale) if options.mode == "controlnet_ip" else None
    noise = noises(chosen, options, loaded, steps)
    made: list[UInt8[np.ndarray, "s s 3"]] = []

    def run(rows: slice) -> None:
        batch = batch_of(loaded, chosen[rows], noise[:, rows], text, looks)
        latents = denoise(loaded, batch, steps, options.strength, guidance, options.conditioning)
        made.extend(decode(loaded, latents))
        progress(len(made) / len(chosen), f"{len(made)} of {len(chosen)} views are painted")

    in_batches(len(chosen), options.batch, run, lambda: slice_attention(loaded.pipe.unet, loaded.controlnet),
               loaded, tell)
    pictures = {c.name: c.picture for c in canvases}
    for one, picture in zip(chosen, made, strict=True):
        assert one.crop is not None
        pictures[one.name] = one.crop.put_back(picture, one.picture, one.mask, options.keep_grain)
    return Painted(pictures=pictures, painted=tuple(c.name for c in chosen), notes=tuple(notes), provenance={
        "mode": options.mode, "prompt": words, "negative_prompt": negative_prompt(), "seed": options.seed,
        "sampler": loaded.sampler, "steps": steps, "strength": options.strength, "guidance": guidance,
        "conditioning": options.conditioning if loaded.controlnet is not None else None,
        "ip_scale": options.ip_scale if looks is not None else None, "anchored_noise": options.anchored,
        "device": str(loaded.device), "dtype": str(loaded.dtype).removeprefix("torch."), "weights": weights_mark()})


def paintable(canvases: Sequence[Canvas], mode: str, tell: Say) -> list[Canvas]:
    """The views that can be painted; why others cannot is told. InputRefused: none can."""
    chosen, why = [], ""
    for one in canvases:
        if one.crop is None or one.mask.max() <= TOUCHED:
            why = "its mask covers nothing"
        elif mode != "img2img" and one.control is None:
            raise UsageError("no_control", f"{mode} needs the control picture of {one.name}.", "Or take img2img.")
        elif mode != "img2img" and (np.asarray(one.control).max(2) > 0).sum() < LEAST_LINES:
            why = "no face is seen in it"
        else:
            chosen.append(one)
            continue
        tell(f"{one.name} stays as warp3d made it: {why}.")
    if not chosen:
        reason = f": {why}" if len(canvases) == 1 else " in any view"
        raise InputRefused("nothing_to_paint", f"There is nothing to paint{reason}.",
                           "warp3d's pictures stand; choose views that show the treated region.")
    return chosen


def schedule(loaded: Loaded, options: DiffusionOptions) -> tuple[int, float]:
    """Steps of the whole schedule, and guidance; few steps make as many as are needed for 4 (LCM) or 8 to be run."""
    if not options.few_steps:
        return options.steps, options.guidance
    steps = int(np.ceil(FEW[loaded.sampler] / options.strength))
    while run_steps(steps, options.strength) < FEW[loaded.sampler]:
        steps += 1
    return steps, 1.0 if loaded.sampler == "lcm" else options.guidance


def told_words(loaded: Loaded, procedures: Sequence[str], prompt: str | None, tell: Say) -> str:
    """A person's own prompt, checked, or that of the operations; those that no longer fit into it are told."""
    def count(text: str) -> int:
        return len(loaded.pipe.tokenizer(text, truncation=False).input_ids)

    if prompt is not None:
        words = checked_prompt(prompt)
        check_length(words, count)
        return words
    words, left_out = fitting_prompt(procedures, count)
    if left_out:
        tell(f"The prompt has no room for {', '.join(left_out)}; the pictures it starts from show the whole plan.")
    return words


def read(loaded: Loaded, words: str, guidance: float) -> Any:
    """The prompt as the UNet hears it: (2, t, c) without and with it, or (1, t, c) where there is no guidance."""
    import torch

    pipe = loaded.pipe
    with torch.inference_mode():
        told, untold = pipe.encode_prompt(words, loaded.device, 1, guidance > 1, negative_prompt())
    return torch.cat([untold, told]) if guidance > 1 else told


def looks_of(loaded: Loaded, face: UInt8[np.ndarray, "y x 3"] | None, passes: int, scale: float) -> Any:
    """The person's own frame as IP-Adapter hears it. UsageError: none was given, or it is not square."""
    import cv2
    import torch

    if face is None:
        raise UsageError("no_face", "controlnet_ip needs a frame of the person.", "Or take controlnet.")
    if face.shape[0] != face.shape[1]:
        raise UsageError("not_square", f"The frame is {face.shape[1]}x{face.shape[0]}; a square around the face is "
                         "needed.", "Cut it square around the face; nothing is squashed here.")
    loaded.pipe.set_ip_adapter_scale(scale)
    size = loaded.pipe.image_encoder.config.image_size
    small = cv2.resize(face, (size, size), interpolation=cv2.INTER_AREA if face.shape[0] > size else cv2.INTER_CUBIC)
    values = (small.astype(np.float32) / 255 - CLIP_MEAN) / CLIP_SD
    pixels = torch.from_numpy(values.transpose(2, 0, 1)[None])
    with torch.inference_mode():
        told, untold = loaded.pipe.encode_image(pixels, loaded.device, 1, True)
    return (torch.stack([untold, told]) if passes == 2 else told[None]).to(loaded.dtype)


def noises(chosen: Sequence[Canvas], options: DiffusionOptions, loaded: Loaded, steps: int) -> Float[
        np.ndarray, "k n 4 y x"]:
    """The noise of every view: one for the start, and for LCM one more at every step that is run."""
    layers = run_steps(steps, options.strength) if loaded.sampler == "lcm" else 1
    known = [c.uv for c in chosen if c.uv is not None] if options.anchored else []
    texels = texels_for(known)
    made = []
    for layer in range(layers):
        texture = noise_texture(options.seed, texels, layer) if known else None
        for view, one in enumerate(chosen):
            assert one.crop is not None
            if texture is not None and one.uv is not None:
                made.append(surface_noise(one.uv, texture, options.seed, view, layer))
            else:
                made.append(free_noise(options.seed, view, one.crop.size_px, layer))
    return np.stack(made).reshape(layers, len(chosen), *made[0].shape)


def batch_of(loaded: Loaded, chosen: Sequence[Canvas], noise: Float[np.ndarray, "k n 4 y x"], text: Any,
             looks: Any) -> Batch:
    """Views as tensors on the device."""
    import torch

    def tensor(arrays: list[np.ndarray]) -> Any:
        return torch.from_numpy(np.stack(arrays)).to(loaded.device, loaded.dtype)

    crops = [(c, c.crop) for c in chosen if c.crop is not None]
    pictures = tensor([crop.cut(c.picture).astype(np.float32).transpose(2, 0, 1) / 127.5 - 1 for c, crop in crops])
    keep = tensor([kept(crop.cut_mask(c.mask), loaded.latent_px) for c, crop in crops])
    vae = loaded.pipe.vae
    with torch.inference_mode():
        latents = vae.encode(pictures).latent_dist.mode() * vae.config.scaling_factor
        control = None
        if loaded.controlnet is not None:
            control = loaded.embed_control(tensor([np.asarray(c.control, np.float32).transpose(2, 0, 1) / 255
                                                   for c in chosen]))
    return Batch(latents=latents, keep=keep, control=control, text=text, face=looks,
                 noise=torch.from_numpy(noise).to(loaded.device, loaded.dtype))


def kept(mask: Float[np.ndarray, "s s"], latent_px: int = LATENT_PX) -> Float[np.ndarray, "1 y x"]:
    """1 where a latent pixel lies wholly outside the mask; the feather is painted and blended in the picture."""
    side = len(mask) // latent_px
    most = mask.reshape(side, latent_px, side, latent_px).max((1, 3))
    return np.asarray(most <= TOUCHED, np.float32)[None]


def decode(loaded: Loaded, latents: Any) -> list[UInt8[np.ndarray, "s s 3"]]:
    """Pictures of latents; a decoder that overflows in half floats decodes again in full ones.

    PrevisageError: they are not finite even then.
    """
    import torch

    vae = loaded.pipe.vae
    with torch.inference_mode():
        made = vae.decode(latents / vae.config.scaling_factor, return_dict=False)[0].float()
        if not torch.isfinite(made).all() and loaded.dtype != torch.float32:
            try:
                made = vae.to(torch.float32).decode(latents.float() / vae.config.scaling_factor, return_dict=False)[0]
            finally:  # also when memory ends: a smaller batch comes next
                vae.to(loaded.dtype)
    if not torch.isfinite(made).all():
        raise PrevisageError("not_finite", "The model's picture is not finite.",
                             "Add the weights again, or paint with --dtype fp32. warp3d's picture stands.")
    values = ((made / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return list(values)


def in_batches(count: int, size: int, run: Callable[[slice], None], shrink: Callable[[], None], loaded: Loaded,
               tell: Say) -> None:
    """Run all views, `size` at a time; where memory is short with half as many, then with sliced attention, aloud.

    PrevisageError: memory is too small for one view.
    """
    import torch

    start, sliced = 0, False
    while start < count:
        try:
            with torch.inference_mode():
                run(slice(start, min(start + size, count)))
            start += size
            continue
        except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
            if not short_of_memory(error):
                raise
        gc.collect()
        if loaded.device.type == "cuda":
            torch.cuda.empty_cache()
        if size > 1:
            size = (min(size, count - start) + 1) // 2
            tell(f"Memory is short: {size} view{'s' if size > 1 else ''} at a time.")
        elif not sliced:
            sliced = True
            shrink()
            tell("Memory is short: attention in slices, which is slower.")
        else:
            raise PrevisageError("out_of_memory", f"The memory of {loaded.device} is too small for one view.",
                                 "Close other programs, or take --device cpu. warp3d's pictures stand.")


def short_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, as CUDA, MPS and processors word it."""
    import torch

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        words in str(error).lower() for words in ("out of memory", "can't allocate memory", "not enough memory"))
