"""Several procedures in one plan: sums within clamps, an order, exact undo."""

from dataclasses import replace

import numpy as np
import pytest

from core import SurfacePoints
from core.errors import UsageError
from core.prediction import Landed
from deform3d import catalogue, predict, read_plan
from deform3d.together import Done, largest_share, limited, smoothed
from tests.deform3d.test_geodesic import sheet
from tests.deform3d.test_unfold import rows_turned, spike

NOSE = {"procedure": "rhinoplasty", "values": {"hump_mm": 3.0, "tip_projection_mm": 2.0}}
CHIN = {"procedure": "mentoplasty", "values": {"advancement_mm": 5.0}}


def run(model, mesh, *procedures, **more):
    return predict(mesh, model.anatomy, read_plan({"procedures": list(procedures), **more}), catalogue())


@pytest.mark.parametrize("what", ["rhinoplasty.hump", "nose", "smoke"])
def test_an_override_of_nothing_is_refused(model, mesh, what):
    with pytest.raises(UsageError) as caught:
        run(model, mesh, NOSE, overrides=[{"what": what, "reason": "a slip"}])
    assert caught.value.code == "unknown_override"


def test_undo_is_exact(model, mesh):
    both, nose = run(model, mesh, NOSE, CHIN), run(model, mesh, NOSE)
    without = np.sum([u for name, u in zip(both.step_names, both.displacement_mm, strict=True)
                      if not name.startswith("mentoplasty")], axis=0)
    np.testing.assert_array_equal(without, nose.total_mm())


def test_the_order_of_a_sum_does_not_matter(model, mesh):
    one, other = run(model, mesh, NOSE, CHIN), run(model, mesh, CHIN, NOSE)
    np.testing.assert_allclose(one.total_mm(), other.total_mm(), atol=1e-9)


def test_in_turn_the_second_begins_where_the_first_ended(model, mesh):
    first = run(model, mesh, NOSE)
    turn = run(model, mesh, NOSE, CHIN, overlap="in_turn")
    after = run(model, mesh.moved(first.total_mm()), CHIN)
    np.testing.assert_allclose(turn.total_mm(), first.total_mm() + after.total_mm(), atol=1e-9)


def entry(name: str, value: float, move: tuple[float, float, float]) -> Done:
    return Done(name=name, label="", value=value, unit="mm", moves={"mean": np.array([move])},
                landed=(Landed(step=name, pin="prn", asked_mm=move, landed_mm=move),))


def test_what_two_procedures_do_to_one_landmark_stays_within_the_clamps():
    before = [entry("rhinoplasty.tip_projection_mm", 4.0, (0.0, 0.0, 4.0))]  # its clamp is 5 mm
    share, told = limited([entry("other.step", 3.0, (0.0, 0.0, 3.0))], before, catalogue())
    assert share == pytest.approx(1 / 3) and len(told) == 1 and "prn" in told[0] and "5.0 mm" in told[0]
    assert limited([entry("other.step", 1.0, (0.0, 0.0, 1.0))], before, catalogue()) == (1.0, [])
    assert limited([entry("other.step", 3.0, (0.0, 0.0, -3.0))], before, catalogue()) == (1.0, [])
    held = entry("other.step", 3.0, (0.0, 0.0, 3.0)).held_back(share)
    assert held.landed[0].landed_mm[2] == pytest.approx(1) and held.landed[0].asked_mm[2] == 3
    assert held.moves["mean"][0, 2] == pytest.approx(1)


def test_a_fold_of_the_strongest_response_leaves_the_mean_as_it_is():
    flat = sheet(21, 21)
    field, place = spike(flat, 3.0), SurfacePoints(face=np.array([0]), bary=np.array([[1.0, 0, 0]]))
    moves = {band: field @ np.array([[mm, 0.0, 0.0]]) for band, mm in (("low", 0.5), ("mean", 1.0), ("high", 2.0))}
    folds = {band: rows_turned(flat, moves[band], np.eye(3)).any() for band in moves}
    both = {band: rows_turned(flat, 2 * moves[band], np.eye(3)).any() for band in moves}
    assert not any(folds.values()) and both == {"low": False, "mean": False, "high": True}
    one = replace(entry("rhinoplasty.hump_mm", 1.0, (1.0, 0.0, 0.0)), moves=moves, places=place)
    out = smoothed(flat, [one, one])
    for got in out:
        assert got.moves["low"] is moves["low"] and got.moves["mean"] is moves["mean"]
    total = sum(got.moves["high"] for got in out)
    assert not rows_turned(flat, total, np.eye(3)).any()


def test_the_largest_share():
    rng = np.random.default_rng(0)
    for _ in range(50):
        already, own, limit = rng.normal(size=3), rng.normal(size=3) * 3, float(rng.uniform(0.5, 4))
        t = largest_share(already, own, limit)
        assert np.linalg.norm(already + t * own) <= max(limit, np.linalg.norm(already)) + 1e-9
        if t < 1:
            assert np.linalg.norm(already + min(1.0, t + 0.01) * own) > max(limit, np.linalg.norm(already)) - 1e-9
