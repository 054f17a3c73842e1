"""The skin laid onto measurements: there where it was measured, smooth where it was not, pins on their places."""

import numpy as np
import open3d as o3d

from core.surface import SurfacePoints
from recon.dense import Depths
from recon.graph import laplacian
from recon.scene import scene_of
from recon.surface import SurfaceOptions, carried, disagreement, laid_on, offsets
from tests.recon.heads import head_of, person


def depths_of(mesh, faces, move_mm, noise_mm, seed):
    """Measurements on some triangles: the skin lies `move_mm` before the mesh."""
    rng = np.random.default_rng(seed)
    on = SurfacePoints(face=rng.choice(faces, 6000).astype(np.int32), bary=rng.dirichlet((1, 1, 1), 6000))
    normal = on.on(mesh.vertex_normals(), mesh.faces)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    target = mesh.points(on) + (move_mm + rng.normal(0, noise_mm, (6000, 1))) * normal
    return Depths(on=on, target_mm=target, normal=normal, sd_mm=np.full(6000, 0.3), view=np.zeros(6000))


def test_measured_skin_moves_and_the_rest_stays(model, mesh):
    cheek = model.anatomy.region("cheek_l") > 0.5
    faces = np.flatnonzero(cheek[mesh.faces].all(1))
    inner = np.unique(mesh.faces[faces])
    moved, support = offsets(mesh, depths_of(mesh, faces, 1.5, 0.3, 1), np.ones(len(mesh.vertices_mm)))
    assert abs(np.median(moved[inner]) - 1.5) < 0.1
    away = np.linalg.norm(mesh.vertices_mm[:, None] - mesh.vertices_mm[inner[::5]], axis=2).min(1) > 60
    assert np.abs(moved[away]).max() < 0.3
    assert support[inner].min() > 0 and support[away].max() == 0


def test_a_third_of_wild_measurements_does_no_harm(model, mesh):
    faces = np.flatnonzero((model.anatomy.region("cheek_l") > 0.5)[mesh.faces].all(1))
    good = depths_of(mesh, faces, 0.5, 0.1, 2)
    target = good.target_mm.copy()
    target[::3] += 6 * good.normal[::3]
    wild = Depths(on=good.on, target_mm=target, normal=good.normal, sd_mm=good.sd_mm, view=good.view)
    moved, _ = offsets(mesh, wild, np.ones(len(mesh.vertices_mm)), SurfaceOptions(rounds=12))
    assert abs(np.median(moved[np.unique(mesh.faces[faces])]) - 0.5) < 0.35


def test_what_is_held_does_not_move(model, mesh):
    eye = model.anatomy.region("eye_l") > 0.5
    faces = np.flatnonzero(eye[mesh.faces].all(1))
    moved, _ = offsets(mesh, depths_of(mesh, faces, 3.0, 0.1, 3), 1.0 - eye)
    assert np.abs(moved[eye]).max() < 0.1


def test_a_head_is_laid_onto_another_with_its_landmarks_in_place(model, mesh):
    other = head_of(model, person(model, seed=5, sd=0.6))
    pins, sd = model.anatomy.pins478, np.full(478, 0.5)
    sd[468:] = np.inf
    places = other.points(pins)
    follows = 1.0 - model.anatomy.region("mouth_interior").astype(float)
    laid = laid_on(mesh, other, pins, places, sd, follows)
    face = model.anatomy.region("face") > 0.5
    gap = scene_of(other).compute_distance(o3d.core.Tensor(laid.vertices_mm[face].astype(np.float32))).numpy()
    before = scene_of(other).compute_distance(o3d.core.Tensor(mesh.vertices_mm[face].astype(np.float32))).numpy()
    assert np.median(gap) < 0.15 * np.median(before)
    miss = np.linalg.norm(laid.points(pins) - places, axis=1)[:468]
    assert np.median(miss) < 0.5 < np.median(np.linalg.norm(mesh.points(pins) - places, axis=1)[:468])


def test_a_piece_is_carried_rigidly(model, mesh):
    moved = mesh.moved(np.tile([1.0, -2.0, 0.5], (len(mesh.vertices_mm), 1)))
    ball = model.anatomy.region("eye_l") > 0.5
    torn = moved.vertices_mm.copy()
    torn[ball] += np.random.default_rng(0).normal(0, 3, (ball.sum(), 3))
    out = carried(mesh, mesh.with_vertices(torn), ball, model.anatomy.region("eyelids_l") > 0.5)
    np.testing.assert_allclose(out[ball], mesh.vertices_mm[ball] + [1.0, -2.0, 0.5], atol=1e-9)


def test_the_laplacian_of_a_constant_is_zero(mesh):
    count = len(mesh.vertices_mm)
    np.testing.assert_allclose(laplacian(mesh.faces, count) @ np.full(count, 3.0), 0, atol=1e-12)
    assert np.abs(laplacian(mesh.faces, count) @ mesh.vertices_mm[:, 0]).max() > 0.1


def test_views_that_differ_are_told_from_views_that_scatter(model, mesh):
    faces = np.flatnonzero((model.anatomy.region("cheek_l") > 0.5)[mesh.faces].all(1))
    calm = depths_of(mesh, faces, 0.5, 0.1, 4)
    view = np.random.default_rng(5).integers(0, 5, 6000).astype(float)

    def told(shift_mm):
        target = calm.target_mm + shift_mm * (view - 2)[:, None] * calm.normal
        depths = Depths(on=calm.on, target_mm=target, normal=calm.normal, sd_mm=calm.sd_mm, view=view)
        along, _ = offsets(mesh, depths, np.ones(len(mesh.vertices_mm)))
        return disagreement(mesh, depths, along, mesh.vertex_normals())

    assert told(0.0) < 0.05 and 0.2 < told(0.2) < 0.36  # 0.2 mm apart each: 0.28 about their middle
