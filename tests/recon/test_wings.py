"""The wings of a fitted nose: the edge is found where it was drawn, and skin moves without folding."""

import numpy as np
import pytest

from core.camera import Camera
from recon.models import load_model
from recon.wings import ANGLES_DEG, WINGS, Wing, edges, fitted_end, from_front, groove, path, wing_of, with_wings
from render.rasterize import Rasterizer

SCALE = 3.0


def wings() -> list[Wing]:
    """Two wings in a picture of 240 x 120, expected 8 mm from their fronts."""
    return [Wing(centre_px=np.array([120 + s * 20.0, 60.0]), out=np.array([s, 0.0]), down=np.array([0, 1.0]),
                 px_per_mm=SCALE, expected_mm=np.full(len(ANGLES_DEG), 8.0), depth_mm=500.0) for s in (-1.0, 1.0)]


def photo(beyond_mm: float) -> np.ndarray:
    """Each wing ends in a groove so far beyond where wings usually end; the cheek is lighter than the wing."""
    y, x = np.mgrid[:120, :240].astype(float)
    grey = np.full(x.shape, 170.0)
    for wing in wings():
        r = np.hypot(x - wing.centre_px[0], y - wing.centre_px[1]) / SCALE
        side = (x - 120) * wing.out[0] > 0
        d = r - 8 - WINGS.usual_mm - beyond_mm
        grey[side] = (170 - 35 * np.where(d > 0, np.exp(-d**2 / 1.4), 0.5 + 0.5 * np.exp(-d**2 / 1.4)))[side]
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


@pytest.mark.parametrize("beyond_mm", [-1.5, 0.0, 2.0])
def test_edges_are_found_where_they_are(beyond_mm: float) -> None:
    found = edges(photo(beyond_mm), wings())
    assert all(np.abs(d - beyond_mm).max() < 0.7 for d in found)


def shaded(beyond_mm: float, shade_mm: float) -> np.ndarray:
    """Wings in full light; beyond each, the cheek grows as bright as it only slowly, as beside a smile's fold."""
    y, x = np.mgrid[:120, :240].astype(float)
    grey = np.full(x.shape, 170.0)
    for wing in wings():
        side = (x - 120) * wing.out[0] > 0
        d = np.hypot(x - wing.centre_px[0], y - wing.centre_px[1]) / SCALE - 8 - WINGS.usual_mm - beyond_mm
        grey[side] = (170 - 60 * np.exp(-d**2 / (2 * np.where(d > 0, shade_mm, 0.6) ** 2)))[side]
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


@pytest.mark.parametrize("shade_mm", [3.0, 5.0])
@pytest.mark.parametrize("beyond_mm", [-0.5, 1.0, 2.5])
def test_a_shadow_beside_a_wing_is_not_its_edge(beyond_mm: float, shade_mm: float) -> None:
    found = edges(shaded(beyond_mm, shade_mm), wings())
    assert all(np.abs(d.mean() - beyond_mm) < 0.5 for d in found)


def test_a_photo_that_shows_no_edge_moves_nothing() -> None:
    assert all(not d.any() for d in edges(np.full((120, 240, 3), 150, np.uint8), wings()))


def test_the_cheapest_path_is_the_brute_force_one() -> None:
    rng, d = np.random.default_rng(0), np.arange(4.0)
    cost = rng.normal(size=(4, 4))
    every = np.stack(np.meshgrid(*[np.arange(4)] * 4, indexing="ij"), -1).reshape(-1, 4)
    total = cost[np.arange(4), every].sum(1) + 0.3 * (np.diff(d[every], axis=1) ** 2).sum(1)
    assert np.array_equal(path(cost, d, 0.3), every[total.argmin()])


@pytest.mark.parametrize("light", WINGS.lights)
def test_a_groove_has_no_mean_and_length_one(light: tuple[float, float]) -> None:
    g = groove(np.arange(-2, 4, 0.15), *light)
    assert abs(g.sum()) < 1e-9 and np.linalg.norm(g) == pytest.approx(1)


def test_a_turned_heads_wings_end_where_wings_usually_do_and_only_the_nose_moves() -> None:
    model = load_model()
    mesh = model.shape(np.zeros(len(model.identity_basis_mm))).pose(np.zeros(len(model.expression_names))).mesh()

    def rasterize(mesh, camera):  # type: ignore[no-untyped-def]
        return Rasterizer(mesh)(camera)

    pose = np.diag([1.0, -1, -1, 1])
    angle = np.radians(35)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    pose[:3, :3] = pose[:3, :3] @ turn
    pose[2, 3] = 600
    camera = Camera(K_px=np.array([[1500.0, 0, 200], [0, 1500, 200], [0, 0, 1]]), cam_from_head=pose,
                    size_wh=(400, 400))
    wider = with_wings(mesh, model.anatomy, camera, np.full((400, 400, 3), 150, np.uint8), rasterize)
    moved = np.linalg.norm(wider.vertices_mm - mesh.vertices_mm, axis=1)
    nose = mesh.points(model.anatomy.pins478)[4]
    assert 0.5 < moved.max() < 7
    assert np.linalg.norm(mesh.vertices_mm[moved > 0] - nose, axis=1).max() < 70  # 20 across, 40 behind the wing
    for side in (0, 1):
        wing = wing_of(mesh, model.anatomy, from_front(), side)
        wanted = wing.expected_mm + WINGS.usual_mm
        before, after = (np.abs(fitted_end(m, from_front(), wing, rasterize) - wanted).mean() for m in (mesh, wider))
        assert after < 0.6 * before
