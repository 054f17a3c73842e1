"""Wide blurs of a smaller picture are the Gaussian they stand for."""

import cv2
import numpy as np
import pytest

from synth.blur import FINE, blurred


@pytest.mark.parametrize("sigma", [0.7, 3.0, 8.0, 13.7, 40.0])
@pytest.mark.parametrize("shape", [(301, 407), (256, 320, 3)])
def test_a_step_is_blurred_as_by_the_gaussian(sigma: float, shape: tuple[int, ...]) -> None:
    values = np.zeros(shape, np.float32)
    values[90:, 101:] = 1
    found, expected = blurred(values, sigma), cv2.GaussianBlur(values, (0, 0), sigma)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= (0 if sigma < 2 * FINE else 0.007)


def test_a_point_keeps_its_sum_place_and_spread() -> None:
    values = np.zeros((401, 403), np.float32)
    values[200, 190] = 1
    found = blurred(values, 20.0)
    y, x = np.mgrid[:401, :403]
    assert found.sum() == pytest.approx(1, abs=0.01)
    assert (found * x).sum() == pytest.approx(190, abs=2.1) and (found * y).sum() == pytest.approx(200, abs=2.1)
    assert np.sqrt((found * (x - 190) ** 2).sum()) == pytest.approx(20, rel=0.02)
