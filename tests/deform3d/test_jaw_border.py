"""A face lift draws skin over a jaw that stays: the border is neither drawn in nor up; only a jowl over it goes."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy.spatial import cKDTree

from core.procedure import Handle
from deform3d import catalogue, predict, read_plan
from deform3d.handles import Context, handle_points, slid
from tests.deform3d.test_head_model import head_of

EVIDENCE = {"mark": "E", "source": "a test"}
PLACES = np.linspace(0.25, 0.6, 8)


def border(mesh, anatomy):
    """Vertices along the border of the jaw, from beside the chin to before the masseter, both sides."""
    skin = np.flatnonzero(anatomy.region("skin") > 0.5)
    tree, gn = cKDTree(mesh.vertices_mm[skin]), mesh.points(anatomy.pin("gn"))
    rows = [tree.query(gn + PLACES[:, None] * (mesh.points(anatomy.pin(go)) - gn) + (x, -12, 5))[1]
            for go, x in (("go_l", 18), ("go_r", -18))]
    return skin[np.unique(np.concatenate(rows))]


def lifted(mesh, anatomy, intensity):
    plan = read_plan({"procedures": [{"procedure": "rhytidectomy", "intensity": intensity}]})
    return predict(mesh, anatomy, plan, catalogue(), swelling=False).total_mm()


def with_jowl(mesh, anatomy, height_mm=5.0, width_mm=9.0):
    """The head with skin hanging over the border, a third of the way from gnathion to gonion."""
    rows, add = border(mesh, anatomy), np.zeros_like(mesh.vertices_mm)
    gn = mesh.points(anatomy.pin("gn"))[0]
    for go, x in (("go_l", 1), ("go_r", -1)):
        place = gn + 0.36 * (mesh.points(anatomy.pin(go))[0] - gn) + (18 * x, -4, 6)
        nearest = mesh.vertices_mm[rows[cKDTree(mesh.vertices_mm[rows]).query(place)[1]]]
        share = np.exp(-((mesh.vertices_mm - nearest) ** 2).sum(1) / (2 * width_mm**2))
        add += height_mm * share[:, None] * (0.55 * x, -0.75, 0.2)
    return mesh.moved(add * (anatomy.region("skin") > 0.5)[:, None])


@pytest.mark.parametrize(("intensity", "most_mm"), [(60, 0.4), (100, 0.6)])
@pytest.mark.parametrize("seed", [None, 0, 1, 5])
def test_the_border_of_a_jaw_without_jowls_stays(model, seed, intensity, most_mm):
    mesh = head_of(model, seed)
    rows, moved = border(mesh, model.anatomy), lifted(mesh, model.anatomy, intensity)
    along_normal = (moved * mesh.vertex_normals()).sum(1)[rows]
    assert np.abs(along_normal).max() < most_mm and moved[rows, 1].max() < most_mm
    assert np.linalg.norm(moved, axis=1).max() > 0.08 * intensity  # the cheek is lifted all the same


@pytest.mark.parametrize("seed", [None, 1, 2])
def test_a_jowl_goes(model, seed):
    bare = head_of(model, seed)
    mesh = with_jowl(bare, model.anatomy)
    normals, rows = bare.vertex_normals(), border(bare, model.anatomy)
    stood = ((mesh.vertices_mm - bare.vertices_mm) * normals).sum(1)
    after = mesh.vertices_mm + lifted(mesh, model.anatomy, 100)
    places = bare.vertices_mm[rows]
    gap, nearest = cKDTree(bare.vertices_mm).query(after)
    beyond = ((after - bare.vertices_mm[nearest]) * normals[nearest]).sum(1)
    left = beyond[cKDTree(places).query(after)[0] < 7]
    assert left.max() < 0.75 * stood[rows].max() and left.min() > -1


@pytest.mark.parametrize("name", ["jowl_mm", "cheek_mm"])
def test_skin_over_the_jaw_slides_as_far_as_asked(model, name):
    mesh, procedure = head_of(model, 3), catalogue()["rhytidectomy"]
    pins, points = handle_points(mesh, model.anatomy, procedure)
    context, step = Context(mesh, model.anatomy, procedure, points), procedure.step(name)
    asked, sliding = context.asked_mm(step, 3.0), [h for h in step.handles if h.slide]
    assert len(sliding) >= 2
    for handle in sliding:
        row, leader = pins.index(handle.pin), next(h for h in step.handles if h.pin == (handle.follow or handle.pin))
        assert abs(asked[row] @ context.normals[row]) < 1e-9
        assert np.linalg.norm(asked[row]) == pytest.approx(3 * handle.share * np.linalg.norm(leader.move))


def test_a_motion_along_the_normal_does_not_turn_by_a_hair():
    normal = np.array([0.0, 0.0, 1.0])
    assert not slid(normal, 5 * normal).any() and not slid(normal, 0 * normal).any()
    for tilt in (1e-9, 0.1):
        turned = slid(normal, np.array([tilt, 0, np.sqrt(1 - tilt**2)]))
        np.testing.assert_allclose(turned, [2 * tilt, 0, 0], atol=1e-12)


@pytest.mark.parametrize("fault", [{"outward": 1, "slide": True}, {"move": (0, 1, 0), "share": 0.5},
                                   {"level": {"start": "gn", "end": "go_l", "spare_mm": -1}},
                                   {"level": {"start": "gn", "end": "gn", "spare_mm": 1}}])
def test_a_handle_that_makes_no_sense_is_refused(fault):
    with pytest.raises(ValidationError):
        Handle.model_validate({"pin": "ls", "evidence": EVIDENCE, **fault})


def test_the_line_a_jowl_stands_beyond_is_mirrored():
    lines = {h.pin: h.level for h in catalogue()["rhytidectomy"].step("jowl_mm").handles if h.level}
    assert {p: (line.start, line.end) for p, line in lines.items()} == {
        f"border_{s}": (f"border_front_{s}", f"border_back_{s}") for s in "lr"}
