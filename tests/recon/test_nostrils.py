"""Nostrils: the closed chain against brute force, rings drawn to painted edges, what opening may and may not move."""

import itertools

import cv2
import numpy as np
import pytest

from core.subdivide import between, finer
from recon.nostrils import (
    RINGS,
    Base,
    NostrilOptions,
    area,
    cheapest,
    inside_mm,
    on_edges,
    opened,
    resampled,
    rounded,
)
from recon.scene import cast, closest, scene_of
from recon.shape import curved, on_face
from tests.recon.heads import camera_at

CIRCLE = 5 * np.stack([np.cos(a := np.arange(200) / 200 * 2 * np.pi), np.sin(a), 0 * a], 1)
GREY = np.full((640, 480, 3), 170, np.uint8)
BELOW = [camera_at(0, -20)]


@pytest.fixture(scope="module")
def fine(model, mesh):
    """The model's mean head, its face made finer as a reconstruction's is."""
    head, anatomy = mesh, model.anatomy
    for _ in range(2):
        head, anatomy, _ = curved(head, anatomy, between(head, on_face(head, anatomy)))
    return head, anatomy


def ring_of(head, anatomy, side=0):
    """The base of the nose and the landmarks' ring in it."""
    landmarks = head.points(anatomy.pins478)
    base = Base.under(landmarks)
    return base, resampled(rounded(base.here(landmarks[list(RINGS[side])])))


def painted(head, anatomy, cameras, inside=60):
    """Pictures of grey skin with both openings of another brightness."""
    def picture(k):
        canvas = GREY.copy()
        for side in (0, 1):
            base, ring = ring_of(head, anatomy, side)
            px = cameras[k].px_from_points(base.there(ring))
            cv2.fillPoly(canvas, [np.round(px * 16).astype(np.int32)], (inside,) * 3, cv2.LINE_AA, 4)
        return canvas

    return picture


def test_a_circle_has_its_area_and_depths():
    assert abs(area(CIRCLE)) == pytest.approx(np.pi * 25, rel=1e-3)
    assert area(CIRCLE[::-1]) == pytest.approx(-area(CIRCLE))
    np.testing.assert_allclose(inside_mm(CIRCLE, np.array([[0.0, 0], [3, 0], [0, 7]])), [5, 2, -2], atol=0.01)


def test_points_along_a_curve_are_even():
    steps = np.linalg.norm(np.diff(resampled(CIRCLE[np.r_[0:100, 100:200:5]], 30)[:, :2], axis=0), axis=1)
    assert np.ptp(steps) < 0.02 * steps.mean()


def test_the_closed_chain_is_the_cheapest_one():
    rng = np.random.default_rng(7)
    step = 0.5 * (np.arange(4)[:, None] - np.arange(4)[None]) ** 2
    for _ in range(20):
        cost = rng.uniform(0, 4, (6, 4))

        def total(states, cost=cost):
            return cost[np.arange(6), list(states)].sum() + step[list(states), np.roll(states, -1)].sum()

        best = min(total(s) for s in itertools.product(range(4), repeat=6))
        assert total(cheapest(cost, step)) == pytest.approx(best)


@pytest.mark.parametrize("dark", [40, 250])
def test_a_ring_is_drawn_to_the_edge_whether_the_hole_is_dark_or_bright(fine, dark):
    head, anatomy = fine
    base, ring = ring_of(head, anatomy)
    middle = ring.mean(0)
    true = middle + (ring - middle) * [1.3, 1.3, 1]
    cameras = [camera_at(yaw, pitch) for yaw in (-12, 0, 12) for pitch in (-30, -20, -10)]

    def picture(k):
        canvas = GREY.copy()
        px = cameras[k].px_from_points(base.there(true))
        cv2.fillPoly(canvas, [np.round(px * 16).astype(np.int32)], (dark,) * 3, cv2.LINE_AA, 4)
        return canvas

    found, contrast = on_edges(head, base, ring, cameras, picture, NostrilOptions())
    before, after = (np.abs(inside_mm(true, r[:, :2])).mean() for r in (ring, found))
    assert after < 0.5 * before and after < 0.6
    assert contrast > 0.1


def test_without_a_view_from_below_the_landmarks_ring_stands(fine):
    head, anatomy = fine
    base, ring = ring_of(head, anatomy)
    above = [camera_at(0, 60)]
    found, contrast = on_edges(head, base, ring, above, lambda k: GREY, NostrilOptions())
    np.testing.assert_array_equal(found, ring)
    assert contrast == np.inf


def test_opening_sinks_what_lies_in_the_rings_and_moves_nothing_else(fine):
    head, anatomy = fine
    cameras = [camera_at(0, -20), camera_at(0, 0)]
    after, pins = opened(head, anatomy, cameras, painted(head, anatomy, cameras))
    moved = np.linalg.norm(after.vertices_mm - head.vertices_mm, axis=1)
    rings = head.points(anatomy.pins478)[[i for ring in RINGS for i in ring]]
    away = np.linalg.norm(head.vertices_mm[:, None] - rings, axis=2).min(1)
    assert moved[away > 16].max() == 0
    for name in ("eye_l", "eye_r", "lips"):
        assert moved[anatomy.region(name) > 0.5].max() == 0
    np.testing.assert_array_equal(after.faces, head.faces)
    scene = scene_of(after)
    for side in (0, 1):
        base, ring = ring_of(head, anatomy, side)
        start = base.there(np.array([[*ring[:, :2].mean(0), 30.0]]))
        depth = 30 - cast(scene, start, -base.axes[2][None])[0] - ring[:, 2].mean()
        assert depth < -4  # the middle of the opening looks into a pocket


def test_pins_stay_where_they_were_in_space(fine):
    head, anatomy = fine
    after, pins = opened(head, anatomy, BELOW, painted(head, anatomy, BELOW))
    for name in ("pins478", "pin_points"):
        was, now = head.points(getattr(anatomy, name)), after.points(getattr(pins, name))
        gap = np.linalg.norm(now - was, axis=1)
        nearest = np.linalg.norm(after.points(closest(scene_of(after), was)) - was, axis=1)
        assert (gap <= nearest + 1e-3).all()  # no place on the opened head is nearer
        assert np.median(gap) < 1e-3


def test_curved_edges_keep_the_coarse_vertices_and_leave_a_plane_flat(model, mesh):
    face = between(mesh, on_face(mesh, model.anatomy))
    head, _, _ = curved(mesh, model.anatomy, face)
    straight, _, made = finer(mesh, model.anatomy, on_face(mesh, model.anatomy))
    count = len(mesh.vertices_mm)
    np.testing.assert_array_equal(head.vertices_mm[:count], mesh.vertices_mm)
    tip = model.anatomy.region("nose")[made.ends].min(1) > 0.9
    bulge = ((head.vertices_mm - straight.vertices_mm) * straight.vertex_normals())[count:].sum(1)
    assert np.median(bulge[tip]) > 0  # a nose is rounder than its chords
    flat = mesh.with_vertices(mesh.vertices_mm * [1, 1, 0])
    np.testing.assert_allclose(curved(flat, model.anatomy, face)[0].vertices_mm[:, 2], 0, atol=1e-9)


def test_openings_of_no_nostrils_size_are_left_alone(fine):
    head, anatomy = fine
    after, _ = opened(head, anatomy, BELOW, painted(head, anatomy, BELOW), NostrilOptions(area_mm2=(1.0, 2.0)))
    np.testing.assert_array_equal(after.vertices_mm, head.vertices_mm)


@pytest.mark.parametrize(("inside", "there"), [(60, True), (250, True), (170, False), (160, False)])
def test_where_hardly_an_edge_is_there_is_no_opening(fine, inside, there):
    """A scan that was closed, a cast: nothing is opened that no picture shows."""
    head, anatomy = fine
    after, pins = opened(head, anatomy, BELOW, painted(head, anatomy, BELOW, inside))
    assert (after.vertices_mm != head.vertices_mm).any() == there
    assert there or pins is anatomy


def test_without_a_view_from_below_nostrils_are_opened_as_on_all_people(fine):
    head, anatomy = fine
    after, _ = opened(head, anatomy, [camera_at(0, 60)], lambda k: GREY)
    assert (after.vertices_mm != head.vertices_mm).any()
