"""The heads that `film_captures.py` films, in mm: ICT-FaceKit identities, those with expressions, and two real scans.

`capture_NNN/head.npz` is an ICT-FaceKit identity (checked by `identity_of_paint`): skin, gums with teeth, and eyeballs
whose triangles were halved three times. A new shape can therefore wear the paint of an old one vertex by vertex; only
the irises are painted anew, 11.7 mm wide on the new eyeball.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import open3d as o3d
from jaxtyping import Float, Int, UInt8
from scipy.spatial import cKDTree

from benchmarks.filming import Actor
from recon import ict

SKIN, MOUTH = slice(0, 14062), slice(14062, 18474)
EYES = (slice(18474, 67628), slice(67628, 116782))
"""Rows of head.npz."""
ICT_ROWS = (slice(0, 14062), slice(17039, 21451), slice(21451, 22221), slice(23021, 23791))
"""The rows of ICT-FaceKit's mesh they come from: skin, gums and teeth, left and right eyeball before halving."""
COARSE_EYE, HALVINGS = 770, 3
IRIS_WIDTH_MM, IRIS_DARK = 11.7, 350
LID_GAP_MM = 0.15
EXPRESSIONS = ("jawOpen", "mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R")


@dataclass(frozen=True)
class IctFolder:
    """A checkout of ICT-FaceKit (MIT); reading all its modes takes five seconds."""

    folder: Path

    @cached_property
    def neutral_mm(self) -> Float[np.ndarray, "v 3"]:
        """The mean head."""
        return ict.vertices(ict.folder_of(self.folder) / ict.NEUTRAL) * ict.MM_PER_UNIT

    @cached_property
    def modes_mm(self) -> Float[np.ndarray, "m v 3"]:
        """What one standard deviation of each identity mode moves."""
        return np.stack([self.moved_mm(Path(name).stem) for name in ict.identity_files(self.folder)])

    def moved_mm(self, name: str) -> Float[np.ndarray, "v 3"]:
        """What the mesh `name` moves away from the mean head."""
        mesh = ict.vertices(ict.folder_of(self.folder) / f"{name}.obj") * ict.MM_PER_UNIT
        return (mesh - self.neutral_mm).astype(np.float32)


def painted(folder: Path) -> dict[str, np.ndarray]:
    """A capture's head.npz."""
    with np.load(folder / "head.npz") as head:
        return dict(head)


def actor_of(head: dict[str, np.ndarray], **more: Any) -> Actor:
    """A painted head as it is."""
    return Actor(verts_mm=head["verts"], tris=head["tris"], colors=head["colors"],
                 centre_mm=tuple(head["centre"].tolist()), **more)


def new_identity(paint: dict[str, np.ndarray], model: IctFolder, seed: int, deviation: float) -> Actor:
    """A new ICT identity, all modes drawn with this standard deviation, in the paint of an old one."""
    weights = np.random.default_rng(seed).standard_normal(len(model.modes_mm)) * deviation
    moved = model.neutral_mm + np.tensordot(weights, model.modes_mm, 1)
    verts = laid_out(moved, paint["tris"])
    colors = paint["colors"].copy()
    irises = []
    for eye in EYES:
        colors[eye], iris = iris_repainted(paint["verts"][eye], colors[eye], verts[eye])
        irises.append(iris)
    wide = [iris_width_mm(verts[eye], colors[eye]) for eye in EYES]
    return Actor(verts_mm=verts, tris=paint["tris"], colors=colors, noise_seed=seed,
                 facts={"identity_seed": seed, "identity_sd": deviation, "iris_width_mm": IRIS_WIDTH_MM,
                        "painted_iris_span_mm": [round(w, 2) for w in wide],
                        "ipd_mm": round(float(np.linalg.norm(irises[0] - irises[1])), 3)})


def identity_of_paint(head: dict[str, np.ndarray], model: IctFolder) -> Float[np.ndarray, " m"]:
    """The identity weights of a head.npz. ValueError: it is not a head of this model (0.01 mm RMS)."""
    rows = np.arange(0, SKIN.stop, 7)
    basis = model.modes_mm[:, rows].reshape(len(model.modes_mm), -1).T
    wanted = (head["verts"][rows] - model.neutral_mm[rows]).ravel()
    weights, *_ = np.linalg.lstsq(basis, wanted, rcond=None)
    moved = model.neutral_mm + np.tensordot(weights, model.modes_mm, 1)
    error = laid_out(moved, head["tris"]) - head["verts"]
    if (rms := float(np.sqrt((error**2).mean()))) > 0.01:
        raise ValueError(f"The painted head is {rms:.3f} mm away from the nearest ICT-FaceKit identity.")
    return weights


def laid_out(ict_mm: Float[np.ndarray, "v 3"], tris: Int[np.ndarray, "t 3"]) -> Float[np.ndarray, "w 3"]:
    """Vertices of the ICT mesh in the order of head.npz, eyeballs halved."""
    skin, mouth, *eyes = (ict_mm[rows] for rows in ICT_ROWS)
    fine = []
    for eye, coarse in zip(EYES, eyes, strict=True):
        inside = tris[(tris >= eye.start).all(1) & (tris < eye.stop).all(1)] - eye.start
        fine.append(halved(coarse, inside, HALVINGS))
    return np.concatenate([skin, mouth, *fine])


def halved(coarse: Float[np.ndarray, "c 3"], fine_tris: Int[np.ndarray, "t 3"], times: int) -> Float[np.ndarray, "f 3"]:
    """Every edge halved `times` times, with the vertices in the order of the fine triangles.

    Each four fine triangles in a row are one coarse one: three corners (first, second and third triangle's first,
    second and third vertex), then the middles of its edges 01, 12 and 20 in the last.
    """
    levels, tris = [], fine_tris
    for _ in range(times):
        four = tris.reshape(-1, 4, 3)
        corners = four[:, [0, 1, 2], [0, 1, 2]]
        levels.append((corners, four[:, 3]))
        tris = corners
    out = np.full((int(fine_tris.max()) + 1, 3), np.nan)
    out[:len(coarse)] = coarse
    for corners, middles in reversed(levels):
        for column, (a, b) in enumerate(((0, 1), (1, 2), (2, 0))):
            out[middles[:, column]] = (out[corners[:, a]] + out[corners[:, b]]) / 2
    if not np.isfinite(out).all():
        raise ValueError("The fine triangles are not halved ones of this mesh.")
    return out


def iris_repainted(old_mm: Float[np.ndarray, "e 3"], old: UInt8[np.ndarray, "e 3"],
                   new_mm: Float[np.ndarray, "e 3"]) -> tuple[UInt8[np.ndarray, "e 3"], Float[np.ndarray, "3"]]:
    """Paint of a new eyeball, and the middle of its iris: each point in front wears the paint of the old point that is
    as many mm to the side of and above the middle, seen from the front; so the iris keeps its width in mm.
    """
    dark = old.astype(int).sum(1) < IRIS_DARK
    middle_xy = (old_mm[dark, :2].min(0) + old_mm[dark, :2].max(0)) / 2
    before = front_of(old_mm)
    middle = before[((old_mm[before, :2] - middle_xy)**2).sum(1).argmin()]
    after = front_of(new_mm)
    _, nearest = cKDTree(old_mm[before, :2] - old_mm[middle, :2]).query(new_mm[after, :2] - new_mm[middle, :2])
    paint = np.tile(np.median(old[~dark], 0).astype(np.uint8), (len(old), 1))
    paint[after] = old[before[nearest]]
    return paint, new_mm[middle]


def front_of(eye_mm: Float[np.ndarray, "e 3"]) -> Int[np.ndarray, " k"]:
    """Vertices on the front half of an eyeball."""
    return np.flatnonzero(eye_mm[:, 2] > (eye_mm[:, 2].min() + eye_mm[:, 2].max()) / 2)


def iris_width_mm(eye_mm: Float[np.ndarray, "e 3"], colors: UInt8[np.ndarray, "e 3"]) -> float:
    """From the first to the last vertex with iris paint, left to right; up to a vertex's distance (0.3 mm) short."""
    return float(np.ptp(eye_mm[colors.astype(int).sum(1) < IRIS_DARK, 0]))


def with_expression(actor: Actor, model: IctFolder, weights: Callable[[float], dict[str, float]],
                    said: dict[str, Any]) -> Actor:
    """The same head with ICT expressions, as weights over the phase of the film; the eyeballs stay, lids slide on them.

    At no weight the shape is the neutral one, which stays the truth.
    """
    still = np.zeros_like(actor.verts_mm)
    moved = {name: still.copy() for name in EXPRESSIONS}
    for name, out in moved.items():
        away = model.moved_mm(name)
        out[SKIN], out[MOUTH] = away[ICT_ROWS[0]], away[ICT_ROWS[1]]
    lids = np.flatnonzero(np.linalg.norm(moved["eyeBlink_L"] + moved["eyeBlink_R"], axis=1) > 0.3)
    balls = [Ball.of(actor.verts_mm[eye], actor.tris, eye.start) for eye in EYES]

    def at(phase: float) -> Float[np.ndarray, "v 3"]:
        wanted = {name: w for name, w in weights(phase).items() if w > 1e-6}
        if not wanted:
            return actor.verts_mm
        now = actor.verts_mm + sum(w * moved[name] for name, w in wanted.items())
        if any(name.startswith("eyeBlink") for name in wanted):
            for ball in balls:
                now[lids] = ball.outside(now[lids], actor.verts_mm[lids])
        return now

    return replace(actor, moved_mm=at, facts=actor.facts | said)


@dataclass(frozen=True)
class Ball:
    """An eyeball to keep eyelids out of."""

    centre_mm: Float[np.ndarray, "3"]
    scene: Any

    @classmethod
    def of(cls, eye_mm: Float[np.ndarray, "e 3"], tris: Int[np.ndarray, "t 3"], start: int) -> "Ball":
        """From the rows of a head that begin at `start`."""
        inside = tris[(tris >= start).all(1) & (tris < start + len(eye_mm)).all(1)] - start
        scene = o3d.t.geometry.RaycastingScene()
        scene.add_triangles(o3d.core.Tensor(eye_mm.astype(np.float32)), o3d.core.Tensor(inside.astype(np.uint32)))
        return cls((eye_mm.min(0) + eye_mm.max(0)) / 2, scene)

    def outside(self, points_mm: Float[np.ndarray, "k 3"], rest_mm: Float[np.ndarray, "k 3"]
                ) -> Float[np.ndarray, "k 3"]:
        """Points that are inside now and were not, moved out along the radius to just before the surface."""
        away, depth = self.away(points_mm)
        _, depth_at_rest = self.away(rest_mm)
        allowed = np.minimum(depth_at_rest, LID_GAP_MM)
        push = np.where(depth_at_rest > -0.5, np.clip(allowed - depth, 0, None), 0)
        return points_mm + push[:, None] * away

    def away(self, points_mm: Float[np.ndarray, "k 3"]) -> tuple[Float[np.ndarray, "k 3"], Float[np.ndarray, " k"]]:
        """Directions from the centre, and how far outside the surface points lie along them."""
        way = points_mm - self.centre_mm
        far = np.linalg.norm(way, axis=1)
        way = way / far[:, None]
        rays = np.concatenate([np.tile(self.centre_mm, (len(way), 1)), way], 1).astype(np.float32)
        surface = self.scene.cast_rays(o3d.core.Tensor(rays), nthreads=1)["t_hit"].numpy()
        return way, np.where(np.isfinite(surface), far - surface, np.inf)


def smile_and_open(smile: float, jaw: float) -> Callable[[float], dict[str, float]]:
    """Slowly to the expression in the middle of the film and back; the weights are those of the middle."""
    def at(phase: float) -> dict[str, float]:
        rise = float(np.sin(np.pi * phase)**2)
        return {"jawOpen": jaw * rise, "mouthSmile_L": smile * rise, "mouthSmile_R": smile * rise}

    return at


def blinks(moments: tuple[float, ...], half_width: float) -> Callable[[float], dict[str, float]]:
    """Both eyes close and open again round each moment (phases)."""
    def at(phase: float) -> dict[str, float]:
        near = min(abs(phase - m) for m in moments) / half_width
        shut = float(np.cos(np.pi / 2 * near)**2) if near < 1 else 0.0
        return {"eyeBlink_L": shut, "eyeBlink_R": shut}

    return at


def jaw_weight(head: dict[str, np.ndarray], model: IctFolder, chin: Float[np.ndarray, "3"], open_mm: float) -> float:
    """Weight of jawOpen that moves the skin at the chin by this much."""
    away = model.moved_mm("jawOpen")[ICT_ROWS[0]]
    return open_mm / float(np.linalg.norm(away[((head["verts"][SKIN] - chin)**2).sum(1).argmin()]))


def with_glasses(actor: Actor, landmarks: Float[np.ndarray, "478 3"]) -> Actor:
    """The head in spectacles without lenses: two rims, a bridge and the side pieces, of dark 3 mm wire."""
    verts, tris = glasses(landmarks)
    return replace(actor, worn=(verts, tris, (38, 30, 28)), facts=actor.facts | {"worn": "spectacles, no lenses"})


def glasses(landmarks: Float[np.ndarray, "478 3"]) -> tuple[Float[np.ndarray, "w 3"], Int[np.ndarray, "u 3"]]:
    """A wire frame before the eyes: lenses 46 by 36 mm, 9 mm before the bridge of the nose, side pieces to the ears."""
    eyes = [landmarks[[a, b]].mean(0) for a, b in ((362, 263), (33, 133))]  # the person's left (x > 0), right
    bridge, turn = landmarks[168], np.linspace(0, 2 * np.pi, 49)[:-1]
    front = max(float(bridge[2]) + 5.0, *(float(e[2]) + 14.0 for e in eyes))
    wires = []
    for eye, side in zip(eyes, (1.0, -1.0), strict=True):
        oval = np.stack([np.sign(np.cos(turn)) * abs(np.cos(turn))**0.7 * 23.0,
                         np.sign(np.sin(turn)) * abs(np.sin(turn))**0.7 * 18.0], 1)
        rim = np.column_stack([eye[0] + oval[:, 0] + side * 2.0, eye[1] - 2.0 + oval[:, 1], np.full(48, front)])
        hinge = np.array([eye[0] + side * 25.0, eye[1] + 6.0, front])
        ear = np.array([landmarks[454 if side > 0 else 234][0] + side * 6.0, hinge[1] - 2.0, 5.0])
        wires += [np.concatenate([rim, rim[:1]]), np.stack([hinge, hinge + (side * 4.0, 0, -4.0), ear])]
    inner = [eye[0] - side * 21.0 for eye, side in zip(eyes, (1.0, -1.0), strict=True)]
    arch = np.linspace(0, 1, 9)
    wires.append(np.column_stack([inner[0] + arch * (inner[1] - inner[0]),
                                  np.mean([e[1] for e in eyes]) + 3.0 + 3.0 * np.sin(np.pi * arch), np.full(9, front)]))
    parts = [tube(w, 1.5) for w in wires]
    starts = np.cumsum([0, *(len(v) for v, _ in parts)])
    return (np.concatenate([v for v, _ in parts]),
            np.concatenate([t + s for (_, t), s in zip(parts, starts[:-1], strict=True)]))


def tube(line_mm: Float[np.ndarray, "n 3"], radius_mm: float, sides: int = 8
         ) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "t 3"]]:
    """A wire along a line of points, open at its ends."""
    along = np.gradient(line_mm, axis=0)
    if np.allclose(line_mm[0], line_mm[-1]):
        along[0] = along[-1] = line_mm[1] - line_mm[-2]
    along = along / np.linalg.norm(along, axis=1, keepdims=True)
    up = np.where(np.abs(along[:, 1:2]) < 0.9, [[0.0, 1, 0]], [[1.0, 0, 0]]) if np.ptp(line_mm[:, 2]) > 1 else (
        np.tile([0.0, 0, 1], (len(line_mm), 1)))
    a = np.cross(along, up)
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    b = np.cross(along, a)
    turn = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = line_mm[:, None] + radius_mm * (np.cos(turn)[None, :, None] * a[:, None] + np.sin(turn)[None, :, None] *
                                            b[:, None])
    at = np.arange(len(line_mm) * sides).reshape(-1, sides)
    p, q = at[:-1], at[1:]
    quads = np.stack([p, np.roll(p, -1, 1), np.roll(q, -1, 1), q], -1).reshape(-1, 4)
    return rings.reshape(-1, 3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
