"""Every clinical flag on a real prediction: what it widens, caps, refuses, locks, tells, and that it bends no shape."""

import numpy as np
import pytest

from core.errors import PrevisageError, UsageError
from deform3d import catalogue, clinical_flags, predict, read_plan
from deform3d.flags import read_flags

FLAGS = clinical_flags()
JAW = {"procedure": "orthognathic_mandible", "values": {"sagittal_mm": 6.0}}
LIDS = {"procedure": "blepharoplasty_upper", "values": {"fold_mm": {"left": 1.6, "right": 1.0}}}
NOSE = {"procedure": "rhinoplasty", "values": {"hump_mm": 1.0}}
WHY = "asked for by the surgeon"


@pytest.fixture(scope="module")
def plan_of(model, mesh):
    """plan_of(procedure, flag, ..., overrides=[...]) -> Prediction on the mean of the embedded model."""
    def run(*procedures, flags=(), overrides=()):
        plan = read_plan({"procedures": list(procedures), "flags": list(flags), "overrides": list(overrides)})
        return predict(mesh, model.anatomy, plan, catalogue())
    return run


def flagged(flag, **more):
    """A planned flag, on the left where it must have a side."""
    return {"flag": flag, **({"side": "left"} if FLAGS[flag].side == "required" else {}), **more}


def refused(code, run, *args, **kwargs):
    """The UsageError of a plan that must be refused."""
    with pytest.raises(UsageError) as caught:
        run(*args, **kwargs)
    assert caught.value.code == code, caught.value
    return str(caught.value)


def reds(flag, procedure):
    """Whether the flag's own table forbids the procedure."""
    return any(w.level == "red" and w.meets(procedure, None) for w in FLAGS[flag].warnings)


def one_that_it_touches(flag):
    """A plan entry of an operation that a flag's effects hold for."""
    return JAW if FLAGS[flag].touches("orthognathic_mandible") else NOSE


def allowed(flag):
    """An override that lifts what the flag forbids; a flag that forbids nothing needs none."""
    return [{"what": flag, "reason": WHY}]


@pytest.mark.parametrize("flag", FLAGS)
def test_no_flag_moves_the_skin_by_itself(plan_of, flag):
    entry = one_that_it_touches(flag)
    plain, with_flag = plan_of(entry), plan_of(entry, flags=[flagged(flag)], overrides=allowed(flag))
    np.testing.assert_array_equal(with_flag.total_mm(), plain.total_mm())
    assert [i.asked_mm for i in with_flag.landed] == [i.asked_mm for i in plain.landed]


@pytest.mark.parametrize("flag", [n for n, f in FLAGS.items() if f.band])
def test_a_band_is_wider_by_the_factor_of_the_table(plan_of, flag):
    jaws = [JAW, {"procedure": "orthognathic_maxilla", "values": {"advancement_mm": 3.0}},
            {"procedure": "rhinoplasty", "values": {"tip_projection_mm": 1.0}}]
    entry = next(e for e in jaws if FLAGS[flag].touches(e["procedure"]))
    plain, wide = plan_of(entry), plan_of(entry, flags=[flagged(flag)], overrides=allowed(flag))
    for band in ("low", "high"):
        before = plain.total_mm(band) - plain.total_mm()
        assert np.abs(before).max() > 0.05
        np.testing.assert_allclose(wide.total_mm(band) - wide.total_mm(), FLAGS[flag].band.value * before, atol=1e-9)
    assert FLAGS[flag].band.value > 1
    coupled, wider = plain.couplings[0], wide.couplings[0]
    assert wider.high_mm - wider.mean_mm == pytest.approx(FLAGS[flag].band.value * (coupled.high_mm - coupled.mean_mm))


def test_bands_of_several_flags_multiply(plan_of):
    plain, wide = plan_of(JAW), plan_of(JAW, flags=[flagged("skin_laxity"), flagged("ehlers_danlos")])
    factor = FLAGS["skin_laxity"].band.value * FLAGS["ehlers_danlos"].band.value
    np.testing.assert_allclose(wide.high_mm - wide.displacement_mm, factor * (plain.high_mm - plain.displacement_mm),
                               atol=1e-9)


@pytest.mark.parametrize("flag", [n for n, f in FLAGS.items() if f.swelling])
def test_swelling_is_scaled_and_the_course_is_not(plan_of, flag):
    entry = one_that_it_touches(flag)
    plain, more = plan_of(entry), plan_of(entry, flags=[flagged(flag)], overrides=allowed(flag))
    assert np.abs(plain.swelling_mm).max() > 0.5
    np.testing.assert_allclose(more.swelling_mm, FLAGS[flag].swelling.value * plain.swelling_mm, atol=1e-9)
    np.testing.assert_array_equal(more.swelling_percent, plain.swelling_percent)


@pytest.mark.parametrize(("flag", "procedure", "step"), [
    ("body_dysmorphia", "orthognathic_mandible", "sagittal_mm"), ("body_dysmorphia", "rhinoplasty", "hump_mm"),
    ("body_dysmorphia", "orthognathic_bimaxillary", "mandible_mm"), ("previous_rhinoplasty", "rhinoplasty", "hump_mm"),
    ("cleft", "orthognathic_maxilla", "advancement_mm")])
def test_a_cap_refuses_more_and_lets_an_override_pass(plan_of, flag, procedure, step):
    maximum, part = catalogue()[procedure].step(step).maximum, FLAGS[flag].cap_percent.value / 100
    def entry(value):
        return {"procedure": procedure, "values": {step: value}}
    assert plan_of(entry(maximum * part), flags=[flagged(flag)]).step_values == (maximum * part,)
    why = refused("beyond_cap", plan_of, entry(maximum * (part + 0.01)), flags=[flagged(flag)])
    assert FLAGS[flag].label in why and f"{maximum * part:g}" in why
    passed = plan_of(entry(maximum), flags=[flagged(flag)], overrides=[{"what": flag, "reason": WHY}])
    assert passed.step_values == (maximum,) and any(WHY in w for w in passed.warnings)


def test_a_cap_holds_in_both_directions_of_a_step(plan_of):
    why = refused("beyond_cap", plan_of, {"procedure": "orthognathic_mandible", "values": {"sagittal_mm": -9.0}},
                  flags=[flagged("body_dysmorphia")])
    assert "at most -6" in why


def test_a_cap_stops_an_intensity_too(plan_of):
    jaw = "orthognathic_mandible"
    refused("beyond_cap", plan_of, {"procedure": jaw, "intensity": 61.0}, flags=[flagged("body_dysmorphia")])
    assert plan_of({"procedure": jaw, "intensity": 60.0}, flags=[flagged("body_dysmorphia")]).step_values[0] > 0


def test_a_cap_of_another_operation_does_not_hold(plan_of):
    jaw = {"procedure": "orthognathic_mandible", "values": {"sagittal_mm": 10.0}}
    assert plan_of(jaw, flags=[flagged("cleft")]).step_values == (10.0,)


@pytest.mark.parametrize("flag", [n for n in FLAGS if reds(n, "orthognathic_mandible")])
@pytest.mark.parametrize("by", ["flag", "procedure"])
def test_red_is_refused_without_an_override(plan_of, flag, by):
    refused("contraindicated", plan_of, JAW, flags=[flagged(flag)])
    what = flag if by == "flag" else JAW["procedure"]
    passed = plan_of(JAW, flags=[flagged(flag)], overrides=[{"what": what, "reason": WHY}])
    assert any(w.startswith("red: ") and FLAGS[flag].label in w for w in passed.warnings)
    assert f"Override of {what}: {WHY}" in passed.warnings


def test_an_override_of_something_else_does_not_allow_what_is_red(plan_of):
    refused("contraindicated", plan_of, JAW, flags=[flagged("minor")], overrides=[{"what": "smoker", "reason": WHY}])


def test_red_in_the_operations_own_file_is_refused_too(plan_of):
    ears = {"procedure": "otoplasty"}
    refused("contraindicated", plan_of, ears, flags=[flagged("keloid")])
    assert plan_of(ears, flags=[flagged("keloid")], overrides=[{"what": "keloid", "reason": WHY}]).landed


@pytest.mark.parametrize(("grade", "forbidden"), [(1, False), (3, False), (4, True), (6, True), (None, True)])
def test_upper_lids_in_a_palsy_depend_on_its_grade(plan_of, grade, forbidden):
    palsy = flagged("facial_palsy", **({} if grade is None else {"grade": grade}))
    if forbidden:
        refused("contraindicated", plan_of, LIDS, flags=[palsy])
    else:
        told = plan_of(LIDS, flags=[palsy]).warnings
        assert any("mirrored" in w for w in told) and not any(w.startswith("red") for w in told)


@pytest.mark.parametrize(("flag", "allowed_by"), [("facial_palsy", "brow_lift"), ("cleft", "rhinoplasty")])
def test_both_sides_from_one_number_are_refused_where_the_sides_differ(plan_of, flag, allowed_by):
    step = next(s for s in catalogue()[allowed_by].steps if s.sided)
    small = step.maximum * 0.25
    entry = {"procedure": allowed_by, "values": {step.name: small}}
    assert plan_of(entry).step_names == (f"{allowed_by}.{step.name}.left", f"{allowed_by}.{step.name}.right")
    refused("mirrored", plan_of, entry, flags=[flagged(flag)])
    each = {"procedure": allowed_by, "values": {step.name: {"left": small, "right": small / 2}}}
    assert plan_of(each, flags=[flagged(flag)]).step_values == (small, small / 2)
    alone = plan_of({**entry, "side": "left"}, flags=[flagged(flag)])
    assert alone.step_names == (f"{allowed_by}.{step.name}.left",)


@pytest.mark.parametrize("lock", ["left", "right"])
def test_a_locked_side_does_not_move_at_all(plan_of, mesh, lock):
    x = mesh.vertices_mm[:, 0] * (1 if lock == "left" else -1)
    other = "right" if lock == "left" else "left"
    lift = {"procedure": "brow_lift", "values": {"brow_mm": {other: 1.8}}}
    locked = [{"flag": "facial_palsy", "side": lock, "lock": True}]
    for band in ("low", "mean", "high"):
        moved = plan_of(lift, flags=locked).total_mm(band)
        assert not moved[x >= 0].any()
        assert np.linalg.norm(moved[x < 0], axis=1).max() > 0.5


def test_a_value_on_the_locked_side_is_refused_and_the_affected_side_may_be_treated_without_the_lock(plan_of, mesh):
    lift = {"procedure": "brow_lift", "values": {"brow_mm": {"left": 1.8}}}
    refused("side_locked", plan_of, lift, flags=[{"flag": "facial_palsy", "side": "left", "lock": True}])
    lifted = plan_of(lift, flags=[{"flag": "facial_palsy", "side": "left"}]).total_mm()
    assert np.abs(lifted[mesh.vertices_mm[:, 0] > 10]).max() > 0.5


def test_a_step_of_both_sides_is_refused_while_one_is_locked(plan_of):
    refused("side_locked", plan_of, JAW, flags=[{"flag": "facial_palsy", "side": "left", "lock": True}])


@pytest.mark.parametrize(("flags", "code"), [
    ([{"flag": "facial_palsy"}], "side_missing"), ([{"flag": "scar", "lock": True}], "side_missing"),
    ([{"flag": "freckles"}], "unknown_flag"), ([{"flag": "smoker", "side": "left"}], "no_sides"),
    ([{"flag": "facial_palsy", "side": s, "lock": True} for s in ("left", "right")], "sides_contradict")])
def test_flags_that_cannot_be_meant_are_refused(plan_of, flags, code):
    refused(code, plan_of, JAW, flags=flags)


@pytest.mark.parametrize("flag", [n for n, f in FLAGS.items() if f.response])
def test_response_changes_the_shape_only_when_an_override_says_so(plan_of, flag):
    plain = plan_of(JAW)
    shaped = plan_of(JAW, flags=[flagged(flag)], overrides=[{"what": flag, "reason": WHY, "apply_shape": True}])
    pg = [next(np.array(i.asked_mm) for i in p.landed if i.pin == "pg") for p in (plain, shaped)]
    np.testing.assert_allclose(pg[1], FLAGS[flag].response.value * pg[0])
    assert np.abs(shaped.total_mm() - plain.total_mm()).max() > 0.5


def test_extent_widens_the_field_only_when_an_override_says_so(plan_of):
    def reach(prediction):
        return int((np.linalg.norm(prediction.total_mm(), axis=1) > 0.3).sum())
    assert FLAGS["skin_laxity"].extent.value > 1
    flags, told = [flagged("skin_laxity")], {"what": "skin_laxity", "reason": WHY}
    hump = {"procedure": "mentoplasty", "values": {"advancement_mm": 6.0}}
    still = plan_of(hump, flags=flags, overrides=[told])
    wide = plan_of(hump, flags=flags, overrides=[{**told, "apply_shape": True}])
    assert reach(still) == reach(plan_of(hump)) < reach(wide)


@pytest.mark.parametrize("flag", FLAGS)
def test_what_a_flag_says_is_told_with_the_prediction(plan_of, flag):
    said = {(w.level, w.text) for w in FLAGS[flag].warnings}
    assert said, f"{flag} says nothing"
    general = [w for w in FLAGS[flag].warnings if not w.procedures and w.from_grade is None]
    entry = one_that_it_touches(flag)
    told = plan_of(entry, flags=[flagged(flag)], overrides=allowed(flag)).warnings
    for warning in general:
        assert any(t.startswith(f"{warning.level}: ") and warning.text in t for t in told)
    others = [w for w in FLAGS[flag].warnings if w.procedures and entry["procedure"] not in w.procedures]
    assert not any(w.text in t for w in others for t in told)


def test_what_a_flag_says_of_several_operations_is_told_once_with_its_side(plan_of):
    told = plan_of(JAW, NOSE, flags=[{"flag": "facial_palsy", "side": "left", "grade": 2}]).warnings
    general = [t for t in told if "never mirrored" in t]
    assert len(general) == 1 and general[0].startswith("amber: Facial palsy, left: ")
    labels = [catalogue()[entry["procedure"]].label for entry in (JAW, NOSE)]
    assert general[0].endswith(f"({', '.join(labels)})")


def test_the_picture_of_marked_skin_is_protected():
    assert {n for n, f in FLAGS.items() if f.protect_texture} == {"vitiligo", "scar", "keloid"}


def test_flags_and_operations_know_each_other():
    named = {p for f in FLAGS.values() for p in (*f.procedures, *(n for w in f.warnings for n in w.procedures))}
    assert named <= set(catalogue())
    assert {c.flag for p in catalogue().values() for c in p.contraindications} <= set(FLAGS)


@pytest.mark.parametrize(("text", "why"), [
    ("flags: [{name: a, label: A}, {name: a, label: A}]", "twice"), ("flags: [{name: a, label: A, bend: 2}]", "bend"),
    ("flags: [{name: a, label: A, band: {value: 2, mark: M, source: '[Nobody19]'}}]", "Nobody19"),
    ("flags: [{name: a, label: A, band: {value: 0, mark: E, source: none}}]", "greater than 0"),
    ("flags: [{name: a, label: A, band: {value: 2}}]", "mark"), ("flags: [", "line 1")])
def test_a_table_that_is_wrong_says_where(text, why):
    with pytest.raises(PrevisageError, match=why) as caught:
        read_flags(text)
    assert caught.value.code == "bad_flag_file"
