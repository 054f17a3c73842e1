"""Control pictures, encodings and edges: against MediaPipe's own drawing, closed forms, and dark skin."""

import json

import numpy as np
import pytest
from skimage import data as pictures

from core.anatomy import Anatomy
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.mesh import Mesh
from core.transforms import head_rotation
from render.conditions import (
    CONTROL,
    OVAL,
    PUPILS,
    adaptive_edges,
    control_picture,
    depth_picture,
    drawn478,
    metric_depth_picture,
    normal_picture,
    oval_offsets,
    region_labels,
    region_mask,
)
from render.rasterize import rasterize
from render.wireframe import edges478, pinned
from tests.core.builders import pins, sphere
from tests.render.scenes import front_camera, square

SIZE_WH = (320, 256)


def scattered(seed: int, low: float = 0.0, high: float = 1.0) -> Landmarks2D:
    """Points anywhere: every slope of a line, and with a wider range some outside."""
    points = np.random.default_rng(seed).uniform(low, high, (478, 2)) * SIZE_WH - 0.5
    return Landmarks2D(scheme=MEDIAPIPE478, points=points, confidence=np.ones(478))


def mediapipe_drawing(landmarks: Landmarks2D, groups: tuple[str, ...]) -> np.ndarray:
    """What MediaPipe's drawing utility makes of some groups, in the annotator's colours and thickness."""
    from mediapipe.framework.formats import landmark_pb2
    from mediapipe.python.solutions import drawing_utils
    from mediapipe.python.solutions import face_mesh_connections as known

    tables = {"face_oval": known.FACEMESH_FACE_OVAL, "eye_l": known.FACEMESH_LEFT_EYE,
              "brow_l": known.FACEMESH_LEFT_EYEBROW, "eye_r": known.FACEMESH_RIGHT_EYE,
              "brow_r": known.FACEMESH_RIGHT_EYEBROW, "lips": known.FACEMESH_LIPS}
    spec = {edge: drawing_utils.DrawingSpec(color=CONTROL[group][::-1], thickness=2)
            for group in groups for edge in tables[group]}
    width, height = SIZE_WH
    several = landmark_pb2.NormalizedLandmarkList()
    for x, y in landmarks.points:
        several.landmark.add(x=(x + 0.5) / width, y=(y + 0.5) / height, z=0.0)
    canvas = np.zeros((height, width, 3), np.uint8)
    drawing_utils.draw_landmarks(canvas, several, list(spec), None, spec)
    return canvas[..., ::-1]


@pytest.mark.parametrize(("seed", "low", "high"), [(1, 0.0, 1.0), (2, 0.02, 0.98), (3, -0.2, 1.2)])
def test_the_strokes_are_mediapipes_own(seed: int, low: float, high: float) -> None:
    """Pixel for pixel, also with points outside the picture."""
    landmarks = scattered(seed, low, high)
    ours, theirs = control_picture(landmarks, SIZE_WH), mediapipe_drawing(landmarks, tuple(CONTROL))
    for number in PUPILS:  # drawn by the annotator, not by MediaPipe
        x, y = np.floor(landmarks.points[number] + 0.5).astype(int)
        box = np.s_[max(y - 2, 0):max(y + 2, 0), max(x - 2, 0):max(x + 2, 0)]
        inside = 0 <= x < SIZE_WH[0] and 0 <= y < SIZE_WH[1]
        if inside:
            assert np.all(ours[box] == PUPILS[number])
            theirs[box] = PUPILS[number]
    assert np.array_equal(ours, theirs)
    assert ours.any()


def test_colours_are_the_published_ones() -> None:
    """reconstruction.md 5.3, from controlnet_aux: final RGB."""
    assert CONTROL == {"eye_r": (180, 200, 10), "brow_r": (180, 220, 10), "eye_l": (10, 200, 180),
                       "brow_l": (10, 220, 180), "lips": (10, 180, 10), "face_oval": (10, 200, 10)}
    assert PUPILS == {468: (250, 200, 10), 473: (10, 200, 250)}
    seen = {tuple(c) for c in control_picture(scattered(4), SIZE_WH).reshape(-1, 3)}
    assert seen == {(0, 0, 0), *CONTROL.values(), *PUPILS.values()}


def test_hidden_points_are_drawn_as_in_training_or_left_out() -> None:
    landmarks = scattered(5)
    eye = np.unique(edges478()["eye_l"])
    sure = np.ones(478)
    sure[[*eye, 473]] = 0
    partly = Landmarks2D(scheme=MEDIAPIPE478, points=landmarks.points, confidence=sure)
    assert np.array_equal(control_picture(partly, SIZE_WH), control_picture(landmarks, SIZE_WH))
    without = control_picture(partly, SIZE_WH, "left out")
    colors = {tuple(c) for c in without.reshape(-1, 3)}
    assert CONTROL["eye_l"] not in colors and PUPILS[473] not in colors and CONTROL["eye_r"] in colors


def test_the_oval_is_drawn_where_the_detector_draws_it() -> None:
    """Only the oval leaves the skin, alike on both sides, and it goes along with a moved chin."""
    numbers, offsets = oval_offsets()
    assert set(numbers) == set(np.unique(edges478()["face_oval"]))
    mirror = json.loads((OVAL.parent / "mediapipe478.json").read_text())["mirror"]
    twin = dict(zip(numbers.tolist(), offsets, strict=True))
    assert all(np.allclose(twin[mirror[n]], o * [-1, 1, 1]) for n, o in twin.items())
    assert 5 < np.linalg.norm(offsets, axis=1).max() < 20 and np.abs(offsets[numbers == 152]).max() < 3
    mesh = sphere(60, 60, 120)
    pinned478 = pins(np.random.default_rng(0), mesh, 478)
    moved = mesh.moved(np.full_like(mesh.vertices_mm, 2.5))
    skin, drawn = pinned(mesh, pinned478), drawn478(mesh, pinned478)
    others = np.setdiff1d(np.arange(478), numbers)
    assert np.array_equal(drawn.points[others], skin.points[others])
    assert np.allclose(drawn.points[numbers] - skin.points[numbers], offsets)
    assert np.allclose(drawn478(moved, pinned478).points - drawn.points, 2.5)


def test_a_tiny_face_is_not_drawn() -> None:
    landmarks = scattered(6)
    for side, drawn in ((63.0, False), (65.0, True)):
        points = landmarks.points - landmarks.points.min(0)
        points = points / points.max(0) * [200.0, side] + 10
        tiny = Landmarks2D(scheme=MEDIAPIPE478, points=points, confidence=np.ones(478))
        assert control_picture(tiny, SIZE_WH).any() == drawn


def test_depth_is_linear_in_its_inverse_and_metric_in_tenths() -> None:
    mesh, camera = sphere(60, 60, 120), front_camera()
    fragments = rasterize(mesh, camera)
    shown, seen = depth_picture(fragments), fragments.covered
    assert shown[seen].max() == 255 and shown[seen].min() == 1 and not shown[~seen].any()
    inverse = 1 / fragments.depth_mm[seen].astype(float)
    expected = 1 + 254 * (inverse - inverse.min()) / np.ptp(inverse)
    assert np.abs(shown[seen] - expected).max() <= 0.51
    metric = metric_depth_picture(fragments)
    assert metric.dtype == np.uint16 and not metric[~seen].any()
    assert np.abs(metric[seen] / 10 - fragments.depth_mm[seen]).max() <= 0.051
    flat = depth_picture(rasterize(square(40.0), camera))
    assert set(np.unique(flat)) == {0, 255}


def test_normals_point_right_up_and_to_the_camera() -> None:
    mesh = sphere(60, 60, 120)
    for yaw in (0.0, 0.7):  # camera axes: the turn of a globe cannot be seen
        camera = front_camera(rotation=head_rotation(yaw, 0.0, 0.0))
        shown = normal_picture(rasterize(mesh, camera), mesh, camera).astype(int)
        assert np.abs(shown[60, 80] - [128, 128, 255]).max() <= 4
        assert shown[60, 130, 0] > 200 and shown[60, 30, 0] < 55
        assert shown[20, 80, 1] > 180 and shown[100, 80, 1] < 75
        assert np.all(shown[0, 0] == 128)


def three_regions(mesh: Mesh) -> Anatomy:
    """A face over the front, a nose within it, and an ear beside, with soft edges."""
    x, _, z = mesh.vertices_mm.T
    weights = np.stack([np.clip(z / 20, 0, 1), np.clip((z - 50) / 5, 0, 1), np.clip((x - 50) / 5, 0, 1)])
    pinned = pins(np.random.default_rng(0), mesh, 478)
    return Anatomy(pins478=pinned, pin_names=("prn",), pin_points=pinned[[0]],
                   region_names=("face", "nose", "ear_l"), region_weights=weights)


def test_regions_are_named_by_the_narrowest() -> None:
    mesh, camera = sphere(60, 60, 120), front_camera()
    known = three_regions(mesh)
    fragments = rasterize(mesh, camera)
    name = known.region_names[0]
    mask = region_mask(fragments, mesh, known, name)
    assert mask.min() == 0 and mask.max() <= 1 + 1e-6 and not mask[~fragments.covered].any()
    labels = region_labels(fragments, mesh, known)
    masks = np.stack([region_mask(fragments, mesh, known, n) for n in known.region_names])
    size = known.region_weights.sum(1)
    allowed = np.where(masks >= 0.5, size[:, None, None], np.inf)
    expected = np.where(np.isfinite(allowed.min(0)), allowed.argmin(0) + 1, 0)
    assert np.array_equal(labels, expected) and set(np.unique(labels)) == {0, 1, 2, 3}
    with pytest.raises(KeyError, match="no region"):
        region_mask(fragments, mesh, known, "tail")


def test_dark_skin_gives_the_edges_of_light_skin() -> None:
    """The same face with a third of its light keeps its edges; fixed thresholds would lose most."""
    import cv2

    face = pictures.astronaut()[:256, 96:352]
    dark = (face * (1 / 3)).astype(np.uint8)
    light_edges, dark_edges = adaptive_edges(face), adaptive_edges(dark)
    assert light_edges.dtype == bool and 0.02 < light_edges.mean() < 0.2
    near = cv2.dilate(light_edges.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert near[dark_edges].mean() > 0.9
    assert dark_edges.sum() > 0.85 * light_edges.sum()
    fixed = [(cv2.Canny(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), 100, 200) > 0).sum() for p in (face, dark)]
    assert fixed[1] < 0.6 * fixed[0]


def test_a_flat_picture_has_no_edges_and_a_step_has_one() -> None:
    assert not adaptive_edges(np.full((64, 64, 3), 90, np.uint8)).any()
    step = np.full((64, 64, 3), 90, np.uint8)
    step[:, 32:] = 130
    found = adaptive_edges(step)
    assert found[10:54, 30:34].any(1).all() and not found[:, :28].any() and not found[:, 36:].any()
