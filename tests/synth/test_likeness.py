"""The user's identity network in the guard: a real ONNX file, one cut for every picture."""

from pathlib import Path

import numpy as np
import pytest

from synth.guard import guard
from synth.likeness import embedder
from synth.metrics.networks import InputForm, load_network
from tests.synth.guarded import scene

ort = pytest.importorskip("onnxruntime", reason="the network runs in onnxruntime (extra `restore`)")
onnx = pytest.importorskip("onnx", reason="the network is written with onnx (extra `test`)")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Colours pooled over sixteenths of the square, as a vector: a stand-in with a real network's form."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[7, 7], strides=[7, 7]),
             helper.make_node("Flatten", ["pooled"], ["out"])]
    graph = helper.make_graph(nodes, "tiny",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 112, 112])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), tmp_path / "id.onnx")
    return tmp_path / "id.onnx"


def points() -> np.ndarray:
    """Landmarks around the middle of the scene's picture."""
    rng = np.random.default_rng(0)
    out = rng.uniform(100, 300, (478, 2))
    for numbers, place in (((33, 133, 159, 145), (150, 130)), ((263, 362, 386, 374), (250, 130)), ((4,), (200, 180)),
                           ((61,), (165, 230)), ((291,), (235, 230))):
        out[list(numbers)] = place
    return out


def test_a_network_of_the_users_is_asked(network: Path) -> None:
    s = scene()
    embed = embedder(load_network(network, InputForm(side_px=112, low=-1.0, high=1.0)), points())
    assert embed(s.before).shape == (3 * 16 * 16,)
    assert np.array_equal(embed(s.before), embed(s.before.copy()))
    honest = guard(s.before, s.made(), s.asked, s.lateral_mm, embed=embed)
    asked = {c.name: c for c in honest.checks if c.name.startswith("likeness")}
    assert honest.passed and {c.status for c in asked.values()} == {"passed"}
    other = s.made()
    window = s.asked.window
    rng = np.random.default_rng(1)
    blocks = np.kron(rng.integers(0, 256, (40, 40, 3)), np.ones((12, 12, 1)))[:other.shape[0], :other.shape[1]]
    part = blocks.astype(np.uint8)[window]
    other[window] = np.where(s.asked.mask[..., None] > 0, part[:other[window].shape[0], :other[window].shape[1]],
                             other[window])
    failed = {c.name for c in guard(s.before, other, s.asked, s.lateral_mm, embed=embed).failed}
    assert {"likeness inside"} <= failed and "likeness outside" not in failed
