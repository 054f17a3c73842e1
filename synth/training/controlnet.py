"""Fine-tune a ControlNet on pairs: autoencoder, text encoder and UNet stay frozen, the ControlNet learns.

    <out>/train.json                     options and the pairs' checksum; another run is refused there
    <out>/log.jsonl                      every step: the terms, the rate
    <out>/checkpoints/step-00000500/     weights, optimiser, averages; the last two
    <out>/controlnet/                    the result: `previsage models add controlnet <out>/controlnet`

Runs on one process or many (accelerate, DDP). A stopped run goes on at its last checkpoint, bit for bit as if it had
not been stopped, because samples and noise hang on the step alone (`batches`).
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import PrevisageError, UsageError
from core.files import read_json, write_bytes, write_json
from core.progress import Progress, silent
from core.records import record
from synth.diffusion.models import base, offline, packages, reading, whole
from synth.training.batches import PairBatch, generator, passes, samples_of
from synth.training.checkpoint import Kept, keep, latest
from synth.training.losses import clean_guess, gate, load_nets, picture_terms
from synth.training.options import TrainOptions
from synth.training.shards import Pairs
from synth.weights import weights, weights_mark

RESULT = "controlnet"


@record
class Frozen:
    """What does not learn, and the noise schedule. alphas: alpha-bar of every level; words: prompt -> embedding."""

    vae: Any
    unet: Any
    tokenizer: Any
    text: Any
    nets: dict[str, Any]
    schedule: Any
    alphas: Any
    words: dict[str, Any]


def train(pairs_folder: Path, out: Path, options: TrainOptions, progress: Progress = silent,
          stop: Callable[[], bool] = lambda: False) -> dict[str, Any]:
    """Train, or go on; what came of it. stop: asked after every step; when it says so, the state is kept and it ends.

    UsageError: weights or packages are missing, or `out` holds another run. InputRefused: the pairs or networks cannot
    be used. PrevisageError: the loss is not finite, a checkpoint is damaged.
    """
    torch = packages()
    from accelerate import Accelerator

    pairs = Pairs(pairs_folder)
    bare = not (torch.cuda.is_available() or torch.backends.mps.is_available())
    accelerator = Accelerator(mixed_precision="bf16" if options.precision == "bf16" else "no",
                              gradient_accumulation_steps=options.accumulate, cpu=bare)
    try:
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        run_mark(out, options, pairs, accelerator.num_processes, accelerator.is_main_process)
        frozen, net = models(torch, options, accelerator.device)
        return loop(torch, accelerator, frozen, net, pairs, out, options, progress, stop)
    finally:
        reset(accelerator)


def reset(accelerator: Any) -> None:
    """Forget accelerate's process-wide settings, so that another run may choose others."""
    from accelerate.state import AcceleratorState, GradientState

    accelerator.free_memory()
    if accelerator.num_processes == 1:
        AcceleratorState._reset_state(reset_partial_state=True)
        GradientState._reset_state()


def run_mark(out: Path, options: TrainOptions, pairs: Pairs, processes: int, write: bool) -> None:
    """Note what the run is. UsageError: the folder holds another."""
    decides = options.decides() | {"samples_a_step": options.batch * options.accumulate * processes}
    told = json.loads(json.dumps({"options": decides, "pairs": pairs.mark(), "weights": weights_mark()}))
    if (out / "train.json").is_file():
        known = read_json(out / "train.json")
        if known != told:
            other = [k for k in told["options"] if told["options"][k] != known.get("options", {}).get(k)]
            raise UsageError("other_run", f"{out} holds a run with other {', '.join(other) or 'pairs or weights'}.",
                             "Choose another folder with -o, or the same options to go on.")
    elif write:
        write_json(out / "train.json", told)


def models(torch: Any, options: TrainOptions, device: Any) -> tuple[Frozen, Any]:
    """The frozen parts on the device, and the ControlNet that learns, at full precision."""
    from diffusers import ControlNetModel, DDPMScheduler

    half = torch.bfloat16 if options.precision == "bf16" else torch.float32
    home = weights("sd15")
    with offline(), reading():
        pipe = base(home, torch.float32)
        if options.start == "added":
            net = whole(ControlNetModel, weights("controlnet"), "controlnet", "", torch.float32)
        else:
            torch.manual_seed(options.seed)
            net = ControlNetModel.from_unet(pipe.unet)
        schedule = DDPMScheduler.from_pretrained(home / "scheduler", local_files_only=True)
    if schedule.config.prediction_type != "epsilon":
        raise UsageError("other_base_model", "This model predicts no noise.", "Stable Diffusion 1.5 is needed.")
    for part in (pipe.vae, pipe.unet, pipe.text_encoder):
        part.to(device, half).eval().requires_grad_(False)
    pipe.unet.to(memory_format=torch.channels_last)
    if options.checkpointing:
        net.enable_gradient_checkpointing()
    frozen = Frozen(vae=pipe.vae, unet=pipe.unet, tokenizer=pipe.tokenizer, text=pipe.text_encoder,
                    nets=load_nets(options.nets(), device), schedule=schedule,
                    alphas=schedule.alphas_cumprod.to(device), words={})
    return frozen, net.train()


def loop(torch: Any, accelerator: Any, frozen: Frozen, net: Any, pairs: Pairs, out: Path, options: TrainOptions,
         progress: Progress, stop: Callable[[], bool]) -> dict[str, Any]:
    """All steps that are left."""
    from diffusers.optimization import get_cosine_schedule_with_warmup
    from diffusers.training_utils import EMAModel

    net.to(accelerator.device)
    optimiser = torch.optim.AdamW(net.parameters(), lr=options.rate, weight_decay=options.weight_decay)
    rate = get_cosine_schedule_with_warmup(optimiser, min(options.warmup, options.steps - 1), options.steps)
    average = EMAModel(net.parameters(), decay=options.ema, foreach=False) if options.ema > 0 else None
    kept = Kept(net=net, optimiser=optimiser, rate=rate, average=average)
    done = latest(out / "checkpoints", kept)
    if average is not None:
        average.to(accelerator.device)
    if accelerator.is_main_process:
        shorten(out / "log.jsonl", done)
    net, optimiser = accelerator.prepare(net, optimiser)
    plan = [samples_of(step, part, accelerator.process_index, accelerator.num_processes, options.batch,
                       options.accumulate) for step in range(done, options.steps) for part in range(options.accumulate)]
    batches = passes(pairs, options.seed, plan, accelerator.device, options.workers)
    terms: dict[str, float] = {}
    stopped = False
    while done < options.steps and not stopped:
        sums: dict[str, Any] = {}
        for _ in range(options.accumulate):
            with accelerator.accumulate(net):
                parts = losses(torch, frozen, net, next(batches), options)
                accelerator.backward(sum(options.weights()[name] * value for name, value in parts.items()))
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(net.parameters(), options.clip)
                optimiser.step()
                optimiser.zero_grad()
            for name, value in parts.items():
                sums[name] = sums.get(name, 0) + value.detach() / options.accumulate
        used = float(rate.get_last_lr()[0])
        rate.step()
        if average is not None:
            average.step(accelerator.unwrap_model(net).parameters())
        done += 1
        terms = {name: float(accelerator.reduce(value, "mean")) for name, value in sums.items()}
        stopped = bool(accelerator.reduce(torch.tensor(float(stop()), device=accelerator.device), "sum") > 0)
        finish_step(accelerator, out, done, terms, used, options, kept, stopped)
        progress(done / options.steps, f"step {done} of {options.steps}: " + ", ".join(
            f"{name} {value:.4f}" for name, value in terms.items()))
    if done == options.steps and accelerator.is_main_process:
        save_result(kept, out)
    accelerator.wait_for_everyone()
    return {"steps": done, "finished": done == options.steps, "terms": terms, "folder": out,
            "controlnet": out / RESULT if done == options.steps else None, "processes": accelerator.num_processes}


def losses(torch: Any, frozen: Frozen, net: Any, batch: PairBatch, options: TrainOptions) -> dict[str, Any]:
    """The terms of one pass."""
    device, half = batch.after.device, frozen.unet.dtype
    with torch.no_grad():
        spread = frozen.vae.encode((batch.after * 2 - 1).to(half)).latent_dist
        drawn = [draws(torch, options, k, spread.mean.shape[1:], len(frozen.alphas)) for k in batch.samples]
        own, noise = (torch.stack([d[i] for d in drawn]).to(device) for i in (0, 1))
        level = torch.tensor([d[2] for d in drawn], device=device)
        clean = (spread.mean.float() + spread.std.float() * own) * frozen.vae.config.scaling_factor
        noised = frozen.schedule.add_noise(clean, noise, level)
        words = ["" if d[3] else p for d, p in zip(drawn, batch.prompts, strict=True)]
        text = torch.cat([embedded(torch, frozen, w, device) for w in words])
    with torch.autocast(device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        down, mid = net(noised, level, encoder_hidden_states=text, controlnet_cond=batch.control, return_dict=False)
        told = frozen.unet(noised.to(half), level, encoder_hidden_states=text.to(half), return_dict=False,
                           down_block_additional_residuals=[d.to(half) for d in down],
                           mid_block_additional_residual=mid.to(half))[0].float()
    parts = {"diffusion": torch.nn.functional.mse_loss(told, noise)}
    if frozen.nets:
        parts |= seen_terms(torch, frozen, batch, noised, told, frozen.alphas[level], options)
    return parts


def seen_terms(torch: Any, frozen: Frozen, batch: PairBatch, noised: Any, told: Any, alpha: Any,
               options: TrainOptions) -> dict[str, Any]:
    """The terms of pictures, decoded only where the gate is open."""
    gates = gate(alpha, options.least_snr)
    rows = torch.nonzero(gates > 0).flatten()
    if not len(rows):
        return {name: told.sum() * 0 for name in frozen.nets}
    guess = clean_guess(noised[rows], told[rows], alpha[rows]) / frozen.vae.config.scaling_factor
    with torch.autocast(told.device.type, torch.bfloat16, enabled=options.precision == "bf16"):
        picture = frozen.vae.decode(guess.to(frozen.vae.dtype), return_dict=False)[0]
    some = PairBatch(before=batch.before[rows], after=batch.after[rows], control=batch.control[rows],
                     mask=batch.mask[rows], landmarks_px=batch.landmarks_px[rows], prompts=(), samples=())
    share = len(rows) / len(gates)
    terms = picture_terms(frozen.nets, (picture.float() / 2 + 0.5).clamp(0, 1), some, gates[rows])
    return {name: value * share for name, value in terms.items()}


def draws(torch: Any, options: TrainOptions, sample: int, shape: Any, levels: int) -> tuple[Any, Any, int, bool]:
    """A sample's noise of the autoencoder, noise, its level, and whether it trains without words."""
    source = generator(options.seed, sample)
    own, noise = (torch.randn(tuple(shape), generator=source) for _ in range(2))
    level = int(torch.randint(0, levels, (1,), generator=source))
    return own, noise, level, bool(torch.rand(1, generator=source) < options.drop_prompt)


def embedded(torch: Any, frozen: Frozen, words: str, device: Any) -> Any:
    """A prompt as the UNet hears it (1, t, c), read once."""
    if words not in frozen.words:
        tokens = frozen.tokenizer(words, padding="max_length", max_length=frozen.tokenizer.model_max_length,
                                  truncation=True, return_tensors="pt").input_ids.to(device)
        frozen.words[words] = frozen.text(tokens)[0].float()
    return frozen.words[words]


def finish_step(accelerator: Any, out: Path, done: int, terms: dict[str, float], used: float, options: TrainOptions,
                kept: Kept, stopped: bool) -> None:
    """Log, check and, when it is time, keep the state. PrevisageError: a term is not finite."""
    if any(value != value or abs(value) == float("inf") for value in terms.values()):
        raise PrevisageError("not_finite", f"The loss is not finite at step {done}.",
                             "Train with a smaller --rate, or from the last checkpoint with other pairs.")
    if not accelerator.is_main_process:
        return
    log(out / "log.jsonl", {"step": done, **{k: round(v, 8) for k, v in terms.items()}, "rate": used})
    if stopped or done % options.save_every == 0 or done == options.steps:
        keep(out / "checkpoints", done, kept)


def shorten(path: Path, done: int) -> None:
    """Drop the rows of steps that will be done again."""
    if path.is_file():
        lines = [line for line in path.read_text("utf-8").splitlines() if json.loads(line)["step"] <= done]
        write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def log(path: Path, row: dict[str, Any]) -> None:
    """Add a row."""
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def save_result(kept: Kept, out: Path) -> None:
    """The averaged weights (or the last ones) as diffusers saves a ControlNet."""
    if kept.average is not None:
        kept.average.store(kept.net.parameters())
        kept.average.copy_to(kept.net.parameters())
    kept.net.save_pretrained(out / RESULT)
    if kept.average is not None:
        kept.average.restore(kept.net.parameters())
