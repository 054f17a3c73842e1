"""A bust's neck is level, its outline is round, and its face is the head's own."""

import numpy as np

from core.mesh import Mesh
from recon.bust import bust, levelled, long_edges, neck_rim
from recon.shape import curved
from recon.skin import still_skin


def of(mesh, anatomy, face_too=False):
    return bust(mesh, anatomy, np.ones(len(mesh.vertices_mm)), face_too)


def test_the_neck_ends_level_and_the_face_stays(model, mesh):
    rim = neck_rim(mesh)
    moved = levelled(mesh, model.anatomy)
    assert np.ptp(mesh.vertices_mm[rim, 1]) > 30
    np.testing.assert_allclose(moved[rim, 1], mesh.vertices_mm[rim, 1].min(), atol=1e-9)
    still = still_skin(model.anatomy) > 0.5
    np.testing.assert_array_equal(moved[still], mesh.vertices_mm[still])
    assert (moved[:, 1] <= mesh.vertices_mm[:, 1] + 1.0).all()  # the stretch does not swing upwards


def test_the_finer_necks_cut_is_a_straight_line_too(model, mesh):
    fine = of(mesh, model.anatomy)[0]
    rim = neck_rim(fine)
    assert len(rim) > 1.5 * len(neck_rim(mesh))
    np.testing.assert_allclose(fine.vertices_mm[rim, 1], fine.vertices_mm[rim, 1].min(), atol=1e-9)


def test_no_triangle_of_the_neck_turns_over(model, mesh):
    before, after = mesh.face_normals(), mesh.with_vertices(levelled(mesh, model.anatomy)).face_normals()
    changed = (before != after).any(1)
    assert changed.sum() > 50
    assert (before[changed] * after[changed]).sum(1).min() > 0


def test_no_long_edge_is_left_and_what_was_known_is_kept(model, mesh):
    assert long_edges(mesh, model.anatomy).any()
    fine, anatomy, sd = of(mesh, model.anatomy)
    assert not long_edges(fine, anatomy).any()
    still = np.flatnonzero(still_skin(model.anatomy) > 0.5)
    np.testing.assert_array_equal(fine.vertices_mm[still], mesh.vertices_mm[still])
    np.testing.assert_allclose(sd, 1)
    np.testing.assert_allclose(anatomy.pin_points.on(fine.uv, fine.faces_uv),
                               model.anatomy.pin_points.on(mesh.uv, mesh.faces_uv), atol=1e-9)


def test_a_coarse_face_becomes_finer_where_that_is_asked(model, mesh):
    face = model.anatomy.region("face") > 0.5
    coarse, fine = of(mesh, model.anatomy)[0], of(mesh, model.anatomy, face_too=True)[0]
    assert len(fine.vertices_mm) > len(coarse.vertices_mm) + 8 * face.sum()
    assert len(fine.vertices_mm) < 50_000


def test_a_skulls_new_vertices_lie_outside_its_chords(model, mesh):
    fine, _, made = curved(mesh, model.anatomy, long_edges(mesh, model.anatomy))
    middle = mesh.vertices_mm[made.ends].mean(1)
    crown = middle[:, 1] > 90
    centre = np.array([0.0, 20.0, -80.0])
    out = np.linalg.norm(fine.vertices_mm[len(mesh.vertices_mm):] - centre, axis=1) - np.linalg.norm(
        middle - centre, axis=1)
    assert crown.sum() > 50
    assert 0.2 < np.median(out[crown]) < 1.5  # an edge of 20 mm on a ball of 80 mm radius: 0.6


def test_a_closed_head_has_no_rim():
    corner = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    closed = Mesh(vertices_mm=corner, faces=np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]),
                  uv=np.zeros((4, 2)), faces_uv=np.array([[0, 2, 1], [0, 1, 3], [1, 2, 3], [2, 0, 3]]))
    assert not len(neck_rim(closed))
