"""The bundle finds a known head again, and its equations are the derivatives of its own objective."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from core.capture import Capture, Frame
from core.errors import InputRefused
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.transforms import head_angles_rad, rotation_from_vector
from recon.bundle import (
    Bundle,
    BundleOptions,
    Problem,
    State,
    adjust,
    by_views,
    moved,
    normal_equations,
    objective,
    with_priors,
)
from recon.doubt import centre_cov, landmark_sd, radius95, with_variance
from recon.face478 import face_height_px
from recon.free_points import PointBlock, solve, solve_by_modes
from recon.observations import FACE_MM, KNOWN_FOCAL_SD, UNKNOWN_FOCAL, USUAL_MM, lens_prior, observations
from recon.pnp import first_poses
from tests.recon.heads import aligned, detected, head_of, observed, person, rms, sweep

FOCAL_PX = 560.0
OPTIONS = BundleOptions(modes=60)


@pytest.fixture(scope="module")
def known(model):
    """A person seen by nine cameras with 0.7 px of noise, and what the bundle made of it."""
    identity = person(model, seed=4)
    mesh, cameras = head_of(model, identity), sweep(9, focal_px=FOCAL_PX)
    seen = observed(model, mesh, cameras, noise_px=0.7, seed=5)
    return SimpleNamespace(identity=identity, mesh=mesh, cameras=cameras, seen=seen,
                           found=adjust(model, seen, OPTIONS))


def degrees_between(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip((np.trace(a[:3, :3] @ b[:3, :3].T) - 1) / 2, -1, 1))))


def test_a_known_head_is_found_again(model, known):
    found = known.found
    assert abs(known.seen.focal_px[0] / FOCAL_PX - 1) > 0.05  # where the fit began
    assert found.focal_px[0] == pytest.approx(FOCAL_PX, rel=0.03)
    turned = [degrees_between(p, c.cam_from_head) for p, c in zip(found.cam_from_head, known.cameras, strict=True)]
    assert max(turned) < 1.0
    pins, truth = model.anatomy.pins478, known.mesh.points(model.anatomy.pins478)
    fitted = head_of(model, found.identity).points(pins)
    before = rms((aligned(model.mean_mesh().points(pins), truth) - truth)[:468])
    after = rms((aligned(fitted, truth) - truth)[:468])
    assert after < 1.0 and after < 0.5 * before
    assert rms((aligned(found.landmarks, truth) - truth)[:468]) < 1.0


def test_residuals_are_the_noise_that_was_put_in(known):
    expected = 0.7 * np.sqrt(2 * np.log(2))  # median of a Rayleigh distribution
    assert np.median(known.found.reprojection_px) == pytest.approx(expected, rel=0.2)
    assert known.found.reprojection_px.shape == (9,)


def test_the_stated_uncertainty_covers_the_error(model, known):
    """z-scores of the strongest modes; prior and data together cannot be surer than the noise allows."""
    sd = np.sqrt(np.diag(known.found.identity_cov))
    assert (sd[:OPTIONS.modes] < 1).all() and np.allclose(sd[OPTIONS.modes:], 1)
    z = (known.found.identity - known.identity)[:20] / sd[:20]
    assert np.sqrt((z**2).mean()) < 2.5


def test_modes_beyond_those_asked_stay_zero(known):
    assert not known.found.identity[OPTIONS.modes:].any()
    assert known.found.identity[:OPTIONS.modes].all()


def test_outliers_lose_their_say(model, known):
    """One point in twenty lies a face's width away: the head hardly notices, the weights say which."""
    rng = np.random.default_rng(6)
    points, wild = known.seen.points_px.copy(), rng.random(known.seen.points_px.shape[:2]) < 0.05
    points[wild] += rng.normal(0, 60, (wild.sum(), 2))
    seen = dataclasses.replace(known.seen, points_px=points)
    found = adjust(model, seen, OPTIONS)
    pins, truth = model.anatomy.pins478, known.mesh.points(model.anatomy.pins478)
    assert rms((aligned(head_of(model, found.identity).points(pins), truth) - truth)[:468]) < 1.2
    used = known.seen.visible.astype(bool) & (found.weight > 0)
    assert found.weight[wild & used].mean() < 0.2 * found.weight[~wild & used].mean()


def test_irises_do_not_pull(known):
    assert not known.found.weight[:, 468:].any()
    assert known.found.weight[:, :468].any(0).mean() > 0.8


def still(model):
    """The model with landmarks that do not slide: then spread and offset do not depend on the unknowns."""
    return dataclasses.replace(model, view_offset_mm=np.zeros_like(model.view_offset_mm),
                               view_sd_mm=np.ones_like(model.view_sd_mm))


@pytest.fixture(scope="module")
def small(model):
    """A problem of three views away from its minimum, its free landmarks moved, one landmark an outlier."""
    plain = still(model)
    seen = observed(plain, head_of(plain, person(plain, 1)), sweep(3), noise_px=2.0, seed=2)
    points = seen.points_px.copy()
    points[1, 50] += 80
    problem = Problem(plain, dataclasses.replace(seen, points_px=points), BundleOptions(modes=5, slide=0.0))
    state, rng = State(problem), np.random.default_rng(3)
    state.identity = rng.normal(0, 0.5, 5)
    state.own = rng.normal(0, 0.5, (478, 3))
    state.log_focal = state.log_focal + 0.05
    return problem, state


def slope_of_objective(problem, state, step, own, h: float = 1e-5) -> float:
    """Central difference of the objective along a step of the unknowns, halved: g is half the gradient."""
    return (objective(problem, moved(state, h * step, h * own)) - objective(problem, moved(state, -h * step, -h * own))
            ) / (4 * h)


def test_the_gradient_is_that_of_the_objective(small):
    """Identity, focal length, and every view's rotation and translation, one by one."""
    problem, state = small
    _, g, _ = normal_equations(problem, state)
    assert len(g) == 5 + 1 + 6 * 3
    numeric = [slope_of_objective(problem, state, e, np.zeros((478, 3))) for e in np.eye(len(g))]
    assert np.allclose(g, numeric, rtol=1e-4, atol=1e-5 * np.abs(g).max())
    assert (np.abs(g) > 1e-3).all()


@pytest.mark.parametrize("damping", [0.0, 1e-3, 8.0])
def test_eliminating_before_the_modes_are_laid_on_changes_no_step(small, damping):
    problem, state = small
    H, g, block = normal_equations(problem, state)
    step, (own,), _ = solve(H, g, [block], damping)
    H, g, told = by_views(problem, state)
    H, g, block = with_priors(problem, state, H, g, told)
    fast, fast_own = solve_by_modes(problem.basis, state.identity, H, g, told, block, damping)
    assert np.allclose(fast, step, rtol=1e-8, atol=1e-9 * np.abs(step).max())
    assert np.allclose(fast_own, own, rtol=1e-8, atol=1e-9 * np.abs(own).max())


def test_the_gradient_of_the_free_landmarks(small):
    problem, state = small
    block = normal_equations(problem, state)[2]
    for landmark in (4, 50, 152, 263, 470):
        for axis in range(3):
            own = np.zeros((478, 3))
            own[landmark, axis] = 1
            numeric = slope_of_objective(problem, state, np.zeros(24), own)
            assert block.g[landmark, axis] == pytest.approx(numeric, rel=1e-3, abs=1e-4)


def test_the_covariances_are_those_of_all_unknowns_together(small):
    """Brute force: the inverse of the whole matrix, and slopes of what is stated by differences."""
    problem, state = small
    H, g, block = normal_equations(problem, state)
    shared, marks = len(g), slice(len(g), None)
    whole = np.zeros((shared + 3 * 478, shared + 3 * 478))
    whole[:shared, :shared], whole[:shared, marks] = H, block.B.reshape(shared, -1)
    whole[marks, :shared] = whole[:shared, marks].T
    for mark in range(478):
        rows = slice(shared + 3 * mark, shared + 3 * mark + 3)
        whole[rows, rows] = block.H[mark]
    everything = np.linalg.inv(whole)
    reduced = np.linalg.inv(solve(H, g, [block], 0.0)[2])
    assert np.allclose(reduced, everything[:shared, :shared], rtol=1e-4, atol=1e-6 * np.abs(reduced).max())
    stated = landmark_sd(problem.identity, block.H, block.B, reduced)
    for mark in (4, 50, 152):
        slope = np.zeros((3, len(whole)))
        slope[:, :5] = problem.identity[:, mark].T
        slope[:, shared + 3 * mark:shared + 3 * mark + 3] = np.eye(3)
        assert stated[mark] == pytest.approx(np.sqrt(np.trace(slope @ everything @ slope.T) / 3), rel=1e-3)

    def centre_over_size(step, view):
        new = moved(state, step, np.zeros((478, 3)))
        x = problem.mean + np.tensordot(new.identity, problem.identity, 1)
        size = np.sqrt(((x - x.mean(0)) ** 2).sum())
        return -new.pose[view, :3, :3].T @ new.pose[view, :3, 3] / size, size

    head = problem.mean + np.tensordot(state.identity, problem.identity, 1)
    for view, found in enumerate(centre_cov(head, problem.identity, state.pose, reduced)):
        size = centre_over_size(np.zeros(shared), view)[1]
        slope = np.stack([(centre_over_size(1e-5 * e, view)[0] - centre_over_size(-1e-5 * e, view)[0]) / 2e-5 * size
                          for e in np.eye(shared)], 1)
        assert np.allclose(found, slope @ reduced @ slope.T, rtol=1e-3, atol=1e-4 * np.abs(found).max())


def test_a_variance_told_from_outside_spreads_to_what_follows_it():
    """Against draws: y = 3 x + z with x surer, then less sure, than the covariance says."""
    cov = np.array([[4.0, 12.0, 0.0], [12.0, 37.0, 0.5], [0.0, 0.5, 2.0]])
    for variance in (0.25, 25.0):
        told = with_variance(cov, np.array([0]), np.array([variance]))
        x, rest = np.sqrt(variance) * np.random.default_rng(1).normal(size=200_000), np.random.default_rng(2)
        others = x[:, None] * (cov[0, 1:] / 4) + rest.multivariate_normal(
            [0, 0], cov[1:, 1:] - np.outer(cov[0, 1:], cov[0, 1:]) / 4, 200_000)
        assert np.allclose(told, np.cov(np.column_stack([x, others]).T), rtol=0.03, atol=0.05)
    assert np.allclose(with_variance(cov, np.array([0, 2]), np.array([np.nan, np.nan])), cov)


def test_the_stated_radius_holds_95_of_100_centres(known):
    """Drawn from the stated covariances, among them a needle and a ball."""
    rng = np.random.default_rng(8)
    for cov in (known.found.centre_cov[0], np.diag([9.0, 0.01, 0.01]), np.eye(3), np.diag([4.0, 4.0, 0.1])):
        off = np.linalg.norm(rng.multivariate_normal(np.zeros(3), cov, 20000), axis=1)
        assert (off <= radius95(cov)).mean() == pytest.approx(0.95, abs=0.01)


def test_the_second_derivatives_near_a_perfect_fit(model):
    """Gauss-Newton's matrix is the Hessian where residuals vanish: identity block and its coupling to landmarks."""
    plain = still(model)
    truth = State.__new__(State)
    cameras, identity = sweep(3), person(plain, 1, modes=5)
    seen = observed(plain, head_of(plain, identity), cameras, noise_px=0.0, seed=0)
    problem = Problem(plain, seen, BundleOptions(modes=5, slide=0.0))
    truth.identity, truth.own, truth.log_focal = identity[:5], np.zeros((478, 3)), np.log([FOCAL_PX])
    truth.expression = np.zeros((3, len(plain.expression_names)))
    truth.pose = np.stack([c.cam_from_head for c in cameras])
    H, g, block = normal_equations(problem, truth)
    h, nothing = 1e-5, np.zeros((478, 3))
    for column in (0, 4, 5, 7, 11):
        step = h * np.eye(len(g))[column]
        ahead, back = (normal_equations(problem, moved(truth, sign * step, nothing)) for sign in (1, -1))
        assert np.allclose((ahead[1] - back[1]) / (2 * h), H[:, column], rtol=1e-3, atol=1e-4 * np.abs(H).max())
        assert np.allclose((ahead[2].g - back[2].g) / (2 * h), block.B[column], rtol=1e-3,
                           atol=1e-4 * np.abs(block.B[column]).max())


def test_the_schur_step_solves_the_whole_system():
    """Brute force: the dense system of shared unknowns and two blocks of points."""
    rng = np.random.default_rng(8)
    c, sizes = 7, (4, 3)
    total = c + 3 * sum(sizes)
    J = rng.normal(size=(3 * total, total))
    full, right = J.T @ J, rng.normal(size=total)
    starts = c + 3 * np.arange(sum(sizes))
    for i in starts:
        for j in starts:
            if i != j:
                full[i:i + 3, j:j + 3] = 0  # points do not see each other
    full += 3 * total * np.eye(total)
    blocks, first = [], 0
    for size in sizes:
        mine = starts[first:first + size]
        blocks.append(PointBlock(H=np.stack([full[i:i + 3, i:i + 3] for i in mine]),
                                 g=np.stack([right[i:i + 3] for i in mine]),
                                 B=np.stack([full[:c, i:i + 3] for i in mine], 1)))
        first += size
    step, points, reduced = solve(full[:c, :c], right[:c], blocks, 0.0)
    expected = np.linalg.solve(full, -right)
    assert np.allclose(step, expected[:c], rtol=1e-6, atol=1e-9)
    assert np.allclose(np.concatenate([p.ravel() for p in points]), expected[c:], rtol=1e-6, atol=1e-9)
    assert np.allclose(np.linalg.inv(reduced), np.linalg.inv(full)[:c, :c], rtol=1e-6)


def test_first_poses_are_exact_for_the_mean_head_with_a_known_lens(model):
    plain, cameras = still(model), sweep(4)
    seen = observed(plain, plain.mean_mesh(), cameras, noise_px=0.0, seed=0)
    seen = dataclasses.replace(seen, focal_px=np.array([FOCAL_PX]))
    poses = first_poses(plain.mean_mesh().points(plain.anatomy.pins478), seen, seen.visible)
    assert np.allclose(poses, [c.cam_from_head for c in cameras], atol=1e-3)


def test_sliding_landmarks_are_expected_where_the_model_says(model):
    """At a measured yaw the offset is the table's row, half way between rows their mean, beyond the last the last."""
    seen = observed(model, model.mean_mesh(), sweep(3), noise_px=0.0, seed=0)
    problem = Problem(model, seen, OPTIONS)
    table, bins = problem.offset_mm, model.view_yaw_rad
    for yaw, expected in ((bins[4], table[4]), ((bins[4] + bins[5]) / 2, (table[4] + table[5]) / 2),
                          (bins[-1] + 0.5, table[-1]), (bins[0] - 0.5, table[0])):
        assert np.allclose(problem.at_yaw(np.array([yaw]))[0], [expected], atol=1e-6)
    px, _ = detected(model, problem.mean, sweep(3)[0])
    assert np.allclose(px, seen.points_px[0])
    assert head_angles_rad(sweep(3)[0].cam_from_head)[0] < 0


def test_a_rotation_step_turns_about_the_heads_origin(small):
    _, state = small
    step = np.zeros(24)
    step[6:9] = [0.1, -0.2, 0.05]
    new = moved(state, step, np.zeros((478, 3)))
    assert np.allclose(new.pose[0, :3, :3], rotation_from_vector(step[6:9]) @ state.pose[0, :3, :3])
    assert np.allclose(new.pose[0, :3, 3], state.pose[0, :3, 3]) and np.allclose(new.pose[1:], state.pose[1:])


def capture(tmp_path, sizes_hints: list[tuple], faces: bool = True, kind: str = "photos") -> Capture:
    """Frames with landmarks at random places, the first half of them sure."""
    rng, frames = np.random.default_rng(0), []
    confidence = np.where(np.arange(478) < 239, 1.0, 0.01)
    for k, (size, hint) in enumerate(sizes_hints):
        marks = Landmarks2D(scheme=MEDIAPIPE478, points=rng.uniform(0, 400, (478, 2)), confidence=confidence)
        frames.append(Frame(path=f"{k}.png", source=str(k), time_s=float(k), size_wh=size, sharpness=1.0,
                            landmarks=marks if faces else None, focal_hint_px=hint))
    return Capture(folder=tmp_path, kind=kind, frames=tuple(frames), quality={})


def test_fewer_than_three_views_are_refused(tmp_path):
    size = ((400, 500), None)
    assert len(observations(capture(tmp_path, [size] * 3)).points_px) == 3
    with pytest.raises(InputRefused) as refusal:
        observations(capture(tmp_path, [size] * 2))
    assert refusal.value.code == "too_few_views" and refusal.value.hint
    with pytest.raises(InputRefused):
        observations(capture(tmp_path, [size] * 5, faces=False))


def test_lenses_are_told_apart_by_size_and_hint(tmp_path):
    a, b, c = ((400, 500), None), ((500, 400), None), ((400, 500), 777.0)
    seen = observations(capture(tmp_path, [a, b, a, c]))
    assert seen.lens.tolist() == [0, 1, 0, 2]
    assert seen.focal_px[2] == 777.0 and seen.focal_sd[2] == KNOWN_FOCAL_SD < seen.focal_sd[0]
    assert (seen.visible == (np.arange(478) < 239)).all()


def test_a_film_is_a_phones_whole_picture_and_a_photo_any_cameras(tmp_path):
    """The photos' lens lies between a phone's and the one that a usual distance asks for, and is less sure."""
    size, diagonal = (400, 500), np.hypot(400, 500)
    film = observations(capture(tmp_path, [(size, None)] * 3, kind="video"))
    photos = capture(tmp_path, [(size, None)] * 3)
    seen = observations(photos)
    tall = np.median([face_height_px(f.landmarks.points) for f in photos.frames])
    assert film.focal_px == pytest.approx([UNKNOWN_FOCAL * diagonal]) and film.focal_sd[0] < seen.focal_sd[0]
    by_distance = USUAL_MM * tall / FACE_MM
    assert seen.focal_px[0] == pytest.approx(lens_prior(float(tall), size, None)[0])
    assert min(by_distance, film.focal_px[0]) < seen.focal_px[0] < max(by_distance, film.focal_px[0])


def test_the_record_keeps_read_only_copies(known):
    assert isinstance(known.found, Bundle)
    with pytest.raises(ValueError, match="read-only"):
        known.found.identity[0] = 1
