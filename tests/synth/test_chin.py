"""Chin: seen from the side, a chin that moves takes no neck along, wherever the fitted one ends."""

import dataclasses

import numpy as np
import pytest

from core.correspondence import Correspondence
from synth.chin import chin_off
from synth.jaw import MIDDLE, OUTLINE
from synth.pictured import pictured

PX_PER_MM, SIZE = 3.0, 400
CENTRE = np.array([220.0, 120.0])
CHIN_MM, BELOW_MM, ADVANCE_MM = 45.0, 4.0, 6.0
FACE, NECK, WALL = (180, 130, 110), (110, 75, 62), (220, 225, 225)
EDGE_MM = 8.0
"""The neck's outline meets the chin's so far beside the middle."""


def landmarks(turned: bool = True) -> np.ndarray:
    """A face that looks to the right, or into the camera."""
    points = np.tile(CENTRE - [0, 60 * PX_PER_MM], (478, 1))
    angle = np.linspace(np.pi, 0, len(OUTLINE))
    points[list(OUTLINE)] = CENTRE + (CHIN_MM - 1) * PX_PER_MM * np.stack([np.cos(angle), np.sin(angle)], 1)
    points[list(MIDDLE)] = CENTRE + ([25 * PX_PER_MM, 0] if turned else [0, 0])
    return points


def advanced(slope: float = 0.0, moves: bool = True) -> tuple[np.ndarray, np.ndarray, Correspondence]:
    """A chin before a neck that ends before the wall, steeply or along a slope; who is seen; and a head whose chin ends
    below the pictured one and advances."""
    y, x = np.mgrid[:SIZE, :SIZE]
    r = np.hypot(x - CENTRE[0], y - CENTRE[1]) / PX_PER_MM
    right, down = (x - CENTRE[0]) / PX_PER_MM, (y - CENTRE[1]) / PX_PER_MM - CHIN_MM
    chin, neck = r < CHIN_MM, (down > -CHIN_MM) & (right < EDGE_MM - slope * down)
    noise = np.random.default_rng(0).normal(0, 2, (SIZE, SIZE, 1))
    frame = np.where(chin[..., None], FACE, np.where(neck[..., None], NECK, WALL)) + noise
    head = r < CHIN_MM + BELOW_MM
    depth = np.where(head, 500.0, np.where(neck, 540.0, np.inf))
    flow = np.zeros((SIZE, SIZE, 2), np.float32)
    flow[head if moves else (head & (r > CHIN_MM - 3)), 0] = -ADVANCE_MM * PX_PER_MM
    normals = np.zeros((SIZE, SIZE, 3), np.float32)
    return frame.astype(np.float32), chin | neck, Correspondence(
        left=0, top=0, flow_px=flow, depth_after_mm=depth, depth_before_mm=depth, from_depth_mm=depth,
        moved=length_of(flow) > 0, normals_before=normals, normals_after=normals,
        mask=np.ones((SIZE, SIZE), np.float32), px_per_mm=PX_PER_MM)


def length_of(flow: np.ndarray) -> np.ndarray:
    """Of each motion."""
    return np.linalg.norm(flow, axis=-1)


def below(mm: float) -> tuple[int, int]:
    """The pixel so far below the middle of the face."""
    return round(CENTRE[1] + mm * PX_PER_MM), round(CENTRE[0])


def test_the_fitted_chin_is_laid_on_the_border_before_the_neck() -> None:
    frame, person, flow = advanced()
    off = chin_off(frame, flow, person, landmarks())
    assert off is not None
    assert np.linalg.norm(off[below(CHIN_MM + 1)]) / PX_PER_MM == pytest.approx(BELOW_MM, abs=1.2)
    assert np.abs(off[below(5)]).max() < 1 and np.abs(off[below(CHIN_MM + 20)]).max() < 1


def test_the_neck_below_an_advancing_chin_stays() -> None:
    frame, person, flow = advanced()
    neck, chin = below(CHIN_MM + 2.5), below(CHIN_MM - 3)
    assert length_of(flow.flow_px)[neck] > 5 * PX_PER_MM  # of the head as it was fitted
    found, _ = pictured(frame, flow, None, None, person, 2.0, landmarks())
    assert length_of(found.flow_px)[neck] < 0.5 * PX_PER_MM
    assert length_of(found.flow_px)[chin] > 0.9 * ADVANCE_MM * PX_PER_MM


@pytest.mark.parametrize("why", ["soft skin goes over into the neck", "the neck moves, not the chin",
                                 "into the camera", "no border"])
def test_otherwise_it_stays(why: str) -> None:
    frame, person, flow = advanced(1.0 if why.startswith("soft") else 0.0, not why.startswith("the neck"))
    if why == "no border":
        frame = np.full_like(frame, 120.0)
    assert chin_off(frame, flow, person, landmarks(why != "into the camera")) is None


def test_a_chin_that_is_met_stays() -> None:
    frame, person, flow = advanced()
    y, x = np.mgrid[:SIZE, :SIZE]
    r = np.hypot(x - CENTRE[0], y - CENTRE[1]) / PX_PER_MM
    met = np.where(r < CHIN_MM, 500.0, np.where(person, 540.0, np.inf))
    off = chin_off(frame, dataclasses.replace(flow, depth_before_mm=met), person, landmarks())
    assert off is None or np.abs(off).max() < PX_PER_MM
