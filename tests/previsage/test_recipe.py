"""The recipe on a real clip: resume, zero, refusals, interruption. One case is made per session and copied."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import core.files
import previsage
from core import InputRefused, Plan, PrevisageError, Reconstruction, UsageError
from core.case import MANIFEST, Case
from core.files import read_json
from core.store import load_prediction
from previsage import recipe
from tests.previsage.made import FAST, nose

ROOT = Path(__file__).parents[2]


def mtimes(folder: Path) -> dict[str, int]:
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def case(made_case: Path, tmp_path: Path) -> Path:
    """A copy of the finished case."""
    return Path(shutil.copytree(made_case, tmp_path / "case"))


def test_a_case_has_every_file_it_always_has(made_case: Path) -> None:
    names = ("case.json", "capture/capture.json", "recon/mesh.ply", "recon/head.glb", "recon/landmarks478.npy",
             "recon/cameras.json", "recon/fit.json", "plans/nose/predicted.glb", "plans/nose/displacement.npy",
             "plans/nose/views/frontal_before.png", "plans/nose/views/left_lateral_after.png",
             "plans/nose/views/left_oblique_pair.png", "plans/nose/views/basal_change.png",
             "plans/nose/views/frontal_wireframe_before.png", "plans/nose/views/sheet.png")
    assert [n for n in names if not (made_case / n).is_file()] == []
    assert Case(made_case).plan_ids() == ["nose"]


def test_the_fit_says_what_it_rests_on(made_case: Path) -> None:
    fit = read_json(made_case / "recon" / "fit.json")
    assert set(fit["seconds"]) >= {"capture", "fit", "texture"} and fit["what_ran"] and fit["versions"]["mediapipe"]
    assert fit["scale"]["source"] and 0 < fit["scale"]["sd_relative"] < 0.1
    assert 0 < fit["reprojection_px"]["median"] < 3 and len(fit["reprojection_px"]["per_view"]) == fit["views"]


def test_the_same_call_does_nothing_again(case: Path, demo_video: Path) -> None:
    before, said = mtimes(case), []
    head = previsage.reconstruct([demo_video], case, FAST, lambda f, message: said.append(message))
    previsage.predict(case, nose(), lambda f, message: said.append(message))
    assert mtimes(case) == before and isinstance(head, Reconstruction)
    assert not any("Finding" in m or "Gathering" in m or "Moving" in m for m in said)


def test_another_option_makes_the_head_and_its_plans_anew_but_not_the_capture(case: Path, demo_video: Path) -> None:
    before, old = mtimes(case), previsage.load(case)
    options = previsage.ReconstructOptions(quality="fast", ipd_mm=70.0)
    head = previsage.reconstruct([demo_video], case, options)
    after = mtimes(case)
    assert head.scale.source == "ipd" and head.scale.mm_per_unit != old.scale.mm_per_unit
    assert after["capture/capture.json"] == before["capture/capture.json"]
    assert after["recon/fit.json"] != before["recon/fit.json"]
    inputs = read_json(case / "plans" / "nose" / MANIFEST)["inputs"]
    assert inputs["head"] == Case(case).stage_key("recon"), "a plan never belongs to another head"


def test_a_damaged_file_is_made_again(case: Path) -> None:
    (case / "plans" / "nose" / "displacement.npy").write_bytes(b"")
    previsage.predict(case, nose())
    assert np.load(case / "plans" / "nose" / "displacement.npy").shape[1] == 3


def test_zero_intensity_changes_nothing_at_all(case: Path) -> None:
    prediction = previsage.predict(case, nose("zero", 0))
    assert not np.any(prediction.displacement_mm) and not np.any(np.load(case / "plans/zero/displacement.npy"))
    views = case / "plans" / "zero" / "views"
    pairs = [(p, views / p.name.replace("_after", "_before")) for p in views.glob("*_after.png")]
    assert len(pairs) == 14 and all(a.read_bytes() == b.read_bytes() for a, b in pairs)
    planned = case / "plans" / "nose" / "views"
    assert all((planned / b.name).read_bytes() == b.read_bytes() for _, b in pairs), "before is before"
    assert (planned / "left_lateral_after.png").read_bytes() != (views / "left_lateral_after.png").read_bytes()


def test_handles_land_and_what_is_not_the_nose_stays(made_case: Path) -> None:
    prediction, anatomy = load_prediction(made_case / "plans" / "nose"), previsage.load(made_case).anatomy
    assert prediction.landed and max(i.error_mm for i in prediction.landed) < 0.1
    moved = np.linalg.norm(prediction.total_mm(), axis=1)
    assert moved.max() > 1
    for region in ("eye_l", "eye_r", "eyelids_l", "eyelids_r", "lips", "ear_l", "ear_r"):
        assert moved[anatomy.region(region) > 0.5].max() < 0.05, region


@pytest.mark.parametrize(("plan", "code"), [
    ({"procedure": "tonsillectomy"}, "unknown_procedure"),
    ({"procedure": "rhinoplasty", "values": {"x": 1}}, "unknown_step"),
    ({"procedure": "rhinoplasty", "values": {"hump_mm": 50}}, "beyond_clamp")])
def test_a_wrong_plan_is_a_usage_error_and_leaves_nothing(case: Path, plan: dict, code: str) -> None:
    before = mtimes(case)
    with pytest.raises(UsageError) as caught:
        previsage.predict(case, Plan.model_validate({"id": "wrong", "procedures": [plan]}))
    assert caught.value.code == code and mtimes(case) == before


def test_no_plan_of_that_name(made_case: Path) -> None:
    with pytest.raises(UsageError, match="no plan called 'x'"):
        previsage.render_views(made_case, "x")


def test_a_case_without_a_head_says_so(tmp_path: Path) -> None:
    Case.create(tmp_path / "empty", {})
    with pytest.raises(PrevisageError) as caught:
        previsage.load(tmp_path / "empty")
    assert caught.value.exit_code == 1 and "reconstruct" in caught.value.hint


def test_views_do_not_spoil_the_stage_they_lie_in(case: Path) -> None:
    written = previsage.render_views(case, "nose", "captured")
    assert len(written) == 20 and all(p.is_file() for p in written)
    assert len(previsage.render_views(case, None, "standard")) == 16  # sheet, certainty, 7 views, 7 wireframes
    before = mtimes(case)
    previsage.predict(case, nose())
    assert mtimes(case) == before


def test_views_can_go_elsewhere(made_case: Path, tmp_path: Path) -> None:
    before = mtimes(made_case)
    written = previsage.render_views(made_case, None, "standard", tmp_path / "out")
    assert all(p.is_relative_to(tmp_path / "out") for p in written) and mtimes(made_case) == before


# --- what fails leaves nothing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [False, True])
def test_a_refused_input_leaves_no_case(tmp_path: Path, there: bool) -> None:
    text = tmp_path / "clip.mp4"
    text.write_text("no video")
    if there:
        (tmp_path / "case").mkdir()
    with pytest.raises(InputRefused):
        previsage.reconstruct([text], tmp_path / "case")
    assert (tmp_path / "case").exists() == there and not list(tmp_path.glob("case/*"))


def test_a_capture_that_is_refused_half_way_leaves_no_case(still_video: Path, tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as caught:
        previsage.reconstruct([still_video], tmp_path / "case")
    assert caught.value.code in ("no_rotation", "no_face") and not (tmp_path / "case").exists()


def test_a_refusal_leaves_an_older_head_alone(case: Path, still_video: Path) -> None:
    before = mtimes(case)
    with pytest.raises(InputRefused):
        previsage.reconstruct([still_video], case)
    assert mtimes(case) == before


def test_a_full_disk_has_a_name_and_keeps_what_was(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = mtimes(case)
    monkeypatch.setattr(core.files.os, "fsync", full)
    with pytest.raises(PrevisageError) as caught:
        previsage.predict(case, nose("other", 20))
    assert caught.value.code == "disk_full" and mtimes(case) == before


def test_an_unknown_model_is_a_usage_error_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no head model"):
        previsage.reconstruct([tmp_path / "missing.mp4"], tmp_path / "case", previsage.ReconstructOptions(model="x"))


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as POSIX sends them")
def test_ctrl_c_keeps_finished_stages_and_the_same_command_goes_on(made_case: Path, demo_video: Path,
                                                                  tmp_path: Path) -> None:
    case = tmp_path / "case"
    shutil.copytree(made_case, case, ignore=shutil.ignore_patterns("recon", "plans"))
    captured = mtimes(case / "capture")
    command = [sys.executable, "-m", "viewer.cli", "reconstruct", str(demo_video), "-o", str(case), "--quality", "fast"]
    child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list(case.glob(".recon.tmp-*")):
        assert child.poll() is None and time.monotonic() < deadline, "the head was never begun"
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 1 and "the same command goes on" in said, said
    assert not (case / "recon").exists() and not list(case.rglob(".*"))
    assert mtimes(case / "capture") == captured
    previsage.reconstruct([demo_video], case, FAST)
    assert mtimes(case / "capture") == captured and (case / "recon" / "head.glb").is_file()


def test_leftovers_of_a_killed_run_are_swept(case: Path) -> None:
    leftover = case / "plans" / ".nose.tmp-0123abcd"
    leftover.mkdir()
    (leftover / "half.png").write_bytes(b"x")
    previsage.predict(case, nose())
    assert not leftover.exists()


# --- options and progress ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"ipd_mm": 4.0}, {"ipd_mm": float("nan")}, {"marker_mm": 1000.0},
                                   {"photometric": True, "quality": "fast"}])
def test_options_out_of_range_are_usage_errors(wrong: dict) -> None:
    with pytest.raises(UsageError):
        previsage.ReconstructOptions(**wrong)


def test_messages_name_their_stage() -> None:
    said: list[str] = []
    progress = recipe.staged(lambda f, m: said.append(m))
    progress(0, "Finding the face, frame 3 of 90")
    progress(0, "Choosing frames")
    recipe.staged(progress, "Drawing the views")(0, "view frontal, large")
    assert said == ["Finding the face: frame 3 of 90", "Choosing frames", "Drawing the views: view frontal, large"]


def test_the_package_is_light_until_it_is_used() -> None:
    code = "import sys, previsage.job; print(sorted({'open3d', 'mediapipe', 'cv2', 'scipy', 'av'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_there_is_nothing_else() -> None:
    assert set(previsage.__all__) <= set(dir(previsage)) | set(previsage._HOME)
    with pytest.raises(AttributeError):
        _ = previsage.reconstructt
