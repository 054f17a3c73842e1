"""Photos from the side of two people are told apart by their outlines; those of one person are not."""

import numpy as np
import pytest

from recon.models import load_model
from recon.profile import read_profile
from recon.profile_fit import basis_of
from recon.same_profile import APART_MM, apart_mm, strange
from render.rasterize import rasterize
from tests.recon.test_profile import seen_from, tools
from tests.recon.test_side_photos import grown


def line(bump_mm: float = 0.0, count: int = 160) -> np.ndarray:
    """Some profile: forehead, nose, lips, chin; the nose stands out by so much more."""
    down = np.linspace(-25, 110, count)
    out = 20 * np.exp(-((down - 40) / 14) ** 2) + 7 * np.sin(down / 7) * (down > 60) + down**2 / 900
    return out + bump_mm * np.exp(-((down - 40) / 14) ** 2) + 1j * down


@pytest.mark.parametrize("angle, scale, shift", [(0.0, 1.0, 0j), (0.12, 1.05, 4 - 3j), (-0.1, 0.95, -6 + 2j)])
def test_a_line_turned_moved_and_scaled_a_little_is_the_same(angle: float, scale: float, shift: complex) -> None:
    assert apart_mm(line(), line(count=137) * scale * np.exp(1j * angle) + shift) < 0.3


def test_another_nose_and_another_size_are_not() -> None:
    distances = [apart_mm(line(), line(bump)) for bump in (0.0, 3.0, 6.0, 9.0)]
    assert distances[0] < 1e-9 and all(np.diff(distances) > 0) and distances[3] > APART_MM
    assert apart_mm(line(), 1.4 * line()) > APART_MM, "a child's profile is no adult's"


def test_too_short_a_line_says_nothing() -> None:
    assert apart_mm(line(), line()[:5]) == 0.0


def test_of_two_people_both_are_strange_and_of_three_photos_only_the_other_one() -> None:
    basis = basis_of(load_model())
    first, second, other = (
        read_profile(basis, seen_from(yaw, nose * grown())[0], None, None, 1100.0, *tools(), rasterize)
        for yaw, nose in ((84.0, 0.0), (-82.0, 0.0), (80.0, 2.0)))  # the other's nose stands out 10 mm farther
    own = {0: first, 1: second}
    assert not strange(own) and not strange({0: own[0]})
    assert set(strange({0: own[0], 2: other})) == {0, 2}
    told = strange({**own, 2: other})
    assert set(told) == {2} and "somebody else" in told[2]
