"""Outline: a head that is too lean is told where its skin ends; what cannot be told is not."""

import numpy as np
import open3d as o3d
import pytest

from core.subdivide import finer
from recon.outline import OutlineOptions, edges, measure_outlines
from recon.scene import cast, scene_of
from recon.shape import on_face
from recon.skin import outlined
from render.rasterize import rasterize
from tests.recon.turning import turning


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return turning(tmp_path_factory.mktemp("turning"))


def step(inside, outside, at_px, noise=0.0, size=64):
    """A picture whose columns change colour at a place, anti-aliased."""
    x = np.arange(size)
    share = np.clip(x - at_px + 0.5, 0, 1)[:, None]
    row = (1 - share) * np.array(inside, float) + share * np.array(outside, float)
    picture = np.repeat(row[None], size, 0) + np.random.default_rng(0).normal(0, noise, (size, size, 3))
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def read(picture, from_px=32.0):
    px = np.column_stack([np.full(21, from_px), np.arange(20, 41)]).astype(float)
    return edges(picture, px, np.tile([1.0, 0.0], (21, 1)), 6.0, OutlineOptions())


@pytest.mark.parametrize("at_px", [28.3, 32.0, 35.75])
@pytest.mark.parametrize("outside", [(90, 120, 160), (235, 240, 240), (200, 90, 60)])
def test_an_edge_is_found_to_a_fifth_of_a_pixel(at_px, outside):
    off, sure = read(step((190, 150, 130), outside, at_px, noise=2.0))
    assert sure.mean() > 0.9
    assert abs(np.median(off[sure]) - (at_px - 32)) < 0.2


def test_no_edge_is_made_up():
    rng = np.random.default_rng(1)
    flat = np.clip(150 + rng.normal(0, 3, (64, 64, 3)), 0, 255).astype(np.uint8)
    ramp = np.clip(np.linspace(60, 200, 64)[None, :, None] + rng.normal(0, 2, (64, 64, 3)), 0, 255).astype(np.uint8)
    for picture in (flat, ramp):
        assert read(picture)[1].mean() < 0.05


def test_a_true_head_is_left_alone_and_a_lean_one_is_told(film):
    truth, mesh, anatomy = scene_of(film.mesh), film.mesh, film.model.anatomy
    for _ in range(2):
        mesh, anatomy, _ = finer(mesh, anatomy, on_face(mesh, anatomy))
    skin, lean = outlined(anatomy), mesh.moved(-1.5 * mesh.vertex_normals())
    off = []
    for laid in (mesh, lean):
        told = measure_outlines(laid, skin, film.cameras, film.pictures.__getitem__, rasterize)
        assert len(told.sd_mm) > 200
        off.append([float(np.median(truth.compute_distance(o3d.core.Tensor(p.astype(np.float32))).numpy()))
                    for p in (laid.points(told.on), told.target_mm)])
    (_, right), (before, after) = off
    assert right < 0.25  # a pixel is 0.9 mm
    assert before > 1.2 and after < 0.3 * before


def test_hidden_and_inner_lines_are_not_outlines(film):
    """Nearly all that is told is seen by its view, and 3 mm beside it the view sees past the head, or far behind."""
    mesh, anatomy = film.mesh, film.model.anatomy
    for _ in range(2):
        mesh, anatomy, _ = finer(mesh, anatomy, on_face(mesh, anatomy))
    told = measure_outlines(mesh, outlined(anatomy), film.cameras, film.pictures.__getitem__, rasterize)
    assert len(told.sd_mm) > 200
    place, scene = mesh.points(told.on), scene_of(mesh)
    eye = np.array([film.cameras[int(k)].position_mm for k in told.view])
    beside = place + 3.0 * told.normal
    far = np.linalg.norm(place - eye, axis=1)
    hidden = (1 - cast(scene, eye, place - eye)) * far > 4.0
    inner = (cast(scene, eye, beside - eye) - 1) * far < 10.0
    assert hidden.mean() < 0.1 and inner.mean() < 0.05
