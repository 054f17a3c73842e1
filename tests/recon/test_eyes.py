"""Open eyes: the ratio in closed form, sides kept apart, a turn of the head, and real lids."""

import numpy as np
import pytest

from recon.eyes import LEAST_OPENING, eye_openings, open_eyes
from recon.face478 import EYE_HEIGHTS, EYE_WIDTH
from tests.recon.media import astronaut, detector, turned_face


def eyes_of(right: float, left: float, yaw_deg: float = 0.0) -> np.ndarray:
    """(478, 2): eyes 29 mm wide at 2 px per mm, opened by these many mm, turned by a yaw about the vertical."""
    points = np.zeros((478, 3))
    for side, (opening, centre) in enumerate(zip((right, left), (-32.0, 32.0), strict=True)):
        for point, x in zip(EYE_WIDTH[side], (-14.5, 14.5), strict=True):
            points[point] = (centre + x, 0.0, 0.0)
        for upper, lower in EYE_HEIGHTS[side]:
            points[upper], points[lower] = (centre, -opening / 2, 0.0), (centre, opening / 2, 0.0)
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    return 2 * (points @ np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]).T)[:, :2]


def test_ratio_of_opening_to_width():
    assert eye_openings(eyes_of(9.0, 6.0)[None])[0] == pytest.approx([9 / 29, 6 / 29])
    assert eye_openings(3.7 * eyes_of(9.0, 6.0)[None])[0] == pytest.approx([9 / 29, 6 / 29])


def test_right_then_left_view_by_view():
    views = np.stack([eyes_of(9.0, 9.0), eyes_of(1.0, 9.0), eyes_of(9.0, 1.0), eyes_of(1.0, 1.0)])
    assert open_eyes(views).tolist() == [[True, True], [False, True], [True, False], [False, False]]
    assert open_eyes(views[:0]).shape == (0, 2)


def test_at_the_bound_the_iris_shows_its_width():
    """Opening in the middle: 1.13 x 0.15 of an eye 26 mm wide; the disc stands on the lower lid."""
    radius, opening = 11.7 / 2, 1.13 * LEAST_OPENING * 11.7 / 0.45
    chord = 2 * np.sqrt(radius**2 - (radius - opening) ** 2)
    assert 0.96 < chord / 11.7 < 0.98
    assert open_eyes(eyes_of(0.149 * 29, 0.151 * 29)[None])[0].tolist() == [False, True]


def test_one_eye_narrowed_by_perspective_does_not_open_the_other():
    """A shut far eye, its width shrunk by the turn, stays shut: the wider eye is the measure of both."""
    points = eyes_of(9.0, 3.0)
    near = points[list(EYE_WIDTH[1])].mean(0)
    points[list(EYE_WIDTH[1])] = near + 0.4 * (points[list(EYE_WIDTH[1])] - near)
    assert open_eyes(points[None])[0].tolist() == [True, False]


def test_no_size_is_shut():
    assert not open_eyes(np.zeros((1, 478, 2))).any()


def test_real_open_eyes():
    face = detector().follow(astronaut(), None)
    assert face is not None and open_eyes(face.points_px[None, :, :2]).all()
    assert open_eyes(turned_face(15).points_px[None, :, :2]).all()


def test_a_real_face_with_its_lids_drawn_over_the_eyes():
    """Closing the measured lids by four fifths shuts the eyes of a real shape."""
    points = turned_face(0).points_px[None, :, :2].copy()
    for pairs in EYE_HEIGHTS:
        for upper, lower in pairs:
            points[0, upper] += 0.8 * (points[0, lower] - points[0, upper])
    assert not open_eyes(points).any()
