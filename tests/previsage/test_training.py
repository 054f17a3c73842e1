"""Pairs from 3D and from portraits."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InputRefused, UsageError
from deform3d import catalogue
from previsage import sitters
from previsage.portraits import GROUPS, PortraitPairs, region_mask
from previsage.sitters import PAIRS_EACH, SittersPairs, random_light, sitter
from previsage.training import pairs
from recon.models import load_model
from render.complexion import complexion, layout
from synth.diffusion.prompts import table
from synth.training import Pairs


@pytest.fixture(scope="module", autouse=True)
def small_skin():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sitters, "TEXTURE_SIDE", 256)
        sitter.cache_clear()
        yield
    sitter.cache_clear()


@pytest.fixture(scope="module")
def make():
    return SittersPairs(seed=3, size_px=160, procedures=("rhinoplasty", "mentoplasty"))


def test_a_pair_differs_inside_its_mask_only(make):
    for number in (0, 1, PAIRS_EACH):
        pair = make(number)
        assert pair.before.shape == pair.after.shape == pair.control.shape == (160, 160, 3)
        assert np.array_equal(pair.before[pair.mask == 0], pair.after[pair.mask == 0])
        change = np.abs(pair.after.astype(int) - pair.before).max(2)
        assert 0.002 < pair.mask.mean() < 0.9 and change[pair.mask > 0.5].mean() > 1
        assert (pair.control.max(2) > 0).sum() > 50
        assert set(pair.facts["procedures"]) <= {"rhinoplasty", "mentoplasty"} and 1 <= pair.facts["tone"] <= 6


def test_pair_n_is_the_same_wherever_it_is_made(make):
    first = make(5)
    sitter.cache_clear()
    again = SittersPairs(seed=3, size_px=160, procedures=("rhinoplasty", "mentoplasty"))(5)
    for name in ("before", "after", "control", "mask", "landmarks_px"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert first.facts == again.facts and not np.array_equal(first.before, make(4).before)
    other = SittersPairs(seed=4, size_px=160, procedures=("rhinoplasty",))(5)
    assert not np.array_equal(first.before, other.before)


def test_the_control_picture_lies_on_the_landmarks_of_after(make):
    pair = make(2)
    lit = np.argwhere(pair.control.max(2) > 0)[:, ::-1]
    marks = pair.landmarks_px[np.isfinite(pair.landmarks_px).all(1)]
    distance = np.linalg.norm(lit[:, None] - marks[None], axis=2).min(1)
    assert np.median(distance) < 4


def test_every_sitter_is_somebody_else():
    people = [sitter(3, n) for n in range(3)]
    assert len({round(p.facts["tone"], 6) for p in people}) == 3
    assert min(np.abs(people[0].mesh.vertices_mm - p.mesh.vertices_mm).max() for p in people[1:]) > 2


def test_light_never_burns_skin_out():
    for seed in range(20):
        light = random_light(np.random.default_rng(seed))
        assert light.ambient + sum(max(lamp.color) for lamp in light.lamps) < sitters.MOST_LIGHT * 1.15
        assert all(lamp.towards[2] < 0 for lamp in light.lamps)


def test_a_complexion_covers_the_head_and_hangs_on_its_seed():
    model = load_model()
    mesh = model.mean_mesh()
    one, facts = complexion(mesh, model.anatomy, 1, 128)
    same, _ = complexion(mesh, model.anatomy, 1, 128)
    other, _ = complexion(mesh, model.anatomy, 2, 128)
    assert np.array_equal(one.rgb, same.rgb) and not np.array_equal(one.rgb, other.rgb)
    place = layout(mesh, 128)
    spread = place.spread(mesh, mesh.vertices_mm)
    assert (one.seen == 255).mean() > 0.4 and np.array_equal(one.seen == 255, place.face >= 0)
    assert np.ptp(spread[place.face >= 0], axis=0).min() > 100 and set(facts) == {"tone", "freckles", "hair"}


def test_prompts_and_portrait_groups_name_operations_that_there_are():
    assert set(table()["procedures"]) == set(catalogue()) and set(GROUPS) <= set(catalogue())


# --- portraits --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    from skimage import data

    folder = tmp_path_factory.mktemp("photos")
    Image.fromarray(data.astronaut()).save(folder / "a.png")
    Image.fromarray(data.coffee()).save(folder / "cup.jpg")
    (folder / "bad.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("x")
    return folder


def test_portraits_give_pairs_and_what_is_none_is_left_out(photos, tmp_path):
    made = pairs(tmp_path, 3, 128, 2, 1, portraits=photos)
    assert made["left_out"] == ("bad.jpg", "cup.jpg") and made["pairs"] == 3 and made["shards"] == 2
    for number in range(3):
        pair = Pairs(tmp_path)[number]
        assert np.array_equal(pair.before, pair.after) and pair.mask.max() > 0.95 and pair.facts["file"] == "a.png"
        assert (pair.control.max(2) > 0).sum() > 50 and pair.facts["procedures"][0] in GROUPS


def test_a_folder_without_portraits_is_refused(tmp_path):
    with pytest.raises(InputRefused) as error:
        PortraitPairs(tmp_path / "nowhere", 0)
    assert error.value.code == "no_portraits"


def test_a_portraits_mask_is_full_inside_and_fades():
    mask = region_mask(np.array([[40.0, 40], [80, 42], [60, 44]]), (100, 120), np.random.default_rng(0))
    assert mask[42, 60] > 0.95 and mask[90, 10] == 0 and ((mask > 0.1) & (mask < 0.9)).any()


@pytest.mark.parametrize(("given", "code"), [
    ({"size_px": 100}, "bad_size"), ({"size_px": 2048}, "bad_size"), ({"procedures": ["nobody"]}, "unknown_procedure"),
    ({"count": 0}, "bad_count")])
def test_wrong_sets_are_refused(tmp_path, given, code):
    with pytest.raises(UsageError) as error:
        pairs(tmp_path / "out", **{"count": 2, "size_px": 64, **given})
    assert error.value.code == code and not (tmp_path / "out").exists()
