"""Measures against closed forms, and against published norms on the average head."""

import numpy as np
import pytest

from analysis.measures import MEASURES, needed_pins

PROFILE = {"g": (0, 20, 22), "n": (0, 6, 20), "rhi": (0, -14, 30), "prn": (0, -36, 41), "c": (0, -43, 31),
           "sn": (0, -46, 21), "ls": (0, -54, 21), "li": (0, -75, 18), "sl": (0, -84, 13), "pg": (0, -97, 17),
           "gn": (0, -108, 11), "ac_l": (19, -35, 14), "ac_r": (-19, -35, 14)}
POINTS = {name: np.array(p, float) for name, p in PROFILE.items()}


def of(name, **moved):
    return MEASURES[name].of({**POINTS, **{k: np.array(v, float) for k, v in moved.items()}})


def test_closed_forms():
    assert of("nasolabial_angle", c=(0, -46, 31), sn=(0, -46, 21), ls=(0, -56, 21)) == pytest.approx(90)
    assert of("facial_convexity", g=(0, 10, 0), sn=(0, 0, 0), pg=(0, -10, 0)) == pytest.approx(0)
    assert of("chin_to_zero_meridian") == pytest.approx(-3)
    assert of("goode", n=(0, 0, 0), ac_l=(19, -40, 0), ac_r=(-19, -40, 0), prn=(0, -30, 40)) == pytest.approx(40 / 50)
    assert of("upper_lip_to_e_line", pg=(0, -90, 10), prn=(0, -30, 10), ls=(0, -50, 14)) == pytest.approx(4)
    assert of("tip_protrusion", sn=(0, 0, 0), prn=(0, 3, 4)) == pytest.approx(5)


def test_angles_are_those_of_the_profile():
    assert of("nasolabial_angle", ls=(7, -54, 21)) == pytest.approx(of("nasolabial_angle"))


def test_turning_the_tip_up_opens_the_nasolabial_angle():
    assert of("nasolabial_angle", c=(0, -41, 31)) > of("nasolabial_angle") + 5


def test_the_average_head_lies_within_published_norms(pin):
    """clinical.md 2.2, both sexes, mean and two standard deviations."""
    norms = {"nasal_width": (34.3, 2.5), "tip_protrusion": (20.5, 1.9), "nasal_bridge": (48.4, 3.6),
             "philtrum": (15.2, 2.5), "mouth_width": (49.0, 3.7)}
    for name, (mean, sd) in norms.items():
        assert abs(MEASURES[name].of(pin) - mean) < 3 * sd, name


def test_every_measure_names_what_it_needs(pin):
    for name, measure in MEASURES.items():
        needed = {p: pin[p] for p in measure.pins}
        assert np.isfinite(measure.of(needed)) and measure.tolerance > 0
        assert set(needed_pins([name])) == set(measure.pins)
        if measure.unit == "deg":
            assert 0 <= measure.of(needed) <= 180
