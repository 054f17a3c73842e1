"""One photo: faces are found and told apart; the fitted head has the photo's pose and millimetres, however cropped."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from core.face_model import FaceModel
from core.landmarks import MEDIAPIPE478
from core.reconstruction import Scale
from recon.detect import Detector, Face
from recon.observations import lens_prior
from recon.one_photo import (
    QUICK,
    WHOLE,
    adjusted,
    beyond_edge,
    eye_span_px,
    faces_in,
    fit_photos,
    outside_share,
)
from recon.views import MODEL_RESIDUAL_MM, vertex_sd
from render.rasterize import rasterize
from tests.previsage.photos import face, stills


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector()


@pytest.fixture(scope="module")
def found(detector: Detector) -> Face:
    faces, small = faces_in(face(), detector)
    assert len(faces) == 1 and not small
    return faces[0]


def fitted(model: FaceModel, picture: np.ndarray, detector: Detector, options: object = WHOLE) -> object:
    faces, _ = faces_in(picture, detector)
    return fit_photos(model, [picture], faces[:1], [None], rasterize, None, options)[0]


def test_faces_come_from_left_to_right_and_small_ones_are_found_too(detector: Detector) -> None:
    small = cv2.resize(face()[60:500, 80:500], (134, 140), interpolation=cv2.INTER_AREA)
    crowd = np.full((700, 2000, 3), 150, np.uint8)
    for k in range(6):
        crowd[250:390, 60 + 320 * k:194 + 320 * k] = small
    faces, _ = faces_in(crowd, detector)
    assert len(faces) == 6
    assert np.all(np.diff([f.points_px[:468, 0].mean() for f in faces]) > 250)


def test_a_picture_without_a_face_has_none(detector: Detector) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    assert faces_in(noise, detector)[0] == []


def test_a_face_at_the_edge_is_seen_to_be_cut(found: Face) -> None:
    height, width = face().shape[:2]
    assert outside_share(found, (width, height)) == 0
    middle = int(found.points_px[:468, 0].mean())
    assert outside_share(found, (middle, height)) > 0.3
    assert beyond_edge(found, (middle, height)).sum() > 150


def test_the_eyes_span_does_not_shrink_as_the_head_turns(detector: Detector, demo_video: Path, tmp_path: Path) -> None:
    spans = []
    for path, _ in stills(demo_video, (0.0, 30.0, -30.0), tmp_path):
        faces, _ = faces_in(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), detector)
        spans.append(eye_span_px(faces[0]))
    assert np.ptp(spans) < 0.12 * spans[0]


def test_the_pose_is_the_films(model: FaceModel, detector: Detector, demo_video: Path, tmp_path: Path) -> None:
    told = []
    for path, truth in stills(demo_video, (-45.0, -20.0, 0.0, 20.0, 45.0), tmp_path):
        head = fitted(model, cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), detector)
        told.append(head.angles_deg[0])
        off = np.array(head.angles_deg) - np.degrees(truth)
        assert abs(off[0]) < 6 and abs(off[2]) < 4, f"{path.name}: {off}"
    assert np.all(np.diff(told) > 10), "monotone"


def test_millimetres_come_within_the_stated_interval(model: FaceModel, detector: Detector, demo_video: Path,
                                                     tmp_path: Path) -> None:
    truth = np.load(demo_video.parent / "truth.npz")
    true_mm = np.linalg.norm(truth["landmarks478"][33] - truth["landmarks478"][263])
    path, _ = stills(demo_video, (0.0,), tmp_path)[0]
    head = fitted(model, cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), detector)
    pins = head.mesh.points(head.anatomy.pins478)
    assert np.linalg.norm(pins[33] - pins[263]) == pytest.approx(true_mm, rel=head.scale.interval95_percent / 100)


def test_a_typed_distance_sets_the_millimetres(model: FaceModel, found: Face) -> None:
    heads = [fit_photos(model, [face()], [found], [None], rasterize, ipd)[0] for ipd in (58.0, 66.0)]
    assert heads[1].px_per_mm / heads[0].px_per_mm == pytest.approx(58 / 66, rel=1e-6)
    assert heads[0].scale.source == "ipd" and heads[0].scale.sd_relative < 0.03


@pytest.mark.parametrize("options", [WHOLE, QUICK], ids=["whole", "quick"])
def test_the_head_is_drawn_to_the_landmarks(model: FaceModel, found: Face, options: object) -> None:
    head = fit_photos(model, [face()], [found], [None], rasterize, None, options)[0]
    trusted = (head.visible > 0) & (np.arange(478) < 468)
    off = np.linalg.norm(head.camera.px_from_points(head.mesh.points(head.anatomy.pins478)) - found.points_px[:, :2],
                         axis=1)[trusted]
    before = head.neutral.points(head.anatomy.pins478)
    bare = np.linalg.norm(head.camera.px_from_points(before) - found.points_px[:, :2], axis=1)[trusted]
    assert np.median(off) < 0.01 * found.height_px, "less than one per cent of the face"
    assert np.median(off) < np.median(bare)


def test_several_photos_share_one_person(model: FaceModel, detector: Detector, demo_video: Path,
                                         tmp_path: Path) -> None:
    pictures = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB)
                for p, _ in stills(demo_video, (-35.0, 0.0, 35.0), tmp_path)]
    faces = [faces_in(p, detector)[0][0] for p in pictures]
    heads = fit_photos(model, pictures, faces, [None] * 3, rasterize)
    assert all(h.neutral is heads[0].neutral and h.scale is heads[0].scale for h in heads)
    assert heads[0].angles_deg[0] < -25 < 25 < heads[2].angles_deg[0]


def test_a_crop_tells_less_of_the_lens_than_of_the_distance(found: Face) -> None:
    whole, sd = lens_prior(found.height_px, (576, 576), None)
    cropped, _ = lens_prior(found.height_px, (300, 300), None)
    assert cropped / whole > np.sqrt(300 / 576), "the distance holds it"
    assert sd > 0.2
    assert lens_prior(found.height_px, (576, 576), 700.0) == (700.0, pytest.approx(0.03))


def test_landmarks_of_the_head_are_of_the_scheme(model: FaceModel, found: Face) -> None:
    assert found.landmarks().scheme == MEDIAPIPE478


def test_the_skins_spread_is_that_of_its_modes(model: FaceModel, found: Face) -> None:
    views, bundle = adjusted(model, [face()], [found], [None], rasterize)
    mesh, unit = views.neutral(bundle), Scale(mm_per_unit=1.1, source="ipd", sd_relative=1e-9)
    at = np.arange(0, len(mesh.vertices_mm), 211)
    basis = model.identity_basis_mm[:, at].astype(float)
    square = np.einsum("kvc,kl,lvc->v", basis, bundle.identity_cov, basis) * 1.1**2 / 3
    assert np.allclose(vertex_sd(model, bundle, mesh, unit)[at], np.sqrt(square + MODEL_RESIDUAL_MM**2), rtol=1e-4)
