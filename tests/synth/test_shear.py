"""Shear: what a contour carries along is let go of evenly, and the outline itself keeps its motion."""

import numpy as np

from core.correspondence import Correspondence
from synth.backdrop import smoothstep
from synth.follow import STEEPEST
from synth.shear import sheared

SIZE, EDGE, EAR, FEATHER, PX_PER_MM = 160, 90, 60, 14, 3.0

EVERYWHERE = np.ones((SIZE, SIZE), np.float32)


def cheek(up_px: float, away_px: float = 0.0) -> tuple[np.ndarray, Correspondence]:
    """Skin right of a column that moves up along it, above it an ear that stays and reaches farther left, and the
    motion carried along left of the cheek, which ends with the mask."""
    y, x = np.mgrid[:SIZE, :SIZE]
    skin = (x >= EDGE) | ((y < EAR) & (x >= EDGE - 30))
    moves = (x >= EDGE) & (y >= EAR)
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[moves] = (-away_px, up_px)
    mask = np.clip(1 - (EDGE - x) / FEATHER, 0, 1) * (y > EAR - FEATHER)
    own = flow.copy()
    own[~moves] = (smoothstep(mask / 0.3)[..., None] * (-away_px, up_px))[~moves]
    depth, normals = np.where(skin, 500.0, np.inf), np.zeros((SIZE, SIZE, 3), np.float32)
    return own, Correspondence(
        left=0, top=0, flow_px=flow, depth_after_mm=depth, depth_before_mm=depth, from_depth_mm=depth, moved=moves,
        normals_before=normals, normals_after=normals, mask=mask, px_per_mm=PX_PER_MM)


def steepest(own: np.ndarray, where: tuple[slice, slice]) -> float:
    """The largest step of a motion between neighbours of a part."""
    return max(float(np.linalg.norm(np.diff(own[where], axis=axis), axis=-1).max()) for axis in (0, 1))


BESIDE = slice(EAR + 2, None), slice(0, EDGE)


def test_what_runs_along_an_outline_ends_in_a_shear() -> None:
    own, flow = cheek(9.0)
    assert steepest(own, BESIDE) > 3
    out = sheared(own, flow, EVERYWHERE)
    assert steepest(out, BESIDE) < 2 * STEEPEST + 0.1  # both of its parts, at worst
    assert np.abs(out[100:140, EDGE - 2, 1] - 9).max() < 1
    assert np.array_equal(out[flow.moved], own[flow.moved])


def test_an_outline_that_withdraws_or_advances_takes_its_rim_along() -> None:
    own, flow = cheek(0.0, away_px=9.0)
    out = sheared(own, flow, EVERYWHERE)
    rim = slice(100, 140), slice(EDGE - FEATHER // 2 + 1, EDGE)
    assert np.abs(out[rim] - own[rim]).max() < 0.5


def test_an_ear_beside_it_is_not_torn() -> None:
    own, flow = cheek(9.0)
    below = slice(EAR - FEATHER, EAR + 6), slice(EDGE - 30, EDGE - 1)
    assert steepest(own, below) > 3
    assert steepest(sheared(own, flow, EVERYWHERE), below) < 2 * STEEPEST + 0.1


def test_without_an_outline_nothing_changes() -> None:
    own, flow = cheek(0.0)
    assert sheared(own, flow, EVERYWHERE) is own
