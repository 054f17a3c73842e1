"""Cheeks and jaw left against right, by the face's outline (`analysis.face_outline`).

From the front both sides of the jaw are outlines of one photo: what their middle departs from that of a symmetric head
at the same pose is the jaw's shift. The cheeks are no outline there; they are in two photos from three-quarters, one to
each side, whose far outlines show left and right in turn. There the difference of the two, less that beside the eyes
(which is the difference of the two fits), is how much farther the left stands out.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float

from analysis.face_outline import Posed, Trace, bare, posed, traced
from analysis.spots import Spot
from analysis.symmetry import SURE, Difference, components
from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from core.records import record

FRONT_LEVELS = np.linspace(-0.4, 1.0, 36)
SIDE_LEVELS = np.linspace(-2.1, 0.9, 76)
EYE_LEVELS = (-1.9, -1.2)
"""Beside the eye, from the brow's end to the orbit's lower rim."""
FRONT_SD_MM, FRONT_TURNED_MM = 0.9, 10.0
"""Of a shift from the front: at yaw 0, and per sine of the yaw (benchmarks/symmetry.md)."""
SIDE_SD_MM, LEVER = 0.7, 0.026
"""Of a difference from three-quarters beside the eyes, and per mm below them: the two fits may lean."""
LOOSE, SIDE_LOOSE = 0.3, 0.35
"""The share of a difference that may be missing, because the fitted head has followed it."""
THREE_QUARTER_DEG, UNLIKE_DEG = (25.0, 55.0), 14.0
"""Turns that serve, and how far the two may differ."""
LEAST_SURE, LEAST_LEVELS, NEAR = 0.5, 4, 0.15
NEEDS_BOTH = "it takes a photo from the front and one from three-quarters on each side (--visit)"


@record
class Shown:
    """A photo of one head: picture, camera, and the head as posed there, in mm."""

    picture: np.ndarray
    camera: Camera
    mesh: Mesh

    @property
    def yaw_deg(self) -> float:
        """Positive: turned to the patient's left."""
        return float(np.degrees(self.camera.head_angles_rad[0]))


def from_front(spots: Sequence[Spot], photo: Shown, anatomy: Anatomy, rasterize: Rasterize) -> tuple[
        list[Difference], dict[str, str]]:
    """Differences of the spots that have levels from the front, and why the others have none."""
    spots = [s for s in spots if s.front is not None]
    seen = posed(photo.picture, photo.camera, photo.mesh, anatomy, FRONT_LEVELS, rasterize)
    both = np.isfinite(seen.expected).all(0)
    around = [seen.ladder.px(FRONT_LEVELS[both], side[both]) for side in seen.expected]
    trace = traced(seen, np.concatenate([around[0], around[1][::-1]])) if both.any() else None
    found, missing = [], {}
    for spot in spots:
        told: Difference | str = "its outline is not in the photo"
        if trace is not None:
            told = front_difference(spot, seen, trace, photo, anatomy)
        if isinstance(told, str):
            missing[spot.name] = told
        else:
            found.append(told)
    return found, missing


def front_difference(spot: Spot, seen: Posed, trace: Trace, photo: Shown, anatomy: Anatomy) -> Difference | str:
    """The shift of one spot; or why there is none."""
    assert spot.front is not None
    if abs(photo.yaw_deg) > spot.front_yaw_deg:
        return (f"the head is turned by more than {spot.front_yaw_deg:g} degrees: take the photo straight from the "
                "front")
    there = (trace.level >= spot.front[0]) & (trace.level <= spot.front[1])
    left = seen.ladder.place(trace.px)[1] > 0
    if min(sure_share(trace, there & side) for side in (left, ~left)) < LEAST_SURE:
        return "its outline is hidden, or does not stand out from the neck or what lies behind"
    rows = (FRONT_LEVELS >= spot.front[0]) & (FRONT_LEVELS <= spot.front[1])
    middle = (seen.ladder.crossings(trace.px, FRONT_LEVELS) - seen.expected).mean(0)
    steep = steepness(seen) * rows * np.isfinite(middle)
    if (steep > 0).sum() < LEAST_LEVELS:
        return "its outline is not in the photo"
    middle = np.nan_to_num(middle)
    shift = float((steep * middle).sum() / steep.sum())
    doubt = float(np.sqrt((steep * (middle - shift) ** 2).sum() / steep.sum())) / 2
    sine = abs(np.sin(np.radians(photo.yaw_deg)))
    sd = float(np.sqrt(FRONT_SD_MM**2 + (FRONT_TURNED_MM * sine) ** 2 + doubt**2 + (LOOSE * shift) ** 2))
    return Difference(spot=spot, at_mm=on_head(spot, photo, seen, anatomy), value_mm=components(shift),
                      sd_mm=components(sd), how="outline from the front")


def steepness(seen: Posed) -> Float[np.ndarray, "l"]:
    """How much a sideways shift shows at each level: all where the outline goes straight down, little at the chin."""
    half = np.diff(seen.expected, axis=0)[0] / 2
    slope = np.gradient(half, seen.levels * seen.ladder.rung_px / seen.ladder.px_per_mm)
    return np.nan_to_num(1 / (1 + slope**2))


def sure_share(trace: Trace, rows: Bool[np.ndarray, "n"]) -> float:
    """Share of some of an outline's points that are believed."""
    return float(trace.sure[rows].mean()) if rows.any() else 0.0


def on_head(spot: Spot, photo: Shown, seen: Posed, anatomy: Anatomy) -> Float[np.ndarray, "3"]:
    """Where the outline at a spot lies, on the left, in the head frame: the widest place at that height (mm)."""
    assert spot.front is not None
    level = float(np.mean(spot.front))
    jaw = bare(photo.mesh, anatomy)
    v = jaw.vertices_mm[np.unique(jaw.faces)]
    height, _ = seen.ladder.place(seen.camera.px_from_points(v * [0, 1, 1]))
    widest = np.where(np.abs(height - level) < NEAR, np.abs(v[:, 0]), -1).argmax()
    half = float(np.nanmean(np.abs(seen.expected[:, np.abs(seen.levels - level).argmin()])))
    return np.array([half, v[widest, 1], v[widest, 2]])


def from_both_sides(spots: Sequence[Spot], photos: Sequence[Shown], anatomy: Anatomy, rasterize: Rasterize) -> tuple[
        list[Difference], dict[str, str]]:
    """Differences of the spots that have levels from three-quarters, and why the others have none."""
    spots = [s for s in spots if s.oblique is not None]
    pair = best_pair(photos)
    if pair is None:
        return [], {s.name: NEEDS_BOTH for s in spots}
    sides = [far_outline(photo, anatomy, rasterize) for photo in pair]
    found, missing = [], {}
    for spot in spots:
        told = side_difference(spot, sides)
        if isinstance(told, str):
            missing[spot.name] = told
        else:
            found.append(told)
    return found, missing


def best_pair(photos: Sequence[Shown]) -> tuple[Shown, Shown] | None:
    """Of the photos from three-quarters those to the left and to the right whose turns are most alike: the first shows
    the patient's left as outline (the head turned to the left)."""
    low, high = THREE_QUARTER_DEG
    usable = [p for p in photos if low <= abs(p.yaw_deg) <= high]
    pairs = [(a, b) for a in usable for b in usable if a.yaw_deg > 0 > b.yaw_deg]
    best = min(pairs, key=lambda p: abs(p[0].yaw_deg + p[1].yaw_deg), default=None)
    return best if best is not None and abs(best[0].yaw_deg + best[1].yaw_deg) <= UNLIKE_DEG else None


def far_outline(photo: Shown, anatomy: Anatomy, rasterize: Rasterize) -> tuple[Posed, Trace | None, Shown]:
    """The outline of the side that is turned away."""
    seen = posed(photo.picture, photo.camera, photo.mesh, anatomy, SIDE_LEVELS, rasterize)
    side = seen.expected[0 if photo.yaw_deg > 0 else 1]
    there = np.isfinite(side)
    return seen, traced(seen, seen.ladder.px(SIDE_LEVELS[there], side[there])) if there.any() else None, photo


def side_difference(spot: Spot, sides: Sequence[tuple[Posed, Trace | None, Shown]]) -> Difference | str:
    """How much farther one spot stands out on the left; or why nothing is said."""
    assert spot.oblique is not None
    outs = []
    for _, trace, _ in sides:
        here, eye = (None if trace is None else off_at(trace, levels) for levels in (spot.oblique, EYE_LEVELS))
        if here is None or eye is None:
            return "its outline in the photos from three-quarters is hidden, or does not stand out"
        outs.append((here[0] - eye[0], float(np.hypot(here[1], eye[1]))))
    out = outs[0][0] - outs[1][0]
    ladder = sides[0][0].ladder
    below_mm = (np.mean(spot.oblique) - np.mean(EYE_LEVELS)) * ladder.rung_px / ladder.px_per_mm
    sd = float(np.sqrt(SIDE_SD_MM**2 + (LEVER * below_mm) ** 2 + outs[0][1] ** 2 + outs[1][1] ** 2
                       + (SIDE_LOOSE * out) ** 2))
    return Difference(spot=spot, at_mm=far_place(spot, sides[0]), value_mm=components(outward=out),
                      sd_mm=components(outward=sd), how="outlines from three-quarters")


def off_at(trace: Trace, levels: tuple[float, float]) -> tuple[float, float] | None:
    """Median departure between two levels (mm), and its doubt; None where the outline is not believed."""
    rows = (trace.level >= levels[0]) & (trace.level <= levels[1])
    if sure_share(trace, rows) < LEAST_SURE or rows.sum() < LEAST_LEVELS:
        return None
    off = trace.off_mm[rows & trace.sure]
    return float(np.median(off)), float(np.median(np.abs(off - np.median(off)))) / 2


def far_place(spot: Spot, side: tuple[Posed, Trace | None, Shown]) -> Float[np.ndarray, "3"]:
    """Where the outline at a spot lies on the left, in the head frame (mm)."""
    assert spot.oblique is not None
    seen, _, photo = side
    level = float(np.mean(spot.oblique))
    across = seen.expected[0, np.abs(seen.levels - level).argmin()]
    target = seen.ladder.px(np.array([level]), np.array([across]))[0]
    v = photo.mesh.vertices_mm
    front = v[:, 2] > -70  # the back of the head projects there, too
    off = np.linalg.norm(seen.camera.px_from_points(v) - target, axis=1)
    place = v[np.where(front, off, np.inf).argmin()]
    return np.array([abs(place[0]), place[1], place[2]])


def sure_enough(found: Sequence[Difference]) -> tuple[list[Difference], dict[str, str]]:
    """Differences that say something: those are left out that exclude, by 95 %, neither none at all (100 points) nor
    one that viewers begin to see (50)."""
    kept, vague = [], {}
    for d in found:
        open_mm = SURE * d.sd_mm
        says = ~((open_mm > d.spot.visible_mm) & (np.abs(d.value_mm) < open_mm))
        value, sd = (np.where(says, x, np.nan) for x in (d.value_mm, d.sd_mm))
        if np.isfinite(value).any():
            kept.append(dataclasses.replace(d, value_mm=value, sd_mm=sd))
        else:
            vague[d.spot.name] = (f"it cannot be told within 50 points (± {np.nanmin(open_mm):.1f} mm): "
                                  "take the photo straight from the front, in even light")
    return kept, vague
