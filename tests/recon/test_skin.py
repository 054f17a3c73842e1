"""Skin in pictures: the head's skin is in; the wall, open eyes, and dark hair that hangs in are not."""

import numpy as np
import pytest

from recon.skin import all_skin, skin_masks, still_skin, without
from recon.tracks import MOVING
from render.rasterize import rasterize
from tests.recon.turning import turning


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return turning(tmp_path_factory.mktemp("turning"))


def masks_of(film, pictures):
    return skin_masks(film.mesh, still_skin(film.model.anatomy), film.cameras, film.seen.points_px,
                      pictures.__getitem__, rasterize)


def at(mask, px):
    x, y = np.rint(px).astype(int).T
    return mask[y, x] > 0


def test_cheeks_and_nose_are_skin_and_the_wall_is_not(film):
    for mask, points, picture in zip(masks_of(film, film.pictures), film.seen.points_px, film.pictures, strict=True):
        assert at(mask, points[[195, 5]]).all()  # the nose, also where it stands before the wall
        wall = picture[..., 2] > picture[..., 0]
        assert (mask[wall] > 0).mean() < 0.005
    middle = masks_of(film, film.pictures)[len(film.pictures) // 2]
    assert at(middle, film.seen.points_px[len(film.pictures) // 2][[50, 280, 151, 17, 0]]).all()
    assert not at(middle, film.seen.points_px[len(film.pictures) // 2][[468, 473]]).any()


def test_lips_are_taken_out_on_demand(film):
    mask = masks_of(film, film.pictures)[9]
    still = without(mask, film.seen.points_px[9])
    assert at(mask, film.seen.points_px[9][[0, 17]]).all() and not at(still, film.seen.points_px[9][[13, 14]]).any()
    assert len(MOVING) == 3


def test_a_green_patch_on_the_temple_is_left_out_and_a_beard_is_not(film):
    pictures = [p.copy() for p in film.pictures]
    for picture, points in zip(pictures, film.seen.points_px, strict=True):
        for mark, colour in ((127, (20, 160, 40)), (18, (40, 34, 30))):
            x, y = np.rint(points[mark]).astype(int)
            picture[max(y - 8, 0):y + 9, max(x - 8, 0):x + 9] = colour
    mask, points = masks_of(film, pictures)[9], film.seen.points_px[9]
    assert not at(mask, points[[127]])[0]
    assert at(mask, points[[18]])[0]


def test_weights_leave_out_eyes_and_mouth(film):
    anatomy = film.model.anatomy
    weight = still_skin(anatomy)
    assert weight[anatomy.region("eye_l") > 0.5].max() == 0
    assert weight[anatomy.region("mouth_interior") > 0.99].max() < 0.02
    assert weight[anatomy.region("nose") > 0.9].min() > 0.5
    more = all_skin(anatomy)
    assert (more >= weight).all() and (more > 0.5).sum() > (weight > 0.5).sum()
    assert more[(anatomy.region("scalp") > 0.9) & (weight < 0.01)].max() < 0.2
