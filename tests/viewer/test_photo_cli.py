"""The command `photo`: one photo, a folder, a set; one JSON object; named refusals with their exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import added
from tests.previsage.photos import face, portrait_file

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return portrait_file(tmp_path_factory.mktemp("cli"))


def test_help_teaches(call: Call) -> None:
    code, out, _ = call("photo", "--help")
    assert code == 0 and "\n    previsage photo anna.jpg --procedure rhinoplasty -o out" in out
    assert all(word in out for word in ("--all", "--sweep", "--visit", "--face", "warp3d", "controlnet_ip"))


def test_one_photo_in_words(call: Call, anna: Path, tmp_path: Path) -> None:
    code, out, err = call("photo", str(anna), "--procedure", "rhinoplasty", "--mode", "tps", "-o", str(tmp_path))
    assert code == 0, err
    assert "frontal" in out and "px per mm" in out and "not a promise" in out
    assert (tmp_path / "anna_rhinoplasty_tps_after.png").is_file()


def test_one_photo_for_machines(call: Call, anna: Path, tmp_path: Path) -> None:
    code, out, _ = call("photo", str(anna), "--procedure", "rhinoplasty", "--step", "tip_rotation_deg=5", "--id",
                        "tip", "--json", "-o", str(tmp_path))
    told = json.loads(out)
    assert code == 0 and told["mode"] == "warp3d" and told["plan"]["id"] == "tip" and told["checks"]["passed"]
    assert {s["step"]: s["value"] for s in told["steps"]}["rhinoplasty.tip_rotation_deg"] == 5
    assert all(Path(file).is_file() for file in told["files"])


def test_a_sweep_and_every_procedure(call: Call, anna: Path, tmp_path: Path) -> None:
    code, out, _ = call("photo", str(anna), "--procedure", "brow_lift", "--sweep", "3", "--mode", "tps", "--details",
                        "--json", "-o", str(tmp_path))
    assert code == 0 and len(json.loads(out)["results"]) == 3
    assert (tmp_path / "anna_brow_lift_tps_sweep.gif").is_file()
    assert all((tmp_path / "anna_brow_lift_tps_sweep" / f"0{k}" / "anna_brow_lift_tps_details" / "mask.png").is_file()
               for k in (1, 2, 3))
    code, out, _ = call("photo", str(anna), "--all", "--mode", "tps", "--format", "webp", "-o", str(tmp_path))
    assert code == 0 and (tmp_path / "anna_all_tps.png").is_file()
    assert (tmp_path / "anna_brow_lift_tps_after.webp").is_file(), "a format is for each picture's own file"


def test_a_folder_gets_one_table(call: Call, anna: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    portrait_file(folder)
    Image.new("RGB", (200, 150)).save(folder / "wall.png")
    code, out, _ = call("photo", str(folder), "--procedure", "rhinoplasty", "--mode", "tps", "-o", str(tmp_path / "o"))
    assert code == 0 and "1 done" in out and "1 refused" in out and (tmp_path / "o" / "photos.csv").is_file()
    code, out, _ = call("photo", str(folder), "--all", "--mode", "tps", "--json", "-o", str(tmp_path / "all"))
    rows = json.loads(out)["photos"]
    assert code == 0 and [r["plan"] for r in rows if r["outcome"] == "done"] == ["all"], "no one procedure's name"
    code, _, _ = call("photo", str(folder / "wall.png"), str(folder / "wall.png"), "--procedure", "rhinoplasty", "-o",
                      str(tmp_path / "p"))
    assert code == 3, "none was done"


def test_a_set_of_one_person(call: Call, anna: Path, tmp_path: Path) -> None:
    code, out, _ = call("photo", str(anna), "--visit", "--procedure", "rhinoplasty", "--mode", "tps", "-o",
                        str(tmp_path))
    assert code == 0 and "Missing" in out and (tmp_path / "visit.json").is_file()


def test_two_faces_come_with_numbers(call: Call, tmp_path: Path) -> None:
    Image.fromarray(np.concatenate([face(), face()[:, ::-1]], 1)).save(tmp_path / "two.png")
    code, out, err = call("photo", str(tmp_path / "two.png"), "--procedure", "rhinoplasty", "-o", str(tmp_path))
    assert code == 3 and "--face 1 to 2" in err and (tmp_path / "two_faces.png").is_file()


@pytest.mark.parametrize(("options", "code", "word"), [
    (("--procedure", "nose_job"), 2, "nose_job"), ((), 2, "--procedure"),
    (("--all", "--procedure", "rhinoplasty"), 2, "--all"), (("--sweep", "4"), 2, "--sweep"),
    (("--all", "--visit"), 2, "go together"), (("--visit", "--face", "1", "--procedure", "rhinoplasty"), 2, "--face"),
    (("--visit", "--skin-tone", "--procedure", "rhinoplasty"), 2, "--visit"),
    (("--procedure", "rhinoplasty", "--sweep", "3", "--mode", "tps", "--seed", "1"), 2, "seed"),
    (("--procedure", "rhinoplasty", "--ipd-mm", "20"), 2, "ipd_mm"),
    (("--procedure", "rhinoplasty", "--step", "hump_mm=99"), 2, "hump_mm"),
    (("--procedure", "rhinoplasty", "--mode", "tps", "--seed", "1"), 2, "seed"),
    (("--procedure", "neck_lift", "--mode", "tps"), 2, "warp3d"), (("--procedure", "otoplasty"), 3, "ears"),
])
def test_wrong_usage_is_named(call: Call, anna: Path, tmp_path: Path, options: tuple[str, ...], code: int,
                              word: str) -> None:
    found, _, err = call("photo", str(anna), *options, "-o", str(tmp_path))
    assert found == code and word in err


def test_a_text_named_jpg_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "letter.jpg").write_text("Dear doctor")
    code, _, err = call("photo", str(tmp_path / "letter.jpg"), "--procedure", "rhinoplasty", "-o", str(tmp_path))
    assert code == 3 and "no photo" in err


def test_missing_weights_are_named_and_the_bent_photo_is_left(call: Call, anna: Path, tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(added.WHERE, str(tmp_path / "added"))
    code, _, err = call("photo", str(anna), "--procedure", "rhinoplasty", "--mode", "img2img", "-o",
                        str(tmp_path / "out"))
    assert code in (1, 2) and "sd15" in err and "bent by warp3d" in err
    assert (tmp_path / "out" / "anna_rhinoplasty_warp3d_after.png").is_file()
