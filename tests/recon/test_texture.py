"""The skin painted on a head, photographed from known places and gathered again, is the skin that was painted."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from core.certainty import SEEN, seen_at
from core.mesh import Mesh
from core.subdivide import finer
from core.texture import Texture
from recon.layout import layout, on_texels
from recon.sight import SightOptions
from recon.texture import LINING_RGB, TextureOptions, choose_views, gather
from render.picture import AS_SEEN, photograph
from render.rasterize import Rasterizer, rasterize
from tests.recon.heads import camera_at, freckled

SIDE = 512
OPTIONS = TextureOptions(side=SIDE, views=5)
SIZE_WH = (270, 360)
LAMP = np.array([-0.6, -0.5, -0.62])  # camera axes: from the picture's upper left, in front


def painted(side: int = 512) -> Texture:
    """Waves of colour that are the same on both sides of the head's middle, where the layout is mirrored."""
    v, u = np.meshgrid((np.arange(side) + 0.5) / side, (np.arange(side) + 0.5) / side, indexing="ij")
    u = np.abs(u - 0.5)
    rgb = 128 + 80 * np.stack([np.cos(9 * u + 2 * v), np.sin(11 * v), np.cos(8 * (u - v))], -1)
    return Texture(rgb=np.rint(rgb).astype(np.uint8), seen=np.full((side, side), 255, np.uint8))


def everyone(picture: np.ndarray) -> np.ndarray:
    return np.ones(picture.shape[:2], bool)


def shot(mesh: Mesh, cameras, options: TextureOptions = OPTIONS, truth: Texture | None = None, lamp: bool = False,
         **more) -> SimpleNamespace:
    """Photographs of the painted head, under a lamp or none, and the texture gathered from them."""
    truth, scene = truth or painted(), Rasterizer(mesh)
    pictures = [photograph(scene, c, truth, AS_SEEN) for c in cameras]
    if lamp:
        pictures = [lit(p, scene, c) for p, c in zip(pictures, cameras, strict=True)]
    found = gather(mesh, cameras, pictures.__getitem__, everyone, np.ones(len(cameras)), rasterize, options, **more)
    texel = (np.arange(options.side) + 0.5) / options.side
    uv = np.stack(np.meshgrid(texel, texel), -1).reshape(-1, 2)
    expected = truth.sample(uv).reshape(options.side, options.side, 3)
    return SimpleNamespace(skin=found, texture=found.as_seen, error=np.abs(found.as_seen.rgb - expected).max(2),
                           seen=found.as_seen.seen == 255, inside=layout(mesh, options.side).inside, expected=expected)


def lit(picture: np.ndarray, scene: Rasterizer, camera) -> np.ndarray:
    """The picture as a lamp that stands in the room shows it: linear light, ambient 0.35."""
    fragments = scene(camera)
    normal = fragments.interpolate(scene.mesh.vertex_normals(), scene.mesh.faces) @ camera.cam_from_head[:3, :3].T
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    light = 0.35 + 0.65 * np.clip(normal @ LAMP, 0, None)
    return np.clip(picture * np.where(fragments.covered, light, 1)[..., None] ** (1 / 2.2), 0, 255).astype(np.uint8)


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
    assert np.median(five.error[five.seen & face]) < 6
    assert np.percentile(five.error[five.seen & face], 95) < 25


def test_what_no_camera_sees_is_marked_and_filled(mesh, five):
    """Against the geometry: a texel that faces away from every camera, or lies behind other skin, is not seen."""
    flat = layout(mesh, SIDE)
    points, normals = (on_texels(values, mesh, flat) for values in (mesh.vertices_mm, mesh.vertex_normals()))
    scene, could = Rasterizer(mesh), np.zeros((SIDE, SIDE), bool)
    for camera in cameras(-50, -25, 0, 25, 50):
        facing = ((camera.position_mm - points) * normals).sum(2) > 0
        could |= facing & scene.visible(points.reshape(-1, 3).astype(float), camera, 3.5).reshape(SIDE, SIDE)
    assert (five.seen & ~could).sum() < 0.005 * five.seen.sum()  # trust is worked out on a coarser copy
    back = five.inside & (points[..., 2] < mesh.vertices_mm[:, 2].min() + 20)
    assert back.sum() > 50 and not five.seen[back].any()
    assert not five.seen[~five.inside].any()
    filled = five.texture.rgb[five.inside & ~five.seen]
    assert (filled.max(1) > 20).all()  # nothing is left black


def test_a_vertex_is_seen_where_a_camera_could_see_it(model, mesh, five):
    """Against the geometry: next to none that faces away from all five cameras, and nearly all of the face."""
    seen = seen_at(five.texture, mesh) > SEEN
    eyes = np.stack([c.position_mm for c in cameras(-50, -25, 0, 25, 50)])
    away = eyes[:, None] - mesh.vertices_mm
    cosine = np.einsum("kvc,vc->kv", away / np.linalg.norm(away, axis=2, keepdims=True), mesh.vertex_normals())
    face, hidden = model.anatomy.region("face") > 0.9, cosine.max(0) < -0.2
    assert hidden.sum() > 300 and seen[hidden].mean() < 0.02, seen[hidden].mean()  # its triangles may face them
    assert seen[face & (cosine.max(0) > 0.6)].mean() > 0.85


def test_skin_before_an_ear_is_seen_though_its_colour_is_not_taken(model, mesh):
    head = shot(mesh, cameras(-60, 0, 60), TextureOptions(side=SIDE, views=3), anatomy=model.anatomy)
    face, ear = (on_texels(np.max([model.anatomy.region(n) for n in names], axis=0).astype(float)[:, None], mesh,
                           layout(mesh, SIDE))[..., 0] for names in (["face"], ["ear_l", "ear_r"]))
    before = (face > 0.3) & (ear > 0.2) & (ear < 0.5)
    assert before.sum() > 100 and head.seen[before].mean() > 0.97, (before.sum(), head.seen[before].mean())


def test_the_unseen_side_is_filled_from_the_seen_one(model, mesh):
    """Pictures from the patient's left alone; the freckles are symmetric, so those of the right side are known."""
    left = freckled(SIDE, 3).rgb
    both = Texture(rgb=np.maximum(left, left[:, ::-1]), seen=np.full((SIDE, SIDE), 255, np.uint8))
    half = shot(mesh, cameras(-60, -45, -30), truth=both)
    face = on_face(model, mesh) & ~half.seen & half.seen[:, ::-1]
    assert face.sum() > 4000
    assert np.median(half.error[face]) < 8
    assert np.corrcoef(half.texture.rgb[face].mean(1), half.expected[face].mean(1))[0, 1] > 0.7


def test_a_background_pixel_is_not_skin(mesh):
    """Where the mask says background, the head is not painted with it."""
    views = cameras(0)
    pictures = [np.full((SIZE_WH[1], SIZE_WH[0], 3), 90, np.uint8)]
    pictures[0][:, :SIZE_WH[0] // 2] = (0, 255, 0)
    found = gather(mesh, views, pictures.__getitem__, lambda p: p[..., 1] < 200, np.ones(1), rasterize,
                   TextureOptions(side=SIDE, views=1)).as_seen
    assert (found.seen == 255).sum() > 8000
    colour = found.rgb[found.seen == 255].astype(int)
    assert np.abs(colour - 90).max() < 60  # hidden skin beside a lid is drawn darker
    assert np.percentile(np.abs(colour - 90), 99) < 6
    assert np.ptp(colour, axis=1).max() <= 4  # none of it is green


def test_a_background_that_the_mask_misses_is_not_skin(mesh):
    """A head narrower than the fitted one, a mask too wide: colour tells the wall behind from the person."""
    wall, views = (30, 200, 60), cameras(-20, 20)
    small = mesh.with_vertices(mesh.vertices_mm * [0.92, 1, 1])
    pictures = [photograph(Rasterizer(small), c, freckled(512, 0), AS_SEEN) for c in views]
    for picture, camera in zip(pictures, views, strict=True):
        picture[~rasterize(small, camera).covered] = wall
    found = gather(mesh, views, pictures.__getitem__, lambda p: cv2.dilate(
        (p != wall).any(2).astype(np.uint8), np.ones((31, 31))) > 0, np.ones(2), rasterize,
                   TextureOptions(side=SIDE, views=2)).as_seen
    seen = found.rgb[found.seen == 255].astype(int)
    assert len(seen) > 20000
    assert (seen[:, 1] > seen[:, 0] + 10).mean() < 0.002


def test_the_mouths_hidden_lining_is_dark_and_the_eyes_is_not(model, mesh):
    dark = shot(mesh, cameras(0), TextureOptions(side=SIDE, views=1), anatomy=model.anatomy)
    lining = model.anatomy.region("mouth_interior").astype(float)
    low = mesh.vertices_mm[:, 1] < mesh.points(model.anatomy.pin("prn"))[0, 1]  # the mouth lies under the nose

    def off(part):
        """How far hidden texels of a lining are from its dark colour."""
        inner = on_texels((lining * part)[:, None], mesh, layout(mesh, SIDE))[..., 0] > 0.999
        hidden = cv2.erode((inner & ~dark.seen).astype(np.uint8), np.ones((9, 9))) > 0
        assert hidden.sum() > 200
        return np.abs(dark.skin.delit.rgb[hidden].astype(int) - LINING_RGB).max(1)

    assert off(low).max() <= 2 < 20 < np.median(off(~low))


def test_the_sharp_picture_gives_the_detail(mesh):
    """Two pictures from one place, one with a fine pattern: it shows when its view is sharper."""
    views = cameras(0, 0.01)
    y, x = np.mgrid[:SIZE_WH[1], :SIZE_WH[0]]
    fine = np.repeat((128 + 60 * np.sign(np.sin(x * 1.6) * np.sin(y * 1.6)))[..., None], 3, 2).astype(np.uint8)
    plain = np.full_like(fine, 128)
    contrast = []
    for sharpness in ([1.0, 0.5], [0.5, 1.0]):
        found = gather(mesh, views, [fine, plain].__getitem__, everyone, np.array(sharpness), rasterize,
                       TextureOptions(side=SIDE, views=2)).as_seen
        contrast.append(found.rgb[found.seen == 255].std())
    assert contrast[0] > 3 * contrast[1]


@pytest.fixture(scope="module")
def lamp(model, mesh):
    return shot(mesh, cameras(-45, -30, -15, 0, 15, 30, 45), TextureOptions(side=SIDE, views=7), freckled(512, 1), True,
                anatomy=model.anatomy)


def shading(rgb: np.ndarray, truth: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Logarithm of how much brighter than the truth, its mean taken off."""
    ratio = np.log(rgb[where].mean(1) + 1) - np.log(truth[where].mean(1) + 1)
    return ratio - ratio.mean()


def test_the_lamp_is_taken_off_the_skin(model, mesh, lamp):
    """The head turned under a lamp: under an even light little of the shading is left, and no side is brighter."""
    face = on_face(model, mesh) & lamp.seen
    x = on_texels(mesh.vertices_mm, mesh, layout(mesh, SIDE))[face][:, 0] / 70
    y = on_texels(mesh.vertices_mm, mesh, layout(mesh, SIDE))[face][:, 1] / 70
    seen, delit = (shading(t.rgb, lamp.expected, face) for t in (lamp.texture, lamp.skin.delit))
    assert lamp.skin.light.frame == "room"
    assert np.abs(delit).mean() < 0.65 * np.abs(seen).mean()
    for axis in (x, y):
        slope = [np.polyfit(axis, values, 1)[0] for values in (seen, delit)]
        assert abs(slope[1]) < max(0.4 * abs(slope[0]), 0.02)


def test_the_light_and_the_even_skin_give_back_every_picture(model, mesh, lamp):
    """Better than one texture for all views, though the pictures are lit differently."""
    scene, normals = Rasterizer(mesh), mesh.vertex_normals()
    face, gain = model.anatomy.region("face").astype(float)[:, None], []
    for place, view in enumerate(lamp.skin.views):
        camera = cameras(-45, -30, -15, 0, 15, 30, 45)[view]
        fragments = scene(camera)
        where = fragments.interpolate(face, mesh.faces)[..., 0] > 0.9
        picture = lit(photograph(scene, camera, freckled(512, 1), AS_SEEN), scene, camera)[where].astype(float)
        n = fragments.interpolate(normals, mesh.faces)[where]
        n /= np.linalg.norm(n, axis=1, keepdims=True)
        factor = lamp.skin.light.factor(n, camera.cam_from_head[:3, :3], place)
        relit = photograph(scene, camera, lamp.skin.delit, AS_SEEN)[where] * factor
        same = photograph(scene, camera, lamp.texture, AS_SEEN)[where]
        gain.append([np.sqrt(((shown - picture) ** 2).mean()) for shown in (relit, same)])
    relit, same = np.array(gain).T
    assert relit.mean() < 0.7 * same.mean()
    assert relit.max() < 16


def test_an_eye_comes_whole_from_one_picture(model, mesh):
    """Gaze moves between two pictures: the eye shows one of them, not a mixture."""
    views, eye = cameras(0, 8), model.anatomy.region("eye_l").astype(float)[:, None]
    pictures = [np.full((SIZE_WH[1], SIZE_WH[0], 3), 150, np.uint8) for _ in views]
    for picture, camera, grey in zip(pictures, views, (60, 240), strict=True):
        picture[rasterize(mesh, camera).interpolate(eye, mesh.faces)[..., 0] > 0.5] = grey
    found = gather(mesh, views, pictures.__getitem__, everyone, np.ones(2), rasterize,
                   TextureOptions(side=SIDE, views=2), anatomy=model.anatomy).as_seen
    on_eye = on_texels(eye, mesh, layout(mesh, SIDE))[..., 0] > 0.99
    colour = found.rgb[(found.seen == 255) & on_eye].astype(float).mean(1)
    assert len(colour) > 100
    assert np.median(colour) < 100 or np.median(colour) > 200


def test_a_collar_is_not_painted_on_the_neck(model, mesh):
    """A dark shirt reaches up to the head's neck; the skin goes on instead."""
    chin = mesh.points(model.anatomy.pin("me"))[0, 1]
    views = cameras(-30, 0, 30)
    pictures = [photograph(Rasterizer(mesh), c, freckled(512, 2), AS_SEEN) for c in views]
    for picture, camera in zip(pictures, views, strict=True):
        height = rasterize(mesh, camera).interpolate(mesh.vertices_mm, mesh.faces)[..., 1]
        picture[height < chin - 20] = (20, 24, 40)
    found = gather(mesh, views, pictures.__getitem__, everyone, np.ones(3), rasterize,
                   TextureOptions(side=SIDE, views=3), anatomy=model.anatomy).as_seen
    height = on_texels(mesh.vertices_mm, mesh, layout(mesh, SIDE))[..., 1]
    neck = found.rgb[layout(mesh, SIDE).inside & (height < chin - 24)].astype(float).mean(1)
    assert len(neck) > 300
    assert np.percentile(neck, 10) > 90


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


def test_beyond_an_outline_the_nearest_texel_goes_on(mesh):
    flat = layout(mesh, 128)
    rows, columns = flat.nearest
    assert flat.inside[rows, columns].all()
    y, x = np.nonzero(~flat.inside)
    inner = np.argwhere(flat.inside)
    for k in range(0, len(y), 997):
        away = np.linalg.norm(inner - (y[k], x[k]), axis=1).min()
        assert np.hypot(rows[y[k], x[k]] - y[k], columns[y[k], x[k]] - x[k]) == pytest.approx(away)


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


def test_steeper_views_can_be_left_out(mesh):
    """The share of the head that counts as seen shrinks with what is asked of the angle."""
    seen = [shot(mesh, cameras(0), TextureOptions(side=128, views=1, sight=SightOptions(least_cosine=c))).seen.mean()
            for c in (0.1, 0.5, 0.8)]
    assert seen[0] > 1.1 * seen[1] > 1.3 * seen[2] > 0


def test_a_wrinkle_that_no_picture_shows_is_not_drawn_on_the_skin(model, mesh):
    """A fine surface whose normals waver more than the film's skin does: the light is not taken off by them."""
    smooth, anatomy, _ = finer(mesh, model.anatomy, np.ones(len(mesh.vertices_mm), bool))
    wavy = smooth.moved(0.4 * np.sin(smooth.vertices_mm[:, 1:2]) * smooth.vertex_normals())  # every 6 mm of height
    views = cameras(-45, -30, -15, 0, 15, 30, 45)
    scene = Rasterizer(smooth)
    film = [lit(photograph(scene, c, painted(), AS_SEEN), scene, c) for c in views]
    even = []
    for surface in (smooth, wavy):
        found = gather(surface, views, film.__getitem__, everyone, np.ones(7), rasterize,
                       TextureOptions(side=SIDE, views=7), anatomy=anatomy)
        even.append(found.delit.rgb.mean(2) + 1)
    face = on_texels(anatomy.region("face").astype(float)[:, None], smooth, layout(smooth, SIDE))[..., 0] > 0.9
    drawn = np.abs(np.log(even[1] / even[0]))[face]
    assert np.percentile(drawn, 95) < 0.05
