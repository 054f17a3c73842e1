"""The guard: an honest picture passes; for every check there is one that fails it, and what breaks has failed."""

import dataclasses
import json

import cv2
import numpy as np
import pytest

from core.correspondence import Correspondence
from core.files import plain
from synth.achieved import RIM_PX, Achieved, achieved, share_of, shrunk_to
from synth.guard import GUARD, Check, Verdict, guard, judged_share, shown
from tests.synth.guarded import scene


def replaced(asked: Correspondence, **fields: object) -> Correspondence:
    return dataclasses.replace(asked, **fields)


def check(verdict: Verdict, name: str) -> Check:
    return next(c for c in verdict.checks if c.name == name)


def inside(picture: np.ndarray, change) -> np.ndarray:
    """The picture with its masked pixels changed by a function of float sRGB."""
    s = scene()
    out = picture.copy()
    part = out[s.asked.window]
    changed = np.rint(np.clip(change(part.astype(np.float32)), 0, 255)).astype(np.uint8)
    out[s.asked.window] = np.where(s.asked.mask[..., None] > 0, changed, part)
    return out


def run(after: np.ndarray, **more: object) -> Verdict:
    s = scene()
    return guard(s.before, after, s.asked, s.lateral_mm, **more)


def test_an_honest_picture_passes_every_check() -> None:
    verdict = run(scene().made())
    assert verdict.passed, [c.sentence for c in verdict.failed]
    assert {c.name: c.status for c in verdict.checks} == {
        "outside": "passed", "coverage": "passed", "motion left": "passed", "motion right": "passed",
        "motion left/right": "passed", "tint": "passed", "blotch": "passed", "structure": "passed", "grain": "passed",
        "likeness": "not checked"}
    assert abs(check(verdict, "motion left").value - 1) < 0.03


@pytest.mark.parametrize("share", [0.0, 0.5, 0.8, 1.0, 1.3])
def test_the_measured_share_is_the_true_one(share: float) -> None:
    s = scene()
    found = achieved(s.before[s.asked.window], s.made(share, share)[s.asked.window], s.asked,
                     {"left": s.lateral_mm > 0, "right": s.lateral_mm < 0})
    for part in found.values():
        assert abs(part.share - share) < 0.03 and part.spread < 0.03 and part.asked_px > 5


def test_a_strip_that_the_flow_cannot_tell_from_its_neighbours_is_not_measured() -> None:
    s = scene()
    x = np.arange(s.asked.mask.shape[1]) - s.asked.mask.shape[1] // 4
    found = achieved(s.before[s.asked.window], s.made()[s.asked.window], s.asked,
                     {str(width): np.tile(np.abs(x) < width / 2, (len(s.asked.mask), 1)) for width in (13, 41)})
    assert found["13"].pixels == 0 and not found["13"].measurable(0.0, np.inf) and found["41"].pixels > 60


@pytest.mark.parametrize("share", [0.5, 1.0, 1.3])
def test_a_large_picture_is_compared_smaller_with_the_same_result(share: float, monkeypatch: pytest.MonkeyPatch
                                                                  ) -> None:
    s = scene()
    monkeypatch.setattr("synth.achieved.ENOUGH_PIXELS", s.asked.mask.size // 3)
    parts = {"left": s.lateral_mm > 0, "right": s.lateral_mm < 0}
    assert 0.5 < shrunk_to(parts, np.linalg.norm(s.asked.flow_px, axis=2)) < 0.7
    for part in achieved(s.before[s.asked.window], s.made(share, share)[s.asked.window], s.asked, parts).values():
        assert abs(part.share - share) < 0.03 and part.asked_px > 5
    assert shrunk_to(parts, np.linalg.norm(s.asked.flow_px, axis=2) * 0.1) == 1.0  # too little motion to lose any


def test_a_strip_too_thin_for_the_flows_patches_is_not_measured() -> None:
    """Six pixels beside a moving cheek would be given the cheek's motion, whatever they do themselves."""
    s = scene()
    strip = np.zeros(s.asked.mask.shape, bool)
    moving = np.nonzero(s.asked.mask.max(0) > 0)[0]
    strip[:, moving[40]:moving[46]] = True
    found = achieved(s.before[s.asked.window], s.made()[s.asked.window], s.asked, {"strip": strip})["strip"]
    assert found.pixels == 0 and not found.measurable(0.5, 0.15)


def test_skin_beside_a_contour_that_moves_is_not_measured() -> None:
    """The flow there is the mean of patches that also hold what lies behind."""
    shape, edge = (80, 140), 100
    near = np.broadcast_to(np.arange(shape[1]) < edge, shape)
    flow = np.zeros((*shape, 2), np.float32)
    flow[near, 0] = 3.0
    depth = np.where(near, 400.0, 440.0)
    asked = Correspondence(left=0, top=0, flow_px=flow, depth_after_mm=depth, depth_before_mm=depth,
                           from_depth_mm=depth, moved=near, normals_before=np.zeros((*shape, 3)),
                           normals_after=np.zeros((*shape, 3)), mask=np.ones(shape), px_per_mm=2.4)
    picture = np.random.default_rng(0).integers(0, 255, (*shape, 3), dtype=np.uint8)
    part = np.zeros(shape, bool)
    part[10:-10, 80:130] = True  # both sides of the contour: its own rim ends elsewhere
    found = achieved(picture, picture, asked, {"part": part})["part"]
    assert found.pixels == (edge - 1 - RIM_PX - (80 + RIM_PX)) * (60 - 2 * RIM_PX)


def test_new_shading_is_no_motion() -> None:
    """Light that falls off across the face by half leaves the measured share alone."""
    s = scene()
    ramp = np.linspace(0.5, 1.0, s.asked.mask.shape[1])[None, :, None]
    found = achieved(s.before[s.asked.window], (s.made()[s.asked.window] * ramp).astype(np.uint8), s.asked,
                     {"left": s.lateral_mm > 0, "right": s.lateral_mm < 0})
    assert all(abs(part.share - 1) < 0.04 for part in found.values())


def test_one_pixel_outside_the_mask_fails() -> None:
    after = scene().made()
    assert scene().asked.left > 0
    after[0, 0, 1] ^= 1
    verdict = run(after)
    assert not verdict.passed and [c.name for c in verdict.failed] == ["outside"]
    assert verdict.failed[0].value == 1


def test_a_mask_that_misses_the_plan_fails() -> None:
    s = scene()
    torn = replaced(s.asked, mask=np.where(s.lateral_mm > 0, s.asked.mask, 0))
    verdict = guard(s.before, s.made(1.0, 0.0), torn, s.lateral_mm)
    assert "coverage" in [c.name for c in verdict.failed]


@pytest.mark.parametrize(("left", "right"), [(0.0, 0.0), (0.6, 0.6), (1.5, 1.5)])
def test_too_little_or_too_much_motion_fails(left: float, right: float) -> None:
    failed = [c.name for c in run(scene().made(left, right)).failed]
    assert {"motion left", "motion right"} <= set(failed)


def test_a_one_sided_result_fails_on_that_side_only() -> None:
    failed = [c.name for c in run(scene().made(1.0, 0.0)).failed]
    assert "motion right" in failed and "motion left/right" in failed and "motion left" not in failed


def test_sides_that_differ_within_the_limits_fail_their_balance() -> None:
    verdict = run(scene().made(1.12, 0.88))
    assert [c.name for c in verdict.failed] == ["motion left/right"]


def test_a_one_sided_plan_is_not_held_to_symmetry() -> None:
    s = scene(5.0, 0.0)
    verdict = guard(s.before, s.made(), s.asked, s.lateral_mm)
    assert verdict.passed, [c.sentence for c in verdict.failed]
    assert check(verdict, "motion right").status == "not measurable"
    assert check(verdict, "motion left/right").status == "not measurable"


def mirrored(asked: Correspondence, width: int) -> Correspondence:
    """The plan in the mirrored picture."""
    images = {name: np.ascontiguousarray(getattr(asked, name)[:, ::-1]) for name in (
        "flow_px", "depth_after_mm", "depth_before_mm", "from_depth_mm", "moved", "normals_before", "normals_after",
        "mask")}
    images["flow_px"] = images["flow_px"] * [-1, 1]
    return replaced(asked, left=width - asked.left - asked.mask.shape[1], **images)


def test_a_mirrored_picture_gets_the_mirrored_verdict() -> None:
    s = scene()
    after = s.made(1.0, 0.4)
    straight = guard(s.before, after, s.asked, s.lateral_mm)
    flipped = guard(np.ascontiguousarray(s.before[:, ::-1]), np.ascontiguousarray(after[:, ::-1]),
                    mirrored(s.asked, s.before.shape[1]), -np.ascontiguousarray(s.lateral_mm[:, ::-1]))
    for one, other in (("motion left", "motion right"), ("motion right", "motion left"), ("tint", "tint"),
                       ("structure", "structure"), ("grain", "grain")):
        assert check(straight, one).status == check(flipped, other).status
        assert abs(check(straight, one).value - check(flipped, other).value) < 0.03


def test_motion_below_what_flow_measures_is_said_and_not_passed() -> None:
    s = scene()
    tiny = replaced(s.asked, flow_px=s.asked.flow_px * 0.01)
    verdict = guard(s.before, s.before, tiny, s.lateral_mm)
    assert check(verdict, "motion left").status == "not measurable"
    assert "too little" in check(verdict, "motion left").sentence
    assert not [c for c in verdict.checks if c.name.startswith("motion") and c.status == "passed"]


def test_texture_that_the_photo_had_must_not_be_lost() -> None:
    """Skin smoothed away cannot be measured, and that is the picture's fault."""
    verdict = run(inside(scene().made(), lambda p: np.full_like(p, 1.0) * p.mean((0, 1))))
    failed = {c.name for c in verdict.failed}
    assert "structure" in failed and failed & {"motion left", "motion right"}


@pytest.mark.parametrize(("share", "honest", "spread", "status"), [
    (0.01, 0.85, 0.10, "failed"), (0.80, 0.85, 0.10, "not measurable"), (0.01, 0.85, 0.60, "not measurable"),
    (0.60, 1.00, 0.02, "failed"), (0.95, 1.00, 0.02, "passed")])
def test_where_flow_misreads_the_reference_only_a_gross_difference_counts(share: float, honest: float, spread: float,
                                                                          status: str) -> None:
    def part(value: float, apart: float) -> Achieved:
        return Achieved(share=value, spread=apart, asked_px=4.0, pixels=500)

    assert judged_share("left", part(share, 0.05), part(honest, spread), GUARD).status == status


def test_limits_are_wider_where_little_moves() -> None:
    def status(asked_px: float) -> str:
        part = Achieved(share=0.75, spread=0.01, asked_px=asked_px, pixels=500)
        return judged_share("left", part, part, GUARD).status

    assert status(8.0) == "failed" and status(1.0) == "passed"


def test_a_photo_without_texture_is_not_measurable_rather_than_wrong() -> None:
    s = scene()
    plain_skin = np.full_like(s.before, 150)
    verdict = guard(plain_skin, plain_skin, s.asked, s.lateral_mm)
    assert check(verdict, "motion left").status == "not measurable"
    assert "texture" in check(verdict, "motion left").sentence


def test_lighter_skin_fails() -> None:
    verdict = run(inside(scene().made(), lambda p: p * 1.12))
    assert "tint" in [c.name for c in verdict.failed]
    assert "lighter" in check(verdict, "tint").sentence
    assert "darker" in check(run(inside(scene().made(), lambda p: p * 0.88)), "tint").sentence


def test_a_blotch_fails_though_the_mean_is_kept() -> None:
    waves = 1 + 0.25 * np.sign(np.sin(np.arange(scene().asked.mask.shape[0]) / 12))[:, None, None]
    verdict = run(inside(scene().made(), lambda p: p * waves))
    assert "blotch" in [c.name for c in verdict.failed]
    assert check(verdict, "blotch").value > 2 * check(verdict, "tint").value


def test_skin_that_follows_other_skin_is_not_held_against_the_plans_own_motion() -> None:
    """In one photo what a contour uncovers is stretched from beside it: the carried frame says nothing of it."""
    s = scene()
    drawn = s.asked.flow_px.copy()
    follows = np.zeros(s.asked.mask.shape, bool)
    follows[len(follows) // 2:] = True
    drawn[follows] += 2 * s.asked.px_per_mm
    after = inside(s.made(), lambda p: np.where(follows[..., None], p * 0.6, p))
    assert "blotch" in [c.name for c in run(after).failed]
    assert check(run(after, drawn_px=drawn), "blotch").status == "passed"
    stained = inside(s.made(), lambda p: np.where(follows[..., None], p, p * 0.6))
    assert "blotch" in [c.name for c in run(stained, drawn_px=drawn).failed]


def test_other_skin_fails_the_structure() -> None:
    other = np.random.default_rng(5).permutation(scene().made().reshape(-1, 3)).reshape(scene().before.shape)
    verdict = run(inside(scene().made(), lambda p: other[scene().asked.window]))
    assert "structure" in [c.name for c in verdict.failed]


def test_smoothed_and_roughened_skin_fails_the_grain() -> None:
    blurred = run(inside(scene().made(), lambda p: cv2.GaussianBlur(p, (0, 0), 2)))
    assert "grain" in [c.name for c in blurred.failed] and "smoothed" in check(blurred, "grain").sentence
    noise = np.random.default_rng(6).normal(0, 14, scene().asked.mask.shape)[..., None]
    rough = run(inside(scene().made(), lambda p: p + noise))
    assert "grain" in [c.name for c in rough.failed] and "roughened" in check(rough, "grain").sentence


def test_grain_is_as_fine_as_the_picture_shows() -> None:
    """The same blur of half a pixel takes pores from a face that is small in the picture, and none from a large one."""
    s = scene()
    blurred = inside(s.made(), lambda p: cv2.GaussianBlur(p, (0, 0), 0.5))
    small, large = (guard(s.before, blurred, replaced(s.asked, px_per_mm=scale), s.lateral_mm, reference=s.made())
                    for scale in (1.0, 3.0))
    assert [c.name for c in small.failed] == ["grain"] and large.passed


def test_colour_and_structure_are_held_against_the_reference() -> None:
    """New light that the reference has too is expected; without the reference it is a drift."""
    after = inside(scene().made(), lambda p: p * 0.85)
    assert "tint" in [c.name for c in run(after).failed]
    assert run(after, reference=after).passed


def test_the_light_of_the_plan_is_expected() -> None:
    s = scene()
    factor = np.full((*s.asked.mask.shape, 1), 0.85)
    after = inside(s.made(), lambda p: p * 0.85)
    assert run(after, light=factor).passed and run(after, light=factor[..., 0]).passed
    assert "tint" in [c.name for c in run(s.made(), light=factor).failed]
    assert not run(after, light=factor[:-1]).passed  # of another size: broken, so failed


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """A stand-in with the interface of an identity model: a coarse picture, relative to its corner."""
    return cv2.resize(picture.astype(float) - picture[0, 0], (24, 24), interpolation=cv2.INTER_AREA)


def test_likeness_is_checked_whole_inside_and_outside() -> None:
    verdict = run(scene().made(), embed=thumbnail)
    assert {c.name for c in verdict.checks if c.name.startswith("likeness")} == {
        "likeness whole", "likeness inside", "likeness outside"}
    assert verdict.passed
    green = inside(scene().made(), lambda p: p * [0.2, 1.5, 0.2])
    failed = [c.name for c in run(green, embed=thumbnail).failed]
    assert "likeness inside" in failed and "likeness outside" not in failed
    assert abs(check(run(green, embed=thumbnail), "likeness outside").value) < 1e-12


def test_a_model_that_finds_no_face_says_so() -> None:
    def blind(picture: np.ndarray) -> np.ndarray:
        raise ValueError("no face")

    verdict = run(scene().made(), embed=blind)
    assert check(verdict, "likeness whole").status == "not measurable"
    assert not any(c.status == "passed" for c in verdict.checks if c.name.startswith("likeness"))


def test_a_model_that_loses_the_face_in_the_result_fails() -> None:
    after = scene().made()

    def picky(picture: np.ndarray) -> np.ndarray:
        if np.array_equal(picture, after):
            raise ValueError("no face")
        return np.ones(3)

    assert not run(after, embed=picky).passed


def test_what_breaks_has_failed() -> None:
    s = scene()
    nan = np.array(s.asked.flow_px)
    nan[5, 5] = np.nan
    verdict = guard(s.before, s.made(), replaced(s.asked, flow_px=nan), s.lateral_mm)
    assert not verdict.passed and "no number" in verdict.failed[0].sentence
    outside = replaced(s.asked, left=s.before.shape[1] - 3)
    assert not guard(s.before, s.made(), outside, s.lateral_mm).passed
    assert not guard(s.before, s.made(), s.asked, s.lateral_mm[:-1]).passed
    assert not guard(s.before, s.made(), s.asked, s.lateral_mm, reference=s.before[:-1]).passed

    def broken_model(picture: np.ndarray) -> np.ndarray:
        raise RuntimeError("out of memory")

    verdict = run(s.made(), embed=broken_model)
    assert not verdict.passed and "out of memory" in verdict.failed[0].sentence


def test_another_size_fails() -> None:
    assert [c.name for c in run(scene().made()[:-1]).failed] == ["size"]


def test_a_plan_that_changes_nothing_must_change_nothing() -> None:
    s = scene()
    assert guard(s.before, s.before, None).passed
    assert not guard(s.before, s.made(), None).passed


def test_without_sides_the_face_is_one_part() -> None:
    s = scene()
    verdict = guard(s.before, s.made(), s.asked)
    assert verdict.passed and check(verdict, "motion face").status == "passed"
    assert check(verdict, "motion left/right").status == "not checked"


def test_the_plain_render_is_shown_when_it_fails() -> None:
    s = scene()
    render = np.full_like(s.before, 90)
    good = shown(run(s.made()), s.made(), render)
    assert good.photoreal and np.array_equal(good.picture, s.made()) and "Simulation" in good.label
    assert "identity" in good.reason  # what stayed open is told
    bad = shown(run(s.made(0.0, 0.0)), s.made(0.0, 0.0), render, "controlnet")
    assert not bad.photoreal and np.array_equal(bad.picture, render)
    assert "refused" in bad.label and "controlnet" in bad.label and "0% of the planned motion" in bad.reason
    nothing = shown(Verdict(checks=()), s.made(), render)
    assert not nothing.photoreal and nothing.reason


def test_the_verdict_is_kept_as_json() -> None:
    record = run(scene().made()).as_record()
    again = json.loads(json.dumps(plain(record)))
    assert again["passed"] is True and {"name", "status", "value", "limit", "sentence"} == set(again["checks"][0])


def test_limits_can_be_set() -> None:
    strict = dataclasses.replace(GUARD, structure=0.9999)
    assert "structure" in [c.name for c in run(scene().made(), options=strict).failed]


def test_the_share_is_a_weighted_median() -> None:
    """Brute force: repeat every pixel as often as its weight."""
    rng = np.random.default_rng(0)
    asked = rng.integers(1, 4, (41, 1)) * np.array([[1.0, 0.0]])
    measured = asked * rng.normal(1, 0.3, (41, 1)) + [[0.0, 5.0]]
    repeated = np.repeat(measured[:, 0] / asked[:, 0], (asked[:, 0] ** 2).astype(int))
    assert abs(share_of(measured, asked) - np.median(repeated)) < 0.05
    assert np.isnan(share_of(measured[:0], asked[:0]))
