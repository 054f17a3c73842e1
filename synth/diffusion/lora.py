"""LoRA: low-rank changes of a UNet's weights, merged once, so that no package and no time is needed while it runs.

    W += (alpha / r) up @ down            Hu et al., LoRA, 2021; for convolutions the kernel is flattened
Understood are kohya's names (`lora_unet_..._to_q.lora_down.weight`, as LCM-LoRA has them) and peft's (`lora_A`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core.errors import PrevisageError


def merge_lora(unet: Any, file: Path) -> int:
    """Merge the LoRA of a safetensors file into a UNet; how many layers it changed.

    PrevisageError: it belongs to another model.
    """
    import torch
    from safetensors.torch import load_file

    tensors = load_file(str(file))
    layers = {name.replace(".", "_"): module for name, module in unet.named_modules()
              if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)}
    changed = 0
    with torch.no_grad():
        for key, down, up, alpha in pairs(tensors):
            layer = layers.get(key)
            if layer is None or up.shape[0] != layer.weight.shape[0] or down.shape[1] != layer.weight.shape[1]:
                raise other_model(file, key)
            rank = down.shape[0]
            change = (up.float().flatten(1) @ down.float().flatten(1)).reshape(layer.weight.shape)
            layer.weight += (alpha / rank * change).to(layer.weight)
            changed += 1
    if not changed:
        raise other_model(file, "no layer")
    return changed


def pairs(tensors: dict[str, Any]) -> Iterator[tuple[str, Any, Any, float]]:
    """(layer with underscores, down, up, alpha) of every UNet layer; alpha is the rank where the file names none."""
    for name, down in sorted(tensors.items()):
        for down_word, up_word in ((".lora_down.", ".lora_up."), (".lora_A.", ".lora_B.")):
            if down_word not in name:
                continue
            stem = name.split(down_word)[0]
            if stem.startswith(("lora_te", "text_encoder.")):
                continue
            key = stem.removeprefix("lora_unet_").removeprefix("unet.").removeprefix("base_model.model.")
            alpha = tensors.get(f"{stem}.alpha")
            yield (key.replace(".", "_"), down, tensors[name.replace(down_word, up_word)],
                   float(down.shape[0] if alpha is None else alpha))


def other_model(file: Path, key: str) -> PrevisageError:
    """The error."""
    return PrevisageError("lora_misfit", f"{file.name} does not fit this Stable Diffusion 1.5 ({key}).",
                          "Add latent-consistency/lcm-lora-sdv1-5, or paint without few_steps.")
