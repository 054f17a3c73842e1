"""The painting modes on one photo, with tiny random weights: seeded, inside the mask, guarded."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import previsage  # noqa: E402
from core import added  # noqa: E402
from synth.weights import add_weights  # noqa: E402
from tests.previsage.photos import portrait_file  # noqa: E402
from tests.synth.diffusion import tiny  # noqa: E402


@pytest.fixture(autouse=True)
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(added.WHERE, str(tmp_path / "added"))


@pytest.mark.slow
def test_a_photo_is_painted_inside_the_mask_and_the_guard_refuses_random_weights(tmp_path: Path) -> None:
    for name, folder in (("sd15", tiny.write_sd15(tmp_path / "sd15")),
                         ("controlnet", tiny.write_controlnet(tmp_path / "net"))):
        add_weights(name, folder, True)
    photo = portrait_file(tmp_path)
    how = {"steps": 2, "strength": 0.5, "device": "cpu", "seed": 4}
    made = previsage.predict_photo(photo, "rhinoplasty", 80, "controlnet", **how)
    again = previsage.predict_photo(photo, "rhinoplasty", 80, "controlnet", **how)
    assert np.array_equal(made.raw, again.raw), "the same seed paints the same"
    changed = (made.raw != made.photo.picture).any(-1)
    assert changed.any() and not changed[made.mask == 0].any()
    assert not made.shown and made.reason and (made.output != made.raw).any(), "random weights paint no skin"
    assert (made.warp != made.raw).any() and made.ran["seed"] == 4
