"""Surface distances against the great circle, the plane and each other."""

import numpy as np
import trimesh

from core import Mesh, SurfacePoints
from deform3d.geodesic import distances_mm, patch_around, smoothstep


def as_mesh(vertices, faces) -> Mesh:
    return Mesh(vertices_mm=vertices, faces=faces, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(faces))


def ball(radius=20.0, subdivisions=3) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return as_mesh(np.array(sphere.vertices), np.array(sphere.faces))


def sources(mesh, count, seed=0) -> SurfacePoints:
    rng = np.random.default_rng(seed)
    return SurfacePoints(face=rng.integers(0, len(mesh.faces), count), bary=rng.dirichlet(np.ones(3), count))


def test_great_circles_on_a_sphere():
    mesh = ball()
    points = sources(mesh, 6)
    patch = patch_around(mesh, points, 100.0, 1.2)
    found = distances_mm(patch, [])[0]
    unit = mesh.points(points)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    on = patch.vertices_mm / np.linalg.norm(patch.vertices_mm, axis=1, keepdims=True)
    exact = 20 * np.arccos(np.clip(unit @ on.T, -1, 1))
    assert np.abs(found - exact).max() < 0.8  # the facets lie up to 0.2 mm inside; the antipode is 62.8 mm away
    near = exact < 8
    assert np.abs(found - exact)[near].max() < 0.25


def test_zero_at_the_source_also_inside_a_triangle():
    mesh = ball()
    points = SurfacePoints(face=np.array([5, 40]), bary=np.array([[1.0, 0, 0], [0.3, 0.3, 0.4]]))
    patch = patch_around(mesh, points, 30.0, 1.2)
    found = distances_mm(patch, [])[0]
    assert found[0, np.searchsorted(patch.kept, mesh.faces[5, 0])] == 0
    straight = np.linalg.norm(patch.vertices_mm - mesh.points(points)[1], axis=1)
    close = straight < 1.2
    assert close.any()
    np.testing.assert_allclose(found[1, close], straight[close], rtol=0.02)


def test_symmetric_between_points():
    mesh = ball()
    points = sources(mesh, 12, seed=4)
    patch = patch_around(mesh, points, 100.0, 1.2)
    between = patch.points.on(distances_mm(patch, [])[0].T, patch.faces)
    off = ~np.eye(12, dtype=bool)
    assert np.abs(between - between.T)[off].max() < 0.35
    assert between[off].min() > 1


def test_other_pieces_are_infinitely_far_or_left_out():
    one, far = ball(), ball(5.0, 2)
    mesh = as_mesh(np.concatenate([one.vertices_mm, far.vertices_mm + [0, 0, 21]]),
                   np.concatenate([one.faces, far.faces + len(one.vertices_mm)]))
    alone = patch_around(mesh, sources(one, 2), 60.0, 3.0)
    assert alone.kept.max() < len(one.vertices_mm)
    both = SurfacePoints(face=np.array([0, len(one.faces)]), bary=np.tile([1.0, 0, 0], (2, 1)))
    patch = patch_around(mesh, both, 60.0, 3.0)
    found = distances_mm(patch, [])[0][:, :len(patch.kept)]
    of_first = patch.kept < len(one.vertices_mm)
    assert np.isfinite(found[0, of_first]).all() and np.isinf(found[0, ~of_first]).all()
    assert np.isinf(found[1, of_first]).all() and np.isfinite(found[1, ~of_first]).all()


def test_a_path_runs_over_the_surface_and_not_through_the_gap():
    x, y = np.meshgrid(np.arange(0, 31.0), np.arange(0, 11.0))
    fold = np.where(x <= 15, x, 30 - x)  # a sheet folded back over itself, 2 mm apart
    lift = np.clip((x - 14) / 2, 0, 1) * 2
    vertices = np.stack([fold, y, lift], -1).reshape(-1, 3)
    index = np.arange(31 * 11).reshape(11, 31)
    a, b, c, d = (q.ravel() for q in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    mesh = as_mesh(vertices, np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))
    start, across = index[5, 3], index[5, 27]
    face = int(np.flatnonzero((mesh.faces == start).any(1))[0])
    source = SurfacePoints(face=np.array([face]), bary=(mesh.faces[face] == start)[None].astype(float))
    patch = patch_around(mesh, source, 40.0, 1.0)
    found = distances_mm(patch, [])[0][0, np.searchsorted(patch.kept, across)]
    assert np.linalg.norm(vertices[start] - vertices[across]) == 2
    assert abs(found - 24) < 2.5


def test_distance_to_a_set_is_zero_on_it_and_grows():
    mesh = ball()
    patch = patch_around(mesh, sources(mesh, 1), 100.0, 1.5)
    cap = np.flatnonzero(patch.vertices_mm[:, 2] > 15)
    found = distances_mm(patch, [cap])[1][0]
    assert (found[cap] == 0).all()
    exact = 20 * (np.arccos(np.clip(patch.vertices_mm[:, 2] / 20, -1, 1)) - np.arccos(15 / 20))
    below = exact > 3
    assert np.abs(found - exact)[below].max() < 1.5


def test_smoothstep_is_flat_at_both_ends():
    t = np.linspace(-0.5, 1.5, 2001)
    s = smoothstep(t)
    assert (s[t <= 0] == 0).all() and (s[t >= 1] == 1).all() and (np.diff(s) >= 0).all()
    assert np.abs(np.diff(s, 2)).max() < 1e-5
    assert smoothstep(np.array([0.5]))[0] == 0.5
