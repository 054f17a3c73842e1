"""FLAME's file, read by our own reader: made here with FLAME's keys, shapes and number types, for the real one is not
ours to pass on. Adopted, it has landmarks, regions and a layout where they belong, and can be operated on."""

import json
import pickle
import sys

import numpy as np
import pytest
from scipy.sparse import csc_matrix

from core.errors import InputRefused, PrevisageError, UsageError
from core.mesh import Mesh
from core.plan import Plan
from core.transforms import rotation_from_vector, umeyama
from deform3d import catalogue, predict
from deform3d.field import LANDS_MM
from deform3d.volume import spoiled
from recon import adopt as adopting
from recon import flame, user_models
from recon.add_model import add_model
from recon.foreign import EYE_L, EYE_R, SKIN
from recon.models import load_model
from recon.unwrap import overlaps
from render.rasterize import rasterize
from tests.recon.flame_file import flame_like, write_flame


@pytest.fixture(scope="module")
def known():
    return flame_like(load_model())


@pytest.fixture(scope="module")
def file(known, tmp_path_factory):
    return write_flame(tmp_path_factory.mktemp("flame") / "generic_model.pkl", known.arrays)


@pytest.fixture(scope="module")
def head(file):
    return flame.read(file)


# --- the reader -------------------------------------------------------------------------------------------------------


def test_the_file_is_read_in_millimetres_without_chumpy(head, known):
    a = known.arrays
    assert "chumpy" not in sys.modules
    assert np.allclose(head.template_mm, 1000 * a["v_template"]) and np.array_equal(head.faces, a["f"])
    assert head.identity_basis_mm.shape == (300, 5023, 3)
    for k in (0, 7, 139):
        assert np.allclose(head.identity_basis_mm[k], 1000 * a["shapedirs"][:, :, k], atol=1e-4)
    assert np.allclose(head.joints_mm, 1000 * a["J_regressor"].toarray() @ a["v_template"])


def test_skin_and_eyeballs_are_told_apart(head, known):
    for part, name in ((EYE_L, "eye_l"), (EYE_R, "eye_r")):
        rows = head.part == part
        at = known.placed_mm[load_model().anatomy.region(name) > 0.5]
        assert np.allclose(head.template_mm[rows].mean(0), (at.min(0) + at.max(0)) / 2, atol=0.5)
    assert (head.part == SKIN).sum() > 4000


def test_expressions_go_both_ways_at_three_standard_deviations(head, known):
    actions = dict(zip(head.expression_names, head.expression_basis_mm, strict=True))
    assert len(actions) == 103 and {"jawOpen", "jawLeft", "jawRight"} < actions.keys()
    skin = head.part == SKIN
    for k in (0, 49):
        want = 3000 * known.arrays["shapedirs"][:, :, 300 + k]
        assert np.allclose(actions[f"expression{k + 1:02d}+"][skin], want[skin], atol=1e-3) and np.any(want)
        assert np.array_equal(actions[f"expression{k + 1:02d}-"], -actions[f"expression{k + 1:02d}+"])
    assert not head.expression_basis_mm[:, ~skin].any()


@pytest.mark.parametrize(("name", "vector"), sorted(flame.JAW_ACTIONS.items()))
def test_the_jaw_turns_as_skinning_says(head, known, name, vector):
    """Against linear blend skinning written out: every joint's transform, blended per vertex, with pose correctives."""
    a, R = known.arrays, rotation_from_vector(np.array(vector))
    joints = a["J_regressor"].toarray() @ a["v_template"]
    corrective = a["posedirs"].reshape(-1, 36) @ np.concatenate([np.zeros(9), (R - np.eye(3)).ravel(), np.zeros(18)])
    posed = a["v_template"] + corrective.reshape(-1, 3)
    transforms = np.tile(np.eye(4), (5, 1, 1))
    transforms[2, :3, :3], transforms[2, :3, 3] = R, joints[2] - R @ joints[2]
    blended = np.einsum("vj,jab->vab", a["weights"], transforms)
    moved = np.einsum("vab,vb->va", blended, np.column_stack([posed, np.ones(len(posed))]))[:, :3] - a["v_template"]
    found = head.expression_basis_mm[head.expression_names.index(name)]
    skin = head.part == SKIN
    error = np.linalg.norm(found - 1000 * moved, axis=1)[skin]
    assert error.max() < 0.05 * np.linalg.norm(1000 * moved, axis=1).max()  # ours does not turn the correctives
    assert np.abs(found[skin]).max() > 1
    if name == "jawOpen":
        assert found[:, 1].min() < -5


def test_the_licence_follows_the_files_name(tmp_path):
    for name, title, word in (("generic_model.pkl", "FLAME", "non-commercial"), ("flame2023.pkl", "FLAME 2023", "non-"),
                              ("flame2023_Open.pkl", "FLAME 2023 Open", "CC BY 4.0")):
        (tmp_path / name).write_bytes(b"x")
        source = flame.describe(tmp_path / name)
        assert source.title == title and word in source.licence.name and source.bytes == 1
        assert source.licence.terms.startswith("https://") and source.licence.forbids
    with pytest.raises(InputRefused, match="no file"):
        flame.describe(tmp_path / "missing.pkl")


def without_eyes(a):
    return {**a, "f": np.where(np.arange(len(a["f"]))[:, None] < 8000, a["f"], a["f"][:1])}


@pytest.mark.parametrize(("what", "change"), [
    ("'shapedirs'", lambda a: {k: v for k, v in a.items() if k != "shapedirs"}),
    ("'weights'", lambda a: {**a, "weights": "none"}),
    ("shape", lambda a: {**a, "v_template": a["v_template"][:-1]}),
    ("shape", lambda a: {**a, "shapedirs": a["shapedirs"][:, :, :100]}),
    ("shape", lambda a: {**a, "J_regressor": csc_matrix((24, 6890))}),
    ("finite", lambda a: {**a, "v_template": np.where(a["v_template"] > 0.1, np.nan, a["v_template"])}),
    ("does not exist", lambda a: {**a, "f": np.where(a["f"] == 5, 5023, a["f"])}),
    ("m high", lambda a: {**a, "v_template": a["v_template"] * 1000}),
    ("eyeballs", without_eyes)])
def test_another_model_is_refused_with_the_reason(known, tmp_path, what, change):
    arrays = {k: v if k != "shapedirs" else np.zeros_like(v) for k, v in known.arrays.items()}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(change(arrays), 4))
    with pytest.raises(InputRefused, match=what) as refused:
        flame.read(tmp_path / "a.pkl")
    assert refused.value.code == "wrong_shape" and "flame2023" in refused.value.hint


# --- adding it --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def added(home, file):
    """The model, added with few looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(adopting, "PEOPLE", 4)
        record = add_model("flame", file, True, rasterize)
    return record, load_model("flame")


def test_nothing_is_kept_without_the_licence(home, file):
    with pytest.raises(UsageError, match="non-commercial") as refused:
        add_model("flame", file, False, rasterize)
    assert refused.value.code == "licence_not_accepted" and flame.TERMS in refused.value.hint
    assert not (home / "flame").exists()


def test_the_record_says_what_was_added(added, home, file):
    record, model = added
    kept = json.loads((home / "flame" / "model.json").read_text())
    assert kept == json.loads(json.dumps(record))
    assert kept["source"]["bytes"] == file.stat().st_size and len(kept["source"]["sha256"]) == 64
    assert kept["licence"]["terms"] == flame.TERMS and len(kept["licence_accepted"]) == len("2025-01-31")
    assert (kept["vertices"], kept["facial_actions"]) == (5023, 103) == (len(model.template_mm),
                                                                       len(model.expression_names))
    assert kept["identity_modes"] == len(model.identity_basis_mm) <= 150
    assert sorted(p.name for p in (home / "flame").iterdir()) == ["model.json", "model.npz"]
    assert all(v.dtype != object for v in np.load(home / "flame" / "model.npz", allow_pickle=False).values())


@pytest.fixture(scope="module")
def truth(added, known):
    """The embedded head where it was bent to, in the model's head frame."""
    embedded, model = load_model(), added[1]
    same = len(known.old)
    _, R, t = umeyama(known.placed_mm[known.old], model.template_mm[:same], with_scale=False)
    at = known.placed_mm @ R.T + t
    assert np.allclose(at[known.old], model.template_mm[:same], atol=1e-6), "moved as a whole"
    return Mesh(vertices_mm=at, faces=embedded.faces, uv=embedded.uv, faces_uv=embedded.faces_uv), R


def test_landmarks_are_where_the_head_was_bent_to(added, truth):
    embedded, model = load_model(), added[1]
    assert model.anatomy.pin_names == embedded.anatomy.pin_names
    error = np.linalg.norm(model.mean_mesh().points(model.anatomy.pin_points)
                           - truth[0].points(embedded.anatomy.pin_points), axis=1)
    assert np.median(error) < 1.5 and np.percentile(error, 90) < 6, error.round(1)
    inner = [33, 133, 362, 263, 61, 291, 0, 17, 1, 4, 168, 6, 9, 468, 473]
    seen = model.mean_mesh().points(model.anatomy.pins478)[inner]
    assert np.median(np.linalg.norm(seen - truth[0].points(embedded.anatomy.pins478)[inner], axis=1)) < 3.5


def test_regions_cover_what_they_covered(added, known):
    embedded, model = load_model(), added[1]
    assert model.anatomy.region_names == embedded.anatomy.region_names
    for name in model.anatomy.region_names:
        found = model.anatomy.region(name)
        assert found.min() >= 0 and found.max() == 1
        if not name.startswith("eye_"):
            want, got = embedded.anatomy.region(name)[known.old], found[:len(known.old)]
            assert np.minimum(want, got).sum() / np.maximum(want, got).sum() > 0.65, name


def test_the_head_frame_and_the_joints(added, truth):
    model = added[1]
    pin = dict(zip(model.anatomy.pin_names, model.mean_mesh().points(model.anatomy.pin_points), strict=True))
    assert np.allclose(pin["ex_l"] + pin["ex_r"], 0, atol=1e-6)
    assert (pin["or_l"] + pin["or_r"] - pin["t_l"] - pin["t_r"])[1] == pytest.approx(0, abs=1e-6)
    assert pin["ex_l"][0] > 30 and max(pin, key=lambda n: pin[n][2]) == "prn"
    embedded, at = load_model(), truth[0]
    own = dict(zip(embedded.anatomy.pin_names, at.points(embedded.anatomy.pin_points), strict=True))
    frankfort = own["or_l"] + own["or_r"] - own["t_l"] - own["t_r"]
    assert np.degrees(np.arctan2(abs(frankfort[1]), frankfort[2])) < 3
    assert model.joint_names[2:] == ("jaw", "eye_l", "eye_r")


def test_pins_and_layout_are_sound(added):
    model = added[1]
    mesh = model.mean_mesh()
    assert len(model.anatomy.pins478) == 478 and model.anatomy.pins478.bary.min() > -1e-4
    eyeball = np.max([model.anatomy.region("eye_l"), model.anatomy.region("eye_r")], 0)[mesh.faces].min(1) > 0.5
    assert eyeball[model.anatomy.pins478.face[468:]].all() and not eyeball[model.anatomy.pins478.face[:468]].any()
    assert not overlaps(model.uv, model.faces_uv).any() and 0 <= model.uv.min() and model.uv.max() <= 1
    assert np.isfinite(model.view_offset_mm).all() and not np.isnan(model.view_sd_mm).any()
    assert 0.3 < np.isfinite(model.view_sd_mm).mean() < 1


def test_the_modes_carry_no_size(added, head):
    """The file's first mode makes the head larger; ours neither move nor scale it."""
    model = added[1]
    weight = adopting.nearness(head, model.anatomy.pin("prn")) * adopting.vertex_area(head)
    about = model.template_mm - weight @ model.template_mm / weight.sum()

    def growth(basis):
        return np.abs(np.einsum("kvc,vc,v->k", basis, about, weight)) / np.einsum("vc,vc,v->", about, about, weight)

    assert growth(model.identity_basis_mm.astype(float)).max() < 1e-3
    assert growth(head.identity_basis_mm[:1].astype(float)) > 1e-2
    assert 100 <= len(model.identity_basis_mm) <= 150


@pytest.mark.parametrize("procedure", sorted(catalogue()))
def test_it_can_be_operated_on(added, procedure):
    model = added[1]
    mesh, chosen = model.mean_mesh(), catalogue()[procedure]
    plan = Plan.model_validate({"procedures": [{"procedure": procedure, "intensity": 100.0}]})
    made = predict(mesh, model.anatomy, plan, catalogue())
    still = np.max([model.anatomy.region(r) for r in chosen.immobile], axis=0) >= 0.05
    assert max(item.error_mm for item in made.landed) <= LANDS_MM and still.sum() > 300
    assert not made.total_mm()[still].any() and np.abs(made.total_mm()).max() > 1
    assert not any(bad.any() for bad in spoiled(mesh, made.total_mm()))


def test_damage_is_noticed_and_adding_is_whole_or_not_at_all(added, home, file, monkeypatch):
    record, model = added
    npz = home / "flame" / "model.npz"
    content = npz.read_bytes()
    try:
        npz.write_bytes(content[:-100] + b"\0" * 100)
        with pytest.raises(PrevisageError, match="damaged") as failed:
            load_model("flame")
        assert failed.value.code == "model_damaged" and "models add flame" in failed.value.hint
    finally:
        npz.write_bytes(content)
    monkeypatch.setattr(user_models, "write_json", lambda *_: (_ for _ in ()).throw(OSError(5, "torn")))
    with pytest.raises(OSError, match="torn"):
        user_models.save_user_model("flame", model, flame.describe(file), "")
    assert npz.read_bytes() == content and [p.name for p in home.iterdir()] == ["flame"]
    assert np.array_equal(load_model("flame").template_mm, model.template_mm)
