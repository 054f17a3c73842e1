"""Refinement: the tracked skin joins the bundle adjustment, so that cameras and depth come from the person's own skin.

Letters as in `bundle`; M tracked points, S(a) the model's surface. Each point P_j is free. It must lie under its
sightings (reprojection over TRACK_PX) and on the surface: n . (P_j - S_j(a)) / SURFACE_MM with S_j the closest point,
renewed every round (point-to-plane, Chen & Medioni 1992; Geman-McClure weights for what is not skin). Landmarks stay in
with their own departures, which keeps anatomy in its place along the surface.
"""

import numpy as np
from jaxtyping import Float

from core.face_model import FaceModel
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.surface import SurfacePoints
from recon.bundle import (
    Bundle,
    BundleOptions,
    Problem,
    State,
    finished,
    moved,
    normal_equations,
    objective,
    refine_expression,
)
from recon.free_points import PointBlock, solve
from recon.observations import Observations
from recon.scene import cast, closest, scene_of
from recon.tracks import Tracks

CAUCHY = 2.0


@record
class RefineOptions:
    """rounds: Gauss-Newton steps. track_px: a sighting's noise at 720 px width. surface_mm: how closely the model can
    follow a face. outlier_mm: farther points lose their say. understated: by how much the equations understate the
    spread of ln(focal), where the points do not come from structure from motion (root mean square of error over spread
    in thirteen films with truth: 3.7; the largest 7.5, of a film whose expression changes). own_mm, slide: as in the
    bundle, looser."""

    rounds: int = 14
    track_px: float = 0.6
    surface_mm: float = 0.5
    outlier_mm: float = 3.0
    least_points: int = 150
    understated: float = 4.0
    bundle: BundleOptions = BundleOptions(modes=140, own_mm=3.0, slide=1.0)


DEFAULTS = RefineOptions()


class Skin:
    """The tracked points while they move, and where they lie on the surface."""

    def __init__(self, problem: Problem, tracks: Tracks, options: RefineOptions) -> None:
        self.tracks, self.options = tracks, options
        model = problem.model
        self.basis = model.identity_basis_mm[:len(problem.identity)]
        self.expression = model.expression_basis_mm
        self.px_sd = options.track_px * problem.seen.size_wh[tracks.view].min(1) / 720
        self.center = problem.center[tracks.view]
        self.lens = problem.seen.lens[tracks.view]

    def surface(self, problem: Problem, state: State) -> Mesh:
        """The neutral surface at the state's identity, with the shared expression."""
        model = problem.model
        vertices = model.template_mm + np.tensordot(state.identity, self.basis, 1) + np.tensordot(
            np.median(state.expression, 0), self.expression, 1)
        return Mesh(vertices_mm=vertices, faces=model.faces, uv=model.uv, faces_uv=model.faces_uv)

    def first_points(self, mesh: Mesh, state: State) -> Float[np.ndarray, "p 3"]:
        """Each point where the ray of its middle sighting meets the surface (or comes nearest to the head's middle)."""
        t = self.tracks
        middle = np.array([np.flatnonzero(t.point == j)[np.count_nonzero(t.point == j) // 2] for j in range(t.count)])
        pose = state.pose[t.view[middle]]
        focal = np.exp(state.log_focal[self.lens[middle]])
        ray = np.column_stack([(t.px[middle] - self.center[middle]) / focal[:, None], np.ones(len(middle))])
        direction = np.einsum("nij,ni->nj", pose[:, :3, :3], ray)
        origin = -np.einsum("nij,ni->nj", pose[:, :3, :3], pose[:, :3, 3])
        distance = cast(scene_of(mesh), origin, direction).astype(float)
        distance = np.where(np.isfinite(distance), distance, pose[:, 2, 3])
        return origin + direction * distance[:, None]

    def associate(self, mesh: Mesh, points: Float[np.ndarray, "p 3"]) -> tuple[SurfacePoints, np.ndarray]:
        """Closest surface points and their normals."""
        pins = closest(scene_of(mesh), points)
        normal = pins.on(mesh.vertex_normals(), mesh.faces)
        return pins, normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)


def sight(skin: Skin, state: State, points: np.ndarray) -> tuple[np.ndarray, ...]:
    """Camera points (m,3), residual px (m,2), focal (m,), and squared residual over its spread (m,)."""
    t = skin.tracks
    pose = state.pose[t.view]
    cam = np.einsum("mij,mj->mi", pose[:, :3, :3], points[t.point]) + pose[:, :3, 3]
    focal = np.exp(state.log_focal[skin.lens])
    r = focal[:, None] * cam[:, :2] / cam[:, 2:] + skin.center - t.px
    return cam, r, focal, (r**2).sum(1) / skin.px_sd**2


def gap(skin: Skin, mesh: Mesh, pins: SurfacePoints, normal: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Signed distance (mm) of the points before their surface points."""
    out: np.ndarray = ((points - mesh.points(pins)) * normal).sum(1)
    return out


def skin_cost(skin: Skin, problem: Problem, state: State, points: np.ndarray, pins: SurfacePoints,
              normal: np.ndarray) -> float:
    """Robust cost of sightings and gaps."""
    o = skin.options
    u = sight(skin, state, points)[3]
    d2 = gap(skin, skin.surface(problem, state), pins, normal, points) ** 2
    far = o.outlier_mm**2
    return float((CAUCHY**2 * np.log1p(u / CAUCHY**2)).sum() + (d2 / (1 + d2 / far)).sum() / o.surface_mm**2)


def skin_equations(skin: Skin, problem: Problem, state: State, points: np.ndarray, pins: SurfacePoints,
                   normal: np.ndarray, H: np.ndarray, g: np.ndarray) -> PointBlock:
    """Add the skin's terms to H and g; return the block of its points."""
    t, o = skin.tracks, skin.options
    k, lenses, n = len(state.identity), len(state.log_focal), len(state.pose)
    cam, r, focal, u = sight(skin, state, points)
    w = 1 / skin.px_sd**2 / (1 + u / CAUCHY**2)
    to_cam = np.zeros((len(r), 2, 3))
    to_cam[:, 0, 0] = to_cam[:, 1, 1] = focal / cam[:, 2]
    to_cam[:, :, 2] = -focal[:, None] * cam[:, :2] / cam[:, 2:] ** 2
    rotation = state.pose[t.view, :3, :3]
    about = cam - state.pose[t.view, :3, 3]
    turned = np.stack([np.cross(axis, about) for axis in np.eye(3)], 2)
    J = np.concatenate([(focal[:, None] * cam[:, :2] / cam[:, 2:])[..., None], to_cam @ turned, to_cam], 2)  # 1 + 6
    to_head = to_cam @ rotation
    Hp, gp = np.zeros((t.count, 3, 3)), np.zeros((t.count, 3))
    B = np.zeros((len(g), t.count, 3))
    np.add.at(Hp, t.point, np.einsum("mia,mib->mab", to_head * w[:, None, None], to_head))
    np.add.at(gp, t.point, np.einsum("mia,mi->ma", to_head * w[:, None, None], r))
    Jw = J * w[:, None, None]
    own = np.einsum("mia,mib->mab", Jw, J)
    cross = np.einsum("mia,mib->mab", Jw, to_head)
    right = np.einsum("mia,mi->ma", Jw, r)
    for view in range(n):
        rows = np.flatnonzero(t.view == view)
        if len(rows) == 0:
            continue
        index = np.concatenate([[k + problem.seen.lens[view]], k + lenses + 6 * view + np.arange(6)])
        H[np.ix_(index, index)] += own[rows].sum(0)
        g[index] += right[rows].sum(0)
        B[index[:, None], t.point[rows]] += cross[rows].transpose(1, 0, 2)
    mesh = skin.surface(problem, state)
    d = gap(skin, mesh, pins, normal, points)
    wd = 1 / o.surface_mm**2 / (1 + d**2 / o.outlier_mm**2) ** 2
    slope = -np.einsum("kpc,pc->pk", np.stack([pins.on(b, mesh.faces) for b in skin.basis]), normal, optimize=True)
    H[:k, :k] += (slope * wd[:, None]).T @ slope
    g[:k] += slope.T @ (wd * d)
    Hp += wd[:, None, None] * normal[:, :, None] * normal[:, None, :]
    gp += (wd * d)[:, None] * normal
    B[:k] += (slope * wd[:, None]).T[:, :, None] * normal[None]
    return PointBlock(H=Hp + 1e-6 * np.eye(3), g=gp, B=B)


def refine(model: FaceModel, seen: Observations, start: Bundle, tracks: Tracks, options: RefineOptions = DEFAULTS,
           progress: Progress = silent, points: Float[np.ndarray, "p 3"] | None = None,
           focal_sd: Float[np.ndarray, "g"] | None = None) -> Bundle | None:
    """The bundle with the skin's tracks joined in, or None when there are too few tracks to help.

    points: where the tracked points lie to begin with; without it, under their middle sighting on the head. focal_sd:
    how sure each ln(focal) is, for the covariances (`finished`).
    """
    if tracks.count < options.least_points:
        return None
    problem = Problem(model, seen, options.bundle)
    state = State.at(start, len(problem.identity))
    skin = Skin(problem, tracks, options)
    if points is None:
        points = skin.first_points(skin.surface(problem, state), state)
    damping = 1e-3
    for turn in range(options.rounds):
        progress(turn / options.rounds, f"Following the skin, round {turn + 1}")
        pins, normal = skin.associate(skin.surface(problem, state), points)
        cost = objective(problem, state) + skin_cost(skin, problem, state, points, pins, normal)
        H, g, landmarks = normal_equations(problem, state)
        block = skin_equations(skin, problem, state, points, pins, normal, H, g)
        before = cost
        for _ in range(6):
            step, (own, move), _ = solve(H, g, [landmarks, block], damping)
            trial, trial_points = moved(state, step, own), points + move
            trial_cost = objective(problem, trial) + skin_cost(skin, problem, trial, trial_points, pins, normal)
            if trial_cost < cost:
                state, points, cost, damping = trial, trial_points, trial_cost, max(damping / 5, 1e-9)
                break
            damping *= 8
        if turn == options.rounds // 2:
            state = refine_expression(problem, state)
        elif before - cost < 1e-5 * cost:
            break
    pins, normal = skin.associate(skin.surface(problem, state), points)
    H, g, landmarks = normal_equations(problem, state)
    block = skin_equations(skin, problem, state, points, pins, normal, H, g)
    return finished(problem, state, landmarks, solve(H, g, [landmarks, block], 0.0)[2], focal_sd,
                    options.understated)
