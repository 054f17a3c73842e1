"""Networks that a user would hold: real ONNX and TorchScript files, written by the test; what is wrong is named."""

from pathlib import Path

import numpy as np
import pytest

from core.errors import InputRefused, PrevisageError, UsageError
from synth.metrics import networks
from synth.metrics.learned import features, lpips
from synth.metrics.networks import InputForm, form_from, load_network

ANY = InputForm(side_px=None, low=0.0, high=1.0)


def write_onnx(path: Path, inputs: int) -> Path:
    """One input: the mean of each channel. Two: the mean square of their difference."""
    onnx = pytest.importorskip("onnx", reason="the networks are written with onnx (extra `test`)")
    pytest.importorskip("onnxruntime", reason="they run in onnxruntime (extra `restore`)")
    from onnx import TensorProto, helper

    names = ["x", "y"][:inputs]
    axes = onnx.numpy_helper.from_array(np.array([2, 3] if inputs == 1 else [1, 2, 3], np.int64), "axes")
    nodes = [helper.make_node("Sub", names, ["d"]), helper.make_node("Mul", ["d", "d"], ["s"])] if inputs == 2 else []
    nodes.append(helper.make_node("ReduceMean", ["s" if inputs == 2 else "x", "axes"], ["out"], keepdims=0))
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3, "h", "w"]) for n in names]
    graph = helper.make_graph(nodes, "tiny", values, [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
                              [axes])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def write_torch(path: Path, inputs: int) -> Path:
    """The same in TorchScript."""
    torch = pytest.importorskip("torch", reason="TorchScript needs torch (extra `diffusion`)")

    class Mean(torch.nn.Module):
        def forward(self, x):
            return x.mean((2, 3))

    class Squares(torch.nn.Module):
        def forward(self, x, y):
            return ((x - y) ** 2).mean((1, 2, 3))

    model, batch = (Mean(), (torch.rand(1, 3, 8, 8),)) if inputs == 1 else (Squares(), (torch.rand(1, 3, 8, 8),) * 2)
    torch.jit.trace(model, batch).save(str(path))
    return path


WRITERS = {"net.onnx": write_onnx, "net.pt": write_torch}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning", "ignore:.*torch.jit.*:FutureWarning")
def test_files_of_both_kinds_give_the_same_numbers(tmp_path, name):
    rng = np.random.default_rng(0)
    one, other = (rng.integers(0, 256, (20, 30, 3), dtype=np.uint8) for _ in range(2))
    mean = load_network(WRITERS[name](tmp_path / f"mean-{name}", 1), ANY)
    np.testing.assert_allclose(features(mean, one), one.reshape(-1, 3).mean(0) / 255, rtol=1e-5)
    squares = load_network(WRITERS[name](tmp_path / f"squares-{name}", 2), ANY)
    assert lpips(squares, one, other) == pytest.approx(np.mean(((one.astype(float) - other) / 255)**2), rel=1e-5)
    with pytest.raises(InputRefused, match="network_inputs|takes|does not take") as refused:
        lpips(mean, one, other)
    assert refused.value.code == "network_inputs"


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning", "ignore:.*torch.jit.*:FutureWarning")
def test_a_detector_that_offers_its_features_gives_them(tmp_path):
    """The published TorchScript Inception gives class probabilities unless it is asked for features."""
    torch = pytest.importorskip("torch", reason="TorchScript needs torch (extra `diffusion`)")

    class Detector(torch.nn.Module):
        def forward(self, x, return_features: bool = False):
            return x.mean((2, 3)) if return_features else x.sum((1, 2, 3))

    torch.jit.script(Detector()).save(str(tmp_path / "inception.pt"))
    picture = np.full((8, 9, 3), 51, np.uint8)
    np.testing.assert_allclose(features(load_network(tmp_path / "inception.pt", ANY), picture), [0.2] * 3, rtol=1e-6)


def test_the_form_of_the_input():
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (40, 60, 3), dtype=np.uint8)
    form = form_from("32:-1:1")
    batch = networks.MetricNetwork(run=lambda x: x, form=form, title="").batch([picture, picture])
    assert batch.shape == (2, 3, 32, 32) and batch.dtype == np.float32
    np.testing.assert_allclose(batch.mean((0, 2, 3)), picture.reshape(-1, 3).mean(0) / 127.5 - 1, atol=0.05)
    assert form_from("any:0:255").side_px is None
    for wrong in ("299", "299:1:0", "x:0:1", "2:0:1", "299:0:1:2"):
        with pytest.raises(UsageError, match="SIDE:LOW:HIGH"):
            form_from(wrong)


def test_what_is_wrong_is_named(tmp_path, monkeypatch):
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    (tmp_path / "broken.pt").write_bytes(b"no network")
    (tmp_path / "weights.pth").write_bytes(b"a state dict")
    for name, kind, code in (("none.onnx", UsageError, "no_file"), ("weights.pth", UsageError, "network_format"),
                             ("broken.onnx", InputRefused, "unreadable_network"),
                             ("broken.pt", InputRefused, "unreadable_network")):
        with pytest.raises(kind) as caught:
            load_network(tmp_path / name, ANY)
        assert caught.value.code == code, name

    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr(networks.importlib, "import_module", missing)
    for name, extra in (("broken.onnx", "restore"), ("broken.pt", "diffusion")):
        with pytest.raises(PrevisageError, match=rf"previsage\[{extra}\]"):
            load_network(tmp_path / name, ANY)
