"""The case folder: foreign folders are refused, a stage runs when and only when its inputs or outputs changed."""

import json
import os
from pathlib import Path

import pytest

from core.case import MANIFEST, Case
from core.errors import InputRefused, PrevisageError


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case.create(tmp_path / "case", {"previsage": "0.1.0"})


class Work:
    """A stage that counts its runs."""

    def __init__(self, text: str = "result") -> None:
        self.text, self.runs = text, 0

    def __call__(self, folder: Path) -> None:
        self.runs += 1
        (folder / "deep").mkdir()
        (folder / "deep" / "out.txt").write_text(self.text)


def test_create_then_open_is_the_same_case(case: Case) -> None:
    written = json.loads((case.folder / "case.json").read_text())
    assert Case.create(case.folder, {}).folder == case.folder
    assert json.loads((Case.open(case.folder).folder / "case.json").read_text()) == written
    assert written["versions"] == {"previsage": "0.1.0"} and len(written["id"]) == 32


def test_a_folder_with_other_things_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(InputRefused) as refused:
        Case.create(tmp_path, {})
    assert (refused.value.code, refused.value.exit_code) == ("not_empty", 3)
    assert os.listdir(tmp_path) == ["thesis.doc"]
    with pytest.raises(InputRefused, match="not a Previsage case"):
        Case.create(tmp_path / "thesis.doc", {})


def test_an_empty_folder_and_one_killed_at_birth_become_cases(tmp_path: Path) -> None:
    (tmp_path / ".case.json.tmp-0123abcd").write_text("{")
    made = Case.create(tmp_path, {})
    made.sweep()
    assert os.listdir(tmp_path) == ["case.json"]


def test_open_refuses_what_is_no_case_or_of_another_schema(tmp_path: Path, case: Case) -> None:
    with pytest.raises(InputRefused, match="not a Previsage case"):
        Case.open(tmp_path)
    (case.folder / "case.json").write_text('{"schema": 99}')
    with pytest.raises(InputRefused) as refused:
        Case.open(case.folder)
    assert refused.value.code == "other_schema"
    (case.folder / "case.json").write_text("{")
    with pytest.raises(PrevisageError) as damaged:
        Case.open(case.folder)
    assert damaged.value.code == "case_damaged"


def test_the_second_run_is_skipped(case: Case) -> None:
    work = Work()
    assert case.run_stage("recon", {"video": "abc"}, work) is True
    assert case.run_stage("recon", {"video": "abc"}, work) is False
    assert work.runs == 1
    assert Case.open(case.folder).run_stage("recon", {"video": "abc"}, work) is False


def test_a_changed_input_runs_again_and_replaces_everything(case: Case) -> None:
    case.run_stage("recon", {"video": "abc"}, Work("old"))
    (case.recon / "stray").write_text("not of the new result")
    assert case.run_stage("recon", {"video": "abd"}, Work("new"))
    assert (case.recon / "deep" / "out.txt").read_text() == "new"
    assert not (case.recon / "stray").exists()


@pytest.mark.parametrize("harm", ["alter", "delete", "manifest", "empty manifest", "list manifest"])
def test_an_altered_or_missing_output_runs_again(case: Case, harm: str) -> None:
    work, out = Work(), case.recon / "deep" / "out.txt"
    case.run_stage("recon", 1, work)
    match harm:
        case "alter":
            out.write_text("resulT")
        case "delete":
            out.unlink()
        case "manifest":
            (case.recon / MANIFEST).write_text("{")
        case "empty manifest":
            (case.recon / MANIFEST).write_text("{}")
        case _:
            (case.recon / MANIFEST).write_text("[1]")
    assert case.stage_key("recon") is None
    assert case.run_stage("recon", 1, work) and work.runs == 2
    assert out.read_text() == "result" and case.stage_key("recon") is not None


@pytest.mark.parametrize("stop", [RuntimeError("no face"), KeyboardInterrupt()])
def test_work_that_stops_leaves_the_old_result_and_its_key(case: Case, stop: BaseException) -> None:
    case.run_stage("recon", 1, Work("old"))
    key = case.stage_key("recon")

    def broken(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise stop

    with pytest.raises(type(stop)):
        case.run_stage("recon", 2, broken)
    assert case.stage_key("recon") == key
    assert (case.recon / "deep" / "out.txt").read_text() == "old"
    assert case.run_stage("recon", 2, Work("new")) is True
    assert sorted(os.listdir(case.folder)) == ["case.json", "recon"]


def test_plans_are_listed_when_they_are_whole(case: Case) -> None:
    for n, name in enumerate(["b", "a"]):
        case.run_stage(f"plans/{name}", name, Work())
        os.utime(case.plan(name) / MANIFEST, (n, n))
    (case.folder / "plans" / "unfinished").mkdir()
    (case.folder / "plans" / ".c.tmp-0123abcd").mkdir()
    (case.folder / "plans" / ".c.tmp-0123abcd" / MANIFEST).write_text("{}")
    assert case.plan_ids() == ["b", "a"]
    case.sweep()
    assert not (case.folder / "plans" / ".c.tmp-0123abcd").exists()
