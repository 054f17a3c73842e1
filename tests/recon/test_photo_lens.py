"""Lens of photos: the outline tells how far away the cameras stood; hair does not count; what is known stays."""

import dataclasses

import cv2
import numpy as np
import pytest

from core.camera import Camera
from core.face_model import FaceModel
from core.mesh import Mesh
from recon.bundle import BundleOptions, adjust
from recon.contour import contour_of
from recon.photo_lens import apart, camera_centres, lens_by_outline, loosened, valley
from recon.views import Views
from render.rasterize import rasterize
from tests.recon.heads import camera_at, head_of, observed, person

YAWS_DEG = (-35.0, 0.0, 38.0)
PX_PER_MM = 1.6


def pictured(mesh: Mesh, camera: Camera) -> np.ndarray:
    """The head in one colour before a darker one, grained."""
    covered = rasterize(mesh, camera).covered
    grain = np.random.default_rng(0).normal(0, 4, (*covered.shape, 3))
    return np.clip(np.where(covered[..., None], [190, 150, 130], [90, 90, 100]) + grain, 0, 255).astype(np.uint8)


def people(picture: np.ndarray) -> np.ndarray:
    """The brighter part."""
    return cv2.GaussianBlur(picture[..., 0], (0, 0), 1.5) > 140


def photographed(model: FaceModel, seed: int, distance_mm: float, guess: float) -> Views:
    """Three photos of a random head, and a first guess of the lens that is off by a factor. The landmarks support it,
    as detectors do that draw every face as if from the same distance."""
    mesh = head_of(model, person(model, seed))
    cameras, taken_for = ([camera_at(yaw, focal_px=PX_PER_MM * d, distance_mm=d) for yaw in YAWS_DEG]
                          for d in (distance_mm, guess * distance_mm))
    seen = observed(model, mesh, taken_for, noise_px=0.7, seed=seed)
    seen = dataclasses.replace(seen, focal_px=taken_for[0].K_px[:1, 0], focal_sd=np.array([0.31]))
    pictures = [pictured(mesh, c) for c in cameras]
    return Views(model, seen, lambda k: pictures[k], rasterize)


@pytest.mark.parametrize(("seed", "distance_mm", "guess"), [(0, 450.0, 1.4), (1, 1100.0, 0.6)])
def test_the_outline_tells_the_distance(model, seed, distance_mm, guess):
    """Although the landmarks say something else: within what is stated, and nearer than they."""
    views = photographed(model, seed, distance_mm, guess)
    found = lens_by_outline(views, BundleOptions(), people)
    off = np.log(found.bundle.focal_px[0] / (PX_PER_MM * distance_mm))
    assert abs(off) < min(1.96 * found.sd, 0.8 * abs(np.log(guess)))


def test_a_known_lens_and_pictures_without_an_outline_are_left(model):
    views = photographed(model, 0, 450.0, 1.0)
    known = dataclasses.replace(views.seen, focal_sd=np.array([0.03]))
    assert lens_by_outline(Views(model, known, views.taken, rasterize), BundleOptions(), people) is None
    assert lens_by_outline(views, BundleOptions(), lambda p: np.zeros(p.shape[:2], bool)) is None


def test_hair_stands_out_and_flesh_does_not(model):
    """A contour farther out over the scalp costs nothing; one that cuts into it does, and so do ears too wide."""
    views = photographed(model, 0, 450.0, 1.0)
    mesh, camera, picture = head_of(model, person(model, 0)), camera_at(0.0, focal_px=720, distance_mm=450), \
        views.picture(1)
    skull = camera.px_from_points(mesh.vertices_mm[model.anatomy.region("scalp") > 0.5])
    level = int(np.quantile(skull[:, 1], 0.4))
    covered = rasterize(mesh, camera).covered.astype(np.uint8)

    def cost_with(top: np.ndarray) -> float:
        whole = np.where(np.arange(len(covered))[:, None] < level, top, covered)
        drawn = np.where(whole[..., None] > 0, 190, 90).astype(np.uint8).repeat(3, 2)
        return apart(mesh, views, camera, contour_of(drawn, whole > 0))

    bald, kernel = cost_with(covered), np.ones((25, 25), np.uint8)
    assert cost_with(cv2.dilate(covered, kernel)) < bald + 1 < cost_with(cv2.erode(covered, kernel)) - 2
    wide = mesh.with_vertices(mesh.vertices_mm * [1.08, 1, 1])
    assert apart(wide, views, camera, contour_of(picture, people(picture))) > bald + 5


def test_the_valley_of_a_parabola():
    x = np.linspace(-1, 1, 8)
    assert valley(x, 3 * (x - 0.3) ** 2 + 5) == pytest.approx(0.3)
    assert valley(x, x) == -1.0


def test_cameras_are_as_uncertain_along_their_lines_of_sight_as_the_lens(model):
    views = photographed(model, 0, 450.0, 1.0)
    bundle = adjust(model, views.seen, BundleOptions())
    loose, centre = loosened(bundle, 0.2), camera_centres(bundle)
    along = centre / np.linalg.norm(centre, axis=1, keepdims=True)
    more = np.einsum("ni,nij,nj->n", along, loose.centre_cov - bundle.centre_cov, along)
    assert np.sqrt(more) == pytest.approx(0.2 * np.linalg.norm(centre, axis=1))
    assert loose.focal_sd[0] == pytest.approx(np.hypot(bundle.focal_sd[0], 0.2))
    assert centre == pytest.approx(np.stack([c.position_mm for c in views.cameras(bundle)]))
