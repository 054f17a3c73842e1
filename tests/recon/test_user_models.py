"""Where added models are kept, and what is said of them."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from core.errors import PrevisageError, UsageError
from previsage.doctor import examine
from previsage.head_models import STALE, head_models
from recon import user_models
from recon.add_model import add_model
from recon.anny_head import checksum
from recon.ict import MIT
from recon.models import load_model, model_mark
from recon.user_models import Source, folder, load_user_model, record_of, save_user_model
from render.rasterize import rasterize

SOURCE = Source(title="A head", licence=MIT, sha256="0" * 64, bytes=7)


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(user_models.WHERE, str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.mark.parametrize(("platform", "variable", "below"), [
    ("linux", "XDG_DATA_HOME", "previsage/models"), ("win32", "LOCALAPPDATA", "previsage/models")])
def test_the_folder_is_where_the_system_keeps_a_users_data(monkeypatch, tmp_path, platform, variable, below):
    monkeypatch.delenv(user_models.WHERE, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    assert folder() == tmp_path / below
    monkeypatch.delenv(variable)
    assert folder().is_relative_to(Path.home()) and folder().parts[-2:] == ("previsage", "models")
    monkeypatch.setattr(sys, "platform", "darwin")
    assert folder() == Path.home() / "Library" / "Application Support" / "previsage" / "models"
    monkeypatch.setenv(user_models.WHERE, str(tmp_path / "own"))
    assert folder() == tmp_path / "own"


def test_a_model_comes_back_as_it_was_kept(home):
    model = dataclasses.replace(load_model(), name="ict")
    record = save_user_model("ict", model, SOURCE, checksum())
    back = load_model("ict")
    assert record_of("ict") == json.loads(json.dumps(record)) and back.name == "ict"
    for name in ("template_mm", "faces", "faces_uv", "joints_mm", "view_yaw_rad"):
        assert np.array_equal(getattr(back, name), getattr(model, name)), name
    for name, most in (("identity_basis_mm", 0.005), ("expression_basis_mm", 0.02), ("uv", 1e-6),
                       ("view_offset_mm", 1e-4)):
        assert np.abs(getattr(back, name) - getattr(model, name)).max() < most, name
    assert np.array_equal(back.anatomy.pins478.face, model.anatomy.pins478.face)
    assert back.anatomy.region_names == model.anatomy.region_names
    assert load_user_model("ict") is back, "read once while the file stays as it is"
    mark = model_mark("ict")
    save_user_model("ict", model.shape(np.zeros(len(model.identity_basis_mm))).model, SOURCE, checksum())
    assert len(mark) == 64 and model_mark("ict") == mark, "the same arrays give the same file"
    save_user_model("ict", dataclasses.replace(model, template_mm=model.template_mm + 1.0), SOURCE, checksum())
    assert model_mark("ict") != mark and model_mark("anny") == ""
    assert np.allclose(load_model("ict").template_mm, model.template_mm + 1.0)


def test_what_is_not_there_is_named_with_how_to_get_it(home):
    for name in ("flame", "ict"):
        assert record_of(name) is None
        with pytest.raises(UsageError, match="not on this computer") as missing:
            load_model(name)
        assert f"previsage models add {name}" in missing.value.hint
    rows = {m["name"]: m for m in head_models()}
    assert [rows[n]["installed"] for n in ("anny", "flame", "ict")] == [True, False, False]
    assert "models add ict" in rows["ict"]["get"] and "CC BY 4.0" in rows["flame"]["licence"]
    checks = {c.name: c for c in examine()}
    assert checks["head model ict"].state == "optional" and "models add ict" in checks["head model ict"].hint


def test_the_tables_say_what_is_there_and_what_is_stale(home):
    save_user_model("ict", load_model(), SOURCE, checksum())
    row = next(m for m in head_models() if m["name"] == "ict")
    assert row["installed"] and row["licence"] == "MIT" and row["get"] == "" and row["title"] == "A head"
    assert next(c for c in examine() if c.name == "head model ict").state == "ok"
    save_user_model("ict", load_model(), SOURCE, "another head")
    assert next(m for m in head_models() if m["name"] == "ict")["get"] == STALE


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"title": "A", "licence": "MIT", "file": {}}', "null"])
def test_a_damaged_record_is_named_and_breaks_no_table(home, content):
    save_user_model("ict", load_model(), SOURCE, checksum())
    (home / "ict" / "model.json").write_text(content)
    with pytest.raises(PrevisageError, match="damaged") as failed:
        load_model("ict")
    assert failed.value.code == "model_damaged" and failed.value.exit_code == 1
    row = next(m for m in head_models() if m["name"] == "ict")
    assert not row["installed"] and "models add ict" in row["get"]


def test_a_lost_or_foreign_file_is_named(home):
    save_user_model("ict", load_model(), SOURCE, checksum())
    file = home / "ict" / "model.npz"
    file.unlink()
    with pytest.raises(PrevisageError, match="damaged"):
        load_model("ict")
    np.savez(file, template_mm=np.zeros((3, 3)))
    record = json.loads((home / "ict" / "model.json").read_text())
    record["file"]["sha256"] = user_models.sha256(file)
    (home / "ict" / "model.json").write_text(json.dumps(record))
    with pytest.raises(PrevisageError, match="damaged"):
        load_model("ict")


def test_only_known_models_can_be_added(home, tmp_path):
    with pytest.raises(UsageError, match="nobody"):
        add_model("nobody", tmp_path, True, rasterize)
    with pytest.raises(UsageError, match="comes with Previsage"):
        add_model("anny", tmp_path, True, rasterize)
    assert not home.exists()
