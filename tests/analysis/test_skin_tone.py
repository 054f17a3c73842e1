import cv2
import numpy as np
import pytest

from analysis.skin_tone import ToneOptions, classes_between, exposed, interval_deg, normals_seen, outlines, skin_tone
from analysis.spots import mirror478
from benchmarks.symmetry import camera
from core.errors import InputRefused
from core.ita import ita_deg
from core.landmarks import MEDIAPIPE478, Landmarks2D
from render.rasterize import rasterize
from tests.analysis.photographed import head, pins

SKIN = np.array([66.0, 14.0, 18.0])
"""CIELAB of the painted skin."""


def linear(lab):
    rgb = cv2.cvtColor(np.asarray(lab, np.float32).reshape(1, 1, 3), cv2.COLOR_LAB2RGB)[0, 0].astype(float)
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def encoded(light):
    light = np.clip(light, 0, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(255 * srgb).astype(np.uint8)


def photo(pose=(0.0, 0.0, 0.0), lamp=(1.0, 0.0, 0.0), exposure=1.0):
    """A Lambertian head of one colour under a lamp (towards the camera, right, up); camera and marks."""
    seen_by = camera(*pose)
    normal = normals_seen(seen_by, head()[0], rasterize)
    shade = np.clip(normal @ np.array(lamp), 0.02, None)[..., None] * exposure
    light = np.where(np.linalg.norm(normal, axis=2, keepdims=True) > 0, shade * linear(SKIN), 0.2)
    marks = Landmarks2D(scheme=MEDIAPIPE478, points=seen_by.px_from_points(pins(head()[0])), confidence=np.ones(478))
    return encoded(light), marks, seen_by


def tone(picture, marks, seen_by, options=ToneOptions()):  # noqa: B008
    return skin_tone(picture, marks, seen_by, head()[0], rasterize, options)


def box(marks, name):
    points = marks.points[list(outlines()[name])]
    return np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int)


def test_skin_of_one_colour_gives_its_own_angle_in_any_pose_and_light():
    true = ita_deg(SKIN[0], SKIN[2])
    for pose, lamp in (((0.0, 0, 0), (1.0, 0, 0)), ((30.0, 0, 0), (1.0, 0, 0)), ((0.0, 10, 10), (1.0, 0.2, 0.2)),
                       ((-25.0, 0, 0), (1.0, 0.15, -0.1))):
        found = tone(*photo(pose, lamp))
        assert found.ita_deg == pytest.approx(true, abs=2.5), (pose, lamp)
        assert found.low_deg < true < found.high_deg
    assert tone(*photo()).sides_agree is True


def test_the_pictures_size_does_not_matter():
    picture, marks, seen_by = photo()
    whole = tone(picture, marks, seen_by)
    for side in (450, 1800):
        small = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA if side < 900 else cv2.INTER_LINEAR)
        points = (marks.points + 0.5) * side / 900 - 0.5
        other = tone(small, Landmarks2D(scheme=MEDIAPIPE478, points=points, confidence=marks.confidence),
                     seen_by.resized((side, side)))
        assert other.ita_deg == pytest.approx(whole.ita_deg, abs=1.0)
        assert other.patches[0].used.shape == (side, side)


@pytest.mark.parametrize("exposure", [0.6, 1 / 0.6])
def test_a_wrong_exposure_lies_within_the_interval_that_is_stated(exposure):
    right, wrong = tone(*photo(exposure=0.8)), tone(*photo(exposure=0.8 * exposure))
    assert abs(right.ita_deg - wrong.ita_deg) > 8
    assert wrong.low_deg < right.ita_deg < wrong.high_deg
    assert set(right.classes) & set(wrong.classes) and len(wrong.classes) > 1


def test_a_known_exposure_narrows_the_interval_and_three_L_move_it_by_eight_degrees():
    loose, tight = (interval_deg(np.array([60.0, 10, 15]), 2.0, o) for o in (ToneOptions(), ToneOptions(
        exposure_stops=0.05, white=0.5)))
    assert tight[1] - tight[0] < 0.5 * (loose[1] - loose[0])
    assert ita_deg(63.0, 15.0) - ita_deg(60.0, 15.0) == pytest.approx(7.2, abs=1)


def test_highlights_shadows_and_hair_within_a_patch_are_left_out():
    picture, marks, seen_by = photo()
    clean = tone(picture, marks, seen_by)
    rng = np.random.default_rng(0)
    for name in outlines():
        low, high = box(marks, name)
        wide, tall = high - low
        picture[low[1]:high[1], low[0]:low[0] + wide // 4] = picture[low[1]:high[1], low[0]:low[0] + wide // 4] * 0.45
        picture[low[1]:low[1] + tall // 4, low[0]:high[0]] = 235
        hairs = rng.random((tall, wide)) < 0.05
        picture[low[1]:high[1], low[0]:high[0]][hairs] = (30, 22, 18)
    assert tone(picture, marks, seen_by).ita_deg == pytest.approx(clean.ita_deg, abs=4)


def test_a_cheek_of_another_lightness_is_said():
    picture, marks, seen_by = photo()
    low, high = box(marks, "left cheek")
    picture[low[1]:high[1], low[0]:high[0]] = picture[low[1]:high[1], low[0]:high[0]] * 0.75
    found = tone(picture, marks, seen_by)
    assert found.sides_agree is False and any("cheeks differ" in line for line in found.lines())


def test_a_cheek_out_of_view_is_left_out():
    found = tone(*photo((75.0, 0.0, 0.0)))
    assert "left cheek" in found.left_out and found.sides_agree is None


@pytest.mark.parametrize("spoilt", [lambda p: np.repeat(p.mean(2, keepdims=True), 3, 2).astype(np.uint8),
                                    lambda p: np.full_like(p, 255), lambda p: np.zeros_like(p),
                                    lambda p: (p * [0.6, 0.8, 1.0] + [0, 0, 60]).clip(0, 255).astype(np.uint8)])
def test_grey_burnt_black_and_blue_pictures_are_refused(spoilt):
    picture, marks, seen_by = photo()
    with pytest.raises(InputRefused) as refused:
        tone(spoilt(picture), marks, seen_by)
    assert refused.value.code == "no_skin"


def test_another_exposure_agrees_with_the_colour_library():
    for factor in (0.5, 1.0, 1.4):
        rgb = (np.clip(linear(SKIN) * factor, 0, 1))
        srgb = np.where(rgb <= 0.0031308, 12.92 * rgb, 1.055 * rgb ** (1 / 2.4) - 0.055).astype(np.float32)
        lab = cv2.cvtColor(srgb.reshape(1, 1, 3), cv2.COLOR_RGB2LAB)[0, 0]
        assert exposed(SKIN, factor) == pytest.approx(lab, abs=0.3)


def test_classes_of_an_interval_are_all_that_it_touches():
    assert classes_between(30.0, 40.0) == ("intermediate",)
    assert classes_between(20.0, 50.0) == ("light", "intermediate", "tan")
    assert classes_between(-90.0, 90.0) == ("very light", "light", "intermediate", "tan", "brown", "dark")
    assert classes_between(-40.0, -31.0) == ("dark",)


def test_the_left_cheeks_outline_is_the_right_ones_mirror_image():
    twin = mirror478()
    assert tuple(twin[list(outlines()["right cheek"])]) == outlines()["left cheek"]
    assert {int(twin[i]) for i in outlines()["forehead"]} == set(outlines()["forehead"])


def test_never_a_fitzpatrick_type():
    found = tone(*photo())
    words = " ".join(found.lines())
    assert "Not a Fitzpatrick type" in words and found.told()["note"].endswith("not a Fitzpatrick type")
