"""`previsage train`: pairs by the command line, and a ControlNet trained on them, by one process and by two."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from core import added  # noqa: E402
from previsage import sitters  # noqa: E402
from synth.training import write_pairs  # noqa: E402
from synth.weights import add_weights  # noqa: E402
from tests.synth.diffusion import tiny  # noqa: E402
from tests.synth.training import made  # noqa: E402

ROOT = Path(__file__).parents[2]
RUN = ["--steps", "3", "--batch", "2", "--precision", "fp32", "--rate", "0.001", "--warmup", "1", "--save-every", "2"]


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    """A folder of added models with SD 1.5 in small."""
    place = tmp_path_factory.mktemp("base")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(added.WHERE, str(place / "added"))
        add_weights("sd15", tiny.write_sd15(place / "sd15"), True)
    return place / "added"


@pytest.fixture(scope="module")
def discs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("discs")
    write_pairs(folder, made.pair, 8, 4, {"kind": "discs"})
    return folder


def test_help_teaches(call):
    code, out, _ = call("train", "--help")
    assert code == 0 and "\n    previsage train pairs" in out and "controlnet" in out
    for command in ("pairs", "controlnet"):
        code, out, _ = call("train", command, "--help")
        assert code == 0 and f"\n    previsage train {command}" in out and "--json" in out


def test_pairs_are_made_and_trained_on(call, base, tmp_path, monkeypatch):
    monkeypatch.setenv(added.WHERE, str(shutil.copytree(base, tmp_path / "added")))
    monkeypatch.setattr(sitters, "TEXTURE_SIDE", 128)
    sitters.sitter.cache_clear()
    folder, run = tmp_path / "pairs", tmp_path / "run"
    words = ("train", "pairs", "-o", folder, "--count", 3, "--size", 64, "--per-shard", 2, "--procedure", "mentoplasty")
    code, out, err = call(*words)
    assert code == 0 and "3 in 2 files" in out and "train controlnet" in out, err
    sitters.sitter.cache_clear()
    code, out, err = call("train", "controlnet", folder, "-o", run, *RUN, "--accumulate", 1)
    assert code == 0 and "models add controlnet" in out, err
    code, out, _ = call("train", "controlnet", folder, "-o", run, *RUN, "--accumulate", 2, "--json")
    assert code == 2 and json.loads(out)["error"]["code"] == "other_run"
    code, out, _ = call("models", "add", "controlnet", run / "controlnet", "--accept-licence", "--json")
    assert code == 0 and json.loads(out)["files"]


@pytest.mark.parametrize(("words", "code", "name"), [
    (["pairs", "-o", "OUT", "--procedure", "nobody"], 2, "unknown_procedure"),
    (["pairs", "-o", "OUT", "--tls-ca", "ca.pem"], 2, "no_certificate"),
    (["pairs", "-o", "OUT", "--portraits", "OUT"], 3, "no_portraits"),
    (["controlnet", "OUT", "-o", "OUT"], 3, "no_pairs"),
    (["controlnet", "DISCS", "-o", "OUT", "--phase", "b"], 2, "no_landmark_net"),
    (["controlnet", "DISCS", "-o", "OUT", "--start", "added"], 2, "weights_not_added"),
    (["controlnet", "DISCS", "-o", "OUT", "--rate", "7"], 2, "bad_option")])
def test_bad_input_is_named(call, base, discs, tmp_path, monkeypatch, words, code, name):
    monkeypatch.setenv(added.WHERE, str(base))
    given = {"OUT": str(tmp_path / "out"), "DISCS": str(discs)}
    found, out, _ = call("train", *[given.get(w, w) for w in words], "--json")
    error = json.loads(out)["error"]
    assert (found, error["code"]) == (code, name) and error["hint"]


@pytest.mark.parametrize("name", ["single", "slurm", "pairs"])
def test_the_scripts_parse_and_name_commands_that_there_are(call, name):
    script = ROOT / "tools" / "training" / f"{name}.sh"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    command = "pairs" if name == "pairs" else "controlnet"
    assert f"train {command}" in script.read_text() and call("train", command, "--help")[0] == 0


def test_a_slurm_run_without_a_folder_is_refused():
    done = subprocess.run(["bash", "tools/training/slurm.sh", "pairs"], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 2 and "-o RUN" in done.stderr


@pytest.mark.slow
def test_two_processes_do_the_same_steps_as_one(call, base, discs, tmp_path, monkeypatch):
    """DDP: two processes with one pass each meet the samples of one process with two."""
    from safetensors.torch import load_file

    monkeypatch.setenv(added.WHERE, str(base))
    assert call("train", "controlnet", discs, "-o", tmp_path / "one", *RUN, "--accumulate", 2)[0] == 0
    command = ["tools/training/single.sh", str(discs), "-o", str(tmp_path / "two"), *RUN, "--accumulate", "1", "--json"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=400,
                          env={**os.environ, "OMP_NUM_THREADS": "1", "CARDS": "2", "PATH": path})
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.strip().splitlines()[-1])["processes"] == 2
    logs = [[json.loads(line) for line in (tmp_path / run / "log.jsonl").read_text().splitlines()]
            for run in ("one", "two")]
    assert len(logs[0]) == 3
    for one, two in zip(*logs, strict=True):
        assert two["diffusion"] == pytest.approx(one["diffusion"], abs=1e-5)
    one, two = (load_file(tmp_path / run / "controlnet" / "diffusion_pytorch_model.safetensors")
                for run in ("one", "two"))
    assert max(float((one[k] - two[k]).abs().max()) for k in one) < 2e-4
