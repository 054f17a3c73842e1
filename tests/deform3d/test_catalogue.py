"""The catalogue: what ships is sound, every fault of a file or a plan has its named error."""

import math
import re
from pathlib import Path

import pytest
import yaml

from core import Plan, PlannedProcedure
from core.errors import PrevisageError, UsageError
from deform3d import catalogue, clinical_flags, load_catalogue, read_plan, resolve
from deform3d.catalogue import read_procedure, with_own
from deform3d.flags import consequences

FOLDER = Path(__file__).parents[2] / "data" / "procedures"


def plan(procedure="rhinoplasty", intensity=None, **values) -> Plan:
    return Plan(procedures=[PlannedProcedure(procedure=procedure, intensity=intensity, values=values)])


def values_of(wanted: Plan) -> dict[str, float]:
    """The amounts of a rhinoplasty, by step (and side)."""
    return {a.name.removeprefix("rhinoplasty."): a.value for a in resolve(wanted, catalogue())}


def refused(value) -> UsageError:
    with pytest.raises(UsageError) as caught:
        resolve(value, catalogue())
    assert caught.value.exit_code == 2
    return caught.value


def test_the_shipped_procedures():
    assert set(catalogue()) == {
        "blepharoplasty_lower", "blepharoplasty_upper", "brow_lift", "buccal_reduction", "lip_augmentation", "lip_lift",
        "malar_augmentation", "masseter_reduction", "mentoplasty", "neck_lift", "orthognathic_bimaxillary",
        "orthognathic_mandible", "orthognathic_maxilla", "otoplasty", "rhinoplasty", "rhytidectomy"}
    nose = {s.name: s for s in catalogue()["rhinoplasty"].steps}
    hump, rotation, alar = nose["hump_mm"], nose["tip_rotation_deg"], nose["alar_base_mm"]
    assert (hump.typical, hump.maximum, hump.clamp) == (2.5, 4.4, (0, 5))
    assert (rotation.typical, rotation.maximum, rotation.clamp) == (8, 15, (-8, 15))
    assert (alar.typical, alar.clamp) == (-3, (-8, 0))
    assert all(p.category != "other" and p.healing for p in catalogue().values())


def test_every_number_carries_a_mark_and_a_source():
    for procedure in catalogue().values():
        evidence = list(procedure.evidence())
        assert len(evidence) > 3 * len(procedure.steps)
        for one in evidence:
            assert one.mark in "MVPTDE" and len(one.source) > 8
        cited = {key for one in evidence for key in re.findall(r"\[([^\]]+)\]", one.source)}
        assert cited == set(procedure.sources), "a listed source is never cited"


def test_measured_numbers_cite_a_source():
    for procedure in catalogue().values():
        for one in procedure.evidence():
            if one.mark in "MV":
                assert "[" in one.source, one.source


def test_intensity_sets_the_preset_steps_linearly():
    half = values_of(plan(intensity=50))
    assert {k: v for k, v in half.items() if v} == {"hump_mm": 2.2, "tip_rotation_deg": 7.5, "alar_base_mm.left": -2.5,
                                                    "alar_base_mm.right": -2.5}
    for intensity in (0, 10, 55, 100):
        values = values_of(plan(intensity=intensity))
        for name, value in values.items():
            assert value == pytest.approx(half[name] * intensity / 50, abs=1e-12)


def test_typical_values_lie_between_50_and_60_percent():
    for procedure in catalogue().values():
        for step in procedure.steps:
            assert abs(step.at(50.0)) <= abs(step.typical) + 1e-9 and abs(step.typical) <= abs(step.at(60.0)) + 1e-9


def test_named_values_win_and_alone_leave_the_rest_at_zero():
    alone = values_of(plan(tip_projection_mm=-2))
    assert {k: v for k, v in alone.items() if v} == {"tip_projection_mm": -2}
    both = values_of(plan(intensity=100, hump_mm=1))
    assert (both["hump_mm"], both["tip_rotation_deg"]) == (1, 15)


def test_neither_intensity_nor_values_gives_the_typical_operation():
    values = values_of(plan())
    assert {k: v for k, v in values.items() if v} == {"hump_mm": 2.5, "tip_rotation_deg": 8, "alar_base_mm.left": -3,
                                                      "alar_base_mm.right": -3}


def test_unknown_names_list_the_known_ones():
    error = refused(plan("rinoplasty"))
    assert error.code == "unknown_procedure" and "rhinoplasty" in error.hint
    error = refused(plan(hump=2))
    assert error.code == "unknown_step" and "hump_mm" in error.hint and "'hump'" in error.message


@pytest.mark.parametrize(("step", "value"), [("hump_mm", 5.01), ("hump_mm", -0.1), ("tip_rotation_deg", 15.1),
                                             ("tip_rotation_deg", -8.5), ("alar_base_mm", -9), ("alar_base_mm", 1)])
def test_beyond_the_clamp_says_the_range_and_its_source(step, value):
    error = refused(plan(**{step: value}))
    low, high = catalogue()["rhinoplasty"].step(step).clamp
    assert error.code == "beyond_clamp"
    assert f"{low:g} to {high:g}" in error.message and "evidence E" in error.message
    assert catalogue()["rhinoplasty"].step(step).evidence.clamp.source in error.message


def test_the_clamp_itself_is_allowed():
    for step in catalogue()["rhinoplasty"].steps:
        for value in step.clamp:
            values = values_of(plan(**{step.name: value}))
            assert values[step.name + (".left" if step.sided else "")] == value


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_not_a_number_is_refused_even_past_validation(value):
    with pytest.raises(UsageError) as caught:
        read_plan({"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": value}}]})
    assert caught.value.code == "bad_plan" and "hump_mm" in caught.value.message
    forced = PlannedProcedure.model_construct(procedure="rhinoplasty", intensity=None, values={"hump_mm": value})
    assert refused(Plan.model_construct(id="x", procedures=[forced])).code == "not_a_number"


@pytest.mark.parametrize("value", [{}, {"procedures": []}, {"procedures": [{"procedure": "a", "intensity": 101}]}, None,
                                   {"procedures": [{"procedure": "a", "side": "l"}]}, [1], "rhinoplasty"])
def test_a_plan_that_is_none_is_refused(value):
    with pytest.raises(UsageError) as caught:
        read_plan(value)
    assert caught.value.code == "bad_plan"


def test_a_good_plan_is_read():
    assert read_plan({"procedures": [{"procedure": "rhinoplasty", "intensity": 40}]}) == plan(intensity=40)


SIDED = {"procedure": "rhinoplasty", "values": {"alar_base_mm": {"left": -2}}}


def test_a_step_with_sides_takes_one_number_or_two_and_a_plan_may_be_one_sided():
    assert values_of(read_plan({"procedures": [SIDED]}))["alar_base_mm.left"] == -2
    assert values_of(read_plan({"procedures": [SIDED]}))["alar_base_mm.right"] == 0
    left = values_of(read_plan({"procedures": [{"procedure": "rhinoplasty", "intensity": 100, "side": "left"}]}))
    assert (left["alar_base_mm.left"], left["alar_base_mm.right"], left["hump_mm"]) == (-5, 0, 4.4)


@pytest.mark.parametrize(("planned", "code"), [
    ({**SIDED, "side": "right"}, "sides_contradict"),
    ({"procedure": "rhinoplasty", "values": {"hump_mm": {"left": 1}}}, "no_sides"),
    ({"procedure": "rhinoplasty", "values": {"hump_mm": 1, "dorsum_augmentation_mm": 1}}, "steps_contradict"),
    ({"procedure": "rhinoplasty", "values": {"alar_base_mm": {"left": -9}}}, "beyond_clamp")])
def test_sides_and_steps_that_contradict_are_refused(planned, code):
    assert refused(read_plan({"procedures": [planned]})).code == code


def test_a_step_of_one_side_needs_its_side():
    step = catalogue()["rhinoplasty"].step("alar_base_mm").model_copy(update={"side_required": True, "preset": False})
    one = catalogue()["rhinoplasty"].model_copy(update={"steps": (step,)})
    for side, code in ((None, "side_missing"), ("left", None)):
        planned = {"procedure": "rhinoplasty", "values": {"alar_base_mm": -2}} | ({"side": side} if side else {})
        if code is None:
            assert [a.value for a in resolve(read_plan({"procedures": [planned]}), {"rhinoplasty": one})] == [-2, 0]
            continue
        with pytest.raises(UsageError) as caught:
            resolve(read_plan({"procedures": [planned]}), {"rhinoplasty": one})
        assert caught.value.code == code


def test_an_override_with_its_reason_passes_the_clamp_but_not_all_sense():
    beyond = {"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": 6}}]}
    given = [{"what": "rhinoplasty.hump_mm", "reason": "revision of a very large hump"}]
    assert refused(read_plan(beyond)).code == "beyond_clamp" and "overrides" in refused(read_plan(beyond)).hint
    assert values_of(read_plan({**beyond, "overrides": given}))["hump_mm"] == 6
    mad = {"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": 60}}], "overrides": given}
    assert refused(read_plan(mad)).code == "beyond_sense"
    for wrong in ([{"what": "rhinoplasty.hump_mm"}], [{"what": "rhinoplasty.hump_mm", "reason": ""}]):
        with pytest.raises(UsageError):
            read_plan({**beyond, "overrides": wrong})


@pytest.mark.parametrize(("plan", "words", "hint"), [
    (None, "plan is empty", "procedures"),
    (["rhinoplasty"], "not a list of what to do by name", "procedures"),
    ({"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": math.nan}}]}, "finite number", "procedures"),
    ({"procedures": [{"procedure": "rhinoplasty", "values": {"alar_base_mm": {"left": math.inf}}}]},
     "alar_base_mm.Sides.left: Input should be a finite number", "procedures"),
    ({"procedures": [{"procedure": "rhinoplasty"}], "overrides": [{"what": "rhinoplasty.hump_mm"}]}, "reason", "WHY"),
    ({"free": [{"at": "pg", "move_mm": [9, 0, 0], "radius_mm": 4}]}, "half as long", "LANDMARK"),
    ({"procedures": [{"procedure": "rhinoplasty"}], "overlap": "both"}, "overlap", "in_turn")])
def test_what_is_wrong_in_a_plan_is_said_once_with_how_that_part_is_written(plan, words, hint):
    with pytest.raises(UsageError) as caught:
        read_plan(plan)
    assert words in caught.value.message and hint in caught.value.hint
    assert "valid dictionary" not in caught.value.message


def test_only_a_length_is_part_of_a_length():
    text = (FOLDER / "rhinoplasty.yaml").read_text("utf-8")
    wrong = text.replace("unit: deg", "unit: deg\n    part_of: {start: sn, end: ls, most: 0.3, evidence: {mark: E, "
                         "source: none}}", 1)
    with pytest.raises(PrevisageError, match="only a step in mm"):
        read_procedure("rhinoplasty.yaml", wrong)


def test_a_procedure_named_twice_is_refused():
    planned = PlannedProcedure(procedure="rhinoplasty", intensity=10)
    assert refused(Plan(procedures=[planned, planned])).code == "procedure_twice"


BROKEN = {
    "not_yaml": (lambda text: "name: [", "not YAML"),
    "not_a_mapping": (lambda text: "- 1", "file"),
    "unknown_key": (lambda text: text + "\nprice: 3\n", "price"),
    "typical_at_90_percent": (lambda text: text.replace("typical: 2.5", "typical: 4"), "50 to 60 %"),
    "maximum_beyond_clamp": (lambda text: text.replace("clamp: [0, 5]", "clamp: [0, 4]"), "within the clamp"),
    "clamp_without_zero": (lambda text: text.replace("clamp: [0, 5]", "clamp: [1, 5]"), "contains 0"),
    "no_mark": (lambda text: text.replace("mark: M, ", "", 1), "mark"),
    "unknown_mark": (lambda text: text.replace("mark: M,", "mark: X,", 1), "mark"),
    "uncited_source": (lambda text: text.replace("  RHIN09:", "  OTHER09:"), "RHIN09"),
    "nan": (lambda text: text.replace("maximum: 4.4", "maximum: .nan"), "finite"),
    "mm_step_that_turns": (lambda text: text.replace("unit: deg", "unit: mm"), "rotate_about"),
    "follows_nobody": (lambda text: text.replace("follow: rhi", "follow: prn"), "follow names"),
    "two_motions": (lambda text: text.replace("move: [0, -0.2, -0.98]", "move: [0, -0.2, -0.98]\n        medial: 1", 1),
                    "exactly one"),
    "point_weights": (lambda text: text.replace("{se: 0.5, rhi: 0.5}", "{se: 0.5, rhi: 0.4}"), "sum to 1"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_named_with_what_is_wrong(tmp_path, fault):
    change, expected = BROKEN[fault]
    text = (FOLDER / "rhinoplasty.yaml").read_text("utf-8")
    assert change(text) != text
    (tmp_path / "rhinoplasty.yaml").write_text(text, "utf-8")
    assert "rhinoplasty" in load_catalogue(tmp_path)
    (tmp_path / "rhinoplasty.yaml").write_text(change(text), "utf-8")
    with pytest.raises(PrevisageError) as caught:
        load_catalogue(tmp_path)
    assert caught.value.code == "bad_procedure_file"
    assert "rhinoplasty.yaml" in caught.value.message and expected in caught.value.message


def test_an_empty_folder_and_a_procedure_in_two_files_are_refused(tmp_path):
    with pytest.raises(PrevisageError) as caught:
        load_catalogue(tmp_path)
    assert caught.value.code == "no_procedures"
    for name in ("a.yaml", "b.yaml"):
        (tmp_path / name).write_text((FOLDER / "mentoplasty.yaml").read_text("utf-8"), "utf-8")
    with pytest.raises(PrevisageError, match="already in another file"):
        load_catalogue(tmp_path)


def test_a_person_adds_a_procedure_by_writing_one_file(tmp_path, monkeypatch):
    manual = (FOLDER.parents[1] / "docs" / "procedures.md").read_text("utf-8")
    text = re.findall(r"```yaml\n(name: .*?)```", manual, re.DOTALL)[0]
    (tmp_path / "lip_border.yaml").write_text(text, "utf-8")
    monkeypatch.setenv("PREVISAGE_PROCEDURES", str(tmp_path))
    assert set(catalogue()) - {"lip_border"} == set(load_catalogue(FOLDER)) and "lip_border" in catalogue()
    (tmp_path / "nose.yaml").write_text((FOLDER / "rhinoplasty.yaml").read_text("utf-8"), "utf-8")
    with_own.cache_clear()
    with pytest.raises(PrevisageError, match="ships with Previsage"):
        catalogue()
    monkeypatch.setenv("PREVISAGE_PROCEDURES", str(tmp_path / "missing"))
    with pytest.raises(PrevisageError, match="no folder"):
        catalogue()


def test_the_manual_s_plan_is_a_plan():
    manual = (FOLDER.parents[1] / "docs" / "procedures.md").read_text("utf-8")
    written = read_plan(yaml.safe_load(re.findall(r"```yaml\n(id: .*?)```", manual, re.DOTALL)[0]))
    assert len(resolve(written, catalogue())) > 20
    assert set(consequences(written, resolve(written, catalogue()), clinical_flags())) == {
        p.procedure for p in written.procedures}


def test_the_example_of_the_manual_is_a_procedure(tmp_path):
    manual = (FOLDER.parents[1] / "docs" / "procedures.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(name: .*?)```", manual, re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        (tmp_path / f"{number}.yaml").write_text(block, "utf-8")
    assert set(load_catalogue(tmp_path)) == {yaml.safe_load(block)["name"] for block in blocks}
