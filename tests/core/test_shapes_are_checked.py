"""The annotations are executed: a wrong shape or type stops at the door (pytest --jaxtyping-packages)."""

import numpy as np
import pytest
from jaxtyping import TypeCheckError

from core.mesh import scatter_add
from core.transforms import rigid, umeyama


def test_wrong_shape_is_refused() -> None:
    assert rigid(np.eye(3), np.zeros(3)).shape == (4, 4)
    with pytest.raises(TypeCheckError):
        rigid(np.eye(4), np.zeros(3))


def test_two_arguments_must_agree_on_a_named_size() -> None:
    with pytest.raises(TypeCheckError):
        umeyama(np.zeros((5, 3)), np.zeros((6, 3)))


def test_wrong_type_is_refused() -> None:
    with pytest.raises(TypeCheckError):
        scatter_add(4, np.zeros((1, 3)), np.zeros((3, 3)))  # faces must be whole numbers
