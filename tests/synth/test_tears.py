"""Skin that follows a contour, and skin that was torn beside one."""

import dataclasses

import cv2
import numpy as np
import pytest

from core.channels import length
from core.correspondence import Correspondence
from synth.follow import STEEPEST, following
from synth.guard import Verdict, guard
from synth.tears import torn_mm2

SIDE, SCALE = 120, 3.0


def jumping(size_px: float) -> np.ndarray:
    """A block that moves by so much down, amid still skin."""
    u = np.zeros((SIDE, SIDE, 2), np.float32)
    u[30:60, 40:80, 1] = size_px
    return u


def steepest(u: np.ndarray) -> float:
    return max(float(length(np.diff(u, axis=axis)).max()) for axis in (0, 1))


def test_what_is_free_follows_so_far_that_nothing_tears_and_the_strongest_stay() -> None:
    u = jumping(6.0)
    out = following(u, np.ones((SIDE, SIDE), bool))
    assert steepest(u) == 6 and steepest(out) <= STEEPEST + 2e-3
    assert np.array_equal(out[30:60, 40:80], u[30:60, 40:80]) and not out[:5].any()


def test_large_motions_are_drawn_through_the_halved_picture_without_folding() -> None:
    assert steepest(following(jumping(20.0), np.ones((SIDE, SIDE), bool))) < 2


def test_what_is_not_free_keeps_its_motion() -> None:
    free = np.zeros((SIDE, SIDE), bool)
    free[:, :60] = True
    u = jumping(6.0)
    assert np.array_equal(following(u, free)[:, 60:], u[:, 60:])
    assert following(u, np.zeros_like(free)) is u


def shaded(seed: int = 0) -> np.ndarray:
    """Skin that shades softly, with no edge anywhere."""
    rng = np.random.default_rng(seed)
    soft = cv2.GaussianBlur(rng.normal(size=(SIDE, SIDE)), (0, 0), 9)
    return np.clip(150 + 40 * soft[..., None] / soft.std() * [1, 0.8, 0.7], 0, 255).astype(np.uint8)


def asked(u: np.ndarray) -> Correspondence:
    depth, normals = np.full((SIDE, SIDE), 500.0), np.zeros((SIDE, SIDE, 3))
    return Correspondence(left=0, top=0, flow_px=u, depth_after_mm=depth, depth_before_mm=depth, from_depth_mm=depth,
                          moved=np.ones((SIDE, SIDE), bool), normals_before=normals, normals_after=normals,
                          mask=np.ones((SIDE, SIDE)), px_per_mm=SCALE)


def drawn(picture: np.ndarray, u: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    return cv2.remap(picture, x + u[..., 0], y + u[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def test_a_jump_through_whole_skin_is_a_tear_and_one_that_skin_follows_is_none() -> None:
    u, picture = jumping(12.0), shaded()
    near = following(u, np.ones((SIDE, SIDE), bool))
    assert torn_mm2(picture, drawn(picture, u), u, asked(u)) > 3
    assert torn_mm2(picture, drawn(picture, near), near, asked(u)) < 0.5


def test_a_contour_that_the_photo_has_is_no_tear() -> None:
    """A light block before dark skin: its edges came along."""
    u, picture = jumping(12.0), np.full((SIDE, SIDE, 3), 70, np.uint8)
    picture[42:72, 40:80] = 190
    assert torn_mm2(picture, drawn(picture, u), u, asked(u)) < 0.5


def verdict(u: np.ndarray) -> Verdict:
    picture = shaded()
    return guard(picture, drawn(picture, u), asked(u), drawn_px=u)


def test_the_guard_refuses_the_torn_picture_with_the_reason() -> None:
    u = jumping(12.0)
    assert "The skin is torn" in next(c for c in verdict(u).checks if c.name == "tears").sentence
    assert [c.name for c in verdict(u).failed if c.name == "tears"]
    whole = verdict(following(u, np.ones((SIDE, SIDE), bool)))
    assert next(c for c in whole.checks if c.name == "tears").status == "passed"


@pytest.mark.parametrize("wrong", [np.zeros((3, 3, 2)), np.full((SIDE, SIDE, 2), np.nan)])
def test_a_motion_that_cannot_be_read_fails_closed(wrong: np.ndarray) -> None:
    picture = shaded()
    found = guard(picture, picture, dataclasses.replace(asked(jumping(0.0))), drawn_px=wrong)
    assert any(c.name == "tears" and c.status == "failed" for c in found.checks)
