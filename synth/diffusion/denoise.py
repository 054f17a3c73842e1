"""Denoise: inpainting in latents with a plain four-channel UNet, a batch of different views at once.

Inside the mask the warp3d picture is noised to the level of `strength` and denoised again; outside, after every step,
the latents are the picture's own at that step's noise (blended latents: Avrahami et al., 2022; what diffusers'
inpainting pipelines do with four channels, and our tests hold the two together). The noise is handed in.
"""

from typing import Any

from core.records import record
from synth.diffusion.models import Loaded

LCM_ORIGINAL_STEPS = 50


@record
class Batch:
    """Tensors of n views on the device. latents (n,4,y,x): the picture's own, scaled; keep (n,1,y,x): 1 where it stays;
    noise (k,n,4,y,x): the first for the start, further ones for samplers that add noise at every step; text
    (2 or 1, t, c): without the prompt (where there is guidance) and with it; control: features (n,c,y,x) or None;
    face: the person's own looks, (2 or 1, 1, s, c), or None.
    """

    latents: Any
    keep: Any
    noise: Any
    text: Any
    control: Any
    face: Any


def scheduler(name: str, config: Any) -> Any:
    """A fresh scheduler of diffusers on a model's own noise schedule; latents are no pictures and are not clipped."""
    import diffusers

    made = {"unipc": diffusers.UniPCMultistepScheduler, "dpm++": diffusers.DPMSolverMultistepScheduler,
            "ddim": diffusers.DDIMScheduler, "lcm": diffusers.LCMScheduler}[name]
    return made.from_config(config, **({"clip_sample": False} if name in ("ddim", "lcm") else {}))


def run_steps(steps: int, strength: float) -> int:
    """How many of the schedule's steps are run; at least one."""
    return max(min(int(steps * strength), steps), 1)


def denoise(loaded: Loaded, batch: Batch, steps: int, strength: float, guidance: float, conditioning: float) -> Any:
    """The painted latents (n,4,y,x). guidance 1: no second pass without the prompt."""
    import torch

    plan = scheduler(loaded.sampler, loaded.pipe.scheduler.config)
    more = {"original_inference_steps": max(LCM_ORIGINAL_STEPS, steps)} if loaded.sampler == "lcm" else {}
    plan.set_timesteps(steps, device=loaded.device, **more)
    skipped = (steps - run_steps(steps, strength)) * plan.order
    times = plan.timesteps[skipped:]
    if hasattr(plan, "set_begin_index"):  # those that count their steps
        plan.set_begin_index(skipped)
    count, passes = len(batch.latents), len(batch.text)
    text = batch.text.repeat_interleave(count, 0)
    control = None if batch.control is None else batch.control.repeat(passes, 1, 1, 1)
    added = None if batch.face is None else {"image_embeds": [batch.face.repeat_interleave(count, 0)]}
    latents = plan.add_noise(batch.latents, batch.noise[0], times[:1].repeat(count))
    for number, time in enumerate(times):
        given = plan.scale_model_input(latents.repeat(passes, 1, 1, 1), time)
        down = mid = None
        if control is not None:
            down, mid = loaded.controlnet(given, time, encoder_hidden_states=text, controlnet_cond=control,
                                          conditioning_scale=conditioning, return_dict=False)
        told = loaded.pipe.unet(given, time, encoder_hidden_states=text, down_block_additional_residuals=down,
                                mid_block_additional_residual=mid, added_cond_kwargs=added, return_dict=False)[0]
        if passes == 2:
            without, with_prompt = told.chunk(2)
            told = without + guidance * (with_prompt - without)
        last = number + 1 == len(times)
        if loaded.sampler == "lcm":
            clean = plan.step(told, time, latents, generator=torch.Generator(loaded.device).manual_seed(0)).denoised
            latents = clean if last else plan.add_noise(clean, batch.noise[number + 1], times[number + 1].repeat(count))
        else:
            latents = plan.step(told, time, latents, return_dict=False)[0]
        own = batch.latents
        if not last:
            own = plan.add_noise(own, batch.noise[0], times[number + 1].repeat(count))
        latents = batch.keep * own + (1 - batch.keep) * latents
    return latents.to(batch.latents.dtype)
