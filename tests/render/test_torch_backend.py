"""The differentiable twin: what Open3D sees, gradients by finite differences, and PyTorch3D where it is installed."""

import importlib.util

import numpy as np
import pytest

from core.backends import resolve
from core.errors import UsageError
from core.transforms import head_rotation
from render.backends import DIFFERENTIABLE, RASTERIZERS
from render.rasterize import rasterize
from tests.core.builders import sphere
from tests.render.scenes import front_camera, square

torch = pytest.importorskip("torch")
from render import pytorch3d_backend, torch_backend  # noqa: E402

CAMERA = front_camera(120.0, (48, 56), 420.0, rotation=head_rotation(0.4, -0.2, 0.1))


def bumpy():
    ball = sphere(80.0, 24, 36)
    return ball.moved(ball.vertices_mm * 0.1 * np.sin(ball.vertices_mm @ np.array([0.05, 0.08, 0.03]))[:, None])


def tensors(mesh, dtype=torch.float64):
    return torch.tensor(np.array(mesh.vertices_mm), dtype=dtype), torch.tensor(np.array(mesh.faces), dtype=torch.int64)


def test_it_sees_what_open3d_sees():
    mesh = bumpy()
    twin, seen = rasterize(mesh, CAMERA), torch_backend.seen_from_vertices(*tensors(mesh), CAMERA)
    assert np.array_equal(seen.face.numpy(), twin.face) and twin.covered.sum() > 500
    np.testing.assert_allclose(seen.bary.numpy(), twin.bary, atol=2e-4)
    np.testing.assert_allclose(seen.depth_mm.numpy()[twin.covered], twin.depth_mm[twin.covered], atol=2e-3)
    assert np.isinf(seen.depth_mm.numpy()[~twin.covered]).all()


def test_a_pixel_lies_where_its_barycentrics_say():
    """The surface point under a pixel projects onto the pixel's centre, to double precision."""
    mesh = bumpy()
    seen = torch_backend.seen_from_vertices(*tensors(mesh), CAMERA)
    rows, columns = np.nonzero(seen.face.numpy() >= 0)
    corners = mesh.vertices_mm[mesh.faces[seen.face.numpy()[rows, columns]]]
    px = CAMERA.px_from_points((seen.bary.numpy()[rows, columns][..., None] * corners).sum(1))
    np.testing.assert_allclose(px, np.column_stack([columns, rows]), atol=1e-9)


def weighed(vertices, faces, see, dtype=torch.float64):
    """A number that depends on every barycentric and depth."""
    seen = see(vertices, faces, CAMERA)
    inside = seen.face >= 0
    rng = np.random.default_rng(3)
    a, b = (torch.tensor(rng.normal(size=s), dtype=dtype) for s in (seen.bary.shape, seen.depth_mm.shape))
    return (a * seen.bary)[inside].sum() + (0.1 * b * seen.depth_mm)[inside].sum()


def test_gradients_are_those_of_finite_differences():
    vertices, faces = tensors(bumpy())
    vertices.requires_grad_(True)
    weighed(vertices, faces, torch_backend.seen_from_vertices).backward()
    h, rng, found = 1e-5, np.random.default_rng(1), 0
    for row in rng.choice(np.flatnonzero(vertices.grad.abs().sum(1).numpy() > 1e-3), 6, replace=False):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = vertices.detach().clone()
                moved[row, axis] += sign * h
                ends.append(float(weighed(moved, faces, torch_backend.seen_from_vertices)))
            by_steps = (ends[0] - ends[1]) / (2 * h)
            assert float(vertices.grad[row, axis]) == pytest.approx(by_steps, rel=1e-4, abs=1e-4)
            found += abs(by_steps) > 1e-3
    assert found > 10


@pytest.mark.skipif(not importlib.util.find_spec("pytorch3d"), reason="PyTorch3D has to be built from source")
def test_pytorch3d_gives_the_twins_values_and_gradients():
    mesh, gradients, values = bumpy(), [], []
    twin = torch_backend.seen_from_vertices(*tensors(mesh, torch.float32), CAMERA)
    theirs = pytorch3d_backend.seen_from_vertices(*tensors(mesh, torch.float32), CAMERA)
    same = (twin.face == theirs.face) & (twin.face >= 0)
    assert int(same.sum()) >= int((twin.face >= 0).sum()) - 3
    assert float((twin.bary - theirs.bary)[same].abs().max()) < 5e-4
    assert float((twin.depth_mm - theirs.depth_mm)[same].abs().max()) < 2e-3
    for see in (torch_backend.seen_from_vertices, pytorch3d_backend.seen_from_vertices):
        vertices, faces = tensors(mesh, torch.float32)
        vertices.requires_grad_(True)
        seen = see(vertices, faces, CAMERA)
        rng = np.random.default_rng(3)
        weight = torch.tensor(rng.normal(size=(*seen.face.shape, 3)), dtype=torch.float32)
        (weight * seen.bary)[same].sum().add(seen.depth_mm[same].sum()).backward()
        gradients.append(vertices.grad)
        values.append(vertices)
    off = (gradients[0] - gradients[1]).norm() / gradients[0].norm()
    assert float(off) < 1e-3


def test_every_rasteriser_has_a_differentiable_one_and_bent_lenses_are_refused():
    assert set(DIFFERENTIABLE) == set(RASTERIZERS)
    assert resolve(DIFFERENTIABLE, "open3d", "rasterizer") is torch_backend.seen_from_vertices
    with pytest.raises(UsageError, match="lens distortion"):
        torch_backend.seen_from_vertices(*tensors(square(20.0)), front_camera(distortion=(-0.1, 0, 0, 0, 0)))
