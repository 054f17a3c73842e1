"""Halving: as `core.subdivide` cuts, until no edge is longer."""

import numpy as np
import pytest

from core.subdivide import split
from core.surface import SurfacePoints
from deform3d.halving import cut, halved, longer, turns

LARGEST_MM = 6.0


@pytest.fixture
def surface(head) -> tuple[np.ndarray, np.ndarray]:
    mesh = head[0]
    return mesh.vertices_mm, mesh.faces.astype(np.int64)


def test_the_loops_cut_as_the_slow_twin_does(surface) -> None:
    vertices, faces = surface
    long = longer(vertices, faces, LARGEST_MM)
    assert 0 < long.sum() < long.size and set(long.sum(1)) == {0, 1, 2, 3}
    turn = turns(vertices, faces, long)
    slow = split(np.take_along_axis(faces, turn, 1), len(vertices), np.take_along_axis(long, turn, 1))
    for ours, theirs in zip(cut(faces, long, turn, len(vertices)), (slow.ends, slow.faces, slow.parent, slow.nodes),
                            strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_no_edge_is_longer_and_every_point_stays_where_it_is(surface) -> None:
    vertices, faces = surface
    rounds, fine, finer = halved(vertices, faces, LARGEST_MM)
    assert len(rounds) > 1 and not longer(fine, finer, LARGEST_MM).any()
    rng = np.random.default_rng(3)
    points = start = SurfacePoints(face=rng.integers(0, len(faces), 300), bary=rng.dirichlet(np.ones(3), 300))
    for one in rounds:
        points = one.points(points)
    np.testing.assert_allclose(points.on(fine, finer), start.on(vertices, faces), atol=1e-9)


def test_a_mirrored_surface_is_cut_as_its_mirror_image(surface) -> None:
    vertices, faces = surface
    middles = [halved(v, f, LARGEST_MM)[1] for v, f in ((vertices, faces), (vertices * [-1, 1, 1], faces[:, ::-1]))]
    ours, theirs = (m[np.lexsort(np.round(m, 9).T)] for m in (middles[0] * [-1, 1, 1], middles[1]))
    np.testing.assert_allclose(ours, theirs, atol=1e-9)
