"""Iris: where it lies and its visible horizontal diameter, read from the pictures.

The landmark network places the iris to a few per cent of its width; the limbus, where the dark iris meets the white,
can be seen to a fraction of a pixel.

Rays leave the network's iris centre to both sides, within `REACH_RAD` of the eye's own horizontal (above and below, the
lids cover the limbus). On each, the limbus is where the picture brightens most. A circle through these places is
fitted robustly (Geman-McClure).
"""

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from core.records import freeze, record
from recon.compiled import compiled
from recon.face478 import IRISES

REACH_RAD = np.radians(40)
RAYS = 25
"""On each side."""
NEAR, FAR = 0.6, 1.5
"""The limbus is looked for between these shares of the network's radius."""
LEAST_RISE = 10.0
"""Grey levels by which the white must be brighter than the iris."""
LEAST_RADIUS_PX = 5.0
AROUND = 0.6
"""Room for the blur beyond the farthest place, in radii."""


@record
class Limbus:
    """The edge of an iris in a picture, as a circle."""

    centre_px: Float[np.ndarray, "2"]
    radius_px: float

    def __post_init__(self) -> None:
        freeze(self, centre_px=(self.centre_px, float))


def limbus(picture: UInt8[np.ndarray, "h w 3"], points_px: Float[np.ndarray, "478 2"], eye: int) -> Limbus | None:
    """The limbus of the right (0) or left (1) eye; None where it cannot be made out."""
    a, b, centre, inner, outer = IRISES[eye]
    radius = float(np.linalg.norm(points_px[a] - points_px[b])) / 2
    if radius < LEAST_RADIUS_PX:
        return None
    level = points_px[outer] - points_px[inner]
    fan = np.arctan2(level[1], level[0]) + np.linspace(-REACH_RAD, REACH_RAD, RAYS)
    angle = np.concatenate([fan, fan + np.pi])
    ray = np.column_stack([np.cos(angle), np.sin(angle)])
    steps = np.arange(NEAR * radius, FAR * radius, 0.25)
    part, corner = around_eye(picture, points_px[centre], (FAR + AROUND) * radius)
    grey = cv2.GaussianBlur(cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 0.06 * radius)
    at = points_px[centre] - corner + steps[None, :, None] * ray[:, None]
    read = cv2.remap(grey, at.astype(np.float32), None, cv2.INTER_LINEAR)
    rise = np.gradient(read, axis=1)
    top = (rise * np.exp(-((steps / radius - 1) / 0.3) ** 2)).argmax(1)  # the network's radius says which rise it is,
    around = np.clip(top[:, None] + np.arange(-3, 4), 1, len(steps) - 2)  # not where exactly
    row = np.arange(len(ray))
    top = around[row, rise[row[:, None], around].argmax(1)]
    before, here, after = rise[row, top - 1], rise[row, top], rise[row, top + 1]
    bent = before - 2 * here + after
    shift = np.where(np.abs(bent) > 1e-6, 0.5 * (before - after) / np.where(np.abs(bent) > 1e-6, bent, 1), 0)
    wide = round(0.15 * radius / 0.25)
    step_up = read[row, np.clip(top + wide, 0, len(steps) - 1)] - read[row, np.clip(top - wide, 0, len(steps) - 1)]
    sure = (step_up > LEAST_RISE) & (np.abs(shift) <= 1)
    if min(sure[:RAYS].sum(), sure[RAYS:].sum()) < RAYS // 3:
        return None
    edge = ray[sure] * (steps[top[sure]] + 0.25 * shift[sure])[:, None]
    found = circle(edge, radius)
    return None if found is None else Limbus(centre_px=points_px[centre] + found[:2], radius_px=float(found[2]))


def around_eye(picture: UInt8[np.ndarray, "h w 3"], centre_px: Float[np.ndarray, "2"], reach_px: float) -> tuple[
        UInt8[np.ndarray, "a b 3"], Float[np.ndarray, "2"]]:
    """The part of a picture within reach of a place, and where its upper left pixel lies."""
    size = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(centre_px - reach_px), 0, size - 2).astype(int)
    high = np.clip(np.ceil(centre_px + reach_px) + 1, low + 2, size).astype(int)
    return np.ascontiguousarray(picture[low[1]:high[1], low[0]:high[0]]), low.astype(float)


def circle(points: Float[np.ndarray, "n 2"], first: float) -> Float[np.ndarray, "3"] | None:
    """Centre (x, y) and radius of the circle through points around the origin, from a first guess of its radius; None
    when they do not lie on one."""
    x, misses = nearest_circle(np.ascontiguousarray(points), first)
    return np.asarray(x) if misses < 0.05 * first and 0.7 < x[2] / first < 1.4 else None


@compiled
def nearest_circle(points, first):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The circle by Gauss-Newton, and by how much the points miss it in the median."""
    x, off = np.array([0.0, 0.0, first]), np.empty(len(points))
    for _ in range(15):
        for n in range(len(points)):
            off[n] = np.hypot(points[n, 0] - x[0], points[n, 1] - x[1]) - x[2]
        spread = max(1.5 * np.median(np.abs(off)), 0.02 * first)
        H, g, J = 1e-6 * np.eye(3), np.zeros(3), np.zeros(3)
        for n in range(len(points)):
            J[0], J[1], J[2] = (x[0] - points[n, 0]) / (off[n] + x[2]), (x[1] - points[n, 1]) / (off[n] + x[2]), -1.0
            weight = 1 / (1 + (off[n] / (2 * spread))**2)**2
            for i in range(3):
                g[i] += weight * J[i] * off[n]
                for j in range(3):
                    H[i, j] += weight * J[i] * J[j]
        step = np.linalg.solve(H, g)
        x -= step
        if np.abs(step).max() < 1e-4 * first:
            break
    for n in range(len(points)):
        off[n] = np.hypot(points[n, 0] - x[0], points[n, 1] - x[1]) - x[2]
    return x, np.median(np.abs(off))
