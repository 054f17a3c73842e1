"""Networks that a person adds as files: tried, remembered by checksum, refused when they are something else."""

from pathlib import Path

import numpy as np
import pytest

from core import InputRefused, PrevisageError, UsageError
from synth.own_networks import NETWORKS, RESTORERS, add_network, identity_network, network_file, network_mark, restorer
from synth.restore import RestoreOptions

pytest.importorskip("onnxruntime", reason="the networks run in onnxruntime (extra `restore`)")
onnx = pytest.importorskip("onnx", reason="the networks are written with onnx (extra `test`)")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder of added models."""
    monkeypatch.setenv("PREVISAGE_MODELS", str(tmp_path / "models"))
    return tmp_path


def pooled(path: Path, side: int) -> Path:
    """A network that pools a square's colours: of 112 px it makes a vector, of 512 px a picture would be needed."""
    from onnx import TensorProto, helper

    nodes = [helper.make_node("AveragePool", ["x"], ["pooled"], kernel_shape=[7, 7], strides=[7, 7]),
             helper.make_node("Flatten", ["pooled"], ["out"])]
    shape = ["n", 3, side, side]
    graph = helper.make_graph(nodes, "tiny", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def brighter(path: Path) -> Path:
    """A face restorer's form: 512 px in, the same size out, a little brighter."""
    from onnx import TensorProto, helper, numpy_helper

    more = numpy_helper.from_array(np.float32(0.2), "more")
    shape = [1, 3, 512, 512]
    graph = helper.make_graph([helper.make_node("Add", ["x", "more"], ["y"])], "tiny",
                              [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)], [more])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_before_anything_is_kept_the_licence_is_shown(home: Path) -> None:
    for name, kind in NETWORKS.items():
        with pytest.raises(UsageError) as told:
            add_network(name, home / "any.onnx", accepted=False)
        assert told.value.code == "licence_not_accepted" and kind.licence.name in str(told.value)
    assert identity_network() is None and network_mark("identity") == "" and not (home / "models").exists()


def test_an_identity_network_is_tried_kept_and_used(home: Path) -> None:
    file = pooled(home / "face.onnx", 112)
    kept = add_network("identity", file, accepted=True)
    assert kept["files"]["face.onnx"]["bytes"] == file.stat().st_size
    assert network_file("identity") == file and len(network_mark("identity")) == 64
    network = identity_network()
    assert network is not None and network.run(network.batch([np.zeros((112, 112, 3), np.uint8)])).size == 768


def test_an_altered_network_is_not_run(home: Path) -> None:
    file = pooled(home / "face.onnx", 112)
    add_network("identity", file, accepted=True)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(PrevisageError) as told:
        identity_network()
    assert told.value.code == "weights_altered"
    file.unlink()
    with pytest.raises(PrevisageError) as told:
        identity_network()
    assert told.value.code == "weights_missing"


def test_what_is_no_identity_network_is_refused(home: Path) -> None:
    (home / "text.onnx").write_text("not a network")
    for file in (pooled(home / "wide.onnx", 140), home / "text.onnx", home / "nowhere.onnx"):
        with pytest.raises(InputRefused):
            add_network("identity", file, accepted=True)
    assert identity_network() is None


def test_a_restorer_is_found_by_its_name(home: Path) -> None:
    assert RESTORERS == ("codeformer", "gfpgan", "realesrgan")
    with pytest.raises(UsageError) as told:
        restorer("gfpgan", RestoreOptions())
    assert "previsage models add gfpgan" in str(told.value)
    add_network("gfpgan", brighter(home / "mine.onnx"), accepted=True)
    assert restorer("gfpgan", RestoreOptions()).kind == "gfpgan"
    with pytest.raises(UsageError, match="no restorer"):
        restorer("beautify", RestoreOptions())
