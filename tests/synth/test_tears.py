"""A tear through whole skin is found; a contour that the photo has is none."""

import numpy as np
import pytest

from core.correspondence import Correspondence
from synth.tears import torn_mm2

PX_PER_MM = 3.0
SIDE = 150


def asked(px_per_mm: float = PX_PER_MM, side: int = SIDE) -> Correspondence:
    near, up = np.full((side, side), 500.0), np.zeros((side, side, 3))
    return Correspondence(left=0, top=0, flow_px=np.zeros((side, side, 2)), depth_after_mm=near, depth_before_mm=near,
                          from_depth_mm=near, moved=np.ones((side, side), bool), normals_before=up, normals_after=up,
                          mask=np.ones((side, side)), px_per_mm=px_per_mm)


def shaded(step_at: int | None = None) -> np.ndarray:
    """Skin that darkens evenly to the right; with a step, a nose before a cheek."""
    level = 200 - np.arange(SIDE) * 0.6
    if step_at is not None:
        level[step_at:] -= 50
    return np.repeat(np.tile(level, (SIDE, 1))[..., None], 3, -1).astype(np.uint8)


def drawn(before: np.ndarray, jump_at: int, jump_px: int) -> tuple[np.ndarray, np.ndarray]:
    """The picture whose part right of a place is drawn from farther right, and from where each pixel was."""
    from_px = np.zeros((SIDE, SIDE, 2), np.float32)
    from_px[:, jump_at:, 0] = jump_px
    x = np.clip(np.arange(SIDE) + from_px[0, :, 0].astype(int), 0, SIDE - 1)
    return before[:, x], from_px


def test_whole_skin_is_not_torn() -> None:
    before = shaded()
    still = np.zeros((SIDE, SIDE, 2), np.float32)
    assert torn_mm2(before, before, still, asked()) == 0
    after, moved = drawn(before, 0, 20)
    assert torn_mm2(before, after, moved, asked()) == 0


def test_a_tear_shows_an_edge_that_the_photo_has_at_neither_place() -> None:
    before = shaded()
    after, from_px = drawn(before, 70, 45)
    torn = torn_mm2(before, after, from_px, asked())
    assert torn > 0.2 * SIDE / PX_PER_MM  # a line as long as the picture is high, some tenths of a mm wide


def test_a_contour_that_came_along_is_no_tear() -> None:
    before = shaded(step_at=90)
    after, from_px = drawn(before, 70, 20)  # the nose's outline moves over the cheek
    assert torn_mm2(before, after, from_px, asked()) == 0


def test_a_motion_of_another_window_is_refused() -> None:
    before = shaded()
    with pytest.raises(ValueError, match="another size"):
        torn_mm2(before, before, np.zeros((3, 3, 2), np.float32), asked())
