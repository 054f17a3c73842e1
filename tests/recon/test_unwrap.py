"""Texture layouts: nothing folds, nothing overlaps, left mirrors right, the face gets the picture."""

import numpy as np
import pytest

from recon.models import load_model
from recon.unwrap import border_loops, closed_holes, corner_vertices, overlaps, seam, unwrap


@pytest.fixture(scope="module")
def laid():
    """The embedded head, unwrapped anew: mesh, island of each triangle, detail, coordinates and their triangles."""
    model = load_model()
    mesh, region = model.mean_mesh(), model.anatomy.region
    corner = {n: region(n)[mesh.faces].min(1) > 0.5 for n in ("eye_l", "eye_r", "mouth_interior")}
    island = np.select([corner["mouth_interior"], corner["eye_l"], corner["eye_r"]], [1, 2, 3], 0)
    detail = 0.06 + region("face").astype(float)
    uv, faces_uv = unwrap(mesh.vertices_mm, mesh.faces, island, detail)
    return mesh, island, detail, uv, faces_uv


def area(points, faces):
    """Signed, v down: upright triangles are negative."""
    a, b = points[faces[:, 1]] - points[faces[:, 0]], points[faces[:, 2]] - points[faces[:, 0]]
    return (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]) / 2


def polygon(points):
    """Area of a closed polygon, unsigned."""
    x, y = points.T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


def test_every_corner_has_its_place_in_the_picture(laid):
    mesh, _, _, uv, faces_uv = laid
    assert faces_uv.shape == mesh.faces.shape
    assert uv.min() >= 0 and uv.max() <= 1 and np.isfinite(uv).all()
    assert np.array_equal(np.unique(faces_uv[:, 0])[[0]], [faces_uv.min()]) and faces_uv.max() < len(uv)


def test_no_triangle_is_folded(laid):
    _, _, _, uv, faces_uv = laid
    assert not overlaps(uv, faces_uv).any()
    assert overlaps(uv * [-1, 1], faces_uv).any(), "the check can fail"


def test_the_skin_covers_its_outline_once(laid):
    """The triangles' areas add up to the outline's area less the holes': so no two of them overlap."""
    _, island, _, uv, faces_uv = laid
    skin = faces_uv[island == 0]
    sizes = sorted((polygon(uv[loop]) for loop in border_loops(skin)), reverse=True)
    assert len(sizes) == 4  # the outline, two eyes and the mouth
    assert np.abs(area(uv, skin)).sum() == pytest.approx(sizes[0] - sum(sizes[1:]), rel=1e-9)


def test_islands_do_not_share_a_place(laid):
    _, island, _, uv, faces_uv = laid
    used = [uv[np.unique(faces_uv[island == k])] for k in (0, 2, 3)]
    assert used[0][:, 1].max() < used[1][:, 1].min() and used[0][:, 1].max() < used[2][:, 1].min()
    assert used[2][:, 0].max() < used[1][:, 0].min()  # the left eye lies to the right, as one sees it
    assert np.allclose(used[1].mean(0), [1, 0] + used[2].mean(0) * [-1, 1], atol=0.02)


def test_left_mirrors_right(laid):
    """Where two vertices are mirror twins on the head, their places are twins in the picture: u -> 1 - u."""
    mesh, island, _, uv, faces_uv = laid
    place = np.full((len(mesh.vertices_mm), 2), np.nan)
    skin = np.unique(mesh.faces[island == 0])
    place[mesh.faces[island == 0]] = uv[faces_uv[island == 0]]
    from scipy.spatial import cKDTree
    front = skin[mesh.vertices_mm[skin, 2] > -60]  # the cut at the back has two sides
    twin = front[cKDTree(mesh.vertices_mm[front]).query(mesh.vertices_mm[front] * [-1, 1, 1])[1]]
    off = np.linalg.norm(place[front] * [-1, 1] + [1, 0] - place[twin], axis=1)
    assert np.median(off) < 0.005 and np.percentile(off, 95) < 0.015


def test_the_face_gets_the_picture_and_lies_upright(laid):
    mesh, island, detail, uv, faces_uv = laid
    face = (detail[mesh.faces].min(1) > 0.5) & (island == 0)
    assert np.abs(area(uv, faces_uv[face])).sum() > 0.35
    share = np.abs(area(uv, faces_uv[face])) / np.maximum(np.linalg.norm(mesh.face_normals()[face], axis=1) / 2, 0.1)
    assert np.percentile(share, 95) < 8 * np.percentile(share, 5), "evenly"
    pins = load_model().anatomy.pins478.on(uv, faces_uv)
    assert pins[263, 0] > pins[33, 0] + 0.1 and pins[152, 1] > pins[10, 1] + 0.2
    assert pins[4] == pytest.approx([0.5, pins[4, 1]], abs=0.02)


def test_the_cut_follows_the_middle_of_the_back(laid):
    mesh, island, *_ = laid
    path = seam(mesh.vertices_mm, mesh.faces[island == 0])
    at = mesh.vertices_mm[path]
    assert len(path) > 5 and np.abs(at[:, 0]).max() < 6 and (at[:, 2] < at[-1, 2] + 20).all()
    assert at[-1, 1] == pytest.approx(mesh.vertices_mm[:, 1].max(), abs=3) and at[0, 2] < at[-1, 2]


def square():
    """Two triangles that share an edge."""
    return np.array([[0, 1, 2], [0, 2, 3]]), np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])


def test_corners_are_one_across_an_edge_unless_it_is_cut():
    faces, _ = square()
    whole = corner_vertices(faces, np.zeros(2, int), np.zeros(0, int))
    assert len(np.unique(whole)) == 4 and whole[0, 0] == whole[1, 0] and whole[0, 2] == whole[1, 1]
    assert len(np.unique(corner_vertices(faces, np.zeros(2, int), np.array([0, 2])))) == 6
    assert len(np.unique(corner_vertices(faces, np.array([0, 1]), np.zeros(0, int)))) == 6


def test_a_hole_is_closed_by_a_fan():
    faces, points = square()
    loops = border_loops(faces)
    assert [sorted(loop.tolist()) for loop in loops] == [[0, 1, 2, 3]]
    more, closed, detail = closed_holes(points, faces, np.ones(4), loops)
    assert len(more) == 5 and np.allclose(more[4], [0.5, 0.5, 0]) and len(closed) == 6 and detail[4] == 1
    assert border_loops(closed) == []
