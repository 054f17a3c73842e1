"""Error against the truth: a head moved, grown, dented and raised by known amounts; and the shared scorer agrees."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from analysis.accuracy import CHIN, INNER, NOSE_TIP, STABLE, face_error, face_points, placed
from core.mesh import Mesh
from core.transforms import head_rotation
from tests.procedural_head import procedural_head

SCORER = Path(__file__).parents[3] / "shared" / "tools" / "score_mesh.py"


@pytest.fixture(scope="module")
def truth():
    """The procedural head, and 478 of its front vertices as landmarks; the nose tip and the chin are where they are."""
    mesh, anatomy = procedural_head()
    tip, chin = (mesh.points(anatomy.pin_points)[anatomy.pin_names.index(name)] for name in ("prn", "gn"))
    points = face_points(mesh, tip)
    marks = points[np.random.default_rng(0).choice(len(points), 478, replace=False)].copy()
    marks[NOSE_TIP], marks[CHIN] = tip, chin
    return mesh, marks


def raised(mesh: Mesh, x: float, y: float, height: float, width: float) -> Mesh:
    """The mesh with a Gaussian bump of the front, along z (mm)."""
    vertices = mesh.vertices_mm.copy()
    vertices[:, 2] += height * bump(vertices, x, y, width)
    return mesh.with_vertices(vertices)


def bump(points: np.ndarray, x: float, y: float, width: float) -> np.ndarray:
    """A Gaussian of height one in front view."""
    apart = (points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2
    return np.exp(-apart / (2 * width**2)) * (points[:, 2] > -60)


def test_a_head_has_no_error_against_itself_wherever_it_stands(truth) -> None:
    mesh, marks = truth
    R, t = head_rotation(0.4, -0.2, 0.1), np.array([30.0, -20, 500])
    error = face_error(mesh.with_vertices(mesh.vertices_mm @ R.T + t), marks @ R.T + t, mesh, marks)
    assert error["metric"]["p90"] < 1e-3 and error["shape"]["p90"] < 1e-3 and error["shape"]["inner_landmarks"] < 1e-3
    assert abs(error["shape"]["scale_error_percent"]) < 1e-3


def test_size_is_an_error_in_millimetres_and_none_of_shape(truth) -> None:
    mesh, marks = truth
    R, t = head_rotation(-0.3, 0.2, 0.0), np.array([3.0, 200, 5])
    found, found_marks = 1.05 * mesh.vertices_mm @ R.T + t, 1.05 * marks @ R.T + t
    error = face_error(mesh.with_vertices(found), found_marks, mesh, marks)
    assert error["shape"]["mean"] < 1e-3 < 0.3 < error["metric"]["mean"]
    assert error["shape"]["scale_error_percent"] == pytest.approx(5, abs=1e-3)
    shape = placed(mesh.with_vertices(found), found_marks, mesh, marks)["shape"]
    assert np.abs(shape.of(found) - mesh.vertices_mm).max() < 5e-3
    np.testing.assert_allclose(shape.R, R.T, atol=1e-5)


def test_a_bump_of_known_size_is_measured_and_the_back_of_the_head_does_not_count(truth) -> None:
    mesh, marks = truth
    behind = mesh.vertices_mm.copy()
    behind[behind[:, 2] < -90, 2] -= 20
    assert face_error(mesh.with_vertices(behind), marks, mesh, marks)["shape"]["p90"] < 1e-3
    points = face_points(mesh, marks[NOSE_TIP])
    normals = mesh.vertex_normals()[cKDTree(mesh.vertices_mm).query(points)[1]]
    expected = (2 * bump(points, 20.0, 45.0, 10.0) * normals[:, 2]).mean()
    error = face_error(raised(mesh, 20.0, 45.0, 2.0, 10.0), marks, mesh, marks)
    assert 0.02 < expected and error["metric"]["mean"] == pytest.approx(expected, rel=0.15)
    assert error["metric"]["nose"] < 0.1 * expected and error["metric"]["chin"] < 0.1 * expected


@pytest.mark.parametrize(("x", "y", "part", "other"), [(0.0, -36.0, "nose", "chin"), (0.0, -96.0, "chin", "nose")])
def test_the_nose_and_the_chin_have_their_own_errors(truth, x: float, y: float, part: str, other: str) -> None:
    mesh, marks = truth
    error = face_error(raised(mesh, x, y, 2.0, 6.0), marks, mesh, marks)["shape"]
    assert error[part] > 0.1 and error[part] > 5 * error[other]


def test_inner_landmarks_are_the_median_of_what_was_seen(truth) -> None:
    mesh, marks = truth
    slid = marks.copy()
    slid[[k for k in INNER if k not in STABLE]] += [0.0, 3.0, 0.0]
    slid[INNER[:30]] = np.nan
    assert face_error(mesh, slid, mesh, marks)["metric"]["inner_landmarks"] == pytest.approx(3, abs=1e-3)


def test_a_truth_without_a_face_is_named(truth) -> None:
    mesh, marks = truth
    with pytest.raises(ValueError, match="too few landmarks"):
        placed(mesh, marks, mesh, np.full((478, 3), np.nan))
    with pytest.raises(ValueError, match="no surface"):
        placed(mesh, marks, mesh, marks + [0, 500.0, 0])


def test_the_shared_scorer_says_the_same(truth) -> None:
    """On a head with errors of shape, size, pose and landmarks, and with landmarks that were not seen."""
    if not SCORER.is_file():
        pytest.skip("../shared/tools/score_mesh.py is not on this machine")
    spec = importlib.util.spec_from_file_location("shared_scorer", SCORER)
    scorer = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(scorer)
    mesh, marks = truth
    seen = marks.copy()
    seen[[10, 61, 300]] = np.nan
    R = head_rotation(0.2, 0.1, -0.1)
    found = raised(raised(raised(mesh, 5.0, -30.0, 3.0, 8.0), -4.0, -90.0, -3.0, 9.0), 40.0, -20.0, 2.0, 15.0)
    found = found.with_vertices(1.03 * found.vertices_mm @ R.T + [10, 0, -300])
    noise = np.random.default_rng(1).normal(0, 1.5, (478, 3))
    found_marks = 1.03 * (marks + noise) @ R.T + [10, 0, -300]
    ours = face_error(found, found_marks, mesh, seen)
    theirs = scorer.score(found.vertices_mm, found.faces, found_marks, mesh.vertices_mm, mesh.faces, seen)
    assert ours["shape"]["nose"] > 0.3
    for name in ("metric", "shape"):
        for ours_of, theirs_of in (("mean", theirs[name]["mean"]), ("median", theirs[name]["median"]),
                                   ("p90", theirs[name]["p90"]), ("nose", theirs[name]["nose"]["mean"]),
                                   ("chin", theirs[name]["chin"]["mean"]),
                                   ("inner_landmarks", theirs[name]["landmark_inner_median"])):
            assert ours[name][ours_of] == pytest.approx(theirs_of, abs=0.005), (name, ours_of)
    assert ours["shape"]["scale_error_percent"] == pytest.approx(theirs["scale_error_percent"], abs=0.011)
