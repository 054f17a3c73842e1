"""Losses of ControlNet fine-tuning. Letters: x0 the clean latents, xt the noised, e the noise, a = alpha-bar(t).

    diffusion    mean (e_hat - e)^2                                      Ho et al., 2020
    x0_hat       (xt - sqrt(1 - a) e_hat) / sqrt(a), decoded to a picture
    gate         a where SNR(t) = a / (1 - a) >= least_snr, else 0: a guess from nearly pure noise shows no face
    landmark     mean over landmarks inside the mask of |net(x0_hat) - truth| / IOD, IOD between the outer eye corners
    identity     1 - cos(net(x0_hat), net(before))
    perceptual   net(x0_hat outside the mask on truth, truth)

The networks are TorchScript files that a person supplies, RGB pictures (n,3,h,w) in 0..1 in:
landmark (n,3,h,w) -> (n,478,2) px; identity (n,3,h,w) -> (n,d); perceptual (n,3,h,w), (n,3,h,w) -> (n, ...).
"""

from pathlib import Path
from typing import Any

from core.errors import InputRefused, PrevisageError

OUTER_EYE_CORNERS = (33, 263)
"""MediaPipe's numbers: the right eye's and the left eye's."""
INSIDE = 0.5


def load_nets(files: dict[str, Path], device: Any) -> dict[str, Any]:
    """The networks, frozen. InputRefused: a file is missing, is ONNX (through which no gradient flows), or broken."""
    import torch

    nets = {}
    for term, file in files.items():
        if not file.is_file():
            raise InputRefused(f"no_{term}_net", f"There is no {term} network {file}.",
                               f"Give its TorchScript file, or --{term} 0 to train without that term.")
        if file.suffix == ".onnx":
            raise InputRefused("no_gradient", f"{file.name} is ONNX, through which no gradient flows.",
                               "Training needs TorchScript: torch.jit.save(torch.jit.trace(net, example), FILE).")
        try:
            nets[term] = torch.jit.load(str(file), map_location=device).eval()
        except (RuntimeError, ValueError, OSError) as error:
            raise InputRefused("not_torchscript", f"{file.name} is no TorchScript file.",
                               "Save the network with torch.jit.save.") from error
        for weight in nets[term].parameters():
            weight.requires_grad_(False)
    return nets


def clean_guess(noised: Any, told: Any, alpha: Any) -> Any:
    """x0_hat (n,4,y,x) of the network's noise; alpha (n,)."""
    a = alpha.view(-1, 1, 1, 1)
    return (noised - (1 - a).sqrt() * told) / a.sqrt()


def gate(alpha: Any, least_snr: float) -> Any:
    """How much a sample's picture counts (n,)."""
    import torch

    return torch.where(alpha / (1 - alpha).clamp_min(1e-12) >= least_snr, alpha, torch.zeros_like(alpha))


def landmark_term(net: Any, guess: Any, truth_px: Any, mask: Any) -> Any:
    """Per sample (n,): mean distance inside the mask over the eyes' distance; 0 where no known landmark lies in it."""
    import torch

    found = net(guess).float()
    if found.shape != truth_px.shape:
        raise PrevisageError("landmark_net", f"The landmark network gives {tuple(found.shape[1:])}, not "
                             f"{tuple(truth_px.shape[1:])}.", "It must give 478 points in pixels.")
    side = mask.shape[-1]
    known = torch.isfinite(truth_px).all(-1)
    at = torch.where(known[..., None], truth_px, torch.zeros_like(truth_px)).round().long()
    seen = known & ((at >= 0) & (at < side)).all(-1)
    at = at.clamp(0, side - 1)
    inside = seen & (mask[:, 0].flatten(1).gather(1, at[..., 1] * side + at[..., 0]) > INSIDE)
    right, left = OUTER_EYE_CORNERS
    between = (truth_px[:, right] - truth_px[:, left]).norm(dim=-1)
    usable = inside & torch.isfinite(between)[:, None] & (between > 1)[:, None]
    off = (found - torch.where(usable[..., None], truth_px, found.detach())).pow(2).sum(-1).add(1e-12).sqrt()
    share = torch.where(usable, off / torch.nan_to_num(between, nan=1.0).clamp_min(1.0)[:, None],
                        torch.zeros_like(off))
    return share.sum(1) / usable.sum(1).clamp_min(1)


def identity_term(net: Any, guess: Any, before: Any) -> Any:
    """Per sample (n,): one minus the cosine of the embeddings."""
    import torch

    return 1 - torch.nn.functional.cosine_similarity(net(guess).float(), net(before).float(), dim=1)


def perceptual_term(net: Any, guess: Any, truth: Any, mask: Any) -> Any:
    """Per sample (n,): distance with the inside of the mask taken from the truth, so that only the outside counts."""
    outside = guess * (1 - mask) + truth * mask
    return net(outside, truth).float().flatten(1).mean(1)


def picture_terms(nets: dict[str, Any], guess: Any, batch: Any, gates: Any) -> dict[str, Any]:
    """The gated means of the terms whose networks are there; guess (n,3,h,w) in 0..1."""
    per_sample = {}
    if "landmark" in nets:
        per_sample["landmark"] = landmark_term(nets["landmark"], guess, batch.landmarks_px, batch.mask)
    if "identity" in nets:
        per_sample["identity"] = identity_term(nets["identity"], guess, batch.before)
    if "perceptual" in nets:
        per_sample["perceptual"] = perceptual_term(nets["perceptual"], guess, batch.after, batch.mask)
    return {name: (gates * value).mean() for name, value in per_sample.items()}
