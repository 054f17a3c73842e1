"""The light of one photo is that which the whole texture finds."""

import numpy as np

from previsage.photo import begin
from recon.one_photo import light_in, looks
from synth.photo_file import PhotoFile
from tests.previsage.photos import face


def test_the_light_is_that_of_the_whole_layout() -> None:
    study = begin(PhotoFile(name="photo", format="png", picture=face(), alpha=None, profile=None, notes=()))
    whole = study.looked_at(looks, study.head, study.person).light
    row = study.looked_at(light_in, study.head, study.person)
    assert whole.frame == row.frame
    assert np.allclose(whole.coefficients, row.coefficients, atol=2e-3)
