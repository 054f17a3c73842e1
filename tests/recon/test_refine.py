"""The tracked skin in the bundle: its equations are derivatives, and it mends what landmarks got wrong."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import open3d as o3d
import pytest

from recon.bundle import BundleOptions, Problem, State, adjust, moved
from recon.refine import RefineOptions, Skin, refine, skin_cost, skin_equations
from recon.scene import scene_of
from recon.tracks import Tracks
from render.rasterize import Rasterizer
from tests.recon.heads import aligned, head_of, observed, person, rms, sweep

OPTIONS = RefineOptions(rounds=8, bundle=BundleOptions(modes=60, own_mm=3.0, slide=1.0))


def tracked(model, mesh, cameras, count: int, noise_px: float, seed: int) -> Tracks:
    """Perfect tracks of random points of the face's skin, wherever each is seen."""
    rng = np.random.default_rng(seed)
    area = np.linalg.norm(mesh.face_normals(), axis=1) * (model.anatomy.region("face")[mesh.faces].min(1) > 0.5)
    face = rng.choice(len(area), count, p=area / area.sum())
    bary = rng.dirichlet((1, 1, 1), count)
    points = np.einsum("nk,nkc->nc", bary, mesh.vertices_mm[mesh.faces[face]])
    scene = Rasterizer(mesh)
    seen = np.stack([scene.visible(points, c, 0.1) for c in cameras])
    names = np.flatnonzero(seen.sum(0) >= 4)
    view, point = np.nonzero(seen[:, names])
    px = np.stack([cameras[v].px_from_points(points[names[p]]) for v, p in zip(view, point, strict=True)])
    return Tracks(view=view, point=point, px=px + rng.normal(0, noise_px, px.shape))


@pytest.fixture(scope="module")
def misled(model):
    """A person whose landmarks are a third too flat, in every view; what the bundle makes of that; the tracks."""
    mesh, cameras = head_of(model, person(model, seed=11)), sweep(9)
    truth = observed(model, mesh, cameras, noise_px=0.5, seed=12)
    points, pins = truth.points_px.copy(), mesh.points(model.anatomy.pins478)
    flat = pins - np.clip(pins, 0, None) * [0, 0, 0.3]
    for view, camera in enumerate(cameras):
        points[view] += camera.px_from_points(flat) - camera.px_from_points(pins)
    seen = dataclasses.replace(truth, points_px=points)
    return SimpleNamespace(mesh=mesh, cameras=cameras, seen=seen, start=adjust(model, seen, BundleOptions(modes=60)),
                           tracks=tracked(model, mesh, cameras, 400, 0.3, seed=13))


def surface_error(model, bundle, truth) -> float:
    """RMS distance (mm) of the face's vertices to the true surface after similarity alignment."""
    face = model.anatomy.region("face") > 0.5
    fitted = aligned(head_of(model, bundle.identity).vertices_mm[face], truth.vertices_mm[face])
    distance = scene_of(truth).compute_distance(o3d.core.Tensor(fitted.astype(np.float32))).numpy()
    return rms(distance[:, None])


def test_the_skin_mends_what_landmarks_got_wrong(model, misled):
    found = refine(model, misled.seen, misled.start, misled.tracks, OPTIONS)
    before, after = (surface_error(model, b, misled.mesh) for b in (misled.start, found))
    assert before > 1.2
    assert after < 0.6
    true_focal = misled.cameras[0].K_px[0, 0]
    assert found.focal_px[0] == pytest.approx(true_focal, rel=0.02)
    yaw = [[b.camera(k, misled.seen).head_angles_rad[0] for k in range(9)] for b in (misled.start, found)]
    steps = np.diff(np.array(yaw) - [c.head_angles_rad[0] for c in misled.cameras], axis=1)
    off_before, off_after = np.degrees(np.abs(steps)).mean(1)
    assert off_after < 0.15 < off_before


def test_the_lens_is_stated_less_sure_than_the_equations_say_but_not_than_before(model, misled):
    def stated(understated, prior_sd):
        seen = dataclasses.replace(misled.seen, focal_sd=np.array([prior_sd]))
        return refine(model, seen, misled.start, misled.tracks, dataclasses.replace(
            OPTIONS, rounds=1, understated=understated))

    believed, doubted = stated(1.0, 10.0), stated(4.0, 10.0)
    assert doubted.focal_sd[0] == pytest.approx(4 * believed.focal_sd[0])
    assert (np.trace(doubted.centre_cov, axis1=1, axis2=2) > np.trace(believed.centre_cov, axis1=1, axis2=2)).all()
    assert stated(1000.0, 0.18).focal_sd[0] == pytest.approx(0.18)


def test_too_few_tracks_leave_the_bundle_alone(model, misled):
    few = misled.tracks.point < OPTIONS.least_points - 1
    tracks = Tracks(view=misled.tracks.view[few], point=misled.tracks.point[few], px=misled.tracks.px[few])
    assert tracks.count == OPTIONS.least_points - 1
    assert refine(model, misled.seen, misled.start, tracks, OPTIONS) is None
    nothing = np.zeros(0, int)
    assert refine(model, misled.seen, misled.start, Tracks(view=nothing, point=nothing, px=np.zeros((0, 2))),
                  OPTIONS) is None
    again = refine(model, misled.seen, misled.start, tracks, dataclasses.replace(OPTIONS, least_points=149, rounds=1))
    assert again is not None


@pytest.fixture(scope="module")
def linear(model, misled):
    """Sixty tracks, an outlier among them, points off the surface, and six modes: small enough to differentiate."""
    few = misled.tracks.point < 60
    px = misled.tracks.px[few].copy()
    px[5] += 40
    tracks = Tracks(view=misled.tracks.view[few], point=misled.tracks.point[few], px=px)
    options = dataclasses.replace(OPTIONS, bundle=BundleOptions(modes=6))
    problem = Problem(model, misled.seen, options.bundle)
    state, skin = State.at(misled.start, 6), Skin(problem, tracks, options)
    state.log_focal = state.log_focal + 0.02
    points = skin.first_points(skin.surface(problem, state), state)
    pins, normal = skin.associate(skin.surface(problem, state), points)
    points = points + np.random.default_rng(14).normal(0, 1.0, points.shape)
    return problem, state, skin, points, pins, normal


def equations(problem, state, skin, points, pins, normal):
    size = len(state.identity) + 1 + 6 * len(state.pose)
    H, g = np.zeros((size, size)), np.zeros(size)
    return H, g, skin_equations(skin, problem, state, points, pins, normal, H, g)


def test_the_gradient_is_that_of_the_skins_cost(linear):
    """Identity, focal length, poses, and the points, against central differences; g is half the gradient."""
    problem, state, skin, points, pins, normal = linear
    _, g, block = equations(*linear)
    h, still = 1e-5, np.zeros((478, 3))

    def cost(step, move):
        return skin_cost(skin, problem, moved(state, step, still), points + move, pins, normal)

    numeric = [(cost(h * e, 0) - cost(-h * e, 0)) / (4 * h) for e in np.eye(len(g))]
    assert np.allclose(g, numeric, rtol=1e-4, atol=1e-5 * np.abs(g).max())
    assert (np.abs(g) > 1e-3).all()
    for point in (0, 7, 59):
        for axis in range(3):
            move = np.zeros_like(points)
            move[point, axis] = h
            there = (cost(np.zeros(len(g)), move) - cost(np.zeros(len(g)), -move)) / (4 * h)
            assert block.g[point, axis] == pytest.approx(there, rel=1e-3, abs=1e-3)


def test_the_skins_matrix_is_a_sum_of_squares(linear):
    """The whole matrix, shared unknowns and points, has no negative eigenvalue, and is symmetric."""
    H, g, block = equations(*linear)
    c, p = len(g), len(block.g)
    full = np.zeros((c + 3 * p, c + 3 * p))
    full[:c, :c], full[:c, c:] = H, block.B.reshape(c, -1)
    full[c:, :c] = full[:c, c:].T
    for k in range(p):
        full[c + 3 * k:c + 3 * k + 3, c + 3 * k:c + 3 * k + 3] = block.H[k]
    assert np.allclose(full, full.T, rtol=1e-9)
    assert np.linalg.eigvalsh(full).min() > -1e-9 * np.abs(full).max()


def test_first_points_lie_on_the_surface_under_their_sightings(model, misled):
    problem = Problem(model, misled.seen, OPTIONS.bundle)
    state = State.at(misled.start, 60)
    skin = Skin(problem, misled.tracks, OPTIONS)
    mesh = skin.surface(problem, state)
    points = skin.first_points(mesh, state)
    distance = scene_of(mesh).compute_distance(o3d.core.Tensor(points.astype(np.float32))).numpy()
    assert np.percentile(distance, 97) < 0.05
    pins, normal = skin.associate(mesh, points)
    assert np.allclose(np.linalg.norm(normal, axis=1), 1)
    assert np.percentile(np.linalg.norm(mesh.points(pins) - points, axis=1), 97) < 0.05
    best, few = np.full(80, np.inf), misled.tracks.point < 80
    for view, point, px in zip(misled.tracks.view[few], misled.tracks.point[few], misled.tracks.px[few], strict=True):
        best[point] = min(best[point], np.linalg.norm(
            misled.start.camera(int(view), misled.seen).px_from_points(points[point]) - px))
    assert best.max() < 0.01
