"""Our sampling against diffusers' own pipeline on the same models, pictures and noise."""

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionControlNetInpaintPipeline, StableDiffusionInpaintPipeline

from synth.diffusion import denoise as sampling
from synth.diffusion.denoise import denoise, run_steps, scheduler
from synth.diffusion.lora import merge_lora
from synth.diffusion.models import load
from synth.diffusion.options import DiffusionOptions
from synth.diffusion.painter import batch_of, decode, kept, read
from synth.weights import add_weights, weights
from tests.synth.diffusion import tiny
from tests.synth.diffusion.conftest import options, views

PROMPT = "photograph of a face"


def theirs(loaded, one, choice: DiffusionOptions, monkeypatch) -> tuple[np.ndarray, torch.Tensor]:
    """The pipeline's picture of a view, and the noise that it drew."""
    parts = {k: v for k, v in loaded.pipe.components.items() if k != "scheduler"}
    plan = scheduler(choice.scheduler, loaded.pipe.scheduler.config)
    crop = one.crop
    picture, mask = crop.cut(one.picture), 1 - np.kron(kept(crop.cut_mask(one.mask))[0], np.ones((8, 8)))
    given = {"image": torch.from_numpy(picture.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1),
             "mask_image": torch.from_numpy(mask[None, None].astype(np.float32)), "strength": choice.strength,
             "height": tiny.SIZE_PX, "width": tiny.SIZE_PX}
    if loaded.controlnet is not None:
        control = torch.from_numpy(one.control.transpose(2, 0, 1)[None].astype(np.float32) / 255)
        given |= {"control_image": loaded.embed_control(control), "controlnet_conditioning_scale": choice.conditioning}
        pipe = StableDiffusionControlNetInpaintPipeline(**parts, controlnet=loaded.controlnet, scheduler=plan,
                                                        requires_safety_checker=False)
        monkeypatch.setattr(pipe, "prepare_control_image", lambda image, **_: image.repeat(2, 1, 1, 1))
        monkeypatch.setattr(pipe, "check_inputs", lambda *_: None)  # features stand in for the picture
    else:
        pipe = StableDiffusionInpaintPipeline(**parts, scheduler=plan, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    drawn, true = [], plan.add_noise

    def remember(original, noise, times):
        drawn.append(noise)
        return true(original, noise, times)

    monkeypatch.setattr(plan, "add_noise", remember)
    made = pipe(PROMPT, negative_prompt=negative(), num_inference_steps=choice.steps, guidance_scale=choice.guidance,
                generator=torch.Generator().manual_seed(3), output_type="np", **given)
    return made.images[0] * 255, drawn[0]


def negative() -> str:
    from synth.diffusion.prompts import negative_prompt
    return negative_prompt()


@pytest.mark.parametrize("mode", ["img2img", "controlnet"])
@pytest.mark.parametrize("name", ["unipc", "dpm++", "ddim"])
def test_our_sampling_is_that_of_the_pipeline(mode, name, monkeypatch):
    choice = options(mode=mode, scheduler=name, steps=6, strength=0.5)
    loaded, one = load(choice), views(1)
    picture, noise = theirs(loaded, one[0], choice, monkeypatch)
    with torch.inference_mode():
        batch = batch_of(loaded, one, noise.numpy()[None], read(loaded, PROMPT, choice.guidance), None)
        ours = decode(loaded, denoise(loaded, batch, choice.steps, choice.strength, choice.guidance,
                                      choice.conditioning))[0]
    assert np.abs(ours - picture).max() < 1.0, "half a level of rounding, and no more"
    assert np.abs(ours - one[0].crop.cut(one[0].picture)).mean() > 2


def test_latents_outside_the_mask_are_the_pictures_own(full):
    choice, every = options(mode="controlnet_ip"), views(2)
    noise = np.random.default_rng(0).standard_normal((1, 2, 4, 8, 8)).astype(np.float32)
    with torch.inference_mode():
        from synth.diffusion.painter import looks_of
        text = read(full, PROMPT, 3.0)
        batch = batch_of(full, every, noise, text, looks_of(full, tiny.picture(9, 90, 90), 2, 0.6))
        made = denoise(full, batch, choice.steps, choice.strength, 3.0, 0.9)
    outside = batch.keep.expand_as(made) == 1
    assert 0 < outside.float().mean() < 1 and torch.equal(made[outside], batch.latents[outside])
    assert (made[~outside] - batch.latents[~outside]).abs().min() > 0


def test_the_control_pictures_layers_run_once_for_all_steps(full, monkeypatch):
    from synth.diffusion import paint
    calls = []
    handle = full.embed_control.register_forward_hook(lambda *_: calls.append(1))
    paint(views(2), full, options(mode="controlnet_ip", steps=8), ["rhinoplasty"], face=tiny.picture(9, 90, 90))
    handle.remove()
    assert len(calls) == 1


@pytest.mark.parametrize(("steps", "strength", "run"), [(20, 0.4, 8), (20, 1.0, 20), (4, 0.1, 1), (1, 1.0, 1)])
def test_strength_is_a_share_of_the_steps_and_never_none(steps, strength, run):
    assert run_steps(steps, strength) == run


# --- LCM-LoRA ------------------------------------------------------------------------------------------------------


def test_a_lora_changes_weights_by_alpha_over_rank_up_down(given):
    from diffusers import UNet2DConditionModel
    from safetensors.torch import load_file

    net, old = (UNet2DConditionModel.from_pretrained(weights("sd15") / "unet") for _ in range(2))
    file = given / "lcm" / "pytorch_lora_weights.safetensors"
    assert merge_lora(net, file) == sum(k.endswith("lora_down.weight") for k in load_file(file))
    tensors = load_file(file)
    for key, layer in (("lora_unet_conv_in", "conv_in"), ("lora_unet_down_blocks_0_resnets_0_conv1",
                                                          "down_blocks.0.resnets.0.conv1")):
        new, was = net.get_submodule(layer).weight, old.get_submodule(layer).weight
        picture = torch.randn(1, was.shape[1], 5, 5)
        down = torch.nn.functional.conv2d(picture, tensors[f"{key}.lora_down.weight"], padding=1)
        change = torch.nn.functional.conv2d(down, tensors[f"{key}.lora_up.weight"]) * 2.0 / 4
        merged = torch.nn.functional.conv2d(picture, new - was, padding=1)
        assert torch.allclose(change, merged, atol=1e-5) and change.abs().max() > 0.01


def test_with_lcm_lora_four_steps_are_run_without_guidance(given, tmp_path, monkeypatch):
    from core import added
    from synth.diffusion import paint

    monkeypatch.setenv(added.WHERE, str(tmp_path))
    for name, folder in (("sd15", "sd15"), ("lcm-lora", "lcm")):
        add_weights(name, given / folder, True)
    few = options(mode="img2img", few_steps=True, strength=0.3)
    loaded, passes = load(few), []
    loaded.pipe.unet.register_forward_pre_hook(lambda _, args: passes.append(len(args[0])))
    made = paint(views(2), loaded, few, ["rhinoplasty"])
    assert made.provenance["sampler"] == "lcm" and passes == [2] * 4 and made.provenance["guidance"] == 1.0
    single = paint(views(2), loaded, options(mode="img2img", few_steps=True, strength=0.3, batch=1), ["rhinoplasty"])
    for name, picture in made.pictures.items():
        assert np.abs(picture.astype(int) - single.pictures[name]).max() <= 1, "its noise is anchored, too"
    assert sampling.LCM_ORIGINAL_STEPS == 50
