"""Depth by flow: a dented head is told where its true skin lies; a right one is left alone."""

import numpy as np
import open3d as o3d
import pytest

from recon.dense import DenseOptions, companions, cropped, evened, measure_depths, spread_out
from recon.scene import scene_of
from recon.skin import skin_masks, still_skin
from render.rasterize import rasterize
from tests.recon.turning import turning

OPTIONS = DenseOptions(references=5, neighbours=4)


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return turning(tmp_path_factory.mktemp("turning"))


@pytest.fixture(scope="module")
def masks(film):
    return skin_masks(film.mesh, still_skin(film.model.anatomy), film.cameras, film.seen.points_px,
                      film.pictures.__getitem__, rasterize)


def measured(film, mesh, masks):
    return measure_depths(mesh, still_skin(film.model.anatomy), film.cameras, film.pictures.__getitem__, masks,
                          rasterize, OPTIONS)


def test_the_true_head_is_left_alone(film, masks):
    depths = measured(film, film.mesh, masks)
    assert len(depths.sd_mm) > 4000
    gap = ((depths.target_mm - film.mesh.points(depths.on)) * depths.normal).sum(1)
    assert abs(np.median(gap)) < 0.1 and np.median(np.abs(gap)) < 0.3


def test_a_dented_cheek_is_found_and_its_spread_is_honest(film, masks):
    model = film.model
    cheek = film.mesh.points(model.anatomy.pins478)[[50, 205]].mean(0)
    dent = np.exp(-(np.linalg.norm(film.mesh.vertices_mm - cheek, axis=1) / 20) ** 2)
    dented = film.mesh.moved(-2.5 * dent[:, None] * film.mesh.vertex_normals())
    depths = measured(film, dented, masks)
    place = dented.points(depths.on)
    near = np.linalg.norm(place - cheek, axis=1) < 9
    truth = scene_of(film.mesh)
    before, after = (truth.compute_distance(o3d.core.Tensor(np.asarray(x[near], np.float32))).numpy()
                     for x in (place, depths.target_mm))
    assert near.sum() > 100 and np.median(before) > 1.8
    assert np.median(after) < 0.25 * np.median(before)
    every = truth.compute_distance(o3d.core.Tensor(depths.target_mm.astype(np.float32))).numpy()
    assert np.median(every) < 2 * np.median(depths.sd_mm)


def test_nothing_is_said_where_the_mask_is_empty(film):
    blind = [np.zeros(p.shape[:2], np.uint8) for p in film.pictures]
    assert len(measured(film, film.mesh, blind).sd_mm) == 0


def test_views_are_spread_and_companions_are_at_a_useful_angle(film):
    towards = np.stack([c.position_mm for c in film.cameras])
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    chosen = spread_out(towards, 5)
    assert len(set(chosen)) == 5 and {0, len(towards) - 1} <= set(chosen)
    for view in chosen:
        angle = np.arccos(np.clip(towards[companions(towards, view, OPTIONS)] @ towards[view], -1, 1))
        assert 1 <= len(angle) <= 4
        assert (angle > OPTIONS.apart_rad[0]).all() and (angle < OPTIONS.apart_rad[1]).all()


def test_a_cropped_camera_sees_the_same_rays(film):
    camera = film.cameras[3]
    part, (rows, columns) = cropped(camera, film.mesh.vertices_mm[still_skin(film.model.anatomy) > 0.5])
    px = camera.px_from_points(film.mesh.vertices_mm[:50])
    np.testing.assert_allclose(part.px_from_points(film.mesh.vertices_mm[:50]), px - [columns.start, rows.start])
    assert part.size_wh == (columns.stop - columns.start, rows.stop - rows.start)


def test_evening_takes_out_a_change_of_light(film, masks):
    picture, mask = film.pictures[9][..., 1], masks[9] > 0
    darker = np.clip(picture.astype(float) * np.linspace(0.6, 1.0, picture.shape[1])[None], 0, 255)
    before = np.abs(picture.astype(float) - darker)[mask].mean()
    after = np.abs(evened(picture, mask).astype(float) - evened(darker.astype(np.uint8), mask))[mask].mean()
    assert after < 0.25 * before
