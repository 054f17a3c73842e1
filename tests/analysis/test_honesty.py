"""Honesty: intervals that hold exactly half, a size that is just in and just out, cameras off by known amounts."""

import numpy as np
import pytest

from analysis.accuracy import Placed
from analysis.honesty import camera_errors, coverage, shape_sd, size_is_held
from core.camera import Camera
from core.mesh import Mesh
from core.reconstruction import Scale
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid, rotation_from_vector
from recon.views import with_size
from tests.procedural_head import procedural_head


def plate(z: np.ndarray) -> Mesh:
    """A plate of 21 x 20 vertices 5 mm apart that looks along +z; z (20, 21): its heights (mm)."""
    y, x = np.mgrid[:20, :21]
    index = (y * 21 + x)[:-1, :-1].ravel()
    faces = np.concatenate([np.stack([index, index + 1, index + 22], 1), np.stack([index, index + 22, index + 21], 1)])
    vertices = np.stack([5.0 * x - 50, 5.0 * y - 47.5, z], -1).reshape(-1, 3)
    return Mesh(vertices_mm=vertices, faces=faces, uv=np.zeros((1, 2)), faces_uv=np.zeros_like(faces))


def identity(scale: float = 1.0) -> Placed:
    return Placed(scale=scale, R=np.eye(3), t=np.zeros(3), points_mm=np.zeros((1, 3)), distance_mm=np.zeros(1))


@pytest.mark.parametrize("scale", [1.0, 0.8])
def test_an_interval_that_holds_exactly_half_does_so_at_any_size(scale: float) -> None:
    heights = np.where(np.arange(20)[:, None] % 2, 1.0, 3.0) * np.ones((20, 21))
    found = plate(heights).with_vertices(plate(heights).vertices_mm / scale)
    true, everywhere = plate(np.zeros((20, 21))), np.ones(420, bool)
    def of(sd: float, skin: np.ndarray = everywhere) -> float:
        return coverage(found, np.full(420, sd / scale), skin, true, np.zeros(3), identity(scale))

    assert of(1.0) == 0.5
    assert (of(0.5), of(1 / 1.96 - 1e-3), of(1 / 1.96 + 1e-3), of(1.6)) == (0, 0, 0.5, 1)
    assert of(1.0, found.vertices_mm[:, 2] > 2 / scale) == 0
    assert np.isnan(of(1.0, np.zeros(420, bool)))


def test_only_the_face_is_asked() -> None:
    """Heights beyond 95 mm of the nose tip are wrong, and do not count."""
    heights = np.where(np.abs(np.arange(21) - 10) > 8, 9.0, 0.5) * np.ones((20, 21))
    found, true = plate(heights), plate(np.zeros((20, 21)))
    full = [coverage(found, np.ones(420), np.ones(420, bool), true, np.array([0.0, 0, z]), identity())
            for z in (0.0, -85.0)]
    assert 0.7 < full[0] < 0.9 and full[1] == 1


def test_the_size_is_taken_out_of_the_stated_sd_again() -> None:
    mesh, _ = procedural_head()
    alone = np.random.default_rng(0).uniform(0.1, 1.0, len(mesh.vertices_mm))
    full = with_size(alone, mesh, Scale(mm_per_unit=1.0, source="model", sd_relative=0.03))
    assert (full - alone).max() > 1
    np.testing.assert_allclose(shape_sd(full, mesh.vertices_mm, 0.03), alone, atol=1e-6)


def test_a_size_is_held_by_its_interval_up_to_its_end() -> None:
    """The true head is 5 % larger, or smaller, than the found one."""
    assert [size_is_held(identity(s), p) for s in (1.05, 0.95) for p in (5.001, 4.999)] == [True, False, True, False]


def test_cameras_are_compared_on_the_true_head() -> None:
    """The found head is another size, turned and moved; its cameras are off by 2 degrees and by 3 mm of the truth's."""
    rng, s, R, t = np.random.default_rng(0), 0.9, head_rotation(0.3, 0.1, -0.2), np.array([4.0, -30, 50])
    place = Placed(scale=s, R=R, t=t, points_mm=np.zeros((1, 3)), distance_mm=np.zeros(1))
    true, found, exact = [], [], []
    for yaw in np.linspace(-1, 1, 5):
        Q, centre = OPENCV_FROM_HEAD @ head_rotation(float(yaw), 0.1, 0.0), np.array([400 * np.sin(-yaw), 10.0, 400])
        true.append(rigid(Q, -Q @ centre))
        axis, way = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        exact.append(on_found_head(Q, centre, place))
        found.append(on_found_head(rotation_from_vector(np.radians(2.0) * axis) @ Q, centre + 3 * way, place))
    turned, moved = camera_errors(exact, np.stack(true), place)
    assert turned.max() < 1e-9 and moved.max() < 1e-9
    turned, moved = camera_errors(found, np.stack(true), place)
    np.testing.assert_allclose(turned, 2, atol=1e-9)
    np.testing.assert_allclose(moved, 3, atol=1e-9)


def on_found_head(Q: np.ndarray, centre: np.ndarray, place: Placed) -> Camera:
    """A camera on the true head, told in the frame and size of the found one."""
    rotation, there = Q @ place.R, place.R.T @ (centre - place.t) / place.scale
    return Camera(K_px=np.diag([800.0, 800, 1]), size_wh=(720, 1280), cam_from_head=rigid(rotation, -rotation @ there))


def test_half_a_turn_is_half_a_turn() -> None:
    camera = Camera(K_px=np.eye(3), size_wh=(10, 10), cam_from_head=np.diag([-1.0, 1, -1, 1]))
    assert camera_errors([camera], np.eye(4)[None], identity())[0][0] == pytest.approx(180)
