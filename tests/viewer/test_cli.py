"""The command line: exit codes, one JSON object, help that teaches, and the same as a process of its own."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

import previsage
from core import PrevisageError, UsageError
from viewer import terminal
from viewer.plans import plan_from

ROOT = Path(__file__).parents[2]
COMMANDS = ("demo", "reconstruct", "predict", "render", "photo", "metrics", "view", "serve", "procedures", "models",
            "bench", "doctor")

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def case(made_case: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_case, tmp_path / "case"))


def one_object(text: str) -> dict:
    """stdout is exactly one JSON object."""
    assert text.count("\n") == 1
    found = json.loads(text)
    assert isinstance(found, dict)
    return found


# --- help -------------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_the_exit_codes(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0 and all(re.search(rf"^  {c} ", out, re.MULTILINE) for c in COMMANDS)
    assert "3 input refused" in out and "\n    previsage demo" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(call: Call, command: str) -> None:
    code, out, _ = call(command, "--help")
    assert code == 0 and "--json" in out
    assert command in ("procedures", "models", "doctor") or f"\n    previsage {command}" in out, "an example, on a line"


@pytest.mark.parametrize(("command", "options"), [
    ("demo", ["-o"]), ("reconstruct", ["-o", "--model", "--ipd-mm", "--marker-mm", "--quality"]),
    ("predict", ["--procedure", "--intensity", "--step", "--plan", "--id"]), ("render", ["--plan", "--views", "-o"]),
    ("view", ["--plan", "--screenshot"]), ("serve", ["--cases", "--host", "--port"])])
def test_the_options_keep_their_names(call: Call, command: str, options: list[str]) -> None:
    out = call(command, "--help")[1]
    assert [o for o in options if not re.search(rf"(?<![\w-]){o}\b", out)] == []


# --- usage: exit 2 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [
    [], ["nothing"], ["reconstruct"], ["reconstruct", "a.mp4"],
    ["reconstruct", "a.mp4", "-o", "c", "--quality", "best"],
    ["reconstruct", "a.mp4", "-o", "c", "--model", "x"], ["reconstruct", "a.mp4", "-o", "c", "--ipd-mm", "6.3"],
    ["reconstruct", "a.mp4", "-o", "c", "--ipd-mm", "wide"], ["predict", "CASE"],
    ["predict", "CASE", "--procedure", "x"], ["predict", "CASE", "--procedure", "rhinoplasty", "--intensity", "101"],
    ["predict", "CASE", "--procedure", "rhinoplasty", "--intensity", "nan"],
    ["predict", "CASE", "--procedure", "rhinoplasty", "--step", "hump=1"],
    ["predict", "CASE", "--procedure", "rhinoplasty", "--step", "hump_mm=50"],
    ["predict", "CASE", "--procedure", "rhinoplasty", "--step", "hump_mm"],
    ["predict", "CASE", "--procedure", "rhinoplasty", "--id", "../x"], ["predict", "CASE", "--plan", "missing.yaml"],
    ["render", "CASE", "--plan", "x"], ["render", "CASE", "--views", "x"], ["serve", "--host", "0.0.0.0"],
    ["serve", "--port", "0"], ["view", "CASE", "--plan", "x", "--screenshot", "x.png"]], ids=" ".join)
def test_a_wrong_call_exits_2_and_says_what_to_do(call: Call, made_case: Path, words: list[str], tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    given = [str(made_case) if w == "CASE" else w for w in words]
    code, out, err = call(*given)
    assert (code, out) == (2, "") and err.startswith("previsage: error: ") and err.count("\n") >= 2
    code, out, err = call(*given, "--json")
    error = one_object(out)["error"]
    assert (code, err) == (2, "") and error["exit_code"] == 2 and error["code"] and error["message"] and error["hint"]
    assert list(tmp_path.iterdir()) == []


# --- input refused: exit 3 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "folder without pictures", "no rotation"])
def test_an_unusable_input_exits_3_and_leaves_nothing(call: Call, kind: str, still_video: Path, tmp_path: Path) -> None:
    given = tmp_path / "given.mp4"
    match kind:
        case "text":
            given.write_text("not a video at all")
        case "empty":
            given.touch()
        case "folder without pictures":
            given.mkdir()
            (given / "notes.txt").write_text("x")
        case "no rotation":
            given = still_video
    code, out, err = call("reconstruct", given, "-o", tmp_path / "case")
    assert (code, out) == (3, "") and err.startswith("previsage: refused: ") and not (tmp_path / "case").exists()
    code, out, err = call("reconstruct", given, "-o", tmp_path / "case", "--json")
    assert (code, err) == (3, "") and one_object(out)["error"]["exit_code"] == 3
    if kind == "no rotation":
        assert "photo" in json.loads(out)["error"]["hint"]


def test_a_folder_that_is_no_case_is_refused_and_kept(call: Call, demo_video: Path, tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    assert call("predict", tmp_path / "letters", "--procedure", "rhinoplasty")[0] == 3
    assert call("reconstruct", demo_video, "-o", tmp_path / "letters")[0] == 3
    assert [p.name for p in (tmp_path / "letters").iterdir()] == ["a.txt"]


# --- failed with a name: exit 1 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("error", "code"), [
    (PrevisageError("disk_full", "The disk is full.", "Free some."), "disk_full"), (KeyboardInterrupt(), "interrupted"),
    (MemoryError(), "out_of_memory"), (OSError(5, "Input/output error"), "system"),
    (ZeroDivisionError("x"), "internal")])
def test_every_failure_exits_1_with_a_name(call: Call, monkeypatch: pytest.MonkeyPatch, error: BaseException,
                                           code: str, tmp_path: Path) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(previsage, "reconstruct", fails, raising=False)
    status, out, err = call("reconstruct", "a.mp4", "-o", tmp_path / "case", "--json")
    assert status == 1 and one_object(out)["error"]["code"] == code
    assert ("Traceback" in err) == (code == "internal")


def test_a_case_at_work_is_left_alone(call: Call, case: Path) -> None:
    from previsage.job import working_on

    with working_on(case) as free:
        assert free
        code, out, _ = call("predict", case, "--procedure", "rhinoplasty", "--json")
    assert code == 1 and one_object(out)["error"]["code"] == "busy"


def test_a_taken_port_has_a_name(call: Call, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, out, _ = call("serve", "--cases", tmp_path, "--port", other.getsockname()[1], "--json")
    assert code == 1 and one_object(out)["error"]["code"] == "port_taken"


# --- done: exit 0 -----------------------------------------------------------------------------------------------------


def test_reconstruct_says_what_was_made(call: Call, case: Path, demo_video: Path) -> None:
    words = ("reconstruct", demo_video, "-o", case, "--quality", "fast")
    code, out, err = call(*words)
    assert (code, err) == (0, "") and "95 %" in out and f"previsage predict {case}" in out
    record = one_object(call(*words, "--json")[1])
    assert record["model"] == "anny" and record["scale"]["interval95_percent"] > 0 and record["reprojection_px"] < 3
    assert record["quality"]["verdict"] and record["seconds"]["fit"] > 0


def test_predict_prints_asked_and_landed(call: Call, case: Path) -> None:
    words = ("predict", case, "--procedure", "rhinoplasty", "--step", "hump_mm=2", "--id", "gentle")
    code, out, err = call(*words)
    assert (code, err) == (0, "") and "asked" in out and "rhi" in out and "not a promise" in out
    record = one_object(call(*words, "--json")[1])
    values = {s["name"]: s["value"] for s in record["steps"]}
    assert values == {"rhinoplasty.hump_mm": 2}
    assert record["band_mm"]["low"] <= record["band_mm"]["mean"] + 1e-5 <= record["band_mm"]["high"] + 2e-5
    assert set(record["swelling_percent"]) <= {"rhinoplasty"} and record["min_dihedral_deg"] > 0
    assert record["id"] == "gentle" and max(i["error_mm"] for i in record["landed"]) < 0.1
    assert (case / "plans" / "gentle" / "views" / "sheet.png").is_file()


def test_render_lists_its_files(call: Call, case: Path, tmp_path: Path) -> None:
    code, out, _ = call("render", case, "-o", tmp_path / "out")
    assert code == 0 and all(Path(line).is_file() for line in out.splitlines()) and "sheet.png" in out
    assert "certainty.png" in out
    record = one_object(call("render", case, "--plan", "nose", "--views", "captured", "--json")[1])
    assert len(record["files"]) == 20 and (case / "plans/nose/views/captured/captured_1_pair.png").is_file()


def test_render_draws_the_band_and_the_swelling(call: Call, case: Path, tmp_path: Path) -> None:
    code, out, _ = call("render", case, "--plan", "nose", "--weeks", "1", "--band", "high")
    assert code == 0 and "high_0.23_months" in out
    swollen = sorted((case / "plans" / "nose" / "views" / "high_0.23_months").glob("*_after.png"))
    assert swollen and any(p.read_bytes() != (case / "plans/nose/views" / p.name).read_bytes() for p in swollen)
    for words in (("render", case, "--band", "low"), ("render", case, "--weeks", "3"),
                  ("render", case, "--plan", "nose", "--weeks", "0")):
        assert call(*words)[0] == 2


def test_solve_finds_a_plan_and_says_what_it_cannot_reach(call: Call, case: Path) -> None:
    words = ("solve", case, "--procedure", "rhinoplasty", "--procedure", "mentoplasty")
    code, out, _ = call(*words, "--goal", "chin_to_zero_meridian=90", "--step", "mentoplasty.advancement_mm")
    assert code == 0 and "NOT REACHED" in out and "mentoplasty.advancement_mm is at its clamp" in out
    out = call("solve", case, "--procedure", "mentoplasty", "--goal", "nasolabial_angle=100")[1]
    assert "Limit     Nasolabial angle: no step that may be used here brings it nearer" in out
    record = one_object(call(*words, "--goal", "nasolabial_angle=105", "--json")[1])
    (goal,) = record["goals"]
    assert goal["target"] == 105 and (case / "plans" / "goals" / "views" / "sheet.png").is_file()
    assert abs(goal["after"] - 105) < abs(goal["before"] - 105)
    for wrong in (("--goal", "nose=3"), (), ("--goal", "goode"), ("--target", "no.ply", "--goal", "goode=0.5"),
                  ("--goal", "goode=0.5", "--goal", "goode=0.6")):
        assert call(*words, *wrong)[0] == 2
    assert call(*words, "--target", "missing.ply")[0] == 3
    assert "nasolabial_angle" in call("measures")[1]


def test_flags_are_listed_and_obeyed(call: Call, case: Path) -> None:
    assert "facial_palsy" in call("procedures", "--flags")[1]
    code, _, err = call("predict", case, "--procedure", "otoplasty", "--flag", "keloid")
    assert code == 2 and "overrides" in err
    code, _, err = call("predict", case, "--procedure", "brow_lift", "--flag", "facial_palsy")
    assert code == 2 and "side" in err


def test_view_writes_a_screenshot(call: Call, made_case: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyvista", reason="the desktop window needs the extra `desktop`")
    code, out, _ = call("view", made_case, "--plan", "nose", "--screenshot", tmp_path / "shot.png", "--json")
    if code and one_object(out)["error"]["code"] == "no_display":
        pytest.skip("this machine cannot draw off screen")
    assert code == 0 and (tmp_path / "shot.png").stat().st_size > 10_000
    code, out, _ = call("view", made_case, "--show", "certainty", "--screenshot", tmp_path / "sure.png")
    assert code == 0 and (tmp_path / "sure.png").read_bytes() != (tmp_path / "shot.png").read_bytes()
    assert call("view", made_case, "--show", "bones", "--screenshot", tmp_path / "no.png")[0] == 2


def test_tables(call: Call) -> None:
    code, out, _ = call("procedures")
    assert code == 0 and all(w in out for w in ("rhinoplasty", "hump_mm", "deg", "[RHIN09]", "0 to 5"))
    found = one_object(call("procedures", "--json")[1])["procedures"]
    assert found["rhinoplasty"]["steps"][0]["clamp"] == [0, 5]
    assert "anny" in call("models")[1] and one_object(call("models", "--json")[1])["models"][0]["installed"]


def test_json_may_stand_before_the_command(call: Call) -> None:
    assert one_object(call("--json", "models")[1])["models"]


def test_as_a_process_of_its_own() -> None:
    """`python -m viewer.cli`, quiet without a terminal, stdout for the result and stderr for the error."""
    run = [sys.executable, "-m", "viewer.cli"]
    done = subprocess.run([*run, "models", "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and one_object(done.stdout)
    done = subprocess.run([*run, "reconstruct", "missing.mp4", "-o", "x"], cwd=ROOT, capture_output=True, text=True,
                          check=False)
    assert (done.returncode, done.stdout) == (3, "") and "missing.mp4" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX sends them")
def test_ctrl_c_inside_a_library_that_runs_a_string_still_exits_1(tmp_path: Path) -> None:
    (tmp_path / "stopped.py").write_text(
        "import os, signal, sys\nfrom viewer import cli\n"
        "def app(**words): exec('os.kill(os.getpid(), signal.SIGINT)')\n"
        "cli.app = app\nsys.exit(cli.main())\n")
    done = subprocess.run([sys.executable, "-m", "stopped"], capture_output=True, text=True, check=False,
                          env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])})
    assert done.returncode == 1 and "Stopped." in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX sends them")
def test_serve_says_where_and_ends_well_on_ctrl_c(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "viewer.cli", "serve", "--cases", str(tmp_path), "--port", str(port), "--json"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    address = one_object(child.stdout.readline())["address"]
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{address}api/v1/cases", timeout=5) as answer:
                assert json.load(answer) == {"cases": []}
            break
        except urllib.error.URLError:
            assert child.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, err) == (0, "")


def test_progress_is_drawn_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    with terminal.Terminal(False).progress() as progress:
        progress(0.5, "Finding the face: frame 1")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with terminal.Terminal(False).progress() as progress:
        progress(0.5, "Finding the [face]: frame 1")
    said = capsys.readouterr()
    assert said.out == "" and "Finding the [face]: frame 1" in said.err


# --- plans ------------------------------------------------------------------------------------------------------------


def test_the_usual_intensity_only_when_nothing_else_is_said(tmp_path: Path) -> None:
    def planned(*args):
        return plan_from(*args, 55.0).procedures[0]

    assert planned(["rhinoplasty"], None, [], None, None).intensity == 55
    assert planned(["rhinoplasty"], 20.0, [], None, None).intensity == 20
    steps = planned(["rhinoplasty"], None, ["hump_mm=2", "rhinoplasty.alar_base_mm=-1.5"], None, None)
    assert steps.intensity is None and steps.values == {"hump_mm": 2, "alar_base_mm": -1.5}
    assert plan_from(["rhinoplasty"], None, [], None, None, 55.0).id == "rhinoplasty"
    assert plan_from(["rhinoplasty"], None, [], None, "a", 55.0).id == "a"


@pytest.mark.parametrize("text", ['{"id": "p", "procedures": [{"procedure": "rhinoplasty", "intensity": 30}]}',
                                  "id: p\nprocedures:\n- procedure: rhinoplasty\n  intensity: 30\n"])
def test_a_plan_file_is_yaml_or_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "plan").write_text(text)
    plan = plan_from([], None, [], tmp_path / "plan", None, 55.0)
    assert (plan.id, plan.procedures[0].intensity) == ("p", 30)
    assert plan_from([], None, [], tmp_path / "plan", "other", 55.0).id == "other"


def test_several_procedures_sides_and_flags_on_the_command_line() -> None:
    plan = plan_from(["rhinoplasty", "mentoplasty"], None, ["rhinoplasty.hump_mm=2", "mentoplasty.vertical_mm.left=1",
                                                            "mentoplasty.vertical_mm.right=2"], None, None, 55.0,
                     "left", ["smoker", "facial_palsy:left:lock"])
    nose, chin = plan.procedures
    assert plan.id == "rhinoplasty-mentoplasty" and nose.side == chin.side == ("left",)
    sides = chin.values["vertical_mm"]
    assert nose.values == {"hump_mm": 2} and (sides.left, sides.right) == (1, 2)
    smoker, palsy = plan.flags
    assert (smoker.flag, smoker.side, smoker.lock) == ("smoker", None, False)
    assert (palsy.flag, palsy.side, palsy.lock) == ("facial_palsy", "left", True)


@pytest.mark.parametrize(("steps", "flags"), [(["hump_mm=2"], []), (["nose.hump_mm=2"], []), ([], ["a:up"]),
                                              ([], [":left"]), ([], ["a:left:right"])])
def test_bad_words_for_several_procedures(steps: list[str], flags: list[str]) -> None:
    with pytest.raises(UsageError):
        plan_from(["rhinoplasty", "mentoplasty"], None, steps, None, None, 55.0, None, flags)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"a: [", b"just words", b"procedures: []", b"procedures: 3\n",
                                     b"procedures: [{procedure: rhinoplasty, intensity: .nan}]", b"[]", b""])
def test_a_bad_plan_file_is_a_usage_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "plan.yaml").write_bytes(content)
    with pytest.raises(UsageError, match="plan|plan.yaml"):
        plan_from([], None, [], tmp_path / "plan.yaml", None, 55.0)


def test_a_file_and_options_do_not_mix(tmp_path: Path) -> None:
    for args in ((["rhinoplasty"], None, [], tmp_path / "p"), ([], 5.0, [], tmp_path / "p"),
                 ([], None, ["a=1"], tmp_path / "p"), ([], None, [], None)):
        with pytest.raises(UsageError):
            plan_from(*args, None, 55.0)


@pytest.mark.parametrize("steps", [["hump_mm"], ["=3"], ["hump_mm=wide"], ["hump_mm=inf"], ["hump_mm=1", "hump_mm=2"],
                                   ["a.left=1", "a=2"], ["a=1", "a.left=2"], ["a.left=1", "a.left=2"], ["a.up=1"]])
def test_bad_steps(steps: list[str]) -> None:
    with pytest.raises(UsageError):
        plan_from(["rhinoplasty"], None, steps, None, None, 55.0)
