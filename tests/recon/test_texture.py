"""The skin painted on a head, photographed from known places and gathered again, is the skin that was painted."""

from types import SimpleNamespace

import numpy as np
import pytest

from core.mesh import Mesh
from core.texture import Texture
from recon.models import load_model
from recon.texture import LINING_RGB, TextureOptions, choose_views, complete, gather, layout, on_texels, pull_push
from render.picture import AS_SEEN, photograph
from render.rasterize import Rasterizer, rasterize
from tests.recon.heads import camera_at

SIDE = 256
OPTIONS = TextureOptions(side=SIDE, views=5)
SIZE_WH = (270, 360)


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.fixture(scope="module")
def mesh(model):
    return model.mean_mesh()


def painted(side: int = 512) -> Texture:
    """Waves of colour that are the same on both sides of the head's middle, where the layout is mirrored."""
    v, u = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side, indexing="ij")
    u = np.abs(u - 0.5)
    rgb = 128 + 80 * np.stack([np.cos(9 * u + 2 * v), np.sin(11 * v), np.cos(8 * (u - v))], -1)
    return Texture(rgb=np.rint(rgb).astype(np.uint8), seen=np.full((side, side), 255, np.uint8))


def shot(mesh: Mesh, cameras, options: TextureOptions = OPTIONS, **more) -> SimpleNamespace:
    """Photographs of the painted head, and the texture gathered from them."""
    truth, scene = painted(), Rasterizer(mesh)
    pictures = [photograph(scene, c, truth, AS_SEEN) for c in cameras]
    found = gather(mesh, cameras, pictures.__getitem__, lambda p: np.ones(p.shape[:2], bool), np.ones(len(cameras)),
                   rasterize, options, **more)
    texel = (np.arange(options.side) + 0.5) / options.side
    uv = np.stack(np.meshgrid(texel, texel), -1).reshape(-1, 2)
    expected = truth.sample(uv).reshape(options.side, options.side, 3)
    return SimpleNamespace(texture=found, error=np.abs(found.rgb - expected).max(2), pictures=pictures,
                           seen=found.seen == 255, inside=layout(mesh, options.side).face >= 0)


def cameras(*yaws_deg: float):
    return [camera_at(yaw, size_wh=SIZE_WH, focal_px=310) for yaw in yaws_deg]


@pytest.fixture(scope="module")
def five(mesh):
    return shot(mesh, cameras(-50, -25, 0, 25, 50))


def on_face(model, mesh):
    weight = on_texels(model.anatomy.region("face").astype(float)[:, None], mesh, layout(mesh, SIDE))
    return weight[..., 0] > 0.9


def test_seen_skin_has_the_colour_that_was_painted(model, mesh, five):
    face = on_face(model, mesh)
    assert five.seen[face].mean() > 0.85
    assert np.median(five.error[five.seen]) < 5
    assert np.percentile(five.error[five.seen & face], 95) < 20


def test_what_no_camera_sees_is_marked_and_filled(mesh, five):
    """Against the geometry: a texel that faces away from every camera, or lies behind other skin, is not seen."""
    flat = layout(mesh, SIDE)
    points, normals = (on_texels(values, mesh, flat) for values in (mesh.vertices_mm, mesh.vertex_normals()))
    scene, could = Rasterizer(mesh), np.zeros((SIDE, SIDE), bool)
    for camera in cameras(-50, -25, 0, 25, 50):
        facing = ((camera.position_mm - points) * normals).sum(2) > 0
        could |= facing & scene.visible(points.reshape(-1, 3).astype(float), camera, 3.5).reshape(SIDE, SIDE)
    assert (five.seen & ~could).sum() < 0.001 * five.seen.sum()  # depths are compared at whole pixels
    back = five.inside & (points[..., 2] < -210)
    assert back.sum() > 50 and not five.seen[back].any()
    assert not five.seen[~five.inside].any()
    filled = five.texture.rgb[five.inside & ~five.seen]
    assert (filled.max(1) > 20).all()  # nothing is left black


def test_the_unseen_side_is_filled_from_the_seen_one(model, mesh):
    """Pictures from the patient's left alone; the paint is symmetric, so the right side is known."""
    half = shot(mesh, cameras(-60, -45, -30))
    face = on_face(model, mesh) & ~half.seen & half.seen[:, ::-1]
    assert face.sum() > 1000
    assert np.median(half.error[face]) < 16


def test_a_background_pixel_is_not_skin(mesh):
    """Where the mask says background, the head is not painted with it."""
    views = cameras(0)
    pictures = [np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)]
    pictures[0][:, :SIZE_WH[0] // 2] = (0, 255, 0)
    found = gather(mesh, views, pictures.__getitem__, lambda p: p[..., 1] < 200, np.ones(1), rasterize,
                   TextureOptions(side=SIDE, views=1, band_mm=0.5))
    assert (found.seen == 255).sum() > 2000
    colour = found.rgb[found.seen == 255].astype(int)
    assert np.abs(colour - 90).max() < 12


def test_hidden_linings_are_dark(model, mesh):
    lining = model.anatomy.region("mouth_interior").astype(float)
    dark = shot(mesh, cameras(0), TextureOptions(side=SIDE, views=1), lining=lining)
    inner = on_texels(lining[:, None], mesh, layout(mesh, SIDE))[..., 0] > 0.99
    assert (inner & ~dark.seen).sum() > 200
    assert (dark.texture.rgb[inner & ~dark.seen] == LINING_RGB).all()


def test_the_sharp_picture_gives_the_detail(mesh):
    """Two pictures from one place, one with a fine pattern: it shows when its view is sharper."""
    views = cameras(0, 0.01)
    y, x = np.mgrid[:SIZE_WH[1], :SIZE_WH[0]]
    fine = np.repeat((128 + 60 * np.sign(np.sin(x * 1.6) * np.sin(y * 1.6)))[..., None], 3, 2).astype(np.uint8)
    plain = np.full_like(fine, 128)
    contrast = []
    for sharpness in ([1.0, 0.5], [0.5, 1.0]):
        found = gather(mesh, views, [fine, plain].__getitem__, lambda p: np.ones(p.shape[:2], bool),
                       np.array(sharpness), rasterize, TextureOptions(side=SIDE, views=2))
        contrast.append(found.rgb[found.seen == 255].std())
    assert contrast[0] > 3 * contrast[1]


def test_layout_texels_lie_where_their_barycentrics_say(mesh):
    """Barycentrics times texture coordinates give back the texel's centre; every large enough triangle has texels."""
    flat = layout(mesh, SIDE)
    y, x = np.nonzero(flat.face >= 0)
    corner = mesh.uv[mesh.faces_uv[flat.face[y, x]]]
    uv = np.einsum("nk,nkc->nc", flat.bary[y, x].astype(float), corner)
    assert np.abs(uv * SIDE - 0.5 - np.stack([x, y], 1)).max() < 0.02
    a, b, c = (mesh.uv[mesh.faces_uv[:, k]] * SIDE for k in range(3))
    area = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert np.isin(np.flatnonzero(area > 8), flat.face).mean() > 0.99
    assert (flat.face >= 0).mean() == pytest.approx(area.sum() / SIDE**2, abs=0.01)  # no triangle hides another


def test_layouts_of_different_heads_are_not_mixed_up(mesh):
    turned = Mesh(vertices_mm=mesh.vertices_mm, faces=mesh.faces, faces_uv=mesh.faces_uv,
                  uv=np.concatenate([mesh.uv[:2000], 1 - mesh.uv[2000:]]))
    assert (layout(mesh, 64).face != layout(turned, 64).face).any()
    assert layout(mesh, 64) is layout(mesh, 64)


def test_on_texels_interpolates_and_is_zero_outside(mesh):
    flat = layout(mesh, SIDE)
    ones = on_texels(np.ones((len(mesh.vertices_mm), 1)), mesh, flat)[..., 0]
    assert np.allclose(ones[flat.face >= 0], 1, atol=1e-5) and not ones[flat.face < 0].any()


def test_views_are_spread_and_start_in_front():
    yaws = [-60, -58, -30, -3, 0, 2, 31, 59, 60]
    views = [camera_at(yaw) for yaw in yaws]
    chosen = choose_views(views, np.ones(len(yaws)), 5)
    assert yaws[chosen[0]] == 0 and len(set(chosen)) == 5
    kept = sorted(yaws[k] for k in chosen)
    assert np.diff(kept).min() > 20
    assert sorted(choose_views(views, np.ones(len(yaws)), 50)) == list(range(len(yaws)))


def test_the_sharper_of_two_neighbours_is_chosen():
    views = [camera_at(yaw) for yaw in (0, 40, 41)]
    assert choose_views(views, np.array([1.0, 1.0, 0.1]), 2) == [0, 1]
    assert choose_views(views, np.array([1.0, 0.1, 1.0]), 2) == [0, 2]


@pytest.mark.parametrize("shape", [(64, 64), (37, 90)])
def test_pull_push_fills_a_constant_exactly_and_keeps_what_is_known(shape):
    rng = np.random.default_rng(0)
    known = rng.random(shape) < 0.05
    colour = np.where(known[..., None], np.float32([10, 200, 77]), np.float32(-999))
    assert np.allclose(pull_push(colour, known), [10, 200, 77], atol=1e-3)
    noise = rng.uniform(0, 255, (*shape, 3)).astype(np.float32)
    filled = pull_push(noise, known)
    assert np.allclose(filled[known], noise[known], atol=1e-3)
    assert filled.min() >= noise[known].min() - 1e-2 and filled.max() <= noise[known].max() + 1e-2


def test_pull_push_with_nothing_known_is_grey():
    assert (pull_push(np.zeros((16, 16, 3)), np.zeros((16, 16), bool)) == 128).all()


def test_pull_push_takes_the_near_colour():
    colour, known = np.zeros((64, 64, 3)), np.zeros((64, 64), bool)
    colour[:, :4], known[:, :4] = 50, True
    colour[:, -4:], known[:, -4:] = 150, True
    row = pull_push(colour, known)[32, :, 0]
    assert row[8] < 75 and row[-9] > 125 and 80 < row[31:33].mean() < 120


def test_complete_does_not_touch_seen_skin():
    rng = np.random.default_rng(2)
    skin, seen = rng.uniform(0, 255, (64, 64, 3)).astype(np.float32), np.zeros((64, 64), bool)
    seen[10:50, 5:30] = True
    full = complete(skin, seen, np.ones((64, 64), bool))
    assert np.array_equal(full[seen], skin[seen])
    assert np.isfinite(full).all()
