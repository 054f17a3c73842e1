"""The wireframe: its table, projection, and what the head hides."""

import hashlib
import json

import numpy as np

from core.landmarks import MEDIAPIPE478, Landmarks2D, Landmarks3D
from core.transforms import head_rotation
from render.rasterize import Rasterizer
from render.wireframe import COLORS, TABLE, WireframeOptions, edges478, overlay, pinned, project_landmarks, wireframe
from tests.core.builders import pins, sphere
from tests.render.scenes import front_camera


def points_on_globe(seed: int = 0) -> tuple[Landmarks3D, Rasterizer]:
    mesh = sphere(60, 60, 120)
    return pinned(mesh, pins(np.random.default_rng(seed), mesh, 478)), Rasterizer(mesh)


def test_table_is_what_its_card_says() -> None:
    table = json.loads(TABLE.read_text("utf-8"))
    assert hashlib.sha256(json.dumps(table["edges"], sort_keys=True).encode()).hexdigest() == table["card"]["sha256"]
    assert {"source", "licence"} <= set(table["card"]) and table["scheme"] == MEDIAPIPE478
    counts = {group: len(pairs) for group, pairs in edges478().items()}
    assert counts == {"face_oval": 36, "eye_l": 16, "eye_r": 16, "brow_l": 8, "brow_r": 8, "iris_l": 4, "iris_r": 4,
                      "lips": 40, "nose": 25, "tessellation": 1322}
    assert set(COLORS) == set(counts)
    pairs = np.concatenate(list(edges478().values()))
    assert pairs.min() == 0 and pairs.max() == 477


def test_left_is_the_patients_left() -> None:
    """MediaPipe's outer eye corners: 263 at the patient's left, 33 at the right; iris centres 473 and 468 likewise."""
    assert 263 in edges478()["eye_l"] and 33 in edges478()["eye_r"]
    assert set(edges478()["iris_l"].ravel()) == {474, 475, 476, 477}


def test_far_side_points_are_hidden() -> None:
    landmarks, rasterizer = points_on_globe()
    camera = front_camera(300.0, (200, 200), rotation=head_rotation(0.5, 0.2, 0.0))
    seen = project_landmarks(landmarks, camera, rasterizer)
    outward = landmarks.points / np.linalg.norm(landmarks.points, axis=1, keepdims=True)
    towards = camera.position_mm - landmarks.points
    facing = np.einsum("nk,nk->n", outward, towards / np.linalg.norm(towards, axis=1, keepdims=True))
    assert np.all(seen.confidence[facing > 0.1] == 1)
    assert np.all(seen.confidence[facing < -0.25] == 0)
    assert np.abs(seen.points - camera.px_from_points(landmarks.points)).max() < 1e-9


def test_the_landmarks_own_confidence_stays() -> None:
    landmarks, rasterizer = points_on_globe()
    doubtful = Landmarks3D(scheme=MEDIAPIPE478, points=landmarks.points, confidence=np.full(478, 0.3))
    seen = project_landmarks(doubtful, front_camera(), rasterizer)
    assert set(np.unique(seen.confidence)) == {0.0, 0.3}


def test_an_edge_with_a_hidden_end_is_not_drawn() -> None:
    points = np.full((478, 2), 5.0)
    first, second = edges478()["nose"][0]
    points[first], points[second] = (10, 20), (50, 20)
    options = WireframeOptions(groups=("nose",), thickness_px=1)

    def drawn(confidence: float) -> np.ndarray:
        trust = np.zeros(478)
        trust[first], trust[second] = 1, confidence
        shown = wireframe(Landmarks2D(scheme=MEDIAPIPE478, points=points, confidence=trust), (64, 48), options)
        return np.any(shown > 0, axis=-1)

    assert not drawn(0.0).any()
    assert drawn(1.0)[20, 10:51].all()
    assert not drawn(1.0)[24:].any()  # a horizontal line through pixel centres stays where it is


def test_overlay_keeps_the_picture_given() -> None:
    landmarks, rasterizer = points_on_globe()
    camera = front_camera()
    grey = np.full((120, 160, 3), 90, np.uint8)
    shown = overlay(grey, project_landmarks(landmarks, camera, rasterizer))
    assert np.all(grey == 90) and np.any(shown != 90)
