"""A capture becomes a head: the whole way on pictures of a head whose every millimetre is known."""

import dataclasses
import functools
import importlib.util
from types import SimpleNamespace

import numpy as np
import open3d as o3d
import pytest
from PIL import Image

from core.capture import Capture, Frame
from core.errors import InputRefused, UsageError
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.reconstruction import Scale
from core.transforms import umeyama
from recon.bundle import BundleOptions, adjust
from recon.head import FOCAL_SD, check_fit, holding, reconstruct_head, with_face
from recon.observations import observations
from recon.photometric import PhotometricOptions, agreed
from recon.scale import IPD_SD, PINS_SD
from recon.scene import scene_of
from recon.texture import TextureOptions
from recon.views import HeadOptions, Views, metric, true_scale
from render.picture import PictureOptions, photograph
from render.rasterize import Rasterizer, rasterize
from render.torch_backend import seen_from_vertices
from tests.recon.heads import aligned, detected, freckled, head_of, person, rms, sweep
from tests.recon.turning import SIZE_WH as SIZES
from tests.recon.turning import turning

SIZE_WH, VIEWS, TRUE_SIZE = (360, 480), 12, 1.06
WALL = PictureOptions(background=(96, 120, 150))


class SmallSkin(HeadOptions):
    """Head options whose texture is small enough for a test."""

    def texture(self) -> TextureOptions:
        return TextureOptions(side=256, views=4)


@pytest.fixture(scope="module")
def filmed(model, tmp_path_factory):
    """A person with a 6 % large head, a freckled skin and perfect landmarks; one frame in which no face was found."""
    folder = tmp_path_factory.mktemp("capture")
    mesh = head_of(model, person(model, seed=21, sd=0.6))
    mesh = mesh.with_vertices(mesh.vertices_mm * TRUE_SIZE)
    pins, scene, skin = mesh.points(model.anatomy.pins478), Rasterizer(mesh), freckled(1024, seed=22)
    rng, frames = np.random.default_rng(23), []
    cameras = sweep(VIEWS, size_wh=SIZE_WH, focal_px=420)
    for k, camera in enumerate(cameras):
        picture = photograph(scene, camera, skin, WALL).astype(float) + rng.normal(0, 1.5, (SIZE_WH[1], SIZE_WH[0], 3))
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(folder / f"{k}.png", compress_level=1)
        px, known = detected(model, pins / TRUE_SIZE, dataclasses.replace(
            camera, cam_from_head=camera.cam_from_head @ np.diag([TRUE_SIZE, TRUE_SIZE, TRUE_SIZE, 1.0])))
        marks = Landmarks2D(scheme=MEDIAPIPE478, points=px + rng.normal(0, 0.4, px.shape),
                            confidence=known.astype(float))
        frames.append(Frame(path=f"{k}.png", source=f"clip#{k}", time_s=k / 30, size_wh=SIZE_WH, landmarks=marks,
                            sharpness=50.0))
    lost = dataclasses.replace(frames[0], path="missing.png", source="clip#lost", landmarks=None)
    capture = Capture(folder=folder, kind="video", frames=(*frames[:5], lost, *frames[5:]), quality={})
    return SimpleNamespace(capture=capture, mesh=mesh, pins=pins, cameras=cameras, skin=skin,
                           ipd_mm=float(np.linalg.norm(pins[468] - pins[473])))


@pytest.fixture(scope="module")
def found(filmed):
    """The reconstruction. A head without hair or shoulders is no person to the segmentation network: skin is what is
    redder than the blue wall."""
    options = SmallSkin(ipd_mm=filmed.ipd_mm, quality="fast", bundle=BundleOptions(modes=60))
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon.head.Foreground", lambda: lambda picture: picture[..., 0] > picture[..., 2])
        head = reconstruct_head(filmed.capture, rasterize, options, lambda f, m: said.append((f, m)))
    return SimpleNamespace(head=head, said=said)


def surface_error_mm(model, vertices, truth) -> float:
    """Mean distance of the face's vertices to the true surface (Open3D closest points)."""
    face = model.anatomy.region("face") > 0.5
    points = aligned(vertices[:len(face)][face], truth.vertices_mm[face]).astype(np.float32)
    return float(scene_of(truth).compute_distance(o3d.core.Tensor(points)).numpy().mean())


def test_the_surface_is_the_persons(model, filmed, found):
    mean = surface_error_mm(model, model.template_mm, filmed.mesh)
    error = surface_error_mm(model, found.head.mesh.vertices_mm, filmed.mesh)
    assert error < 1.0 and error < 0.6 * mean


def test_a_typed_distance_gives_true_millimetres(model, filmed, found):
    scale = found.head.scale
    assert scale.source == "ipd" and IPD_SD < scale.sd_relative <= np.hypot(IPD_SD, PINS_SD) + 1e-12
    face = model.anatomy.region("face") > 0.5
    faces = [m.vertices_mm[:len(face)][face] for m in (found.head.mesh, filmed.mesh)]
    size = [np.linalg.norm(points - points.mean(0)) for points in faces]
    assert size[0] / size[1] == pytest.approx(1, abs=0.02)
    assert scale.mm_per_unit > 1.03  # the model alone would have said 1


def test_the_head_frame_has_its_origin_between_the_outer_eye_corners(found):
    head = found.head
    corners = np.concatenate([head.mesh.points(head.anatomy.pin(n)) for n in ("ex_l", "ex_r")])
    assert np.allclose(corners.mean(0), 0, atol=1e-6) and corners[0, 0] > 0


def test_millimetres_and_the_head_frame_do_not_change_a_pixel(filmed, model):
    """A head whose eye corners lie away from the model's origin, made 30 % larger: every pin stays on its pixel."""
    views = Views.of(with_face(filmed.capture, 99), model, rasterize)
    bundle = adjust(model, views.seen, BundleOptions(modes=20, rounds=2))
    bundle = dataclasses.replace(bundle, identity=person(model, seed=25, sd=2.0))
    head = head_of(model, bundle.identity)
    before = head.points(model.anatomy.pins478)
    assert np.linalg.norm(before[[33, 263]].mean(0)) > 1
    scale = Scale(mm_per_unit=1.3, source="ipd", sd_relative=0.01)
    mesh, cameras = metric(views, head, model.anatomy, bundle, scale)
    pins = mesh.points(model.anatomy.pins478)
    assert np.linalg.norm(pins[4] - pins[152]) == pytest.approx(1.3 * np.linalg.norm(before[4] - before[152]))
    for view, camera in enumerate(cameras):
        expected = bundle.camera(view, views.seen).px_from_points(before)
        assert np.allclose(camera.px_from_points(pins), expected, atol=1e-6)


def test_the_cameras_still_show_the_landmarks_where_they_were(filmed, found):
    """Mesh and cameras went into millimetres and the head frame together."""
    kept = [f for f in filmed.capture.frames if f.landmarks is not None]
    assert len(found.head.views) == VIEWS
    for view, frame, camera in zip(found.head.views, kept, filmed.cameras, strict=True):
        assert (view.source, view.path) == (frame.source, f"capture/{frame.path}")
        stable = [4, 168, 152, 61, 291, 33, 263]
        px = view.camera.px_from_points(found.head.landmarks.points)[stable]
        assert np.median(np.linalg.norm(px - frame.landmarks.points[stable], axis=1)) < 5
        assert np.degrees(np.abs(view.camera.head_angles_rad - camera.head_angles_rad)).max() < 1.5
        assert view.camera.K_px[0, 0] == pytest.approx(420, rel=0.04)


def test_the_skin_is_the_persons(model, filmed, found):
    """Colours about landmarks of cheeks, nose and forehead; means, since freckles are finer than the texture."""
    texture = found.head.texture
    assert texture.rgb.shape == (256, 256, 3)
    where = [50, 280, 151, 205, 425, 5, 101, 330]
    uv = model.anatomy.pins478.on(model.uv, model.faces_uv)[where]
    spread = np.random.default_rng(0).normal(0, 0.01, (200, 1, 2))
    a, b = (t.sample((uv + spread).reshape(-1, 2)).reshape(200, -1, 3).mean(0) for t in (texture, filmed.skin))
    assert np.abs(a - b).max() < 12
    assert (texture.seen == 255).mean() > 0.5


def test_the_report_says_what_ran(found):
    report = found.head.report
    assert {"options", "reprojection_px", "focal_px", "views", "scale_cues", "seconds", "what_ran"} <= set(report)
    assert report["views"] == VIEWS and len(report["reprojection_px"]["per_view"]) == VIEWS
    assert report["reprojection_px"]["median"] < 2
    assert {"model", "ipd"} <= set(report["scale_cues"])
    assert "followed skin points" in report["what_ran"]["cameras"]
    assert report["what_ran"]["head_model"] == found.head.model == "anny"
    assert {"fit", "cameras", "profiles", "surface", "scale", "texture"} == set(report["seconds"])
    fractions = [f for f, _ in found.said]
    assert fractions == sorted(fractions) and 0 <= fractions[0] and 0.6 < fractions[-1] <= 1


def test_uncertainty_is_least_on_the_face(model, found):
    face = model.anatomy.region("face") > 0.5
    sd = found.head.uncertainty_mm[:len(face)]  # the model's own vertices come first
    scalp = model.anatomy.region("scalp") > 0.5
    assert 0.5 < sd[face].mean() < 2.5
    assert sd[scalp].mean() > 1.3 * sd[face].mean()


def test_every_cue_is_reported_and_measured_ones_win(filmed, model):
    views = Views.of(with_face(filmed.capture, 99), model, rasterize)
    bundle = adjust(model, views.seen, BundleOptions(modes=20, rounds=3))
    scale, cues = true_scale(views, bundle, HeadOptions())
    assert {"model"} <= set(cues) <= {"model", "iris"} and scale.source == "+".join(cues)
    scale, cues = true_scale(views, bundle, HeadOptions(ipd_mm=70.0))
    assert scale.source == "ipd" and "model" in cues
    with pytest.raises(InputRefused) as refusal:
        true_scale(views, bundle, HeadOptions(marker_mm=20.0))
    assert refusal.value.code == "no_marker"


def test_a_focal_length_that_motion_found_is_held(filmed):
    seen = observations(filmed.capture)
    before, found = seen.focal_px * 1.1, seen.focal_px * 1.03
    held, left = holding(seen, before, found), holding(seen, before, before)
    assert held.focal_px == pytest.approx(found) and held.focal_sd == pytest.approx(FOCAL_SD)
    assert (left.focal_px == seen.focal_px).all() and (left.focal_sd == seen.focal_sd).all()


@pytest.mark.parametrize(("kind", "count", "first"), [("photos", 7, "outline"), ("photos", 8, "motion"),
                                                      ("video", 7, "motion")])
def test_a_few_photos_ask_their_outline_for_the_lens(filmed, monkeypatch, kind, count, first):
    """More go through structure from motion, whose check would take a lens that is held for one from metadata."""
    def reached(name):
        def stop(*_):
            raise InterruptedError(name)
        return stop

    monkeypatch.setattr("recon.head.lens_by_outline", reached("outline"))
    monkeypatch.setattr("recon.head.with_motion", reached("motion"))
    shown = dataclasses.replace(with_face(filmed.capture, count), kind=kind)
    with pytest.raises(InterruptedError, match=first):
        reconstruct_head(shown, rasterize, SmallSkin(quality="full"))


def test_landmarks_of_no_head_are_refused(filmed, model):
    """Points at random in the picture: whatever is fitted to them does not explain them."""
    rng = np.random.default_rng(24)
    seen = observations(filmed.capture)
    good = adjust(model, seen, BundleOptions(modes=20, rounds=4))
    check_fit(good, seen)
    garbage = dataclasses.replace(seen, points_px=rng.uniform(0, 360, seen.points_px.shape))
    with pytest.raises(InputRefused) as refusal:
        check_fit(adjust(model, garbage, BundleOptions(modes=20, rounds=4)), garbage)
    assert refusal.value.code in ("no_fit", "no_pose") and refusal.value.hint
    with pytest.raises(InputRefused):
        check_fit(dataclasses.replace(good, identity=good.identity + 9), seen)
    with pytest.raises(InputRefused):
        check_fit(dataclasses.replace(good, reprojection_px=good.reprojection_px * np.nan), seen)


def test_a_capture_without_enough_faces_or_with_an_unknown_model_is_refused(filmed):
    few = dataclasses.replace(filmed.capture, frames=filmed.capture.frames[:2])
    with pytest.raises(InputRefused, match="three"):
        reconstruct_head(few, rasterize)
    with pytest.raises(UsageError, match="nobody"):
        reconstruct_head(filmed.capture, rasterize, HeadOptions(model="nobody"))


def test_the_landmarks_are_pins_of_the_mesh(found):
    head = found.head
    assert np.allclose(head.landmarks.points, head.mesh.points(head.anatomy.pins478))
    assert rms(head.landmarks.points[[33, 263]]) > 30


def test_the_full_way_measures_the_persons_own_surface(model, tmp_path_factory):
    """More views, full quality: structure from motion, depth by flow, a finer mesh that lies on the truth; where torch
    is installed, one round of the photometric refinement too."""
    torch = importlib.util.find_spec("torch") is not None
    film = turning(tmp_path_factory.mktemp("turning"))
    frames = tuple(Frame(path=name, source=f"clip#{k}", time_s=k / 30, size_wh=SIZES, sharpness=50.0,
                         landmarks=Landmarks2D(scheme=MEDIAPIPE478, points=film.seen.points_px[k],
                                               confidence=film.seen.visible[k]))
                   for k, name in enumerate(film.names))
    capture = Capture(folder=film.folder, kind="video", frames=frames, quality={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recon.head.Foreground", lambda: lambda picture: picture[..., 0] > picture[..., 2])
        patch.setattr("recon.head.agreed", functools.partial(agreed, options=PhotometricOptions(rounds=1, pairs=1)))
        head = reconstruct_head(capture, rasterize, SmallSkin(ipd_mm=63.0), see=seen_from_vertices if torch else None)
    assert ("photometric" in head.report["motion"]) == torch == ("agree" in head.report["what_ran"]["surface"])
    assert "structure from motion" in head.report["what_ran"]["cameras"]
    assert "optical flow" in head.report["what_ran"]["surface"]
    assert len(head.mesh.vertices_mm) > 20_000
    face = head.anatomy.region("face") > 0.5
    marks = film.mesh.points(model.anatomy.pins478)
    scale, rotation, translation = umeyama(head.landmarks.points, marks)
    placed = (scale * head.mesh.vertices_mm @ rotation.T + translation).astype(np.float32)
    gap = scene_of(film.mesh).compute_distance(o3d.core.Tensor(placed)).numpy()
    assert np.median(gap[face]) < 0.6
    guessed = np.max([head.anatomy.region(n) for n in ("scalp", "ear_l", "ear_r")], axis=0) > 0.5
    held = gap <= 1.96 * scale * head.uncertainty_mm
    assert held[face].mean() > 0.9 and held[guessed].mean() > 0.9, (held[face].mean(), held[guessed].mean())
    coarse = np.median(head.uncertainty_mm[face])
    assert 0.2 < coarse < np.median(head.uncertainty_mm[~face])  # what was seen is surer than what was not
