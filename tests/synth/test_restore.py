"""Restorers in ONNX Runtime, on tiny networks that the test writes: layout, range, placing, and named errors."""

import builtins
import importlib
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputRefused, PrevisageError, UsageError
from synth import restore
from synth.restore import FFHQ, RestoreOptions, load, placed, restored_face

onnx = pytest.importorskip("onnx", reason="the networks are written with onnx (extra `test`)")
pytest.importorskip("onnxruntime", reason="restorers run in onnxruntime (extra `restore`)")

WHOLE = RestoreOptions(strength=1.0)


def network(path: Path, shape: list, factor: list[float], offset: list[float], weight: bool = False,
            bands: bool = False) -> Path:
    """x * factor + offset per channel (planes or pixels by `shape`); `weight`: times a second, scalar input;
    `bands`: the offset only in the upper half of the square."""
    from onnx import TensorProto, helper

    planes = shape[1] == 3
    form = (1, 3, 1, 1) if planes else (1, 1, 1, 3)
    plus = np.array(offset, np.float32).reshape(form)
    if bands:
        rows = np.zeros((1, 1, 512, 1) if planes else (1, 512, 1, 1), np.float32)
        rows[(0, 0, slice(0, 256)) if planes else (0, slice(0, 256))] = 1
        plus = plus * rows
    tables = {"f": np.array(factor, np.float32).reshape(form), "o": plus}
    nodes = [helper.make_node("Mul", ["x", "f"], ["a"]), helper.make_node("Add", ["a", "o"], ["b" if weight else "y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)]
    if weight:
        nodes.append(helper.make_node("Mul", ["b", "w"], ["y"]))
        inputs.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, []))
    graph = helper.make_graph(nodes, "tiny", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
                              [onnx.numpy_helper.from_array(v, k) for k, v in tables.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def face(width: int = 700, height: int = 600, scale: float = 0.5, roll: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """A grey picture with some texture, and landmarks of a face of 512 * scale px, rolled, in its middle."""
    rng = np.random.default_rng(0)
    picture = np.clip(rng.normal(128, 15, (height, width, 3)), 0, 255).astype(np.uint8)
    turn = scale * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    five = (FFHQ - 256) @ turn.T + np.array([width / 2, height / 2])
    marks = np.tile(five[2], (478, 1))
    marks[list(restore.RIGHT_EYE)], marks[list(restore.LEFT_EYE)] = five[0], five[1]
    marks[restore.TIP], marks[restore.RIGHT_CORNER], marks[restore.LEFT_CORNER] = five[2], five[3], five[4]
    return picture, marks


PLANES, PIXELS = [1, 3, 512, 512], [1, 512, 512, 3]


@pytest.mark.parametrize("shape", [PLANES, PIXELS, ["n", 3, "h", "w"]])
def test_a_network_that_changes_nothing_changes_no_byte(tmp_path, shape):
    picture, marks = face()
    restorer = load(network(tmp_path / "gfpgan.onnx", shape, [1, 1, 1], [0, 0, 0]))
    assert np.array_equal(restorer(picture, marks, WHOLE), picture)


@pytest.mark.parametrize("shape", [PLANES, PIXELS])
def test_channels_and_range_are_as_the_network_was_trained(tmp_path, shape):
    """+0.2 in the -1..1 of red is +25.5 grey levels of red, and of nothing else."""
    picture, marks = face()
    result = load(network(tmp_path / "gfpgan.onnx", shape, [1, 1, 1], [0.2, 0, 0]))(picture, marks, WHOLE)
    centre = (slice(270, 330), slice(320, 380))
    added = result[centre].astype(float) - picture[centre]
    assert added[..., 0].mean() == pytest.approx(25.5, abs=0.6)
    assert np.array_equal(result[..., 1:], picture[..., 1:])
    half = load(network(tmp_path / "gfpgan.onnx", shape, [1, 1, 1], [0.2, 0, 0]))(picture, marks)
    assert (half[centre].astype(float) - picture[centre])[..., 0].mean() == pytest.approx(12.75, abs=0.6)


def test_the_face_is_shown_upright_and_put_back_where_it_was(tmp_path):
    """What is added to the upper half of the square appears above the rolled face's nose, along its own up."""
    picture, marks = face(roll=0.5)
    path = network(tmp_path / "gfpgan.onnx", PLANES, [1, 1, 1], [0.3, 0.3, 0.3], bands=True)
    result = load(path)(picture, marks, WHOLE)
    changed = np.abs(result.astype(int) - picture).max(-1) > 10
    y, x = np.mgrid[:600, :700].astype(float)
    right, down = np.array([np.cos(0.5), np.sin(0.5)]), np.array([-np.sin(0.5), np.cos(0.5)])
    across, along = ((x - 350) * v[0] + (y - 300) * v[1] for v in (right, down))
    assert changed[(np.abs(across) < 60) & (along > -80) & (along < -10)].all()
    assert not changed[(along > 5) | (along < -132) | (np.abs(across) > 132)].any()


def test_the_square_is_where_ffhq_has_it():
    _, marks = face(scale=0.37, roll=-0.3)
    square_from_picture = placed(marks)
    five = np.stack([marks[restore.RIGHT_EYE[0]], marks[restore.LEFT_EYE[0]], marks[restore.TIP],
                     marks[restore.RIGHT_CORNER], marks[restore.LEFT_CORNER]])
    np.testing.assert_allclose(five @ square_from_picture[:, :2].T + square_from_picture[:, 2], FFHQ, atol=1e-6)


@pytest.mark.parametrize("scale", [0.2, 2.0])
def test_grain_finer_than_the_square_is_not_lost(scale):
    """A face larger than 512 px keeps its grain: only what the network adds goes back."""
    picture, marks = face(1400, 1300, scale, 0.0)
    result = restored_face(picture, marks, lambda planes: planes + np.float32(0.1), WHOLE)
    centre = (slice(620, 680), slice(670, 730))
    added = result[centre].astype(float) - picture[centre]
    assert added.mean() == pytest.approx(12.75, abs=0.6) and added.std() < 1


def test_codeformer_gets_its_fidelity(tmp_path):
    picture, marks = face()
    path = network(tmp_path / "codeformer.onnx", PLANES, [0, 0, 0], [0.8, 0.8, 0.8], weight=True)
    for fidelity in (0.25, 1.0):
        options = RestoreOptions(strength=1.0, fidelity=fidelity)
        result = load(path, options=options)(picture, marks, options)
        assert result[290:310, 340:360].mean() == pytest.approx((0.8 * fidelity + 1) * 127.5, abs=1)


def test_super_resolution_runs_over_the_whole_picture_in_tiles_without_seams(tmp_path):
    picture = np.random.default_rng(1).integers(60, 180, (451, 833, 3), dtype=np.uint8)
    restorer = load(network(tmp_path / "RealESRGAN_x1.onnx", ["n", 3, "h", "w"], [1, 1, 1], [0, 0, 0.1]))
    assert restorer.kind == "realesrgan"
    added = restorer(picture, options=WHOLE).astype(int) - picture
    assert set(np.unique(added[..., 2])) <= {25, 26} and not added[..., :2].any()


def test_what_is_wrong_is_named(tmp_path, monkeypatch):
    picture, marks = face()
    good = network(tmp_path / "gfpgan.onnx", PLANES, [1, 1, 1], [0, 0, 0])
    broken, unnamed = tmp_path / "gfpgan-broken.onnx", tmp_path / "face.onnx"
    broken.write_bytes(good.read_bytes()[:40])
    unnamed.write_bytes(good.read_bytes())
    other = network(tmp_path / "gfpgan-four.onnx", ["n", "c", "h", "w"], [1, 1, 1], [0, 0, 0])
    nan = network(tmp_path / "gfpgan-nan.onnx", PLANES, [1, 1, 1], [float("nan")] * 3)
    wrong = [(lambda: load(tmp_path / "none.onnx"), UsageError, "no_file"),
             (lambda: load(unnamed), UsageError, "restorer_kind"),
             (lambda: load(broken), InputRefused, "not_onnx"), (lambda: load(other), InputRefused, "restorer_inputs"),
             (lambda: load(nan)(picture, marks), InputRefused, "restorer_output"),
             (lambda: load(good)(picture), UsageError, "landmarks"),
             (lambda: load(good)(picture, np.ones((478, 2))), UsageError, "landmarks")]
    (tmp_path / "gfpgan.bin").write_bytes(b"x")
    wrong.append((lambda: load(tmp_path / "gfpgan.bin"), UsageError, "restorer_format"))
    for call, kind, code in wrong:
        with pytest.raises(kind) as caught:
            call()
        assert caught.value.code == code
    assert load(unnamed, "gfpgan").kind == "gfpgan"


def test_pth_says_what_it_needs_and_nothing_else_imports_it(tmp_path, monkeypatch):
    (tmp_path / "GFPGANv1.4.pth").write_bytes(b"weights")
    imported = importlib.import_module

    def refuse(name: str, package: str | None = None) -> object:
        if name in ("torchvision", "spandrel"):
            raise RuntimeError("operator torchvision::nms does not exist")
        return imported(name, package)

    monkeypatch.setattr(restore.importlib, "import_module", refuse)
    with pytest.raises(PrevisageError, match="torchvision.*nms.*onnx") as caught:
        load(tmp_path / "GFPGANv1.4.pth")
    assert caught.value.code == "missing_package" and caught.value.exit_code == 1


def test_without_onnxruntime_the_extra_is_named(tmp_path, monkeypatch):
    path = network(tmp_path / "gfpgan.onnx", PLANES, [1, 1, 1], [0, 0, 0])
    imported = builtins.__import__
    monkeypatch.setattr(restore.importlib, "import_module", lambda name: imported("no_such_package_as_" + name))
    with pytest.raises(PrevisageError, match=r"previsage\[restore\]"):
        load(path)
