"""What a nose that turns up uncovers in one photo is stretched less than twofold where there is room, not fourfold."""

import numpy as np

from core.correspondence import Correspondence
from synth.warp3d import warped

SIDE, SCALE, UP_PX = 160, 3.0, 15.0
NOSE, BELOW = (slice(20, 60), slice(55, 105)), (slice(60, 120), slice(70, 90))
FOURFOLD, TWOFOLD = 0.8, 0.5
"""Neighbours that part by more than this share of their distance."""


def asked() -> Correspondence:
    """A block 10 mm before still skin moves up."""
    was = (slice(NOSE[0].start + int(UP_PX), NOSE[0].stop + int(UP_PX)), NOSE[1])
    before, after = (np.full((SIDE, SIDE), 510.0) for _ in range(2))
    before[was], after[NOSE] = 500, 500
    u = np.zeros((SIDE, SIDE, 2))
    u[NOSE] = 0, UP_PX
    normals = np.zeros((SIDE, SIDE, 3))
    return Correspondence(left=0, top=0, flow_px=u, depth_after_mm=after, depth_before_mm=before, from_depth_mm=after,
                          moved=after < 505, normals_before=normals, normals_after=normals, mask=np.ones((SIDE, SIDE)),
                          px_per_mm=SCALE)


def drawn(alone: bool, still: np.ndarray | None = None) -> np.ndarray:
    """The motion that the picture is drawn with. alone: of one photo; else the texture is the picture's own."""
    frame = np.random.default_rng(0).integers(120, 180, (SIDE, SIDE, 3), np.uint8)
    skins = None if alone else (lambda: (frame.astype(np.float32), frame.astype(np.float32)))
    u = warped(frame, asked(), skins=skins, still=still).drawn_px
    assert u is not None
    return u


def parts(u: np.ndarray) -> np.ndarray:
    """By which share of their distance the pixels below the nose part from the next."""
    return np.abs(np.diff(u[BELOW][..., 1], axis=0))


def test_skin_that_comes_to_light_below_the_nose_is_stretched_less_than_twofold() -> None:
    u = drawn(alone=True)
    assert parts(u).max() < TWOFOLD
    assert np.allclose(u[30:55, 60:100], [0, UP_PX], atol=0.02) and not u[140:].any()


def test_a_film_whose_texture_shows_what_was_hidden_keeps_its_motion() -> None:
    assert parts(drawn(alone=False)).max() > FOURFOLD


def test_teeth_near_it_stay_and_no_tear_opens_before_them() -> None:
    still = np.zeros((SIDE, SIDE), bool)
    still[86:106] = True
    u = drawn(alone=True, still=still)
    assert not u[86:106].any() and drawn(alone=True)[86:90, 70:90, 1].all()
    assert parts(u).max() < FOURFOLD
