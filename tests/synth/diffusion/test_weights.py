"""Weights that a person adds: licence first, layouts recognised, pickles refused, checksums kept and compared."""

import json
import shutil

import pytest
from safetensors.torch import load_file, save_file

from core import added
from core.errors import InputRefused, PrevisageError, UsageError
from previsage.doctor import examine
from previsage.weights import modes_here, weight_rows
from synth import weights as store
from synth.diffusion import load
from synth.weight_kinds import KINDS, LORA
from synth.weights import add_weights, hub_cache, weights, weights_mark
from tests.synth.diffusion import tiny
from tests.synth.diffusion.conftest import options

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder of added models."""
    monkeypatch.setenv(added.WHERE, str(tmp_path / "added"))
    return tmp_path / "added"


@pytest.fixture
def own(given, tmp_path):
    """A person's own copy, to be spoilt."""
    shutil.copytree(given, tmp_path / "own")
    return tmp_path / "own"


def test_the_licence_comes_first_and_nothing_is_kept(home, given):
    for name, kind in KINDS.items():
        with pytest.raises(UsageError) as first:
            add_weights(name, given, False)
        assert first.value.code == "licence_not_accepted" and kind.licence.terms in str(first.value)
    assert "medical advice" in KINDS["sd15"].licence.forbids and not home.exists()


def test_what_is_added_is_recorded_with_checksums(home, given):
    record = add_weights("sd15", given / "sd15", True)
    kept = json.loads((home / "sd15" / "model.json").read_text())
    assert kept == record and kept["licence"]["name"] == "CreativeML OpenRAIL-M" and kept["revision"] is None
    assert set(kept["files"]) >= {UNET, "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors",
                                  "tokenizer/vocab.json", "scheduler/scheduler_config.json"}
    assert kept["files"][UNET]["bytes"] == (given / "sd15" / UNET).stat().st_size
    assert kept["bytes"] == sum(f["bytes"] for f in kept["files"].values())
    assert weights("sd15") == given / "sd15" and kept["files"][UNET]["sha256"] in weights_mark()["sd15"]


def test_tables_and_doctor_say_what_is_here_and_how_to_get_the_rest(home, given, own):
    add_weights("sd15", own / "sd15", True)
    rows = {row["name"]: row for row in weight_rows()}
    assert rows["sd15"]["installed"] and rows["sd15"]["get"] == "" and not rows["controlnet"]["installed"]
    for name in ("controlnet", "ip-adapter", "lcm-lora"):
        how = rows[name]["get"]
        assert f"previsage models add {name} --download" in how and KINDS[name].repository in how and "GB" in how
    assert modes_here() == {"img2img": "", "controlnet": "controlnet", "controlnet_ip": "controlnet, ip-adapter"}
    checks = {c.name: c for c in examine()}
    assert checks["weights sd15"].state == "ok" and checks["mode img2img"].found == "ready"
    assert checks["mode controlnet"].state == "optional" and "controlnet" in checks["mode controlnet"].hint
    (own / "sd15" / UNET).unlink()
    assert "no longer" in {row["name"]: row for row in weight_rows()}["sd15"]["get"]


@pytest.mark.parametrize(("spoil", "code"), [("unlink", "weights_missing"), ("flip", "weights_altered"),
                                             ("longer", "weights_altered")])
def test_missing_and_altered_weights_are_named(home, own, spoil, code):
    add_weights("sd15", own / "sd15", True)
    file = own / "sd15" / UNET
    content = bytearray(file.read_bytes())
    if spoil == "unlink":
        file.unlink()
    else:
        content[-5] ^= 1
        file.write_bytes(bytes(content) + (b"x" if spoil == "longer" else b""))
    with pytest.raises(PrevisageError) as error:
        load(options(mode="img2img"))
    assert error.value.code == code and "models add sd15" in error.value.hint


def test_weights_that_were_never_added_are_named(home):
    with pytest.raises(UsageError) as error:
        load(options(mode="img2img"))
    assert error.value.code == "weights_not_added" and "models add sd15" in error.value.hint
    with pytest.raises(UsageError, match="no weights called"):
        add_weights("sdxl", None, True)


def test_weights_in_the_place_of_their_record_are_not_overwritten(home, given):
    shutil.copytree(given / "sd15", home / "sd15")
    with pytest.raises(UsageError, match="another folder"):
        add_weights("sd15", home / "sd15", True)
    assert (home / "sd15" / UNET).is_file()


def test_a_damaged_record_is_named(home, given):
    add_weights("lcm-lora", given / "lcm", True)
    (home / "lcm-lora" / "model.json").write_text("{}")
    with pytest.raises(PrevisageError) as error:
        weights("lcm-lora")
    assert error.value.code == "model_damaged" and not weight_rows()[3]["installed"]


# --- layouts ----------------------------------------------------------------------------------------------------------


def test_crucibles_root_holds_sd21_and_the_sub_folder_is_taken_and_said(home, given):
    record = add_weights("controlnet", given / "face", True)
    assert record["folder"].endswith("diffusion_sd15") and "2.1" in record["note"]
    assert "note" in record and weights("controlnet") == given / "face" / "diffusion_sd15"


def rewrite(folder, **changed):
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))


def pickled(folder, stem):
    (folder / f"{stem}.safetensors").rename(folder / f"{stem}.bin")


SPOILT = {
    "root alone": ("controlnet", "face", lambda f: shutil.rmtree(f / "diffusion_sd15"), "other_base_model"),
    "sd 2": ("sd15", "sd15", lambda f: rewrite(f / "unet", cross_attention_dim=1024), "other_base_model"),
    "inpainting": ("sd15", "sd15", lambda f: rewrite(f / "unet", in_channels=9), "inpainting_unet"),
    "two models": ("sd15", "sd15", lambda f: rewrite(f / "text_encoder", hidden_size=64), "wrong_layout"),
    "no unet": ("sd15", "sd15", lambda f: shutil.rmtree(f / "unet"), "wrong_layout"),
    "no tokenizer": ("sd15", "sd15", lambda f: (f / "tokenizer" / "vocab.json").unlink(), "wrong_layout"),
    "no json": ("sd15", "sd15", lambda f: (f / "vae" / "config.json").write_text("["), "wrong_layout"),
    "pickle": ("sd15", "sd15", lambda f: pickled(f / "vae", "diffusion_pytorch_model"), "pickle_refused"),
    "truncated": ("sd15", "sd15", lambda f: (f / UNET).write_bytes((f / UNET).read_bytes()[:-100]), "truncated"),
    "no header": ("sd15", "sd15", lambda f: (f / UNET).write_bytes(b"\x10\0\0\0\0\0\0\0hello, world, hi"),
                  "not_safetensors"),
    "empty": ("sd15", "sd15", lambda f: (f / UNET).write_bytes(b""), "not_safetensors"),
    "pointer": ("sd15", "sd15", lambda f: (f / UNET).write_text("version https://git-lfs.github.com/spec/v1\noid\n"),
                "git_lfs_pointer"),
    "pickled net": ("controlnet", "face/diffusion_sd15", lambda f: pickled(f, "diffusion_pytorch_model"),
                    "pickle_refused"),
    "no net": ("controlnet", "face/diffusion_sd15", lambda f: rewrite(f, _class_name="T2IAdapter"), "wrong_layout"),
    "face id": ("ip-adapter", "ip/models", lambda f: (f / tiny_adapter()).rename(f / "ip-adapter-faceid_sd15.bin"),
                "faceid_refused"),
    "pickled adapter": ("ip-adapter", "ip/models", lambda f: (f / tiny_adapter()).rename(
        f / "ip-adapter-plus-face_sd15.bin"), "pickle_refused"),
    "no encoder": ("ip-adapter", "ip/models", lambda f: shutil.rmtree(f / "image_encoder"), "wrong_layout"),
    "plain adapter": ("ip-adapter", "ip/models", lambda f: save_file(
        {k: v for k, v in load_file(f / tiny_adapter()).items() if "latents" not in k}, f / tiny_adapter()),
        "wrong_layout"),
    "no lora": ("lcm-lora", "lcm", lambda f: shutil.copy(f.parent / "sd15" / UNET, f / LORA), "wrong_layout"),
    "pickled lora": ("lcm-lora", "lcm/x.pt", lambda f: f.write_bytes(b"\x80\x02"), "pickle_refused"),
    "single file": ("sd15", "lcm/pytorch_lora_weights.safetensors", lambda f: None, "single_file"),
    "one file": ("controlnet", "lcm/pytorch_lora_weights.safetensors", lambda f: None, "single_file"),
    "nothing": ("lcm-lora", "nowhere", lambda f: None, "no_file")}


def tiny_adapter() -> str:
    return "ip-adapter-plus-face_sd15.safetensors"


@pytest.mark.parametrize("fault", SPOILT)
def test_what_is_something_else_is_refused_and_nothing_is_kept(home, own, fault):
    name, place, spoil, code = SPOILT[fault]
    spoil(own / place)
    with pytest.raises(InputRefused) as error:
        add_weights(name, own / place, True)
    assert error.value.code == code and error.value.hint and not (home / name).exists()


def test_weights_that_do_not_fit_each_other_are_named(home, own):
    add_weights("sd15", own / "sd15", True)
    tiny.write_controlnet(own / "wide", width=64)
    add_weights("controlnet", own / "wide", True)
    with pytest.raises(PrevisageError) as error:
        load(options(mode="controlnet"))
    assert error.value.code == "other_base_model"
    file = own / "sd15" / UNET
    save_file({k: v for k, v in load_file(file).items() if "conv_in" not in k}, file)
    add_weights("sd15", own / "sd15", True)
    with pytest.raises(PrevisageError) as error:
        load(options(mode="img2img"))
    assert error.value.code == "weights_unreadable" and "conv_in" in error.value.message


@pytest.mark.parametrize(("name", "place", "gone", "mode"), [
    ("sd15", "sd15/text_encoder/model.safetensors", "text_model.encoder.layers.1.mlp.fc1.weight", "img2img"),
    ("sd15", "sd15/vae/diffusion_pytorch_model.safetensors", "decoder.mid_block.attentions.0.query.weight", "img2img"),
    ("ip-adapter", "ip/models/image_encoder/model.safetensors", "vision_model.post_layernorm.weight", "controlnet_ip"),
    ("ip-adapter", "ip/models/ip-adapter-plus-face_sd15.safetensors", "image_proj.layers.2.0.to_q.weight",
     "controlnet_ip")])
def test_weights_that_lack_a_tensor_are_named(home, own, name, place, gone, mode):
    """Libraries fill in random numbers for it, and say so in a log that nobody reads."""
    tensors = load_file(own / place)
    del tensors[gone]
    save_file(tensors, own / place, {"format": "pt"})
    for kind, folder in (("sd15", "sd15"), ("controlnet", "face"), ("ip-adapter", "ip")):
        add_weights(kind, own / folder, True)
    with pytest.raises(PrevisageError) as error:
        load(options(mode=mode))
    assert error.value.code == "weights_unreadable" and error.value.hint


def test_a_lora_of_another_model_is_named(home, own):
    add_weights("sd15", own / "sd15", True)
    file = own / "lcm" / "pytorch_lora_weights.safetensors"
    save_file({k.replace("conv_in", "conv_of_another"): v for k, v in load_file(file).items()}, file)
    add_weights("lcm-lora", own / "lcm", True)
    with pytest.raises(PrevisageError) as error:
        load(options(mode="img2img", few_steps=True))
    assert error.value.code == "lora_misfit"


def test_half_precision_files_are_taken_where_there_are_no_others(home, own):
    tiny.write_controlnet(own / "half", fp16=True)
    add_weights("sd15", own / "sd15", True)
    assert "diffusion_pytorch_model.fp16.safetensors" in add_weights("controlnet", own / "half", True)["files"]
    assert load(options(mode="controlnet")).controlnet is not None


# --- the Hugging Face cache ----------------------------------------------------------------------------------------


def in_cache(cache, kind, revision, source):
    place = cache / f"models--{kind.repository.replace('/', '--')}" / "snapshots" / revision
    shutil.copytree(source, place)
    return place


def test_the_pinned_revision_in_the_cache_is_found(home, given, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert hub_cache() == tmp_path / "hub"
    kind = KINDS["sd15"]
    in_cache(tmp_path / "hub", kind, "a" * 40, given / "sd15")
    with pytest.raises(InputRefused) as error:
        add_weights("sd15", None, True)
    assert error.value.code == "not_in_cache" and "a" * 40 in error.value.message
    assert kind.revision[:12] in str(error.value)
    place = in_cache(tmp_path / "hub", kind, kind.revision, given / "sd15")
    assert add_weights("sd15", None, True)["revision"] == kind.revision and weights("sd15") == place
    assert all(len(k.revision) == 40 for k in KINDS.values())


@pytest.mark.parametrize("variables", [{"HF_HOME": "hf"}, {"XDG_CACHE_HOME": "xdg"}])
def test_the_caches_place_is_that_of_the_libraries(monkeypatch, tmp_path, variables):
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, folder in variables.items():
        monkeypatch.setenv(name, str(tmp_path / folder))
    expected = tmp_path / "hf" / "hub" if "HF_HOME" in variables else tmp_path / "xdg" / "huggingface" / "hub"
    assert hub_cache() == expected


def test_a_download_happens_only_when_asked_and_fetches_the_pinned_revision(home, given, monkeypatch):
    asked = []

    def fetch(repository, revision, patterns):
        asked.append((repository, revision, patterns))
        return given / "lcm"

    add_weights("lcm-lora", given / "lcm", True, fetch=fetch)
    assert asked == []
    add_weights("lcm-lora", None, True, download=True, fetch=fetch)
    kind = KINDS["lcm-lora"]
    assert asked == [(kind.repository, kind.revision, kind.patterns)]
    with pytest.raises(UsageError, match="not both"):
        add_weights("lcm-lora", given / "lcm", True, download=True, fetch=fetch)
    with pytest.raises(UsageError, match="OpenRAIL"):
        add_weights("lcm-lora", None, False, download=True, fetch=fetch)
    assert len(asked) == 1

    def fails(*_):
        raise ConnectionError("no route")

    monkeypatch.setattr(store, "from_hub", fails)
    with pytest.raises(PrevisageError) as error:
        add_weights("lcm-lora", None, True, download=True)
    assert error.value.code == "download_failed" and kind.repository in error.value.hint
