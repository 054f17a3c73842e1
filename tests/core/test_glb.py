"""GLB: what is written is what other programs read: metres, seams, morphs, size and the Khronos validator."""

import gzip
import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from core.glb import BUDGET_BYTES, jpeg, split_seams, write_glb
from core.mesh import Mesh
from core.texture import Texture

CLIENT = Path(__file__).parents[2] / "viewer" / "web" / "client"
DTYPE = {5123: "<u2", 5125: "<u4", 5126: "<f4"}


def globe(rings: int = 24, sides: int = 32, radius_mm: float = 80.0) -> Mesh:
    """A sphere whose texture wraps around: its last meridian is a seam, its poles are shared by many coordinates."""
    v, u = np.meshgrid(np.linspace(0, 1, rings + 1), np.linspace(0, 1, sides + 1), indexing="ij")
    polar, azimuth = np.pi * v, 2 * np.pi * u
    points = radius_mm * np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], -1)
    corner = np.arange((rings + 1) * (sides + 1)).reshape(rings + 1, sides + 1)
    a, b, c, d = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    faces_uv = np.concatenate([np.stack([a, b, c], -1)[:-1].reshape(-1, 3), np.stack([a, c, d], -1)[1:].reshape(-1, 3)])
    merged, vertex_of_corner = np.unique(points.reshape(-1, 3).round(6), axis=0, return_inverse=True)
    return Mesh(vertices_mm=merged, faces=vertex_of_corner.ravel()[faces_uv],
                uv=np.stack([u, v], -1).reshape(-1, 2), faces_uv=faces_uv)


def picture(side: int = 256) -> Texture:
    ramp = np.linspace(0, 255, side).astype(np.uint8)
    across, grey = np.tile(ramp, (side, 1)), np.full((side, side), 128, np.uint8)
    rgb = np.stack([across, across.T, grey], -1)
    return Texture(rgb=rgb, seen=np.full((side, side), 255, np.uint8))


def parse(path: Path) -> tuple[dict, bytes]:
    """An independent reading of the container."""
    content = path.read_bytes()
    assert content[:4] == b"glTF" and int.from_bytes(content[8:12], "little") == len(content)
    size = int.from_bytes(content[12:16], "little")
    assert content[16:20] == b"JSON" and content[24 + size:28 + size] == b"BIN\0"
    return json.loads(content[20:20 + size]), content[28 + size:]


def read(document: dict, binary: bytes, index: int) -> np.ndarray:
    """An accessor as an array, sparse ones expanded."""
    accessor = document["accessors"][index]
    width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]

    def view(number: int, component: int, count: int) -> np.ndarray:
        start = document["bufferViews"][number]["byteOffset"]
        return np.frombuffer(binary, DTYPE[component], count, start)

    if "sparse" not in accessor:
        flat = view(accessor["bufferView"], accessor["componentType"], accessor["count"] * width)
        return flat.reshape(-1, width)
    sparse = accessor["sparse"]
    out = np.zeros((accessor["count"], width))
    rows = view(sparse["indices"]["bufferView"], sparse["indices"]["componentType"], sparse["count"])
    assert (np.diff(rows.astype(int)) > 0).all(), "sparse indices must increase"
    values = view(sparse["values"]["bufferView"], accessor["componentType"], sparse["count"] * width)
    out[rows] = values.reshape(-1, width)
    assert np.allclose(accessor["min"], out.min(0)) and np.allclose(accessor["max"], out.max(0))
    return out


def bump(mesh: Mesh, mm: float = 3.0) -> np.ndarray:
    """A displacement along +z of what lies near the front pole."""
    distance = np.linalg.norm(mesh.vertices_mm - [0, 0, 80], axis=1)
    return np.array([0, 0, mm]) * np.where(distance < 30, np.cos(np.minimum(distance, 30) / 30 * np.pi / 2), 0)[:, None]


@pytest.fixture
def morphed(tmp_path: Path) -> tuple[Path, Mesh]:
    mesh = globe()
    path = tmp_path / "head.glb"
    write_glb(path, mesh, picture(), [("nose.bump", bump(mesh)), ("nose.nothing", np.zeros_like(mesh.vertices_mm)),
                                      ("all.shift", np.full_like(mesh.vertices_mm, 2.0))])
    return path, mesh


def test_another_reader_sees_the_same_surface_in_metres(morphed: tuple[Path, Mesh]) -> None:
    path, mesh = morphed
    (other,) = trimesh.load(path, process=False).geometry.values()
    triangles = mesh.vertices_mm[mesh.faces] / 1000
    np.testing.assert_allclose(other.vertices[other.faces], triangles, atol=1e-8)
    # trimesh flips v on reading: its texture origin is at the bottom left
    np.testing.assert_allclose(other.visual.uv[other.faces] * [1, -1] + [0, 1], mesh.uv[mesh.faces_uv], atol=1e-6)
    assert other.is_winding_consistent and np.einsum("fi,fi->f", other.face_normals, other.triangles_center).min() > 0
    red, green, blue = np.asarray(other.visual.material.baseColorTexture.convert("RGB"))[20, 230].astype(int)
    assert abs(red - 230) < 8 and abs(green - 20) < 8 and abs(blue - 128) < 8


def test_vertices_are_the_unique_pairs_in_order(morphed: tuple[Path, Mesh]) -> None:
    path, mesh = morphed
    pairs = sorted({(int(v), int(t)) for v, t in zip(mesh.faces.ravel(), mesh.faces_uv.ravel(), strict=True)})
    vertex, uv, faces = split_seams(mesh)
    assert pairs == list(zip(vertex.tolist(), uv.tolist(), strict=True))
    assert len(pairs) > len(np.unique(mesh.faces)), "the globe must have a seam, or this test shows nothing"
    np.testing.assert_array_equal(vertex[faces], mesh.faces)
    np.testing.assert_array_equal(uv[faces], mesh.faces_uv)
    assert len(read(*parse(path), parse(path)[0]["meshes"][0]["primitives"][0]["attributes"]["POSITION"])) == len(pairs)


def test_normals_are_unit_and_equal_across_a_seam(morphed: tuple[Path, Mesh]) -> None:
    path, mesh = morphed
    document, binary = parse(path)
    normals = read(document, binary, document["meshes"][0]["primitives"][0]["attributes"]["NORMAL"])
    np.testing.assert_allclose(normals, mesh.vertex_normals()[split_seams(mesh)[0]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-6)


def test_morphs_are_the_displacements_in_metres(morphed: tuple[Path, Mesh]) -> None:
    path, mesh = morphed
    document, binary = parse(path)
    head = document["meshes"][0]
    vertex = split_seams(mesh)[0]
    assert head["extras"]["targetNames"] == ["nose.bump", "nose.nothing", "all.shift"] and head["weights"] == [0, 0, 0]
    wanted = [bump(mesh), np.zeros_like(mesh.vertices_mm), np.full_like(mesh.vertices_mm, 2.0)]
    for target, displacement in zip(head["primitives"][0]["targets"], wanted, strict=True):
        assert set(target) == {"POSITION"}
        np.testing.assert_allclose(read(document, binary, target["POSITION"]) * 1000, displacement[vertex], atol=2e-4)
    counts = [document["accessors"][t["POSITION"]]["sparse"]["count"] for t in head["primitives"][0]["targets"]]
    assert counts[0] < len(vertex) / 3 and counts[1] == 1 and counts[2] == len(vertex)


def test_without_morphs_there_are_no_weights(tmp_path: Path) -> None:
    write_glb(tmp_path / "head.glb", globe(), picture(), ())
    head = parse(tmp_path / "head.glb")[0]["meshes"][0]
    assert "weights" not in head and "targets" not in head["primitives"][0]


def test_the_same_head_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.glb", "b.glb"):
        write_glb(tmp_path / name, globe(), picture(), [("bump", bump(globe()))])
    assert (tmp_path / "a.glb").read_bytes() == (tmp_path / "b.glb").read_bytes()


@pytest.mark.parametrize("vertices", [30, 70_000])
def test_many_vertices_take_wide_indices(tmp_path: Path, vertices: int) -> None:
    rings = 6 if vertices < 100 else 260
    mesh = globe(rings, rings + 12)
    write_glb(tmp_path / "head.glb", mesh, picture(8), [("shift", np.ones_like(mesh.vertices_mm))])
    document, binary = parse(tmp_path / "head.glb")
    primitive = document["meshes"][0]["primitives"][0]
    assert document["accessors"][primitive["indices"]]["componentType"] == (5125 if vertices > 65535 else 5123)
    np.testing.assert_array_equal(read(document, binary, primitive["indices"]).reshape(-1, 3), split_seams(mesh)[2])


def test_the_worst_picture_still_fits_the_budget(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2400, 2400, 3), dtype=np.uint8)
    mesh = globe(60, 80)
    write_glb(tmp_path / "head.glb", mesh, Texture(rgb=noise, seen=noise[..., 0]), [("bump", bump(mesh))])
    assert len(gzip.compress((tmp_path / "head.glb").read_bytes())) <= BUDGET_BYTES


def test_a_skin_like_picture_keeps_its_size_and_colours() -> None:
    rgb = picture(2048).rgb
    with Image.open(io.BytesIO(jpeg(rgb, BUDGET_BYTES))) as image:
        assert image.size == (2048, 2048) and image.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # 4:4:4
        assert np.abs(np.asarray(image).astype(int) - rgb).mean() < 2


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    mesh = globe(4, 6)
    none = np.zeros((0, 3), int)
    nothing = Mesh(vertices_mm=mesh.vertices_mm, faces=none, uv=mesh.uv, faces_uv=none)
    with pytest.raises(ValueError, match="triangle"):
        write_glb(tmp_path / "x.glb", nothing, picture(8), ())
    with pytest.raises(ValueError, match="every vertex"):
        write_glb(tmp_path / "x.glb", mesh, picture(8), [("short", np.zeros((3, 3)))])
    with pytest.raises(ValueError, match="per vertex"):
        write_glb(tmp_path / "x.glb", mesh, picture(8), (), {"_SHORT": np.zeros(3)})
    with pytest.raises(ValueError, match="underscore"):
        write_glb(tmp_path / "x.glb", mesh, picture(8), (), {"SEEN": np.zeros(len(mesh.vertices_mm))})
    assert not list(tmp_path.iterdir())


def khronos(*paths: Path) -> subprocess.CompletedProcess:
    node = shutil.which("node")
    if not node or not (CLIENT / "node_modules" / "gltf-validator").is_dir():
        pytest.skip("the Khronos validator needs node and `npm ci` in viewer/web/client")
    return subprocess.run([node, "validate.mjs", *map(str, paths)], cwd=CLIENT, capture_output=True, text=True,
                          timeout=60)


def test_the_khronos_validator_finds_nothing(morphed: tuple[Path, Mesh], tmp_path: Path) -> None:
    plain, valued, small = tmp_path / "plain.glb", tmp_path / "valued.glb", globe(4, 6)
    write_glb(plain, small, picture(16), ())
    write_glb(valued, small, picture(16), [("bump", bump(small))],
              {"_SEEN": np.linspace(0, 1, len(small.vertices_mm))}, {"within95_mm": 3.2})
    done = khronos(morphed[0], plain, valued)
    reports = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(reports) == 3, done.stderr
    assert [(r["numErrors"], r["numWarnings"]) for r in reports] == [(0, 0)] * 3, done.stdout


def test_the_khronos_validator_can_find_something(morphed: tuple[Path, Mesh]) -> None:
    path = morphed[0]
    path.write_bytes(path.read_bytes().replace(b'"VEC3"', b'"VEC4"', 1))
    assert khronos(path).returncode == 1
