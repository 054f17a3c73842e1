"""Withdrawn: an outline that withdraws leaves nothing of the old one behind."""

import dataclasses

import cv2
import numpy as np

from core.correspondence import Correspondence
from synth.withdrawn import bare_beyond, withdrawn

PX_PER_MM, SIZE, EDGE, BACK_PX = 3.0, 220, 120, 24


def bent(person: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """The matte that a motion draws."""
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    return cv2.remap(person, x + motion[..., 0], y + motion[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def neck(fitted_off_px: int = 0, over_px: float = 30) -> tuple[np.ndarray, Correspondence, np.ndarray]:
    """A person left of a straight outline, a head fitted to it whose outline withdraws smoothly in the middle, and the
    outline's column after, row by row. The skin that is the outline after lay within and does not move itself."""
    person = np.zeros((SIZE, SIZE), np.float32)
    person[:, :EDGE] = 1
    rows = np.arange(SIZE)
    back = BACK_PX * np.exp(-(((rows - SIZE / 2) / over_px) ** 2))
    x = np.arange(SIZE)[None]
    before = np.broadcast_to(x < EDGE + fitted_off_px, (SIZE, SIZE))
    after = x < (EDGE + fitted_off_px - back)[:, None]
    still = np.zeros((SIZE, SIZE, 3), np.float32)
    depth = np.where(after, 500.0, np.inf)
    return person, Correspondence(
        left=0, top=0, flow_px=still[..., :2], depth_after_mm=depth, depth_before_mm=np.where(before, 500.0, np.inf),
        from_depth_mm=depth, moved=after, normals_before=still, normals_after=still,
        mask=np.ones((SIZE, SIZE)), px_per_mm=PX_PER_MM), EDGE - back


def pictured(person: np.ndarray) -> np.ndarray:
    """Skin before a wall."""
    return np.where(person[..., None] > 0.5, (170, 120, 100), (220, 225, 225)).astype(np.float32)


def test_nothing_is_left_where_the_outline_was() -> None:
    person, flow, ends = neck()
    none = np.zeros((SIZE, SIZE, 2), np.float32)
    motion, changed = withdrawn(none, pictured(person), person, person, flow)
    shown = bent(person, motion) > 0.5
    assert np.abs(shown.sum(1) - ends).max() < 2.0 * PX_PER_MM
    assert np.abs(np.diff(shown.sum(1).astype(int))).max() <= 2  # no steps
    assert all(row[:n].all() for row, n in zip(shown, shown.sum(1), strict=True))  # no holes, no crumbs
    assert np.array_equal(motion[~changed], none[~changed]) and not changed[:, :EDGE - 90].any()


def test_it_withdraws_as_far_where_the_head_fits_worse() -> None:
    for off in (-6, 6):
        person, flow, ends = neck(off)
        motion, _ = withdrawn(np.zeros((SIZE, SIZE, 2), np.float32), pictured(person), person, person, flow)
        shown = (bent(person, motion) > 0.5).sum(1)
        assert np.abs(shown - ends).max() < 2.5 * PX_PER_MM


def test_an_outline_that_is_drawn_well_stays_as_it_is() -> None:
    person, flow, ends = neck(over_px=1e4)
    motion = np.zeros((SIZE, SIZE, 2), np.float32)
    motion[..., 0] = (EDGE - ends)[:, None]
    after = bent(person, motion)
    out, changed = withdrawn(motion, pictured(person), person, after, flow)
    assert out is motion and not changed.any()


def test_before_hair_or_clothes_nothing_is_done() -> None:
    none = np.zeros((SIZE, SIZE, 2), np.float32)
    person, flow, _ = neck()
    person[:, :EDGE + 9] = 1
    scarf = pictured(person)
    assert withdrawn(none, scarf, person, person, flow)[1].any()  # skin: a head that fits worse
    scarf[:, EDGE:EDGE + 9] = (150, 20, 30)
    assert not withdrawn(none, scarf, person, person, flow)[1].any()
    person[:, :EDGE + 60] = 1
    assert not withdrawn(none, pictured(person), person, person, flow)[1].any()


def test_skin_beside_it_is_not_stretched_more_than_threefold() -> None:
    person, flow, _ = neck()
    motion, _ = withdrawn(np.zeros((SIZE, SIZE, 2), np.float32), pictured(person), person, person, flow)
    inside = bent(person, motion) > 0.99
    steps = np.abs(np.diff(motion, axis=1)).max(-1)[inside[:, 1:] & inside[:, :-1]]
    assert steps.max() < 0.75


def test_an_outline_far_beyond_the_fitted_one_withdraws_without_a_step() -> None:
    person, flow, _ = neck()
    slanted = EDGE + np.linspace(0, 30, SIZE)  # px: the pictured neck hangs from 0 to 10 mm beyond the fitted one
    person[:] = np.arange(SIZE)[None] < slanted[:, None]
    motion, _ = withdrawn(np.zeros((SIZE, SIZE, 2), np.float32), pictured(person), person, person, flow)
    shown = (bent(person, motion) > 0.5).sum(1)
    assert np.abs(np.diff(shown[20:-20].astype(int))).max() <= 2
    assert (slanted - shown)[SIZE // 2] > 0.5 * BACK_PX


def test_where_an_outline_left_nothing_of_the_person_is_drawn() -> None:
    person, away = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE, 2), np.float32)
    person[:, :EDGE], person[150:160, EDGE + 30:EDGE + 38] = 1, 1  # beyond a neck's side lies the chin
    left = np.zeros((SIZE, SIZE), bool)
    left[:, EDGE - 20:EDGE] = True
    away[..., 0] = 40
    motion = bare_beyond(away, left, person)
    assert bent(person, away)[left].max() == 1 and bent(person, motion)[left].max() < 0.05
    assert np.array_equal(motion[bent(person, away) < 0.1], away[bent(person, away) < 0.1])
    unsure = np.minimum(person, 0.5)
    assert bare_beyond(away, left, unsure) is away


def test_a_chin_that_rises_before_the_neck_leaves_no_lobe_in_the_corner() -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    neck, chin = x < 60, y < 130
    person = (neck | chin).astype(np.float32)
    raised, still = y < 130 - 12 * np.clip((190 - x) / 30, 0, 1), np.zeros((SIZE, SIZE, 3), np.float32)
    after = np.where(raised, 500.0, np.where(neck, 540.0, np.inf))
    before = np.where(chin, 500.0, np.where(neck, 540.0, np.inf))
    flow = Correspondence(
        left=0, top=0, flow_px=still[..., :2], depth_after_mm=after, depth_before_mm=before, from_depth_mm=after,
        moved=raised, normals_before=still, normals_after=still, mask=np.ones((SIZE, SIZE)), px_per_mm=PX_PER_MM)
    motion, _ = withdrawn(np.zeros((SIZE, SIZE, 2), np.float32), pictured(person), person, person, flow)
    bottom = (bent(person, motion) > 0.5)[:, 64:150].sum(0)  # beside the neck
    assert np.abs(bottom - 118).max() <= 6 and np.abs(bottom - 118)[12:].max() <= 2


def test_a_fold_of_the_fitted_head_that_hangs_keeps_no_skin() -> None:
    person, flow, ends = neck()
    fold = (np.abs(np.arange(SIZE) - SIZE // 2) < 3)[:, None] & (np.arange(SIZE)[None] < EDGE)
    flow = dataclasses.replace(flow, depth_after_mm=np.where(fold, 500.0, flow.depth_after_mm))
    motion, _ = withdrawn(np.zeros((SIZE, SIZE, 2), np.float32), pictured(person), person, person, flow)
    assert np.abs((bent(person, motion) > 0.5).sum(1) - ends).max() < 2.5 * PX_PER_MM


def test_loose_hair_stays() -> None:
    y, x = np.mgrid[:SIZE, :SIZE]
    person, flow, _ = neck()
    person[x < EDGE + 12 + 16 * ((y // 5) % 2)] = 1
    none = np.zeros((SIZE, SIZE, 2), np.float32)
    motion, changed = withdrawn(none, pictured(person), person, person, flow)
    assert motion is none and not changed.any()


def test_skin_that_must_stand_beside_what_comes_to_light_does() -> None:
    person, flow, ends = neck()
    motion = np.zeros((SIZE, SIZE, 2), np.float32)
    motion[..., 0] = (EDGE - ends)[:, None]  # as it must be,
    motion[25:65, :, 0] += 8 * np.hanning(40)[:, None]  # but drawn in beside it, where nothing withdraws
    after = bent(person, motion)
    assert np.abs((after > 0.5).sum(1) - ends)[25:65].max() > 7
    out, _ = withdrawn(motion, pictured(person), person, after, flow)
    assert np.abs((bent(person, out) > 0.5).sum(1) - ends)[25:65].max() < 1.5


def test_the_old_outlines_last_shade_goes_with_it() -> None:
    person, flow, ends = neck(over_px=1e4)
    person[:, EDGE], person[:, EDGE + 1] = 0.4, 0.15  # as the lens mixes it with the wall
    motion = np.zeros((SIZE, SIZE, 2), np.float32)
    motion[..., 0] = (EDGE - ends)[:, None]
    motion[:, EDGE - 1:EDGE + 6, 0] = 0.5  # the motion fades out before it
    after = bent(person, motion)
    assert after[:, EDGE:EDGE + 2].max() > 0.2
    out, _ = withdrawn(motion, pictured(person), person, after, flow)
    assert bent(person, out)[:, EDGE - 15:EDGE + 6].max() < 0.1
