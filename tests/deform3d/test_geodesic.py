"""Surface distances against the great circle, the plane, a cone, exact paths and each other."""

import numpy as np
import pytest
import trimesh
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import Delaunay

from core import Mesh, SurfacePoints
from deform3d.geodesic import Surface, chains, edge_line, smoothstep, spaced


def as_mesh(vertices, faces) -> Mesh:
    return Mesh(vertices_mm=vertices, faces=faces, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(faces))


def ball(radius=20.0, subdivisions=3) -> Mesh:
    sphere = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return as_mesh(np.array(sphere.vertices), np.array(sphere.faces))


def sheet(width=31, height=11, seed=None) -> Mesh:
    """A flat sheet of unit squares, or the same with its inner vertices shifted."""
    x, y = np.meshgrid(np.arange(float(width)), np.arange(float(height)))
    vertices = np.stack([x, y, 0 * x], -1)
    if seed is not None:
        vertices[1:-1, 1:-1, :2] += np.random.default_rng(seed).uniform(-0.35, 0.35, (height - 2, width - 2, 2))
    index = np.arange(width * height).reshape(height, width)
    a, b, c, d = (q.ravel() for q in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]))
    return as_mesh(vertices.reshape(-1, 3), np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)]))


def sources(mesh, count, seed=0) -> SurfacePoints:
    rng = np.random.default_rng(seed)
    return SurfacePoints(face=rng.integers(0, len(mesh.faces), count), bary=rng.dirichlet(np.ones(3), count))


def away(mesh, points, limit=1e3):
    return Surface(mesh.vertices_mm, mesh.faces).from_points(points, np.full(len(mesh.vertices_mm), limit))


def test_great_circles_on_a_sphere():
    mesh = ball()
    points = sources(mesh, 6)
    found = away(mesh, points)
    unit = mesh.points(points)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    exact = 20 * np.arccos(np.clip(unit @ (mesh.vertices_mm / 20).T, -1, 1))
    assert np.abs(found - exact)[exact < 40].max() < 0.4  # the facets lie up to 0.2 mm inside
    assert np.abs(found - exact)[exact < 8].max() < 0.1


@pytest.mark.parametrize("seed", [None, 0, 1, 2])
def test_straight_lines_on_a_plane_whatever_its_triangles(seed):
    mesh = sheet(seed=seed)
    points = sources(mesh, 8, seed=5)
    exact = np.linalg.norm(mesh.points(points)[:, None] - mesh.vertices_mm, axis=2)
    np.testing.assert_allclose(away(mesh, points), exact, atol=1e-6)


def test_around_a_corner_the_path_bends_at_it():
    mesh = sheet(21, 21)
    middle = mesh.vertices_mm[mesh.faces].mean(1)
    slit = (np.abs(middle[:, 0] - 10) < 1.1) & (middle[:, 1] < 10)  # a slot from the lower edge to the centre
    mesh = as_mesh(mesh.vertices_mm, mesh.faces[~slit])
    start, end = 21 * 4 + 5, 21 * 4 + 15
    face = int(np.flatnonzero((mesh.faces == start).any(1))[0])
    point = SurfacePoints(face=np.array([face]), bary=(mesh.faces[face] == start)[None].astype(float))
    assert away(mesh, point)[0, end] == pytest.approx(2 * np.hypot(4, 6) + 2, rel=0.03)


def test_zero_at_the_source_and_straight_in_its_triangle():
    mesh = ball()
    points = SurfacePoints(face=np.array([5, 40]), bary=np.array([[1.0, 0, 0], [0.3, 0.3, 0.4]]))
    found = away(mesh, points)
    assert found[0, mesh.faces[5, 0]] == 0
    corners = mesh.vertices_mm[mesh.faces[40]]
    np.testing.assert_allclose(found[1, mesh.faces[40]], np.linalg.norm(corners - mesh.points(points)[1], axis=1))


def test_between_points_it_is_the_same_there_and_back():
    mesh = ball()
    points = sources(mesh, 12, seed=4)
    surface = Surface(mesh.vertices_mm, mesh.faces)
    between = surface.at(surface.from_points(points, np.full(len(mesh.vertices_mm), 100.0)), mesh.faces[points.face],
                         points)
    unit = mesh.points(points) / np.linalg.norm(mesh.points(points), axis=1, keepdims=True)
    assert np.diag(between).max() == 0
    assert np.abs(between - between.T)[between < 40].max() < 0.2
    exact = 20 * np.arccos(np.clip(unit @ unit.T, -1, 1))
    assert np.abs(between - exact)[exact < 40].max() < 0.4


def test_the_same_on_finer_triangles():
    from core.subdivide import split_all

    mesh = ball(subdivisions=2)
    points = sources(mesh, 5, seed=1)
    fine = split_all(mesh.faces, len(mesh.vertices_mm))
    finer = as_mesh(fine.values(mesh.vertices_mm), fine.faces)
    here, there = away(mesh, points), away(finer, fine.points(points))[:, :len(mesh.vertices_mm)]
    assert np.abs(here - there)[here < 30].max() < 0.15


def test_other_pieces_closed_parts_and_what_lies_too_far_are_infinitely_far():
    one, far = ball(), ball(5.0, 2)
    mesh = as_mesh(np.concatenate([one.vertices_mm, far.vertices_mm + [0, 0, 21]]),
                   np.concatenate([one.faces, far.faces + len(one.vertices_mm)]))
    both = SurfacePoints(face=np.array([0, len(one.faces)]), bary=np.tile([1.0, 0, 0], (2, 1)))
    of_first = np.arange(len(mesh.vertices_mm)) < len(one.vertices_mm)
    assert (np.isfinite(away(mesh, both)) == [of_first, ~of_first]).all()
    near = away(one, both[[0]], 20.0)[0]
    assert np.nanmax(np.where(np.isinf(near), np.nan, near)) <= 20 < away(one, both[[0]])[0][np.isinf(near)].min()
    limit = np.where(one.vertices_mm[:, 2] > 10, -1.0, 1e3)
    round_it = Surface(one.vertices_mm, one.faces).from_points(sources(one, 4), limit)
    assert np.isinf(round_it[:, one.vertices_mm[:, 2] > 10]).all()


def test_a_path_runs_over_the_surface_and_not_through_the_gap():
    flat = sheet()
    x = flat.vertices_mm[:, 0]
    fold = np.where(x <= 15, x, 30 - x)  # a sheet folded back over itself, 2 mm apart
    mesh = as_mesh(np.stack([fold, flat.vertices_mm[:, 1], np.clip((x - 14) / 2, 0, 1) * 2], 1), flat.faces)
    start, across = 31 * 5 + 3, 31 * 5 + 27
    face = int(np.flatnonzero((mesh.faces == start).any(1))[0])
    source = SurfacePoints(face=np.array([face]), bary=(mesh.faces[face] == start)[None].astype(float))
    assert np.linalg.norm(mesh.vertices_mm[start] - mesh.vertices_mm[across]) == 2
    assert away(mesh, source)[0, across] == pytest.approx(22 + 2 * np.sqrt(2), abs=0.02)


def test_distance_to_a_line_on_both_its_sides():
    mesh = ball()
    surface = Surface(mesh.vertices_mm, mesh.faces)
    line = edge_line(surface, mesh.vertices_mm[None, :, 2] - 15, 2.0)
    assert np.abs(mesh.points(line.points)[:, 2] - 15).max() < 1e-9
    found = surface.from_line(line, np.full(len(mesh.vertices_mm), 30.0))
    exact = 20 * np.abs(np.arccos(np.clip(mesh.vertices_mm[:, 2] / 20, -1, 1)) - np.arccos(15 / 20))
    assert np.abs(found - exact)[exact < 30].max() < 0.25
    nowhere = edge_line(surface, mesh.vertices_mm[None, :, 2] - 50, 2.0)
    assert np.isinf(surface.from_line(nowhere, np.full(len(mesh.vertices_mm), 30.0))).all()


@pytest.mark.parametrize("seed", [None, 3])
def test_a_line_ends_where_it_goes_too_far_within_triangles(seed):
    mesh = sheet(seed=seed)
    x, y = mesh.vertices_mm[:, 0], mesh.vertices_mm[:, 1]
    surface, far = Surface(mesh.vertices_mm, mesh.faces), np.maximum(x - 20.3, 5.4 - x)
    line = edge_line(surface, (y - 4.7)[None], 1.0, x - 20.3)
    place = mesh.points(line.points)
    assert (place[:, 0].min(), place[:, 0].max()) == pytest.approx((0, 20.3), abs=1e-9)
    assert line.links_mm.sum() == pytest.approx(20.3)
    points = mesh.points(spaced(mesh.vertices_mm, mesh.faces.astype(np.int64), y - 4.7, 3.0, far))
    exact = (5.4 + 20.3) / 2 + 3.0 * (np.arange(5) - 2)
    np.testing.assert_allclose(np.sort(points[:, 0]), exact, atol=0.5)  # the line's ends are smoothed, too
    assert len(spaced(mesh.vertices_mm, mesh.faces.astype(np.int64), y - 4.7, 3.0, np.ones(len(x)))) == 0


def test_points_on_an_open_line_do_not_jump_when_it_grows_a_little():
    """Other triangles lengthen a line by a tenth of a millimetre: where one point more then fits, all others stay."""
    mesh = sheet(seed=3)
    x, y = mesh.vertices_mm[:, 0], mesh.vertices_mm[:, 1]
    for length in np.arange(12.0, 15.0, 0.1):
        few, many = (mesh.points(spaced(mesh.vertices_mm, mesh.faces.astype(np.int64), y - 4.7, 3.0,
                                        np.abs(x - 13) - half))[:, 0] for half in (length / 2, length / 2 + 0.05))
        apart = np.abs(few[:, None] - many).min(1)
        assert apart[np.abs(few - 13) < length / 2 - 1].max() < 0.1


def test_no_path_to_a_bent_line_is_lost():
    """The distance to a line is at most that to the nearest of its points, however dense they are for the triangles."""
    mesh = sheet(61, 41)
    x, y, _ = mesh.vertices_mm.T
    surface, limit = Surface(mesh.vertices_mm, mesh.faces), np.full(len(x), 30.0)
    line = edge_line(surface, (y - 20 + 10 * np.cos(x / 6))[None], 1.0)
    assert (surface.from_line(line, limit) - surface.from_points(line.points, limit).min(0)).max() < 0.03


@pytest.mark.parametrize("seed", [None, 3])
def test_distance_to_a_straight_edge_and_to_the_corner_of_two(seed):
    """Still where x < 7.3 or y > 6.1: exact beside each edge; on the still side the corner between them is met."""
    mesh = sheet(seed=seed)
    x, y = mesh.vertices_mm[:, 0], mesh.vertices_mm[:, 1]
    surface, limit = Surface(mesh.vertices_mm, mesh.faces), np.full(len(x), 40.0)
    found = surface.from_line(edge_line(surface, np.stack([7.3 - x, y - 6.1]), 3.0), limit)
    moving = (x > 7.3) & (y < 6.1)
    np.testing.assert_allclose(found[moving], np.minimum(x - 7.3, 6.1 - y)[moving], atol=1e-3)
    both = (x < 7.3) & (y > 6.1)
    np.testing.assert_allclose(found[both], np.hypot(x - 7.3, y - 6.1)[both], atol=1e-3)


def test_segments_join_to_lines_open_and_closed():
    """An open line of three and a closed one of two, out of order."""
    edges = np.array([[[5, 6], [7, 8]], [[-3, -3], [5, 6]], [[10, 11], [12, 13]], [[7, 8], [1, 2]],
                      [[12, 13], [10, 11]]])
    lines = [list(line) for line in chains(edges)]
    assert lines == [[1, 0, 3], [2, 4]]
    assert chains(edges[:0]) == []


def test_smoothstep_is_flat_at_both_ends():
    t = np.linspace(-0.5, 1.5, 2001)
    s = smoothstep(t)
    assert (s[t <= 0] == 0).all() and (s[t >= 1] == 1).all() and (np.diff(s) >= 0).all()
    assert np.abs(np.diff(s, 2)).max() < 1e-5
    assert smoothstep(np.array([0.5]))[0] == 0.5


@pytest.mark.parametrize("seed", range(4))
def test_thin_triangles_neither_shorten_a_path_below_the_straight_line_nor_hold_the_front_up(seed):
    """Needles twenty times as long as wide on a wavy sheet: where gains were sent to and fro, this took for ever."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(-10, 10, (1500, 2))
    faces = Delaunay(xy * [1, 0.05]).simplices
    vertices = np.c_[xy, 3 * np.sin(xy[:, 0]) * np.cos(0.7 * xy[:, 1])]
    mesh = as_mesh(vertices, faces)
    points = sources(mesh, 3, seed)
    found = away(mesh, points)
    straight = np.linalg.norm(mesh.points(points)[:, None] - vertices, axis=2)
    assert (found > straight * (1 - 1e-9)).all()
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    length = np.linalg.norm(vertices[ends[:, 0]] - vertices[ends[:, 1]], axis=1)
    ends, first = np.unique(np.sort(ends, axis=1), axis=0, return_index=True)
    graph = coo_array((length[first], ends.T), shape=(len(vertices), len(vertices)))
    corners = faces[points.face]
    start = np.linalg.norm(vertices[corners] - mesh.points(points)[:, None], axis=2)
    for row in range(3):
        along = (dijkstra(graph, directed=False, indices=corners[row]) + start[row][:, None]).min(0)
        assert (found[row] <= along * (1 + 1e-6)).all()
