"""Throat: one that hangs too low or is drawn in is laid on what the pictures show; what is no skin tells nothing."""

import numpy as np
import open3d as o3d
import pytest

from recon.scene import scene_of
from recon.throat import skins_of, throat, with_throat
from render.rasterize import rasterize
from tests.recon.turning import turning


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return turning(tmp_path_factory.mktemp("turning"))


def moved(film, down_mm):
    """The head with its throat down, and how much of that each vertex has."""
    share = throat(film.mesh, film.model.anatomy)
    return film.mesh.moved(share[:, None] * np.array([0.0, -down_mm, 0.0])), share


def laid(film, head, pictures):
    skins = skins_of(film.cameras, pictures.__getitem__, film.seen.points_px)
    return with_throat(head, film.model.anatomy, film.cameras, pictures.__getitem__, skins, rasterize)


@pytest.mark.parametrize("down_mm", [9.0, -4.0])
def test_a_throat_that_hangs_or_is_drawn_in_goes_where_it_is_seen(film, down_mm):
    head, share = moved(film, down_mm)
    truth, under = scene_of(film.mesh), share > 0.9
    out = laid(film, head, film.pictures)
    before, after = (float(np.mean(truth.compute_distance(o3d.core.Tensor(
        mesh.vertices_mm[under].astype(np.float32))).numpy())) for mesh in (head, out))
    assert before > 0.3 * abs(down_mm) and after < 0.5 * before
    rest = throat(head, film.model.anatomy) == 0
    assert np.array_equal(out.vertices_mm[rest], head.vertices_mm[rest])


def test_what_is_no_skin_tells_nothing(film):
    """Below the lower lip all is cloth."""
    covered = []
    for picture, points in zip(film.pictures, film.seen.points_px, strict=True):
        cloth = picture.copy()
        shown = np.abs(cloth.astype(int) - (96, 120, 150)).sum(2) > 40
        shown[:int(points[17, 1])] = False
        cloth[shown] = (30, 60, 200)
        covered.append(cloth)
    head, _ = moved(film, 9.0)
    assert laid(film, head, covered) is head


def test_views_from_the_front_alone_tell_nothing(film):
    head, _ = moved(film, 9.0)
    front = [c for c in film.cameras if abs(c.head_angles_rad[0]) < 0.3]
    skins = skins_of(front, film.pictures.__getitem__, film.seen.points_px)
    assert skins == {}
    assert with_throat(head, film.model.anatomy, front, film.pictures.__getitem__, skins, rasterize) is head
