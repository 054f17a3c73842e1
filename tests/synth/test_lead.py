"""Lead: a step that an advance leaves in the outline is evened out; corners that were there stay."""

import cv2
import numpy as np

from synth.lead import led

PX_PER_MM, STEP_PX, JAW = 3.0, 18, 80


def after(person: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The matte that a motion draws."""
    y, x = np.mgrid[:person.shape[0], :person.shape[1]].astype(np.float32)
    return cv2.remap(person, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def stepped() -> tuple[np.ndarray, np.ndarray]:
    """A straight outline, person at the left, whose lower part advances by a step."""
    person = np.zeros((200, 200), np.float32)
    person[:, :100] = 1
    motion = np.zeros((200, 200, 2), np.float32)
    motion[JAW:, :, 0] = -STEP_PX
    return person, motion


def widths(matte: np.ndarray) -> np.ndarray:
    """How far the person reaches in every row."""
    return (matte > 0.5).sum(1).astype(int)


def test_a_step_becomes_a_slope() -> None:
    person, motion = stepped()
    assert np.abs(np.diff(widths(after(person, motion)))).max() == STEP_PX
    moved, changed = led(motion, person, after(person, motion), PX_PER_MM)
    reach = widths(after(person, moved))
    assert np.abs(np.diff(reach)).max() <= 3
    assert reach[0] == 100 and reach[-1] == 100 + STEP_PX
    assert np.array_equal(moved[~changed], motion[~changed])
    assert not changed[:, :20].any()


def test_what_does_not_advance_stays_as_it_is() -> None:
    person, motion = stepped()
    withdrawn = -motion
    for one in (np.zeros_like(motion), withdrawn):
        moved, changed = led(one, person, after(person, one), PX_PER_MM)
        assert np.array_equal(moved, one) and not changed.any()


def test_a_corner_that_was_there_stays() -> None:
    person, motion = stepped()
    person[140:, :] = 0
    person[140:, :40] = 1  # a neck below the chin
    moved, changed = led(motion, person, after(person, motion), PX_PER_MM)
    assert changed[:JAW + 40].any()
    assert np.array_equal(after(person, moved)[150:], after(person, motion)[150:])


def test_the_strip_beside_it_is_stretched_threefold_at_most() -> None:
    person, motion = stepped()
    moved, _ = led(motion, person, after(person, motion), PX_PER_MM)
    across = 1 + np.diff(moved[20:JAW - 4, :96, 0], axis=1)
    assert across.min() > 1 / 3


def test_another_outline_across_the_wall_stays() -> None:
    person, motion = (np.pad(a, ((0, 0), (0, 150), *((0, 0),) * (a.ndim - 2))) for a in stepped())
    person[:, 300:] = 1
    moved, changed = led(motion, person, after(person, motion), PX_PER_MM)
    assert changed[:JAW, :150].any() and not changed[:, 150:].any()
