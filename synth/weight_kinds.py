"""The weights that can be added: what each is, under which licence, which files it needs, and what looks like it.

Revisions are commits of the public repositories. Only safetensors are taken: a pickle is a program.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.added import Licence
from core.errors import InputRefused, PrevisageError
from core.files import read_json
from core.records import record
from synth.safe_file import PICKLES, check_whole, names_in

OPENRAIL_M = Licence(
    name="CreativeML OpenRAIL-M", holder="CompVis, Runway and Stability AI",
    terms="https://huggingface.co/spaces/CompVis/stable-diffusion-license",
    forbids="The uses of its Attachment A, among them deceiving or harming people, and giving medical advice or "
            "interpreting medical results: a picture is an illustration of a plan, never advice.",
    cite="Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models, CVPR 2022")
OPENRAIL = Licence(
    name="OpenRAIL", holder="Crucible AI", terms="https://huggingface.co/CrucibleAI/ControlNetMediaPipeFace",
    forbids="The uses that OpenRAIL's use restrictions name, which go with every copy.",
    cite="CrucibleAI, ControlNet LAION Face Dataset; Zhang et al., Adding Conditional Control to Text-to-Image "
         "Diffusion Models, ICCV 2023")
APACHE = Licence(
    name="Apache-2.0", holder="Tencent AI Lab", terms="https://huggingface.co/h94/IP-Adapter",
    forbids="Passing it on without its licence and notices.",
    cite="Ye et al., IP-Adapter: Text Compatible Image Prompt Adapter for Text-to-Image Diffusion Models, 2023")
LCM = Licence(
    name="OpenRAIL++-M", holder="the Latent Consistency Models authors",
    terms="https://huggingface.co/latent-consistency/lcm-lora-sdv1-5",
    forbids="The uses that OpenRAIL's use restrictions name, which go with every copy.",
    cite="Luo et al., LCM-LoRA: A Universal Stable-Diffusion Acceleration Module, 2023")
WEIGHT = "diffusion_pytorch_model"
ADAPTER = "ip-adapter-plus-face_sd15.safetensors"
OTHER_BASES = {1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
"""By the width of the text that a UNet listens to; 1.5's is 768."""
LORA = "pytorch_lora_weights.safetensors"


@record
class Chosen:
    """The files of a folder that are used; note: what a person should know of the choice, empty otherwise."""

    folder: Path
    files: tuple[str, ...]
    note: str = ""


@record
class Kind:
    """Weights that can be added. size_gb: what `--download` fetches; give: what PATH is; choose: the check."""

    title: str
    what: str
    licence: Licence
    repository: str
    revision: str
    patterns: tuple[str, ...]
    size_gb: float
    give: str
    choose: Callable[[Path], Chosen]

    @property
    def by_hand(self) -> str:
        """What to do on another machine."""
        return (f"on a machine with internet fetch {', '.join(self.patterns)} of huggingface.co/{self.repository} "
                f"(revision {self.revision[:12]}), keep the folders, bring them here.")

    def how(self, name: str) -> str:
        """How to get it, online and offline."""
        return (f"previsage models add {name} --download --accept-licence (about {self.size_gb:g} GB), or "
                f"{self.by_hand} Then: previsage models add {name} PATH --accept-licence.")


def refused(code: str, message: str, hint: str) -> InputRefused:
    """The error."""
    return InputRefused(code, message, hint)


def config(folder: Path, name: str = "config.json") -> dict[str, Any]:
    """A part's settings. InputRefused: they are missing or damaged."""
    try:
        found = read_json(folder / name)
    except PrevisageError as error:
        raise refused("wrong_layout", f"{folder.name}/{name} is missing or damaged.",
                      "Give the folder as it is published, with its sub-folders and JSON files.") from error
    if not isinstance(found, dict):
        raise refused("wrong_layout", f"{folder.name}/{name} holds no settings.", "Fetch it anew.")
    return found


def weight_file(folder: Path, stem: str, what: str) -> str:
    """The safetensors of a part, full precision before half. InputRefused: none, or a pickle in its place."""
    for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
        if (folder / name).is_file():
            check_whole(folder / name)
            return name
    pickles = sorted(p.name for p in folder.glob("*") if p.suffix in PICKLES) if folder.is_dir() else []
    if pickles:
        raise refused("pickle_refused", f"{folder.name} holds {pickles[0]}, a pickle, which is a program; it is not "
                      "opened.", f"Fetch {stem}.safetensors (or {stem}.fp16.safetensors) instead.")
    raise refused("wrong_layout", f"{what} is missing: {folder.name}/{stem}.safetensors.",
                  "Give the folder as it is published, with its sub-folders.")


def choose_sd15(home: Path) -> Chosen:
    """Stable Diffusion 1.5 as diffusers lays it out. InputRefused: another model, layout or precision of file."""
    if home.is_file():
        raise refused("single_file", f"{home.name} is one file; the folder of parts is needed.",
                      "Give the folder with unet, vae, text_encoder, tokenizer and scheduler in it.")
    if not (home / "unet").is_dir():
        one = sorted(p.name for p in home.glob("*.safetensors"))
        also = f" {one[0]} alone is the single-file layout." if one else ""
        raise refused("wrong_layout", f"{home.name} has no folder unet.{also}",
                      "Give the folder with unet, vae, text_encoder, tokenizer and scheduler in it.")
    unet, text = config(home / "unet"), config(home / "text_encoder")
    other = OTHER_BASES.get(unet.get("cross_attention_dim", 0))
    if other:
        raise refused("other_base_model", f"These are weights of {other}, not of Stable Diffusion 1.5.",
                      "ControlNet and IP-Adapter here fit 1.5: stable-diffusion-v1-5/stable-diffusion-v1-5.")
    if unet.get("in_channels") != 4:
        raise refused("inpainting_unet", f"This UNet takes {unet.get('in_channels')} channels: the inpainting variant.",
                      "Give the plain Stable Diffusion 1.5; the mask is kept by the sampler.")
    if unet.get("cross_attention_dim") != text.get("hidden_size"):
        raise refused("wrong_layout", "The text encoder and the UNet are of two models.", "Fetch the folder anew.")
    files = ["scheduler/scheduler_config.json", "tokenizer/vocab.json", "tokenizer/merges.txt"]
    files += [f"tokenizer/{n}" for n in ("tokenizer_config.json", "special_tokens_map.json")
              if (home / "tokenizer" / n).is_file()]
    for part, stem in (("unet", WEIGHT), ("vae", WEIGHT), ("text_encoder", "model")):
        config(home / part)
        files += [f"{part}/config.json", f"{part}/{weight_file(home / part, stem, part)}"]
    config(home / "scheduler", "scheduler_config.json")
    for name in files:
        if not (home / name).is_file():
            raise refused("wrong_layout", f"{name} is missing.", "Give the folder as it is published.")
    return Chosen(folder=home, files=tuple(files))


def choose_controlnet(home: Path) -> Chosen:
    """A face ControlNet for SD 1.5. At the root of CrucibleAI's repository lie SD 2.1's weights, SD 1.5's in
    `diffusion_sd15`, which is taken, and said. InputRefused: it fits no SD 1.5, or is no ControlNet."""
    note = ""
    if home.is_file():
        raise refused("single_file", f"{home.name} is the original single-file layout.",
                      "Give the folder diffusion_sd15 of CrucibleAI/ControlNetMediaPipeFace.")
    if (home / "diffusion_sd15" / "config.json").is_file():
        note = "The root of this repository holds weights for Stable Diffusion 2.1; diffusion_sd15, for 1.5, was taken."
        home = home / "diffusion_sd15"
    found = config(home)
    if found.get("cross_attention_dim") == 1024:
        raise refused("other_base_model", "This ControlNet is for Stable Diffusion 2.1: the root of CrucibleAI's "
                      "repository holds it.", "SD 1.5's lies in the sub-folder diffusion_sd15: give that one.")
    if found.get("_class_name", "ControlNetModel") != "ControlNetModel":
        raise refused("wrong_layout", f"{home.name} holds a {found['_class_name']}, no ControlNet.",
                      "Give the folder diffusion_sd15 of CrucibleAI/ControlNetMediaPipeFace.")
    return Chosen(folder=home, files=("config.json", weight_file(home, WEIGHT, "the ControlNet")), note=note)


def choose_ip_adapter(home: Path) -> Chosen:
    """IP-Adapter plus-face with its image encoder. InputRefused: FaceID's (research only) or another adapter."""
    if home.is_file():
        home = home.parent
    home = home / "models" if (home / "models" / "image_encoder").is_dir() else home
    names = sorted(p.name for p in home.glob("ip-adapter*"))
    if ADAPTER not in names:
        if any("faceid" in n.lower() for n in names):
            raise refused("faceid_refused", "IP-Adapter-FaceID rests on InsightFace's models, for research only.",
                          f"Take {ADAPTER} of h94/IP-Adapter, which is Apache-2.0.")
        if any(Path(n).suffix in PICKLES for n in names):
            raise refused("pickle_refused", f"{names[0]} is a pickle, which is a program; it is not opened.",
                          f"Fetch {ADAPTER} instead.")
        raise refused("wrong_layout", f"{home.name} has no {ADAPTER}.",
                      "Give the folder models of h94/IP-Adapter, with image_encoder in it.")
    check_whole(home / ADAPTER)
    keys = names_in(home / ADAPTER)
    if "image_proj.latents" not in keys or "ip_adapter.1.to_k_ip.weight" not in keys:
        raise refused("wrong_layout", f"{ADAPTER} holds another kind of adapter.", "Fetch it from h94/IP-Adapter.")
    config(home / "image_encoder")
    weight = weight_file(home / "image_encoder", "model", "the image encoder")
    return Chosen(folder=home, files=(ADAPTER, "image_encoder/config.json", f"image_encoder/{weight}"))


def choose_lcm_lora(home: Path) -> Chosen:
    """LCM-LoRA for SD 1.5. InputRefused: another file, a LoRA of another base."""
    file = home if home.is_file() else home / LORA
    if file.suffix in PICKLES:
        raise refused("pickle_refused", f"{file.name} is a pickle, which is a program; it is not opened.",
                      f"Fetch {LORA} instead.")
    if not file.is_file():
        raise refused("wrong_layout", f"{home.name} has no {LORA}.",
                      "Give the folder of latent-consistency/lcm-lora-sdv1-5.")
    check_whole(file)
    if not any("lora_down" in key or "lora_A" in key for key in names_in(file)):
        raise refused("wrong_layout", f"{file.name} is no LoRA.", "Fetch latent-consistency/lcm-lora-sdv1-5.")
    return Chosen(folder=file.parent, files=(file.name,))


KINDS = {
    "sd15": Kind(
        title="Stable Diffusion 1.5", what="paints skin (img2img, controlnet, controlnet_ip)", licence=OPENRAIL_M,
        repository="stable-diffusion-v1-5/stable-diffusion-v1-5",
        revision="451f4fe16113bff5a5d2269ed5ad43b0592e9a14",
        patterns=("model_index.json", "scheduler/*.json", "tokenizer/*", "unet/config.json",
                  f"unet/{WEIGHT}.fp16.safetensors", "vae/config.json", f"vae/{WEIGHT}.fp16.safetensors",
                  "text_encoder/config.json", "text_encoder/model.fp16.safetensors"), size_gb=2.1,
        give="the folder with unet, vae, text_encoder, tokenizer and scheduler in it", choose=choose_sd15),
    "controlnet": Kind(
        title="ControlNet for MediaPipe faces (CrucibleAI)",
        what="holds the face's contours (controlnet, controlnet_ip)",
        licence=OPENRAIL, repository="CrucibleAI/ControlNetMediaPipeFace",
        revision="f6ed75cc495674bea8bf7409ef3d0e5bfb7d8c90",
        patterns=("diffusion_sd15/config.json", f"diffusion_sd15/{WEIGHT}.fp16.safetensors"), size_gb=0.7,
        give="the folder diffusion_sd15 of CrucibleAI/ControlNetMediaPipeFace", choose=choose_controlnet),
    "ip-adapter": Kind(
        title="IP-Adapter plus-face for SD 1.5", what="keeps the person's own looks (controlnet_ip)", licence=APACHE,
        repository="h94/IP-Adapter", revision="018e402774aeeddd60609b4ecdb7e298259dc729",
        patterns=(f"models/{ADAPTER}", "models/image_encoder/config.json", "models/image_encoder/model.safetensors"),
        size_gb=2.6, give="the folder models of h94/IP-Adapter", choose=choose_ip_adapter),
    "lcm-lora": Kind(
        title="LCM-LoRA for SD 1.5", what="four steps instead of twenty (optional)", licence=LCM,
        repository="latent-consistency/lcm-lora-sdv1-5", revision="cf2fced511dbe7e26c8d1d397e728fbab875db4b",
        patterns=(LORA,), size_gb=0.13, give=f"the folder with {LORA}", choose=choose_lcm_lora),
}
