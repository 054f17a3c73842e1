"""`previsage bench`: the command, what it prints and writes, and its exit code."""

import json
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture whose film is a text."""
    folder = tmp_path / "captures" / "anna"
    folder.mkdir(parents=True)
    (folder / "video.mp4").write_text("not a video at all")
    np.savez(folder / "truth.npz", verts=np.eye(3), tris=np.array([[0, 1, 2]]), K=np.eye(3),
             cam_from_head=np.eye(4)[None], landmarks478=np.zeros((478, 3)))
    return folder


def test_help_teaches(call):
    code, out, _ = call("bench", "--help")
    assert code == 0 and "\n    previsage bench recon" in out
    code, out, _ = call("bench", "recon", "--help")
    assert code == 0 and "\n    previsage bench recon" in out and "truth.npz" in out and "Exit code 1" in out
    assert all(option in out for option in ("-o, --output", "--quality", "--ipd", "--keep", "--json"))


@pytest.mark.parametrize("words", [["bench"], ["bench", "recon"], ["bench", "other"],
                                   ["bench", "recon", ".", "--quality", "best"], ["bench", "recon", "nowhere"]])
def test_a_wrong_call_exits_2_and_writes_nothing(call, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    code, out, err = call(*words)
    assert (code, out) == (2, "") and err.startswith("previsage: error: ") and err.count("\n") >= 2
    code, out, err = call(*words, "--json")
    assert (code, err) == (2, "") and json.loads(out)["error"]["hint"]
    assert list(tmp_path.iterdir()) == []


def test_a_refused_capture_is_a_row_with_its_reason_and_the_exit_code_is_1(call, capture, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = call("bench", "recon", "captures", "-o", "out/today", "--quality", "fast")
    assert (code, err) == (1, "")
    assert "bar, fast" in out and "≤ 1" in out and "anna (fast) refused: " in out and "out/today.md" in out
    row, = json.loads((tmp_path / "out" / "today.json").read_text())["rows"]
    assert (row["capture"], row["state"], row["exit"], row["frames"]) == ("anna", "refused", 3, 1)
    assert row["reason"].startswith("video.mp4") or "video" in row["reason"]
    assert row["run"]["command"] == "previsage bench recon captures --quality fast" and row["run"]["versions"]["numpy"]
    assert row["peak_gb"] > 0 and row["wall_s"] > 0 and str(tmp_path) not in json.dumps(row)
    page = (tmp_path / "out" / "today.md").read_text()
    assert "| anna | fast | **refused** |" in page and row["reason"] in page
    code, out, err = call("bench", "recon", "captures", "-o", "out/today.md", "--ipd", "--json")
    assert (code, err, out.count("\n")) == (1, "", 1)
    found = json.loads(out)
    assert found["files"] == ["out/today.md", "out/today.json"] and "ipd_mm" in found["rows"][0]["reason"]
    kept = json.loads((tmp_path / "out" / "today.json").read_text())["rows"]
    assert [(r["quality"], r["typed_ipd"]) for r in kept] == [("full", True), ("fast", False)]


def test_a_foreign_file_stops_it_before_the_work(call, capture, tmp_path):
    (tmp_path / "out.json").write_text("{}")
    code, _, err = call("bench", "recon", capture, "-o", tmp_path / "out")
    assert code == 1 and "no record of a benchmark" in err and not (tmp_path / "out.md").exists()


def test_progress_has_a_line_per_capture_on_a_terminal_only(capture, capsys, monkeypatch):
    from viewer.bench_cli import lines

    with lines(["anna"]) as progress_of:
        progress_of("anna")(0.5, "reconstructing")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with lines(["anna", "berta"]) as progress_of:
        progress_of("anna")(0.5, "reconstructing")
    err = capsys.readouterr().err
    assert "anna" in err and "reconstructing" in err and "berta" in err and "waiting" in err
