"""The face's outline: traced where the picture has it, and cheeks and jaw told by it."""

import dataclasses
import functools

import numpy as np
import pytest

from analysis.face_outline import Ladder, best_path, ladder_of, posed, traced
from analysis.outline_symmetry import FRONT_LEVELS, Shown, best_pair, from_both_sides, from_front, sure_enough
from analysis.spots import spots
from analysis.symmetry import Difference, components
from benchmarks.symmetry import camera, picture
from benchmarks.symmetry_outlines import bent, true_mm
from recon.models import load_model
from render.rasterize import rasterize
from tests.analysis.photographed import head

SPOT = {s.name: s for s in spots()}


@functools.cache
def shown(yaw: float, kind: str = "none", mm: float = 0.0) -> Shown:
    """A photo of the head, bent, with the unbent head as its fit."""
    mesh, skin = head()
    seen_by = camera(yaw, 0, 0)
    return Shown(picture=picture(bent(mesh, kind, mm), skin, seen_by), camera=seen_by, mesh=mesh)


def anatomy():
    return load_model().anatomy


def test_the_cheapest_path_is_that_of_brute_force():
    cost = np.random.default_rng(4).normal(0, 1, (5, 4))
    every = np.stack(np.meshgrid(*[np.arange(4)] * 5, indexing="ij"), -1).reshape(-1, 5)
    bend = np.abs(np.diff(every, axis=1)).sum(1) * 0.75 * 0.5
    total = cost[np.arange(5), every].sum(1) + bend
    assert np.array_equal(best_path(cost), every[total.argmin()])


def test_a_disc_is_traced_to_a_fifth_of_a_millimetre():
    px_per_mm, radius, middle = 2.0, 130.0, np.array([200.0, 180.0])
    y, x = np.mgrid[:400, :400]
    inside = (np.hypot(x - middle[0], y - middle[1]) < radius)[..., None]
    pixels = np.where(inside, [200, 150, 130], [60, 80, 90]).astype(np.uint8)
    ladder = Ladder(mouth_px=middle, down=np.array([0.0, 1.0]), left=np.array([1.0, 0.0]), rung_px=80.0,
                    px_per_mm=px_per_mm)
    photo = dataclasses.replace(posed(pixels, camera(0, 0, 0), head()[0], anatomy(), FRONT_LEVELS, rasterize),
                                picture=pixels, ladder=ladder)
    around = np.linspace(0.1, np.pi - 0.1, 200)
    start = middle + (radius - 10) * np.column_stack([np.cos(around), np.sin(around)])  # 5 mm inside
    trace = traced(photo, start)
    assert trace is not None and trace.sure[5:-5].all()
    assert np.abs(np.linalg.norm(trace.px - middle, axis=1) - radius)[5:-5].max() < 0.4
    assert np.median(trace.off_mm) == pytest.approx(5.0, abs=0.2)


def test_what_is_expected_is_the_same_left_and_right_from_the_front_and_mirrored_when_turned():
    straight, left, right = (posed(np.zeros((900, 900, 3), np.uint8), camera(yaw, 0, 0), mesh, anatomy(), FRONT_LEVELS,
                                   rasterize).expected for yaw, mesh in ((0, head()[0]), (15, head()[0]),
                                                                         (-15, head()[0])))
    assert np.nanmax(np.abs(straight.sum(0))) < 0.3
    assert np.nanmax(np.abs(left + right[::-1])) < 0.7 and np.nanmax(np.abs(left.sum(0))) > 2


@pytest.mark.parametrize("yaw", [0.0, 5.0, -5.0])
def test_a_symmetric_jaw_is_symmetric_and_a_moved_one_is_told_with_its_side(yaw):
    for kind, mm in (("none", 0), ("mandible", 6), ("mandible", -4)):
        photo = shown(yaw, kind, mm)
        found, _ = from_front(spots(), photo, anatomy(), rasterize)
        jaw = next(d for d in found if d.spot.name == "jaw")
        true = true_mm(head()[0], bent(head()[0], kind, mm), SPOT["jaw"], "shift")
        assert abs(jaw.value_mm[0] - true) < 1.96 * jaw.sd_mm[0]
        assert mm == 0 or np.sign(jaw.value_mm[0]) == np.sign(mm)


def test_a_turned_head_and_a_covered_jaw_say_why_not():
    found, missing = from_front(spots(), shown(20.0), anatomy(), rasterize)
    assert not found and "straight from the front" in missing["jaw"] and "straight from the front" in missing["chin"]
    photo = shown(0.0)
    hidden = photo.picture.copy()
    middle = ladder_of(photo.camera, photo.mesh, anatomy()).mouth_px
    hidden[:, round(middle[0]) + 40:] = [90, 60, 40]
    found, missing = from_front(spots(), dataclasses.replace(photo, picture=hidden), anatomy(), rasterize)
    assert "hidden" in missing["jaw"]


def test_a_fuller_cheekbone_shows_from_both_sides_with_its_side():
    for mm in (0.0, -6.0):
        kind = "cheekbone" if mm else "none"
        found, missing = from_both_sides(spots(), [shown(38.0, kind, mm), shown(-42.0, kind, mm)], anatomy(), rasterize)
        cheek = next(d for d in found if d.spot.name == "cheekbone")
        true = true_mm(head()[0], bent(head()[0], kind, mm), SPOT["cheekbone"], "outward")
        assert abs(cheek.value_mm[3] - true) < 1.96 * cheek.sd_mm[3] and not missing
        assert mm == 0 or cheek.value_mm[3] * mm > 0


def test_both_sides_are_needed_and_turned_alike():
    one, other, more = shown(38.0), shown(-42.0), shown(20.0)
    assert best_pair([one, other]) == (one, other) and best_pair([other, one]) == (one, other)
    assert best_pair([one, more]) is None and best_pair([]) is None
    assert "--visit" in from_both_sides(spots(), [one], anatomy(), rasterize)[1]["cheekbone"]


def test_what_excludes_nothing_is_left_out_with_its_millimetres():
    def chin(value, sd):
        return Difference(spot=SPOT["chin"], at_mm=np.zeros(3), value_mm=components(value), sd_mm=components(sd),
                          how="")

    kept, vague = sure_enough([chin(1.0, 4.0)])
    assert not kept and "50 points" in vague["chin"] and "7.8 mm" in vague["chin"]
    assert len(sure_enough([chin(9.0, 4.0)])[0]) == 1, "more than its doubt"
    assert len(sure_enough([chin(1.0, 2.0)])[0]) == 1
