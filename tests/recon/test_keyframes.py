import numpy as np
import pytest

from recon.detect import Face
from recon.face478 import Expression
from recon.keyframes import KeyframeOptions, choose, spread, worth
from recon.quality import (
    Check,
    Counts,
    Measure,
    checks,
    distance_mm,
    drifts,
    lens_of,
    light_level,
    measure,
    sentence,
    widest_gap,
)
from tests.recon.media import astronaut, detector, turned_face

CALM = Expression(mouth=0.02, eye=0.3, brow=0.3, smile=0.9)
FACE = Face(points_px=np.random.default_rng(0).normal(size=(478, 3)) * 100, spread_px=np.ones(478), presence=1.0)


def frame(yaw=0.0, pitch=0.0, sharpness=50.0, expression=CALM, luma=130.0, clipped=0.0, face=FACE):
    return Measure(face=face, angles_deg=(float(yaw), float(pitch), 0.0), sharpness=float(sharpness), luma=luma,
                   clipped=clipped, expression=expression)


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
    assert choose(measures) == sorted(best.tolist())


def test_blinks_and_grimaces_are_avoided():
    blink = Expression(mouth=0.02, eye=0.1, brow=0.3, smile=0.9)
    shout = Expression(mouth=0.4, eye=0.3, brow=0.3, smile=0.9)
    measures = [frame(yaw=k // 4, expression=(CALM, CALM, blink, shout)[k % 4], sharpness=50 + 20 * (k % 4 > 1))
                for k in range(400)]
    chosen = choose(measures)
    assert 40 <= len(chosen) <= 60
    assert all(measures[k].expression is CALM for k in chosen)


def test_blurred_frames_are_left_out():
    measures = [frame(yaw=k * 0.7, sharpness=3 if k % 5 == 0 or k > 140 else 50) for k in range(150)]
    assert not any(k % 5 == 0 or k > 140 for k in choose(measures))
    few = [frame(yaw=y, sharpness=s) for y, s in ((-30, 50), (0, 2), (30, 2))]
    assert choose(few) == [0, 1, 2]  # too few to choose from


def test_number_of_frames():
    many = [frame(yaw=y) for y in np.linspace(-60, 60, 400)]
    assert 40 <= len(choose(many)) <= 60
    wide = [frame(yaw=y, pitch=p) for y in np.linspace(-60, 60, 41) for p in (-12, 0, 12)]
    assert 40 <= len(choose(wide)) <= 60
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


def test_distance_from_the_iris():
    """A face whose irises are 23.4 px wide at f = 1000 px is 11.7 * 1000 / 23.4 = 500 mm away."""
    points = turned_face(0, size_px=400).points_px.copy()
    for a, b in ((469, 471), (474, 476)):
        points[b] = points[a] + [23.4, 0, 0]
    face = Face(points_px=points, spread_px=np.ones(478), presence=1.0)
    assert distance_mm([frame(face=face)] * 3, 1000.0) == pytest.approx(500)
    assert lens_of([None, 900.0, 1000.0, 1100.0], [1280] * 4).focal_px == 1000
    assert not lens_of([None], [1280]).stated


def levels(measures, kind="video", chosen=None, with_face=None):
    chosen = range(len(measures)) if chosen is None else chosen
    counts = Counts(given=len(measures), analysed=len(measures), with_face=with_face or len(measures),
                    chosen=len(list(chosen)))
    return {c.name: c.level for c in checks(kind, measures, list(chosen), counts, lens_of([None], [1280]))}


def test_every_check_can_be_green_and_can_fail():
    big = turned_face(0, size_px=400)
    good = [frame(yaw=y, face=big) for y in np.linspace(-60, 60, 50)] + \
        [frame(pitch=p, face=big) for p in np.linspace(-15, 15, 10)]
    assert set(levels(good).values()) == {"green"}
    assert levels([frame(yaw=y, face=big) for y in np.linspace(-60, 5, 50)])["turn to the left"] == "red"
    assert levels([frame(yaw=y, face=big) for y in np.linspace(-20, 60, 50)])["turn to the right"] == "amber"
    assert levels([frame(yaw=y, face=big) for y in (-60, -20, 20, 60)])["largest gap between views"] == "red"
    assert levels([frame(yaw=y, face=big) for y in np.linspace(-60, 60, 50)])["nod"] == "amber"
    assert levels(good, with_face=25)["face in view"] == "amber"
    assert levels([frame(yaw=y, face=turned_face(0, size_px=90)) for y in (-40, 0, 40)])["size of the face"] == "red"
    assert levels([frame(yaw=m.angles_deg[0], sharpness=2.0, face=big) for m in good])["sharpness"] == "red"
    assert levels([frame(yaw=m.angles_deg[0], luma=20.0, face=big) for m in good])["light"] == "red"
    grin = Expression(mouth=0.3, eye=0.3, brow=0.3, smile=0.9)
    mixed = [frame(yaw=m.angles_deg[0], face=big, expression=grin if k % 3 == 0 else CALM) for k, m in enumerate(good)]
    assert levels(mixed)["calm face"] == "amber"
    close = [frame(yaw=m.angles_deg[0], face=turned_face(0, size_px=1500)) for m in good]
    assert levels(close)["distance"] == "amber"
    assert "nod" not in levels(good, kind="photos")
    assert levels(good[::3])["number of views"] == "amber"
    assert levels(good[::20], kind="photos")["number of views"] == "amber"
    assert levels(good[::10], kind="photos")["number of views"] == "green"


def test_sentence_names_what_is_wrong():
    ok = Check(name="nod", value="20 degrees", level="green", advice="Nod.")
    soft = Check(name="sharpness", value="soft", level="amber", advice="Slow.")
    bad = Check(name="light", value="9 of 255", level="red", advice="Light.")
    assert sentence([ok])[0] == "good"
    assert sentence([ok, soft])[0] == "usable" and "sharpness soft" in sentence([ok, soft])[1]
    assert sentence([ok, soft, bad])[0] == "poor" and "light 9 of 255" in sentence([ok, soft, bad])[1]


def test_widest_gap():
    assert widest_gap(np.array([10.0, -20.0, 0.0])) == 20
    assert widest_gap(np.array([5.0])) == 0
