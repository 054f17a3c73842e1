"""Painting with tiny models of the real architecture, loaded from disk as a user's are."""

import copy
import dataclasses
import socket
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from core.errors import InputRefused, PrevisageError, UsageError
from synth.diffusion import Canvas, Crop, load, models, paint
from synth.diffusion import painter as painting
from tests.synth.diffusion import tiny
from tests.synth.diffusion.conftest import options, views

FACE = tiny.picture(9, 90, 90)
PLAN = ["rhinoplasty"]


@pytest.fixture(scope="module")
def painted(full):
    return paint(views(), full, options(mode="controlnet_ip"), PLAN, face=FACE)


def test_every_view_is_painted_inside_its_mask_and_nowhere_else(painted):
    assert painted.painted == ("view0", "view1", "view2", "view3")
    for one in views():
        after, outside = painted.pictures[one.name], one.mask == 0
        assert np.array_equal(after[outside], one.picture[outside])
        change = np.abs(after.astype(int) - one.picture).max(2)
        assert change[one.mask == 1].mean() > 2, "the tiny model paints something else than it was given"
        assert after.shape == one.picture.shape


def test_the_same_seed_gives_the_same_pictures_and_another_seed_others(painted, full):
    again = paint(views(), full, options(mode="controlnet_ip"), PLAN, face=FACE)
    other = paint(views(), full, options(mode="controlnet_ip", seed=8), PLAN, face=FACE)
    for name, picture in painted.pictures.items():
        assert np.array_equal(picture, again.pictures[name])
        assert not np.array_equal(picture, other.pictures[name])


def test_a_batch_of_views_equals_views_one_by_one(painted, full):
    single = paint(views(), full, options(mode="controlnet_ip", batch=1), PLAN, face=FACE)
    for name, picture in painted.pictures.items():
        assert np.abs(picture.astype(int) - single.pictures[name]).max() <= 1


@pytest.fixture(scope="module")
def one(full):
    """The first view alone, painted as it is usually."""
    return paint(views(1), full, options(mode="controlnet_ip"), PLAN, face=FACE).pictures["view0"]


def differs(picture, other) -> float:
    """Mean difference inside the mask, grey levels; batches differ by at most one level of rounding, in few pixels."""
    return float(np.abs(picture.astype(int) - other)[views(1)[0].mask > 0.9].mean())


def test_the_same_call_makes_the_same_picture(full, one):
    assert differs(paint(views(1), full, options(mode="controlnet_ip"), PLAN, face=FACE).pictures["view0"], one) == 0


@pytest.mark.parametrize("changed", [{"conditioning": 0.0}, {"ip_scale": 0.0}, {"guidance": 1.0}, {"strength": 0.3},
                                     {"scheduler": "ddim"}, {"scheduler": "dpm++"}, {"anchored": False}, {"steps": 9}])
def test_every_choice_matters(full, one, changed):
    other = paint(views(1), full, options(mode="controlnet_ip", **changed), PLAN, face=FACE).pictures["view0"]
    assert differs(other, one) > 0.1, changed


def test_prompt_control_picture_and_face_matter(full, one):
    def first(canvases, procedures, face):
        return paint(canvases, full, options(mode="controlnet_ip"), procedures, face=face).pictures["view0"]

    moved = [dataclasses.replace(views(1)[0], control=np.roll(views(1)[0].control, 9, (0, 1)))]
    assert differs(first(moved, PLAN, FACE), one) > 0.1
    assert differs(first(views(1), ["mentoplasty"], FACE), one) > 0.02
    assert differs(first(views(1), PLAN, 255 - FACE), one) > 0.1


@pytest.mark.parametrize("mode", ["img2img", "controlnet"])
def test_the_lesser_modes_need_no_face_and_make_other_pictures(painted, mode):
    made = paint(views(2), load(options(mode=mode)), options(mode=mode), PLAN)
    assert made.provenance["mode"] == mode and set(made.provenance["weights"]) >= {"sd15"}
    assert np.abs(made.pictures["view1"].astype(int) - painted.pictures["view1"]).max() > 3


def test_nothing_reaches_for_the_network(monkeypatch):
    def refuse(*_):
        raise AssertionError("a network call")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    loaded = load(options(mode="controlnet_ip"))
    assert paint(views(1), loaded, options(mode="controlnet_ip"), PLAN, face=FACE).painted


def slid(number: int) -> Canvas:
    """A view of one plane that slid by `number` latent pixels: picture, mask, lines and texture go with it."""
    size, by = tiny.SIZE_PX, 8 * number
    crop = Crop(x0=0, y0=0, side=size, size_px=size)
    wide = np.roll(tiny.picture(3, size, 2 * size), -by, axis=1)[:, :size]
    rows, columns = np.mgrid[0:size, 0:size]
    cross = np.zeros((size, size, 3), np.uint8)
    cross[30:32] = (10, 200, 10)
    return Canvas(name=f"slid{number}", picture=np.ascontiguousarray(wide), mask=np.ones((size, size)), crop=crop,
                  control=cross, uv=np.stack([(columns + by) / 256, rows / 256], -1))


def test_views_of_the_same_skin_come_out_alike(full):
    """Where one latent pixel's shift is the only difference, anchored noise goes with the skin, free noise does not."""
    off = {}
    for anchored in (True, False):
        choice = options(mode="controlnet_ip", anchored=anchored, keep_grain=False)
        made = paint([slid(0), slid(1)], full, choice, PLAN, face=FACE).pictures
        both = made["slid0"][:, 16:56].astype(int), made["slid1"][:, 8:48].astype(int)
        off[anchored] = np.abs(both[0] - both[1]).mean()
    assert off[True] < 0.6 * off[False], off


def test_sliced_attention_paints_the_same(painted):
    loaded = load(options(mode="controlnet_ip", slices=True))
    sliced = paint(views(), loaded, options(mode="controlnet_ip", slices=True), PLAN, face=FACE)
    for name, picture in painted.pictures.items():
        assert np.abs(picture.astype(int) - sliced.pictures[name]).max() <= 1


def test_bf16_is_near_fp32(painted):
    half = options(mode="controlnet_ip", dtype="bf16")
    made = paint(views(1), load(half), half, PLAN, face=FACE)
    assert made.provenance["dtype"] == "bfloat16"
    change = np.abs(made.pictures["view0"].astype(int) - painted.pictures["view0"])
    assert 0 < change.max() and change.mean() < 3


@pytest.mark.parametrize("name", ["unipc", "dpm++", "ddim"])
def test_half_floats_as_a_graphics_card_has_them_are_near_full_ones(full, monkeypatch, name):
    choice = options(mode="controlnet_ip", scheduler=name)
    expected = paint(views(2), full, choice, PLAN, face=FACE)
    monkeypatch.setattr(models, "placed", lambda *_: (torch.device("cpu"), torch.float16))
    made = paint(views(2), load(choice), choice, PLAN, face=FACE)
    assert made.provenance["dtype"] == "float16"
    for key, picture in made.pictures.items():
        assert np.abs(picture.astype(int) - expected.pictures[key]).mean() < 1


def test_a_few_steps_without_lcm_take_unipc_and_say_so(full):
    few = options(mode="controlnet_ip", few_steps=True, strength=0.5)
    with pytest.raises(UsageError, match="another number of steps"):
        paint(views(1), full, few, PLAN, face=FACE)
    made = paint(views(1), load(few), few, PLAN, face=FACE)
    assert made.provenance["sampler"] == "unipc" and made.provenance["steps"] == 16
    assert any("lcm-lora" in note for note in made.notes)


# --- what cannot be painted -----------------------------------------------------------------------------------------


def test_views_that_cannot_be_painted_stay_and_are_named(full):
    every = views(3)
    every[0] = dataclasses.replace(every[0], mask=np.zeros((150, 100)))
    every[1] = dataclasses.replace(every[1], control=np.zeros_like(every[1].control))
    said = []
    made = paint(every, full, options(mode="controlnet_ip"), PLAN, face=FACE, say=said.append)
    assert made.painted == ("view2",) and list(made.notes) == said
    assert [s for s in said if "view0" in s and "covers nothing" in s] and [s for s in said if "no face" in s]
    for one in every[:2]:
        assert np.array_equal(made.pictures[one.name], one.picture)
    with pytest.raises(InputRefused, match="nothing to paint: its mask covers nothing"):
        paint(every[:1], full, options(mode="controlnet_ip"), PLAN, face=FACE)


@pytest.mark.parametrize(("asked", "code"), [
    ({"prompt": "eine schmale Nase mit glatter Haut"}, "prompt_language"),
    ({"prompt": "更小的鼻子"}, "prompt_language"), ({"prompt": "un nez plus petit"}, "prompt_language"),
    ({"prompt": " ,, "}, "empty_prompt"), ({"prompt": "face " * 80}, "prompt_too_long"),
    ({"procedures": ["nobody"]}, "no_prompt"), ({"face": None}, "no_face"), ({"face": FACE[:50]}, "not_square")])
def test_what_is_wrong_is_named(full, asked, code):
    with pytest.raises(UsageError) as error:
        paint(views(1), full, options(mode="controlnet_ip"), **{"procedures": PLAN, "face": FACE, **asked})
    assert error.value.code == code and error.value.hint


def test_another_mode_or_no_control_picture_is_refused(full):
    with pytest.raises(UsageError, match="loaded for controlnet_ip"):
        paint(views(1), full, options(mode="controlnet"), PLAN)
    with pytest.raises(UsageError, match="control picture of view0"):
        paint([dataclasses.replace(views(1)[0], control=None)], full, options(mode="controlnet_ip"), PLAN, face=FACE)


@pytest.mark.parametrize("changed", [
    {"conditioning": 1.3}, {"steps": 0}, {"strength": 0.0}, {"strength": 1.1}, {"guidance": 0.5}, {"batch": 0},
    {"mode": "dream"}, {"scheduler": "euler"}, {"device": "tpu"}, {"dtype": "int8"}, {"ip_scale": float("nan")},
    {"seed": -1}])
def test_options_have_bounds(changed):
    with pytest.raises(UsageError) as error:
        options(**changed)
    assert error.value.code == "bad_option"


@pytest.mark.parametrize(("changed", "code"), [({"dtype": "fp16"}, "bad_option"), ({"device": "cuda"}, "no_device")])
def test_a_device_that_is_not_here_is_named(changed, code):
    if changed.get("device") == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(UsageError) as error:
        load(options(**changed))
    assert error.value.code == code


@pytest.mark.parametrize("most", [2, 1, 0])
def test_when_memory_is_short_fewer_views_are_painted_at_once_and_it_is_said(full, painted, monkeypatch, most):
    true, sizes, said = painting.denoise, [], []

    def short(loaded, batch, *rest):
        sizes.append(len(batch.latents))
        if len(batch.latents) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return true(loaded, batch, *rest)

    monkeypatch.setattr(painting, "denoise", short)
    monkeypatch.setattr(painting, "slice_attention", lambda *nets: said.append("sliced"))
    if most == 0:
        with pytest.raises(PrevisageError) as error:
            paint(views(), full, options(mode="controlnet_ip"), PLAN, face=FACE, say=said.append)
        assert error.value.code == "out_of_memory" and sizes == [4, 2, 1, 1] and "sliced" in said
        return
    made = paint(views(), full, options(mode="controlnet_ip"), PLAN, face=FACE, say=said.append)
    assert sizes == {2: [4, 2, 2], 1: [4, 2, 1, 1, 1, 1]}[most]
    assert said and all("Memory is short" in s for s in said) and made.painted == painted.painted
    for name, picture in painted.pictures.items():
        assert np.abs(picture.astype(int) - made.pictures[name]).max() <= 1


def test_an_error_that_is_no_lack_of_memory_is_not_swallowed(full, monkeypatch):
    def broken(*_):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(painting, "denoise", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        paint(views(), full, options(mode="controlnet_ip"), PLAN, face=FACE)


def test_pictures_that_are_not_finite_are_refused(full, monkeypatch):
    monkeypatch.setattr(painting, "denoise", lambda loaded, batch, *_: batch.latents * float("nan"))
    with pytest.raises(PrevisageError) as error:
        paint(views(1), full, options(mode="controlnet_ip"), PLAN, face=FACE)
    assert error.value.code == "not_finite"


def test_a_decoder_that_overflows_in_half_floats_decodes_again_in_full_ones(full):
    """A group norm follows, so full floats give the same picture whatever the first layer's scale."""
    vae = copy.deepcopy(full.pipe.vae)
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.2
    expected = painting.decode(dataclasses.replace(full, pipe=SimpleNamespace(vae=vae)), latents)
    with torch.no_grad():
        vae.decoder.conv_in.weight *= 30000.0
        vae.decoder.conv_in.bias *= 30000.0
    vae.to(torch.float16)
    half = dataclasses.replace(full, dtype=torch.float16, pipe=SimpleNamespace(vae=vae))
    with torch.inference_mode():
        assert not torch.isfinite(vae.decode((latents * 40).half(), return_dict=False)[0]).all()
    made = painting.decode(half, (latents * 40 * vae.config.scaling_factor).half())
    assert vae.dtype == torch.float16 and made[0].shape == expected[0].shape
    assert 1 < np.stack(made).std() < 120
