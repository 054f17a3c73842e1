"""Shards: pairs come back as they were made; a stopped set goes on; damage and other recipes are named."""

import json
import shutil

import numpy as np
import pytest

from core.errors import InputRefused, PrevisageError, UsageError
from synth.training import Pairs, write_pairs
from synth.training.cluster import on_cluster
from tests.synth.training.made import pair


def test_pairs_come_back_as_they_were_made(pairs_folder):
    pairs = Pairs(pairs_folder)
    assert len(pairs) == 12 and [s["pairs"] for s in pairs.shards] == [5, 5, 2]
    for number in (0, 4, 5, 11):
        made, back = pair(number), pairs[number]
        for name in ("before", "after", "control"):
            assert np.array_equal(getattr(made, name), getattr(back, name))
        assert np.abs(made.mask - back.mask).max() <= 0.5 / 255 + 1e-6
        assert np.abs(made.landmarks_px - back.landmarks_px).max() < 1e-3
        assert (back.prompt, back.facts) == (made.prompt, made.facts)
    with pytest.raises(KeyError):
        pairs[12]


def test_a_stopped_set_goes_on_and_is_the_same(pairs_folder, tmp_path):
    made = []

    def until_seven(number):
        made.append(number)
        if number == 7:
            raise KeyboardInterrupt
        return pair(number)

    with pytest.raises(KeyboardInterrupt):
        write_pairs(tmp_path, until_seven, 12, 5, {"kind": "discs"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["pairs-000000.tar", "recipe.json"]
    with pytest.raises(InputRefused, match="finished"):
        Pairs(tmp_path)
    again = []
    index = write_pairs(tmp_path, lambda n: again.append(n) or pair(n), 12, 5, {"kind": "discs"})
    assert again == list(range(5, 12)) and index == json.loads((pairs_folder / "pairs.json").read_text())


def test_another_recipe_is_refused(pairs_folder):
    with pytest.raises(UsageError, match="another recipe"):
        write_pairs(pairs_folder, pair, 12, 5, {"kind": "squares"})
    with pytest.raises(UsageError):
        write_pairs(pairs_folder, pair, 0, 5, {})


@pytest.mark.parametrize("spoil", ["unlink", "flip"])
def test_damage_is_named(pairs_folder, tmp_path, spoil):
    shutil.copytree(pairs_folder, tmp_path / "pairs")
    file = tmp_path / "pairs" / "pairs-000001.tar"
    content = bytearray(file.read_bytes())
    file.unlink()
    if spoil == "flip":
        content[2000] ^= 1
        file.write_bytes(content)
    with pytest.raises(InputRefused) as error:
        Pairs(tmp_path / "pairs")
    assert error.value.code == "pairs_damaged" and "pairs-000001.tar" in error.value.message


def test_unknown_landmarks_stay_unknown(tmp_path):
    import dataclasses

    made = dataclasses.replace(pair(0), landmarks_px=np.full((478, 2), np.nan, np.float32))
    write_pairs(tmp_path, lambda _: made, 1, 1, {})
    assert np.isnan(Pairs(tmp_path)[0].landmarks_px).all()


# --- on a cluster ---------------------------------------------------------------------------------------------------


def test_without_the_package_it_is_said(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError) as error:
        write_pairs(tmp_path, pair, 2, 1, {}, spread=on_cluster(None, 1))
    assert error.value.code == "no_distributed" and "previsage[cluster]" in error.value.hint


@pytest.mark.slow
def test_a_cluster_makes_the_same_set(pairs_folder, tmp_path):
    pytest.importorskip("distributed", reason="the extra [cluster] is not installed")
    index = write_pairs(tmp_path, pair, 12, 5, {"kind": "discs"}, spread=on_cluster(None, 2))
    assert index == json.loads((pairs_folder / "pairs.json").read_text())
    with pytest.raises(PrevisageError, match="worker"):
        write_pairs(tmp_path / "bad", broken, 1, 1, {}, spread=on_cluster(None, 1))


def broken(number: int):
    raise ValueError("no pair")
