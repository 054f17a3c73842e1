"""Closed lips stay closed, whatever moves below them, seen from in front and from below."""

import numpy as np
import open3d as o3d
import pytest

from benchmarks.procedures import plans_of
from core import Mesh
from core.surface import SurfacePoints
from deform3d import catalogue, field, field_of, predict
from deform3d.handles import handle_points
from deform3d.nearest import Triangles, nearest
from deform3d.seal import PARTED_MM, Seal, across, as_one, from_line, seal_of
from recon.scene import scene_of
from tests.deform3d.builders import mirrored
from tests.deform3d.test_head_model import head_of

MOUTH = ("orthognathic_mandible", "orthognathic_maxilla", "orthognathic_bimaxillary", "lip_lift", "lip_augmentation")
FROM_BELOW_DEG = (0, 15, 30, 60)
STEP_MM = 0.4
OPENED_MM2 = 3.0
"""Without the seal 9 to 63 mm2 open on these heads."""


def seen_mm2(head, anatomy, after, degrees):
    """The area of lining behind the lips that shows on the head `after`, from so far below."""
    sto = head.points(anatomy.pin("sto"))[0]
    towards = np.array([0, -np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))])
    x, y = np.meshgrid(np.arange(-32, 32, STEP_MM), np.arange(-16, 16, STEP_MM))
    start = sto + 150 * towards + x[..., None] * np.array([1.0, 0, 0]) + y[..., None] * np.cross(towards, [1.0, 0, 0])
    rays = np.concatenate([start, np.broadcast_to(-towards, start.shape)], -1).reshape(-1, 6).astype(np.float32)
    hit = scene_of(after).cast_rays(o3d.core.Tensor(rays))
    corners = head.faces[hit["primitive_ids"].numpy()[np.isfinite(hit["t_hit"].numpy())].astype(np.int64)]
    near = np.linalg.norm(head.vertices_mm[corners].mean(1) - sto, axis=1) < 40  # not the throat through the open neck
    return float((near & (anatomy.region("mouth_interior")[corners].min(1) > 0.5)).sum() * STEP_MM**2)


@pytest.mark.parametrize("seed", [None, 1, 2, 3])
@pytest.mark.parametrize("name", MOUTH)
def test_closed_lips_stay_closed(model, seed, name):
    head = head_of(model, seed)
    before = [seen_mm2(head, model.anatomy, head, d) for d in FROM_BELOW_DEG]
    for plan in plans_of(catalogue()[name]):
        after = head.moved(predict(head, model.anatomy, plan, catalogue(), swelling=False).total_mm())
        for shown, degrees in zip(before, FROM_BELOW_DEG, strict=True):
            opened = seen_mm2(head, model.anatomy, after, degrees) - shown
            assert opened < OPENED_MM2, (plan.procedures[0].values, degrees)


@pytest.mark.parametrize("name", MOUTH[:3])
def test_what_lies_on_the_other_lip_goes_as_it_does(model, name):
    """Field values on either side of the seam of a head whose lips touch: without the seal up to 1.1 apart."""
    head = head_of(model, 6)
    seal, found = seal_of(head, model.anatomy), field_of(head, model.anatomy, catalogue()[name])
    one, other = found.cardinal[seal.vertex], seal.across.on(found.cardinal, head.faces)
    touching = seal.touch > 0.9
    assert touching.sum() > 10 and np.abs(one - other)[touching].max() < 0.2


def test_handles_at_thin_lips_land_as_without_a_seal(model, monkeypatch):
    """What the seal takes from a handle of the lips, the field gives back: no hill has to."""
    head, procedure = head_of(model, 1), catalogue()["orthognathic_bimaxillary"]
    pins, points = handle_points(head, model.anatomy, procedure)
    rows = np.ix_([pins.index(pin) for pin in ("ls", "lower_l", "lower_r", "li")], range(len(pins)))
    with_seal = points.on(field_of(head, model.anatomy, procedure).cardinal, head.faces)[rows]
    monkeypatch.setattr(field, "sealed", lambda problem, found, w, handles: found)
    field.solve.cache_clear()
    without = points.on(field_of(head, model.anatomy, procedure).cardinal, head.faces)[rows]
    field.solve.cache_clear()
    touch = np.zeros((len(head.vertices_mm), 1))
    touch[seal_of(head, model.anatomy).vertex, 0] = seal_of(head, model.anatomy).touch
    assert points.on(touch, head.faces)[rows[0].ravel()].max() > 0.1
    np.testing.assert_allclose(with_seal, without, atol=0.002)


def test_a_mirrored_mouth_touches_alike(model):
    head = head_of(model, 2)
    one, other = seal_of(head, model.anatomy), seal_of(*mirrored(head, model.anatomy))
    np.testing.assert_array_equal(one.vertex, other.vertex)
    np.testing.assert_allclose(one.touch, other.touch, atol=1e-9)


def test_open_lips_and_heads_without_a_mouth_have_no_seal(model, head):
    yawn = np.array([float(name == "jawOpen") for name in model.expression_names])
    mesh = model.shape(np.zeros(len(model.identity_basis_mm))).pose(yawn).mesh()
    middle = np.abs(mesh.vertices_mm[:, 0]) < 10
    assert not np.isin(seal_of(mesh, model.anatomy).vertex, np.flatnonzero(middle)).any()
    assert not len(seal_of(*head).vertex)


def test_what_is_locked_stays(model):
    head = head_of(model, 1)
    found = field_of(head, model.anatomy, catalogue()["orthognathic_bimaxillary"], locked="left")
    assert not found.cardinal[head.vertices_mm[:, 0] >= 0].any()


def test_both_meet_half_way_by_touch_and_window():
    values, over = np.array([[1.0], [3.0], [5.0]]), np.array([[3.0], [1.0], [9.0]])
    nowhere = SurfacePoints(face=np.zeros(3, int), bary=np.zeros((3, 3)))
    seal = Seal(vertex=np.array([4, 5, 6]), touch=np.array([1.0, 1.0, 0.5]), across=nowhere)
    column = np.array([-1, -1, -1, -1, 0, 1, 2])
    np.testing.assert_allclose(as_one(seal, values, over, np.array([1.0, 1.0, 0.5]), column), [[2], [2], [5.5]])
    column[5] = -1  # a vertex that the field does not reach
    np.testing.assert_allclose(as_one(seal, values, over, np.ones(3), column), [[2], [3], [6]])


def test_nearest_triangles_are_those_of_a_search_one_by_one():
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(150, 1, 3)) * 4 + rng.normal(size=(150, 3, 3))
    mesh = Mesh(vertices_mm=corners.reshape(-1, 3), faces=np.arange(450).reshape(-1, 3), uv=np.zeros((1, 2)),
                faces_uv=np.zeros((150, 3), int))
    points, t = rng.normal(size=(200, 3)) * 6, Triangles(corners)
    face, bary, away = across(t.corners, t.middle, t.reach, t.block, t.block_reach, points, PARTED_MM)
    for point, row, weights, gone in zip(points, face, bary, away, strict=True):
        wanted = nearest(mesh, point)
        far = np.linalg.norm(mesh.points(wanted)[0] - point)
        assert (row >= 0) == (far < PARTED_MM) and gone == pytest.approx(min(far, PARTED_MM))
        if row >= 0:
            here = SurfacePoints(face=np.array([row]), bary=weights[None])
            np.testing.assert_allclose(mesh.points(here), mesh.points(wanted), atol=1e-9)


def test_distance_from_a_bent_line():
    line = np.array([[0.0, 0, 0], [2, 0, 0], [2, 2, 0]])
    np.testing.assert_allclose(from_line(np.array([[1.0, 1, 0], [3, 3, 0], [-3, 0, 4]]), line), [1, 2**0.5, 5])
