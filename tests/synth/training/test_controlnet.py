"""ControlNet fine-tuning for real, on tiny models: it learns, and a stopped run goes on bit for bit."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core import added
from core.errors import InputRefused, PrevisageError, UsageError
from synth.training import Pairs, TrainOptions
from synth.training.batches import order, pair_numbers, samples_of
from synth.training.controlnet import train
from synth.weights import add_weights

NAME = "diffusion_pytorch_model.safetensors"


def options(**changed) -> TrainOptions:
    """A run of seconds."""
    return TrainOptions(**{"steps": 8, "batch": 2, "accumulate": 2, "rate": 1e-3, "warmup": 2, "precision": "fp32",
                           "save_every": 3, "seed": 5, **changed})


def rows(out) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def straight(pairs_folder, tmp_path_factory):
    """A run without a stop."""
    out = tmp_path_factory.mktemp("straight")
    assert train(pairs_folder, out, options())["finished"]
    return out


def test_the_loss_falls(pairs_folder, tmp_path):
    made = train(pairs_folder, tmp_path, options(steps=60, rate=3e-3, batch=4, accumulate=1, ema=0.9, warmup=10,
                                                 save_every=1000))
    losses = [row["diffusion"] for row in rows(tmp_path)]
    assert made["finished"] and len(losses) == 60
    first, last = np.mean(losses[:15]), np.mean(losses[-15:])
    assert last < 0.8 * first, (first, last)
    rates = [row["rate"] for row in rows(tmp_path)]
    assert rates[0] == 0.0 and max(rates) == 3e-3 and rates[-1] < 1e-5 and np.argmax(rates) == 10


@pytest.mark.parametrize("stop_after", [2, 3, 5])
def test_a_stopped_run_goes_on_bit_for_bit(straight, pairs_folder, tmp_path, stop_after):
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == stop_after

    first = train(pairs_folder, tmp_path, options(), stop=stop)
    assert first["steps"] == stop_after and not first["finished"] and not (tmp_path / "controlnet").exists()
    assert train(pairs_folder, tmp_path, options())["finished"]
    assert rows(tmp_path) == rows(straight)
    one, other = (load_file(p / "controlnet" / NAME) for p in (straight, tmp_path))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_a_killed_run_goes_on_from_its_last_checkpoint(straight, pairs_folder, tmp_path):
    def killed(share, message):
        if message.startswith("step 5"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pairs_folder, tmp_path, options(), progress=killed)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000003"] and len(rows(tmp_path)) == 5
    train(pairs_folder, tmp_path, options())
    assert rows(tmp_path) == rows(straight), "steps 4 and 5 were done again, alike"
    one, other = (load_file(p / "controlnet" / NAME) for p in (straight, tmp_path))
    assert all(torch.equal(one[k], other[k]) for k in one)


def test_only_the_controlnet_learns_and_its_average_is_kept(straight, pairs_folder, tmp_path):
    train(pairs_folder, tmp_path, options(ema=0.0))
    plain, averaged = (load_file(p / "controlnet" / NAME) for p in (tmp_path, straight))
    last = load_file(straight / "checkpoints" / "step-00000008" / "controlnet.safetensors")
    assert all(torch.equal(plain[k], last[k]) for k in last), "the average changes nothing of the run itself"
    assert any(not torch.equal(averaged[k], last[k]) for k in last)
    assert len(list((straight / "checkpoints").iterdir())) == 2


def test_gradients_add_up_over_passes(pairs_folder, tmp_path):
    """A step of one pass of four pairs, and of two passes of two, meet the same pairs and noise."""
    train(pairs_folder, tmp_path / "a", options(batch=4, accumulate=1, steps=3))
    train(pairs_folder, tmp_path / "b", options(batch=2, accumulate=2, steps=3))
    for one, other in zip(rows(tmp_path / "a"), rows(tmp_path / "b"), strict=True):
        assert abs(one["diffusion"] - other["diffusion"]) < 1e-5
    one, other = (load_file(tmp_path / run / "controlnet" / NAME) for run in "ab")
    assert max(float((one[k] - other[k]).abs().max()) for k in one) < 2e-4


def test_the_result_can_be_added_and_painted_with(straight, tmp_path, monkeypatch):
    from synth.diffusion import load
    from tests.synth.diffusion.conftest import options as paint_options

    monkeypatch.setenv(added.WHERE, str(tmp_path / "added"))
    from tests.synth.diffusion import tiny
    add_weights("sd15", tiny.write_sd15(tmp_path / "sd15"), True)
    add_weights("controlnet", straight / "controlnet", True)
    assert load(paint_options(mode="controlnet")).controlnet is not None


def test_phase_b_weighs_landmarks_identity_and_perception(pairs_folder, nets, tmp_path):
    choice = options(phase="b", steps=4, start="added", least_snr=0.05, **nets)
    made = train(pairs_folder, tmp_path, choice)
    assert made["finished"] and set(made["terms"]) == {"diffusion", "landmark", "identity", "perceptual"}
    assert all(max(row[t] for row in rows(tmp_path)) > 0 for t in ("landmark", "identity", "perceptual"))
    again = tmp_path / "again"
    for _ in range(choice.steps):
        train(pairs_folder, again, choice, stop=lambda: True)
    assert rows(again) == rows(tmp_path), "preempted after every step"


def test_bf16_trains(pairs_folder, tmp_path):
    made = train(pairs_folder, tmp_path, options(steps=2, precision="bf16"))
    assert made["finished"] and 0 < made["terms"]["diffusion"] < 10
    assert all(v.dtype == torch.float32 for v in load_file(tmp_path / "controlnet" / NAME).values())


def test_samples_do_not_hang_on_how_many_processes_there_are():
    for step in (0, 3):
        alone = [k for part in range(4) for k in samples_of(step, part, 0, 1, 2, 4)]
        shared = [k for part in range(2) for rank in range(2) for k in samples_of(step, part, rank, 2, 2, 2)]
        assert alone == shared == list(range(8 * step, 8 * step + 8))
    numbers = pair_numbers(range(24), 1, 12)
    assert sorted(numbers[:12]) == sorted(numbers[12:]) == list(range(12)) and numbers[:12] != numbers[12:]
    assert list(order(1, 0, 12)) != list(order(2, 0, 12))


# --- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("term", ["landmark", "identity", "perceptual"])
def test_a_missing_network_is_named_and_never_replaced(nets, term):
    with pytest.raises(UsageError) as error:
        options(phase="b", **{k: v for k, v in nets.items() if not k.startswith(term)})
    assert error.value.code == f"no_{term}_net" and f"--{term} 0" in error.value.hint
    without = options(phase="b", **{k: v for k, v in nets.items() if not k.startswith(term)}, **{term: 0.0})
    assert set(without.weights()) == {"diffusion", "landmark", "identity", "perceptual"} - {term}


@pytest.mark.parametrize(("name", "content", "code"), [
    ("gone.pt", None, "no_identity_net"), ("net.onnx", b"onnx", "no_gradient"), ("net.pt", b"what", "not_torchscript")])
def test_networks_that_cannot_be_used_are_named(pairs_folder, nets, tmp_path, name, content, code):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputRefused) as error:
        train(pairs_folder, tmp_path / "out", options(phase="b", **{**nets, "identity_net": str(tmp_path / name)}))
    assert error.value.code == code and error.value.hint


def test_another_run_in_the_folder_is_refused(straight, pairs_folder):
    with pytest.raises(UsageError, match="other rate"):
        train(pairs_folder, straight, options(rate=1e-4))


def test_a_damaged_checkpoint_is_named(pairs_folder, tmp_path):
    train(pairs_folder, tmp_path, options(), stop=lambda: True)
    (tmp_path / "checkpoints" / "step-00000001" / "state.pt").write_bytes(b"broken")
    with pytest.raises(PrevisageError) as error:
        train(pairs_folder, tmp_path, options())
    assert error.value.code == "checkpoint_damaged"


def test_a_loss_that_is_not_finite_ends_the_run(pairs_folder, tmp_path):
    with pytest.raises(PrevisageError) as error:
        train(pairs_folder, tmp_path, options(rate=1.0, clip=1e6, steps=60, warmup=0, weight_decay=0.0))
    assert error.value.code == "not_finite"


@pytest.mark.parametrize("changed", [{"phase": "c"}, {"start": "void"}, {"precision": "fp8"}, {"steps": 0},
                                     {"batch": 0}, {"rate": 2.0}, {"ema": 1.0}, {"drop_prompt": -0.1}])
def test_options_have_bounds(changed):
    with pytest.raises(UsageError) as error:
        options(**changed)
    assert error.value.code == "bad_option"


def test_pairs_that_are_missing_are_named(tmp_path):
    with pytest.raises(InputRefused, match="no set of pairs"):
        train(tmp_path, tmp_path / "out", options())
    with pytest.raises(InputRefused):
        Pairs(tmp_path)
