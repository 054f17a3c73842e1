"""Under the hair a head is as its face makes it likely; where skin is seen, it stays as it was fitted."""

import numpy as np
from scipy.linalg import eigh

from recon.skull import FACE, likely_skull
from tests.recon.heads import person


def of(model, identity):
    return model.shape(identity).pose(np.zeros(len(model.expression_names))).mesh()


def test_what_the_face_hardly_shows_does_not_swell_the_skull(model):
    """A person, and a fit that is wrong where it costs the face next to nothing."""
    true = person(model, 3, sd=0.5)
    scalp, face = model.anatomy.region("scalp"), np.max([model.anatomy.region(n) for n in FACE], axis=0) > 0.5
    on_face, on_skull = (model.identity_basis_mm[:, rows].reshape(len(true), -1).astype(float)
                         for rows in (face, scalp > 0.9))
    worst = eigh(on_skull @ on_skull.T, on_face @ on_face.T)[1][:, -1]
    fitted = true + 6 * worst / np.linalg.norm(worst)
    head, wanted = of(model, fitted), of(model, true)
    found = likely_skull(model, fitted, head)
    off = [np.linalg.norm((mesh.vertices_mm - wanted.vertices_mm)[scalp > 0.9], axis=1).mean()
           for mesh in (head, found)]
    assert off[0] > 5 and off[1] < 0.6 * off[0], off
    assert np.array_equal(found.vertices_mm[scalp == 0], head.vertices_mm[scalp == 0])


def test_it_moves_no_further_than_people_differ(model):
    scalp = model.anatomy.region("scalp") > 0.9
    spread = np.sqrt((model.identity_basis_mm[:, scalp] ** 2).sum((0, 2)).mean())
    for seed in range(3):
        true = person(model, seed, sd=0.5)
        head = of(model, true)
        moved = np.linalg.norm(likely_skull(model, true, head).vertices_mm - head.vertices_mm, axis=1)
        assert np.sqrt((moved[scalp] ** 2).mean()) < 0.7 * spread
    mean = model.mean_mesh()
    assert np.array_equal(likely_skull(model, np.zeros(len(true)), mean).vertices_mm, mean.vertices_mm)
