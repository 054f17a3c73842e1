"""Skin that nothing measured is the less sure the farther it lies from skin that something did."""

import numpy as np
from scipy.spatial import cKDTree

from recon.doubt import (
    EAR_MM,
    FARTHEST_MM,
    FITTED_MM,
    MEASURED_MM,
    NECK_MM,
    NOSE_MM,
    PER_FITTED_MM,
    PER_MM,
    TOLD_MM,
    beyond_landmarks,
    beyond_measured,
)


def test_measured_skin_stays_and_doubt_grows_away_from_it(model):
    mesh, of = model.mean_mesh(), model.anatomy.region
    face = of("face") > 0.5
    sd = np.where(face, 0.3, 1.3)
    found = beyond_measured(mesh, model.anatomy, sd)
    plain = (of("ear_l") == 0) & (of("ear_r") == 0) & (of("neck") == 0)
    assert np.array_equal(found[face & plain], sd[face & plain])
    away = cKDTree(mesh.vertices_mm[face]).query(mesh.vertices_mm)[0]
    order = np.argsort(away[plain & ~face])
    assert (np.diff(found[plain & ~face][order]) >= -1e-9).all()
    back = mesh.vertices_mm[:, 2].argmin()
    assert found[back] == np.hypot(1.3, PER_MM * FARTHEST_MM)
    assert found[of("ear_l") > 0.99].min() > EAR_MM and found[of("neck") > 0.99].min() > NECK_MM


def test_where_nothing_was_measured_all_is_as_sure_as_what_is_farthest(model):
    found = beyond_measured(model.mean_mesh(), model.anatomy, np.full(len(model.template_mm), 2 * MEASURED_MM))
    assert np.isfinite(found).all() and found.min() >= PER_MM * FARTHEST_MM


def test_a_fitted_head_is_the_less_sure_the_farther_from_landmarks_and_on_its_nose(model):
    mesh, of = model.mean_mesh(), model.anatomy.region
    sd = np.full(len(mesh.vertices_mm), 1.3)
    found = beyond_landmarks(mesh, model.anatomy, sd)
    away = cKDTree(mesh.points(model.anatomy.pins478)).query(mesh.vertices_mm)[0]
    plain = of("nose") == 0
    assert np.array_equal(found[plain & (away < TOLD_MM)], sd[plain & (away < TOLD_MM)])
    assert (np.diff(found[plain][np.argsort(away[plain])]) >= -1e-9).all()
    assert found[mesh.vertices_mm[:, 2].argmin()] == np.hypot(1.3, PER_FITTED_MM * FITTED_MM)
    assert np.allclose(found[of("nose") > 0.999], np.hypot(1.3, NOSE_MM), atol=0.01)
