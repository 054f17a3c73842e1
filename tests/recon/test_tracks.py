"""Skin followed through pictures that move as told: where it went, what is left out, and what is not linked."""

import cv2
import numpy as np
import pytest

from recon.models import load_model
from recon.tracks import MOVING, OVAL, TrackOptions, Tracks, flow, follow, long_enough, skin_mask
from tests.recon.heads import camera_at, freckled

SHIFT_PX = np.array([5.3, -2.2])
VIEWS = 6
SIZE_WH = (360, 480)


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    """Landmarks (478,2) of the mean head seen from the front."""
    model = load_model()
    camera = camera_at(0, size_wh=SIZE_WH, focal_px=420)
    return camera.px_from_points(model.mean_mesh().points(model.anatomy.pins478))


def moved_picture(texture: np.ndarray, shift_px: np.ndarray) -> np.ndarray:
    """A window on a large texture; what was at x is at x + shift."""
    matrix = np.float64([[1, 0, -60 + shift_px[0]], [0, 1, -60 + shift_px[1]]])
    return cv2.warpAffine(texture, matrix, SIZE_WH, flags=cv2.INTER_CUBIC)


@pytest.fixture(scope="module")
def film(face):
    """Pictures, landmarks and yaws in shuffled order: view k shows the texture moved by step[k] times the shift."""
    step = np.random.default_rng(0).permutation(VIEWS)
    texture = freckled(600, seed=1).rgb
    return ([moved_picture(texture, k * SHIFT_PX) for k in step], np.stack([face + k * SHIFT_PX for k in step]),
            0.05 * step, step)


def test_points_go_where_the_texture_goes(film):
    pictures, landmarks, yaw, step = film
    tracks = follow(pictures.__getitem__, landmarks, yaw, [0] * VIEWS)
    assert tracks.count > 80
    rest = tracks.px - step[tracks.view][:, None] * SHIFT_PX  # where each sighting was in the unmoved picture
    mean = np.stack([np.bincount(tracks.point, rest[:, k]) for k in range(2)], 1) / np.bincount(tracks.point)[:, None]
    off = np.linalg.norm(rest - mean[tracks.point], axis=1)
    assert np.median(off) < 0.08 and np.percentile(off, 99) < 0.5
    assert np.bincount(tracks.point).min() >= TrackOptions().least_views
    assert np.bincount(tracks.point).max() == VIEWS


def test_the_landmarks_only_guess(film):
    """Landmarks that lag 3 px behind the skin do not drag the tracks along."""
    pictures, landmarks, yaw, step = film
    lagging = landmarks - (3 * (step % 2))[:, None, None]
    tracks = follow(pictures.__getitem__, lagging, yaw, [0] * VIEWS)
    rest = tracks.px - step[tracks.view][:, None] * SHIFT_PX
    mean = np.stack([np.bincount(tracks.point, rest[:, k]) for k in range(2)], 1) / np.bincount(tracks.point)[:, None]
    assert tracks.count > 50
    assert np.median(np.linalg.norm(rest - mean[tracks.point], axis=1)) < 0.1


def test_a_point_is_seen_once_per_view_and_numbers_have_no_gaps(film):
    pictures, landmarks, yaw, _ = film
    tracks = follow(pictures.__getitem__, landmarks, yaw, [0] * VIEWS)
    pairs = np.stack([tracks.view, tracks.point], 1)
    assert len(np.unique(pairs, axis=0)) == len(pairs)
    assert np.array_equal(np.unique(tracks.point), np.arange(tracks.count))


def test_every_sighting_lies_on_still_skin(film):
    pictures, landmarks, yaw, _ = film
    tracks = follow(pictures.__getitem__, landmarks, yaw, [0] * VIEWS)
    for view in range(VIEWS):
        xy = np.rint(tracks.px[tracks.view == view]).astype(int)
        mask = cv2.dilate(skin_mask(landmarks[view], pictures[view].shape[:2]), np.ones((3, 3), np.uint8))
        assert mask[xy[:, 1], xy[:, 0]].all()


@pytest.mark.parametrize("broken", ["groups", "yaw"])
def test_other_lenses_and_far_turns_are_not_linked(film, broken):
    """Three views on either side of a break: with tracks of at least three views, none crosses it."""
    pictures, landmarks, yaw, step = film
    half = (step >= 3).astype(int)
    turned = yaw + (0.5 * half if broken == "yaw" else 0)
    groups = half.tolist() if broken == "groups" else [0] * VIEWS
    tracks = follow(pictures.__getitem__, landmarks, turned, groups, TrackOptions(least_views=3))
    assert tracks.count > 50
    for point in range(tracks.count):
        assert len(set(half[tracks.view[tracks.point == point]])) == 1
    assert follow(pictures.__getitem__, landmarks, turned, groups, TrackOptions(least_views=4)).count == 0


def test_pictures_that_do_not_match_give_no_tracks(face):
    """Every picture is another skin: forwards and backwards do not agree."""
    pictures = [moved_picture(freckled(600, seed=k).rgb, np.zeros(2)) for k in range(5)]
    tracks = follow(pictures.__getitem__, np.stack([face] * 5), 0.05 * np.arange(5), [0] * 5)
    assert tracks.count <= 3


def test_plain_skin_has_nothing_to_follow(face):
    grey = np.full((SIZE_WH[1], SIZE_WH[0], 3), 140, np.uint8)
    assert follow(lambda k: grey, np.stack([face] * 4), 0.05 * np.arange(4), [0] * 4).count == 0


def test_flow_finds_a_known_shift_and_flags_what_it_cannot_follow():
    texture = freckled(600, seed=2).rgb[..., 1]
    before, after = texture[50:350, 50:350], texture[47:347, 43:343].copy()  # moved by (+7, +3)
    points = np.array([[60.0, 80], [150, 150], [240, 60], [200, 250]])
    after[220:290, 170:240] = 128  # the last point vanishes
    there, good = flow(before, after, points, points, 0.5)
    assert good.tolist() == [True, True, True, False]
    assert np.allclose(there[:3] - points[:3], [7, 3], atol=0.05)


def test_the_mask_is_still_skin_inside_the_face(face):
    mask = skin_mask(face, (SIZE_WH[1], SIZE_WH[0]))
    assert set(np.unique(mask)) == {0, 255}
    at = lambda xy: mask[round(xy[1]), round(xy[0])]  # noqa: E731
    for loop in MOVING:
        assert at(face[list(loop)].mean(0)) == 0
        assert not any(at(p) for p in face[list(loop)])
    for skin in (5, 50, 280, 151, 205, 425):  # dorsum, cheeks, forehead
        assert at(face[skin]) == 255
    middle = face[list(OVAL)].mean(0)
    assert not any(at(middle + 1.02 * (p - middle)) for p in face[list(OVAL)])


def test_the_mask_keeps_off_the_outline(face):
    """By a hundredth of the face's height, here on a large picture, where pixels are small against it."""
    large = face * 3
    mask = skin_mask(large, (3 * SIZE_WH[1], 3 * SIZE_WH[0]))
    edge = cv2.convexHull(large[list(OVAL)].astype(np.float32))
    inside = np.argwhere(mask)[::31, ::-1].astype(float)
    distance = [cv2.pointPolygonTest(edge, tuple(p), True) for p in inside]
    assert min(distance) > 0.005 * np.ptp(large[:, 1])


def test_short_tracks_are_dropped():
    view, name = np.array([0, 1, 2, 0, 1, 0, 1, 2, 3]), np.array([4, 4, 4, 1, 1, 9, 9, 9, 9])
    px = np.arange(18.0).reshape(9, 2)
    kept = long_enough(view, name, px, 3)
    assert kept.point.tolist() == [0, 0, 0, 1, 1, 1, 1] and kept.count == 2
    assert np.array_equal(kept.px, px[[0, 1, 2, 5, 6, 7, 8]])
    nothing = long_enough(view[:0], name[:0], px[:0], 3)
    assert isinstance(nothing, Tracks) and nothing.count == 0
