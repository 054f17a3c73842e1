"""ICT-FaceKit as a head model: its files are read, wrong ones refused; and the real one, where there is a checkout.

A checkout is looked for in $PREVISAGE_ICT_CHECKOUT; without it the model that the user added is tested; without that,
these tests skip. None of its files is in this repository.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from core.errors import InputRefused
from core.plan import Plan
from deform3d import catalogue, predict
from deform3d.field import LANDS_MM
from deform3d.volume import spoiled
from recon import adopt as adopting
from recon import ict, user_models
from recon.add_model import add_model
from recon.models import load_model
from recon.unwrap import overlaps
from render.rasterize import rasterize
from tests.recon.heads import mirror_distance

CHECKOUT = "PREVISAGE_ICT_CHECKOUT"
MULTI_PIE = {"prn": 4857, "sn": 1147, "ex_r": 1507, "en_r": 1528, "en_l": 3742, "ex_l": 3721, "ch_r": 5708,
             "ch_l": 6213, "ls": 0, "li": 5518, "me": 966}
"""Vertices that ICT's README gives for those of the 68 points that have a name of ours."""


# --- reading ----------------------------------------------------------------------------------------------------------


def write_obj(path: Path, vertices: np.ndarray, faces: list[list[int]]) -> Path:
    rows = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices]
    rows += [f"vt {k / 10:.2f} 0.5" for k in range(9)]
    rows += ["usemtl M_Face", *("f " + " ".join(f"{c + 1}/{k + 1}" for k, c in enumerate(face)) for face in faces)]
    path.write_text("# a mesh\n" + "\n".join(rows) + "\n")
    return path


def test_an_obj_is_read_and_its_quads_are_cut_along_the_shorter_diagonal(tmp_path):
    points = np.random.default_rng(0).normal(0, 5, (ict.VERTICES, 3)).round(6)
    points[:8] = [[0, 0, 0], [4, 0, 0], [5, 3, 0], [1, 3, 0], [0, 0, 1], [4, 0, 1], [3, 3, 1], [-1, 3, 1]]
    found, faces = ict.neutral_mesh(write_obj(tmp_path / "a.obj", points, [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]))
    assert np.array_equal(found, points)
    assert sorted(map(sorted, faces.tolist())) == [[0, 1, 3], [1, 2, 3], [4, 5, 6], [4, 6, 7], [8, 9, 10]]
    across = np.cross(found[faces[:4, 1]] - found[faces[:4, 0]], found[faces[:4, 2]] - found[faces[:4, 0]])
    assert (across[:, 2] > 0).all(), "the winding is kept"


@pytest.mark.parametrize(("text", "code"), [
    ("v 1 2 3\n", "wrong_shape"), ("v 1 2 3\nv 1 2\n", "wrong_shape"), ("v a b c\n", "bad_obj"), ("", "wrong_shape"),
    ("\xff\xfe", "bad_obj")])
def test_a_wrong_or_truncated_obj_is_refused(tmp_path, text, code):
    (tmp_path / "identity003.obj").write_text(text, encoding="latin1")
    with pytest.raises(InputRefused, match="identity003.obj") as refused:
        ict.vertices(tmp_path / "identity003.obj")
    assert refused.value.code == code and "ICT-FaceKit" in refused.value.hint


def test_folders_without_the_model_are_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputRefused, match="generic_neutral_mesh.obj"):
            ict.describe(folder)
    (tmp_path / "FaceXModel").mkdir()
    write_obj(tmp_path / "FaceXModel" / ict.NEUTRAL, np.zeros((ict.VERTICES, 3)), [[0, 1, 2, 3]])
    assert ict.describe(tmp_path).sha256 == ict.describe(tmp_path / "FaceXModel").sha256
    with pytest.raises(InputRefused, match="identity000"):
        ict.read(tmp_path)
    (tmp_path / "FaceXModel" / "identity000.obj").write_text("v 0 0 0\n")
    with pytest.raises(InputRefused, match=r"identity000.obj has 1 vertices, not 26719"):
        ict.read(tmp_path)


def test_a_face_beyond_the_vertices_is_refused(tmp_path):
    with pytest.raises(InputRefused, match="does not exist"):
        ict.neutral_mesh(write_obj(tmp_path / "a.obj", np.zeros((ict.VERTICES, 3)), [[0, 1, 2, ict.VERTICES]]))


# --- the real one -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The model of the checkout, added anew; or the one that the user added."""
    checkout = os.environ.get(CHECKOUT)
    if not checkout:
        if user_models.record_of("ict") is None:
            pytest.skip(f"no ICT-FaceKit: neither ${CHECKOUT} nor `previsage models add ict` names a checkout")
        yield load_model("ict")
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(user_models.WHERE, str(tmp_path_factory.mktemp("models")))
        patch.setattr(adopting, "PEOPLE", 6)
        add_model("ict", Path(checkout), True, rasterize)
        yield load_model("ict")


@pytest.fixture(scope="module")
def pin(model):
    return dict(zip(model.anatomy.pin_names, model.mean_mesh().points(model.anatomy.pin_points), strict=True))


def test_skin_and_eyeballs_in_millimetres(model):
    assert len(model.template_mm) == 14062 + 2 * 770 and model.identity_basis_mm.shape[0] <= 100
    assert 230 < np.ptp(model.template_mm[:, 0]) < 270 and 300 < np.ptp(model.template_mm[:, 1]) < 360
    assert len(model.expression_names) == 53 and "jawOpen" in model.expression_names
    assert mirror_distance(model.template_mm[:9409]).max() < 0.1
    eyes = [model.template_mm[model.anatomy.region(f"eye_{s}") > 0.5].mean(0) for s in "lr"]
    assert 60 < eyes[0][0] - eyes[1][0] < 66 and eyes[0][0] > 0


def test_landmarks_agree_with_the_models_own_68_points(model, pin):
    """The 68 points' definitions differ from ours by a few millimetres on profile and lids; none is far off."""
    off = {n: float(np.linalg.norm(pin[n] - model.template_mm[k])) for n, k in MULTI_PIE.items()}
    assert max(off.values()) < 5 and np.median(list(off.values())) < 3, off
    assert np.abs([pin[n][0] for n in ("prn", "sn", "ls", "li", "me", "se", "rhi", "pg")]).max() < 0.5
    down = [pin[n][1] for n in "tr g n rhi supratip prn sn ls sto li pg gn me".split()]
    assert (np.diff(down) < 0).all() and max(pin, key=lambda n: pin[n][2]) == "prn"


def test_the_layout_is_sound(model):
    assert not overlaps(model.uv, model.faces_uv).any() and 0 <= model.uv.min() and model.uv.max() <= 1
    at = model.anatomy.pins478.on(model.uv, model.faces_uv)
    from recon.face478 import topology
    off = np.linalg.norm(at[:468] * [-1, 1] + [1, 0] - at[topology().mirror[:468]], axis=1)
    assert np.median(off) < 0.01
    corner = model.uv[model.faces_uv]
    a, b = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    face = model.anatomy.region("face")[model.faces].min(1) > 0.5
    assert np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])[face].sum() / 2 > 0.3


@pytest.mark.parametrize("seed", [None, 0, 1])
@pytest.mark.parametrize("procedure", ["rhinoplasty", "mentoplasty"])
def test_it_can_be_operated_on(model, procedure, seed):
    rng = np.random.default_rng(seed)
    identity = np.zeros(len(model.identity_basis_mm)) if seed is None else rng.normal(0, 0.8, len(
        model.identity_basis_mm))
    mesh, chosen = model.shape(identity).pose(np.zeros(53)).mesh(), catalogue()[procedure]
    made = predict(mesh, model.anatomy, Plan.model_validate(
        {"procedures": [{"procedure": procedure, "intensity": 55.0}]}), catalogue())
    still = np.max([model.anatomy.region(r) for r in chosen.immobile], axis=0) >= 0.05
    assert max(item.error_mm for item in made.landed) <= LANDS_MM and still.sum() > 500
    assert not made.total_mm()[still].any() and np.abs(made.total_mm()).max() > 1
    assert not any(bad.any() for bad in spoiled(mesh, made.total_mm()))
