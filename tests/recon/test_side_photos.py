"""Side photos: what only an outline shows is taken from it; cameras follow the head; what is no profile is left out."""

import dataclasses
import functools

import numpy as np
import pytest

from core.camera import Camera
from core.transforms import rigid, rotation_from_vector, umeyama
from recon.bundle import Bundle, adjust
from recon.models import load_model
from recon.side_photos import Side, Sides, laid_anew, still_open, with_sides
from render.rasterize import rasterize
from tests.recon.heads import camera_at, head_of, observed
from tests.recon.test_profile import SIZE_WH, filmed, seen_from, tools

TIP, RIGHT, LEFT = 4, 33, 263


@functools.cache
def from_the_front() -> Bundle:
    """What landmarks from the front and both three-quarter sides tell of the demo's head."""
    cameras = [camera_at(yaw, size_wh=SIZE_WH, focal_px=1100.0, distance_mm=700.0) for yaw in (-35.0, 0.0, 35.0)]
    return adjust(load_model(), observed(load_model(), filmed().mesh, cameras, 0.5, seed=1))


@functools.cache
def joined() -> Sides:
    """That head and two photos: one from the side of a head whose nose stands out 5 mm farther; one of nothing."""
    longer, nothing = seen_from(82.0, grown())[0], np.full((300, 300, 3), 128, np.uint8)
    model, bundle = load_model(), from_the_front()
    return with_sides(model, bundle, head_of(model, bundle.identity), [longer, nothing], [1100.0, 400.0], *tools(),
                      rasterize)


def grown() -> np.ndarray:
    """Motion (V,3) mm of the nose by 5 mm forward."""
    mesh = filmed().mesh
    away = np.linalg.norm(mesh.vertices_mm - filmed().landmarks478_mm[TIP], axis=1)
    return 5.0 * np.exp(-(away / 14.0) ** 2)[:, None] * [0.0, 0.0, 1.0]


def tip_mm(points_mm: np.ndarray) -> float:
    """How far the tip of the nose stands before the outer corners of the eyes."""
    return float(points_mm[TIP, 2] - points_mm[[RIGHT, LEFT], 2].mean())


def test_a_nose_that_only_the_outline_shows_is_taken_from_it() -> None:
    model, bundle = load_model(), from_the_front()
    before = tip_mm(head_of(model, bundle.identity).points(model.anatomy.pins478))
    after = tip_mm(joined().head.points(model.anatomy.pins478))
    true = tip_mm(filmed().mesh.moved(grown()).points(model.anatomy.pins478))
    assert true - before > 3.5, "the landmarks from the front know nothing of it"
    assert abs(true - after) < 0.5 * (true - before)


def test_one_side_alone_moves_both_sides_alike() -> None:
    """Wings, corners of the mouth and cheeks, after the head is laid back on what it was."""
    model, bundle = load_model(), from_the_front()
    before = head_of(model, bundle.identity)
    face = model.anatomy.region("face")
    _, R, t = umeyama(joined().head.vertices_mm, before.vertices_mm, face, with_scale=False)
    moved = before.with_vertices(joined().head.vertices_mm @ R.T + t).points(model.anatomy.pins478)
    away = moved - before.points(model.anatomy.pins478)
    off = away[[129, 61, 205]] * [-1, 1, 1] - away[[358, 291, 425]]
    assert np.abs(off).max() < 1.0


def test_what_is_no_profile_is_left_out_and_said() -> None:
    sides = joined()
    assert set(sides.found) == {0} and set(sides.refused) == {1} and "profile" in sides.refused[1]
    assert abs(np.degrees(sides.found[0].camera.head_angles_rad[0]) - 82) < 14


def test_without_a_readable_photo_the_head_is_the_same() -> None:
    model, bundle = load_model(), from_the_front()
    head = head_of(model, bundle.identity)
    sides = with_sides(model, bundle, head, [np.full((300, 300, 3), 128, np.uint8)], [400.0], *tools(), rasterize)
    assert sides.head is head and not sides.found and set(sides.refused) == {0}


def test_the_camera_sees_the_new_head_where_it_saw_its_own() -> None:
    head = filmed().mesh
    turn = rigid(rotation_from_vector(np.array([0.05, -0.2, 0.1])), np.array([3.0, -8.0, 5.0]))
    own = head.with_vertices(head.vertices_mm @ turn[:3, :3].T + turn[:3, 3])
    camera: Camera = camera_at(80.0)
    side = Side(read=joined().found[0].read, camera=camera, mesh=own, off_px=0.0)
    side = laid_anew(side, head, np.ones(len(head.vertices_mm)))
    assert np.allclose(side.camera.px_from_points(head.vertices_mm), camera.px_from_points(own.vertices_mm), atol=1e-6)


@pytest.mark.parametrize("left", [0.0, 1.0])
def test_the_modes_are_what_is_left_open(left: float) -> None:
    model, bundle = load_model(), from_the_front()
    some = dataclasses.replace(bundle, identity_cov=left * np.eye(len(bundle.identity)))
    head = head_of(model, bundle.identity)
    person = still_open(model, some, head)
    at = np.arange(0, len(head.vertices_mm), 97)
    spread, usual = ((m.identity_basis_mm[:, at].astype(float) ** 2).sum(0) for m in (person, model))
    assert np.array_equal(person.template_mm, head.vertices_mm)
    assert np.allclose(spread, left * usual, rtol=1e-3, atol=1e-6)
