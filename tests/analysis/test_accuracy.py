"""Error against the truth: closed forms on spheres with a nose, moved, grown and dented."""

import numpy as np
import pytest

from analysis.accuracy import face_error, forward_face
from core.transforms import head_rotation
from tests.procedural_head import procedural_head


@pytest.fixture(scope="module")
def truth():
    mesh, _ = procedural_head()
    rng = np.random.default_rng(0)
    front = np.flatnonzero(forward_face(mesh, tip(mesh)))
    marks = mesh.vertices_mm[rng.choice(front, 478)].copy()
    marks[4] = tip(mesh)
    return mesh, marks


def tip(mesh) -> np.ndarray:
    return mesh.vertices_mm[np.argmax(mesh.vertices_mm[:, 2])]


def test_a_head_has_no_error_against_itself_wherever_it_stands(truth) -> None:
    mesh, marks = truth
    R, t = head_rotation(0.4, -0.2, 0.1), np.array([30.0, -20, 500])
    error = face_error(mesh.with_vertices(mesh.vertices_mm @ R.T + t), marks @ R.T + t, mesh, marks)
    assert error["metric"]["p90"] < 1e-3 and error["shape"]["p90"] < 1e-3
    assert abs(error["shape"]["scale_error_percent"]) < 1e-3


def test_size_is_an_error_in_millimetres_and_none_of_shape(truth) -> None:
    mesh, marks = truth
    error = face_error(mesh.with_vertices(1.05 * mesh.vertices_mm), 1.05 * marks, mesh, marks)
    assert error["shape"]["mean"] < 1e-3 < 0.3 < error["metric"]["mean"]
    assert error["shape"]["scale_error_percent"] == pytest.approx(5, abs=1e-3)


def test_a_dent_is_found_and_the_back_of_the_head_does_not_count(truth) -> None:
    mesh, marks = truth
    behind = mesh.vertices_mm.copy()
    behind[behind[:, 2] < -90, 2] -= 20
    assert face_error(mesh.with_vertices(behind), marks, mesh, marks)["shape"]["p90"] < 1e-3
    dented = mesh.vertices_mm.copy()
    dented[:, 2] -= 4 * np.exp(-((dented[:, 0] - 30) ** 2 + (dented[:, 1] + 60) ** 2) / 400) * (dented[:, 2] > -60)
    error = face_error(mesh.with_vertices(dented), marks, mesh, marks)
    assert 0.05 < error["metric"]["mean"] < 1.5 and error["metric"]["p90"] > 3 * error["metric"]["median"]
