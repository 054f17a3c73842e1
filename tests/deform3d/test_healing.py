"""Swelling: its laws in time, and a smooth layer over the operated part that leaves eyes dry."""

import numpy as np
import pytest

from core import Plan
from core.healing import WEEK_MONTHS, Healing
from deform3d import catalogue, predict
from deform3d.healing import MONTHS, swelling_mm
from deform3d.volume import added_removed_ml

COURSE = {"mark": "E", "source": "a test"}
HEIGHT = {"mean": 3.0, "mark": "E", "source": "a test"}


def healing(**law) -> Healing:
    return Healing(amplitude_mm=HEIGHT, regions={"nose": 1.0}, course=COURSE, **law)


def test_the_published_laws():
    nose = healing(remaining="inverse", a=30)
    assert [round(nose.percent(m), 1) for m in (1.0, 3.0, 6.0, 12.0)] == [30, 10, 5, 2.5] and nose.percent(0.1) == 100
    jaw = healing(remaining="log", a=39.54, b=13.14)
    assert jaw.percent(1.0) == pytest.approx(39.54) and jaw.percent(12.0) == pytest.approx(6.9, abs=0.05)
    assert jaw.percent(WEEK_MONTHS) == pytest.approx(58.9, abs=0.2) and jaw.percent(1000.0) == 0
    lids = healing(remaining="table", table={0.25: 60, 1: 15, 3: 0})
    assert lids.percent(0.01) == 60 and lids.percent(1.0) == 15 and lids.percent(40.0) == 0
    assert 15 < lids.percent(0.5) < 60


@pytest.mark.parametrize("law", [{"remaining": "inverse"}, {"remaining": "log", "a": 1}, {"remaining": "table"},
                                 {"remaining": "inverse", "a": 1, "table": {1: 2}}])
def test_a_law_without_its_numbers_is_refused(law):
    with pytest.raises(ValueError, match="takes"):
        healing(**law)


def test_there_is_no_healing_before_the_operation():
    with pytest.raises(ValueError, match="after"):
        healing(remaining="inverse", a=30).percent(0.0)


def test_every_procedure_swells_and_goes_down():
    for procedure in catalogue().values():
        assert procedure.healing is not None, procedure.name
        left = [procedure.healing.percent(m) for m in MONTHS]
        assert all(a >= b for a, b in zip(left, left[1:], strict=False)) and left[0] > left[-1] <= 10, procedure.name


def test_the_layer_is_apart_from_the_result(model, mesh):
    plan = Plan.model_validate({"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": 2.0}}]})
    made = predict(mesh, model.anatomy, plan, catalogue())
    (layer,), outward = made.swelling_mm, mesh.vertex_normals()
    nose = model.anatomy.region("nose") > 0.9
    height = np.einsum("vc,vc->v", layer, outward)
    assert np.median(height[nose]) > 0.3 * np.linalg.norm(layer, axis=1).max()
    assert not layer[model.anatomy.region("eye_l") >= 0.05].any()
    assert np.linalg.norm(layer[model.anatomy.region("scalp") > 0.9], axis=1).max() < 0.05
    without = predict(mesh, model.anatomy, plan, {
        "rhinoplasty": catalogue()["rhinoplasty"].model_copy(update={"healing": None})})
    np.testing.assert_array_equal(without.total_mm(), made.total_mm())
    assert without.swelling_mm.shape[0] == 0 and not without.swollen_mm(1.0).any()


def test_what_was_not_operated_on_does_not_swell(model, mesh):
    plan = Plan.model_validate({"procedures": [{"procedure": "brow_lift", "side": "left"}]})
    (layer,) = predict(mesh, model.anatomy, plan, catalogue()).swelling_mm
    assert np.linalg.norm(layer[mesh.vertices_mm[:, 0] > 10], axis=1).max() > 0.3
    assert not layer[mesh.vertices_mm[:, 0] < 0].any()


def test_swelling_at_a_time_lies_between_the_kept_states(model, mesh):
    plan = Plan.model_validate({"procedures": [{"procedure": "rhinoplasty", "values": {"hump_mm": 2.0}}]})
    made = predict(mesh, model.anatomy, plan, catalogue())
    dry = predict(mesh, model.anatomy, plan, catalogue(), swelling=False)
    assert not len(dry.swelling_mm) and np.array_equal(dry.displacement_mm, made.displacement_mm)
    most = [float(np.linalg.norm(made.swollen_mm(m), axis=1).max()) for m in (0.3, 1.0, 4.0, 12.0, 30.0)]
    assert most[0] > most[1] > most[2] > most[3] == most[4] > 0
    whole = float(np.linalg.norm(made.swelling_mm[0], axis=1).max())
    assert most[1] / whole == pytest.approx(0.3, abs=0.01)


def test_the_tip_of_the_nose_swells_more_than_its_dorsum_and_the_whole_as_before(model, mesh):
    procedure = catalogue()["rhinoplasty"]
    even = procedure.model_copy(update={"healing": procedure.healing.model_copy(update={
        "around": {}, "regions": {"nose": 1.0}})})
    layers = [swelling_mm(mesh, model.anatomy, p) for p in (procedure, even)]
    tip, dorsum = (np.array([np.linalg.norm(model.anatomy.pin(pin).on(layer, mesh.faces)) for layer in layers])
                   for pin in ("prn", "rhi"))
    assert tip[0] > 1.2 * dorsum[0] and tip[0] > 1.15 * tip[1] and abs(tip[1] / dorsum[1] - 1) < 0.05
    ml = [added_removed_ml(mesh, layer)[0] for layer in layers]
    assert ml[0] == pytest.approx(ml[1], rel=0.03)
