"""The nose again: one that came out too flat rises to where it is, and nothing else moves."""

import numpy as np
import open3d as o3d

from core.subdivide import finer
from recon.dense import DenseOptions
from recon.graph import edges_of, neighbours
from recon.nose import MARGIN_MM, REACH_MM, cut_out, from_nose, nose_again
from recon.nostrils import RINGS
from recon.outline import OutlineOptions
from recon.scene import scene_of
from recon.shape import on_face
from recon.skin import skin_masks, still_skin
from recon.surface import SurfaceOptions
from render.rasterize import rasterize
from tests.recon.turning import turning


def test_a_flat_nose_rises_and_the_rest_stays(tmp_path):
    film = turning(tmp_path)
    truth, (mesh, anatomy, _) = scene_of(film.mesh), finer(film.mesh, film.model.anatomy, on_face(
        film.mesh, film.model.anatomy))
    masks = skin_masks(film.mesh, still_skin(film.model.anatomy), film.cameras, film.seen.points_px,
                       film.pictures.__getitem__, rasterize)
    away = from_nose(mesh, anatomy)
    flat = mesh.moved(-1.2 * np.clip(1 - away / REACH_MM, 0, 1)[:, None] * mesh.vertex_normals())
    across = flat.points(anatomy.pins478)[[i for ring in RINGS for i in ring]]
    inside = np.linalg.norm(flat.vertices_mm[:, None] - across, axis=2).min(1) < 2
    again = nose_again(flat, anatomy, inside, film.cameras, film.pictures.__getitem__, masks, rasterize,
                       DenseOptions(), OutlineOptions(), SurfaceOptions())
    nose = (away == 0) & (mesh.vertex_normals()[:, 1] > -0.5)  # not from below, which no view shows
    before, after = (np.median(truth.compute_distance(o3d.core.Tensor(m.vertices_mm[nose].astype(np.float32))).numpy())
                     for m in (flat, again))
    assert before > 1.0 and after < 0.4 * before  # a pixel is 0.9 mm
    gone = np.linalg.norm(again.vertices_mm - flat.vertices_mm, axis=1)
    assert gone[away > REACH_MM + 1].max() < 0.05
    near = neighbours(*edges_of(mesh.faces), len(gone))
    rims = (near @ inside > 0) & ~inside
    assert gone[inside].max() <= gone[rims].max() + 1e-9 and gone[inside].min() > 0  # what nothing measures follows


def test_what_is_cut_out_is_the_same_surface(model, mesh):
    drawn = (from_nose(mesh, model.anatomy)[mesh.faces] < REACH_MM + MARGIN_MM).any(1)
    part, own = cut_out(mesh, drawn)
    assert 100 < drawn.sum() < len(mesh.faces) / 3
    np.testing.assert_array_equal(part.vertices_mm[part.faces], mesh.vertices_mm[mesh.faces[drawn]])
    np.testing.assert_array_equal(part.vertices_mm, mesh.vertices_mm[own])
