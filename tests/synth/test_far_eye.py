"""An eye seen beyond the nose stays where it is; without one nothing is taken for it."""

import numpy as np

from synth.backdrop import matte, signed_distance
from synth.far_eye import with_eye
from synth.rigid_parts import EYES, far_eyes

SKIN, WALL, EYE = np.array([200, 150, 120.0]), np.array([90, 200, 190.0]), np.array([30, 20, 15.0])
RIM, REACH = 4.0, 6.0


def scene(with_an_eye: bool = True) -> tuple[np.ndarray, ...]:
    """A nose left of x = 30, beyond it an eye (rows 20 to 29) before a wall: frame, wall, matte, s, where eyes may be.
    """
    frame = np.broadcast_to(WALL, (50, 60, 3)).astype(np.float32).copy()
    frame[:, :30] = SKIN
    if with_an_eye:
        frame[20:30, 30:34] = EYE
    behind = np.broadcast_to(WALL, frame.shape).astype(np.float32).copy()
    s = signed_distance(np.broadcast_to(np.arange(60) < 30, (50, 60)).copy())
    eyes = np.zeros((50, 60), bool)
    eyes[15:35, 22:40] = True
    return frame, behind, matte(frame, behind, s, RIM), s, eyes


def test_the_eye_is_behind_and_goes_on_under_the_nose() -> None:
    frame, behind, person, s, eyes = scene()
    both = with_eye(behind, frame, person, s, RIM, eyes, REACH)
    assert both is not None
    found, again = both
    assert np.allclose(found[20:30, 30:34], EYE)
    assert np.allclose(found[22:28, 26:30], EYE) and np.allclose(found[22:28, :30 - int(REACH)], WALL)
    assert np.allclose(found[:18], WALL) and np.allclose(found[32:], WALL)
    assert person[20:30, 30:34].min() > 0.9 and again[20:30, 30:34].max() < 0.1
    assert again[:, :29].min() > 0.9


def test_no_eye_no_change() -> None:
    frame, behind, person, s, eyes = scene(False)
    assert with_eye(behind, frame, person, s, RIM, eyes, REACH) is None
    frame, behind, person, s, eyes = scene()
    assert with_eye(behind, frame, person, s, RIM, np.zeros_like(eyes), REACH) is None


def test_only_an_eye_that_is_mostly_hidden_is_a_far_one() -> None:
    points = np.full((478, 2), -1e3)
    turn = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for eye, x in zip(EYES, (30, 90), strict=True):
        points[list(eye)] = np.stack([x + 12 * np.cos(turn), 40 + 6 * np.sin(turn)], 1)
    seen = np.ones(478, bool)
    assert not far_eyes(points, (80, 120), seen, 5.0).any()
    seen[list(EYES[1])[:10]] = False
    found = far_eyes(points, (80, 120), seen, 5.0)
    assert found[40, 90] and found[40, 90 + 15] and not found[40, 90 + 19] and not found[:, :60].any()
