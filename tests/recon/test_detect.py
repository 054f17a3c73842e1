import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from core.transforms import OPENCV_FROM_HEAD, head_rotation
from recon.detect import DetectOptions, Face, confidence, expected_error, region_of
from recon.face478 import (
    angles_rad,
    cam_from_head_rotation,
    expression,
    facing,
    roll_only_rad,
    topology,
    unhidden,
)
from recon.landmark_net import CROP_PX, Patch, Region, cut, patch_around
from tests.recon.media import astronaut, detector, frontal_face, shared, turned_face


def test_topology_is_a_mirror_symmetric_surface():
    t = topology()
    assert np.array_equal(t.mirror[t.mirror], np.arange(478))
    assert t.mirror[33] == 263 and t.mirror[61] == 291 and t.mirror[1] == 1 and t.mirror[468] == 473
    assert len(t.left) * 2 + (t.mirror == np.arange(478)).sum() == 478 and {263, 291, 473} <= set(t.left.tolist())
    outline = set(t.outline.tolist())
    assert {t.mirror[k] for k in outline} == outline
    edges = np.sort(t.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    assert np.unique(edges, axis=0, return_counts=True)[1].max() == 2
    directed = t.triangles[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    assert len(np.unique(directed, axis=0)) == len(directed)  # wound one way throughout


def test_mirror_is_the_face_in_a_mirror():
    points = frontal_face().points_px
    mirrored = points[topology().mirror] * [-1, 1, 1]
    assert np.median(np.linalg.norm(mirrored - points, axis=1)) < 0.04 * frontal_face().height_px
    across = points[topology().left, 0] - points[topology().mirror[topology().left], 0]
    assert (across > 0).mean() > 0.97  # the patient's left is on the picture's right


@pytest.mark.parametrize("yaw, pitch, roll", [(0, 0, 0), (35, 0, 0), (-50, 10, 5), (20, -15, -10), (0, 18, 20)])
def test_angles_of_a_turned_face(yaw, pitch, roll):
    found = np.degrees(turned_face(yaw, pitch, roll).angles_rad)
    assert np.allclose(found, [yaw, pitch, roll], atol=1e-6)


def test_rotation_is_a_rotation_and_signs_are_the_heads():
    r = cam_from_head_rotation(turned_face(30, 5, 5).points_px)
    assert np.allclose(r @ r.T, np.eye(3)) and np.linalg.det(r) == pytest.approx(1)
    assert np.allclose(r, OPENCV_FROM_HEAD @ head_rotation(*np.radians([30.0, 5.0, 5.0])))
    left = turned_face(40).points_px  # turned to the patient's left: the nose moves to the picture's right
    assert left[1, 0] > left[[33, 263], 0].mean()


def test_expression_does_not_depend_on_pose_and_sees_the_mouth():
    front, side = expression(turned_face(0).points_px), expression(turned_face(20, 10, 15).points_px)
    for name in ("mouth", "brow", "smile", "eye"):
        assert getattr(front, name) == pytest.approx(getattr(side, name), rel=0.12)
    open_mouth = turned_face(0).points_px.copy()
    open_mouth[14, 1] += 20
    assert expression(open_mouth).mouth > front.mouth + 0.1
    shut = turned_face(0).points_px.copy()
    for upper, lower in ((160, 144), (158, 153), (387, 373), (385, 380)):
        shut[upper] = shut[lower] + [0, -0.5, 0]
    assert expression(shut).eye < 0.3 * front.eye


def test_hidden_side_is_not_trusted():
    left_cheek, right_cheek, nose = 425, 205, 4
    front, turned = turned_face(0), turned_face(60)
    trust0, trust60 = confidence(front), confidence(turned)
    assert ((trust0 >= 0) & (trust0 <= 1)).all() and ((trust60 >= 0) & (trust60 <= 1)).all()
    assert trust0[[left_cheek, right_cheek, nose]].min() > 0.7
    assert trust60[left_cheek] < 0.02 < 0.1 < trust60[right_cheek]
    assert confidence(turned_face(-60))[right_cheek] < 0.02
    assert facing(turned.points_px)[234] > facing(front.points_px)[234]
    assert unhidden(front.points_px).mean() > 0.9
    assert not unhidden(turned.points_px)[topology().left].all()


def test_expected_error_grows_with_yaw_outline_and_spread():
    errors = [np.median(expected_error(turned_face(y))) for y in (0, 20, 40, 60)]
    assert np.all(np.diff(errors) > 0) and errors[0] < 0.01 < errors[-1]
    t = topology()
    inner = np.setdiff1d(np.arange(468), t.outline)
    error = expected_error(turned_face(30))
    assert np.median(error[t.outline]) > 1.5 * np.median(error[inner])
    calm = turned_face(0)
    shaky = Face(points_px=calm.points_px, spread_px=calm.spread_px * 10, presence=1.0)
    assert (expected_error(shaky) > expected_error(calm)).all()


def test_crop_and_patch_keep_pixel_centres():
    """A bright dot in the picture is found again where the region's map says, whatever the reduction."""
    picture = np.zeros((900, 1200, 3), np.uint8)
    dot = np.array([640.0, 410.0])
    cv2.circle(picture, (640, 410), 14, (255, 255, 255), -1)
    for side, roll in ((180.0, 0.0), (420.0, 0.4), (800.0, -0.7)):
        region = Region(center_px=dot + [20.0, -15.0], side_px=side, roll_rad=roll)
        patch = patch_around(picture, region)
        inner = patch.region(region)
        crop = cut(patch, inner)[..., 0].astype(float)
        y, x = np.mgrid[:CROP_PX, :CROP_PX]
        found = np.array([(x * crop).sum(), (y * crop).sum()]) / crop.sum()
        to = inner.picture_from_crop(CROP_PX)
        back = patch.to_picture((to[:, :2] @ found + to[:, 2])[None])[0]
        assert np.allclose(back, dot, atol=0.15)


def test_patch_at_the_border():
    picture = np.full((120, 100, 3), 77, np.uint8)
    patch = patch_around(picture, Region(center_px=np.array([-30.0, 140.0]), side_px=300.0, roll_rad=0.0))
    assert isinstance(patch, Patch) and min(patch.picture.shape[:2]) >= 1
    assert (cut(patch, Region(center_px=np.array([0.0, 0.0]), side_px=50.0, roll_rad=0.3)) == 77).all()


def test_finds_the_face_at_every_size_and_place():
    face = detector().follow(astronaut(), None)
    assert face is not None and face.presence > 0.99
    eyes = face.points_px[[468, 473], :2]
    assert np.allclose(eyes, [[203, 101], [246, 103]], atol=4)
    for scale in (0.6, 1.7):
        resized = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        other = detector().follow(resized, None)
        assert other is not None
        expected = (face.points_px[:, :2] + 0.5) * scale - 0.5
        assert np.median(np.linalg.norm(other.points_px[:, :2] - expected, axis=1)) < 0.02 * face.height_px * scale


def test_mirrored_picture_gives_mirrored_points():
    face = detector().follow(astronaut(), None)
    mirrored = detector().follow(np.ascontiguousarray(astronaut()[:, ::-1]), None)
    back = mirrored.points_px[topology().mirror][:, :2]
    back[:, 0] = 511 - back[:, 0]
    assert np.median(np.linalg.norm(back - face.points_px[:, :2], axis=1)) < 0.006 * face.height_px


def test_a_moved_crop_gives_the_same_points():
    face = detector().follow(astronaut(), None)
    shifted = np.roll(astronaut(), (17, -9), (0, 1))
    moved = detector().follow(shifted, face)
    assert np.median(np.linalg.norm(moved.points_px[:, :2] - face.points_px[:, :2] - [-9, 17], axis=1)) < 1.0


def test_no_face_in_noise_and_other_things():
    from skimage import data

    rng = np.random.default_rng(0)
    for picture in (rng.integers(0, 255, (480, 640, 3), np.uint8), data.coffee(), np.zeros((300, 300, 3), np.uint8)):
        assert detector().follow(np.ascontiguousarray(picture), None) is None


def test_looks_that_disagree_are_no_face():
    face = turned_face(0)
    unsteady = Face(points_px=face.points_px, spread_px=np.full(478, 0.05 * face.height_px), presence=1.0)
    tiny = turned_face(0, size_px=20)
    unlikely = Face(points_px=face.points_px, spread_px=face.spread_px, presence=0.3)
    assert detector().believable(face)
    assert not any(detector().believable(f) for f in (unsteady, tiny, unlikely))


def test_second_person():
    head = astronaut()[:300, 80:380]
    pair = np.hstack([head, head])
    boxes = detector().boxes(pair)
    face = detector().follow(pair, None, boxes)
    assert len(boxes) == 2 and detector().has_rival(pair, face, boxes)
    background = np.full((300, 300, 3), 120, np.uint8)
    small = cv2.resize(head, (180, 180), interpolation=cv2.INTER_AREA)
    background[60:240, 60:240] = small
    beside = np.hstack([head, background])  # 0.36 of the area
    boxes = detector().boxes(beside)
    assert not detector().has_rival(beside, detector().follow(beside, None, boxes), boxes)
    assert not detector().has_rival(head, detector().follow(head.copy(), None), detector().boxes(head))


def test_follows_the_same_person():
    head = astronaut()[:300, 80:380]
    pair = np.hstack([head, head])
    left = detector().follow(head.copy(), None)
    again = detector().follow(pair, left)
    assert again.points_px[:, 0].max() < 300
    other = Face(points_px=left.points_px + [300, 0, 0], spread_px=left.spread_px, presence=1.0)
    assert detector().follow(pair, other).points_px[:, 0].min() > 300


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_upright_search(turns):
    pictures = [np.ascontiguousarray(np.rot90(p, -turns)) for p in (astronaut(), astronaut()[:400, :400])]
    assert detector().turns_to_upright(pictures) == turns
    assert detector().turns_to_upright([np.full((300, 300, 3), 90, np.uint8)]) == 0


def test_region_is_level_and_centred():
    face = turned_face(0, 0, 25)
    region = region_of(face.points_px)
    assert region.roll_rad == pytest.approx(roll_only_rad(face.points_px))
    assert region.roll_rad == pytest.approx(np.radians(25), abs=0.03) or \
        region.roll_rad == pytest.approx(-np.radians(25), abs=0.03)
    assert region.side_px == pytest.approx(1.5 * face.height_px, rel=0.02)


def test_loading_prints_nothing():
    code = ("import numpy as np; from recon.detect import Detector; "
            "print(Detector().follow(np.zeros((200, 200, 3), np.uint8), None))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=Path(__file__).parents[2])
    assert done.stdout.decode().strip() == "None" and done.stderr.decode() == ""


def test_rendered_capture_against_truth():
    """Real turns: points repeat on the true surface, yaw is right to a few degrees (shared capture)."""
    import av

    truth = np.load(shared("capture_103/truth.npz"))
    K, poses, points = truth["K"], truth["cam_from_head"], truth["landmarks478"]
    with av.open(str(shared("capture_103/video.mp4"))) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    last, yaw_error = None, []
    for k in range(0, 60, 6):
        face = detector().follow(frames[k], last)
        last = face
        rotation = OPENCV_FROM_HEAD @ poses[k][:3, :3]
        yaw = np.arctan2(rotation[0, 2], rotation[2, 2])
        yaw_error.append(np.degrees(angles_rad(face.points_px)[0] - yaw))
        cam = points @ poses[k][:3, :3].T + poses[k][:3, 3]
        px = cam[:, :2] / cam[:, 2:] @ K[:2, :2].T + K[:2, 2]
        trusted = (confidence(face) > 0.02) & np.isfinite(px[:, 0])
        error = np.linalg.norm(face.points_px[:, :2] - px, axis=1) / face.height_px
        assert trusted.sum() > 100 and 0.3 < np.median(error[trusted] / expected_error(face)[trusted]) < 2.5
    assert np.abs(yaw_error).max() < 9


def test_options_are_used():
    from recon.detect import Detector

    strict = Detector(DetectOptions(least_height_px=200.0))
    assert strict.follow(astronaut(), None) is None
