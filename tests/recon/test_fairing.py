"""Fairing finds the smooth surface through known vertices, and leaves a flat one flat."""

import numpy as np
import pytest
import trimesh

from core.mesh import Mesh
from core.subdivide import split_all
from recon.fairing import bending, faired


def as_mesh(vertices, faces) -> Mesh:
    return Mesh(vertices_mm=vertices, faces=faces, uv=np.zeros((len(vertices), 2)), faces_uv=faces)


def finer(vertices, faces):
    """Every triangle in sixteen, its new vertices on the flat ones."""
    for _ in range(2):
        made = split_all(faces, len(vertices))
        vertices, faces = made.values(vertices), made.faces
    return vertices, faces


def test_a_ball_is_found_between_its_known_vertices():
    ball = trimesh.creation.icosphere(subdivisions=2, radius=30.0)
    vertices, faces = finer(np.asarray(ball.vertices), np.asarray(ball.faces))
    known = np.arange(len(vertices)) < len(ball.vertices)
    flat = np.abs(np.linalg.norm(vertices, axis=1) - 30)
    found = faired(as_mesh(vertices, faces), known).vertices_mm
    off = np.abs(np.linalg.norm(found, axis=1) - 30)
    assert off.mean() < 0.1 * flat.mean() and off.max() < 0.2 * flat.max()
    np.testing.assert_array_equal(found[known], vertices[known])


def test_a_plane_stays_flat_and_its_vertices_in_it():
    x, y = np.meshgrid(np.arange(6.0), np.arange(6.0))
    grid = np.column_stack([x.ravel(), y.ravel(), np.zeros(36)])
    corner = (np.arange(5)[:, None] * 6 + np.arange(5)).ravel()
    vertices, faces = finer(grid, np.concatenate([np.column_stack([corner, corner + 1, corner + 7]),
                                                  np.column_stack([corner, corner + 7, corner + 6])]))
    found = faired(as_mesh(vertices, faces), np.arange(len(vertices)) < 36)
    np.testing.assert_allclose(found.vertices_mm[:, 2], 0, atol=1e-12)


def test_nothing_moves_where_all_is_fixed_and_the_bending_is_a_sum_of_squares():
    ball = trimesh.creation.icosphere(subdivisions=2, radius=30.0)
    mesh = as_mesh(np.asarray(ball.vertices), np.asarray(ball.faces))
    assert faired(mesh, np.ones(len(ball.vertices), bool)) is mesh
    energy = bending(mesh).toarray()
    np.testing.assert_allclose(energy, energy.T, atol=1e-12)
    assert np.linalg.eigvalsh(energy).min() > -1e-9
    np.testing.assert_allclose(energy @ np.ones(len(energy)), 0, atol=1e-9)  # moving all of it bends nothing
    v = mesh.vertices_mm
    assert (v * (energy @ v)).sum() == pytest.approx((2 / 30) ** 2 * mesh_area(mesh), rel=0.05)  # curvature squared


def mesh_area(mesh: Mesh) -> float:
    """mm2."""
    corner = mesh.vertices_mm[mesh.faces]
    return float(np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1).sum() / 2)
