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

    def state(light: np.ndarray, exposure: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Cost, J of the model, residuals (K,V), their weights, and the prior's weight of every group."""
        raw = basis @ light
        lit = np.maximum(raw, FLOOR * light[0])
        z = y - np.log(lit) - exposure[:, None]
        a, tie = reflectance(z, weight, group, members)
        r = z - a[group]
        theta = np.concatenate([light / light[0], exposure])
        cost = (weight * np.log1p((r / NOISE) ** 2)).sum() + 2 * (members * (np.sqrt(1 + (a / SPREAD) ** 2) - 1)).sum()
        J = np.where(raw > FLOOR * light[0], 1 / lit, 0)[..., None] * basis
        return float(cost + (prior[1:] * theta[1:] ** 2).sum()), J, r, weight / (NOISE**2 + r**2), tie

    cost, J, r, w, tie = state(light, exposure)
    without = cost
    for _ in range(STEPS):
        step = gauss_newton(J, r, w, tie, group, prior, light, exposure)
        for damp in (1.0, 0.5, 0.2, 0.05):
            tried = (light + damp * step[:9], exposure + damp * step[9:])
            if tried[0][0] > 0 and (new := state(*tried))[0] < cost:
                break
        else:
            break
        gain = cost - new[0]
        (light, exposure), (cost, J, r, w, tie) = tried, new
        if gain < 1e-4 * cost:
            break
    return light, exposure, cost, without


def reflectance(z: np.ndarray, weight: np.ndarray, group: np.ndarray, members: np.ndarray) -> tuple[
        np.ndarray, np.ndarray]:
    """Robust mean of every group's log colours under the light, drawn weakly to zero; and the weight of that pull."""
    a = np.zeros(len(members))
    tie = members / SPREAD**2
    for _ in range(4):
        w = weight / (NOISE**2 + (z - a[group]) ** 2)
        tie = members / (SPREAD**2 * np.sqrt(1 + (a / SPREAD) ** 2))
        a = np.bincount(group, (w * z).sum(0), len(members)) / (np.bincount(group, w.sum(0), len(members)) + tie)
    return a, tie


def gauss_newton(J: np.ndarray, r: np.ndarray, w: np.ndarray, tie: np.ndarray, group: np.ndarray, prior: np.ndarray,
                 light: np.ndarray, exposure: np.ndarray) -> np.ndarray:
    """The step of (L, g): normal equations after eliminating every group's reflectance."""
    views, unknowns = len(r), 9 + len(r)
    H, b = np.zeros((unknowns, unknowns)), np.zeros(unknowns)
    summed = np.zeros((len(tie), unknowns))
    for k in range(views):
        H[:9, :9] += (J[k] * w[k][:, None]).T @ J[k]
        H[:9, 9 + k] = H[9 + k, :9] = w[k] @ J[k]
        H[9 + k, 9 + k] = w[k].sum()
        b[:9] += (w[k] * r[k]) @ J[k]
        b[9 + k] = w[k] @ r[k]
        for i in range(9):
            summed[:, i] += np.bincount(group, w[k] * J[k, :, i], len(tie))
        summed[:, 9 + k] = np.bincount(group, w[k], len(tie))
    total = summed[:, 9:].sum(1) + tie
    H -= (summed / total[:, None]).T @ summed
    scale = np.concatenate([np.full(9, 1 / light[0] ** 2), np.ones(views)])
    pull = prior * scale
    H += np.diag(pull)
    b -= pull * np.concatenate([light, exposure])
    return np.linalg.solve(H + 1e-9 * np.diag(np.diag(H)), b)


def log_linear(rgb: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Natural log of linear colour from sRGB 0..255; the darkest two grey levels are one."""
    return GAMMA * np.log(np.maximum(rgb, 2) / 255)
