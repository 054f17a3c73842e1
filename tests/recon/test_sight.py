"""What a picture is trusted with: nothing beyond an edge, nothing of the background, most of what faces the camera."""

import numpy as np
import pytest

from core.anatomy import Anatomy
from core.fragments import Fragments
from core.surface import SurfacePoints
from recon.sight import (
    SightOptions,
    around,
    depth_inside,
    edges,
    look,
    masked_blurs,
    pale,
    project,
    shrunk,
    whose,
    zones,
)
from render.rasterize import rasterize
from tests.recon.heads import camera_at

SIZE_WH = (270, 360)


def sight(model, mesh, camera, picture=None, mask=None, anatomy=True):
    w, h = camera.size_wh
    return look(mesh, mesh.vertex_normals(), zones(mesh, model.anatomy if anatomy else None), camera,
                np.full((h, w, 3), 128, np.uint8) if picture is None else picture,
                np.ones((h, w), bool) if mask is None else mask, rasterize, SightOptions())


def whole(found, values):
    """A sight's map back in the frame of its smaller camera."""
    out = np.zeros(found.small.size_wh[::-1], np.float32)
    x, y = (int(c) for c in found.corner_px)
    out[y:y + values.shape[0], x:x + values.shape[1]] = values
    return out


def test_trust_falls_from_the_middle_to_the_silhouette(model, mesh):
    camera = camera_at(0, size_wh=SIZE_WH, focal_px=310)
    found = sight(model, mesh, camera, anatomy=False)
    weight, covered = whole(found, found.weight), rasterize(mesh, camera).covered
    assert not weight[~covered].any()
    inner = depth_inside(covered)
    assert not weight[(inner > 0) & (inner < 2)].any()
    best = np.unravel_index(weight.argmax(), weight.shape)
    assert inner[best] > 20 and weight.max() <= (310 / 400) ** 2


def test_both_sides_of_the_nose_s_edge_are_distrusted(model, mesh):
    """Seen from the side, the nose hides the cheek behind it: neither side of that edge counts."""
    camera = camera_at(55, size_wh=(540, 720), focal_px=900)
    found = sight(model, mesh, camera, anatomy=False)
    depth = rasterize(mesh, camera).depth_mm
    with np.errstate(invalid="ignore"):
        step = np.abs(np.diff(depth, axis=1)) > 12
    y, x = np.nonzero(step & np.isfinite(depth[:, :-1]) & np.isfinite(depth[:, 1:]))
    weight = whole(found, found.weight)
    assert len(y) > 50
    assert not weight[y, x].any() and not weight[y, x + 1].any()


def test_wide_trust_is_less_than_trust_and_agrees_far_from_edges(model, mesh):
    found = sight(model, mesh, camera_at(0, size_wh=SIZE_WH, focal_px=310), anatomy=False)
    assert (found.wide <= found.weight + 1e-6).all()
    assert found.wide[found.weight == found.weight.max()][0] == pytest.approx(found.weight.max())


def test_a_gap_between_lips_is_no_edge():
    """A step of 20 mm across a slit: an edge, unless what shows in the slit is the mouth's lining."""
    depth = np.full((30, 40), 400, np.float32)
    depth[14:16, 10:30] = 420
    seen = Fragments(face=np.zeros((30, 40), np.int32), bary=np.zeros((30, 40, 3), np.float32), depth_mm=depth)
    everywhere, slit = np.ones((30, 40), bool), depth > 410
    assert edges(seen, everywhere, np.zeros_like(slit))[13:17, 12:28].all()
    assert not edges(seen, everywhere, slit).any()
    assert edges(seen, ~slit, slit)[slit].all()


def test_an_eye_is_trusted_up_to_its_lid_and_skin_beside_an_ear_not_at_all(model, mesh):
    camera = camera_at(0, size_wh=(540, 720), focal_px=800)
    fragments = rasterize(mesh, camera)

    def share(name, found, least=0.5):
        region = fragments.interpolate(model.anatomy.region(name).astype(float)[:, None], mesh.faces)[..., 0] > 0.9
        return (whole(found, found.weight)[region] > least * found.weight.max()).mean()

    known, unknown = sight(model, mesh, camera), sight(model, mesh, camera, anatomy=False)
    assert share("eye_l", known) > share("eye_l", unknown)
    ears = [fragments.interpolate(model.anatomy.region(n).astype(float)[:, None], mesh.faces)[..., 0] for n in (
        "ear_l", "ear_r")]
    away = depth_inside(np.maximum(*ears) < 0.5)
    beside = (away > 0) & (away < 3) & fragments.covered & (np.maximum(*ears) < 0.5)
    assert beside.sum() > 50 and not whole(known, known.weight)[beside].any()


def test_what_skin_before_an_ear_loses_is_told(model, mesh):
    """From the side: weight and withheld are together what skin weighs without ears; off the face nothing is told."""
    camera = camera_at(60, size_wh=(540, 720), focal_px=800)
    known, plain = sight(model, mesh, camera), sight(model, mesh, camera, anatomy=False)
    fragments = rasterize(mesh, camera)
    face, ear, eye, lining, scalp = (fragments.interpolate(np.max([
        model.anatomy.region(n) for n in names], axis=0).astype(float)[:, None], mesh.faces)[..., 0] for names in (
            ["face"], ["ear_l", "ear_r"], ["eye_l", "eye_r"], ["mouth_interior"], ["scalp"]))
    weight, withheld, all_ = (whole(s, v) for s, v in (
        (known, known.weight), (known, known.withheld), (plain, plain.weight)))
    near = depth_inside(ear < 0.5) < 4
    strip = fragments.covered & (ear < 0.5) & near & (face > 0.6)
    assert strip.sum() > 50 and not weight[strip].any()
    np.testing.assert_allclose(withheld[strip], all_[strip], atol=1e-6)
    assert withheld[strip].max() > 0.1 * weight.max()
    assert not withheld[(face < 0.1) & (ear < 0.1) | (ear > 0.6) | (eye > 0.6) | (lining > 0.6) | (scalp > 0.6)].any()
    assert not plain.withheld.any()


def test_a_sharper_larger_picture_is_worked_at_a_smaller_size(model, mesh):
    camera = camera_at(0, size_wh=(1080, 1440), focal_px=2400)
    found = sight(model, mesh, camera)
    assert found.small.size_wh[0] < 700 and found.picture.shape[:2] == (1440, 1080)
    points = mesh.vertices_mm[::50].astype(np.float32)
    px, depth = project(points, camera)
    assert np.abs(px - camera.px_from_points(mesh.vertices_mm[::50])).max() < 0.01
    assert np.abs(depth - camera.cam_from_points(mesh.vertices_mm[::50])[:, 2]).max() < 0.01
    expected = found.small.px_from_points(mesh.vertices_mm[::50]) - found.corner_px
    assert np.abs(shrunk(px, found) - expected).max() < 0.01


def test_points_behind_the_camera_are_nowhere(mesh):
    camera = camera_at(0, size_wh=SIZE_WH)
    behind = (camera.position_mm + (camera.position_mm - mesh.vertices_mm.mean(0)))[None].astype(np.float32)
    assert (project(behind, camera)[0] < -1000).all()


def test_whose_tells_the_wall_from_the_skin():
    """The silhouette is 8 pixels too wide and the mask 20: colour draws the line between."""
    y, x = np.mgrid[:200, :200]
    away = np.hypot(x - 100, y - 100)
    rng = np.random.default_rng(0)
    colour = np.where((away < 60)[..., None], [200, 150, 130], [60, 120, 160]) + rng.normal(0, 6, (200, 200, 3))
    mine = whose(np.clip(colour, 0, 255).astype(np.uint8), away < 68, away < 80, 2.0)
    assert mine[away < 57].mean() > 0.99
    assert mine[(away > 62) & (away < 68)].mean() < 0.02


def test_whose_believes_the_surface_when_the_mask_misses_the_head():
    covered = np.zeros((50, 50), bool)
    covered[10:40, 10:40] = True
    assert np.array_equal(whose(np.zeros((50, 50, 3), np.uint8), covered, np.zeros((50, 50), bool), 1.0), covered)


def test_a_collar_and_a_wall_are_paler_than_skin_in_any_shade():
    colour = np.zeros((60, 80, 3), np.uint8)
    for k, rgb in enumerate(([190, 150, 130], [80, 62, 54], [25, 28, 45], [230, 230, 232])):
        colour[:, 20 * k:20 * k + 20] = rgb
    skin = np.zeros((60, 80), bool)
    skin[:, :20] = True
    found = pale(colour, skin, 1.0)
    assert not found[:, :36].any() and found[:, 44:].all()
    assert not pale(colour, np.zeros_like(skin), 1.0).any()


def test_masked_blurs_take_nothing_from_beyond_the_mask():
    colour = np.zeros((120, 160, 3), np.uint8)
    colour[:, 80:] = (10, 250, 10)
    colour[:, :80] = (200, 100, 50)
    mask = np.zeros((120, 160), bool)
    mask[:, :80] = True
    for blurred in masked_blurs(colour, mask, (20.0, 4.0)):
        assert np.abs(blurred[:, :80] - [200, 100, 50]).max() < 0.5
        assert np.isfinite(blurred).all()


def test_masked_blurs_of_a_ramp_keep_it_inside():
    ramp = np.repeat(np.arange(200, dtype=np.uint8)[None, :, None], 100, 0).repeat(3, 2)
    low, mid = masked_blurs(ramp, np.ones((100, 200), bool), (12.0, 2.0))
    assert np.abs(low[50, 50:150] - ramp[50, 50:150]).max() < 1.5
    assert np.abs(mid[50, 10:190] - ramp[50, 10:190]).max() < 0.6


def test_around_bounds_the_mask_and_survives_an_empty_one():
    mask = np.zeros((40, 60), bool)
    mask[5:9, 50:55] = True
    assert around(mask, 3.0) == (slice(2, 12), slice(47, 58))
    rows, columns = around(np.zeros((4, 4), bool), 1.0)
    assert rows.stop > rows.start and columns.stop > columns.start


def test_zones_of_an_anatomy_without_regions_are_empty(mesh):
    count = len(mesh.vertices_mm)
    pins = SurfacePoints(face=np.zeros(1, int), bary=np.full((1, 3), 1 / 3))
    bare = Anatomy(pins478=pins, pin_names=("prn",), pin_points=pins, region_names=("nose",),
                   region_weights=np.ones((1, count)))
    found = zones(mesh, bare)
    assert not found.lining.any() and not found.scalp.any() and (found.bare == 1).all()
