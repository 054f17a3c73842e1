"""Free hand: any place moved as asked, nothing beyond its radius, nothing rigid, and honest refusals."""

import numpy as np
import pytest

from core import Plan
from core.errors import UsageError
from deform3d import catalogue, predict, read_plan, topology


def plan(**free) -> Plan:
    return read_plan({"free": [{"move_mm": [1.0, 0.5, 2.0], "radius_mm": 15, **free}]})


def run(model, mesh, wanted):
    return predict(mesh, model.anatomy, wanted, catalogue())


def test_the_place_goes_where_the_hand_moves_it_and_the_rest_stays(model, mesh):
    made = run(model, mesh, plan(at="prn", label="tip"))
    (item,) = made.landed
    assert made.step_names == ("free.1",) and item.pin == "prn" and item.error_mm < 1e-9
    total, tip = made.total_mm(), mesh.points(model.anatomy.pin("prn"))[0]
    far = np.linalg.norm(mesh.vertices_mm - tip, axis=1) > 15  # straight is shorter than along the skin
    assert not total[far].any() and np.linalg.norm(total, axis=1).max() <= np.linalg.norm([1, 0.5, 2]) * 1.05
    assert made.volume_added_ml > 0.1


def test_a_position_and_a_triangle_name_the_same_place(model, mesh):
    pin = model.anatomy.pin("pg")
    by_mm = run(model, mesh, plan(at_mm=mesh.points(pin)[0].tolist()))
    by_face = run(model, mesh, read_plan({"topology": topology(mesh), "free": [
        {"face": int(pin.face[0]), "bary": pin.bary[0].tolist(), "move_mm": [1.0, 0.5, 2.0], "radius_mm": 15}]}))
    np.testing.assert_allclose(by_mm.total_mm(), by_face.total_mm(), atol=1e-6)


def test_eyes_and_the_mouth_s_inside_never_move(model, mesh):
    made = run(model, mesh, plan(at="ps_l", radius_mm=25))
    for region in ("eye_l", "eye_r", "mouth_interior"):
        assert not made.total_mm()[model.anatomy.region(region) >= 0.05].any()
    assert made.total_mm().any()


def test_a_locked_side_holds_against_the_hand(model, mesh):
    flags = [{"flag": "facial_palsy", "side": "left", "lock": True}]
    right = {"at": "zy_r", "move_mm": [0, 1, 0], "radius_mm": 70}
    total = run(model, mesh, read_plan({"free": [right], "flags": flags})).total_mm()
    assert total.any() and not total[mesh.vertices_mm[:, 0] >= 0].any()
    for pin in ("zy_l", "prn"):
        with pytest.raises(UsageError, match="locked side"):
            run(model, mesh, read_plan({"free": [{**right, "at": pin}], "flags": flags}))


def test_free_moves_follow_procedures_in_turn(model, mesh):
    chin = {"procedure": "mentoplasty", "values": {"advancement_mm": 6}}
    free = {"at": "pg", "move_mm": [0, 0, 1.0], "radius_mm": 20}
    for overlap in ("sum", "in_turn"):
        made = run(model, mesh, read_plan({"procedures": [chin], "free": [free], "overlap": overlap}))
        assert made.step_names == ("mentoplasty.advancement_mm", "free.1")
        assert made.landed[-1].error_mm < 1e-9


@pytest.mark.parametrize(("free", "code"), [
    ({"at": "nowhere"}, "missing_pin"), ({"at_mm": [0, 0, 400]}, "off_the_skin"), ({"at": "p_l"}, "rigid_part")])
def test_places_that_cannot_be_moved(model, mesh, free, code):
    with pytest.raises(UsageError) as caught:
        run(model, mesh, plan(**free))
    assert caught.value.code == code


def test_another_mesh_s_triangles_are_refused(model, mesh):
    other = read_plan({"topology": "0" * 16, "free": [{"face": 1, "bary": [1, 0, 0], "move_mm": [0, 0, 1],
                                                       "radius_mm": 10}]})
    with pytest.raises(UsageError) as caught:
        run(model, mesh, other)
    assert caught.value.code == "other_topology"
    missing = read_plan({"topology": topology(mesh), "free": [
        {"face": 10**6, "bary": [1, 0, 0], "move_mm": [0, 0, 1], "radius_mm": 10}]})
    with pytest.raises(UsageError) as caught:
        run(model, mesh, missing)
    assert caught.value.code == "no_such_place"


@pytest.mark.parametrize("free", [
    {}, {"at": "prn", "at_mm": [0, 0, 0]}, {"at": "prn", "radius_mm": 0.5}, {"at": "prn", "radius_mm": 500},
    {"at": "prn", "move_mm": [0, float("nan"), 0]}, {"at": "prn", "move_mm": [0, 0, 500]},
    {"face": 1, "bary": [1, 0, 0]}, {"face": 1}])
def test_nonsense_is_refused_when_it_is_read(free):
    with pytest.raises(UsageError) as caught:
        plan(**free)
    assert caught.value.code == "bad_plan"
