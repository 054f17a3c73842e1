"""A head drawn from the side is laid on its own outline, and a chin that was moved is noticed."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.photos import FREE, lay, measured, outline_in
from core.camera import Camera
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from recon.models import load_model
from render.rasterize import rasterize

SIDE = 900


def camera(yaw_deg: float, pitch_deg: float = 0.0) -> Camera:
    """Far away, the face in the middle."""
    R = OPENCV_FROM_HEAD @ head_rotation(np.radians(yaw_deg), np.radians(pitch_deg), 0.0)
    K = np.array([[1600.0, 0, (SIDE - 1) / 2], [0, 1600.0, (SIDE - 1) / 2], [0, 0, 1]])
    return Camera(K_px=K, cam_from_head=rigid(R, np.array([0.0, 0.0, 700.0])), size_wh=(SIDE, SIDE))


@pytest.fixture(scope="module")
def head():
    """The average head, which turns about its ears, with its front view."""
    model = load_model("anny")
    mesh, anatomy = model.mean_mesh(), model.anatomy
    axis = (mesh.points(anatomy.pin("t_l")) + mesh.points(anatomy.pin("t_r")))[0] / 2
    return SimpleNamespace(mesh=mesh.with_vertices(mesh.vertices_mm - axis), anatomy=anatomy,
                           views=[SimpleNamespace(camera=camera(0.0))])


def drawn(mesh, yaw_deg: float) -> np.ndarray:
    """A dark head, nodding, before a light wall."""
    picture = np.full((SIDE, SIDE, 3), 205, np.uint8)
    picture[rasterize(mesh, camera(yaw_deg, 5.0)).covered] = (120, 90, 80)
    return picture


@pytest.mark.parametrize("yaw_deg", [-90.0, 90.0])
def test_a_head_lies_on_its_own_outline(head, yaw_deg):
    outline = outline_in(drawn(head.mesh, yaw_deg), yaw_deg < 0)
    laid = lay(head, outline, yaw_deg, FREE)
    told = measured(head, laid, outline)
    assert told["median"] < 0.25 and told["p90"] < 0.8, told
    assert abs(told["distance"] - 1) < 0.03, told


def test_a_chin_that_is_elsewhere_is_noticed(head):
    anatomy = head.anatomy
    chin = head.mesh.points(anatomy.pin("pg"))[0]
    near = np.exp(-((head.mesh.vertices_mm - chin) ** 2).sum(1) / (2 * 14.0**2))
    moved = head.mesh.moved(near[:, None] * np.array([0.0, 0.0, 6.0]))
    outline = outline_in(drawn(moved, 90.0), False)
    told = measured(head, lay(head, outline, 90.0, FREE), outline)
    assert told["chin_forward"] < -2.0, told
