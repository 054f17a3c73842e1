"""Tiny random models with the architecture, file names and key layouts of the real ones, written as a user has them."""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel, PNDMScheduler, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from synth.diffusion.prompts import negative_prompt, prompt_for, table

WIDTH, CHANNELS, VISION = 32, (32, 64), 48
SIZE_PX = 64
UNET = {"block_out_channels": CHANNELS, "layers_per_block": 1, "cross_attention_dim": WIDTH, "attention_head_dim": 4,
        "norm_num_groups": 8, "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D")}


def byte_letters() -> list[str]:
    """The 256 letters by which CLIP's tokenizer writes bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(b) for b in printable] + [chr(256 + n) for n in range(256 - len(printable))]


def write_tokenizer(folder: Path) -> int:
    """CLIP's byte-pair tokenizer whose merges make one token of each word of our prompts; its vocabulary's size."""
    words = [w for text in [negative_prompt(), *(prompt_for([p]) for p in table()["procedures"])]
             for w in text.lower().replace(",", " ").replace("-", " ").split()]
    tokens, merges = [*byte_letters(), *(c + "</w>" for c in byte_letters())], []
    for word in dict.fromkeys(words):
        left = word[0] if len(word) > 1 else word + "</w>"
        for number, letter in enumerate(word[1:], 2):
            right = letter + ("</w>" if number == len(word) else "")
            if (left, right) not in merges:
                merges.append((left, right))
            left += right
            if left not in tokens:
                tokens.append(left)
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({t: n for n, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}))
    return len(tokens)


OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
"""Of an autoencoder's attention, as they were when Stable Diffusion 1.5 was published."""


def renamed(file: Path, name, **more: torch.Tensor) -> None:
    """Give the tensors of a file the names they were published under."""
    save_file({**{name(key): value for key, value in load_file(file).items()}, **more}, file, {"format": "pt"})


def old_name(key: str) -> str:
    """A tensor of the autoencoder."""
    for new, old in OLD_NAMES.items():
        key = key.replace(f"mid_block.attentions.0.{new}.", f"mid_block.attentions.0.{old}.")
    return key


def write_sd15(folder: Path, seed: int = 0) -> Path:
    """Stable Diffusion 1.5 in small, as diffusers lays it out."""
    torch.manual_seed(seed)
    size = write_tokenizer(folder / "tokenizer")
    text = CLIPTextConfig(vocab_size=size, hidden_size=WIDTH, intermediate_size=37, num_hidden_layers=2,
                          num_attention_heads=4, max_position_embeddings=77, bos_token_id=size - 2,
                          eos_token_id=size - 1, pad_token_id=size - 1)
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    renamed(folder / "text_encoder" / "model.safetensors", "text_model.{}".format,
            **{"text_model.embeddings.position_ids": torch.arange(77)[None]})
    UNet2DConditionModel(sample_size=SIZE_PX // 8, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
                         **UNET).save_pretrained(folder / "unet")
    vae(seed).save_pretrained(folder / "vae")
    renamed(folder / "vae" / "diffusion_pytorch_model.safetensors", old_name)
    PNDMScheduler(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear",
                  skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False).save_pretrained(folder / "scheduler")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


def vae(seed: int = 0) -> AutoencoderKL:
    """An autoencoder with eight pixels to a latent pixel, and nearly no spread of its own."""
    torch.manual_seed(seed + 1)
    made = AutoencoderKL(block_out_channels=(8, 8, 8, 8), norm_num_groups=4, latent_channels=4, layers_per_block=1,
                         down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4)
    with torch.no_grad():
        made.quant_conv.weight[4:] = 0
        made.quant_conv.bias[4:] = -30.0
        made.decoder.conv_out.weight *= 4
    return made


def write_controlnet(folder: Path, width: int = WIDTH, seed: int = 2, fp16: bool = False) -> Path:
    """A ControlNet whose zero convolutions were trained, so that it does something."""
    torch.manual_seed(seed)
    net = ControlNetModel(conditioning_embedding_out_channels=(4, 4, 8, 8), **{**UNET, "cross_attention_dim": width})
    with torch.no_grad():
        for part in (*net.controlnet_down_blocks, net.controlnet_mid_block):
            torch.nn.init.normal_(part.weight, std=0.1)
        for name, weight in net.controlnet_cond_embedding.named_parameters():
            if weight.dim() > 1:
                torch.nn.init.kaiming_normal_(weight)
                weight *= 4 if "conv_out" in name else 1
    net.save_pretrained(folder, variant="fp16" if fp16 else None)
    return folder


def write_ip_adapter(folder: Path, seed: int = 3) -> Path:
    """IP-Adapter plus-face: an image encoder and the adapter with the published names of its tensors."""
    torch.manual_seed(seed)
    CLIPVisionModelWithProjection(CLIPVisionConfig(
        hidden_size=VISION, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=32,
        patch_size=8, projection_dim=24)).save_pretrained(folder / "image_encoder")
    renamed(folder / "image_encoder" / "model.safetensors", str,
            **{"vision_model.embeddings.position_ids": torch.arange(17)[None]})
    inner, queries, head = 64, 4, 64
    shapes = {"latents": (1, queries, inner), "proj_in.weight": (inner, VISION), "proj_in.bias": (inner,),
              "proj_out.weight": (WIDTH, inner), "proj_out.bias": (WIDTH,), "norm_out.weight": (WIDTH,),
              "norm_out.bias": (WIDTH,)}
    for layer in range(4):
        at = f"layers.{layer}"
        shapes |= {f"{at}.0.{norm}.{kind}": (inner,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
        shapes |= {f"{at}.0.to_q.weight": (head, inner), f"{at}.0.to_kv.weight": (2 * head, inner),
                   f"{at}.0.to_out.weight": (inner, head), f"{at}.1.0.weight": (inner,), f"{at}.1.0.bias": (inner,),
                   f"{at}.1.1.weight": (4 * inner, inner), f"{at}.1.3.weight": (inner, 4 * inner)}
    loud = {"latents": 0.02, "to_kv": 1.0, "to_out": 2.0, "norm": 1.0}  # what is seen outweighs the queries
    tensors = {f"image_proj.{name}": torch.randn(shape) * next((v for k, v in loud.items() if k in name), 0.3)
               for name, shape in shapes.items()}
    net = UNet2DConditionModel(sample_size=8, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **UNET)
    crossing = [name for name in net.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(crossing):
        hidden = net.get_submodule(name.removesuffix(".processor")).to_q.weight.shape[0]
        for which in ("k", "v"):
            tensors[f"ip_adapter.{2 * number + 1}.to_{which}_ip.weight"] = torch.randn(hidden, WIDTH) * 0.3
    save_file(tensors, folder / "ip-adapter-plus-face_sd15.safetensors")
    return folder


def write_lcm_lora(folder: Path, seed: int = 4) -> Path:
    """LCM-LoRA with kohya's names, on a linear layer and a convolution."""
    torch.manual_seed(seed)
    net = UNet2DConditionModel(sample_size=8, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **UNET)
    tensors = {}
    for name, module in net.named_modules():
        if name.endswith(("attn1.to_q", "conv_in", "resnets.0.conv1")):
            key, (out, into, *kernel) = "lora_unet_" + name.replace(".", "_"), module.weight.shape
            tensors[f"{key}.lora_down.weight"] = torch.randn(4, into, *kernel) * 0.1
            tensors[f"{key}.lora_up.weight"] = torch.randn(out, 4, *[1 for _ in kernel]) * 0.1
            tensors[f"{key}.alpha"] = torch.tensor(2.0)
    folder.mkdir(parents=True)
    save_file(tensors, folder / "pytorch_lora_weights.safetensors")
    return folder


def picture(seed: int, height: int = 150, width: int = 100) -> np.ndarray:
    """A smooth random picture."""
    import cv2

    coarse = np.random.default_rng(seed).uniform(40, 215, (6, 6, 3)).astype(np.float32)
    return np.clip(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


def disc(height: int = 150, width: int = 100, x: float = 50.0, y: float = 70.0, radius: float = 18.0) -> np.ndarray:
    """A feathered disc as a mask."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.clip((radius - np.hypot(columns - x, rows - y)) / 6 + 0.5, 0, 1)
