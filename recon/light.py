"""Light: what lit the skin, as spherical harmonics, found from how its colour changes while the head turns.

Letters: v sample on the skin, k view, c colour channel; I linear colour, a log reflectance, n unit normal, B(n) the
nine real harmonics up to second order (Ramamoorthi & Hanrahan 2001: a matt surface shows hardly more), L their
coefficients, g log exposure of a view. Model: log I_kv = a_v + log(B(n_kv) L) + g_k.
n is taken where the light stands still: in camera axes when the head turned in a room, in head axes when the camera
went round a still head. Both are fitted, and the one that leaves less is kept. What the views leave open (light from
above looks like a dark chin to a head that only turns) is decided by a weak prior: skin has about one colour, the same
on both sides.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from core.records import freeze, record
from recon.compiled import compiled

GAMMA = 2.2
"""sRGB is close enough to this power for ratios of colours."""
NOISE = 0.06
"""Disagreement of log colours between views beyond which a sample counts less."""
SPREAD = 0.15
"""Usual deviation of log reflectance from the person's mean skin: brows, lips and beards lie outside, moles do too."""
EXPOSURE_SD, FRONT_SD = 1.0, 1e-3
"""Log exposure from view to view is nearly free, for phones adapt; the frontal view's is the measure."""
ORDERS_SD = np.array([np.inf] + [0.5] * 3 + [0.25] * 5)
"""Coefficients relative to the mean light; the second order of any positive light is small."""
FLOOR = 0.15
"""The darkest light, relative to the mean, that a colour is divided by: shadows hold noise."""
MOST = 1.0
"""Logs of light are bent towards this limit: where the head's shape is wrong its normals are, and so is the light."""
LIMB = 0.2
"""Cosine of the most slanted skin that tells about the light."""
EFFECTIVE = 80.0
"""Independent skin samples, all in all: neighbours err alike, so that thousands of them know little more. Every group
counts alike, however many texels the layout gives it."""
STEPS = 14


@record
class Samples:
    """log_colour (K,V,3) natural log of linear colour, weight (K,V) in 0..1 (0: not seen), normals (V,3) in the head
    frame, rotations (K,3,3) camera from head, group (V,): samples of one group are taken to have one reflectance."""

    log_colour: Float[np.ndarray, "k v 3"]
    weight: Float[np.ndarray, "k v"]
    normals: Float[np.ndarray, "v 3"]
    rotations: Float[np.ndarray, "k 3 3"]
    group: Int[np.ndarray, "v"]


@record
class Light:
    """frame: where the light stands still. coefficients (9,3): linear light, relative to the mean of what was lit.
    exposure (K,3): log gain of each view. left, without: robust cost of the fit and of an even light."""

    frame: Literal["room", "head"]
    coefficients: Float[np.ndarray, "9 3"]
    exposure: Float[np.ndarray, "k 3"]
    left: float
    without: float

    def __post_init__(self) -> None:
        freeze(self, coefficients=(self.coefficients, float), exposure=(self.exposure, float))

    def report(self) -> dict:
        """What the case's report says of the light."""
        return {"frame": self.frame, "coefficients": self.coefficients.round(4).tolist(),
                "residual_of_even": round(self.left / self.without, 4) if self.without > 0 else 1.0}

    def factor(self, normals: Float[np.ndarray, "*n 3"], rotation: Float[np.ndarray, "3 3"], view: int) -> Float[
            np.ndarray, "*n 3"]:
        """What sRGB colours of skin with these head-frame normals were multiplied by in a view; about one."""
        n = facing(normals @ rotation.T.astype(normals.dtype)) if self.frame == "room" else normals
        log_lit = np.log(np.maximum(harmonics(n) @ self.coefficients.astype(normals.dtype), FLOOR))
        return np.exp((MOST * np.tanh(log_lit / MOST) + self.exposure[view]) / GAMMA).astype(normals.dtype)


def facing(n: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Camera-frame normals turned towards the camera, no flatter than it sees: what it never saw, it cannot say."""
    turned = n.copy()
    turned[..., 2] = np.minimum(n[..., 2], -LIMB)
    return turned / np.maximum(np.linalg.norm(turned, axis=-1, keepdims=True), 1e-6)


def harmonics(n: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 9"]:
    """The nine polynomials of a unit normal; constants are left to the coefficients."""
    x, y, z = n[..., 0], n[..., 1], n[..., 2]
    return np.stack([np.ones_like(x), x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], -1)


def even(views: int) -> Light:
    """No light to speak of: every factor is one."""
    return Light(frame="head", coefficients=np.outer(np.eye(9)[0], np.ones(3)), exposure=np.zeros((views, 3)), left=0.0,
                 without=0.0)


def fit_light(samples: Samples, front: int) -> Light:
    """The light in the frame that explains the samples better. front: the view in which mean skin keeps its colour."""
    if samples.weight.sum() <= 0:
        return even(len(samples.weight))
    lights = [in_frame(samples, frame, front) for frame in ("head", "room")]
    return min(lights, key=lambda light: light.left)


def in_frame(samples: Samples, frame: Literal["room", "head"], front: int) -> Light:
    """The light that stands still in one frame: Gauss-Newton on L and g, reflectance eliminated, robust weights."""
    n = samples.normals
    if frame == "room":
        turned = np.einsum("kij,vj->kvi", samples.rotations, n)
    else:
        turned = np.broadcast_to(n, (len(samples.rotations), *n.shape))
    basis = harmonics(turned)
    count = int(samples.group.max()) + 1
    each = EFFECTIVE / count / np.bincount(samples.group, minlength=count)[samples.group]
    members = np.bincount(samples.group, each)
    channels = [channel(samples.log_colour[..., c], each * samples.weight, basis, samples.group, members, front)
                for c in range(3)]
    light = np.stack([one[0] for one in channels], 1)
    exposure = np.stack([one[1] for one in channels], 1)
    w = samples.weight[front, :, None] if samples.weight[front].any() else samples.weight.max(0)[:, None]
    lit = np.log(np.maximum(basis[front] @ light, FLOOR * light[0]))
    level = np.exp((w * (lit + exposure[front])).sum(0) / w.sum())
    return Light(frame=frame, coefficients=light / level, exposure=exposure,
                 left=sum(one[2] for one in channels), without=sum(one[3] for one in channels))


def channel(y: Float[np.ndarray, "k v"], weight: Float[np.ndarray, "k v"], basis: Float[np.ndarray, "k v 9"],
            group: Int[np.ndarray, "v"], members: Float[np.ndarray, "g"], front: int) -> tuple[
                np.ndarray, np.ndarray, float, float]:
    """One colour channel: L (9,), g (K,), the robust cost with that light and with an even one."""
    views = len(y)
    light, exposure = np.zeros(9), np.zeros(views)
    light[0] = np.exp(np.average(y, weights=weight))
    steady = np.where(np.arange(views) == front, FRONT_SD, EXPOSURE_SD)
    prior = 1 / np.concatenate([ORDERS_SD, steady]) ** 2
    cost, without = descend(np.ascontiguousarray(y), weight, basis, group, members, prior, light, exposure)
    return light, exposure, cost, without


@compiled
def descend(y, weight, basis, group, members, prior, light, exposure):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Improve light and exposure in place; the robust cost with them and as they were given."""
    views, count = y.shape
    lit, r, w = np.zeros((views, count)), np.zeros((views, count)), np.zeros((views, count))
    tie = np.zeros(len(members))
    tried = lit.copy(), r.copy(), w.copy(), tie.copy()
    cost = state(y, weight, basis, group, members, prior, light, exposure, lit, r, w, tie)
    without = cost
    for _ in range(STEPS):
        step = gauss_newton(basis, lit, r, w, tie, group, prior, light, exposure)
        better, new_light, new_exposure, new = False, light, exposure, cost
        for damp in (1.0, 0.5, 0.2, 0.05):
            new_light, new_exposure = light + damp * step[:9], exposure + damp * step[9:]
            if new_light[0] > 0:
                new = state(y, weight, basis, group, members, prior, new_light, new_exposure, *tried)
                if new < cost:
                    better = True
                    break
        if not better:
            break
        gain = cost - new
        light[:], exposure[:], cost = new_light, new_exposure, new
        lit[:], r[:], w[:], tie[:] = tried
        if gain < 1e-4 * cost:
            break
    return cost, without


@compiled
def state(y, weight, basis, group, members, prior, light, exposure, lit, r, w, tie):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The cost. Written: what lit every sample (0 where the light is bent to its floor), residuals (K,V), their weights
    and the prior's weight of every group."""
    views, count = y.shape
    floor = FLOOR * light[0]
    for k in range(views):
        for v in range(count):
            raw = 0.0
            for i in range(9):
                raw += basis[k, v, i] * light[i]
            lit[k, v] = raw if raw > floor else 0.0
            r[k, v] = y[k, v] - np.log(max(raw, floor)) - exposure[k]
    a = np.zeros(len(members))
    for _ in range(4):
        above, below = np.zeros(len(members)), np.zeros(len(members))
        for k in range(views):
            for v in range(count):
                one = weight[k, v] / (NOISE**2 + (r[k, v] - a[group[v]])**2)
                above[group[v]] += one * r[k, v]
                below[group[v]] += one
        for g in range(len(members)):
            tie[g] = members[g] / (SPREAD**2 * np.sqrt(1 + (a[g] / SPREAD)**2))
            a[g] = above[g] / (below[g] + tie[g])
    cost = 0.0
    for k in range(views):
        for v in range(count):
            r[k, v] -= a[group[v]]
            cost += weight[k, v] * np.log1p((r[k, v] / NOISE)**2)
            w[k, v] = weight[k, v] / (NOISE**2 + r[k, v]**2)
    for g in range(len(members)):
        cost += 2 * members[g] * (np.sqrt(1 + (a[g] / SPREAD)**2) - 1)
    for i in range(1, 9):
        cost += prior[i] * (light[i] / light[0])**2
    for k in range(views):
        cost += prior[9 + k] * exposure[k]**2
    return cost


@compiled
def gauss_newton(basis, lit, r, w, tie, group, prior, light, exposure):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The step of (L, g): normal equations after eliminating every group's reflectance."""
    views, count = r.shape
    unknowns = 9 + views
    H, b, summed, J = np.zeros((unknowns, unknowns)), np.zeros(unknowns), np.zeros((len(tie), unknowns)), np.zeros(9)
    for k in range(views):
        for v in range(count):
            g, one = group[v], w[k, v]
            for i in range(9):
                J[i] = basis[k, v, i] / lit[k, v] if lit[k, v] > 0 else 0.0
                summed[g, i] += one * J[i]
                b[i] += one * r[k, v] * J[i]
                H[i, 9 + k] += one * J[i]
                for j in range(i + 1):
                    H[i, j] += one * J[i] * J[j]
            summed[g, 9 + k] += one
            b[9 + k] += one * r[k, v]
            H[9 + k, 9 + k] += one
    for i in range(9):
        for j in range(i):
            H[j, i] = H[i, j]
        for k in range(views):
            H[9 + k, i] = H[i, 9 + k]
    total = summed[:, 9:].sum(1) + tie
    H -= (summed / total.reshape(-1, 1)).T @ summed
    for i in range(unknowns):
        scale, at = (1 / light[0]**2, light[i]) if i < 9 else (1.0, exposure[i - 9])
        H[i, i] += prior[i] * scale
        b[i] -= prior[i] * scale * at
        H[i, i] *= 1 + 1e-9
    return np.linalg.solve(H, b)


def log_linear(rgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Natural log of linear colour from sRGB 0..255; the darkest two grey levels are one."""
    return GAMMA * np.log(np.maximum(rgb, 2) / 255)
