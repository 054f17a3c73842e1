"""Bundle adjustment of a head model to landmarks: one identity, one lens per camera, a pose per view, free landmarks.

Letters: N views, L = 478 landmarks, K identity modes, E facial actions, G lenses.
Each landmark is   X_l = model_l(identity) + offset_l(yaw of the view) + d_l,   d_l ~ N(0, s_l^2 I)
where the offset says how the detector's points slide over the surface as the head turns (measured on the model,
`FaceModel.view_offset_mm`) and d_l is this person's own departure, shared by all views. Residuals are reprojections
over their spread; Cauchy weights. The d_l are eliminated (3x3 Schur complements), the rest is solved densely:
Gauss-Newton with Levenberg's damping (Triggs et al., Bundle Adjustment: A Modern Synthesis, 2000, section 6).
"""

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.face_model import FaceModel
from core.progress import Progress, silent
from core.records import freeze, record
from core.transforms import head_angles_rad, rotation_from_vector
from recon.doubt import centre_cov, landmark_sd, with_variance
from recon.face478 import IRIS_ROWS
from recon.free_points import PointBlock, solve, solve_by_modes
from recon.gathering import gather, project
from recon.observations import Observations
from recon.pnp import first_poses

CAUCHY = 2.0
"""Residuals beyond this many spreads lose weight."""


@record
class BundleOptions:
    """How strongly the fit trusts what.

    rounds: Gauss-Newton steps. modes: identity modes that landmarks can tell apart. noise_share:
    detector's own noise as a share of the face's height (1 sd).
    own_mm: spread of a person's landmark about the model's pin. slide: share of the model's view scatter that is noise.
    expression_sd: spread of each facial action's strength per view; expression_rounds: how often they are refined.
    """

    rounds: int = 10
    modes: int = 80
    noise_share: float = 0.006
    own_mm: float = 1.5
    slide: float = 0.7
    expression_sd: float = 0.08
    expression_every: int = 4


DEFAULTS = BundleOptions()


@record
class Fit:
    """Where the unknowns came to rest, in model units (mm up to the capture's true scale).

    identity (K,) with zeros beyond the modes used, expression (N,E), cam_from_head (N,4,4), focal_px (G,),
    landmarks (478,3) with the own departures `own` (478,3), reprojection_px (N,) median error per view, weight (N,478)
    final weights.
    """

    identity: Float[np.ndarray, "k"]
    expression: Float[np.ndarray, "n e"]
    cam_from_head: Float[np.ndarray, "n 4 4"]
    focal_px: Float[np.ndarray, "g"]
    landmarks: Float[np.ndarray, "478 3"]
    own: Float[np.ndarray, "478 3"]
    reprojection_px: Float[np.ndarray, "n"]
    weight: Float[np.ndarray, "n 478"]

    def __post_init__(self) -> None:
        freeze(self, **{k: (getattr(self, k), float) for k in self.__dataclass_fields__})

    def camera(self, view: int, seen: Observations) -> Camera:
        """The camera of one view."""
        return Camera(K_px=intrinsics(self.focal_px[seen.lens[view]], seen.size_wh[view]),
                      cam_from_head=self.cam_from_head[view], size_wh=(int(seen.size_wh[view, 0]),
                                                                       int(seen.size_wh[view, 1])))


@record
class Bundle(Fit):
    """The result, and how sure it is.

    landmark_sd (478,) mm, identity_cov (K,K), centre_cov (N,3,3) of the cameras' centres in the head's axes, for a head
    of known size (`recon.scale` says how sure that is), focal_sd (G,) of ln(focal). Covariances are those of the final
    normal equations, everything else being unknown too.
    """

    landmark_sd: Float[np.ndarray, "478"]
    identity_cov: Float[np.ndarray, "k k"]
    centre_cov: Float[np.ndarray, "n 3 3"]
    focal_sd: Float[np.ndarray, "g"]


def intrinsics(focal_px: float, size_wh: np.ndarray) -> Float[np.ndarray, "3 3"]:
    """Square pixels, principal point in the middle."""
    return np.array([[focal_px, 0, (size_wh[0] - 1) / 2], [0, focal_px, (size_wh[1] - 1) / 2], [0, 0, 1.0]])


class Problem:
    """The model restricted to its 478 pins, and the observations."""

    def __init__(self, model: FaceModel, seen: Observations, options: BundleOptions) -> None:
        pins = model.anatomy.pins478
        self.model, self.seen, self.options = model, seen, options
        self.mean = pins.on(model.template_mm, model.faces)
        identity, self.expression = bases_at_pins(model)
        self.identity = identity[:options.modes]
        self.basis = basis_at_pins(model, len(self.identity))
        height = np.ptp(seen.points_px[..., 1], axis=1)
        self.noise_px = options.noise_share * height
        visible = seen.visible.copy()
        visible[:, IRIS_ROWS] = 0  # gaze moves them
        self.visible = visible
        self.offset_mm = trusted_offsets(model)
        self.center = (seen.size_wh - 1) / 2

    def shapes(self, identity: np.ndarray, expression: Float[np.ndarray, "n e"]) -> Float[np.ndarray, "n 478 3"]:
        """The pins of a person with each view's expression."""
        person = self.mean.ravel() + identity @ self.identity.reshape(len(identity), -1)
        flat = person + expression @ self.expression.reshape(expression.shape[1], -1)
        return np.asarray(flat.reshape(-1, 478, 3))

    def at_yaw(self, yaw_rad: Float[np.ndarray, "n"]) -> tuple[
            Float[np.ndarray, "n 478 3"], Float[np.ndarray, "n 478"]]:
        """Offsets and scatter (mm) of the detector at each yaw, linear between the measured bins."""
        bins = self.model.view_yaw_rad
        x = np.clip(np.interp(yaw_rad, bins, np.arange(len(bins))), 0, len(bins) - 1 - 1e-9)
        low = x.astype(int)
        share = (x - low)[:, None, None]
        offset = (1 - share) * self.offset_mm[low] + share * self.offset_mm[low + 1]
        return offset, np.maximum(self.model.view_sd_mm[low], self.model.view_sd_mm[low + 1])


@functools.lru_cache(maxsize=2)
def bases_at_pins(model: FaceModel) -> tuple[Float[np.ndarray, "k 478 3"], Float[np.ndarray, "e 478 3"]]:
    """The model's identity and expression bases at its 478 pins."""
    pins = model.anatomy.pins478
    identity, expression = (np.stack([pins.on(b, model.faces) for b in basis])
                            for basis in (model.identity_basis_mm, model.expression_basis_mm))
    return identity, expression


@functools.lru_cache(maxsize=4)
def basis_at_pins(model: FaceModel, modes: int) -> Float[np.ndarray, "p3 k"]:
    """The first identity modes at every coordinate of the pins."""
    return np.ascontiguousarray(bases_at_pins(model)[0][:modes].transpose(1, 2, 0)).reshape(-1, modes)


@functools.lru_cache(maxsize=2)
def trusted_offsets(model: FaceModel) -> Float[np.ndarray, "y 478 3"]:
    """The model's view offsets, shrunk by how consistent they were over heads: offset^2 / (offset^2 + scatter^2)."""
    size2 = (model.view_offset_mm**2).sum(2)
    share = np.where(np.isfinite(model.view_sd_mm), size2 / (size2 + model.view_sd_mm**2), 0)
    return model.view_offset_mm * share[..., None]


class State:
    """The unknowns while they move; a plain mutable bag inside this module."""

    def __init__(self, problem: Problem) -> None:
        seen = problem.seen
        self.identity = np.zeros(len(problem.identity))
        self.expression = np.zeros((len(seen.points_px), len(problem.expression)))
        self.own = np.zeros((478, 3))
        self.log_focal = np.log(seen.focal_px)
        self.pose = first_poses(problem.mean, seen, problem.visible)

    @classmethod
    def at(cls, bundle: "Bundle", modes: int) -> "State":
        """The unknowns of a finished bundle."""
        state = object.__new__(cls)
        state.identity, state.expression = bundle.identity[:modes].copy(), bundle.expression.copy()
        state.own, state.log_focal = bundle.own.copy(), np.log(bundle.focal_px)
        state.pose = bundle.cam_from_head.copy()
        return state

    def copy(self) -> "State":
        """An independent copy."""
        other = object.__new__(State)
        for name, value in self.__dict__.items():
            setattr(other, name, value.copy())
        return other


@functools.lru_cache(maxsize=2)
def predicted(problem: Problem, state: State) -> tuple[np.ndarray, ...]:
    """Of all views: camera-frame points (N,478,3), projected px (N,478,2), and their spread px (N,478).

    Kept, for a step that is taken is asked again; a state is not changed once it has been asked."""
    offset, scatter = problem.at_yaw(np.array([head_angles_rad(pose)[0] for pose in state.pose]))
    head = problem.shapes(state.identity, state.expression) + offset + state.own
    focal = np.exp(state.log_focal[problem.seen.lens])
    cam, px = np.empty(head.shape), np.empty((*head.shape[:2], 2))
    project(head, state.pose, focal, problem.center, cam, px)
    spread = np.hypot(problem.noise_px[:, None], problem.options.slide * scatter * focal[:, None] / cam[..., 2])
    return cam, px, spread


def residuals(problem: Problem, state: State) -> tuple[np.ndarray, ...]:
    """Of all views: residual px (N,478,2), robust weight 1/px^2 (N,478) and camera points (N,478,3)."""
    cam, px, spread = predicted(problem, state)
    r = px - problem.seen.points_px
    u = (r**2).sum(2) / spread**2
    return r, np.where(np.isfinite(spread), problem.visible / spread**2 / (1 + u / CAUCHY**2), 0), cam


def objective(problem: Problem, state: State) -> float:
    """Cauchy cost of all views plus the priors."""
    cam, px, spread = predicted(problem, state)
    if (cam[..., 2] <= 1).any():
        return np.inf
    u = ((px - problem.seen.points_px) ** 2).sum(2) / spread**2
    total = float((problem.visible * CAUCHY**2 * np.log1p(u / CAUCHY**2))[np.isfinite(spread)].sum())
    o, seen = problem.options, problem.seen
    return (total + (state.identity**2).sum() + (state.own**2).sum() / o.own_mm**2
            + (((state.log_focal - np.log(seen.focal_px)) / seen.focal_sd) ** 2).sum()
            + (state.expression**2).sum() / o.expression_sd**2)


def by_views(problem: Problem, state: State) -> tuple[np.ndarray, np.ndarray, PointBlock]:
    """Gauss-Newton's H (M,M) and g (M,) of lenses and poses, and what the views say of the landmarks, without priors.

    M = G + 6 N: log focal, then rotation and translation of each view (left perturbation).
    """
    seen, lenses = problem.seen, len(state.log_focal)
    size = lenses + 6 * len(state.pose)
    H, g = np.zeros((size, size)), np.zeros(size)
    Hd, gd, B = np.zeros((478, 3, 3)), np.zeros((478, 3)), np.zeros((size, 478, 3))
    for view, (r, w, cam) in enumerate(zip(*residuals(problem, state), strict=True)):
        index = np.concatenate([[seen.lens[view]], lenses + 6 * view + np.arange(6)])
        focal = float(np.exp(state.log_focal[seen.lens[view]]))
        gather(r, w, cam, state.pose[view], focal, index, H, g, Hd, gd, B)
    return H, g, PointBlock(H=Hd, g=gd, B=B)


def with_priors(problem: Problem, state: State, H: np.ndarray, g: np.ndarray, told: PointBlock) -> tuple[
        np.ndarray, np.ndarray, PointBlock]:
    """The same with what is expected of lenses and landmarks."""
    seen, lenses, own2 = problem.seen, len(state.log_focal), problem.options.own_mm**2
    expected, off = np.zeros(len(g)), np.zeros(len(g))
    expected[:lenses], off[:lenses] = 1 / seen.focal_sd**2, state.log_focal - np.log(seen.focal_px)
    block = PointBlock(H=told.H + np.eye(3) / own2, g=told.g + state.own / own2, B=told.B)
    return H + np.diag(expected), g + expected * off, block


def normal_equations(problem: Problem, state: State) -> tuple[np.ndarray, np.ndarray, PointBlock]:
    """Gauss-Newton's H (C,C) and g (C,) of the shared unknowns, and the block of the free landmarks.

    C = K + G + 6 N: identity, then those of `by_views`. Identity moves the free landmarks: what it adds follows from
    what they add, once for all views.
    """
    H, g, told = by_views(problem, state)
    H, g, block = with_priors(problem, state, H, g, told)
    identity, k = problem.basis, len(state.identity)
    coupled = told.H @ identity.reshape(478, 3, k)
    both = told.B.reshape(-1, 478 * 3) @ identity
    own = identity.T @ coupled.reshape(-1, k) + np.eye(k)
    return (np.block([[own, both.T], [both, H]]),
            np.concatenate([identity.T @ told.g.ravel() + state.identity, g]),
            PointBlock(H=block.H, g=block.g, B=np.concatenate([coupled.transpose(2, 0, 1), block.B])))


def moved(state: State, step: np.ndarray, own: np.ndarray) -> State:
    """The state after a step."""
    new, k, lenses = state.copy(), len(state.identity), len(state.log_focal)
    new.identity += step[:k]
    new.log_focal += step[k:k + lenses]
    new.own += own
    for view, move in enumerate(step[k + lenses:].reshape(-1, 6)):
        new.pose[view, :3, :3] = rotation_from_vector(move[:3]) @ state.pose[view, :3, :3]
        new.pose[view, :3, 3] += move[3:]
    return new


def refine_expression(problem: Problem, state: State) -> State:
    """Each view's facial actions, everything else held: a ridge solve per view, strengths within [-0.3, 1]."""
    new = state.copy()
    for view, (r, w, cam) in enumerate(zip(*residuals(problem, state), strict=True)):
        focal = np.exp(state.log_focal[problem.seen.lens[view]])
        to_cam = np.zeros((478, 2, 3))
        to_cam[:, 0, 0] = to_cam[:, 1, 1] = focal / cam[:, 2]
        to_cam[:, :, 2] = -focal * cam[:, :2] / cam[:, 2, None] ** 2
        J = to_cam @ state.pose[view][:3, :3] @ problem.expression.transpose(1, 2, 0)
        flat = J.reshape(-1, J.shape[2])
        weight = np.repeat(w, 2)
        ridge = np.eye(J.shape[2]) / problem.options.expression_sd**2
        right = flat.T @ (weight * r.ravel()) + ridge @ state.expression[view]
        step = np.linalg.solve(flat.T @ (flat * weight[:, None]) + ridge, right)
        new.expression[view] = np.clip(state.expression[view] - step, -0.3, 1)
    return new


def adjust(model: FaceModel, seen: Observations, options: BundleOptions = DEFAULTS,
           progress: Progress = silent) -> Bundle:
    """Fit identity, expressions, poses, lenses and landmarks to the observations."""
    return settled(model, seen, options, progress)[1]()


def settled(model: FaceModel, seen: Observations, options: BundleOptions = DEFAULTS, progress: Progress = silent,
            ) -> tuple[Fit, Callable[[], Bundle]]:
    """The same without how sure it is, which takes a fifth of the time, and what works that out."""
    problem = Problem(model, seen, options)
    state = State(problem)
    cost, damping = objective(problem, state), 1e-3
    for turn in range(options.rounds):
        progress(turn / options.rounds, f"Fitting the head, round {turn + 1}")
        H, g, told = by_views(problem, state)
        H, g, block = with_priors(problem, state, H, g, told)
        before = cost
        for _ in range(6):
            step, own = solve_by_modes(problem.basis, state.identity, H, g, told, block, damping)
            trial = moved(state, step, own)
            trial_cost = objective(problem, trial)
            if trial_cost < cost:
                state, cost, damping = trial, trial_cost, max(damping / 5, 1e-9)
                break
            damping *= 8
        if turn % options.expression_every == options.expression_every - 1:
            trial = refine_expression(problem, state)
            trial_cost = objective(problem, trial)
            if trial_cost < cost:
                state, cost = trial, trial_cost
        elif before - cost < 1e-4 * cost and turn > options.expression_every:
            break
    return fit_of(problem, state), functools.partial(with_doubt, problem, state)


def with_doubt(problem: Problem, state: State) -> Bundle:
    """The bundle at a state where the landmarks alone are free."""
    H, g, block = normal_equations(problem, state)
    return finished(problem, state, block, solve(H, g, [block], 0.0)[2])


def cost(model: FaceModel, seen: Observations, bundle: Bundle, options: BundleOptions = DEFAULTS) -> float:
    """Cauchy cost of all views plus the priors, at a finished bundle."""
    return objective(Problem(model, seen, options), State.at(bundle, options.modes))


def finished(problem: Problem, state: State, block: PointBlock, reduced: np.ndarray,
             focal_sd: Float[np.ndarray, "g"] | None = None, understated: float = 1.0) -> Bundle:
    """Collect the result; covariances from the landmarks' block and the reduced matrix at the solution. focal_sd: how
    sure each ln(focal) really is, where not NaN (landmarks and model seem to tell it better than they do); the others'
    spread is `understated` times the equations', at most the prior's."""
    k, lenses = len(state.identity), len(state.log_focal)
    shared = np.linalg.inv(reduced + 1e-9 * np.diag(np.diag(reduced)))
    own = np.sqrt(np.diag(shared)[k:k + lenses])
    told = np.maximum(own, np.minimum(understated * own, problem.seen.focal_sd))
    sure = told if focal_sd is None else np.where(np.isnan(focal_sd), told, focal_sd)
    if (sure != own).any():
        shared = with_variance(shared, k + np.arange(lenses), sure**2)
    covariance = np.eye(len(problem.model.identity_basis_mm))  # modes not fitted keep their prior
    covariance[:k, :k] = shared[:k, :k]
    fit = fit_of(problem, state)
    return Bundle(
        **{name: getattr(fit, name) for name in fit.__dataclass_fields__}, identity_cov=covariance,
        landmark_sd=landmark_sd(problem.identity, block.H, block.B, shared),
        centre_cov=centre_cov(fit.landmarks - fit.own, problem.identity, state.pose, shared),
        focal_sd=np.sqrt(np.diag(shared)[k:k + lenses]))


def fit_of(problem: Problem, state: State) -> Fit:
    """A state as it is handed on."""
    unused = np.zeros(len(problem.model.identity_basis_mm) - len(state.identity))
    head = problem.mean + np.tensordot(state.identity, problem.identity, 1)
    residual, weight, _ = residuals(problem, state)
    error = [np.median(np.linalg.norm(r[w > 0], axis=1)) for r, w in zip(residual, weight, strict=True)]
    return Fit(identity=np.concatenate([state.identity, unused]), expression=state.expression, cam_from_head=state.pose,
               focal_px=np.exp(state.log_focal), landmarks=head + state.own, own=state.own,
               reprojection_px=np.array(error), weight=weight)
