"""What a case folder holds is what the record holds, to the last bit; damage has a name."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import open3d
import pytest
import trimesh

from core.certainty import seen_at, within95_mm
from core.errors import PrevisageError
from core.glb import split_seams
from core.store import load_prediction, load_reconstruction, save_prediction, save_reconstruction
from tests.core.builders import prediction, reconstruction
from tests.core.test_glb import parse, read


def assert_same(a: Any, b: Any, where: str = "") -> None:
    """Equal types, equal values, equal bits, all the way down."""
    assert type(a) is type(b), where
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            assert_same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes(), where
    elif isinstance(a, tuple | list):
        assert len(a) == len(b), where
        for n, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{where}[{n}]")
    else:
        assert a == b, where


@pytest.mark.parametrize("seed", [20, 21])
def test_a_reconstruction_comes_back_exactly(tmp_path: Path, seed: int) -> None:
    head = reconstruction(np.random.default_rng(seed))
    save_reconstruction(tmp_path, head)
    assert_same(load_reconstruction(tmp_path), head)
    names = {"mesh.ply", "head.glb", "landmarks478.npy", "cameras.json", "fit.json", "texture.png", "texture_delit.png",
             "uncertainty.npy", "seen.npy"}
    assert names <= {p.name for p in tmp_path.iterdir()}
    np.testing.assert_array_equal(np.load(tmp_path / "landmarks478.npy"), head.landmarks.points)


def test_a_head_without_delit_skin_comes_back_without(tmp_path: Path) -> None:
    """Cases made before there was one."""
    head = dataclasses.replace(reconstruction(np.random.default_rng(25)), delit=None)
    save_reconstruction(tmp_path, head)
    assert not (tmp_path / "texture_delit.png").exists()
    assert_same(load_reconstruction(tmp_path), head)


def test_a_case_made_before_it_said_what_was_seen_tells_it_by_its_texture(tmp_path: Path) -> None:
    head = reconstruction(np.random.default_rng(25))
    save_reconstruction(tmp_path, head)
    (tmp_path / "seen.npy").unlink()
    again = load_reconstruction(tmp_path)
    np.testing.assert_array_equal(again.seen, seen_at(head.texture, head.mesh))
    assert_same(dataclasses.replace(again, seen=head.seen), head)


def test_both_glbs_carry_certainty(tmp_path: Path) -> None:
    """One value for every vertex of the file, on both sides of every seam; in metres' company it keeps its mm."""
    rng = np.random.default_rng(29)
    head = reconstruction(rng)
    save_reconstruction(tmp_path, head)
    save_prediction(tmp_path, head, prediction(rng, head))
    vertex = split_seams(head.mesh)[0]
    for name in ("head.glb", "predicted.glb"):
        document, binary = parse(tmp_path / name)
        (mesh,) = document["meshes"]
        attributes = mesh["primitives"][0]["attributes"]
        for attribute, values in (("_UNCERTAINTY_MM", head.uncertainty_mm), ("_SEEN", head.seen)):
            np.testing.assert_allclose(read(document, binary, attributes[attribute])[:, 0], values[vertex], rtol=1e-6)
        within = within95_mm(head.mesh, head.uncertainty_mm, head.face_seen)
        assert mesh["extras"]["within95_mm"] == round(within, 3)
    assert mesh["extras"]["targetNames"] == ["rhinoplasty.hump", "rhinoplasty.tip"], "the steps keep their names"


@pytest.mark.parametrize("seed", [22, 23])
def test_a_prediction_comes_back_exactly(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    head = reconstruction(rng)
    plan = prediction(rng, head)
    save_prediction(tmp_path, head, plan)
    assert_same(load_prediction(tmp_path), plan)
    np.testing.assert_array_equal(np.load(tmp_path / "displacement.npy"), plan.total_mm())
    assert (tmp_path / "predicted.glb").read_bytes()[:4] == b"glTF"


def test_a_prediction_without_steps_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(24)
    head = reconstruction(rng)
    empty = dataclasses.replace(prediction(rng, head), step_names=(), step_labels=(), step_values=(), step_units=(),
                                landed=(), couplings=(), swelling_names=(), swelling_percent=np.zeros((0, 2)),
                                warnings=(), **{name: np.zeros((0, len(head.mesh.vertices_mm), 3)) for name in (
                                    "displacement_mm", "low_mm", "high_mm", "swelling_mm")})
    save_prediction(tmp_path, head, empty)
    assert_same(load_prediction(tmp_path), empty)


def test_a_report_cannot_hide_the_scale(tmp_path: Path) -> None:
    head = dataclasses.replace(reconstruction(np.random.default_rng(25)), report={"scale": "mine"})
    with pytest.raises(ValueError, match="scale"):
        save_reconstruction(tmp_path, head)


FILES = ["surface.npz", "texture.png", "texture_seen.png", "fit.json", "cameras.json", "uncertainty.npy", "seen.npy"]


@pytest.mark.parametrize("name, harm", [
    (name, harm) for name in FILES for harm in ("delete", "half", "empty", "noise")
    if (name, harm) not in {("uncertainty.npy", "noise"), ("seen.npy", "noise"),  # npy has no checksum of its own
                            ("seen.npy", "delete")}  # older cases have none
])
def test_a_damaged_head_has_a_name(tmp_path: Path, name: str, harm: str) -> None:
    save_reconstruction(tmp_path, reconstruction(np.random.default_rng(26)))
    spoil(tmp_path / name, harm)
    with pytest.raises(PrevisageError) as refused:
        load_reconstruction(tmp_path)
    assert refused.value.code == "case_damaged" and "previsage reconstruct" in refused.value.hint


@pytest.mark.parametrize("name", ["prediction.npz", "prediction.json"])
@pytest.mark.parametrize("harm", ["delete", "half", "empty", "noise"])
def test_a_damaged_prediction_has_a_name(tmp_path: Path, name: str, harm: str) -> None:
    rng = np.random.default_rng(27)
    head = reconstruction(rng)
    save_prediction(tmp_path, head, prediction(rng, head))
    spoil(tmp_path / name, harm)
    with pytest.raises(PrevisageError) as refused:
        load_prediction(tmp_path)
    assert refused.value.code == "case_damaged"


def spoil(path: Path, harm: str) -> None:
    """Damage one file."""
    content = path.read_bytes()
    if harm == "delete":
        path.unlink()
    elif harm == "half":
        path.write_bytes(content[:len(content) // 2])
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        middle = len(content) // 3
        path.write_bytes(content[:middle] + bytes(255 - b for b in content[middle:2 * middle]) + content[2 * middle:])


def test_the_ply_is_millimetres_for_other_programs(tmp_path: Path) -> None:
    head = reconstruction(np.random.default_rng(28))
    save_reconstruction(tmp_path, head)
    path = tmp_path / "mesh.ply"
    theirs = trimesh.load(path, process=False)
    np.testing.assert_allclose(theirs.vertices, head.mesh.vertices_mm, atol=1e-5)
    np.testing.assert_array_equal(theirs.faces, head.mesh.faces)
    np.testing.assert_array_equal(theirs.visual.vertex_colors[:, :3], head.texture.vertex_colors(head.mesh))
    assert theirs.is_watertight and theirs.volume > 0, "faces wind outward"
    np.testing.assert_allclose(theirs.extents, 180, atol=1)
    again = open3d.io.read_triangle_mesh(str(path))
    np.testing.assert_allclose(np.asarray(again.vertices), head.mesh.vertices_mm, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(again.triangles), head.mesh.faces)
    assert again.has_vertex_colors()


def test_sentences_are_about_the_face_that_was_seen() -> None:
    """Where the anatomy has a face; guessed ears and scalp do not spoil what is said of it."""
    head = reconstruction(np.random.default_rng(31))
    names = head.anatomy.region_names
    face = head.anatomy.region(names[0]) > 0.5
    known = dataclasses.replace(head, anatomy=dataclasses.replace(head.anatomy, region_names=("face", *names[1:])))
    np.testing.assert_array_equal(known.face_seen, np.where(face, head.seen, 0))
    if "face" not in names:
        np.testing.assert_array_equal(head.face_seen, head.seen)
