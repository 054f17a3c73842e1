"""The outline of the cheek behind a turned nose: it stays, or comes to light, without a notch."""

import dataclasses

import cv2
import numpy as np
import pytest

from synth.contours import Beyond
from synth.far_outline import evened, held

SIDE, PX_PER_MM = 240, 3.0
CHEEK, NOSE, RADIUS, MOTION = (60.0, 120.0), 120.0, 90.0, (6.0, -2.0)
"""A cheek's middle and radius; the row of the nose; from where the nose's skin is drawn, px."""
y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
FROM_CHEEK = np.hypot(x - CHEEK[0], y - CHEEK[1])
FITTED = RADIUS - FROM_CHEEK
ALL = np.ones((SIDE, SIDE, 1), np.float32)


def seen(nose_at: float, radius: float = 22.0) -> tuple[np.ndarray, np.ndarray, Beyond, np.ndarray]:
    """Motion, matte, contour and skin: a nose in front of the cheek, whose rim takes the outline beside it along."""
    from_nose = np.hypot(x - nose_at, y - NOSE)
    size = np.clip(1 - (from_nose - radius - 6) / 12, 0, 1)
    own = (size[..., None] * MOTION).astype(np.float32)
    behind = from_nose > radius
    carried = np.broadcast_to(np.float32(MOTION), (*size.shape, 2)).copy()
    contour = Beyond(flow_px=carried, share=np.zeros_like(size), stretched=size * behind, behind=behind, apart=behind,
                     distance_px=np.abs(from_nose - radius), front_mm=np.full_like(size, 400))
    person = ((FROM_CHEEK < RADIUS) | (from_nose < radius)).astype(np.float32)
    return own, person, contour, FROM_CHEEK < RADIUS - 3


def after(person: np.ndarray, flow_px: np.ndarray) -> np.ndarray:
    at = x + flow_px[..., 0], y + flow_px[..., 1]
    return cv2.remap(person, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def test_the_cheek_beside_a_nose_stays_and_the_nose_moves() -> None:
    own, person, contour, skin = seen(nose_at=123.0)  # ends 5 px within the cheek's outline
    drawn = held(own, person, contour, skin, FITTED, ALL, PX_PER_MM)
    assert (after(person, own) - person)[np.abs(FROM_CHEEK - RADIUS) < 6].min() < -0.9, "the rim made a notch"
    assert np.abs(after(person, drawn) - person).max() < 0.6
    inner = np.hypot(x - 118, y - NOSE) < 12
    assert np.abs(drawn - own)[inner].max() < 0.1
    steps = [np.linalg.norm(np.diff(drawn, axis=a), axis=-1).max() for a in (0, 1)]
    assert max(steps) < 1.0, "nothing folds or tears"


@pytest.mark.parametrize("beyond_px", [5.0, 9.0])
def test_a_nose_before_the_wall_withdraws_no_further_than_the_cheek(beyond_px: float) -> None:
    own, person, contour, skin = seen(CHEEK[0] + RADIUS - 14 + beyond_px, radius=14.0)
    own = np.where(y[..., None] < NOSE, 0, own)  # the fitted cheek hides the upper half
    made = after(person, held(own, person, contour, skin, FITTED, ALL, PX_PER_MM)) > 0.5
    left = after(person, own) > 0.5
    row = slice(int(NOSE) - 10, int(NOSE) + 10)
    ends = [CHEEK[0] + RADIUS, CHEEK[0] + RADIUS + beyond_px]
    assert left[row].sum(1).max() > ends[1] - 2, "a point of the old nose stays"
    assert made[row].sum(1).max() < ends[1] - 2.5 and made[row].sum(1).min() > ends[0] - 4
    assert np.abs(np.diff(made[60:180].sum(1))).max() <= 4, "no step in the outline"


def test_a_motion_without_another_thing_behind_it_stays_as_it_is() -> None:
    own, person, contour, skin = seen(nose_at=123.0)
    assert held(own, person, contour, np.zeros_like(skin), FITTED, ALL, PX_PER_MM) is own


def test_a_motion_that_breaks_off_far_beyond_the_fitted_head_leaves_no_point() -> None:
    own, person, contour, skin = seen(nose_at=123.0)
    person = (FROM_CHEEK < RADIUS).astype(np.float32)
    own = np.where((np.abs(y - NOSE) < 30)[..., None] & (FROM_CHEEK > RADIUS - 20)[..., None], np.float32(MOTION), 0)
    for fitted, steps in ((FITTED, (5, 8)), (FITTED - 5 * PX_PER_MM, (0, 2))):
        made = after(person, held(own, person, contour, np.zeros_like(skin), fitted, ALL, PX_PER_MM)) > 0.5
        recedes = (made.sum(1) - (person > 0.5).sum(1))[60:180]
        assert recedes.min() <= -6 and steps[0] <= np.abs(np.diff(recedes)).max() <= steps[1]


def test_an_outline_that_advances_is_left_as_it_is() -> None:
    own, person, contour, skin = seen(nose_at=123.0)
    forward = dataclasses.replace(contour, flow_px=-contour.flow_px)
    for fitted in (FITTED, FITTED - 5 * PX_PER_MM):
        assert np.array_equal(held(-own, person, forward, skin, fitted, ALL, PX_PER_MM), -own)


def test_the_motion_of_a_loose_outline_goes_over_into_that_of_a_fitted_one() -> None:
    number = np.arange(400)
    own = np.zeros((400, 2), np.float32)
    own[:, 0] = np.where(number < 105, 6, 0)  # it breaks off just where the fitted head ends within the pictured one
    out = np.broadcast_to(np.array([1.0, 0.0]), (400, 2))
    made = evened(own, np.zeros(400, np.float32), (number > 100) & (number < 300), out, PX_PER_MM)[:, 0]
    assert np.abs(np.diff(made)).max() < 0.8  # evened from there on only, it would begin 2 px lower
    assert made[70] > 5.9 and made[250] == 0
