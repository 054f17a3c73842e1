"""The correspondence of one camera's pictures, against the points themselves."""

import dataclasses

import numpy as np
import pytest

from render.flow import correspondence, motion, windowed
from render.rasterize import Rasterizer
from tests.core.builders import sphere
from tests.render.scenes import front_camera
from tests.synth.bent import bent


def test_every_pixel_finds_its_skin() -> None:
    s = bent(30.0)
    flow, after = s.seen.correspondence, s.seen.after
    y, x = np.nonzero(flow.moved)
    corners = s.mesh.faces[after.face[y, x]]
    before = np.einsum("nk,nkc->nc", after.bary[y, x].astype(float), s.mesh.vertices_mm[corners])
    found = s.camera.px_from_points(before) - [flow.left, flow.top]
    assert np.abs(np.stack([x, y], 1) + flow.flow_px[y, x] - found).max() < 2e-3
    assert np.abs(flow.from_depth_mm[y, x] - s.camera.cam_from_points(before)[:, 2]).max() < 1e-2
    assert len(y) > 1000 and not flow.flow_px[~flow.moved].any()


def test_the_compiled_motion_is_that_of_the_camera() -> None:
    """A bent lens takes the slow way; one that hardly bends gives the same numbers."""
    s = bent(30.0)
    flow = s.seen.correspondence
    hardly = dataclasses.replace(s.seen.camera, distortion=np.array([1e-12, 0, 0, 0, 0]))
    slow, depth = motion(s.seen.after, flow.moved, s.mesh, hardly)
    assert np.abs(slow - flow.flow_px).max() < 1e-4
    assert np.abs(depth[flow.moved] - flow.from_depth_mm[flow.moved]).max() < 1e-3


def test_normals_are_unit_where_skin_moved() -> None:
    s = bent(30.0)
    flow, after = s.seen.correspondence, s.seen.after
    y, x = np.nonzero(flow.moved)
    mixed = np.einsum("nk,nkc->nc", after.bary[y, x], s.mesh.vertex_normals()[s.mesh.faces[after.face[y, x]]])
    assert np.abs(flow.normals_before[y, x] - mixed / np.linalg.norm(mixed, axis=1, keepdims=True)).max() < 1e-5
    assert not flow.normals_before[~flow.moved].any()


@pytest.mark.parametrize("distortion", [(0, 0, 0, 0, 0), (0.1, -0.05, 0.01, -0.01, 0.02)])
def test_a_window_sees_what_the_whole_picture_shows_there(distortion: tuple[float, ...]) -> None:
    camera = front_camera(distortion=distortion)
    rasterizer = Rasterizer(sphere(40, 12, 24))
    whole, part = rasterizer(camera), rasterizer(windowed(camera, slice(30, 80), slice(20, 111)))
    depth = whole.depth_mm[30:80, 20:111]
    assert np.array_equal(part.covered, np.isfinite(depth))
    assert np.abs(part.depth_mm[part.covered] - depth[part.covered]).max() < 1e-2


def test_nothing_moves_nothing_corresponds() -> None:
    rasterizer = Rasterizer(sphere(40, 12, 24))
    assert correspondence(rasterizer, Rasterizer(rasterizer.mesh), front_camera()) is None
    far = np.zeros_like(rasterizer.mesh.vertices_mm)
    far[0] = [0, 1e-4, 0]
    assert correspondence(rasterizer, Rasterizer(rasterizer.mesh.moved(far)), front_camera()) is None


def test_another_topology_is_refused() -> None:
    with pytest.raises(ValueError, match="same vertices"):
        correspondence(Rasterizer(sphere(40, 12, 24)), Rasterizer(sphere(40, 10, 20)), front_camera())


def test_the_window_holds_all_that_may_change() -> None:
    s = bent(75.0)
    change = np.any(s.true_after != s.before, axis=-1)
    assert change[s.inside > 0].sum() > 0.98 * change.sum()
    assert s.seen.correspondence.mask.max() == 1
