"""The standard views: names, framing, and before and after seen alike."""

import numpy as np
import pytest

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.surface import SurfacePoints
from render.views import BOTTOM_MM, DISTANCE_MM, MARGIN_MM, VIEWS, framing, standard_cameras
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


@pytest.mark.parametrize("size", [(400, 500), (300, 900), (900, 400)])
def test_every_level_view_shows_the_whole_head_with_a_little_margin(size: tuple[int, int]) -> None:
    """Crown, occiput, ears and nose lie inside; in the tightest direction of the tightest view the margin is small."""
    mesh = head()
    above = mesh.vertices_mm[mesh.vertices_mm[:, 1] > BOTTOM_MM]
    cameras, air = standard_cameras(mesh, size), []
    for name, camera in cameras.items():
        px = camera.px_from_points(above)
        edges = np.stack([px.min(0), np.array(size) - 1 - px.max(0)])
        if VIEWS[name].elevation_deg == 0:
            assert edges.min() > 0
            air.append(edges.min() / camera.K_px[0, 0] * DISTANCE_MM)
        else:
            assert edges[0, 1] > 0  # the top is not cut off
    assert 0.5 * MARGIN_MM < min(air) < 2 * MARGIN_MM


def test_all_views_have_one_scale() -> None:
    assert len({round(c.K_px[0, 0], 6) for c in standard_cameras(head(), SIZE).values()}) == 1


def test_framing_follows_the_anatomy() -> None:
    """A higher chin shows less of the neck; the face's middle lies between chin and hairline."""
    mesh = head()
    low, high = (np.argmin(np.abs(mesh.points(SurfacePoints(face=np.arange(len(mesh.faces)), bary=np.full(
        (len(mesh.faces), 3), 1 / 3)))[:, 1] - y)) for y in (-90, 40))
    pins = SurfacePoints(face=np.array([high, low]), bary=np.full((2, 3), 1 / 3))
    top, chin = mesh.points(pins)[:, 1]
    anatomy = Anatomy(pins478=pins, pin_names=("tr", "me"), pin_points=pins, region_names=(),
                      region_weights=np.zeros((0, len(mesh.vertices_mm))))
    found, plain = framing(mesh, anatomy), framing(mesh)
    crown = mesh.vertices_mm[:, 1].max()
    assert found.centre_mm[1] == pytest.approx((chin + crown) / 2)
    assert crown - chin < found.height_mm < plain.height_mm
    assert found.face_mm[1] == pytest.approx((chin + top) / 2)


def test_what_is_no_head_is_shown_whole() -> None:
    mesh = sphere(10).moved(np.tile([0.0, -500, 0], (len(sphere(10).vertices_mm), 1)))
    px = standard_cameras(mesh, SIZE)["frontal"].px_from_points(mesh.vertices_mm)
    assert (px > 0).all() and (px < SIZE).all()
