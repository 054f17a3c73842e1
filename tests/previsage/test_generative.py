"""The painting modes on a case, with tiny weights: guarded, stored, made again when other weights are there."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import previsage  # noqa: E402
from core import added  # noqa: E402
from core.errors import PrevisageError  # noqa: E402
from core.store import load_picture  # noqa: E402
from synth.weights import add_weights  # noqa: E402
from tests.synth.diffusion import tiny  # noqa: E402


@pytest.fixture
def case(made_case: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the made case, and no weights."""
    monkeypatch.setenv(added.WHERE, str(tmp_path / "added"))
    return Path(shutil.copytree(made_case, tmp_path / "case"))


@pytest.mark.slow
def test_a_case_is_painted_guarded_and_painted_again_with_other_weights(case, tmp_path):
    for name, folder in (("sd15", tiny.write_sd15(tmp_path / "sd15")),
                         ("controlnet", tiny.write_controlnet(tmp_path / "net"))):
        add_weights(name, folder, True)
    choice = {"mode": "controlnet", "frames": 2, "steps": 2, "strength": 0.5, "device": "cpu"}
    made = previsage.photoreal(case, **choice)
    assert made.ran["mode"] == "controlnet" and made.ran["painted"] and "straight slim nose" in made.ran["prompt"]
    changing = [f for f in made.frames if f["changes"]]
    assert changing and all(not f["photoreal"] and f["reason"] for f in changing), "random weights paint no skin"
    for frame in made.frames:
        before, after = (load_picture(made.folder / f"{frame['frame']}_{when}.png") for when in ("before", "after"))
        assert before.shape == after.shape
    record = made.folder / "photoreal.json"
    stamp = record.stat().st_mtime_ns
    assert previsage.photoreal(case, **choice).ran == made.ran and record.stat().st_mtime_ns == stamp
    add_weights("controlnet", tiny.write_controlnet(tmp_path / "other", seed=9), True)
    again = previsage.photoreal(case, **choice)
    assert record.stat().st_mtime_ns != stamp and again.ran["weights"] != made.ran["weights"]
    (tmp_path / "other" / "config.json").write_text("{}")
    with pytest.raises(PrevisageError) as error:
        previsage.photoreal(case, **{**choice, "seed": 1})
    assert error.value.code == "weights_altered" and json.loads(record.read_text())["ran"] == again.ran
    warped = previsage.photoreal(case, frames=2)
    assert all(np.any(load_picture(warped.folder / f"{f['frame']}_after.png")) for f in warped.frames)
