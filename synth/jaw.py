"""Jaw: the border of the fitted jaw is laid, in one photo, on the border that the photo shows.

A head fitted to one photo ends its jaw some millimetres below the pictured one, for the landmarks of the face's outline
slide along it. A plan that leaves the border of the jaw where it is (a face lift) then moves the pictured border, which
shows as a dip beside the chin. So along rays from the mouth, about the detected outline, the photo is asked where the
jaw ends, all rays together; the fitted head is moved there, less and less inwards and beyond.
Letters: t along a ray, mm, from the detected outline outwards; r motion of a piece of the fitted head (`register`).
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from core.channels import length
from core.correspondence import Correspondence
from core.rays import cheapest
from core.records import record
from synth.backdrop import smoothstep
from synth.outlines import FAR_MM

OUTLINE = (93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323)
"""Landmarks along the border of the jaw, from beside the right ear to beside the left one."""
FOREHEAD, CHIN = 10, 152
MIDDLE = (61, 291, 17)
"""Rays start between these: the corners of the mouth and the lower lip's edge."""


@record
class JawOptions:
    """turned_mm: where the outline comes so near to the mouth, the head is turned. t_mm: where the photo is asked;
    fitted_mm: where the fitted border may lie. step_mm along and about across the rays. usual_mm, spread_mm: where
    borders lie beyond the detected outline. darker: fall of the logarithm of brightness that makes a border, for the
    jaw throws a shadow on the neck; other: change of any colour. bend: what it costs when neighbouring rays part
    (1/mm2). clear: rays that show less of a border tell nothing. jump_mm: a step of depth over across_mm is the fitted
    border. most_mm: what lies farther off is not believed; from_mm: nearer ones stay. Left where it is is what runs
    less than lowest down the face (beside the ear), the border that ends before a wall within beside_mm, and one that
    the plan moves by more than stays_mm, for so it would move the pictured one; all, where it moves them by more than
    stays, a share of its largest motion, on average (26 face lifts: 0.05 at most; neck lifts: 0.07 at least), or where
    skin within those that run less than side down the face slides by no more than slides, another share (face lifts:
    0.45 at least, cheeks made narrower: 0.24, jaws that are moved: 0). least: share of the rays that must tell; half:
    of those around, that each may count in full. even_mm: over which r is evened along the border; inside_mm,
    beyond_mm: over which it ends."""

    turned_mm: float = 25.0
    t_mm: tuple[float, float] = (-8.0, 9.0)
    fitted_mm: tuple[float, float] = (-8.0, 10.0)
    step_mm: float = 0.5
    usual_mm: float = 1.0
    spread_mm: float = 6.0
    darker: float = 0.25
    other: float = 0.7
    bend: float = 0.6
    clear: float = 0.25
    jump_mm: float = 8.0
    across_mm: float = 1.0
    most_mm: float = 9.0
    from_mm: float = 0.5
    lowest: float = 0.15
    beside_mm: float = 5.0
    stays: float = 0.065
    stays_mm: float = 0.75
    side: float = 0.4
    slides: float = 0.2
    least: float = 0.2
    half: float = 0.15
    even_mm: float = 5.0
    inside_mm: float = 22.0
    beyond_mm: float = 10.0


JAW = JawOptions()


@record
class Rays:
    """From the mouth about the detected outline. at_px: where they meet it; way: unit vectors outwards; down: how much
    of each runs down the face."""

    middle_px: Float[np.ndarray, "2"]
    at_px: Float[np.ndarray, "a 2"]
    way: Float[np.ndarray, "a 2"]
    down: Float[np.ndarray, "a"]

    def places(self, t_px: Float[np.ndarray, "t"]) -> tuple[Float[np.ndarray, "a t"], Float[np.ndarray, "a t"]]:
        """x and y so far beyond the outline."""
        x, y = np.moveaxis(self.at_px[:, None] + self.way[:, None] * t_px[:, None], -1, 0).astype(np.float32)
        return x, y


def jaw_off(frame: Float[np.ndarray, "h w 3"], flow: Correspondence, person: Bool[np.ndarray, "h w"],
            face_px: Float[np.ndarray, "478 2"], options: JawOptions = JAW) -> Float[np.ndarray, "h w 2"] | None:
    """r of every pixel of the window, px; None where the border is met, or nothing tells where it is. person: who is
    seen; before a wall the border is an outline, which others look after. face_px: the detected landmarks, in the
    window."""
    mm = flow.px_per_mm
    rays = rays_about(face_px, options.step_mm * mm)
    if np.linalg.norm(rays.at_px - rays.middle_px, axis=1).min() < options.turned_mm * mm:
        return None
    own, after = (fitted(depth, rays, mm, options) for depth in (flow.depth_before_mm, flow.depth_after_mm))
    moves, known = np.abs(after - own), np.isfinite(own + after) & (rays.down >= options.lowest)
    if known.mean() < options.least or moves[known].mean() > options.stays * float(length(flow.flow_px).max()) / mm:
        return None
    if not slides(flow, rays, own, options):
        return None
    walls = (rays.down < options.lowest) | (moves > options.stays_mm)
    t = np.arange(options.t_mm[0], options.t_mm[1], options.step_mm)
    shown = border(frame, rays, t, mm, options)
    off = np.minimum(shown - own, 0)
    told = np.isfinite(off) & (off > -options.most_mm)
    walls |= ~upon(person, rays, np.nan_to_num(shown) * mm, options.beside_mm * mm)
    if (told & ~walls).mean() < options.least:
        return None
    off, told = np.where(told & ~walls, off, 0), told | walls
    even = evened(off, told, options)
    if np.abs(even).max() < options.from_mm:
        return None
    return spread(flow.mask.shape, rays, own, even, mm, options)


def slides(flow: Correspondence, rays: Rays, own: Float[np.ndarray, "a"], options: JawOptions) -> bool:
    """Whether skin beside the jaw's angle slides along the fitted border: what a face lift does."""
    known = np.isfinite(own) & (rays.down < options.side)
    if not known.any():
        return False
    within = (own[known] - 2 * options.across_mm) * flow.px_per_mm
    x, y = (rays.at_px[known] + within[:, None] * rays.way[known]).astype(np.float32).T
    size = length(flow.flow_px).astype(np.float32)
    beside = cv2.remap(size, x[:, None], y[:, None], cv2.INTER_LINEAR)
    return bool(np.percentile(beside, 90) > options.slides * size.max())


def upon(person: Bool[np.ndarray, "h w"], rays: Rays, t_px: Float[np.ndarray, "a"], beside_px: float) -> Bool[
        np.ndarray, "a"]:
    """Whether more of the person is seen so far beyond the border."""
    x, y = np.rint(rays.at_px + (t_px + beside_px)[:, None] * rays.way).astype(int).T
    height, width = person.shape
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    return inside & person[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]


def rays_about(face_px: Float[np.ndarray, "478 2"], step_px: float) -> Rays:
    """Rays that meet the detected outline at even distances."""
    middle, points = face_px[list(MIDDLE)].mean(0), face_px[list(OUTLINE)]
    along = np.append(0, np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1)))
    even = np.arange(0, along[-1], 2 * step_px)
    at = np.stack([np.interp(even, along, points[:, k]) for k in (0, 1)], 1)
    way, down = at - middle, face_px[CHIN] - face_px[FOREHEAD]
    way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-6)
    return Rays(middle_px=middle, at_px=at, way=way, down=way @ down / max(float(np.linalg.norm(down)), 1e-6))


def border(frame: Float[np.ndarray, "h w 3"], rays: Rays, t: Float[np.ndarray, "t"], mm: float, options: JawOptions
           ) -> Float[np.ndarray, "a"]:
    """t where the photo shows the jaw's border on each ray; NaN where it shows none. All rays are asked together."""
    shrink = min(1.0, 1 / (options.step_mm * mm))
    size = tuple(max(2, round(n * shrink)) for n in frame.shape[1::-1])
    small = cv2.GaussianBlur(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), (0, 0), 0.8)
    x, y = ((p + 0.5) * np.float32(shrink) - np.float32(0.5) for p in rays.places(t * mm))
    log = np.log(cv2.remap(small, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) + 10)
    k = round(1 / options.step_mm)
    even = cv2.blur(cv2.GaussianBlur(log, (1, 0), sigmaX=1e-3, sigmaY=1.0), (2 * k + 1, 1))
    fall = np.zeros_like(log)
    fall[:, k + 1:-k - 1] = even[:, :-2 * k - 2] - even[:, 2 * k + 2:]
    seen = np.maximum(np.clip(fall.mean(-1) / options.darker, -0.3, 1),
                      np.clip(np.abs(fall).max(-1) / options.other, 0, 1))
    cost = 0.5 * ((t - options.usual_mm) / options.spread_mm) ** 2 - seen
    cells, _ = cheapest(cost, np.tile(t, (len(cost), 1)), options.bend, len(t))
    return np.where(seen[np.arange(len(cells)), cells] >= options.clear, t[cells], np.nan)


def fitted(depth_mm: Float[np.ndarray, "h w"], rays: Rays, mm: float, options: JawOptions) -> Float[np.ndarray, "a"]:
    """t of the fitted border on each ray: the first jump of depth; NaN where there is none."""
    t = np.arange(options.fitted_mm[0], options.fitted_mm[1], options.step_mm)
    depth = cv2.remap(np.minimum(depth_mm, np.float32(FAR_MM)), *rays.places(t * mm), cv2.INTER_NEAREST,
                      borderMode=cv2.BORDER_CONSTANT, borderValue=FAR_MM)
    k = round(options.across_mm / options.step_mm)
    jumps = depth[:, k:] - depth[:, :-k] > options.jump_mm
    first = jumps.argmax(1)
    steps = np.stack([np.diff(row[j:j + k + 1]) for row, j in zip(depth, first, strict=True)])
    return np.where(jumps.any(1), t[first + steps.argmax(1)] + options.step_mm / 2, np.nan)


def evened(off: Float[np.ndarray, "a"], told: np.ndarray, options: JawOptions) -> Float[np.ndarray, "a"]:
    """Along the border; less where hardly a ray around tells."""
    lines = np.stack([off, told, np.ones(len(off))], 1).astype(np.float32)
    even = cv2.GaussianBlur(lines, (1, 0), sigmaX=1e-3, sigmaY=options.even_mm / (2 * options.step_mm),
                            borderType=cv2.BORDER_CONSTANT)
    return even[:, 0] / np.maximum(np.maximum(even[:, 1], options.half * even[:, 2]), 1e-6)


def spread(shape: tuple[int, ...], rays: Rays, from_mm: Float[np.ndarray, "a"], off_mm: Float[np.ndarray, "a"],
           mm: float, options: JawOptions) -> Float[np.ndarray, "h w 2"]:
    """r of every pixel: whole between both borders, less and less inwards and beyond."""
    size = tuple(max(2, round(n / mm)) for n in shape[1::-1])
    scale = np.array(shape[1::-1]) / size
    x, y = np.meshgrid(*((np.arange(n) + 0.5) * k - 0.5 for n, k in zip(size, scale, strict=True)))
    way = np.stack([x, y], -1) - rays.middle_px
    angle, number = turned(way, rays)
    far = np.linalg.norm(way, axis=-1)
    meets = np.linalg.norm(rays.at_px - rays.middle_px, axis=1)
    known = np.isfinite(from_mm)
    where = np.interp(np.arange(len(off_mm)), np.flatnonzero(known), from_mm[known])
    at, off = (np.interp(number, np.arange(len(off_mm)), v) for v in (meets / mm + where, off_mm))
    low, high = at + np.minimum(off, 0), at + np.maximum(off, 0)
    ends = smoothstep(1 - np.maximum(low - far / mm, 0) / options.inside_mm) * smoothstep(
        1 - np.maximum(far / mm - high, 0) / options.beyond_mm) * smoothstep(1 - angle * far / mm / options.beyond_mm)
    r = (ends * off * mm)[..., None] * way / np.maximum(far, 1e-6)[..., None]
    return cv2.resize(r.astype(np.float32), shape[1::-1], interpolation=cv2.INTER_LINEAR)


def turned(way: Float[np.ndarray, "h w 2"], rays: Rays) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    """Of each direction, by how much it leaves the rays, and between which of them it lies."""
    down = rays.way.mean(0)
    angles = [np.arctan2(w[..., 0] * down[1] - w[..., 1] * down[0], w @ down) for w in (rays.way, way)]
    own = np.maximum.accumulate(angles[0]) if angles[0][0] < angles[0][-1] else np.minimum.accumulate(angles[0])
    numbers = np.arange(len(own), dtype=float)
    order = slice(None) if own[0] < own[-1] else slice(None, None, -1)
    number = np.interp(angles[1], own[order], numbers[order])
    beside = np.maximum(np.maximum(angles[1] - own.max(), own.min() - angles[1]), 0)
    return beside, number
