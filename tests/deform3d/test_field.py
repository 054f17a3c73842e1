"""Laws of the field on a head of formulas."""

import re
from pathlib import Path

import numpy as np
import pytest

from core import Anatomy, Mesh, Plan, SurfacePoints
from core.errors import PrevisageError
from core.procedure import Procedure
from deform3d import catalogue, field_of, predict
from deform3d.catalogue import read_procedure
from deform3d.field import LANDS_MM, FieldOptions, Problem, made_up_share, solve, still_scores
from deform3d.handles import CLEAR, handle_points
from deform3d.kernels import wendland
from deform3d.volume import spoiled
from tests.deform3d.builders import every_step, mirrored, remeshed

ON_FORMULAS = ("rhinoplasty", "mentoplasty")  # whose landmarks and regions the head of formulas has
STEPS = [pytest.param(p.name, s.name, id=f"{p.name}.{s.name}") for p, s in every_step() if p.name in ON_FORMULAS]
MOVING = [p for p in STEPS if not p.values[1].endswith("_percent")]  # a straight nose has no deviation to take away
ASIDE = ("lateral_mm",)  # positive to the patient's left: the mirror's plan has the other sign
LINEAR = [p for p in STEPS if not p.values[1].endswith("_deg")]


@pytest.fixture(scope="module")
def fine_head(head):
    return remeshed(*head)


def length(u):
    return np.linalg.norm(u, axis=1)


def problem(mesh, anatomy, procedure):
    return Problem("", mesh, anatomy, procedure, FieldOptions(), None)


def at_most(procedure):
    """Every step at its maximum, without those that exclude an earlier one."""
    steps, out = catalogue()[procedure].steps, {}
    for step in steps:
        if not set(step.excludes) & set(out):
            out[step.name] = step.maximum
    return out


def limits(procedure, step):
    found = catalogue()[procedure].step(step)
    return [v for v in (found.typical, found.maximum, *found.clamp) if v]


@pytest.mark.parametrize("procedure", ["rhinoplasty", "mentoplasty"])
def test_zero_in_exactly_zero_out(operate, procedure):
    prediction = operate(procedure, intensity=0)
    assert prediction.displacement_mm.shape[0] == sum(1 + s.sided for s in catalogue()[procedure].steps)
    assert not prediction.displacement_mm.any()
    assert (prediction.volume_added_ml, prediction.volume_removed_ml) == (0, 0)
    assert prediction.landed == () and prediction.warnings == ()


@pytest.mark.parametrize(("procedure", "step"), MOVING)
def test_every_handle_lands_and_the_others_stay(head, operate, procedure, step):
    mesh, anatomy = head
    field = field_of(mesh, anatomy, catalogue()[procedure])
    for value in limits(procedure, step):
        prediction = operate(procedure, **{step: value})
        moved = {item.pin: item for item in prediction.landed}
        assert set(moved) == {h.pin for h in catalogue()[procedure].step(step).every_handle()}
        assert max(item.error_mm for item in moved.values()) <= LANDS_MM + 1e-9
        assert max(np.linalg.norm(item.asked_mm) for item in moved.values()) > 0.3 * abs(value) ** 0.5
        went = length(field.points.on(prediction.total_mm(), mesh.faces))
        anchors = np.isin(field.pins, catalogue()[procedure].anchors)
        assert went[~anchors & ~np.isin(field.pins, list(moved))].max(initial=0) <= LANDS_MM + 1e-9
        assert went[anchors].max() < 0.08 * max(np.linalg.norm(item.asked_mm) for item in moved.values())


def test_hills_make_up_for_no_more_than_landing_takes():
    """Two handles; the first misses 1 % of its own motion, the second 0.2 % of the first's. Two steps of up to 13 and 2
    mm: the first misses 0.13 mm of the longer one, of which all but 0.05 is made up; the second lands as it is. Of nine
    such short steps it would miss more than twice 0.05 mm together."""
    missed = np.array([[0.01, 0], [0.002, 0]])
    far, near = np.array([[13.0, 0, 0], [0, 0, 0]]), np.array([[0, 2.0, 0], [0, 0, 0]])
    share = made_up_share([[far, -0.5 * far], [near]], missed)
    assert share == pytest.approx([1 - LANDS_MM / 0.13, 0])
    left = (1 - share)[:, None] * missed
    assert np.linalg.norm(left @ far, axis=1)[0] == pytest.approx(LANDS_MM)
    assert made_up_share([[far], *(9 * [[near]])], missed) == pytest.approx([1 - 2 * LANDS_MM / (0.13 + 9 * 0.02), 0])


@pytest.mark.parametrize("procedure", ON_FORMULAS)
def test_any_steps_together_land(head, operate, procedure):
    """To a tenth of a millimetre when all steps are at the ends of their clamps at once."""
    mesh, anatomy = head
    found, ends = field_of(mesh, anatomy, catalogue()[procedure]), {}
    for step in catalogue()[procedure].steps:
        if not set(step.excludes) & set(ends):
            ends[step.name] = step.clamp[0] or step.clamp[1]
    prediction = operate(procedure, **ends)
    asked = {pin: np.zeros(3) for pin in found.pins}
    for item in prediction.landed:
        asked[item.pin] += item.asked_mm
    went = found.points.on(prediction.total_mm(), mesh.faces)
    gone = {pin: float(np.linalg.norm(u - asked[pin])) for pin, u in zip(found.pins, went, strict=True)
            if pin in catalogue()[procedure].moved_pins()}
    assert max(gone.values()) <= 2 * LANDS_MM + 1e-9
    assert max(gone.values()) > 1e-6, "hills were made that landing does not need"


@pytest.mark.parametrize(("procedure", "step"), LINEAR)
def test_linear_steps_are_linear(operate, procedure, step):
    low, high = catalogue()[procedure].step(step).clamp
    full = high or low
    whole = operate(procedure, **{step: full}).total_mm()
    for part in (0.1, 0.37, 0.8):
        np.testing.assert_allclose(operate(procedure, **{step: part * full}).total_mm(), part * whole, atol=1e-6)


def test_steps_add_up(operate):
    values = {"hump_mm": 2.0, "tip_rotation_deg": 6.0, "tip_projection_mm": -1.5, "alar_base_mm": -2.0}
    together = operate("rhinoplasty", **values)
    apart = sum(operate("rhinoplasty", **{k: v}).total_mm() for k, v in values.items())
    np.testing.assert_allclose(together.total_mm(), apart, atol=1e-12)


def test_two_procedures_in_one_plan_add_up(head, operate):
    plan = Plan.model_validate({"procedures": [{"procedure": "rhinoplasty", "intensity": 40},
                                               {"procedure": "mentoplasty", "values": {"vertical_mm": -2}}]})
    together = predict(*head, plan, catalogue())
    assert together.step_names[-1] == "mentoplasty.vertical_mm"
    apart = operate("rhinoplasty", intensity=40).total_mm() + operate("mentoplasty", vertical_mm=-2).total_mm()
    np.testing.assert_allclose(together.total_mm(), apart, atol=1e-12)


@pytest.mark.parametrize(("pin", "about"), [("c", {"sn": 1}), ("prn", {"sn": 0.5, "ac_l": 0.25, "ac_r": 0.25})])
@pytest.mark.parametrize("degrees", [-8, 5, 15])
def test_rotation_follows_its_arc(head, operate, pin, about, degrees):
    """The columella turns about subnasale, so the nasolabial angle opens by the step; the tip goes up."""
    mesh, anatomy = head
    start = mesh.points(anatomy.pin(pin))[0]
    pivot = sum(share * mesh.points(anatomy.pin(name))[0] for name, share in about.items())
    prediction = operate("rhinoplasty", tip_rotation_deg=degrees)
    before, after = start - pivot, start + anatomy.pin(pin).on(prediction.total_mm(), mesh.faces)[0] - pivot
    assert np.hypot(*after[1:]) == pytest.approx(np.hypot(*before[1:]), abs=LANDS_MM)
    turned = np.degrees(np.arctan2(after[1], after[2]) - np.arctan2(before[1], before[2]))
    assert turned == pytest.approx(degrees, abs=np.degrees(LANDS_MM / np.hypot(*before[1:])))
    assert after[0] == pytest.approx(before[0], abs=LANDS_MM)
    assert (after - before)[1] * degrees > 0


def test_directions(head, operate):
    mesh, anatomy = head
    def went(prediction, pin):
        return anatomy.pin(pin).on(prediction.total_mm(), mesh.faces)[0]
    def landed(prediction):
        return {item.pin: item.landed_mm for item in prediction.landed}
    hump = went(operate("rhinoplasty", hump_mm=2), "rhi")
    assert np.linalg.norm(hump) == pytest.approx(2, abs=LANDS_MM) and hump[2] < -1.9 and -0.5 < hump[1] < 0
    narrow = operate("rhinoplasty", alar_base_mm=-4)
    assert landed(narrow)["ala_l"][0] == pytest.approx(-2, abs=LANDS_MM)
    assert landed(narrow)["ala_r"][0] == pytest.approx(2, abs=LANDS_MM)
    assert went(operate("rhinoplasty", tip_rotation_deg=8), "prn")[1] > 1
    assert went(operate("rhinoplasty", tip_projection_mm=2), "prn") == pytest.approx([0, 0, 2], abs=LANDS_MM)
    assert went(operate("mentoplasty", advancement_mm=10), "pg") == pytest.approx([0, 0, 9], abs=LANDS_MM)
    assert went(operate("mentoplasty", vertical_mm=5), "me") == pytest.approx([0, -4.5, 0], abs=LANDS_MM)


@pytest.mark.parametrize("procedure", ["rhinoplasty", "mentoplasty"])
def test_beyond_the_region_nothing_moves_at_all(head, operate, procedure):
    mesh, anatomy = head
    what = catalogue()[procedure]
    total = operate(procedure, **at_most(procedure)).total_mm()
    still = (still_scores(problem(mesh, anatomy, what)) >= 0).any(0)
    assert 500 < still.sum() < len(still) and not total[still].any()
    for region in what.immobile:
        assert not total[anatomy.region(region) >= 0.05].any()
    assert (length(total) > 0.5).sum() > 50
    pins = {"rhinoplasty": ("en_l", "ls", "ch_r", "n", "pg"), "mentoplasty": ("ls", "sto", "ch_l", "prn")}
    for pin in pins[procedure]:
        assert length(anatomy.pin(pin).on(total, mesh.faces))[0] < 0.05


@pytest.mark.parametrize("locked", [None, "left"])
@pytest.mark.parametrize("procedure", ["rhinoplasty", "mentoplasty"])
def test_a_part_of_the_ground_is_enough(head, monkeypatch, procedure, locked):
    mesh, anatomy = head
    found = []
    for triangles in (len(mesh.faces), 0):  # a part of it, and all
        monkeypatch.setattr("deform3d.ground.PART_OF", triangles)
        solve.cache_clear()
        found.append(field_of(mesh, anatomy, catalogue()[procedure], locked=locked).cardinal)
    assert found[0].any() and np.abs(found[1] - found[0]).max() < 1e-12


@pytest.mark.parametrize("procedure", ["rhinoplasty", "mentoplasty"])
def test_smooth_up_to_the_edge(head, procedure):
    """No step between neighbours at the edge of the still part: the field starts from zero gently."""
    mesh, anatomy = head
    cardinal = field_of(mesh, anatomy, catalogue()[procedure]).cardinal
    still = (still_scores(problem(mesh, anatomy, catalogue()[procedure])) >= 0).any(0)
    edges = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    across = edges[still[edges[:, 0]] & ~still[edges[:, 1]]]
    moved = [row for row, pin in enumerate(catalogue()[procedure].pins()) if pin not in catalogue()[procedure].anchors]
    assert len(across) > 50
    assert np.quantile(np.abs(cardinal[across[:, 1]][:, moved]).max(1), 0.75) < 0.12


@pytest.mark.parametrize(("procedure", "step"), MOVING)
def test_no_triangle_is_spoiled_at_full_intensity_and_nothing_overshoots(head, operate, procedure, step):
    value = catalogue()[procedure].step(step).maximum
    prediction = operate(procedure, **{step: value})
    flipped, collapsed = spoiled(head[0], prediction.total_mm())
    assert not flipped.any() and not collapsed.any()
    planned = max(np.linalg.norm(item.asked_mm) for item in prediction.landed)
    assert length(prediction.total_mm()).max() < 1.35 * planned
    assert list(prediction.warnings) == [f"{catalogue()[procedure].label}: {note}"
                                         for note in catalogue()[procedure].step(step).notes]


@pytest.mark.parametrize("procedure", ["rhinoplasty", "mentoplasty"])
def test_all_steps_together_spoil_nothing(head, operate, procedure):
    total = operate(procedure, **at_most(procedure)).total_mm()
    assert not any(bad.any() for bad in spoiled(head[0], total))


@pytest.mark.parametrize("procedure", ["rhinoplasty", "mentoplasty"])
def test_a_mirrored_head_gives_the_mirrored_result(head, operate, procedure):
    values = {name: catalogue()[procedure].step(name).typical for name in at_most(procedure)}
    values |= {"alar_base_mm": {"left": -3.0, "right": -1.0}} if procedure == "rhinoplasty" else {}
    other = {name: {"left": v["right"], "right": v["left"]} if isinstance(v, dict) else -v if name in ASIDE else v
             for name, v in values.items()}
    lopsided = Mesh(vertices_mm=head[0].vertices_mm + [0, 0, 0] + 0.02 * head[0].vertices_mm[:, [1, 2, 0]],
                    faces=head[0].faces, uv=head[0].uv, faces_uv=head[0].faces_uv)
    here = operate(procedure, on=(lopsided, head[1]), **values).total_mm()
    there = operate(procedure, on=mirrored(lopsided, head[1]), **other).total_mm()
    assert length(here).max() > 1
    np.testing.assert_allclose(there * [-1, 1, 1], here, atol=1e-3)


def test_a_symmetric_head_changes_symmetrically(head, operate):
    mesh, _ = head
    total = operate("rhinoplasty", intensity=100).total_mm()
    moving = np.flatnonzero(length(total) > 0)
    there = mesh.vertices_mm[moving] * [-1, 1, 1]
    gap = np.linalg.norm(mesh.vertices_mm[None, moving] - there[:, None], axis=2)
    assert gap.min(1).max() < 1e-9
    np.testing.assert_allclose(total[moving[gap.argmin(1)]], total[moving] * [-1, 1, 1], atol=0.05)


@pytest.mark.parametrize(("procedure", "step"), STEPS)
def test_finer_triangles_give_the_same_field(head, operate, fine_head, procedure, step):
    value = {step: catalogue()[procedure].step(step).typical}
    coarse = operate(procedure, **value).total_mm()
    fine = operate(procedure, on=fine_head, **value).total_mm()[:len(coarse)]
    assert length(fine - coarse).max() < 0.2


def test_a_solved_field_is_found_again_by_its_contents(head):
    mesh, anatomy = head
    copy = mesh.with_vertices(mesh.vertices_mm)
    first = field_of(mesh, anatomy, catalogue()["rhinoplasty"])
    before = solve.cache_info().misses
    assert field_of(copy, anatomy, catalogue()["rhinoplasty"]) is first
    assert solve.cache_info().misses == before
    moved = mesh.with_vertices(mesh.vertices_mm * 1.001)
    assert field_of(moved, anatomy, catalogue()["rhinoplasty"]) is not first


def test_wendland_is_one_at_zero_and_nothing_from_its_support_on():
    assert wendland(np.array([0.0, 1.0, 3.0, np.inf])).tolist() == [1, 0, 0, 0]
    r = np.linspace(0, 1.2, 500)
    assert (np.diff(wendland(r)) <= 0).all()
    assert wendland(np.array([1 / 1.5]))[0] < 0.05


def changed(procedure: str, **fields) -> Procedure:
    return Procedure.model_validate({**catalogue()[procedure].model_dump(), **fields})


def without_pin(anatomy: Anatomy, name: str) -> Anatomy:
    rows = [k for k, n in enumerate(anatomy.pin_names) if n != name]
    return Anatomy(pins478=anatomy.pins478, pin_names=tuple(anatomy.pin_names[k] for k in rows),
                   pin_points=anatomy.pin_points[rows], region_names=anatomy.region_names,
                   region_weights=anatomy.region_weights)


@pytest.mark.parametrize("pin", ["rhi", "se", "sn"])
def test_a_missing_pin_has_a_name(head, pin):
    with pytest.raises(PrevisageError) as caught:
        field_of(head[0], without_pin(head[1], pin), catalogue()["rhinoplasty"])
    assert caught.value.code == "missing_pin" and repr(pin) in caught.value.message


def test_a_missing_region_has_a_name(head):
    with pytest.raises(PrevisageError) as caught:
        field_of(*head, changed("rhinoplasty", immobile=("trunk",)))
    assert caught.value.code == "missing_region" and "trunk" in caught.value.message


def test_a_handle_in_a_still_part_has_a_name(head):
    with pytest.raises(PrevisageError) as caught:
        field_of(*head, changed("mentoplasty", immobile=("lips", "chin")))
    assert caught.value.code == "handle_in_still_part" and "pg" in caught.value.message


def test_an_own_place_keeps_off_what_must_be_still(head):
    """An immobile region that fades out over the side of the nose: the place beside it gives way."""
    mesh, anatomy = head
    usual = mesh.points(handle_points(mesh, anatomy, catalogue()["rhinoplasty"])[1])
    row = catalogue()["rhinoplasty"].pins().index("side_upper_l")
    weights = anatomy.region_weights.copy()
    number = anatomy.region_names.index("eyelids_l")
    fades = 0.04 * np.clip(1 - np.linalg.norm(mesh.vertices_mm - usual[row] - [4, 0, 0], axis=1) / 8, 0, 1)
    weights[number] = np.maximum(weights[number], fades)
    wide = Anatomy(pins478=anatomy.pins478, pin_names=anatomy.pin_names, pin_points=anatomy.pin_points,
                   region_names=anatomy.region_names, region_weights=weights)
    points = handle_points(mesh, wide, catalogue()["rhinoplasty"])[1]
    lids = points.on(wide.region("eyelids_l").astype(float)[:, None], mesh.faces)[:, 0]
    before = points[[row]].on(anatomy.region("eyelids_l").astype(float)[:, None], mesh.faces)
    assert lids[row] <= CLEAR + 1e-6 and before.max() <= CLEAR
    away = np.linalg.norm(mesh.points(points) - usual, axis=1)
    assert 0.5 < away[row] < 8 and np.delete(away, row).max() < 1e-9  # it alone lay there


def test_handles_on_one_spot_have_a_name(head):
    mesh, anatomy = head
    rows = [anatomy.pin_names.index(n) if n != "supratip" else anatomy.pin_names.index("prn")
            for n in anatomy.pin_names]
    double = Anatomy(pins478=anatomy.pins478, pin_names=anatomy.pin_names, pin_points=SurfacePoints(
        face=anatomy.pin_points.face[rows], bary=anatomy.pin_points.bary[rows]), region_names=anatomy.region_names,
        region_weights=anatomy.region_weights)
    with pytest.raises(PrevisageError) as caught:
        field_of(mesh, double, catalogue()["rhinoplasty"])
    assert caught.value.code == "handles_coincide"


def test_a_spoiled_surface_is_said(head):
    step = next(s for s in catalogue()["rhinoplasty"].model_dump()["steps"] if s["name"] == "alar_base_mm")
    wild = changed("rhinoplasty", steps=[{**step, "typical": -22, "maximum": -40, "clamp": (-60, 0)}])
    plan = Plan.model_validate({"procedures": [{"procedure": "rhinoplasty", "values": {"alar_base_mm": -60}}]})
    prediction = predict(*head, plan, {"rhinoplasty": wild})
    assert "triangles are turned inside out" in prediction.warnings[0]


def test_a_procedure_written_in_yaml_works_without_code(head):
    mesh, anatomy = head
    manual = (Path(__file__).parents[2] / "docs" / "procedures.md").read_text("utf-8")
    lips = read_procedure("manual", re.findall(r"```yaml\n(name: .*?)```", manual, re.DOTALL)[0])
    plan = Plan.model_validate({"procedures": [{"procedure": lips.name, "intensity": 100}]})
    prediction = predict(mesh, anatomy, plan, {lips.name: lips})
    assert max(item.error_mm for item in prediction.landed) <= LANDS_MM + 1e-9
    assert {item.pin: item.asked_mm for item in prediction.landed}["ls"] == pytest.approx((0, 0.4, 2))
    total = prediction.total_mm()
    assert not total[anatomy.region("lips") < 0.05].any() and not any(bad.any() for bad in spoiled(mesh, total))
    assert prediction.volume_added_ml > 0.1 and prediction.volume_removed_ml < 0.1 * prediction.volume_added_ml
