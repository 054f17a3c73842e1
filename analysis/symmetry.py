"""Symmetry of a face in millimetres, the head's pose removed, per region; a score from 0 to 100.

Letters: for a spot at L on the left and R on the right, head axes (x to the patient's left, y up, z forward):
    shift = (Lx + Rx) / 2     height = Ly - Ry     depth = Lz - Rz           (a midline spot has only its shift, Lx)
    outward = (L - R') . n, R' the mirror image of R, n = OUTWARD: how much farther the left stands out, seen from
    three-quarters (only there: `analysis.outline_symmetry`); it is told against the outline beside the eyes, so that
    no plane is taken out of it
What is left of the pose is a small shift, turn and tilt (a, b, c) of the plane of symmetry, found robustly over all
spots and taken out:
    shift ~ a + b z - c y,    height ~ 2 c x,    depth ~ -2 b x
A difference d counts with e = max(|d| - its standard deviation, 0): what may be noise is not held against a face. A
region's score is 100 / (1 + (e / v)^2) of its worst spot, v the difference that viewers begin to notice
(`data/symmetry.yaml`): 100 is no measurable difference, 50 one that half the viewers see. The face's score is
100 / (1 + mean of (e / v)^2 over its measured regions). A region that was not seen on both sides has none.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from analysis.spots import COMPONENTS, REGIONS, Spot, sides, spots
from core.records import freeze, record

PLANE_SD = (3.0, 0.035, 0.035)
"""How far the plane may be off before it is sought: mm, radians (2 degrees), radians."""
NATURAL_MM, ROBUST_MM = 1.0, 1.0
"""How far faces that nobody calls asymmetric depart (ALSPAC: under 1 mm); spots that depart by more hardly count for
the plane. Every region has one say, however many spots it has."""
ROUNDS = 30
OUTWARD = np.array([np.cos(np.radians(40.0)), 0.0, np.sin(np.radians(40.0))])
"""Across the line of sight of a photo from three-quarters, on the patient's left."""
NAN, SURE = float("nan"), 1.96


def components(shift: float = NAN, height: float = NAN, depth: float = NAN, outward: float = NAN) -> Float[
        np.ndarray, "4"]:
    """In the order of COMPONENTS."""
    return np.array([shift, height, depth, outward], float)


def between(left: Float[np.ndarray, "3"], right: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4"]:
    """All components of two places, or of two motions."""
    return components((left[0] + right[0]) / 2, left[1] - right[1], left[2] - right[2],
                      float((left - right * [-1, 1, 1]) @ OUTWARD))


@record
class Difference:
    """A spot's left against its right. value_mm, sd_mm (4,): of COMPONENTS; NaN where not measured.

    at_mm: the symmetric place, x >= 0. how: what it was measured from.
    """

    spot: Spot
    at_mm: Float[np.ndarray, "3"]
    value_mm: Float[np.ndarray, "4"]
    sd_mm: Float[np.ndarray, "4"]
    how: str

    def __post_init__(self) -> None:
        freeze(self, at_mm=(self.at_mm, float), value_mm=(self.value_mm, float), sd_mm=(self.sd_mm, float))

    @property
    def judged(self) -> tuple[float, float]:
        """The component that counts most, signed (mm), and its sd; NaN when none was measured."""
        rows = [COMPONENTS.index(c) for c in self.spot.counts if np.isfinite(self.value_mm[COMPONENTS.index(c)])]
        if not rows:
            return float("nan"), float("nan")
        row = max(rows, key=lambda k: abs(self.value_mm[k]) - self.sd_mm[k])
        return float(self.value_mm[row]), float(self.sd_mm[row])

    @property
    def share(self) -> float:
        """e / v: what is beyond doubt, over what viewers begin to notice."""
        value, sd = self.judged
        return max(abs(value) - sd, 0.0) / self.spot.visible_mm


@record
class RegionScore:
    """A region: its score, and the spot that it is the score of, with its difference (mm) and sd."""

    region: str
    score: float
    worst: Difference

    @property
    def interval95(self) -> tuple[float, float]:
        """Scores of the largest and of the least difference that 95 % leave open."""
        value, sd = abs(self.difference_mm), SURE * self.sd_mm
        most, least = ((value + sd) / self.worst.spot.visible_mm, max(value - sd, 0.0) / self.worst.spot.visible_mm)
        return score_of(most**2), score_of(least**2)

    @property
    def difference_mm(self) -> float:
        """Positive: to the patient's left, or the left higher or further forward."""
        return self.worst.judged[0]

    @property
    def sd_mm(self) -> float:
        """Its standard deviation."""
        return self.worst.judged[1]


@record
class Symmetry:
    """What was measured, and why the rest was not (spot name: reason)."""

    differences: tuple[Difference, ...]
    missing: Mapping[str, str]

    def region(self, name: str) -> RegionScore | None:
        """One region; None where it was not measured."""
        found = [d for d in self.differences if d.spot.region == name and np.isfinite(d.judged[0])]
        if not found:
            return None
        worst = max(found, key=lambda d: d.share)
        return RegionScore(region=name, score=score_of(worst.share**2), worst=worst)

    @property
    def regions(self) -> dict[str, RegionScore | None]:
        """Every region, measured or not."""
        return {name: self.region(name) for name in REGIONS}

    @property
    def score(self) -> float | None:
        """The face's; None when nothing was measured."""
        shares = [r.worst.share for r in self.regions.values() if r is not None]
        return score_of(float(np.mean(np.square(shares)))) if shares else None

    def lines(self) -> tuple[str, ...]:
        """The result in words, a line for the face and one for each region."""
        out = ["nothing could be measured" if self.score is None else f"face: {self.score:.0f} of 100"]
        for name, r in self.regions.items():
            if r is None:
                out.append(f"{name}: not measured")
                continue
            low, high = r.interval95
            out.append(f"{name}: {r.score:.0f} ({low:.0f} to {high:.0f}), {r.worst.spot.label} "
                       f"{r.difference_mm:+.1f} ± {r.sd_mm:.1f} mm")
        return tuple(out)

    def told(self) -> dict:
        """The result as plain values."""
        regions = {name: None if r is None else {
            "score": round(r.score, 1), "score_interval95": [round(x, 1) for x in r.interval95],
            "worst": r.worst.spot.label, "difference_mm": round(r.difference_mm, 2), "sd_mm": round(r.sd_mm, 2)}
            for name, r in self.regions.items()}
        parts = {d.spot.name: {**{c: [round(float(v), 2), round(float(s), 2)] for c, v, s in zip(
            COMPONENTS, d.value_mm, d.sd_mm, strict=True) if np.isfinite(v)}, "how": d.how} for d in self.differences}
        return {"score": None if self.score is None else round(self.score, 1), "regions": regions,
                "spots_mm_and_sd": parts, "not_measured": dict(self.missing)}


def score_of(square: float) -> float:
    """100 at no difference, 50 where viewers begin to see it."""
    return 100 / (1 + square)


def symmetry_of_points(points_mm: Float[np.ndarray, "478 3"], sd_mm: Float[np.ndarray, "478"],
                       seen: Float[np.ndarray, "478"] | None = None) -> Symmetry:
    """Of landmarks in space, in the head frame: those of a reconstruction.

    sd_mm: one standard deviation of each point. seen: share in [0, 1] of each point's skin that a camera saw; a spot
    with a side below one half is left out: it was completed from the other side.
    """
    found, missing = [], {}
    for spot in spots():
        rows = [*spot.left, *spot.right]
        if seen is not None and min(seen[list(spot.left)].mean(), seen[list(spot.right)].mean()) < 0.5:
            missing[spot.name] = "not seen on both sides"
            continue
        left, right = sides(spot, points_mm)
        spread = float(np.sqrt((sd_mm[rows] ** 2).mean()))  # neighbours err together: their mean is no better
        value, sd = between(left, right), spread * components(1 / np.sqrt(2), np.sqrt(2), np.sqrt(2))
        value[3] = np.nan
        if spot.middle:
            value[1:], sd = np.nan, components(spread)
        middle = (left + right) / 2
        found.append(Difference(spot=spot, at_mm=np.array([(left[0] - right[0]) / 2, *middle[1:]]), value_mm=value,
                                sd_mm=sd, how="landmarks in space"))
    return Symmetry(differences=without_pose(found), missing=missing)


def without_pose(found: Sequence[Difference], judged: Sequence[Difference] | None = None,
                 plane_sd: tuple[float, float, float] = PLANE_SD) -> tuple[Difference, ...]:
    """The differences about the plane of symmetry that fits them best; its own doubt is added to their sd. judged:
    instead, others with no say in it, for the plane would follow what lies alone at its end, such as a jaw."""
    judged = found if judged is None else judged
    if not found:
        return tuple(judged)
    rows = np.concatenate([plane_rows(d.at_mm) for d in found])
    value = np.concatenate([d.value_mm for d in found])
    many = [sum(o.spot.region == d.spot.region for o in found) for d in found]
    sd = np.concatenate([np.hypot(d.sd_mm, NATURAL_MM) * np.sqrt(n) for d, n in zip(found, many, strict=True)])
    known = np.isfinite(value)
    plane, covariance = plane_of(rows[known], value[known], sd[known], plane_sd)
    out = []
    for d in judged:
        lean = plane_rows(d.at_mm)
        doubt = np.einsum("ka,ab,kb->k", lean, covariance, lean)
        out.append(dataclasses.replace(d, value_mm=d.value_mm - lean @ plane, sd_mm=np.sqrt(d.sd_mm**2 + doubt)))
    return tuple(out)


def plane_rows(at_mm: Float[np.ndarray, "3"]) -> Float[np.ndarray, "4 3"]:
    """What a, b and c add to shift, height, depth and outward at a spot."""
    x, y, z = at_mm
    return np.array([[1.0, z, -y], [0.0, 0.0, 2 * x], [0.0, -2 * x, 0.0], [0.0, 0.0, 0.0]])


def plane_of(rows: Float[np.ndarray, "n 3"], value_mm: Float[np.ndarray, "n"], sd_mm: Float[np.ndarray, "n"],
             plane_sd: tuple[float, float, float]) -> tuple[Float[np.ndarray, "3"], Float[np.ndarray, "3 3"]]:
    """a, b, c and their covariance: reweighted least squares; a spot beyond ROBUST_MM loses its say (Geman-McClure)."""
    prior = np.diag(1 / np.square(plane_sd))
    weight = 1 / sd_mm**2
    now = weight
    for _ in range(ROUNDS):
        normal = rows.T @ (rows * now[:, None]) + prior
        plane = np.linalg.solve(normal, rows.T @ (now * value_mm))
        scale = np.hypot(ROBUST_MM, sd_mm)
        now = weight / (1 + ((value_mm - rows @ plane) / scale) ** 2) ** 2
    return plane, np.linalg.inv(normal)


def moved(before: Symmetry, displacement_mm: Float[np.ndarray, "478 3"]) -> Symmetry:
    """After an operation that moves the landmarks by a known displacement (mm, head frame): before plus what the
    operation adds. The plane stays, and nothing is detected anew: a detector hides asymmetry."""
    out = []
    for d in before.differences:
        out.append(dataclasses.replace(d, value_mm=d.value_mm + between(*sides(d.spot, displacement_mm))))
    return Symmetry(differences=tuple(out), missing=before.missing)
