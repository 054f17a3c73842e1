"""`previsage models`: the table, adding one by the command line, and a head made with it."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from recon import adopt, flame
from recon.models import load_model
from tests.recon.flame_file import flame_like, write_flame


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """FLAME's format, freely licensed by its name."""
    return write_flame(tmp_path_factory.mktemp("given") / "flame2023_Open.pkl", flame_like(load_model(), 8).arrays)


def test_help_teaches_both_commands(call):
    code, out, _ = call("models", "--help")
    assert code == 0 and "\n    previsage models add" in out and "--json" in out
    code, out, _ = call("models", "add", "--help")
    assert code == 0 and "--accept-licence" in out and "PREVISAGE_MODELS" in out and "\n    previsage models add" in out


def test_the_licence_comes_first(call, home, file):
    code, out, err = call("models", "add", "flame", file)
    assert (code, out) == (2, "") and "CC BY 4.0" in err and flame.TERMS in err and "--accept-licence" in err
    code, out, err = call("models", "add", "flame", file, "--json")
    assert (code, err) == (2, "") and json.loads(out)["error"]["code"] == "licence_not_accepted"
    assert list(home.iterdir()) == []


@pytest.mark.parametrize(("words", "code", "name"), [
    (["nobody", "FILE"], 2, "unknown_model"), (["anny", "FILE"], 2, "model_is_embedded"),
    (["flame"], 2, "usage"),
    (["flame", "missing.pkl"], 3, "no_file"), (["flame", "TEXT"], 3, "bad_pickle"),
    (["flame", "EVIL"], 3, "unsafe_pickle"),
    (["flame", "OTHER"], 3, "wrong_shape"), (["ict", "."], 3, "not_ict"), (["ict", "missing"], 3, "not_ict")])
def test_what_is_no_model_is_refused_and_nothing_is_kept(call, home, file, tmp_path, monkeypatch, words, code, name):
    monkeypatch.chdir(tmp_path)
    given = {"FILE": str(file)}
    for kind, content in (("TEXT", b"hello"), ("EVIL", pickle.dumps({"v_template": Evil()})),
                          ("OTHER", pickle.dumps({"v_template": np.zeros((6890, 3))}))):
        given[kind] = str(tmp_path / f"{kind}.pkl")
        Path(given[kind]).write_bytes(content)
    words = [given.get(w, w) for w in words]
    found, out, _ = call("models", "add", *words, "--accept-licence", "--json")
    error = json.loads(out)["error"]
    assert (found, error["code"]) == (code, name) and error["message"] and error["hint"]
    assert list(home.iterdir()) == [] and not (tmp_path / "made").exists()


class Evil:
    """Makes a folder when it is unpickled in the usual way."""

    def __reduce__(self):
        import os
        return os.mkdir, ("made",)


def test_a_model_that_is_not_there_is_said_how_to_get(call, home, tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"x")
    code, _, err = call("reconstruct", tmp_path / "a.mp4", "-o", tmp_path / "case", "--model", "ict")
    assert code == 2 and "previsage models add ict" in err and not (tmp_path / "case").exists()
    code, out, _ = call("models")
    assert code == 0 and "models add flame" in out and "models add ict" in out


@pytest.mark.slow
def test_a_head_is_made_with_an_added_model_and_operated_on(call, home, file, demo_video, tmp_path):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adopt, "PEOPLE", 4)
        code, out, err = call("models", "add", "flame", file, "--accept-licence")
    assert code == 0, err
    assert "FLAME 2023 Open" in out and "CC BY 4.0" in out and "--model flame" in out
    found = {m["name"]: m for m in json.loads(call("models", "--json")[1])["models"]}
    assert found["flame"]["installed"] and found["flame"]["record"]["vertices"] == 5023
    case = tmp_path / "case"
    code, out, err = call("reconstruct", demo_video, "-o", case, "--model", "flame", "--quality", "fast", "--json")
    assert code == 0, err + out
    record = json.loads(out)
    assert record["model"] == "flame" and record["reprojection_px"] < 4
    assert json.loads((case / "recon" / "fit.json").read_text())["model"] == "flame"
    code, out, _ = call("predict", case, "--procedure", "rhinoplasty", "--json")
    assert code == 0 and max(i["error_mm"] for i in json.loads(out)["landed"]) < 0.1


def test_weights_are_added_listed_and_refused_by_the_command_line(call, home, tmp_path):
    file = tmp_path / "lora" / "pytorch_lora_weights.safetensors"
    file.parent.mkdir()
    head = json.dumps({"lora_unet_conv_in.lora_down.weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}})
    file.write_bytes(len(head).to_bytes(8, "little") + head.encode() + b"\0\0\0\0")
    code, out, err = call("models", "add", "lcm-lora", file.parent)
    assert (code, out) == (2, "") and "OpenRAIL++-M" in err and "--accept-licence" in err
    code, out, err = call("models", "add", "lcm-lora", file.parent, "--accept-licence")
    assert code == 0 and "OpenRAIL++-M" in out and file.name in out and "GB" in out, err
    rows = {m["name"]: m for m in json.loads(call("models", "--json")[1])["models"]}
    assert rows["lcm-lora"]["installed"] and not rows["sd15"]["installed"] and "GB" in rows["sd15"]["get"]
    file.write_bytes(file.read_bytes()[:-1])
    code, out, _ = call("models", "add", "lcm-lora", file.parent, "--accept-licence", "--json")
    assert code == 3 and json.loads(out)["error"]["code"] == "truncated"
    code, out, _ = call("models", "add", "flame", "--download", "--accept-licence", "--json")
    assert code == 2 and json.loads(out)["error"]["code"] == "no_download"
