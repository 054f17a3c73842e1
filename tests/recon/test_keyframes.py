import numpy as np
import pytest

from recon.detect import Face
from recon.face478 import Expression
from recon.keyframes import KeyframeOptions, choose, spread, worth
from recon.quality import Measure, drifts, measure
from recon.verdict import light_level
from tests.recon.media import astronaut, detector

CALM = Expression(mouth=0.02, eye=0.3, brow=0.3, smile=0.9)
FACE = Face(points_px=np.random.default_rng(0).normal(size=(478, 3)) * 100, spread_px=np.ones(478), presence=1.0)


def frame(yaw=0.0, pitch=0.0, sharpness=50.0, expression=CALM, luma=130.0, clipped=0.0, face=FACE,
          smear=1.0, rims=0.03):
    return Measure(face=face, angles_deg=(float(yaw), float(pitch), 0.0), sharpness=float(sharpness), luma=luma,
                   clipped=clipped, expression=expression, smear=smear, rims=rims)


def yaws(measures, chosen):
    return np.array([measures[k].angles_deg[0] for k in chosen])


def test_sharpest_of_each_neighbourhood():
    """Ten frames at each of 45 angles, one of them sharper: exactly those are taken."""
    rng = np.random.default_rng(0)
    angles = np.repeat(np.arange(-66, 67, 3), 10)
    sharp = rng.uniform(40, 50, len(angles))
    best = np.arange(0, len(angles), 10) + rng.integers(0, 10, len(angles) // 10)
    sharp[best] = 70
    measures = [frame(yaw=y, sharpness=s) for y, s in zip(angles, sharp, strict=True)]
    assert choose(measures, KeyframeOptions(spacing_deg=3.0, frames=(40, 60))) == sorted(best.tolist())


def test_blinks_and_grimaces_are_avoided():
    blink = Expression(mouth=0.02, eye=0.1, brow=0.3, smile=0.9)
    shout = Expression(mouth=0.4, eye=0.3, brow=0.3, smile=0.9)
    measures = [frame(yaw=k // 4, expression=(CALM, CALM, blink, shout)[k % 4], sharpness=50 + 20 * (k % 4 > 1))
                for k in range(400)]
    chosen = choose(measures)
    assert 28 <= len(chosen) <= 42
    assert all(measures[k].expression is CALM for k in chosen)


def test_blurred_frames_are_left_out():
    measures = [frame(yaw=k * 0.7, sharpness=3 if k % 5 == 0 or k > 140 else 50) for k in range(150)]
    assert not any(k % 5 == 0 or k > 140 for k in choose(measures))
    few = [frame(yaw=y, sharpness=s) for y, s in ((-30, 50), (0, 2), (30, 2))]
    assert choose(few) == [0, 1, 2]  # too few to choose from


def test_number_of_frames():
    many = [frame(yaw=y) for y in np.linspace(-60, 60, 400)]
    assert 28 <= len(choose(many)) <= 42
    wide = [frame(yaw=y, pitch=p) for y in np.linspace(-60, 60, 41) for p in (-12, 0, 12)]
    assert 28 <= len(choose(wide)) <= 42
    few = [frame(yaw=y) for y in np.linspace(-60, 60, 23)]
    assert choose(few) == list(range(23))
    assert len(choose(many, KeyframeOptions(frames=(5, 8)))) <= 8
    still = [frame(yaw=0.0) for _ in range(90)]
    assert len(choose(still)) >= 1


def test_whole_range_is_kept_without_gaps():
    rng = np.random.default_rng(2)
    angles = np.sort(rng.uniform(-65, 65, 120))
    measures = [frame(yaw=y, sharpness=s) for y, s in zip(angles, rng.uniform(30, 60, 120), strict=True)]
    found = np.sort(yaws(measures, choose(measures)))
    assert found[0] < angles[0] + 3 and found[-1] > angles[-1] - 3
    assert np.diff(found).max() <= max(6.0, np.diff(angles).max() + 3)


def test_nod_is_kept():
    measures = [frame(yaw=y) for y in np.linspace(-60, 60, 80)] + [frame(pitch=p) for p in np.linspace(-18, 18, 20)]
    pitches = np.array([measures[k].angles_deg[1] for k in choose(measures)])
    assert pitches.min() < -15 and pitches.max() > 15


def test_spread_by_brute_force():
    rng = np.random.default_rng(3)
    angles = rng.uniform(-30, 30, (60, 2))
    taken = spread(np.arange(60), angles, 7.0)
    gaps = np.linalg.norm(angles[taken][:, None] - angles[taken], axis=2)
    assert gaps[~np.eye(len(taken), dtype=bool)].min() >= 7
    for k in set(range(60)) - set(taken):
        assert np.linalg.norm(angles[taken] - angles[k], axis=1).min() < 7  # nothing more would fit


def test_worth_prefers_sharp_and_calm():
    smile = Expression(mouth=0.02, eye=0.3, brow=0.3, smile=1.2)
    value = worth([frame(), frame(), frame(sharpness=80.0), frame(expression=smile), frame(sharpness=20.0)])
    assert value[2] > value[0] == value[1] > max(value[3], value[4])


def test_drift_is_relative_to_the_person_and_the_side():
    """A person whose mouth rests open is calm; what the far side measures differently is not a grimace."""
    open_ = Expression(mouth=0.2, eye=0.2, brow=0.4, smile=1.0)
    odd = Expression(mouth=0.1, eye=0.35, brow=0.2, smile=0.6)
    measures = [frame(yaw=y, expression=open_) for y in range(-10, 10)] + \
        [frame(yaw=y, expression=odd) for y in range(50, 60)]
    assert all(d.amount == 0 and not d.blink for d in drifts(measures))
    measures[5] = frame(yaw=-5, expression=Expression(mouth=0.4, eye=0.1, brow=0.4, smile=1.0))
    assert drifts(measures)[5].amount > 2 and drifts(measures)[5].blink


def test_sharpness_exposure_of_a_real_face():
    import cv2

    face = detector().follow(astronaut(), None)
    values = [measure(cv2.GaussianBlur(astronaut(), (0, 0), s) if s else astronaut(), face) for s in (0, 1, 2, 4)]
    assert np.all(np.diff([m.sharpness for m in values]) < 0)
    dark = measure(np.rint(astronaut() * 0.45).astype(np.uint8), face)
    assert dark.luma == pytest.approx(0.45 * values[0].luma, rel=0.05)
    assert dark.sharpness == pytest.approx(values[0].sharpness, rel=0.5)  # darkness is not blur; rounding adds some
    burnt = measure(np.clip(astronaut().astype(int) * 4, 0, 255).astype(np.uint8), face)
    assert burnt.clipped > 0.3 > 0.02 > values[0].clipped
    assert (light_level(40.0, 0.0), light_level(burnt.luma, burnt.clipped)) == ("amber", "red")
    assert light_level(values[0].luma, values[0].clipped) == "green"


def test_sharpness_does_not_depend_on_the_pictures_size():
    import cv2

    big = cv2.resize(astronaut(), None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(astronaut(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    values = [measure(p, detector().follow(p, None)).sharpness for p in (big, small)]
    assert values[0] == pytest.approx(values[1], rel=0.35)
