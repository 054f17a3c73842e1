"""Register: a head that lies beside the pictured one is found, and only then."""

import cv2
import numpy as np
import pytest

from synth.register import misplaced, skin_off
from synth.warp3d import warp3d
from tests.synth.bent import bent


def drawn() -> np.ndarray:
    """The head's texture in the window, before."""
    return bent().skins()[0]


def beside(picture: np.ndarray, by_px: tuple[float, float]) -> np.ndarray:
    """The picture, so far to the right and down."""
    move = np.float32([[1, 0, by_px[0]], [0, 1, by_px[1]]])
    return cv2.warpAffine(picture, move, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def middle(picture: np.ndarray) -> np.ndarray:
    """Away from the window's edges."""
    height, width = picture.shape[:2]
    return picture[height // 4:-height // 4, width // 4:-width // 4]


@pytest.mark.parametrize("by_px", [(2.0, 0.0), (-1.0, 1.5)])
def test_a_shift_is_found_in_other_light_too(by_px: tuple[float, float]) -> None:
    px_per_mm = bent().seen.correspondence.px_per_mm
    found = middle(misplaced(0.8 * beside(drawn(), by_px), drawn(), px_per_mm))
    assert np.abs(np.median(found.reshape(-1, 2), 0) - by_px).max() < 0.3


def test_a_head_that_lies_right_stays() -> None:
    assert skin_off(drawn(), bent().seen.correspondence, drawn()) is None


def test_a_texture_that_shows_something_else_moves_nothing() -> None:
    noise = np.random.default_rng(0).uniform(0, 255, drawn().shape).astype(np.float32)
    found = misplaced(cv2.GaussianBlur(noise, (0, 0), 3), drawn(), bent().seen.correspondence.px_per_mm)
    assert np.median(np.abs(found)) < 0.3


def test_pictures_finer_by_a_factor_tell_the_same() -> None:
    px_per_mm, to = bent().seen.correspondence.px_per_mm, tuple(3 * n for n in drawn().shape[1::-1])
    fine = [cv2.resize(p, to, interpolation=cv2.INTER_CUBIC) for p in (beside(drawn(), (2.0, 0.0)), drawn())]
    found = middle(misplaced(*fine, 3 * px_per_mm))
    assert abs(np.median(found[..., 0]) - 6) < 1 and abs(np.median(found[..., 1])) < 0.5


def test_the_operation_is_done_where_the_picture_shows_the_nose() -> None:
    """Photographed 2 px beside the fit: the picture after is the true one, 2 px beside it."""
    s = bent()
    flow, by_px = s.seen.correspondence, (2.0, 0.0)
    frame, truth = (beside(p, by_px) for p in (s.before, s.true_after))
    inside = s.inside > 0.5
    error = [np.abs(p.astype(float) - truth)[inside].mean() for p in (
        warp3d(frame, flow, None, s.plate, s.skins), warp3d(frame, flow, None, s.plate, None), frame)]
    assert error[0] < 0.8 * error[1] and error[0] < 0.4 * error[2]
