"""The lining of the mouth goes with the skin that it lies behind: no operation brings it out through the skin."""

import numpy as np
import open3d as o3d
import pytest
from pydantic import ValidationError

from core import Anatomy, Mesh
from core.procedure import Procedure
from deform3d import catalogue, field_of, predict, read_plan
from deform3d.kernels import wendland
from deform3d.lining import before
from recon.scene import scene_of
from tests.deform3d.test_head_model import NAMES, head_of

FROM = np.array([[0, 0.1, 1], [0.6, 0, 0.8], [-0.6, 0, 0.8], [0, -0.5, 0.8], [0, -0.8, 0.6], [0.6, -0.6, 0.5],
                 [-0.6, -0.6, 0.5]])
"""None so far below that it looks into the neck, which is open."""
STEP_MM = 1.0
TOGETHER = [["neck_lift", "mentoplasty"], ["neck_lift", "rhytidectomy", "mentoplasty"],
            ["orthognathic_bimaxillary", "mentoplasty", "neck_lift"], ["orthognathic_mandible", "neck_lift"], NAMES]
UP = {"mentoplasty": {"vertical_mm": -8}, "neck_lift": {"angle_deg": -30, "fullness_mm": 4},
      "orthognathic_mandible": {"sagittal_mm": -10}}


def out_mm2(mesh: Mesh, anatomy: Anatomy) -> float:
    """The area of lining that shows its back, which lies in the tissue, to an onlooker: the largest of some views."""
    lining = (anatomy.region("mouth_interior")[mesh.faces] > 0.99).all(1)
    corners, normals, scene = mesh.vertices_mm[mesh.faces[lining]].reshape(-1, 3), mesh.face_normals(), scene_of(mesh)
    most = 0.0
    for towards in FROM / np.linalg.norm(FROM, axis=1, keepdims=True):
        aside = np.cross([0, 1, 0], towards) / np.hypot(towards[0], towards[2])
        plane = np.stack([aside, np.cross(towards, aside)])
        low, high = (corners @ plane.T).min(0), (corners @ plane.T).max(0)
        grid = np.stack(np.meshgrid(*(np.arange(a, b, STEP_MM) for a, b in zip(low, high, strict=True))), -1)
        start = grid.reshape(-1, 2) @ plane + 300 * towards
        rays = np.hstack([start, np.broadcast_to(-towards, start.shape)]).astype(np.float32)
        found = scene.cast_rays(o3d.core.Tensor(rays))
        face = found["primitive_ids"].numpy()[np.isfinite(found["t_hit"].numpy())].astype(np.int64)
        most = max(most, STEP_MM**2 * float((lining[face] & (normals[face] @ towards < 0)).sum()))
    return most


def plans():
    yield from (read_plan({"procedures": [{"procedure": n, "intensity": 100} for n in names]})
                for names in (*([n] for n in NAMES if catalogue()[n].follows), *TOGETHER))
    yield from (read_plan({"procedures": [{"procedure": n, "values": v}]}) for n, v in UP.items())


def moved(mesh, anatomy, plan, using):
    return mesh.moved(predict(mesh, anatomy, plan, using, swelling=False).total_mm())


@pytest.mark.parametrize("seed", [None, 10, 30])
def test_no_operation_brings_the_lining_out_through_the_skin(model, seed):
    mesh = head_of(model, seed)
    assert out_mm2(mesh, model.anatomy) == 0
    for plan in plans():
        assert out_mm2(moved(mesh, model.anatomy, plan, catalogue()), model.anatomy) == 0, plan.procedures


def test_a_lining_that_does_not_follow_comes_out(model):
    """The law above can fail: the head of a short throat, with the floor of the mouth held."""
    mesh, held = head_of(model, 30), catalogue()["neck_lift"].model_copy(update={"follows": ()})
    plan = read_plan({"procedures": [{"procedure": "neck_lift", "values": UP["neck_lift"]}]})
    assert out_mm2(moved(mesh, model.anatomy, plan, {"neck_lift": held}), model.anatomy) > 2


@pytest.mark.parametrize("depth_mm", [0.5, 3.0, 8.0])
def test_behind_flat_skin_a_pull_fades_with_the_depth(depth_mm):
    """Skin that moves as one: what lies behind it keeps between phi(h / R), of the skin right before it, and what
    phi gives at the edge of the skin that counts."""
    flat = np.stack(np.meshgrid(np.arange(-40.0, 41), np.arange(-40.0, 41), [0.0]), -1).reshape(-1, 3)
    out = np.tile([0.0, 0, 1], (len(flat), 1))
    first, column, weight, away = before(np.array([[0.3, 0.2, -depth_mm], [0, 0, 5]]), flat, out, 30.0)
    follows = (weight * wendland(away / 30)).sum()
    assert weight.sum() == pytest.approx(1) and list(first) == [0, len(column), len(column)]  # before it lies none
    assert wendland(np.array([1.5 * depth_mm / 30]))[0] < follows <= wendland(np.array([depth_mm / 30]))[0]


def test_weights_are_those_of_the_formula():
    rng = np.random.default_rng(4)
    skin, area, x = rng.normal(size=(60, 3)) * 5, rng.normal(size=(60, 3)), np.array([0.4, -0.2, 1.0])
    _, column, weight, away = before(x[None], skin, area, 30.0)
    d, facing = np.linalg.norm(skin - x, axis=1), ((skin - x) * area).sum(1)
    h = d[facing > 0].min()
    wanted = np.where((facing > 0) & (d < 3 * h), facing * (1 - (d / (3 * h))**2)**2 / d**8, 0)
    np.testing.assert_allclose(weight, (wanted / wanted.sum())[column], rtol=1e-9)
    np.testing.assert_allclose(away, d[column])
    assert set(column) == set(np.flatnonzero(wanted))


def test_what_is_locked_or_immobile_stays_where_it_is(model):
    mesh, lining = head_of(model, 10), model.anatomy.region("mouth_interior") > 0.5
    field = field_of(mesh, model.anatomy, catalogue()["neck_lift"], locked="left")
    left, lips = mesh.vertices_mm[:, 0] >= 0, model.anatomy.region("lips") >= 0.05
    assert not field.cardinal[left | lips].any() and field.cardinal[lining & ~left].any()


def test_what_follows_cannot_be_immobile():
    written = catalogue()["neck_lift"].model_dump(mode="json")
    with pytest.raises(ValidationError, match="cannot follow the skin and be immobile"):
        Procedure.model_validate(written | {"immobile": ["mouth_interior"]})
