"""Placing: pictures without a face get their cameras from the skin they share with others, or none."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from core.capture import Capture, Frame
from core.progress import silent
from core.transforms import rotation_from_vector
from recon.bundle import BundleOptions, adjust
from recon.placing import DEFAULTS, guesses, place, resected, with_pose
from recon.sides import with_profiles
from recon.skin import outlined
from recon.views import Views
from render.rasterize import rasterize
from tests.recon.turning import turning

LOST = {0, 1, 2, 17}
"""Both ends of the turn: 42 to 32 degrees on one side, the last view on the other."""


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return turning(tmp_path_factory.mktemp("turning"))


def placed(film, pictures):
    cameras = [None if k in LOST else c for k, c in enumerate(film.cameras)]
    return place(film.mesh, outlined(film.model.anatomy), cameras, np.arange(18) / 30, pictures.__getitem__, rasterize)


def test_the_ends_of_a_turn_are_placed_by_their_skin(film):
    found = placed(film, film.pictures)
    assert set(found) == LOST
    for k, one in found.items():
        true, ours = film.cameras[k], one.camera
        turn = true.cam_from_head[:3, :3] @ ours.cam_from_head[:3, :3].T
        assert np.degrees(np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))) < 0.25
        skin = film.mesh.vertices_mm[outlined(film.model.anatomy) > 0.5]
        off = np.linalg.norm(ours.px_from_points(skin) - true.px_from_points(skin), axis=1)
        assert np.median(off) < 0.4 and one.residual_px < 0.3 and ours.size_wh == true.size_wh


def test_a_picture_of_something_else_is_not_placed(film):
    """The head upside down, and a wall: neither agrees with the skin of the others."""
    others = {0: film.pictures[0][::-1].copy(), 17: np.full_like(film.pictures[17], 120)}
    found = placed(film, [others.get(k, p) for k, p in enumerate(film.pictures)])
    assert set(found) == {1, 2}


def test_points_and_pixels_give_the_pose_in_spite_of_strays(film):
    camera, rng = film.cameras[4], np.random.default_rng(3)
    points = film.mesh.vertices_mm[::9]
    px = camera.px_from_points(points) + rng.normal(0, 0.2, (len(points), 2))
    px[::10] += rng.uniform(-30, 30, px[::10].shape)
    moved = camera.cam_from_head.copy()
    moved[:3, :3] = rotation_from_vector(np.array([0.03, -0.04, 0.02])) @ moved[:3, :3]
    moved[:3, 3] += [3.0, -2.0, 8.0]
    pose = resected(points, px, with_pose(camera, moved), DEFAULTS)
    assert np.abs(pose - camera.cam_from_head)[:3, :3].max() < 1e-3
    assert np.abs(pose - camera.cam_from_head)[:3, 3].max() < 0.5


def test_the_first_guess_goes_on_as_the_head_turned(film):
    """Even steps of a turn: the guess beyond the end is the next step, then the last place itself."""
    known = {k: film.cameras[k] for k in (3, 4, 5)}
    first, second = guesses(2, np.array([3, 4, 5]), known, np.arange(18) / 30)
    step = film.cameras[3].cam_from_head[:3, :3] @ film.cameras[4].cam_from_head[:3, :3].T
    np.testing.assert_allclose(first.cam_from_head[:3, :3], step @ film.cameras[3].cam_from_head[:3, :3], atol=1e-9)
    assert second is known[3]


@pytest.mark.parametrize("plain", [False, True])
def test_placed_profiles_are_views_like_the_others(film, plain, tmp_path):
    """The two views at the end are taken for lost ones; of plain walls in their place nothing is kept."""
    frames = [Frame(path=str(film.folder / n), source=n, time_s=k / 30, size_wh=film.cameras[k].size_wh, landmarks=None,
                    sharpness=1.0) for k, n in enumerate(film.names)]
    if plain:
        Image.new("RGB", frames[0].size_wh, (120, 120, 120)).save(tmp_path / "wall.png")
        frames[16:] = [dataclasses.replace(f, path=str(tmp_path / "wall.png")) for f in frames[16:]]
    seen = dataclasses.replace(film.seen, **{n: getattr(film.seen, n)[:16] for n in (
        "points_px", "visible", "size_wh", "lens")})
    capture = Capture(folder=film.folder, kind="video", frames=tuple(frames[:16]), quality={})
    views = Views(film.model, seen, capture.picture, rasterize)
    bundle = adjust(film.model, seen, BundleOptions(modes=60))
    more, shown, wider = with_profiles(views, capture, tuple(frames[16:]), bundle, silent)
    count = 16 if plain else 18
    assert len(more) == len(shown.frames) == len(wider.cam_from_head) == len(wider.reprojection_px) == count
    assert [f.source for f in shown.frames] == film.names[:count] and len(more.cameras(wider)) == count
    assert not more.seen.visible[16:].any() and not wider.weight[16:].any()
    np.testing.assert_array_equal(wider.cam_from_head[:16], bundle.cam_from_head)
    turn = np.degrees([c.head_angles_rad[0] for c in more.cameras(wider)])
    true = np.degrees([c.head_angles_rad[0] for c in film.cameras])
    assert np.abs(turn - true[:count]).max() < 2 + np.abs(turn[:16] - true[:16]).max()
    marks = more.cameras(wider)[-1].px_from_points(wider.landmarks)
    np.testing.assert_allclose(more.seen.points_px[-1], marks if not plain else film.seen.points_px[15])
