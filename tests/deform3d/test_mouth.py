"""The mouth under every operation on jaws and lips: what is open stays open, and the lining stays behind the skin."""

import numpy as np
import open3d as o3d
import pytest

from core import Anatomy, Mesh
from core.subdivide import finer
from deform3d import catalogue, predict, read_plan
from recon.scene import scene_of
from tests.deform3d.test_head_model import head_of

SMILE = {"jawOpen": 0.1, "mouthSmileLeft": 0.7, "mouthSmileRight": 0.7, "mouthUpperUpLeft": 0.4,
         "mouthUpperUpRight": 0.4, "mouthLowerDownLeft": 0.4, "mouthLowerDownRight": 0.4}
STEP_MM = 0.4


def lining_seen_mm2(mesh: Mesh, anatomy: Anatomy, low_mm: float, high_mm: float) -> float:
    """The area, from straight in front, where the mouth's inside is seen between two heights."""
    x, y = np.meshgrid(np.arange(-32, 32, STEP_MM), np.arange(low_mm, high_mm, STEP_MM))
    rays = np.stack([x, y, np.full_like(x, 150.0), 0 * x, 0 * x, 0 * x - 1], -1).reshape(-1, 6).astype(np.float32)
    hit = scene_of(mesh).cast_rays(o3d.core.Tensor(rays))
    corners = mesh.faces[hit["primitive_ids"].numpy()[np.isfinite(hit["t_hit"].numpy())].astype(np.int64)]
    return float((anatomy.region("mouth_interior")[corners].min(1) > 0.5).sum() * STEP_MM**2)


def heights_mm(mesh, anatomy, *pins):
    return [mesh.points(anatomy.pin(pin))[0, 1] for pin in pins]


def after(mesh, anatomy, procedure, **values):
    asked = {"values": values} if values else {"intensity": 100}
    return mesh.moved(predict(mesh, anatomy, read_plan({"procedures": [{"procedure": procedure, **asked}]}),
                              catalogue()).total_mm())


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("procedure", "values"), [
    ("orthognathic_bimaxillary", {}), ("orthognathic_mandible", {}), ("orthognathic_mandible", {"sagittal_mm": -10})])
def test_no_lining_comes_through_the_skin_below_the_lip(model, seed, procedure, values):
    mesh = head_of(model, seed)
    chin, lip = heights_mm(mesh, model.anatomy, "pg", "li")
    assert lining_seen_mm2(after(mesh, model.anatomy, procedure, **values), model.anatomy, chin - 6, lip - 3) < 1


@pytest.mark.parametrize("seed", [None, 3])
def test_an_open_smile_stays_open(model, seed):
    spread = np.random.default_rng(seed).normal(size=len(model.identity_basis_mm)) * (seed is not None)
    smile = np.array([SMILE.get(name, 0.0) for name in model.expression_names])
    coarse = model.shape(spread).pose(smile).mesh()
    mesh, anatomy, _ = finer(coarse, model.anatomy, model.anatomy.region("face") + model.anatomy.region("lips") > 0.02)
    lips = heights_mm(mesh, anatomy, "li", "ls")
    before = lining_seen_mm2(mesh, anatomy, *lips)
    left, right = (mesh.points(anatomy.pin(pin))[0] for pin in ("ch_l", "ch_r"))
    assert before > 100
    for procedure in ("orthognathic_mandible", "orthognathic_maxilla", "orthognathic_bimaxillary", "lip_lift",
                      "lip_augmentation"):
        seen = lining_seen_mm2(after(mesh, anatomy, procedure), anatomy, *lips)
        assert seen == pytest.approx(before, abs=0.5 * np.linalg.norm(left - right)), procedure  # half a mm


def test_lips_that_slide_past_each_other_part_little_seen_from_below(model):
    """One jaw forward and the other back, 15 degrees from below: the upper lip stays by the lower one furthest in."""
    turn = np.array([[1, 0, 0], [0, np.cos(0.26), np.sin(0.26)], [0, -np.sin(0.26), np.cos(0.26)]])
    opened = 0.0
    for seed in (1, 2, 3):
        head = head_of(model, seed)
        seen, at_rest = [], head.moved(head.vertices_mm @ turn.T - head.vertices_mm)
        for mesh in (head, after(head, model.anatomy, "orthognathic_bimaxillary")):
            tilted = mesh.moved(mesh.vertices_mm @ turn.T - mesh.vertices_mm)
            middle = np.mean(heights_mm(at_rest, model.anatomy, "li", "ls"))
            seen.append(lining_seen_mm2(tilted, model.anatomy, middle - 8, middle + 8))
        opened += seen[1] - seen[0]
    assert opened < 42  # 50 mm2 without
