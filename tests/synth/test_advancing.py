"""A pictured outline advances as the fitted one does, also where the fitted head lies beside it."""

import numpy as np

from core.correspondence import Correspondence
from synth.advancing import advanced
from synth.guard import guard

PX_PER_MM = 3.0
SIZE = 240
y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
BULGE = 15 * np.exp(-((y - 120) / 30) ** 2)
"""The plan: an outline at x = 120 goes 5 mm outwards."""
HERE = np.ones((SIZE, SIZE), bool)


def depth(inside: np.ndarray, mm: float = 500.0) -> np.ndarray:
    return np.where(inside, np.float32(mm), np.float32(np.inf))


def drawn(own: np.ndarray, person: np.ndarray) -> np.ndarray:
    """Of each row, where the person ends after."""
    at = np.clip(np.rint(x + own[..., 0]), 0, SIZE - 1).astype(int), np.clip(np.rint(y + own[..., 1]), 0, SIZE - 1)
    return (person[at[1].astype(int), at[0]] > 0.5).sum(1)


def planned(off_px: float) -> np.ndarray:
    """The motion of a head whose outline ends so far beside the pictured one; its last pixel is the bulge."""
    edge = 120 + off_px
    own = np.zeros((SIZE, SIZE, 2), np.float32)
    own[..., 0] = np.where((x > edge - 1) & (x <= edge + BULGE), edge - 1 - x, 0)
    return own


def test_a_head_that_ends_beside_the_pictured_outline_leaves_no_shelf() -> None:
    person, own = (x < 120).astype(np.float32), planned(3.0)
    assert drawn(own, person)[120] < 124  # the wall was drawn instead of skin
    before, after = depth(x < 123), depth(x < 123 + BULGE)
    out, changed = advanced(own, person, before, after, HERE, PX_PER_MM)
    ends = drawn(out, person)
    assert np.abs(ends - (120 + BULGE[:, 0]))[20:-20].max() < 4
    assert np.abs(np.diff(ends))[20:-20].max() <= 2
    assert np.array_equal(out[~changed], own[~changed])


def test_what_hides_what_advances_is_left() -> None:
    person, own = (x < 120).astype(np.float32), planned(3.0)
    before = np.where(x < 120, np.float32(460), depth(x < 123))
    out, changed = advanced(own, person, before, depth(x < 123 + BULGE), HERE, PX_PER_MM)
    assert np.array_equal(out, own) and not changed.any()


def test_an_outline_that_stays_or_withdraws_is_left() -> None:
    person, own = (x < 120).astype(np.float32), np.zeros((SIZE, SIZE, 2), np.float32)
    for after in (depth(x < 120), depth(x < 120 - BULGE)):
        out, changed = advanced(own, person, depth(x < 120), after, HERE, PX_PER_MM)
        assert np.array_equal(out, own) and not changed.any()


def test_an_outline_that_bulges_far_beyond_the_fitted_one_advances_with_it() -> None:
    beard = 18 * np.clip(1 - np.abs(y - 150) / 40, 0, 1)  # px: up to 6 mm of it, unknown to the head
    person, own = (x < 120 + beard).astype(np.float32), planned(0.0)
    out, _ = advanced(own, person, depth(x < 120), depth(x < 120 + BULGE), HERE, PX_PER_MM)
    ends = drawn(out, person)
    assert np.abs(ends - (120 + beard + BULGE)[:, 0])[20:-20].max() < 6
    assert np.abs(np.diff(ends))[20:-20].max() <= 3


def test_a_neck_under_a_chin_that_advances_is_not_drawn_along() -> None:
    chin, neck = (x < 90) & (y < 120), x < 60
    person = (chin | neck).astype(np.float32)
    ahead = 12 * np.clip((y - 60) / 30, 0, 1) * (y < 120)
    before, after = depth(person > 0.5), depth((person > 0.5) | (x < 90 + ahead) & (y < 120))
    own = np.zeros((SIZE, SIZE, 2), np.float32)
    own[..., 0] = -12 * np.clip(1 - np.maximum(y - 120, 0) / 12, 0, 1) * (y > 60)  # the neck's top goes with the chin
    ends = drawn(advanced(own, person, before, after, HERE, PX_PER_MM)[0], person)
    assert drawn(own, person)[122:126].min() >= 67
    assert ends[122:].max() <= 65 and ends[100] >= 98


def test_a_wisp_of_hair_before_it_does_not_advance_itself() -> None:
    wisp = (np.abs(x - 134) < 4) & (np.abs(y - 120) < 8)
    person, own = ((x < 120) | wisp).astype(np.float32), planned(0.0)
    out, changed = advanced(own, person, depth(x < 120), depth(x < 120 + BULGE), HERE, PX_PER_MM)
    assert not out[108:132, 138:154].any() and changed[120, 124]


def test_the_guard_says_what_hides_what_advances() -> None:
    person, none = x < 120, np.zeros((SIZE, SIZE, 3), np.float32)
    after = depth(x < 123 + BULGE)
    for nose_mm, hides in ((460.0, True), (499.0, False)):
        before = np.where(person, np.float32(nose_mm), depth(x < 123))
        asked = Correspondence(left=0, top=0, flow_px=none[..., :2], depth_after_mm=after, depth_before_mm=before,
                               from_depth_mm=after, moved=person, normals_before=none, normals_after=none,
                               mask=np.ones((SIZE, SIZE), np.float32), px_per_mm=PX_PER_MM)
        picture = np.full((SIZE, SIZE, 3), 128, np.uint8)
        found = {c.name: c for c in guard(picture, picture, asked, person=person).checks}["hidden"]
        assert found.status == ("failed" if hides else "passed")
        assert "behind the nose" in found.sentence or not hides
