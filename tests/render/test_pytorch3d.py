"""PyTorch3D's rasteriser: its frame derived a second way, and where it is installed, faces, barycentrics and depth
against Open3D's."""

import importlib.util
import sys

import numpy as np
import pytest

from core.backends import resolve
from core.camera import Camera
from core.errors import UsageError
from core.mesh import Mesh
from core.transforms import head_rotation
from render import pytorch3d_backend as backend
from render.backends import RASTERIZERS
from render.rasterize import rasterize
from tests.core.builders import sphere
from tests.render.scenes import front_camera, square

INSTALLED = all(importlib.util.find_spec(name) for name in ("torch", "pytorch3d"))
needs_library = pytest.mark.skipif(not INSTALLED, reason="PyTorch3D is not installed: it has to be built from source")
PHONE = (-0.12, 0.05, 0.002, -0.003, -0.01)


def pixel_centre(i: int, size: int, other: int) -> float:
    """Centre of PyTorch3D's pixel i (from the right or from below): its documented non-square NDC.

    The shorter side spans 2, the longer one 2 x longer / shorter; centres are half a pixel from the border.
    """
    span = 2.0 if size <= other else 2.0 * size / other
    return -span / 2 + (i + 0.5) * span / size


@pytest.mark.parametrize("size_wh", [(8, 6), (6, 8), (7, 7), (720, 1280)])
def test_our_pixels_lie_on_the_centres_of_theirs(size_wh: tuple[int, int]) -> None:
    width, height = size_wh
    for u, v in ((0, 0), (width - 1, 0), (2, 3), (width - 1, height - 1)):
        expected = (pixel_centre(width - 1 - u, width, height), pixel_centre(height - 1 - v, height, width))
        assert backend.ndc_from_px(np.array([[u, v]], float), size_wh)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("distortion", [(0, 0, 0, 0, 0), PHONE])
def test_what_open3d_sees_at_a_pixel_projects_onto_the_centre_of_pytorch3ds(distortion: tuple[float, ...]) -> None:
    """Faces and barycentrics of the Open3D twin, put through our conversion, land on PyTorch3D's pixel centres."""
    mesh = sphere(90.0, 60, 90)
    camera = off_centre(front_camera(900.0, (90, 120), 450.0, distortion, head_rotation(0.6, -0.2, 0.1)))
    seen = rasterize(mesh, camera)
    v, u = np.nonzero(seen.covered)
    points = np.einsum("nk,nkc->nc", seen.bary[v, u].astype(float), mesh.vertices_mm[mesh.faces[seen.face[v, u]]])
    ndc = backend.ndc_from_points(points, camera)
    expected = np.array([[pixel_centre(90 - 1 - x, 90, 120), pixel_centre(120 - 1 - y, 120, 90)]
                         for x, y in zip(u, v, strict=True)])
    assert len(u) > 3000 and np.abs(ndc[:, :2] - expected).max() < 1e-4
    assert np.abs(ndc[:, 2] - seen.depth_mm[v, u]).max() < 1e-3


def test_axes_point_left_and_up_and_what_lies_behind_is_marked() -> None:
    camera = front_camera()
    left, up, behind = backend.ndc_from_points(np.array([[20.0, 0, 0], [0, 20.0, 0], [0, 0, 900.0]]), camera)
    assert left[0] < 0 and up[1] > 0  # the patient's left is on the picture's right
    assert left[2] == pytest.approx(500) and behind.tolist() == [0, 0, backend.BEHIND]


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = resolve(RASTERIZERS, "pytorch3d", "rasterizer")
    assert chosen is backend.rasterize
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    monkeypatch.setitem(sys.modules, "pytorch3d.structures", None)
    with pytest.raises(UsageError) as caught:
        chosen(square(20.0), front_camera())
    assert caught.value.code == "no_pytorch3d" and "facebookresearch/pytorch3d" in (caught.value.hint or "")


def test_gradients_are_refused_through_a_bent_lens() -> None:
    torch = pytest.importorskip("torch")
    if not INSTALLED:
        pytest.skip("PyTorch3D is not installed: it has to be built from source")
    with pytest.raises(UsageError, match="lens distortion"):
        backend.seen_from_vertices(torch.zeros(3, 3), torch.zeros(1, 3).long(), front_camera(distortion=PHONE))


def off_centre(camera: Camera) -> Camera:
    K = camera.K_px.copy()
    K[:2, 2] += (3.25, -5.5)
    K[1, 1] *= 1.01
    return Camera(K_px=K, cam_from_head=camera.cam_from_head, size_wh=camera.size_wh, distortion=camera.distortion)


def soup() -> Mesh:
    corners = np.random.default_rng(4).uniform(-60, 60, (14, 3, 3))
    faces = np.arange(42).reshape(14, 3)
    return Mesh(vertices_mm=corners.reshape(-1, 3), faces=faces, uv=np.zeros((42, 2)), faces_uv=faces)


def bumpy() -> Mesh:
    ball = sphere(80.0, 40, 60)
    wave = 1 + 0.1 * np.sin(ball.vertices_mm @ np.array([0.05, 0.08, 0.03]))
    return ball.moved(ball.vertices_mm * (wave - 1)[:, None])


CAMERAS = {
    "wide": front_camera(90.0, (60, 48), 400.0),
    "tall, turned, off centre": off_centre(front_camera(110.0, (48, 64), 450.0, rotation=head_rotation(0.7, 0.2, 0.1))),
    "profile": front_camera(200.0, (64, 64), 900.0, rotation=head_rotation(-1.5, 0.0, 0.0)),
    "near": front_camera(60.0, (56, 40), 220.0, rotation=head_rotation(0.2, -0.4, 0.3)),
    "bent lens": front_camera(100.0, (60, 50), 420.0, PHONE, head_rotation(0.3, 0.0, 0.0)),
}


@needs_library
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS.keys())
@pytest.mark.parametrize("make", [soup, bumpy, lambda: sphere(60.0, 24, 36)], ids=["soup", "bumpy", "globe"])
def test_faces_barycentrics_and_depth_agree_with_open3d(make, camera: Camera) -> None:
    """To single precision; pixels on an edge may go to either side. Through a bent lens edges stay straight here, and
    large triangles (the soup's) show it: a tenth of a mm in depth."""
    mesh, bent = make(), bool(np.any(camera.distortion))
    twin, seen = rasterize(mesh, camera), backend.rasterize(mesh, camera)
    both = twin.covered & seen.covered
    same = both & (twin.face == seen.face)
    assert both.sum() > 300 and (twin.covered != seen.covered).sum() <= 2
    assert (both & ~same).sum() <= (4 if bent else 1)
    assert np.abs(twin.bary[same] - seen.bary[same]).max() < (5e-3 if bent else 5e-4)
    assert np.abs(twin.depth_mm[same] - seen.depth_mm[same]).max() < (0.2 if bent else 1e-3)
    assert np.isinf(seen.depth_mm[~seen.covered]).all() and not seen.bary[~seen.covered].any()


@needs_library
def test_depth_follows_the_vertices_gradient() -> None:
    """Moving a facing square by dz along the axis changes every depth by -dz: the sum over n pixels by -n."""
    import torch

    mesh, camera = square(60.0), front_camera(100.0, (24, 20), 400.0)
    vertices = torch.tensor(np.array(mesh.vertices_mm), dtype=torch.float32, requires_grad=True)
    seen = backend.seen_from_vertices(vertices, torch.tensor(np.array(mesh.faces)), camera)
    inside = seen.face >= 0
    assert int(inside.sum()) > 100
    assert torch.allclose(seen.depth_mm[inside], torch.tensor(400.0), atol=1e-2)
    seen.depth_mm[inside].sum().backward()
    assert float(vertices.grad[:, 2].sum()) == pytest.approx(-float(inside.sum()), rel=1e-3)
