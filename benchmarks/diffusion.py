"""Speed and memory of the generative modes: our sampling against diffusers' own pipeline, in the same run.

    python benchmarks/diffusion.py                       full-size SD 1.5 + ControlNet, random weights (a GPU)
    python benchmarks/diffusion.py --compiled            the same with torch.compile
    python benchmarks/diffusion.py --tiny --size 128     a proof that the script runs, on any processor

Weights are random, because speed and memory do not hang on them; nothing is read or fetched. Both sides paint the same
crops with the same steps, strength, guidance, number type and scheduler, pictures in memory to pictures in memory. The
plain pipeline takes one picture with one mask at a time, as documented. Prints a table, and JSON with -o.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.camera import Camera
from previsage.bench_record import stamp
from synth.diffusion import Canvas, DiffusionOptions, canvas
from synth.diffusion.denoise import denoise, scheduler
from synth.diffusion.models import Loaded, packages, place, taken_out
from synth.diffusion.painter import batch_of, decode, kept, noises

WIDTH, TOKENS = 768, 77
TINY = {"block_out_channels": (32, 64, 64, 64), "layers_per_block": 1, "norm_num_groups": 8}


def nets(torch: Any, tiny: bool, device: Any, dtype: Any) -> tuple[Any, Any, Any]:
    """UNet, ControlNet and autoencoder of SD 1.5, with random weights."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

    with torch.device(device):
        unet = UNet2DConditionModel(sample_size=64, cross_attention_dim=WIDTH, **(TINY if tiny else {}))
        control = ControlNetModel.from_unet(unet)
        vae = AutoencoderKL(
            block_out_channels=(8, 16, 16, 16) if tiny else (128, 256, 512, 512), layers_per_block=1 if tiny else 2,
            norm_num_groups=4 if tiny else 32, latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4)
    return tuple(net.to(dtype).eval().requires_grad_(False) for net in (unet, control, vae))  # type: ignore[return-value]


def loaded_of(torch: Any, unet: Any, control: Any, vae: Any, device: Any, dtype: Any, compiled: bool) -> Loaded:
    """The nets as `synth.diffusion` holds them; no text encoder, whose cost is once per plan."""
    from diffusers import DDIMScheduler, StableDiffusionInpaintPipeline

    plan = DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                         clip_sample=False, set_alpha_to_one=False)
    pipe = StableDiffusionInpaintPipeline(vae=vae, text_encoder=None, tokenizer=None, unet=unet,
                                          scheduler=plan, safety_checker=None, feature_extractor=None,
                                          requires_safety_checker=False)
    made = Loaded(mode="controlnet", pipe=pipe, controlnet=control, embed_control=taken_out(control), device=device,
                  dtype=dtype, sampler="unipc")
    place(made, compiled)
    return made


def views(count: int, size: int) -> list[Canvas]:
    """Pictures with a disc as mask and a cross as control picture."""
    rng, rows = np.random.default_rng(0), np.mgrid[0:960, 0:720]
    mask = (np.hypot(rows[0] - 480, rows[1] - 360) < 160).astype(np.float32)
    camera = Camera(K_px=np.array([[900.0, 0, 360], [0, 900, 480], [0, 0, 1]]), cam_from_head=np.eye(4),
                    size_wh=(720, 960))
    cross = np.zeros((size, size, 3), np.uint8)
    cross[size // 2 - 1:size // 2 + 1], cross[:, size // 2 - 1:size // 2 + 1] = (10, 200, 10), (10, 180, 10)
    uv = np.stack(np.meshgrid(np.linspace(0.3, 0.6, size), np.linspace(0.3, 0.6, size)), -1)
    return [canvas(f"{n}", rng.integers(0, 256, (960, 720, 3)).astype(np.uint8), mask, camera, lambda _: cross,
                   lambda _: uv, size) for n in range(count)]


def ours(torch: Any, loaded: Loaded, every: list[Canvas], text: Any, options: DiffusionOptions) -> Callable[[], Any]:
    """All views in one batch, noise anchored."""
    def run() -> Any:
        with torch.inference_mode():
            noise = noises(every, options, loaded, options.steps)
            batch = batch_of(loaded, every, noise, text, None)
            return decode(loaded, denoise(loaded, batch, options.steps, options.strength, options.guidance,
                                          options.conditioning))
    return run


def plain(torch: Any, unet: Any, control: Any, vae: Any, every: list[Canvas], text: Any, options: DiffusionOptions,
          config: Any) -> Callable[[], Any]:
    """diffusers' ControlNet inpainting, one view after the other."""
    from diffusers import StableDiffusionControlNetInpaintPipeline

    pipe = StableDiffusionControlNetInpaintPipeline(
        vae=vae, text_encoder=None, tokenizer=None, unet=unet, controlnet=control,
        scheduler=scheduler("unipc", config), safety_checker=None, feature_extractor=None,
        requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)

    def run() -> Any:
        made = []
        for one in every:
            assert one.crop is not None and one.control is not None
            size = one.crop.size_px
            mask = 1 - np.kron(kept(one.crop.cut_mask(one.mask))[0], np.ones((8, 8)))
            made.append(pipe(
                prompt_embeds=text[1:], negative_prompt_embeds=text[:1], height=size, width=size,
                image=one.crop.cut(one.picture)[None].astype(np.float32) / 255,
                mask_image=mask[None].astype(np.float32),
                control_image=torch.from_numpy(one.control.transpose(2, 0, 1)[None].astype(np.float32) / 255),
                num_inference_steps=options.steps, strength=options.strength, guidance_scale=options.guidance,
                controlnet_conditioning_scale=options.conditioning, output_type="np").images[0])
        return made
    return run


def measured(torch: Any, device: Any, run: Callable[[], Any], count: int, repeats: int) -> dict[str, float]:
    """Median ms per view, and peak memory in GiB (of the device, or nothing on a processor)."""
    gc.collect()
    cuda = device.type == "cuda"
    run()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        if cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return {"ms_per_view": 1000 * statistics.median(seconds) / count,
            **({"peak_gib": torch.cuda.max_memory_allocated() / 2**30} if cuda else {})}


def main() -> None:
    """Run and print."""
    torch = packages()
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--views", type=int, nargs="+", default=[1, 4, 16])
    ask.add_argument("--size", type=int, default=512)
    ask.add_argument("--steps", type=int, default=20)
    ask.add_argument("--strength", type=float, default=0.5)
    ask.add_argument("--guidance", type=float, default=5.0)
    ask.add_argument("--repeats", type=int, default=3)
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ask.add_argument("--dtype", default=None, choices=["fp32", "fp16", "bf16"])
    ask.add_argument("--compiled", action="store_true")
    ask.add_argument("--tiny", action="store_true")
    ask.add_argument("-o", type=Path)
    given = ask.parse_args()
    device = torch.device(given.device)
    kind = given.dtype or ("fp16" if device.type == "cuda" else "fp32")
    dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[kind]
    torch.manual_seed(0)
    text = torch.randn(2, TOKENS, WIDTH, device=device, dtype=dtype)
    rows = []
    for count in given.views:
        every = views(count, given.size)
        options = DiffusionOptions(mode="controlnet", steps=given.steps, strength=given.strength,
                                   guidance=given.guidance, batch=count)
        for side in ("plain", "ours"):  # one at a time in memory
            unet, control, vae = nets(torch, given.tiny, device, dtype)
            if side == "plain":
                config = loaded_config()
                run = plain(torch, unet, control, vae, every, text, options, config)
            else:
                made = loaded_of(torch, unet, control, vae, device, dtype, given.compiled)
                run = ours(torch, made, every, text, options)
            rows.append({"views": count, "side": side, **measured(torch, device, run, count, given.repeats)})
            print(rows[-1], file=sys.stderr, flush=True)
            del run, unet, control, vae
            made = None
            if device.type == "cuda":
                torch.cuda.empty_cache()
    print(f"\n{given.size}x{given.size}, {given.steps} steps x {given.strength:g}, guidance {given.guidance:g}, "
          f"{kind}, {torch.cuda.get_device_name() if device.type == 'cuda' else 'processor'}"
          f"{', tiny nets: a proof that it runs, no measurement' if given.tiny else ''}\n")
    print("| views | plain diffusers, ms per view | ours, ms per view | ratio | plain, peak GiB | ours, peak GiB |")
    print("|---|---|---|---|---|---|")
    for count in given.views:
        a, b = ({r["side"]: r for r in rows if r["views"] == count}[s] for s in ("plain", "ours"))
        memory = " | ".join(f"{r['peak_gib']:.2f}" if "peak_gib" in r else "-" for r in (a, b))
        slow, fast = a["ms_per_view"], b["ms_per_view"]
        print(f"| {count} | {slow:.1f} | {fast:.1f} | {slow / fast:.2f} | {memory} |")
    if given.o:
        asked = {k: v for k, v in vars(given).items() if k != "o"}
        given.o.write_text(json.dumps({**stamp("python benchmarks/diffusion.py"), "asked": asked, "torch":
                                       torch.__version__, "rows": rows}, indent=1) + "\n")


def loaded_config() -> Any:
    """The noise schedule of Stable Diffusion 1.5."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1,
                         clip_sample=False, set_alpha_to_one=False).config


if __name__ == "__main__":
    main()
