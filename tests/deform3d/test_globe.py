"""Lids on the globe: their distance from its centre stays while they move as planned in front view."""

import numpy as np
import pytest

from core import SurfacePoints
from core.subdivide import finer
from deform3d import catalogue, predict, read_plan
from deform3d.globe import Globes, sphere
from tests.deform3d.test_head_model import head_of


def test_a_sphere_through_points():
    rng = np.random.default_rng(1)
    direction = rng.normal(size=(40, 3)) * [1, 1, 0.3] + [0, 0, 1]
    points = [1.0, -2.0, 5.0] + 12 * direction / np.linalg.norm(direction, axis=1, keepdims=True)
    centre, radius = sphere(points)
    np.testing.assert_allclose(centre, [1, -2, 5], atol=1e-9)
    assert radius == pytest.approx(12)


def test_the_globe_is_the_same_on_finer_triangles(model, mesh):
    fine, anatomy, _ = finer(mesh, model.anatomy, np.ones(len(mesh.vertices_mm), bool))
    for (centre, radius), (again, same) in zip(Globes(mesh, model.anatomy).spheres, Globes(fine, anatomy).spheres,
                                               strict=True):
        np.testing.assert_allclose(again, centre, atol=1e-6)
        assert same == pytest.approx(radius, abs=1e-6)


def test_the_back_of_a_lid_goes_with_its_margin_and_stays_on_the_globe(model):
    """A back that stayed would be squeezed to a fold between the margin and itself."""
    head = head_of(model, 0)
    moved = predict(head, model.anatomy, read_plan({"procedures": [
        {"procedure": "blepharoplasty_upper", "values": {"ptosis_repair_mm": 3.0}}]}), catalogue()).total_mm()
    margin, lining = head.points(model.anatomy.pin("ps_l"))[0], model.anatomy.region("mouth_interior") == 1
    away = np.linalg.norm(head.vertices_mm - margin, axis=1)
    back = np.flatnonzero(lining & (away < 8) & (head.vertices_mm[:, 1] > margin[1]))
    assert len(back) and moved[back, 1].max() > 0.5
    centre = Globes(head, model.anatomy).spheres[0][0]
    before, after = (np.linalg.norm(p[back] - centre, axis=1) for p in (head.vertices_mm, head.vertices_mm + moved))
    np.testing.assert_allclose(after, before, atol=0.3)


def test_a_lid_that_goes_up_keeps_its_distance(model, mesh):
    globes = Globes(mesh, model.anatomy)
    pin: SurfacePoints = model.anatomy.pin("ps_l")
    start, (centre, _) = mesh.points(pin)[0], globes.spheres[0]
    up = np.array([[0.0, 1.5, 0.0]])
    held = globes.held(mesh.points(pin), up)
    assert held[0, :2].tolist() == [0.0, 1.5] and held[0, 2] < 0
    before, free, after = (np.linalg.norm(start + u - centre) for u in (np.zeros(3), up[0], held[0]))
    assert abs(after - before) < 0.3 * abs(free - before) and abs(free - before) > 0.2


def test_a_step_that_the_globe_stops_says_so(model):
    prediction = predict(head_of(model, 0), model.anatomy, read_plan(
        {"procedures": [{"procedure": "blepharoplasty_lower", "values": {"bag_mm": 1.6}}]}), catalogue())
    assert any("the eyeball stops" in w for w in prediction.warnings)
    central = min(np.linalg.norm(i.asked_mm) for i in prediction.landed if "central" in i.pin)
    assert 0.5 < central < 1.4


def test_what_does_not_move_and_what_is_far_is_left_alone(model, mesh):
    globes = Globes(mesh, model.anatomy)
    still = np.zeros_like(mesh.vertices_mm)
    assert not globes.held(mesh.vertices_mm, still).any()
    everything = still + [0.0, 1.0, 0.0]
    changed = np.linalg.norm(globes.held(mesh.vertices_mm, everything) - everything, axis=1) > 0
    lids = np.max([model.anatomy.region(r) for r in ("eyelids_l", "eyelids_r", "eye_l", "eye_r")], axis=0)
    assert changed.any() and not changed[model.anatomy.region("chin") > 0.5].any() and changed[lids > 0.5].mean() > 0.2
