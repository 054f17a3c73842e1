"""The rasteriser against closed forms, laws and its slow twin."""

import numpy as np
import pytest

from core.backends import resolve
from core.errors import UsageError
from core.mesh import Mesh
from core.transforms import head_rotation
from render.backends import RASTERIZERS
from render.rasterize import Rasterizer, normalised_from_px, rasterize, seen_rectangle
from tests.core.builders import sphere
from tests.render.scenes import front_camera, reprojection_errors_px, slow_rasterize, square, triangle

PHONE = (-0.12, 0.05, 0.002, -0.003, -0.01)


def test_pixel_centres_are_integers() -> None:
    """At 500 mm and 500 px focal length one mm is one px: the triangle's corners are where they were put."""
    camera = front_camera(500.0, (40, 30))
    centre = np.array([19.5, 14.5])
    corners_px = np.array([[9.5, 4.5], [9.5, 24.5], [29.5, 4.5]])
    offset = corners_px - centre
    seen = rasterize(triangle(np.column_stack([offset[:, 0], -offset[:, 1], np.zeros(3)]).tolist()), camera)
    expected = np.array([[9.5 < x and 4.5 < y and (x - 9.5) + (y - 4.5) < 20 for x in range(40)] for y in range(30)])
    on_line = np.array([[(x - 9.5) + (y - 4.5) == 20 for x in range(40)] for y in range(30)])
    assert np.array_equal(seen.covered[~on_line], expected[~on_line])
    assert np.all(np.abs(seen.depth_mm[seen.covered] - 500) < 1e-3)
    assert np.all(np.isinf(seen.depth_mm[~seen.covered]))


def test_globe_silhouette_and_depth() -> None:
    """A globe of radius r at distance d shows a disc of radius f r / sqrt(d^2 - r^2), its nearest point at d - r."""
    radius, distance, focal = 60.0, 500.0, 700.0
    camera = front_camera(focal, (241, 241), distance)
    seen = rasterize(sphere(radius, 180, 360), camera)
    y, x = np.nonzero(seen.covered)
    disc = focal * radius / np.sqrt(distance**2 - radius**2)
    reach = np.hypot(x - 120, y - 120)
    assert disc - 1.0 < reach.max() < disc + 0.01
    assert abs(len(x) / (np.pi * disc**2) - 1) < 0.005
    assert abs(seen.depth_mm[120, 120] - (distance - radius)) < 0.02


def test_depth_is_along_the_optical_axis() -> None:
    """A square at right angles to the axis has one depth everywhere, corners included."""
    seen = rasterize(square(500, z_mm=20), front_camera(200.0))
    assert seen.covered.all()
    assert np.ptp(seen.depth_mm) < 1e-3
    assert abs(float(seen.depth_mm[0, 0]) - 480) < 1e-3


@pytest.mark.parametrize("distortion", [(0, 0, 0, 0, 0), PHONE])
def test_fragments_project_onto_their_pixel_centres(distortion: tuple[float, ...]) -> None:
    mesh = sphere(90, 40, 60)
    for yaw in (0.0, 0.7, -1.5):
        for focal, distance in ((4700.0, 1200.0), (640.0, 420.0)):
            camera = front_camera(focal, (400, 300), distance, distortion, head_rotation(yaw, 0.2, 0.1))
            seen = rasterize(mesh, camera)
            assert seen.covered.sum() > 10_000
            errors = reprojection_errors_px(seen, mesh, camera)
            assert np.quantile(errors, 0.999) < 2e-4
            assert errors.max() < 2e-3  # on the horizon itself, where single precision is worst
            assert np.abs(seen.bary[seen.covered].sum(1) - 1).max() < 1e-6


@pytest.mark.parametrize("distortion", [(0, 0, 0, 0, 0), PHONE])
def test_slow_twin_agrees(distortion: tuple[float, ...]) -> None:
    rng = np.random.default_rng(4)
    corners = rng.uniform(-60, 60, (14, 3, 3))
    faces = np.arange(42).reshape(14, 3)
    mesh = Mesh(vertices_mm=corners.reshape(-1, 3), faces=faces, uv=np.zeros((42, 2)), faces_uv=faces)
    camera = front_camera(80.0, (18, 14), 320.0, distortion, head_rotation(0.3, -0.2, 0.1))
    fast, slow = rasterize(mesh, camera), slow_rasterize(mesh, camera)
    assert 40 < slow.covered.sum() < slow.covered.size
    assert np.array_equal(fast.face, slow.face)
    assert np.abs(fast.bary - slow.bary).max() < 1e-4
    assert np.abs(fast.depth_mm[slow.covered] - slow.depth_mm[slow.covered]).max() < 1e-3


def test_scanning_agrees_with_rays() -> None:
    """Rays are single precision: on an edge, and on the horizon, they may meet the neighbour."""
    kept = Rasterizer(sphere(90, 40, 60))
    for yaw in (0.0, 0.7, -1.5):
        camera = front_camera(640.0, (400, 300), 420.0, rotation=head_rotation(yaw, 0.2, 0.1))
        scanned, cast = kept(camera), kept.by_rays(camera)
        both = scanned.covered & cast.covered
        assert (scanned.covered != cast.covered).sum() <= 3 and both.sum() > 40_000
        assert (scanned.face != cast.face)[both].mean() < 1e-3
        assert np.abs(scanned.depth_mm[both] - cast.depth_mm[both]).max() < 5e-3
        same = both & (scanned.face == cast.face)
        assert np.abs(scanned.bary - cast.bary)[same].max() < 1e-3


def test_no_pixel_falls_between_triangles() -> None:
    """A plane of triangles whose shared edges run through pixel centres is whole."""
    x, y = np.meshgrid(np.arange(-60.0, 61, 5), np.arange(-60.0, 61, 5))
    n = len(x)
    corner = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    faces = np.concatenate([np.stack([corner, corner + 1, corner + n], 1),
                            np.stack([corner + 1, corner + n + 1, corner + n], 1)])
    mesh = Mesh(vertices_mm=np.stack([x.ravel(), y.ravel(), np.zeros(n * n)], 1), faces=faces, uv=np.zeros((1, 2)),
                faces_uv=np.zeros_like(faces))
    for degrees in (0.0, 45.0, 10.0):
        roll = head_rotation(0.0, 0.0, float(np.radians(degrees)))
        seen = rasterize(mesh, front_camera(500.0, (61, 61), 500.0, rotation=roll))
        assert seen.covered.all() and np.abs(seen.depth_mm - 500).max() < 1e-3


def test_undistortion_inverts_the_lens() -> None:
    camera = front_camera(800.0, (720, 1280), distortion=PHONE)
    y, x = np.mgrid[0:1280:40, 0:720:40]
    pixels = np.stack([x, y], -1).reshape(-1, 2).astype(float)
    points = np.column_stack([normalised_from_px(pixels, camera), np.ones(len(pixels))]) * 300
    in_head = (points - camera.cam_from_head[:3, 3]) @ camera.cam_from_head[:3, :3]
    assert np.abs(camera.px_from_points(in_head) - pixels).max() < 1e-6
    straight = normalised_from_px(pixels, front_camera(800.0, (720, 1280)))
    assert np.abs(straight - normalised_from_px(pixels, camera)).max() > 0.01  # the lens is not a no-op here


def test_the_rectangle_trims_rays_but_no_pixel() -> None:
    mesh, camera = sphere(40), front_camera(400.0, rotation=head_rotation(0.4, 0.1, 0.0))
    rows, columns = seen_rectangle(mesh.vertices_mm, camera)
    assert rows.stop - rows.start < 120 and columns.stop - columns.start < 160
    whole = Rasterizer(mesh)
    y, x = np.mgrid[0:120, 0:160]
    everywhere = whole.at(np.stack([x, y], -1).reshape(-1, 2).astype(float), camera)
    assert np.array_equal(everywhere.face.reshape(120, 160), whole(camera).face)


def test_a_mesh_around_or_behind_the_camera() -> None:
    seen = rasterize(sphere(90), front_camera(100.0, distance_mm=20))
    assert seen.covered.all()
    assert not rasterize(sphere(90), front_camera(100.0, distance_mm=-500)).covered.any()


def test_one_tree_serves_many_cameras_and_repeats_itself() -> None:
    mesh = sphere(70)
    kept = Rasterizer(mesh)
    for yaw in (0.0, 1.0):
        camera = front_camera(rotation=head_rotation(yaw, 0.0, 0.0))
        first, second = kept(camera), rasterize(mesh, camera)
        assert np.array_equal(first.face, second.face)
        assert np.array_equal(first.bary, second.bary)


def test_visible_points() -> None:
    """On a globe a point is seen when its normal turns to the camera beyond the horizon: n.z > r / d."""
    radius, distance = 60.0, 500.0
    mesh = sphere(radius, 90, 180)
    normal = mesh.vertices_mm / radius
    margin = normal[:, 2] - radius / distance
    seen = Rasterizer(mesh).visible(mesh.vertices_mm, front_camera(300.0, (200, 200), distance), 0.2)
    clear = np.abs(margin) > 0.1
    assert np.array_equal(seen[clear], margin[clear] > 0)
    assert seen.any() and not seen.all()


def test_points_outside_the_picture_or_deep_inside_are_not_visible() -> None:
    rasterizer, camera = Rasterizer(square(20)), front_camera(600.0)
    points = np.array([[0, 0, 0.0], [0, 0, -0.9], [0, 0, -3.0], [90, 0, 0.0], [0, 0, 600.0]])
    assert rasterizer.visible(points, camera, 1.0).tolist() == [True, True, False, False, False]


def test_the_table_resolves() -> None:
    assert resolve(RASTERIZERS, "open3d", "rasterizer") is rasterize
    with pytest.raises(UsageError, match="open3d"):
        resolve(RASTERIZERS, "crayon", "rasterizer")
