"""The guard's SSIM against scikit-image's."""

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from synth.metrics.pixels import ssim_of_grey


def test_it_is_that_of_another_program() -> None:
    noise = cv2.GaussianBlur(np.random.default_rng(1).uniform(0, 255, (90, 120)).astype(np.float32), (0, 0), 1.5)
    one = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    other = cv2.GaussianBlur(one, (0, 0), 1.0)
    theirs = structural_similarity(one, other, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
                                   data_range=255, full=True)[1]
    assert np.abs(ssim_of_grey(one, other) - theirs).max() < 1e-3
    assert np.ptp(theirs) > 0.1
