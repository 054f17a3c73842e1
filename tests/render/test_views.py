"""The standard views: names, framing, and before and after seen alike."""

import numpy as np
import pytest

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.surface import SurfacePoints
from render.views import BOTTOM_MM, DISTANCE_MM, TOP_MM, VIEWS, framing, standard_cameras
from tests.core.builders import sphere

SIZE = (400, 500)


def head() -> Mesh:
    """A globe where a head is: 20 mm below and 75 mm behind the line of the eye corners."""
    return sphere(110).moved(np.tile([0.0, -20, -75], (len(sphere(110).vertices_mm), 1)))


def test_every_view_is_there_and_looks_at_the_face_from_its_distance() -> None:
    cameras = standard_cameras(head(), SIZE)
    assert list(cameras) == list(VIEWS)
    for camera in cameras.values():
        assert camera.size_wh == SIZE
        assert abs(camera.cam_from_head[2, 3] + camera.cam_from_head[2, :3] @ [0, -25, -40] - DISTANCE_MM) < 60


@pytest.mark.parametrize(("name", "side"), [("left_lateral", 1), ("left_oblique", 1), ("right_lateral", -1),
                                             ("right_oblique", -1)])
def test_left_shows_the_patients_left(name: str, side: int) -> None:
    """The camera stands on the named side (+x is the patient's left), and the named ear is nearer to it."""
    camera = standard_cameras(head(), SIZE)[name]
    assert side * camera.position_mm[0] > 500
    left_ear, right_ear = camera.cam_from_points(np.array([[75.0, -10, -90], [-75.0, -10, -90]]))
    assert side * (right_ear[2] - left_ear[2]) > 50


def test_profiles_look_outwards_and_mirror_each_other() -> None:
    """In a left profile the face looks to the picture's left, and the right profile is its mirror image."""
    cameras = standard_cameras(head(), SIZE)
    nose, ear = np.array([[0.0, -35, 25]]), np.array([[70.0, -10, -90]])
    left = cameras["left_lateral"].px_from_points
    assert left(nose)[0, 0] < left(ear)[0, 0]
    right = cameras["right_lateral"].px_from_points(nose * [-1, 1, 1])
    assert np.abs(right[0] - (SIZE[0] - 1 - left(nose)[0, 0], left(nose)[0, 1])).max() < 1e-9


def test_frontal_is_upright_and_not_mirrored() -> None:
    project = standard_cameras(head(), SIZE)["frontal"].px_from_points
    brow, chin, left = project(np.array([[0.0, 30, 20], [0.0, -110, 20], [40.0, 0, 10]]))
    assert brow[1] < chin[1]
    assert left[0] > (SIZE[0] - 1) / 2  # the patient's left is at the picture's right


def test_basal_looks_from_below_and_cephalic_from_above() -> None:
    cameras = standard_cameras(head(), SIZE)
    assert cameras["basal"].position_mm[1] < -800
    assert cameras["cephalic"].position_mm[1] > 800
    for name in ("basal", "cephalic"):
        nose = cameras[name].px_from_points(np.array([[0.0, -35, 25]]))[0]
        assert np.all(np.abs(nose / SIZE - 0.5) < 0.25)


def test_the_face_fills_the_picture_from_hairline_to_chin() -> None:
    for size in ((400, 500), (300, 900), (900, 400)):
        project = standard_cameras(head(), size)["frontal"].px_from_points
        top, bottom = project(np.array([[0.0, 75, 0], [0.0, -115, 20]]))
        left, right = project(np.array([[80.0, -10, -80], [-80.0, -10, -80]]))
        assert 0 < top[1] < bottom[1] < size[1]
        assert 0 < right[0] < left[0] < size[0]
    project = standard_cameras(head(), SIZE)["frontal"].px_from_points
    span = np.ptp(project(np.array([[0.0, 75, 0], [0.0, -115, 0]]))[:, 1])
    assert span > 0.7 * SIZE[1]


def test_framing_follows_the_anatomy() -> None:
    mesh = head()
    pins = SurfacePoints(face=np.array([40, 1900]), bary=np.full((2, 3), 1 / 3))
    high, low = sorted(mesh.points(pins)[:, 1], reverse=True)
    names = ("tr", "me") if mesh.points(pins)[0, 1] == high else ("me", "tr")
    anatomy = Anatomy(pins478=pins, pin_names=names, pin_points=pins, region_names=(),
                      region_weights=np.zeros((0, len(mesh.vertices_mm))))
    found = framing(mesh, anatomy)
    assert found.centre_mm[1] == pytest.approx((high + low) / 2)
    assert found.height_mm > high - low
    assert framing(mesh).height_mm == TOP_MM - BOTTOM_MM
