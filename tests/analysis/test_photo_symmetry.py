import numpy as np
import pytest

from analysis.mirror_match import middle_match, pair_match
from analysis.photo_symmetry import photo_symmetry
from analysis.rectify import Rectified, frontal_camera, rectified
from core.landmarks import MEDIAPIPE478, Landmarks2D
from recon.models import load_model
from render.rasterize import rasterize
from tests.analysis.photographed import head, photo

SPOT = {"brow": ("brow_centre", 1), "eye": ("eye", 1), "mouth corner": ("mouth_corner", 1), "nose": ("nose", 0)}


def measured(pose, kind="", mm=0.0):
    pixels, camera, marks = photo(pose, kind, mm)
    return photo_symmetry(pixels, camera, head()[0], load_model().anatomy, marks, rasterize)


def value(found, kind):
    name, row = SPOT[kind]
    return next((d.value_mm[row], d.sd_mm[row]) for d in found.differences if d.spot.name == name)


@pytest.mark.parametrize("pose", [(0.0, 0.0, 0.0), (10.0, 0.0, 0.0), (20.0, 0.0, 0.0), (-20.0, 0.0, 0.0),
                                  (0.0, 12.0, 0.0), (0.0, 0.0, 20.0)])
def test_a_symmetric_head_scores_within_two_points_of_100_in_every_pose(pose):
    assert measured(pose).score > 98


@pytest.mark.parametrize("kind, mm, yaw", [("brow", 4.0, 0.0), ("eye", 4.0, 0.0), ("mouth corner", 4.0, 0.0),
                                           ("nose", 6.0, 0.0), ("mouth corner", 4.0, 20.0), ("nose", 6.0, 10.0)])
def test_a_known_difference_comes_back_within_its_stated_error(kind, mm, yaw):
    name, row = SPOT[kind]
    from benchmarks.symmetry import bent, true_mm
    true = true_mm(bent(head()[0], kind, mm), name, "shift" if row == 0 else "height")
    found, sd = value(measured((yaw, 0.0, 0.0), kind, mm), kind)
    assert abs(found - true) < 1.96 * sd
    least = 0.5 if yaw == 0 else 0.4  # turned, less is believed (benchmarks/symmetry.md)
    assert abs(found) > least * abs(true) and np.sign(found) == np.sign(true)


def test_the_score_falls_as_a_mouth_corner_drops():
    scores = [measured((0.0, 0.0, 0.0), "mouth corner", mm).region("mouth").score for mm in (0.0, 2.0, 4.0, 6.0)]
    assert scores[0] > 98 and scores[3] < scores[2] < scores[1] and scores[3] < 60


def test_what_one_photo_does_not_show_is_said_and_not_scored():
    found = measured((20.0, 0.0, 0.0))
    assert found.region("cheeks") is None and "--visit" in found.missing["cheek"]
    assert "turned" in found.missing["brow_lateral"] and found.region("jaw") is None
    aside = measured((45.0, 0.0, 0.0))
    assert aside.score is None and not aside.differences


def test_small_and_cut_faces_are_not_measured():
    pixels, camera, marks = photo((0.0, 0.0, 0.0))
    small = photo_symmetry(pixels[:90, :90], camera.resized((90, 90)), head()[0], load_model().anatomy, Landmarks2D(
        scheme=MEDIAPIPE478, points=marks.points / 10, confidence=marks.confidence), rasterize)
    assert small.score is None and "small" in small.missing["eye"]
    moved = Landmarks2D(scheme=MEDIAPIPE478, points=marks.points - [430, 0], confidence=marks.confidence)
    cut = photo_symmetry(pixels, camera, head()[0], load_model().anatomy, moved, rasterize)
    assert cut.score is None and "cuts" in cut.missing["eye"]


def test_the_rectified_photo_does_not_depend_on_the_pose():
    straight, turned = (rectified(*photo(pose)[:2], head()[0], rasterize) for pose in ((0.0, 0, 0), (15.0, 0, 10.0)))
    both = straight.seen & turned.seen
    assert both.mean() > 0.2
    assert np.corrcoef(straight.detail[both], turned.detail[both])[0, 1] > 0.9


def blobs(shift_px, rise_px):
    """Two Gaussians that are mirror images but for a shift and a rise of the left one (the picture's right)."""
    width, height = frontal_camera().size_wh
    y, x = np.mgrid[:height, :width]
    middle = (width - 1) / 2
    detail = sum(np.exp(-((x - middle - sx) ** 2 / 60 + (y - sy) ** 2 / 30)) for sx, sy in (
        (60 + 2 * shift_px, 200 - rise_px), (-60, 200), (54 + 2 * shift_px, 212 - rise_px), (-54, 212)))
    return Rectified(detail=detail, seen=np.ones((height, width), bool), z_mm=np.zeros((height, width)))


@pytest.mark.parametrize("shift_px, rise_px", [(0, 0), (2, 0), (0, 5), (-3, -4), (1, 8)])
def test_a_pair_of_blobs_is_measured_to_a_tenth_of_a_millimetre(shift_px, rise_px):
    match = pair_match(blobs(shift_px, rise_px), 30.0, -20.0, (18.0, 14.0))
    assert match.shift_mm == pytest.approx(shift_px / 2, abs=0.1)
    assert match.height_mm == pytest.approx(rise_px / 2, abs=0.1)


@pytest.mark.parametrize("shift_px", [-8, 0, 3, 10])
def test_a_midline_piece_is_measured_to_a_tenth_of_a_millimetre(shift_px):
    width, height = frontal_camera().size_wh
    y, x = np.mgrid[:height, :width]
    about = x - (width - 1) / 2 - shift_px
    detail = np.exp(-(about**2) / 90 - (y - 200) ** 2 / 60) + np.exp(-((np.abs(about) - 18) ** 2 + (y - 206) ** 2) / 20)
    front = Rectified(detail=detail, seen=np.ones((height, width), bool), z_mm=np.zeros((height, width)))
    assert middle_match(front, -20.0, (44.0, 18.0)).shift_mm == pytest.approx(shift_px / 2, abs=0.1)


def test_flat_skin_and_unseen_skin_say_nothing():
    width, height = frontal_camera().size_wh
    nothing = np.zeros((height, width))
    flat = Rectified(detail=nothing, seen=nothing == 0, z_mm=nothing)
    assert pair_match(flat, 30.0, -20.0, (18.0, 14.0)) is None and middle_match(flat, -20.0, (44.0, 18.0)) is None
    made = blobs(0, 0)
    half = Rectified(detail=made.detail, seen=np.arange(width)[None] * np.ones((height, 1)) > width / 2, z_mm=made.z_mm)
    assert pair_match(half, 30.0, -20.0, (18.0, 14.0)) is None and middle_match(half, -20.0, (44.0, 18.0)) is None
