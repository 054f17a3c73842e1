"""Rigid parts: eyes are masked, teeth only where the lips part."""

import numpy as np

from synth.rigid_parts import EYES, INNER_LIPS, mouth_open, rigid_edges, rigid_parts


def points(gap: float) -> np.ndarray:
    """Two round eyes of 12 px and a mouth of 40 px that opens by `gap`."""
    out = np.zeros((478, 2))
    for centre, outline in zip(((60, 60), (140, 60)), EYES, strict=True):
        turn = np.linspace(np.pi, 3 * np.pi, len(outline), endpoint=False)
        out[list(outline)] = np.array(centre) + 12 * np.stack([np.cos(turn), np.sin(turn)], 1)
    turn = np.linspace(np.pi, 3 * np.pi, len(INNER_LIPS), endpoint=False)
    out[list(INNER_LIPS)] = np.array((100, 140)) + np.stack([20 * np.cos(turn), gap / 2 * np.sin(turn)], 1)
    out[13], out[14] = (100, 140 - gap / 2), (100, 140 + gap / 2)
    out[78], out[308] = (80, 140), (120, 140)
    return out


def test_eyes_are_rigid_and_the_skin_is_not() -> None:
    mask = rigid_parts(points(0.0), (200, 200))
    assert mask[60, 60] and mask[60, 140] and not mask[60, 100] and not mask[140, 100]
    assert abs(int(mask.sum()) - 2 * round(np.pi * 12**2)) < 120


def test_teeth_are_rigid_where_the_lips_part() -> None:
    assert not mouth_open(points(1.0)) and mouth_open(points(14.0))
    assert rigid_parts(points(14.0), (200, 200))[140, 100]


def test_a_face_beyond_the_edge_masks_what_is_there() -> None:
    mask = rigid_parts(points(0.0) - np.array([60, 0]), (200, 90))
    assert mask[60, 0] and mask[60, 80]


def test_their_edges_are_the_lids_and_where_teeth_show_the_lips() -> None:
    lids = {*EYES[0], *EYES[1]}
    assert set(rigid_edges(points(1.0))) == lids and set(rigid_edges(points(14.0))) == lids | set(INNER_LIPS)
