"""`previsage metrics`: folders are paired, numbers grouped, what is missing named; in JSON, in a plot, in words."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InputRefused, UsageError
from core.ita import ita_class, ita_deg
from previsage.image_metrics import MetricsOptions, image_metrics
from previsage.portrait import portrait
from viewer.cli import run

SIDE = 260
PLAIN = MetricsOptions(landmarks=False)


def write(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def face() -> np.ndarray:
    whole = Image.fromarray(portrait())
    return np.asarray(whole.resize((SIDE, round(SIDE * whole.height / whole.width))))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Two photos of a face; after-pictures of two procedures with a changed patch; truth and masks."""
    photo, rng = face(), np.random.default_rng(0)
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[110:190, 90:170] = 255
    for name, offset in (("anna", 0), ("bea", 12)):
        before = np.clip(photo.astype(int) - offset, 0, 255).astype(np.uint8)
        write(tmp_path / "before" / f"{name}.png", before)
        for procedure, size in (("rhinoplasty", 6), ("mentoplasty", 12)):
            noise = rng.normal(0, size, photo.shape) * (mask > 0)[..., None]
            write(tmp_path / "after" / procedure / f"{name}.png", np.clip(before + noise, 0, 255).astype(np.uint8))
            write(tmp_path / "truth" / procedure / f"{name}.png", np.clip(before + noise / 2, 0, 255).astype(np.uint8))
            write(tmp_path / "masks" / procedure / f"{name}.png", mask)
    return tmp_path


def test_pairs_groups_and_files(folders):
    made = image_metrics(folders / "before", folders / "after", folders / "out", folders / "masks", folders / "truth",
                         PLAIN)
    assert [p["picture"] for p in made["pictures"]] == ["mentoplasty/anna", "mentoplasty/bea", "rhinoplasty/anna",
                                                        "rhinoplasty/bea"]
    kept = json.loads((folders / "out" / "metrics.json").read_text())
    groups = kept["summary"]["before"]["procedure"]
    assert groups["rhinoplasty"]["psnr_db"]["inside"]["mean"] == pytest.approx(20 * np.log10(255 / 6), abs=0.6)
    assert groups["mentoplasty"]["psnr_db"]["inside"]["mean"] == pytest.approx(20 * np.log10(255 / 12), abs=0.6)
    assert groups["rhinoplasty"]["psnr_db"]["outside"] == {"n": 0, "equal": 2, "mean": None, "sd": None, "low": None,
                                                           "high": None}
    truth = kept["summary"]["truth"]["procedure"]["rhinoplasty"]["psnr_db"]["inside"]["mean"]
    assert truth == pytest.approx(groups["rhinoplasty"]["psnr_db"]["inside"]["mean"] + 6, abs=0.6)
    assert all(f.stat().st_size > 1000 for f in made["files"]) and len(made["files"]) == 3
    assert {text.split(":")[0] for text in made["missing"]} == {"LPIPS", "FID", "identity"}
    assert not {"lpips", "fid", "identity"} & set(kept["summary"]["before"]["all"]["all"]), "nothing stands in"


def test_faces_give_nme_and_skin_and_a_table_overrides(folders):
    table = folders / "groups.csv"
    table.write_text("picture,skin\nanna,olive\n")
    options = MetricsOptions(table=table)
    made = image_metrics(folders / "before", folders / "after", folders / "out", None, None, options)
    skins = {p["picture"]: p["skin"] for p in made["pictures"]}
    assert skins["rhinoplasty/anna"] == "olive" and skins["rhinoplasty/bea"] in ("light", "intermediate", "very light")
    whole = made["summary"]["before"]["all"]["all"]["nme"]["whole"]
    assert whole["n"] == 4 and 0 < whole["mean"] < 0.02
    assert any("zones" in text for text in made["missing"])


def test_networks_that_are_given_are_used(folders):
    onnx = pytest.importorskip("onnx", reason="the networks are written with onnx (extra `test`)")
    pytest.importorskip("onnxruntime", reason="they run in onnxruntime (extra `restore`)")
    from onnx import TensorProto, helper

    axes = onnx.numpy_helper.from_array(np.array([2, 3], np.int64), "axes")
    graph = helper.make_graph([helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)], "mean", [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folders / "net.onnx")
    options = MetricsOptions(fid=folders / "net.onnx", identity=folders / "net.onnx")
    made = image_metrics(folders / "before", folders / "after", folders / "out", folders / "masks", None, options)
    group = made["summary"]["before"]["all"]["all"]
    assert group["fid"]["outside"]["value"] == pytest.approx(0, abs=1e-9) and group["fid"]["whole"]["value"] > 1e-9
    assert group["identity"]["outside"]["mean"] == pytest.approx(1) and len(made["missing"]) == 1
    assert made["networks"] == {"fid": "net.onnx", "identity": "net.onnx"}


def test_what_cannot_be_compared_is_named_and_the_rest_goes_on(folders):
    write(folders / "after" / "alone.png", face())
    write(folders / "before" / "cut.png", face())
    write(folders / "after" / "cut.png", face()[10:])
    (folders / "after" / "text.png").write_text("no picture")
    write(folders / "before" / "text.png", face())
    grey = np.full((300, 300, 3), 120, np.uint8)
    write(folders / "before" / "wall.png", grey)
    write(folders / "after" / "wall.png", grey)
    made = image_metrics(folders / "before", folders / "after", folders / "out", options=MetricsOptions())
    told = {item["picture"]: item["why"] for item in made["skipped"]}
    assert set(told) == {"alone", "cut", "text"}
    assert "no before" in told["alone"] and "px" in told["cut"] and "no picture" in told["text"]
    wall = next(p for p in made["pictures"] if p["picture"] == "wall")
    assert "no face found" in wall["before"]["notes"][0] and "nme" not in wall["before"] and wall["skin"] is None


def test_a_lossy_mask_has_clean_ends(folders):
    png = folders / "masks" / "rhinoplasty" / "anna.png"
    Image.open(png).convert("L").save(png.with_suffix(".jpg"), quality=60)
    png.unlink()
    made = image_metrics(folders / "before", folders / "after", folders / "out", folders / "masks", None, PLAIN)
    anna = next(p for p in made["pictures"] if p["picture"] == "rhinoplasty/anna")
    assert "outside" in anna["before"]["equal"]


def test_nothing_to_compare_is_refused(folders):
    with pytest.raises(InputRefused, match="has its partner"):
        (folders / "empty").mkdir()
        image_metrics(folders / "empty", folders / "after", folders / "out")
    with pytest.raises(UsageError, match="no folder"):
        image_metrics(folders / "before", folders / "nowhere", folders / "out")
    with pytest.raises(UsageError, match="no column `picture`"):
        (folders / "bad.csv").write_text("name,skin\nanna,dark\n")
        image_metrics(folders / "before", folders / "after", folders / "out", None, None, MetricsOptions(
            table=folders / "bad.csv"))
    for path in (folders / "after").rglob("*.png"):
        write(path, np.asarray(Image.open(path))[1:])
    with pytest.raises(InputRefused, match="No pair could be compared"):
        image_metrics(folders / "before", folders / "after", folders / "out", None, None, PLAIN)


def test_the_command_prints_a_table_or_json(folders, capsys):
    given = ["metrics", str(folders / "before"), str(folders / "after"), "--masks", str(folders / "masks"),
             "--no-landmarks", "-o", str(folders / "out")]
    assert run(given) == 0
    text = capsys.readouterr().out
    assert "rhinoplasty" in text and "same" in text and "Not there  FID" in text and "metrics.json" in text
    assert run([*given, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["summary"]["before"]["all"]["all"]["pictures"] == 4
    assert run([*given, "--fid", "none.onnx"]) == 2 and "no file none.onnx" in capsys.readouterr().err
    assert run([*given, "--fid-input", "299"]) == 2 and "SIDE:LOW:HIGH" in capsys.readouterr().err


def test_ita_is_the_angle_of_the_colour():
    assert ita_deg(70.0, 20.0) == pytest.approx(45) and ita_class(45.0) == "light"
    assert ita_class(60.0) == "very light" and ita_class(-31.0) == "dark" and ita_class(10.0) == "brown"
    assert ita_deg(40.0, 10.0) == pytest.approx(-45) and ita_deg(60.0, 0.0) == pytest.approx(90, abs=1e-3)
