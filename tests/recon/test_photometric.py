"""Photometric refinement: a dent that nobody filmed goes away, the true head stays, gradients are true."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from recon.light import even
from recon.models import load_model
from recon.photometric import DEFAULTS, Look, Pictures, agreed
from recon.skin import skin_masks, still_skin
from render.picture import PictureOptions, photograph
from render.rasterize import Rasterizer, rasterize
from tests.recon.heads import freckled, head_of, person, sweep

torch = pytest.importorskip("torch")
from render.torch_backend import seen_from_vertices  # noqa: E402

VIEWS = 5


@pytest.fixture(scope="module")
def film():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small tensors: a second thread mostly waits
    model = load_model()
    mesh, skin = head_of(model, person(model, seed=8, sd=0.6)), still_skin(model.anatomy)
    cameras = sweep(VIEWS, yaw_deg=24.0, size_wh=(300, 400), focal_px=350.0)
    scene, paint = Rasterizer(mesh), freckled(1024, seed=2)
    pictures = [photograph(scene, c, paint, PictureOptions(background=(90, 120, 150))) for c in cameras]
    points = np.stack([c.px_from_points(mesh.points(model.anatomy.pins478)) for c in cameras])
    masks = skin_masks(mesh, skin, cameras, points, pictures.__getitem__, rasterize)
    yield SimpleNamespace(mesh=mesh, skin=skin, cameras=cameras, pictures=pictures, masks=masks)
    torch.set_num_threads(threads)


def refined(film, mesh, rounds):
    return agreed(mesh, film.skin, film.cameras, film.pictures, film.masks, even(VIEWS), seen_from_vertices,
                  dataclasses.replace(DEFAULTS, rounds=rounds))


def test_a_dent_that_no_picture_shows_goes_away_and_nothing_else(film):
    """A smooth dent of 2 mm in a cheek: most of it is gone; the rest of the face stays within a tenth."""
    middle = film.mesh.vertices_mm[np.argmin(np.linalg.norm(film.mesh.vertices_mm - [35, -35, 20], axis=1))]
    near = np.exp(-((film.mesh.vertices_mm - middle) ** 2).sum(1) / 2 / 9.0**2) * film.skin
    normals = film.mesh.vertex_normals()
    dented = film.mesh.moved(-2.0 * near[:, None] * normals)
    found, told = refined(film, dented, 5)
    left = ((found.vertices_mm - film.mesh.vertices_mm) * normals).sum(1)
    assert np.abs(left[near > 0.7]).mean() < 0.5 * 2.0 * near[near > 0.7].mean()
    assert np.abs(left[(near < 0.02) & (film.skin > 0.5)]).mean() < 0.1
    assert told["costs"][-1] < told["costs"][0]


def test_the_true_head_stays(film):
    found, _ = refined(film, film.mesh, 2)
    moved = np.linalg.norm(found.vertices_mm - film.mesh.vertices_mm, axis=1)
    assert moved[film.skin > 0.5].mean() < 0.08 and moved[film.skin < 0.01].max() < 1e-2


def test_the_gradient_is_that_of_finite_differences(film):
    """Of the whole cost, along smooth bumps (single precision and a moving set of pixels allow a few per cent)."""
    rng = np.random.default_rng(0)
    looks = [Look(torch, c, p, m, 0.0, DEFAULTS) for c, p, m in zip(film.cameras, film.pictures, film.masks,
                                                                     strict=True)]
    views = Pictures(film.mesh, film.skin, looks, even(VIEWS), seen_from_vertices, torch, DEFAULTS)
    at = film.mesh.vertices_mm
    start = 0.5 * np.exp(-((at - [-30, -30, 25]) ** 2).sum(1) / 2 / 12.0**2) * film.skin
    _, gradient, _ = views.slope(start, rng)
    for middle in ([-30, -30, 25], [30, -25, 25], [0, 30, 30]):
        bump = np.exp(-((at - middle) ** 2).sum(1) / 2 / 12.0**2) * film.skin
        h = 0.02
        by_steps = (views.value(start + h * bump) - views.value(start - h * bump)) / (2 * h)
        assert gradient @ bump == pytest.approx(by_steps, rel=0.1, abs=2.0)
