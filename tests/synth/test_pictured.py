"""Pictured: a fitted head ends where the photo shows that it ends."""

import numpy as np

from core.correspondence import Correspondence
from synth.pictured import MIDDLE, cut_to, from_the_side, pictured
from synth.warp3d import warped

PX_PER_MM, SIZE, EDGE = 3.0, 240, 110
SKIN, WALL = (170, 120, 100), (220, 225, 225)


def hanging(beyond_px: int, up_px: float = 6.0, mask_px: float = 60) -> tuple[np.ndarray, np.ndarray, Correspondence]:
    """A photo of skin above a wall, who is seen, and a head that hangs so far below and is lifted."""
    rng = np.random.default_rng(0)
    person = np.broadcast_to((np.arange(SIZE) < EDGE)[:, None], (SIZE, SIZE))
    frame = np.where(person[..., None], SKIN, WALL) + rng.normal(0, 2, (SIZE, SIZE, 1))
    y = np.broadcast_to(np.arange(SIZE)[:, None], (SIZE, SIZE))
    before, after = y < EDGE + beyond_px, y < EDGE + beyond_px - up_px
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 1] = np.where(after, up_px * np.clip((y - EDGE + 40) / 40, 0, 1), 0)
    normals = np.zeros((SIZE, SIZE, 3), np.float32)
    depth = np.where(after, 500.0, np.inf)
    return frame.astype(np.float32), person, Correspondence(
        left=0, top=0, flow_px=flow, depth_after_mm=depth, depth_before_mm=np.where(before, 500.0, np.inf),
        from_depth_mm=depth, moved=after & (flow[..., 1] > 0), normals_before=normals, normals_after=normals,
        mask=(np.abs(y - EDGE - beyond_px) < mask_px).astype(np.float32), px_per_mm=PX_PER_MM)


def end_of(depth_mm: np.ndarray) -> np.ndarray:
    """Row after the last one of the head, column by column."""
    return np.isfinite(depth_mm).sum(0)


def test_a_neck_that_hangs_too_low_is_laid_on_the_pictured_one() -> None:
    frame, person, flow = hanging(27)
    found, _ = pictured(frame, flow, None, None, person, 2.0)
    middle = slice(40, -40)
    assert np.abs(end_of(found.depth_before_mm)[middle] - EDGE).max() <= 2 * PX_PER_MM
    assert np.abs(end_of(found.depth_after_mm)[middle] - (EDGE - 6)).max() <= 3 * PX_PER_MM
    at = found.flow_px[EDGE - 12, middle, 1]
    assert at.min() > 4  # the motion came along: that skin was asked to move by 5.6 px at its own outline


def test_light_and_mask_come_along() -> None:
    frame, person, flow = hanging(27, mask_px=20)
    light = np.ones((SIZE, SIZE, 3), np.float32)
    light[EDGE + 10:EDGE + 21] = 1.3
    found, lit = pictured(frame, flow, light, None, person, 2.0)
    assert lit is not None and lit[EDGE - 20:EDGE, SIZE // 2].max() > 1.2 and lit[EDGE + 15, SIZE // 2].max() < 1.1
    assert (found.mask >= flow.mask).all() and found.mask[EDGE + 2, SIZE // 2] > 0.9 > flow.mask[EDGE + 2, SIZE // 2]


def test_what_lies_before_the_wall_is_no_skin() -> None:
    _, person, flow = hanging(30)
    cut = cut_to(flow, ~person)
    assert end_of(cut.depth_before_mm).max() == EDGE and end_of(cut.depth_after_mm).max() <= EDGE
    beyond = ~np.isfinite(cut.depth_after_mm)
    assert not cut.moved[beyond].any() and not cut.flow_px[beyond].any() and np.isinf(cut.from_depth_mm[beyond]).all()
    same = np.isfinite(cut.depth_after_mm)
    assert np.array_equal(cut.flow_px[same], flow.flow_px[same])


def test_a_head_on_its_outline_is_left_alone() -> None:
    frame, person, flow = hanging(0)
    found, _ = pictured(frame, flow, None, None, person, 2.0)
    assert np.array_equal(found.flow_px, flow.flow_px) and np.array_equal(found.mask, flow.mask)


def test_the_wall_below_a_neck_that_hangs_too_low_is_neither_bent_nor_lit() -> None:
    frame, person, flow = hanging(27)
    frame[EDGE + 4:, ::8] -= 12  # stripes of the wall, nearly as even as it
    light = np.full((SIZE, SIZE, 3), 1.2, np.float32)
    before = np.clip(frame, 0, 255).astype(np.uint8)
    after = warped(before, flow, light, None, None, person, 1.9).picture
    wall = slice(EDGE + 7, None)  # what the matte leaves to the person as found ends two millimetres below
    assert np.abs(after[wall].astype(int) - before[wall]).max() <= 18
    assert (after[EDGE - 6:EDGE - 1] > 200).mean() > 0.3  # and the wall came to light above


def test_a_chin_that_is_the_outline_is_seen_from_the_side() -> None:
    person, face = np.zeros((100, 120), np.float32), np.zeros((478, 2))
    person[:, 30:] = 1
    for off_px, is_so in ((1.0, True), (-3.0, True), (20.0, False)):
        face[MIDDLE] = np.stack([np.full(4, 30 + off_px), [40, 50, 60, 70]], 1)
        assert from_the_side(face, person, px_per_mm=3.0) is is_so
    assert not from_the_side(face, np.zeros_like(person), px_per_mm=3.0)
