"""The head without the vertices that carry no shape."""

import numpy as np
import pytest

from core import Anatomy, Mesh, Plan, SurfacePoints
from core.errors import UsageError
from core.subdivide import finer
from deform3d import catalogue, predict
from deform3d.free import topology
from deform3d.plain import plain_of
from tests.deform3d.builders import remeshed
from tests.deform3d.test_geodesic import as_mesh, sheet


def bare_anatomy(mesh, weights=None):
    none = SurfacePoints(face=np.zeros(0, int), bary=np.zeros((0, 3)))
    weights = np.zeros(len(mesh.vertices_mm)) if weights is None else weights
    return Anatomy(pins478=none, pin_names=(), pin_points=none, region_names=("nose",), region_weights=weights[None])


def bumpy(seed, size=8):
    """A sheet on which every inner vertex carries shape."""
    mesh = sheet(size, size)
    z = np.random.default_rng(seed).uniform(0.2, 1.0, len(mesh.vertices_mm))
    return mesh.with_vertices(mesh.vertices_mm + np.outer(z, [0, 0, 1.0]))


def turned_at_random(mesh, seed, share=0.5):
    """The same surface with other diagonals where two triangles lie in one plane."""
    rng, faces, normals = np.random.default_rng(seed), mesh.faces.astype(int), mesh.face_normals()
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    ends = np.concatenate([faces[:, [1, 2, 0]], faces[:, [2, 0, 1]], faces[:, [0, 1, 2]]])
    across, busy, out = {}, set(), faces.copy()
    for n, (a, b, v) in enumerate(ends):
        f, g = n % len(faces), across.get((b, a))
        across[a, b] = f, v
        if g is None or busy & {f, g[0]} or normals[f] @ normals[g[0]] < 1 - 1e-12 or rng.random() > share:
            continue
        place = mesh.vertices_mm[[v, a, g[1], b]]
        corner = np.cross(np.roll(place, -1, 0) - place, np.roll(place, -2, 0) - np.roll(place, -1, 0)) @ normals[f]
        if corner.min() > 1e-3:  # only where four corners stick out may the diagonal be turned
            out[f], out[g[0]] = (v, a, g[1]), (g[1], b, v)
            busy |= {f, g[0]}
    return Mesh(vertices_mm=mesh.vertices_mm, faces=out, uv=mesh.uv, faces_uv=mesh.faces_uv), len(busy) // 2


def test_what_carries_shape_stays(model, mesh):
    plain = plain_of(mesh, model.anatomy)
    assert plain is None or len(plain.mesh.vertices_mm) == len(mesh.vertices_mm)


@pytest.mark.parametrize("seed", range(3))
def test_however_flat_parts_are_cut_they_come_out_as_the_same_triangles(seed):
    """Folds in two directions, flat between four corners each, cut finer and with diagonals turned at random."""
    folds = sheet(8, 8)
    x, y = np.unique(folds.vertices_mm[:, :2].round(6), return_inverse=True)[1].reshape(-1, 2).T
    height = np.random.default_rng(seed).uniform(0.2, 1.0, (2, x.max() + 1))
    folds = folds.with_vertices(folds.vertices_mm + np.outer(height[0][x] + height[1][y], [0, 0, 1.0]))
    fine, anatomy = folds, bare_anatomy(folds)
    for n in range(2):
        fine, many = turned_at_random(fine, seed)
        fine, anatomy, _ = finer(fine, anatomy, np.random.default_rng(seed + n).random(len(fine.vertices_mm)) < 0.7)
        assert many > 5
    here, there = (plain_of(m, a).mesh for m, a in ((folds, bare_anatomy(folds)), (fine, anatomy)))
    assert len(here.vertices_mm) == len(folds.vertices_mm)
    triangles = [{frozenset(map(tuple, m.vertices_mm[f])) for f in m.faces} for m in (here, there)]
    assert triangles[0] == triangles[1]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_was_cut_finer_comes_back(model, mesh, seed):
    """Here and there, twice: as many vertices as before, every vertex and landmark where it was."""
    rng, fine, anatomy = np.random.default_rng(seed), mesh, model.anatomy
    for _ in range(2):
        fine, anatomy, _ = finer(fine, anatomy, rng.random(len(fine.vertices_mm)) < 0.7)
    plain = plain_of(fine, anatomy)
    assert len(fine.vertices_mm) > 1.5 * len(mesh.vertices_mm) and len(plain.mesh.vertices_mm) == len(mesh.vertices_mm)
    assert len(plain.mesh.faces) == len(mesh.faces)
    np.testing.assert_allclose(plain.mesh.points(plain.on), fine.vertices_mm, atol=1e-4)
    for name in ("pins478", "pin_points"):
        np.testing.assert_allclose(plain.mesh.points(getattr(plain.anatomy, name)),
                                   fine.points(getattr(anatomy, name)), atol=1e-4)
    np.testing.assert_allclose(plain.on.on(plain.anatomy.region_weights.T.astype(float), plain.mesh.faces).T,
                               anatomy.region_weights, atol=1e-4)
    assert plain.on.bary.min() > -1e-4


def test_a_flat_sheet_keeps_its_corners_and_its_area():
    mesh = sheet(9, 9)
    plain = plain_of(mesh, bare_anatomy(mesh))
    assert len(plain.mesh.vertices_mm) == 4 and len(plain.mesh.faces) == 2
    assert np.linalg.norm(plain.mesh.face_normals(), axis=1).sum() == pytest.approx(
        np.linalg.norm(mesh.face_normals(), axis=1).sum())
    assert (plain.mesh.face_normals()[:, 2] > 0).all() and (mesh.face_normals()[:, 2] > 0).all()


def test_a_vertex_whose_weight_bends_stays():
    mesh = sheet(9, 9)
    weights = (mesh.vertices_mm[:, 0] > 3.5).astype(float)  # 0 up to one column, 1 from the next one on
    kept = plain_of(mesh, bare_anatomy(mesh, weights)).mesh.vertices_mm
    assert {3.0, 4.0} <= set(kept[:, 0])
    slope = plain_of(mesh, bare_anatomy(mesh, mesh.vertices_mm[:, 0] / 8)).mesh.vertices_mm
    assert len(slope) == 4


def test_a_vertex_off_the_plane_stays():
    mesh = bumpy(0)
    fine, anatomy, _ = finer(mesh, bare_anatomy(mesh), np.ones(len(mesh.vertices_mm), bool))
    vertex = len(mesh.vertices_mm) + 5
    lifted = fine.vertices_mm.copy()
    lifted[vertex, 2] += 0.001
    kept = plain_of(fine.with_vertices(lifted), anatomy).mesh.vertices_mm
    assert (np.abs(kept - lifted[vertex]).max(1) == 0).any()


def test_what_it_spreads_is_straight_between_the_kept():
    mesh = bumpy(1)
    fine, anatomy, split = finer(mesh, bare_anatomy(mesh), np.ones(len(mesh.vertices_mm), bool))
    plain = plain_of(fine, anatomy)
    u = np.random.default_rng(2).normal(size=(2, len(plain.mesh.vertices_mm), 3))
    spread = plain.spread(u)
    coarse = spread[:, :len(mesh.vertices_mm)]
    np.testing.assert_allclose(spread[:, len(mesh.vertices_mm):], coarse[:, split.ends].mean(2), atol=1e-9)


def test_no_two_sheets_are_sewn_together():
    """A tube of three flat sides keeps its edges: no edge is left with more than two triangles."""
    ring = np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.9, 0]], float)
    tube = np.concatenate([ring + [0, 0, z] for z in range(4)])
    faces = [[3 * z + k, 3 * z + (k + 1) % 3, 3 * z + 3 + k] for z in range(3) for k in range(3)]
    faces += [[3 * z + (k + 1) % 3, 3 * z + 3 + (k + 1) % 3, 3 * z + 3 + k] for z in range(3) for k in range(3)]
    mesh = as_mesh(tube, np.array(faces))
    plain = plain_of(mesh, bare_anatomy(mesh))
    edges = np.sort(plain.mesh.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert np.unique(edges, axis=0, return_counts=True)[1].max() <= 2
    assert np.linalg.norm(plain.mesh.face_normals(), axis=1).sum() == pytest.approx(
        np.linalg.norm(mesh.face_normals(), axis=1).sum())


@pytest.mark.parametrize("place", [{"at": "prn"}, {"at_mm": [0.0, -40.0, 60.0]}, {"bary": [0.2, 0.5, 0.3]}])
def test_a_free_move_takes_hold_where_it_did(model, mesh, place):
    fine, anatomy = remeshed(mesh, model.anatomy)
    if "bary" in place:
        place = {"face": int(anatomy.pin("prn").face[0]), **place}
    plan = Plan.model_validate({"free": [{**place, "move_mm": [0, 1, 2], "radius_mm": 25}], "topology": topology(fine)})
    made = predict(fine, anatomy, plan, catalogue())
    assert made.landed[0].error_mm < 1e-6 and made.plan == plan.model_dump(mode="json")
    if "bary" in place:
        there = SurfacePoints(face=np.array([place["face"]]), bary=np.array([place["bary"]]))
        np.testing.assert_allclose(there.on(made.total_mm(), fine.faces)[0], (0, 1, 2), atol=1e-6)


def test_a_free_move_of_a_triangle_that_is_not_there(model, mesh):
    fine, anatomy = remeshed(mesh, model.anatomy)
    plan = Plan.model_validate({"free": [{"face": len(fine.faces), "bary": [1, 0, 0], "move_mm": [0, 1, 2],
                                          "radius_mm": 25}], "topology": topology(fine)})
    with pytest.raises(UsageError, match="no such place"):
        predict(fine, anatomy, plan, catalogue())


@pytest.mark.parametrize("name", ["mentoplasty", "blepharoplasty_lower", "orthognathic_maxilla", "rhytidectomy"])
def test_what_must_be_still_is_still_between_the_kept_too(model, mesh, name):
    """A vertex that is left out may lie between one that is still and one that moves."""
    fine, anatomy = remeshed(mesh, model.anatomy)
    plan = Plan.model_validate({"procedures": [{"procedure": name, "intensity": 100.0}]})
    total = predict(fine, anatomy, plan, catalogue()).total_mm()
    still = np.max([anatomy.region(r) for r in catalogue()[name].immobile], axis=0) >= 0.05
    assert not total[still].any() and total.any()

