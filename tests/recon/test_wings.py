"""Wings are drawn to a groove that the photo shows on both sides; where it shows none, to where wings usually end."""

import dataclasses

import cv2
import numpy as np
import pytest

from core.camera import Camera
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from recon.wings import ANGLES_DEG, WINGS, edges, fitted_end, wing_of, with_wings
from render.rasterize import rasterize

SIDE = 700


def camera(yaw_deg: float = 0.0) -> Camera:
    """Half a metre before the face; three pixels a millimetre."""
    turn = OPENCV_FROM_HEAD @ head_rotation(np.radians(yaw_deg), 0.0, 0.0)
    K = np.array([[1800.0, 0, (SIDE - 1) / 2], [0, 1800.0, (SIDE - 1) / 2], [0, 0, 1]])
    return Camera(K_px=K, cam_from_head=rigid(turn, np.array([0.0, -45.0, 600.0])), size_wh=(SIDE, SIDE))


def plain() -> np.ndarray:
    return np.full((SIDE, SIDE, 3), 170, np.uint8)


def grooved(wings, d_mm: tuple[float, float]) -> np.ndarray:
    """Skin with a dark groove along each wing, so far beyond where it usually ends."""
    picture = plain().astype(np.float32)
    for wing, d in zip(wings, d_mm, strict=True):
        line = wing.at((wing.expected_mm + WINGS.usual_mm + d)[:, None])[:, 0]
        drawn = np.zeros((SIDE, SIDE), np.float32)
        cv2.polylines(drawn, [np.rint(line * 16).astype(np.int32)], False, 1.0, 3, shift=4)
        picture -= 160 * cv2.GaussianBlur(drawn, (0, 0), 2)[..., None]
    return np.clip(picture, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def wings(model, mesh):
    return [wing_of(mesh, model.anatomy, camera(), side) for side in (0, 1)]


@pytest.mark.parametrize("d_mm", [(2.0, 2.0), (-1.0, -1.0), (3.5, 2.5)])
def test_a_groove_is_found_on_both_sides(wings, d_mm):
    found = edges(grooved(wings, d_mm), wings)
    assert [float(np.median(d)) for d in found] == pytest.approx(d_mm, abs=0.35)


def test_skin_without_a_groove_and_noise_tell_nothing(wings):
    noise = np.random.default_rng(0).normal(0, 3, (SIDE, SIDE, 1))
    for picture in (plain(), np.clip(plain() + noise, 0, 255).astype(np.uint8)):
        assert all(not d.any() for d in edges(picture, wings))


@pytest.mark.parametrize("yaw_deg", [0.0, 30.0])
def test_a_wing_ends_where_it_was_sought_and_what_is_far_stays(model, mesh, yaw_deg):
    """Without a groove, or turned: where wings usually end."""
    moved = with_wings(mesh, model.anatomy, camera(yaw_deg), plain(), rasterize)
    front = camera()
    for side in (0, 1):
        wing = wing_of(mesh, model.anatomy, front, side)
        off = fitted_end(moved, front, wing, rasterize) - (wing.expected_mm + WINGS.usual_mm)
        assert abs(float(np.median(off))) < 0.6, (side, off)
    gone = np.linalg.norm(moved.vertices_mm - mesh.vertices_mm, axis=1)
    nose = mesh.points(model.anatomy.pins478)[[49, 279]]
    away = np.min(np.linalg.norm(mesh.vertices_mm[:, None] - nose, axis=2), axis=1)
    assert gone.max() > 0.5 and gone[away > 45].max() == 0
    balls = np.maximum(model.anatomy.region("eye_l"), model.anatomy.region("eye_r")) > 0.5
    assert gone[balls].max() == 0


def test_a_symmetric_head_before_an_even_picture_stays_symmetric(model, mesh):
    moved = with_wings(mesh, model.anatomy, camera(), plain(), rasterize)
    pins = moved.points(model.anatomy.pins478)
    assert np.abs(pins[49] * [-1, 1, 1] - pins[279]).max() < np.abs(
        mesh.points(model.anatomy.pins478)[49] * [-1, 1, 1] - mesh.points(model.anatomy.pins478)[279]).max() + 0.3


def test_rays_are_the_same_on_both_sides(wings):
    assert len(ANGLES_DEG) == len(wings[0].expected_mm)
    wing = dataclasses.replace(wings[1], expected_mm=np.full(len(ANGLES_DEG), 10.0))
    angle, r = wing.polar(wing.at(np.full((len(ANGLES_DEG), 1), 10.0))[:, 0])
    assert angle == pytest.approx(ANGLES_DEG, abs=1e-6) and r == pytest.approx(10.0)
