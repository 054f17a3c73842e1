"""Rims of spectacles: found where they are, and nothing of a bare face is taken for them."""

import cv2
import numpy as np

from recon.models import load_model
from recon.spectacles import WORN, darkness, rims_in, trusted
from recon.tracks import MOVING
from tests.recon.media import astronaut, detector


def worn(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The astronaut in black rims, and where these are (1)."""
    rims = np.zeros(astronaut().shape[:2], np.uint8)
    for outer, inner in ((33, 133), (263, 362)):
        cv2.circle(rims, tuple(np.rint(points[[outer, inner]].mean(0)).astype(int).tolist()), 13, 1, 2)
    cv2.line(rims, *(tuple(np.rint(points[k]).astype(int).tolist()) for k in (133, 362)), 1, 2)
    picture = astronaut().copy()
    picture[rims > 0] = 10
    return picture, rims


def test_rims_are_found_and_a_bare_face_has_none():
    face = detector().follow(astronaut(), None)
    points = face.points_px[:, :2]
    picture, rims = worn(points)
    assert darkness(points[None], lambda _: astronaut()) == 0
    dark = darkness(points[None], lambda _: picture)
    assert dark > WORN
    found = rims_in(picture, points, dark)
    assert found[rims > 0].mean() > 0.9, "they are covered"
    cheeks = np.rint(points[[50, 280, 205, 425, 151]]).astype(int)
    assert not found[cheeks[:, 1], cheeks[:, 0]].any(), "skin is not"


def test_an_eye_is_no_rim():
    points = 4 * detector().follow(astronaut(), None).points_px[:, :2]
    picture = np.full((2048, 2048, 3), 180, np.uint8)
    for loop in MOVING[:2]:
        cv2.fillPoly(picture, [np.rint(points[list(loop)]).astype(np.int32)], (40, 30, 30))
    assert not rims_in(picture, points, 0.6).any()
    cv2.circle(picture, tuple(np.rint(points[[33, 133]].mean(0)).astype(int).tolist()), 70, (20, 20, 20), 6)
    assert rims_in(picture, points, 0.6).any(), "a rim around it is one"


def test_eyes_brows_and_nose_are_believed_from_the_front_alone():
    model = load_model("anny")
    pins = model.template_mm[model.faces[model.anatomy.pins478.face]]
    pins = np.einsum("nkc,nk->nc", pins, model.anatomy.pins478.bary)
    kept = trusted(np.ones((3, 478)), np.array([0.0, 0.5, -0.5]), pins)
    assert kept[0].all(), "the front"
    assert not kept[1:][:, [33, 133, 159, 263, 105, 4, 168]].any()
    assert kept[1:][:, [61, 291, 0, 17, 152, 10]].all(), "mouth, chin and forehead are not behind rims"
