"""Jaw: a plan that leaves the border of the jaw leaves the pictured one, wherever the fitted one lies."""

import dataclasses

import numpy as np

from core.correspondence import Correspondence
from synth.jaw import MIDDLE, OUTLINE, jaw_off
from synth.pictured import pictured

PX_PER_MM, SIZE = 3.0, 360
CENTRE = np.array([180.0, 120.0])
JAW_MM, BELOW_MM, LIFT_MM = 45.0, 4.0, 5.0
FACE, NECK, WALL = (180, 130, 110), (110, 75, 62), (220, 225, 225)


def away_mm() -> np.ndarray:
    """Distance of every pixel from the middle of the face."""
    y, x = np.mgrid[:SIZE, :SIZE]
    return np.hypot(x - CENTRE[0], y - CENTRE[1]) / PX_PER_MM


def landmarks() -> np.ndarray:
    """A face whose outline was found a little inside the pictured one."""
    points = np.tile(CENTRE - [0, 60 * PX_PER_MM], (478, 1))
    angle = np.linspace(np.pi, 0, len(OUTLINE))
    points[list(OUTLINE)] = CENTRE + (JAW_MM - 1) * PX_PER_MM * np.stack([np.cos(angle), np.sin(angle)], 1)
    points[list(MIDDLE)] = CENTRE
    return points


def lifted(below_mm: float = BELOW_MM, neck: bool = True, border_mm: float = 0.0) -> tuple[
        np.ndarray, np.ndarray, Correspondence]:
    """A photo of a face before a neck, or before a wall, who is seen, and a head whose jaw ends so far beyond the
    pictured one; its cheeks are lifted, and its border is by so much."""
    r, rng = away_mm(), np.random.default_rng(0)
    frame = np.where((r < JAW_MM)[..., None], FACE, NECK if neck else WALL) + rng.normal(0, 2, (SIZE, SIZE, 1))
    person = np.ones((SIZE, SIZE), bool) if neck else r < JAW_MM
    ends = JAW_MM + below_mm
    depth, after = (np.where(r < e, 500.0, 540.0) for e in (ends, ends - border_mm))
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[..., 1] = PX_PER_MM * np.where(r < ends, np.clip(ends - r, border_mm, LIFT_MM), 0)
    normals = np.zeros((SIZE, SIZE, 3), np.float32)
    return frame.astype(np.float32), person, Correspondence(
        left=0, top=0, flow_px=flow, depth_after_mm=after, depth_before_mm=depth, from_depth_mm=after,
        moved=flow[..., 1] > 0, normals_before=normals, normals_after=normals,
        mask=np.ones((SIZE, SIZE), np.float32), px_per_mm=PX_PER_MM)


def below(mm: float) -> tuple[int, int]:
    """The pixel so far below the middle of the face."""
    return round(CENTRE[1] + mm * PX_PER_MM), round(CENTRE[0])


def test_the_fitted_border_is_laid_on_the_pictured_one() -> None:
    frame, person, flow = lifted()
    off = jaw_off(frame, flow, person, landmarks())
    assert off is not None
    border, mouth, neck = (off[below(r)] / PX_PER_MM for r in (JAW_MM + 1, 5, 70))
    assert abs(border[1] + BELOW_MM) < 0.8 and abs(border[0]) < 0.5
    assert np.abs(mouth).max() < 0.5 and np.abs(neck).max() < 0.1


def test_the_pictured_border_stays_and_the_cheek_moves() -> None:
    frame, person, flow = lifted()
    light = np.where(flow.flow_px[..., 1:] > 2 * PX_PER_MM, 1.2, 1.0) * np.ones(3)
    assert flow.flow_px[below(JAW_MM - 0.5)][1] > 4 * PX_PER_MM  # of the head as it was fitted
    found, lit = pictured(frame, flow, light.astype(np.float32), None, person, 2.0, landmarks())
    assert found.flow_px[below(JAW_MM - 0.5)][1] < 1.7 * PX_PER_MM
    assert found.flow_px[below(JAW_MM - 12)][1] > 0.9 * LIFT_MM * PX_PER_MM
    assert lit is not None and lit[below(JAW_MM)].max() < 1.05 and lit[below(JAW_MM - 12)].min() > 1.15
    assert found.moved[below(JAW_MM - 8)] and not found.moved[below(JAW_MM + 2)]


def test_a_border_that_is_met_is_left_alone() -> None:
    frame, person, flow = lifted(below_mm=0.0)
    off = jaw_off(frame, flow, person, landmarks())
    assert off is None or np.abs(off).max() < 1.0 * PX_PER_MM


def test_a_border_that_the_plan_moves_is_left_alone() -> None:
    frame, person, flow = lifted(border_mm=3.0)
    assert jaw_off(frame, flow, person, landmarks()) is None


def test_a_plan_that_moves_the_chin_alone_is_left_alone() -> None:
    """A maxilla that goes up moves the skin above the chin: laid elsewhere, the mouth would move less than asked."""
    frame, person, flow = lifted()
    x = np.abs(np.arange(SIZE) - CENTRE[0]) / PX_PER_MM
    low = np.where(x < 20, flow.flow_px[..., 1], 0)
    flow = dataclasses.replace(flow, flow_px=np.stack([np.zeros_like(low), low], -1).astype(np.float32))
    assert jaw_off(frame, flow, person, landmarks()) is None


def test_an_outline_before_the_wall_is_left_alone() -> None:
    frame, person, flow = lifted(neck=False)
    assert jaw_off(frame, flow, person, landmarks()) is None


def test_a_turned_face_is_left_alone() -> None:
    frame, person, flow = lifted()
    points = landmarks()
    points[list(MIDDLE)] += [30 * PX_PER_MM, 0]
    assert jaw_off(frame, flow, person, points) is None


def test_a_picture_without_a_border_tells_nothing() -> None:
    frame, person, flow = lifted()
    even = np.full_like(frame, 120.0)
    assert jaw_off(even, flow, person, landmarks()) is None
    none = dataclasses.replace(flow, depth_before_mm=np.full((SIZE, SIZE), np.inf, np.float32))
    assert jaw_off(frame, none, person, landmarks()) is None
