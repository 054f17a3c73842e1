"""Reductions over channels against numpy's own."""

import numpy as np
import pytest

from core.channels import any_of, largest, length, sum_of

RNG = np.random.default_rng(1)


@pytest.mark.parametrize("shape", [(5, 7, 3), (11, 2), (4, 3, 2, 1)])
def test_as_numpy_does_it(shape: tuple[int, ...]) -> None:
    values = RNG.normal(size=shape).astype(np.float32)
    assert np.array_equal(any_of(values > 0.8), (values > 0.8).any(-1))
    assert np.array_equal(largest(values), values.max(-1))
    np.testing.assert_allclose(sum_of(values), values.sum(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(length(values), np.linalg.norm(values, axis=-1), rtol=1e-5)
    assert length(values).dtype == np.float32
