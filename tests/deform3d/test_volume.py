"""Volumes in closed form; triangles that flip or collapse are found."""

import numpy as np
import pytest
import trimesh

from core import Mesh
from deform3d.volume import added_removed_ml, spoiled, swept_mm3


def ball(radius=30.0) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=3, radius=radius)
    faces = np.array(sphere.faces)
    return Mesh(vertices_mm=np.array(sphere.vertices), faces=faces, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(faces))


def enclosed_mm3(mesh: Mesh) -> float:
    a, b, c = (mesh.vertices_mm[mesh.faces[:, k]] for k in range(3))
    return float(np.einsum("fc,fc->", a, np.cross(b, c)) / 6)


@pytest.mark.parametrize("seed", range(3))
def test_the_sum_is_the_change_of_the_enclosed_volume(seed):
    mesh = ball()
    u = np.random.default_rng(seed).normal(size=mesh.vertices_mm.shape) * 2
    assert swept_mm3(mesh, u).sum() == pytest.approx(enclosed_mm3(mesh.moved(u)) - enclosed_mm3(mesh), rel=1e-9)


def test_growing_adds_and_shrinking_removes():
    mesh = ball()
    grown = (1.1**3 - 1) * enclosed_mm3(mesh) / 1000
    added, removed = added_removed_ml(mesh, 0.1 * mesh.vertices_mm)
    assert (added, removed) == (pytest.approx(grown, rel=1e-9), 0)
    added, removed = added_removed_ml(mesh, -0.1 * mesh.vertices_mm)
    assert (added, removed) == (0, pytest.approx((1 - 0.9**3) * enclosed_mm3(mesh) / 1000, rel=1e-9))


def test_a_translation_adds_in_front_what_it_removes_behind():
    mesh = ball()
    added, removed = added_removed_ml(mesh, np.broadcast_to([0.0, 0, 1], mesh.vertices_mm.shape).copy())
    assert added == pytest.approx(removed, rel=1e-9)
    assert added == pytest.approx(np.pi * 30**2 / 1000, rel=0.02)  # the silhouette's area times 1 mm


def test_nothing_moved_nothing_swept():
    mesh = ball()
    assert added_removed_ml(mesh, np.zeros_like(mesh.vertices_mm)) == (0, 0)
    assert not any(s.any() for s in spoiled(mesh, np.zeros_like(mesh.vertices_mm)))


def test_flipped_and_collapsed_triangles_are_found():
    mesh = ball()
    u = np.zeros_like(mesh.vertices_mm)
    face = mesh.faces[7]
    u[face[0]] = 2 * (mesh.vertices_mm[face[1:]].mean(0) - mesh.vertices_mm[face[0]])
    flipped, collapsed = spoiled(mesh, u)
    assert flipped[7] and not collapsed[7]
    flipped, collapsed = spoiled(mesh, 0.499 * u)
    assert collapsed[7] and not flipped[7]
