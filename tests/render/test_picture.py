"""Pictures, mipmaps and buffers."""

import numpy as np
import pytest

from core.mesh import Mesh
from core.transforms import head_rotation
from render.buffers import camera_normals, px_per_mm
from render.mipmap import Mipmap
from render.picture import PictureOptions, edges, photograph, picture
from render.rasterize import Rasterizer, rasterize
from tests.core.builders import sphere
from tests.render.scenes import front_camera, noise, plain, square


def test_a_frontal_square_shows_its_texture_upright() -> None:
    """One texel per pixel: the picture is the texture, byte for byte."""
    texture = noise(1, 64)
    camera = front_camera(500.0, (64, 64), 500.0)
    mesh = square(64.0)
    shown = picture(rasterize(mesh, camera), mesh, camera, texture)
    assert np.abs(shown.astype(int) - texture.rgb).max() <= 1


def test_minified_texture_shows_its_mean() -> None:
    """Eight texels a side per pixel: without a mipmap a checkerboard would alias to black and white."""
    board = noise(2, 256)
    camera = front_camera(500.0, (32, 32), 500.0)
    mesh = square(32.0)
    shown = picture(rasterize(mesh, camera), mesh, camera, board).astype(float)
    mean = board.rgb.reshape(32, 8, 32, 8, 3).mean((1, 3))
    assert np.abs(shown - mean).max() < 2.0


def test_mipmap_levels_blend_and_clamp() -> None:
    mipmap = Mipmap(noise(3, 64))
    uv = np.random.default_rng(3).uniform(-0.2, 1.2, (5, 7, 2)).astype(np.float32)
    low, high = (mipmap.sample(uv, np.full((5, 7), level, np.float32)) for level in (1.0, 2.0))
    between = mipmap.sample(uv, np.full((5, 7), 1.25, np.float32))
    assert np.abs(between - (0.75 * low + 0.25 * high)).max() < 1e-3
    assert np.array_equal(mipmap.sample(uv, np.full((5, 7), -3.0, np.float32)),
                          mipmap.sample(uv, np.zeros((5, 7), np.float32)))
    flat = Mipmap(plain((10, 200, 30)))
    assert np.array_equal(np.unique(flat.sample(uv, np.full((5, 7), 0.4, np.float32)).reshape(-1, 3), axis=0),
                          [[10, 200, 30]])
    listed = mipmap.sample(uv.reshape(-1, 2), np.full(35, 1.25, np.float32))
    assert np.array_equal(listed.reshape(5, 7, 3), between)
    assert mipmap.sample(np.zeros((0, 2), np.float32), np.zeros(0, np.float32)).shape == (0, 3)


def test_edges_are_mixed_in_proportion() -> None:
    """A square whose edges cut pixel columns at a quarter shows a quarter of its colour there."""
    mesh = square(40.5)  # 1 mm is 1 px; edges at 31.5 +- 20.25: columns 11 and 52 are in by a quarter
    camera = front_camera(500.0, (64, 64), 500.0)
    options = PictureOptions(background=(0, 0, 0))
    shown = photograph(Rasterizer(mesh), camera, plain((200, 200, 200)), options).astype(int)
    assert shown[32, 30].tolist() == [200] * 3
    assert shown[32, 5].tolist() == [0] * 3
    assert abs(shown[32, 11, 0] - 50) <= 1
    assert abs(shown[32, 52, 0] - 50) <= 1


def test_edges_come_out_the_same_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part may hold pixels beside the head only, where no ray meets it."""
    mesh, camera = square(40.5), front_camera(500.0, (64, 64), 500.0)
    whole = photograph(Rasterizer(mesh), camera, noise(3, 64))
    monkeypatch.setattr("render.picture.EDGE_PIXELS", 1)
    assert np.array_equal(photograph(Rasterizer(mesh), camera, noise(3, 64)), whole)


def test_only_edge_pixels_differ_from_the_plain_picture() -> None:
    mesh, camera, texture = sphere(60), front_camera(), noise(5)
    seen = rasterize(mesh, camera)
    rough = picture(seen, mesh, camera, texture)
    smooth = photograph(Rasterizer(mesh), camera, texture)
    differs = np.any(rough != smooth, axis=-1)
    assert differs.any()
    assert not differs[~edges(seen)].any()


def test_background_and_clay() -> None:
    mesh, camera = sphere(40), front_camera()
    options = PictureOptions(background=(1, 2, 3), clay=(90, 80, 70), light="as_seen")
    shown = picture(rasterize(mesh, camera), mesh, camera, None, options)
    assert shown[0, 0].tolist() == [1, 2, 3]
    assert shown[60, 80].tolist() == [90, 80, 70]


def test_headlight_darkens_towards_the_horizon() -> None:
    mesh, camera = sphere(50, 60, 120), front_camera()
    row = picture(rasterize(mesh, camera), mesh, camera, None, PictureOptions(light="headlight"))[60, 80:136, 0]
    assert row[0] > row[45] + 15
    assert np.all(np.diff(row[:50].astype(int)) <= 1)


def test_relighting_leaves_what_did_not_change() -> None:
    mesh, camera, texture = sphere(60, 60, 120), front_camera(), noise(6)
    dent = np.zeros((len(mesh.vertices_mm), 3))
    near = np.linalg.norm(mesh.vertices_mm - [0, 25, 55], axis=1) < 15
    dent[near] = [0, 0, -4]
    changed = mesh.moved(dent)
    options = PictureOptions()
    seen = rasterize(changed, camera)
    flat = picture(seen, changed, camera, texture, options)
    lit = picture(seen, changed, camera, texture, options, before=mesh)
    differs = np.any(flat != lit, axis=-1)
    turned = np.any(np.abs(changed.vertex_normals() - mesh.vertex_normals()) > 1e-6, axis=1)
    touched = turned[changed.faces].any(1)
    assert differs.any()
    assert touched[seen.face[differs]].all()
    assert np.array_equal(picture(seen, changed, camera, texture, options, before=changed), flat)


def test_camera_normals_point_at_the_camera() -> None:
    mesh = sphere(60, 60, 120)
    for yaw in (0.0, 0.8):
        camera = front_camera(rotation=head_rotation(yaw, 0.0, 0.0))
        normal = camera_normals(rasterize(mesh, camera), mesh, camera)
        assert np.abs(normal[60, 80] - [0, 0, -1]).max() < 0.03
        assert normal[60, 120, 0] > 0.3 and normal[100, 80, 1] > 0.3


def test_pixels_per_millimetre() -> None:
    camera = front_camera(600.0, distance_mm=500.0)
    assert abs(px_per_mm(rasterize(square(80, z_mm=20), camera), camera) - 600 / 480) < 1e-6
    empty = Mesh(vertices_mm=np.eye(3) * 1e-3 + [500, 500, 0], faces=np.array([[0, 1, 2]]), uv=np.zeros((1, 2)),
                 faces_uv=np.zeros((1, 3), int))
    with pytest.raises(ValueError, match="no surface"):
        px_per_mm(rasterize(empty, camera), camera)
