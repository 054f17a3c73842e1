"""Stubble that is stretched becomes a curtain of lines; smooth skin does not, and hair that only moves stays hair."""

import cv2
import numpy as np
import pytest

from core.correspondence import Correspondence
from synth.guard import GUARD, guard
from synth.strokes import stroked_mm2

SIDE, SCALE = 180, 3.0
NONE = np.zeros((SIDE, SIDE, 2), np.float32)


def skin(hair: float, seed: int = 0) -> np.ndarray:
    """Skin with so strong (grey levels) stubble in all directions."""
    grain = cv2.GaussianBlur(np.random.default_rng(seed).normal(size=(SIDE, SIDE)), (0, 0), 1.0)
    return np.clip(150 + hair * grain[..., None] / grain.std() * [1, 1, 1], 0, 255).astype(np.uint8)


def stretched(times: float, across: bool = False) -> np.ndarray:
    """q - p: a band of 20 mm in which skin is stretched so many times, downwards, or to the side."""
    along = np.clip(np.arange(SIDE) - 60, 0, 60) * (1 / times - 1)
    out = NONE.copy()
    out[..., 0 if across else 1] = along[None] if across else along[:, None]
    return out


def moved(picture: np.ndarray, u: np.ndarray) -> np.ndarray:
    x, y = np.meshgrid(*[np.arange(SIDE, dtype=np.float32)] * 2)
    return cv2.remap(picture, x + u[..., 0], y + u[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def asked(u: np.ndarray) -> Correspondence:
    depth, normals = np.full((SIDE, SIDE), 500.0), np.zeros((SIDE, SIDE, 3))
    return Correspondence(left=0, top=0, flow_px=u, depth_after_mm=depth, depth_before_mm=depth, from_depth_mm=depth,
                          moved=np.ones((SIDE, SIDE), bool), normals_before=normals, normals_after=normals,
                          mask=np.ones((SIDE, SIDE)), px_per_mm=SCALE)


def strokes(hair: float, u: np.ndarray) -> float:
    photo = skin(hair)
    return stroked_mm2(photo, moved(photo, u), u, asked(u))


@pytest.mark.parametrize("across", [False, True])
def test_stretched_stubble_is_drawn_out_into_strokes(across: bool) -> None:
    band_mm2 = 20 * SIDE / SCALE
    assert strokes(25, stretched(4.0, across)) > band_mm2 / 3


@pytest.mark.parametrize(("hair", "times"), [(25.0, 1.3), (1.5, 4.0), (0.0, 4.0)])
def test_little_stretch_or_smooth_skin_gives_none(hair: float, times: float) -> None:
    assert strokes(hair, stretched(times)) < 1


def test_hair_that_moves_or_is_turned_stays_hair() -> None:
    shift = NONE + np.array([9, -7], np.float32)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) - SIDE / 2
    turn = np.stack([0.2 * y, -0.2 * x], -1).astype(np.float32)
    assert strokes(25, NONE) == strokes(25, shift) == strokes(25, turn) == 0


def test_lines_that_the_photo_had_are_its_own() -> None:
    photo = np.repeat(skin(25)[:1], SIDE, 0)
    u = stretched(4.0)
    assert stroked_mm2(photo, moved(photo, u), u, asked(u)) < 1


def test_a_finer_picture_is_reduced_with_the_same_result() -> None:
    photo, u = skin(25), stretched(4.0)
    after = moved(photo, u)
    here = stroked_mm2(photo, after, u, asked(u))
    double = asked(u)
    big = {f: cv2.resize(getattr(double, f).astype(np.float32), None, fx=2, fy=2) for f in (
        "depth_after_mm", "depth_before_mm", "from_depth_mm", "normals_before", "normals_after", "mask")}
    u2 = cv2.resize(2 * u, None, fx=2, fy=2)
    fine = Correspondence(left=0, top=0, flow_px=u2, moved=np.ones((2 * SIDE,) * 2, bool), px_per_mm=2 * SCALE, **big)
    photo, after = (cv2.resize(p, None, fx=2, fy=2) for p in (photo, after))
    there = stroked_mm2(photo, after, u2, fine)
    assert there == pytest.approx(here, rel=0.4)


def test_the_guard_refuses_strokes_and_says_why() -> None:
    photo, u = skin(25), stretched(4.0)
    checks = {c.name: c for c in guard(photo, moved(photo, u), asked(u), drawn_px=u).checks}
    assert checks["strokes"].status == "failed" and (checks["strokes"].value or 0) > GUARD.stroked_mm2
    assert "drawn out into lines" in checks["strokes"].sentence
    assert "strokes" not in [c.name for c in guard(photo, photo, asked(NONE)).checks]


def test_a_motion_of_another_size_is_no_verdict() -> None:
    with pytest.raises(ValueError, match="another size"):
        stroked_mm2(skin(1), skin(1), NONE[:-1], asked(NONE))
