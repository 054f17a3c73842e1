"""What may follow, follows just so far that the picture stays whole."""

import numpy as np
import pytest

from synth.follow import STEEPEST, draw, following


def shifted(shape: tuple[int, ...], dy: int, dx: int) -> tuple[slice, slice]:
    """The pixels of a picture that have a neighbour at (-dy, -dx)."""
    return (slice(max(dy, 0), shape[0] + min(dy, 0)), slice(max(dx, 0), shape[1] + min(dx, 0)))


def steepest(flow: np.ndarray, among: np.ndarray) -> float:
    """The largest share of their distance by which free pixels part from a stronger neighbour."""
    worst, size = 0.0, np.linalg.norm(flow, axis=-1)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                there, here = shifted(among.shape, dy, dx), shifted(among.shape, -dy, -dx)
                lag = among[here] & (size[there] > size[here])
                gap = np.linalg.norm(flow[there] - flow[here], axis=-1) / np.hypot(dy, dx)
                worst = max(worst, float(gap[lag].max(initial=0)))
    return worst


@pytest.mark.parametrize("strength", [5.0, 14.0, 40.0])
def test_a_jump_becomes_a_slope_and_the_strong_side_stays(strength: float) -> None:
    flow = np.zeros((40, 240, 2), np.float32)
    flow[:, :60, 1] = strength
    free = np.zeros((40, 240), bool)
    free[:, 60:] = True
    assert steepest(flow, free) > STEEPEST
    out = following(flow, free)
    np.testing.assert_array_equal(out[:, :60], flow[:, :60])
    assert steepest(out, free) < (1.2 * STEEPEST if strength < 32 else 2 * STEEPEST)
    row = out[20, 60:, 1]
    assert (np.diff(row) <= 1e-4).all() and not row[-20:].any()  # no farther than it must


def test_what_is_not_free_does_not_move_and_a_gentle_motion_is_kept() -> None:
    flow = np.zeros((40, 240, 2), np.float32)
    flow[:, :60, 1] = 20.0
    np.testing.assert_array_equal(following(flow, np.zeros((40, 240), bool)), flow)
    flow[..., 1] = np.linspace(20, 0, 240)
    np.testing.assert_allclose(following(flow, np.ones((40, 240), bool)), flow, atol=1e-6)


def test_pixels_that_are_passed_over_would_not_have_moved() -> None:
    """Round by round, direction by direction, every pixel looked at: the same to the last bit."""
    rng = np.random.default_rng(4)
    flow = np.zeros((14, 17, 2), np.float32)
    flow[3:6, 4:8], flow[9, 12:] = rng.normal(4, 1, 2), rng.normal(-3, 1, 2)
    free = rng.random((14, 17)) < 0.8
    slow, fast = flow.copy(), flow.copy()
    around = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]
    for _ in range(7):
        for dy, dx in around:
            most = np.float32(np.float32(STEEPEST) * np.sqrt(dy * dy + dx * dx))
            for y in range(max(-dy, 0), 14 - max(dy, 0)) if dy >= 0 else range(13, -dy - 1, -1):
                for x in range(max(-dx, 0), 17 - max(dx, 0)) if dx >= 0 else range(16, -dx - 1, -1):
                    there, here = slow[y + dy, x + dx], slow[y, x]
                    apart = there - here
                    gap = np.sqrt(apart[0] * apart[0] + apart[1] * apart[1])
                    if free[y, x] and gap > most + np.float32(1e-3) and there @ there > here @ here:
                        slow[y, x] += (np.float32(1) - most / gap) * apart
    draw(fast, free, np.float32(STEEPEST), 7)
    np.testing.assert_allclose(fast, slow, atol=1e-6)
    assert np.abs(fast - flow).max() > 1
