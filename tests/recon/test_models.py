"""The embedded head model: what is in the file is a head, in the head frame, and its parts are where they belong."""

import numpy as np
import pytest

from core.errors import UsageError
from recon.face478 import topology
from recon.models import load_model
from tests.recon.heads import mirror_distance

MIDLINE = "tr g n se rhi supratip prn c sn ls sto li sl pg gn me".split()
PAIRED = "al ac sbal en ex ps pi or p zy ch cph t go brow_mid".split()
REGIONS = set("nose lips eyelids_l eyelids_r eye_l eye_r ear_l ear_r brow_l brow_r forehead cheek_l cheek_r chin jaw "
              "neck scalp mouth_interior face".split())


def test_an_unknown_model_is_named():
    with pytest.raises(UsageError, match="anny"):
        load_model("nobody")


def test_counts_belong_together_and_every_number_is_finite(model):
    v = len(model.template_mm)
    assert 3000 < v < 8000
    assert model.identity_basis_mm.shape[1:] == model.expression_basis_mm.shape[1:] == (v, 3)
    assert model.anatomy.region_weights.shape == (len(model.anatomy.region_names), v)
    assert len(model.anatomy.pins478) == 478
    assert len(model.expression_names) == len(set(model.expression_names)) == len(model.expression_basis_mm) == 51
    assert model.faces_uv.max() == len(model.uv) - 1
    assert np.unique(model.faces).size == v  # no vertex without a face
    for values in (model.template_mm, model.uv, model.identity_basis_mm, model.expression_basis_mm, model.joints_mm,
                   model.view_offset_mm, model.anatomy.region_weights, model.anatomy.pins478.bary):
        assert np.isfinite(values).all()
    assert not np.isnan(model.view_sd_mm).any()


def test_the_template_is_mirror_symmetric(model, mesh):
    """Every pin lies on its mirror twin's reflection, every vertex on another's."""
    pins = mesh.points(model.anatomy.pins478)
    skew = np.linalg.norm(pins - pins[topology().mirror] * [-1, 1, 1], axis=1) / 2
    assert skew.max() < 1e-6
    assert mirror_distance(mesh.vertices_mm).max() < 1e-6


def test_triangles_face_outward(model, mesh):
    """The skin seen from the front faces the front; both eyeballs turn their outside out."""
    a, b, c = (mesh.vertices_mm[mesh.faces[:, k]] for k in range(3))
    for side in "lr":
        ball = model.anatomy.region(f"eye_{side}")[mesh.faces].min(1) > 0.5
        centre = mesh.vertices_mm[model.anatomy.region(f"eye_{side}") > 0.5].mean(0)
        volume = np.einsum("ni,ni->n", a - centre, np.cross(b - centre, c - centre))[ball]
        assert (volume > 0).all()
    tip = np.argmin(np.linalg.norm(mesh.vertices_mm - mesh.vertices_mm[mesh.vertices_mm[:, 2].argmax()], axis=1))
    assert mesh.vertex_normals()[tip, 2] > 0.7


def test_modes_are_ordered_and_carry_one_standard_deviation(model):
    """Strength falls from mode to mode (weighted to the face); together they vary a face by a few millimetres."""
    face = model.anatomy.region("face")
    strength = np.sqrt(np.einsum("kvc,v->k", model.identity_basis_mm.astype(float) ** 2, face) / face.sum())
    tenths = strength[:len(strength) // 10 * 10].reshape(10, -1).mean(1)
    assert (np.diff(tenths) < 0).all()
    assert 1.0 < strength[:5].mean() < 6.0
    assert strength[-1] < 0.2
    assert 2.0 < np.sqrt((strength**2).sum()) < 7.0


def test_modes_are_not_copies_of_each_other(model):
    flat = model.identity_basis_mm.reshape(len(model.identity_basis_mm), -1).astype(float)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    overlap = np.abs(flat @ flat.T) - np.eye(len(flat))
    assert overlap.max() < 0.95


def test_actions_move_what_they_are_named_for(model):
    moved = dict(zip(model.expression_names, model.expression_basis_mm, strict=True))
    chin, lids_l, lids_r = (model.anatomy.region(n) for n in ("chin", "eyelids_l", "eyelids_r"))
    assert np.average(moved["jawOpen"][:, 1], weights=chin) < -5
    for side, own, other in (("Left", lids_l, lids_r), ("Right", lids_r, lids_l)):
        size = np.linalg.norm(moved[f"eyeBlink{side}"], axis=1)
        assert size[own > 0.5].max() > 4
        assert size[other > 0.5].max() < 0.1
    still = np.concatenate([np.flatnonzero(model.anatomy.region(f"eye_{s}") > 0.5) for s in "lr"])
    assert not np.any([m[still] for m in moved.values()])


def test_pins_lie_on_the_surface(model, mesh, pin):
    """Barycentric weights sum to one and none is negative, so every pin is a point of its triangle."""
    for pins in (model.anatomy.pins478, model.anatomy.pin_points):
        assert np.allclose(pins.bary.sum(1), 1, atol=1e-4)
        assert pins.bary.min() > -1e-4
        assert (0 <= pins.face).all() and (pins.face < len(mesh.faces)).all()
    assert set(pin) == {*MIDLINE, *(f"{n}_{s}" for n in PAIRED for s in "lr")}
    eyeball = np.max([model.anatomy.region("eye_l"), model.anatomy.region("eye_r")], 0)[mesh.faces].min(1)
    assert (eyeball[model.anatomy.pins478.face[[468, 469, 471, 473, 474, 476]]] > 0.5).all()  # pupils, sides of irises
    assert (eyeball[model.anatomy.pins478.face[[4, 152, 10, 61, 291]]] == 0).all()


def test_the_head_frame(pin):
    assert np.allclose((pin["ex_l"] + pin["ex_r"]) / 2, 0, atol=0.1)
    ear, orbit = ((pin[f"{n}_l"] + pin[f"{n}_r"])[1] / 2 for n in ("t", "or"))
    assert abs(ear - orbit) < 0.2
    assert all(abs(pin[name][0]) < 1e-6 for name in MIDLINE)
    assert all(pin[f"{name}_l"][0] > 3 and pin[f"{name}_r"][0] < -3 for name in PAIRED)


def test_478_points_of_the_left_are_on_the_left(model, mesh):
    points = mesh.points(model.anatomy.pins478)
    for left, right in ((263, 33), (291, 61), (454, 234), (473, 468), (334, 105), (358, 129)):
        assert points[left, 0] > 3
        assert np.allclose(points[left] * [-1, 1, 1], points[right], atol=0.5)


def test_the_face_has_the_order_and_size_of_a_face(pin):
    down = [pin[n][1] for n in "tr g n rhi supratip prn c sn ls sto li sl pg gn me".split()]
    assert (np.diff(down) < 0).all()
    width = {n: np.linalg.norm(pin[f"{n}_l"] - pin[f"{n}_r"]) for n in PAIRED}
    assert width["en"] < width["p"] < width["ex"] < width["go"] < width["zy"] < width["t"]
    assert 58 < width["p"] < 69
    assert 110 < np.linalg.norm(pin["n"] - pin["gn"]) < 135
    assert max(pin, key=lambda n: pin[n][2]) == "prn"
    assert -95 < pin["t_l"][2] < -60


def test_regions_are_weights_and_lie_where_they_belong(model, mesh, pin):
    weights = model.anatomy.region_weights
    assert set(model.anatomy.region_names) == REGIONS
    assert weights.min() >= 0 and weights.max() <= 1
    assert (weights.max(1) == 1).all()
    centre = {n: np.average(mesh.vertices_mm, axis=0, weights=model.anatomy.region(n)) for n in REGIONS}
    assert pin["sn"][1] < centre["nose"][1] < pin["n"][1] and centre["nose"][2] > 15 and abs(centre["nose"][0]) < 1
    assert pin["li"][1] < centre["lips"][1] < pin["ls"][1]
    assert pin["me"][1] < centre["chin"][1] < pin["li"][1]
    assert centre["forehead"][1] > pin["g"][1] and centre["neck"][1] < pin["me"][1]
    for side, sign in (("l", 1), ("r", -1)):
        assert np.linalg.norm(centre[f"eye_{side}"][:2] - pin[f"p_{side}"][:2]) < 3
        assert np.linalg.norm(centre[f"eyelids_{side}"] - pin[f"p_{side}"]) < 8
        assert np.linalg.norm(centre[f"ear_{side}"] - pin[f"t_{side}"]) < 40
        for name in ("eye", "eyelids", "ear", "brow", "cheek"):
            rows = model.anatomy.region(f"{name}_{side}") > 0.5
            assert (sign * mesh.vertices_mm[rows, 0] > 0).all()
    nearest = {n: np.linalg.norm(mesh.vertices_mm - pin[n], axis=1).argmin() for n in ("prn", "ls", "pg")}
    assert model.anatomy.region("nose")[nearest["prn"]] == 1
    assert model.anatomy.region("lips")[nearest["ls"]] > 0.3
    assert model.anatomy.region("chin")[nearest["pg"]] == 1


def test_texture_coordinates_lie_in_the_picture_upright_and_unmirrored(model, mesh):
    """u grows to the patient's left, v runs down; triangles keep their sense, but for a handful."""
    assert model.uv.min() >= 0 and model.uv.max() <= 1
    at = model.anatomy.pins478.on(model.uv, model.faces_uv)
    assert at[263, 0] > at[33, 0] and at[152, 1] > at[10, 1]
    corner = model.uv[model.faces_uv]
    a, b = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]  # v runs down: a triangle seen upright turns the other way
    skin = model.anatomy.region_weights[[model.anatomy.region_names.index(f"eye_{s}") for s in "lr"]].max(0)
    eyeball = skin[mesh.faces].min(1) > 0.5
    assert (area[~eyeball] > 0).sum() <= 20
    assert not (area[eyeball] > 0).any()
    face = model.anatomy.region("face")[mesh.faces].min(1) > 0.5
    assert np.abs(area[face]).sum() / 2 > 0.3


def test_landmarks_slide_alike_on_both_sides(model):
    """The detector's points at yaw +a mirror those at -a in the mean; straight on they slide least."""
    size = np.linalg.norm(np.where(np.isfinite(model.view_sd_mm)[..., None], model.view_offset_mm, 0), axis=2)
    mean = np.array([s[f].mean() for s, f in zip(size, np.isfinite(model.view_sd_mm), strict=True)])
    assert np.allclose(model.view_yaw_rad, -model.view_yaw_rad[::-1], atol=1e-3)
    assert np.allclose(mean, mean[::-1], rtol=0.3)
    assert mean.argmin() == len(mean) // 2
    assert mean.max() < 12
