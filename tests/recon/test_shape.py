"""Triangles of the dense head: small wherever an operation may act."""

import numpy as np

from recon.shape import LARGEST_MM, evened, long_edges
from recon.skin import all_skin


def lengths_mm(mesh):
    return np.linalg.norm(mesh.vertices_mm[mesh.faces] - mesh.vertices_mm[np.roll(mesh.faces, -1, axis=1)], axis=2)


def test_no_edge_of_skin_is_long_and_the_scalp_is_as_it_was(model, mesh):
    assert long_edges(mesh, model.anatomy).any()
    fine, anatomy = evened(mesh, model.anatomy)
    skin = all_skin(anatomy)[fine.faces] > 0.5
    skin |= np.roll(skin, -1, axis=1)  # the edges that touch it
    assert lengths_mm(fine)[skin].max() <= LARGEST_MM < lengths_mm(fine).max()
    assert len(fine.vertices_mm) < len(mesh.vertices_mm) + 8_000  # a dense head is to stay below 50,000
    np.testing.assert_array_equal(fine.vertices_mm[:len(mesh.vertices_mm)], mesh.vertices_mm)
    np.testing.assert_allclose(anatomy.pin_points.on(fine.uv, fine.faces_uv),
                               model.anatomy.pin_points.on(mesh.uv, mesh.faces_uv), atol=1e-9)
