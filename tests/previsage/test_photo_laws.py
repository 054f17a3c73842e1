"""What an operation on one photo must obey, whatever the photo: nothing asked, nothing changed; the same again; more is
more; what is asked is moved; left is right; and the same millimetres however the face lies in the picture."""

from functools import cache

import numpy as np
import pytest

from benchmarks.photo_measures import (
    Made,
    Ours,
    about,
    by_map,
    flow_at,
    framings,
    in_memory,
    landed,
    sized,
    symmetric,
)
from core.plan import Plan
from previsage.photo import asked_plan, begin, carried_out
from previsage.photo_study import Study
from previsage.portrait import portrait
from synth.rigid_parts import EYES, rigid_parts

MODES = ("tps", "warp3d")
JOWLS = (172, 397)
WINGS = (59, 166, 289, 392)
"""Landmarks on the lower border of the nose's wings."""


@cache
def face() -> np.ndarray:
    """A face of 290 px in a picture of 768 px."""
    return sized(portrait(), (768, 768))


@cache
def study() -> Study:
    return begin(in_memory(face()))


@cache
def made(mode: str, procedure: str = "rhinoplasty", intensity: float = 100) -> Made:
    done = carried_out(study(), asked_plan(procedure, intensity, None), mode)
    return Made(before=face(), after=done.output, mask=done.mask, start=done.landmarks_before, end=done.landmarks_after)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("procedure", ["rhinoplasty", "rhytidectomy"])
def test_nothing_asked_changes_nothing_and_outside_nothing_ever_does(mode: str, procedure: str) -> None:
    assert np.array_equal(made(mode, procedure, 0).after, face())
    whole = made(mode, procedure)
    changed = (whole.after != face()).any(-1)
    assert changed.any() and not changed[whole.mask <= 0].any()


def test_a_small_face_moves_its_wings_as_a_large_one_does() -> None:
    """In pixels of 2 mm, half of a pixel's wing is cheek, which stays."""
    photo, make = framings(face())["0.25 x the pixels"][0], Ours("warp3d")
    small = make(photo, "rhinoplasty", 100)
    assert by_map(make.study, "rhinoplasty", 100, small, np.array(WINGS)) > 0.85
    assert np.array_equal(make(photo, "rhinoplasty", 0).after, photo)
    changed = (small.after != photo).any(-1)
    assert changed.any() and not changed[small.mask <= 0].any()


@pytest.mark.parametrize("mode", MODES)
def test_the_same_photo_gives_the_same_bytes(mode: str) -> None:
    again = Ours(mode)(face().copy(), "rhinoplasty", 100)
    assert np.array_equal(again.after, made(mode).after)
    assert not np.array_equal(made(mode, intensity=80).after, again.after)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("procedure", ["rhinoplasty", "rhytidectomy", "brow_lift"])
def test_more_is_more_and_what_is_asked_is_moved(mode: str, procedure: str) -> None:
    pairs = [landed(made(mode, procedure, intensity)) for intensity in (40, 70, 100)]
    asked, share = np.array(pairs).T
    assert asked[0] > 1 and np.all(np.diff(asked) > 0) and np.all(np.diff(asked * share) > 0)
    assert np.all((share > 0.9) & (share < 1.1)), share


def test_the_measure_sees_half_the_motion() -> None:
    whole, half = made("tps"), made("tps", intensity=50)
    assert landed(whole._replace(after=half.after))[1] == pytest.approx(0.5, abs=0.08)
    assert landed(whole._replace(after=face()))[1] == pytest.approx(0, abs=0.02)


@cache
def mirrored() -> Study:
    return begin(in_memory(symmetric(face())))


def jowls(mode: str, plan: Plan) -> tuple[float, float]:
    """Motion of the left and the right jowl on a symmetric face (px)."""
    done = carried_out(mirrored(), plan, mode)
    pair = Made(before=done.photo.picture, after=done.output, mask=done.mask, start=done.landmarks_before,
                end=done.landmarks_after)
    right, left = (np.prod(landed(pair, about(pair.start, corner, 0.16))) for corner in JOWLS)
    return float(left), float(right)


@pytest.mark.parametrize("mode", MODES)
def test_left_is_right_on_a_symmetric_face(mode: str) -> None:
    left, right = jowls(mode, asked_plan("rhytidectomy", 100, None))
    assert left > 2 and 0.9 < left / right < 1.1


def test_one_side_alone_is_seen_to_be_one_side() -> None:
    plan = Plan.model_validate({"procedures": [{"procedure": "rhytidectomy", "intensity": 100, "side": "left"}]})
    done = carried_out(mirrored(), plan, "tps")
    changed = (done.output != done.photo.picture).any(-1)
    half = changed.shape[1] // 2
    assert changed[:, half:].sum() > 20 * changed[:, :half].sum(), "the patient's left is the picture's right"


FRAMES = ("0.25 x the pixels", "0.5 x the pixels", "2 x the pixels", "rolled by -30°", "rolled by 30°", "cut close",
          "face to the side", "a third of the frame")


def along(made: Made, back: np.ndarray, rows: np.ndarray, asked: np.ndarray) -> tuple[float, float]:
    """Asked and moved in the first frame's pixels, over what was asked there and along it."""
    both = (made.end - made.start)[rows] @ back.T, flow_at(made, rows) @ back.T
    wanted, moved = (float((v * asked).sum() / (asked**2).sum()) for v in both)
    return wanted, moved


@pytest.mark.parametrize("frame", FRAMES)
def test_the_same_millimetres_in_every_frame(frame: str) -> None:
    first = made("tps")
    asked = (first.end - first.start)[:468]
    size = np.linalg.norm(asked, axis=1)
    rows = np.flatnonzero(size > size.max() / 2)
    start = along(first, np.eye(2), rows, asked[rows])
    picture, M = framings(face())[frame]
    wanted, moved = along(Ours("tps")(picture, "rhinoplasty", 100), np.linalg.inv(M[:, :2]), rows, asked[rows])
    assert wanted == pytest.approx(1, abs=0.05)
    if frame != "0.25 x the pixels":  # a face of 73 px: flow cannot tell so little
        assert moved / start[1] == pytest.approx(1, abs=0.05)


def test_a_hidden_eye_holds_nothing() -> None:
    points, seen = study().face.points_px[:, :2], np.ones(478, bool)
    both = rigid_parts(points, face().shape[:2])
    assert np.array_equal(rigid_parts(points, face().shape[:2], seen), both)
    seen[list(EYES[0])] = False
    one = rigid_parts(points, face().shape[:2], seen)
    x, y = points[list(EYES[0])].mean(0).astype(int)
    assert both[y, x] and not one[y, x] and one.any()


def test_tps_asks_nothing_of_the_lids_edges_which_it_leaves_on_the_eye() -> None:
    asked = made("tps", "blepharoplasty_upper")
    lids = [*EYES[0], *EYES[1]]
    assert np.array_equal(asked.start[lids], asked.end[lids]) and np.abs(asked.end - asked.start).max() > 2
