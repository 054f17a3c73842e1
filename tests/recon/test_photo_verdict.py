"""Verdict on one photo: what is wrong is named with what to do, and nothing else."""

import dataclasses

import cv2
import numpy as np
import pytest

from recon.detect import Detector, Face
from recon.face478 import MOUTH_CORNERS
from recon.one_photo import eye_span_px, faces_in
from recon.photo_verdict import judge_photo, smiles
from tests.previsage.photos import face


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def found(detector: Detector) -> Face:
    return faces_in(face(), detector)[0][0]


def wrong(verdict: object) -> set[str]:
    return {f.name for f in verdict.findings if f.level != "green"}


def test_a_smiling_frontal_portrait_is_named_for_its_smile_alone(found: Face) -> None:
    grain = np.random.default_rng(0).normal(0, 10, (*face().shape[:2], 1))
    sharp = np.clip(face() + grain, 0, 255).astype(np.uint8)
    verdict = judge_photo(sharp, found, (1.0, 3.0, 1.0), 170.0)
    assert verdict.view == "frontal" and wrong(verdict) == {"mouth", "smile"}
    assert "sharpness" in wrong(judge_photo(face(), found, (1.0, 3.0, 1.0), 170.0)), "it was enlarged"


@pytest.mark.parametrize(("angles", "eyes", "names", "view"), [
    ((25.0, 0.0, 0.0), 170.0, {"view"}, ""), ((-47.0, 0.0, 0.0), 170.0, set(), "left three-quarter"),
    ((92.0, 0.0, 0.0), 170.0, set(), "right profile"), ((0.0, 20.0, 0.0), 170.0, {"nod"}, "frontal"),
    ((0.0, 0.0, -9.0), 170.0, {"tilt"}, "frontal"), ((0.0, 0.0, 0.0), 100.0, {"size"}, "frontal")])
def test_angles_and_size_are_judged(found: Face, angles: tuple[float, float, float], eyes: float, names: set[str],
                                    view: str) -> None:
    verdict = judge_photo(face(), found, angles, eyes)
    assert wrong(verdict) - {"mouth", "smile", "sharpness"} == names and verdict.view == view
    assert verdict.level == ("amber" if wrong(verdict) else "green")


def test_a_mouth_at_rest_is_no_smile(found: Face) -> None:
    points = found.points_px.copy()
    left, right = MOUTH_CORNERS
    middle = (points[left] + points[right]) / 2
    points[[left, right]] = middle + 0.75 * (points[[left, right]] - middle)
    assert smiles(found) and not smiles(dataclasses.replace(found, points_px=points))


def test_blur_and_darkness_are_seen(found: Face) -> None:
    blurred = cv2.GaussianBlur(face(), (0, 0), 6)
    assert "sharpness" in wrong(judge_photo(blurred, found, (0.0, 0.0, 0.0), 170.0))
    dark = (face() * 0.08).astype(np.uint8)
    verdict = judge_photo(dark, found, (0.0, 0.0, 0.0), 170.0)
    assert "light" in wrong(verdict) and verdict.level == "red" and "window" in verdict.sentence


def test_the_eyes_span_is_what_is_judged(found: Face) -> None:
    assert 60 < eye_span_px(found) < 160
