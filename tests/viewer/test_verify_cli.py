"""`previsage verify` as a person runs it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from synth.provenance import Origin, export, sidecar_of

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PREVISAGE_CONFIG", str(tmp_path / "config"))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    export(tmp_path / "after.png", pixels, Origin(plan_id="p", mode="warp3d", input_sha256="0", code="1"))
    return tmp_path / "after.png"


def test_a_genuine_picture(picture: Path, call: Call) -> None:
    code, out, _ = call("verify", picture)
    assert code == 0 and "genuine" in out and "this installation" in out and "not a promise" in out


def test_an_altered_picture(picture: Path, call: Call) -> None:
    with Image.open(picture) as image:
        pixels = np.asarray(image).copy()
    pixels[0, 0, 0] ^= 1
    Image.fromarray(pixels).save(picture)
    code, out, _ = call("verify", picture)
    assert code == 1 and "altered" in out


def test_several_as_json(picture: Path, call: Call) -> None:
    bare = picture.with_name("bare.png")
    Image.open(picture).save(bare)
    code, out, _ = call("verify", picture, bare, "--json")
    found = json.loads(out)["pictures"]
    assert code == 1
    assert [one["status"] for one in found] == ["genuine", "unsigned"]
    assert found[0]["claim"]["plan_id"] == "p" and Path(found[0]["file"]) == picture


def test_no_picture_is_refused(picture: Path, call: Call) -> None:
    for path in (sidecar_of(picture), picture.with_name("missing.png")):
        code, _, said = call("verify", path)
        assert code == 3 and "PNG or JPEG" in said
