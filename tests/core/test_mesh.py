"""Mesh and SurfacePoints: normals in closed form, refused indices, pinned points."""

import jaxtyping
import numpy as np
import pytest

from core.mesh import Mesh, scatter_add
from core.surface import SurfacePoints
from tests.core.builders import cube, pins, sphere


def test_cube_normals_point_outward_with_twice_the_area() -> None:
    mesh = cube(2.0)
    normals = mesh.face_normals()
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 4)
    centres = mesh.vertices_mm[mesh.faces].mean(1)
    assert ((normals * centres).sum(1) > 0).all()
    np.testing.assert_allclose(np.abs(normals).max(1), 4)


def test_cube_volume_by_the_divergence_theorem() -> None:
    mesh = cube(3.0)
    volume = (mesh.face_normals() * mesh.vertices_mm[mesh.faces].mean(1)).sum() / 6
    assert volume == pytest.approx(27)


def test_sphere_normals_are_radial() -> None:
    mesh = sphere(90.0, 48, 96)
    radial = mesh.vertices_mm / 90
    away = np.degrees(np.arccos(np.clip((mesh.vertex_normals() * radial).sum(1), -1, 1)))
    assert away.max() < 1
    np.testing.assert_allclose(np.linalg.norm(mesh.vertex_normals(), axis=1), 1)


def test_a_vertex_without_a_face_has_no_normal() -> None:
    mesh = cube()
    alone = Mesh(vertices_mm=np.vstack([mesh.vertices_mm, [[9.0, 9, 9]]]), faces=mesh.faces, uv=mesh.uv,
                 faces_uv=mesh.faces_uv)
    np.testing.assert_array_equal(alone.vertex_normals()[-1], 0)


@pytest.mark.parametrize("field, value", [("faces", 8), ("faces", -1), ("faces_uv", 4), ("faces_uv", -1)])
def test_an_index_out_of_range_is_refused(field: str, value: int) -> None:
    mesh = cube()
    arrays = {"faces": mesh.faces.copy(), "faces_uv": mesh.faces_uv.copy()}
    arrays[field][0, 0] = value
    with pytest.raises(ValueError, match="does not exist"):
        Mesh(vertices_mm=mesh.vertices_mm, uv=mesh.uv, **arrays)


def test_faces_and_their_texture_coordinates_must_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the shapes when they are executed, and by the record itself when they are not."""
    mesh = cube()
    fields = {"vertices_mm": mesh.vertices_mm, "faces": mesh.faces, "uv": mesh.uv, "faces_uv": mesh.faces_uv[:-1]}
    with pytest.raises(jaxtyping.TypeCheckError):
        Mesh(**fields)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match="same shape"):
        Mesh(**fields)


def test_moved_leaves_the_original_alone() -> None:
    mesh = cube()
    before = mesh.vertices_mm.copy()
    moved = mesh.moved(np.ones((8, 3)))
    np.testing.assert_array_equal(mesh.vertices_mm, before)
    np.testing.assert_array_equal(moved.vertices_mm, before + 1)
    assert moved.faces is not mesh.faces or not mesh.faces.flags.writeable


def test_scatter_add_is_a_loop() -> None:
    rng = np.random.default_rng(7)
    faces, values = rng.integers(0, 9, (20, 3)), rng.normal(size=(60, 3))
    expected = np.zeros((9, 3))
    for corner, vertex in enumerate(faces.ravel()):
        expected[vertex] += values[corner]
    np.testing.assert_allclose(scatter_add(9, faces, values), expected)


def test_pinned_points_are_affine() -> None:
    """Pins follow any affine motion of the surface exactly."""
    rng = np.random.default_rng(8)
    mesh = sphere()
    points = pins(rng, mesh, 40)
    matrix, shift = rng.normal(size=(3, 3)), rng.normal(size=3)
    moved = mesh.with_vertices(mesh.vertices_mm @ matrix.T + shift)
    np.testing.assert_allclose(moved.points(points), mesh.points(points) @ matrix.T + shift, atol=1e-9)


def test_a_corner_weight_of_one_is_the_vertex() -> None:
    mesh = cube()
    point = SurfacePoints(face=np.array([5]), bary=np.array([[0.0, 1.0, 0.0]]))
    np.testing.assert_array_equal(mesh.points(point)[0], mesh.vertices_mm[mesh.faces[5, 1]])


@pytest.mark.parametrize("rows, count", [(2, 1), ([0, 3], 2), (slice(1, 4), 3), (np.array([True, False] * 5), 5),
                                         ([], 0)])
def test_rows_of_pins_are_pins(rows: object, count: int) -> None:
    points = pins(np.random.default_rng(9), cube(), 10)
    chosen = points[rows]
    assert len(chosen) == count and chosen.bary.shape == (count, 3)
    np.testing.assert_array_equal(chosen.face, np.atleast_1d(points.face[rows]))
