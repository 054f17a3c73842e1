"""Ear outline: where a photo from the front shows an ear end, from the top of its helix round to the lobe.

The 478 landmarks have no ears, and people's ears lie up to 15 mm higher or lower beside them (sd 7 mm on 16 people).
So they are sought in a window beside the face, laid upright and in millimetres (`core.ear_frame`). What is ear there
is told by colour: that of the face's same half against that of the wall and of the hair, then of the ear found and of
what lies beside it. The outline is the cheapest one on rays from the root of the ear that has skin within it, none
beyond it, and an edge between; heights of the root compete. Space is squeezed upright by half for the rays, so that an
ear is round.
Letters: L log-odds that a pixel is the ear's skin; r distance on a ray, mm; d = r - usual; x out, y down, mm.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from scipy.ndimage import gaussian_filter

from core.anatomy import Anatomy
from core.camera import Camera
from core.ear_frame import EarFrame
from core.mesh import Mesh
from core.rays import cheapest
from core.records import record
from recon.skin import INNER, filled

OUTLINE_LM = {"ear_r": 234, "ear_l": 454}
"""Landmarks before the ears, on the face's outline: an ear's root lies about there."""
TOP, CHIN, NASION = 10, 152, 6
X_MM, Y_MM, PER_MM = (-16.0, 44.0), (-60.0, 70.0), 2
"""The window beside a face, out and down from its landmark; pixels to a millimetre."""
ANGLES_DEG, STEP_MM, SQUEEZE = np.arange(-84.0, 93.0, 3.0), 0.4, 0.5
R_MM = np.arange(2.0, 40.0, STEP_MM)
NEAR = 12
"""Columns that neighbouring rays may part at most."""
ROOT_MM = np.array([1.0, 4.0])
"""Where rays begin, when the ear lies as high as is usual."""
USUAL_MM = np.array([(6, -27), (11, -27.5), (15.5, -26.5), (19, -23), (21.5, -16), (22, -9), (21, 0), (19.4, 8),
                     (17.5, 17), (14.8, 24), (11.5, 30), (7.5, 34.5), (3.5, 36), (0, 34.5), (-2, 31)])
"""A usual ear, round the five marks that 16 people's ears have on average (`benchmarks/ears.md`)."""
LEARNT_PX = 400
"""Colours are learnt from the photo no larger than this."""


@record
class OutlineOptions:
    """inside: weight of L within the outline (1/mm2); edge: of an edge, on each ray; near: how little an outline
    leaves the usual one (1/mm2), bend: how little its rays part (1/mm2). height_sd_mm: spread of ears' heights, and
    height: its weight. most: of L. apart_mm: so far outside of the person found, L is sure to be low."""

    inside: float = 0.25
    edge: float = 3.0
    near: float = 0.02
    bend: float = 0.35
    height_sd_mm: float = 7.0
    height: float = 2.0
    most: float = 2.0
    apart_mm: float = 2.0


OPTIONS = OutlineOptions()


@record
class EarOutline:
    """An ear's outline in its frame, mm, from the front of its top round to the front of its lobe; what of the head's
    own outline the rays met before and after is left out. edge (N,): how clearly it ends there, L inside less outside
    (0 to 4). skin: share of what lies within that looks like the person's skin. busy: share of what lies beside its rim
    with edges as sharp as those of loose hair."""

    points_mm: Float[np.ndarray, "n 2"]
    edge: Float[np.ndarray, "n"]
    skin: float
    busy: float

    @property
    def height_mm(self) -> float:
        """From the top to the bottom."""
        return float(np.ptp(self.points_mm[:, 1]))

    @property
    def clear(self) -> float:
        """Share of its points where an edge is seen."""
        return float((self.edge > 1).mean())


def frame_of(mesh: Mesh, anatomy: Anatomy, camera: Camera, ear: str) -> EarFrame:
    """The window for `ear_l` or `ear_r`."""
    px = camera.px_from_points(mesh.points(anatomy.pins478))
    across = px[OUTLINE_LM["ear_l"]] - px[OUTLINE_LM["ear_r"]]
    across /= np.linalg.norm(across)
    there = camera.cam_from_points(mesh.vertices_mm[anatomy.region(ear) > 0.5])
    depth = float(there[:, 2].mean())
    return EarFrame(origin_px=px[OUTLINE_LM[ear]], out=across if ear == "ear_l" else -across,
                    down=np.array([-across[1], across[0]]), px_per_mm=float(camera.K_px[0, 0] / depth), depth_mm=depth)


def cut(frame: EarFrame, picture: Shaped[np.ndarray, "h w *c"]) -> Shaped[np.ndarray, "a b *c"]:
    """The frame's window of a picture, upright, `PER_MM` fine."""
    x, y = (np.arange(*span, 1 / PER_MM) for span in (X_MM, Y_MM))
    at = frame.px(np.stack(np.meshgrid(x, y), -1)).astype(np.float32)
    reach = 4 * frame.px_per_mm
    low, high = (np.clip(edge, 0, picture.shape[1::-1]).astype(int) for edge in (
        at.min((0, 1)) - reach, at.max((0, 1)) + reach))
    part = picture[low[1]:high[1], low[0]:high[0]]
    if not part.size:
        return np.zeros((len(y), len(x), *picture.shape[2:]), picture.dtype)
    if frame.px_per_mm > PER_MM:
        part = cv2.GaussianBlur(part, (0, 0), 0.4 * frame.px_per_mm / PER_MM)
    return cv2.remap(part, at - low.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def find_outline(frame: EarFrame, landmarks_px: Float[np.ndarray, "478 2"], picture: UInt8[np.ndarray, "h w 3"],
                 person: Bool[np.ndarray, "h w"], options: OutlineOptions = OPTIONS) -> EarOutline:
    """The ear's outline in a photo; where none is, something that `EarOutline` says to be unclear."""
    colour = lab(cut(frame, picture))
    away = cv2.distanceTransform((cut(frame, person.astype(np.float32)) < 0.5).astype(np.uint8), cv2.DIST_L2, 5)
    away = np.clip((away / PER_MM - options.apart_mm) / 2, 0, 1)
    steep = steepness(colour)
    face, others = learnt(frame, landmarks_px, picture, person)
    skins, heights = [face], np.arange(-16.0, 17.0, 4.0)
    for _ in range(3):
        odds = np.clip(log_odds(colour, skins, others, options.most) - 1.5 * away, -options.most, options.most)
        height, r = best_of([(h, *on_rays(odds, steep, h, options)) for h in heights], options)
        ear, beside = within(points_at(r, height), odds.shape)
        skins, others = [face, colour[ear & (odds > 0)]], [*others[:2], colour[beside & (odds < 0.5)]]
        heights = height + np.array([-3.0, 0.0, 3.0])
    found = whole_ear(points_at(r, height), edges_on(odds, height, r))
    return dataclasses.replace(found, skin=float((odds[ear] > 0).mean()) if ear.any() else 0.0,
                               busy=busy_beside(found.points_mm, steep))


def silhouette(frame: EarFrame, covered: Bool[np.ndarray, "h w"], options: OutlineOptions = OPTIONS) -> EarOutline:
    """The ear's outline of a head that was drawn: the same search, where nothing is uncertain."""
    odds = (2 * cut(frame, covered.astype(np.float32)) - 1) * options.most
    height, r = best_of([(h, *on_rays(odds, np.ones_like(odds), h, options)) for h in np.arange(-24.0, 25.0, 4.0)],
                        options)
    return whole_ear(points_at(r, height), edges_on(odds, height, r))


def best_of(tried: Sequence[tuple[float, Float[np.ndarray, "a"], float]], options: OutlineOptions) -> tuple[
        float, Float[np.ndarray, "a"]]:
    """The height of the root, and the outline on its rays, that gain most."""
    gains = [gain - options.height * (h / options.height_sd_mm) ** 2 for h, _, gain in tried]
    height, r, _ = tried[int(np.argmax(gains))]
    return float(height), r


def lab(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """CIE L*a*b*, in which equal steps look alike."""
    return np.asarray(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB))


def steepness(colour: Float[np.ndarray, "a b 3"]) -> Float[np.ndarray, "a b"]:
    """How steeply colour changes, 0 to 1; a half at 6 units a millimetre."""
    soft = cv2.GaussianBlur(colour, (0, 0), 0.7)
    slope = [cv2.Sobel(soft, cv2.CV_32F, *by) * PER_MM / 8 for by in ((1, 0), (0, 1))]
    size = np.sqrt((slope[0]**2 + slope[1]**2).sum(2))
    return np.asarray(size / (size + 6))


def learnt(frame: EarFrame, landmarks_px: Float[np.ndarray, "478 2"], picture: UInt8[np.ndarray, "h w 3"],
           person: Bool[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "n 3"], list[Float[np.ndarray, "_ 3"]]]:
    """Colours of the face's half beside an ear, and of what is no skin: the wall on this side, hair above the face."""
    shrink = min(1.0, LEARNT_PX / max(picture.shape[:2]))
    size = (max(1, round(picture.shape[1] * shrink)), max(1, round(picture.shape[0] * shrink)))
    colour = lab(cv2.resize(picture, size, interpolation=cv2.INTER_AREA))
    there = cv2.resize(person.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    px = (landmarks_px + 0.5) * shrink - 0.5
    place = np.stack(np.meshgrid(np.arange(size[0]), np.arange(size[1])), -1) - px[NASION]
    tall = float(np.linalg.norm(px[CHIN] - px[TOP]))
    out, down = place @ frame.out / tall, place @ frame.down / tall
    inner = filled(there.shape, px, INNER) > 0
    face = colour[inner & (out > 0) & (np.abs(down - 0.05) < 0.3)]
    usual = np.median(face, axis=0) if len(face) else np.zeros(3)
    spread = 1.5 * np.median(np.abs(face - usual), axis=0) + [6, 2, 2] if len(face) else np.ones(3)
    wall = cv2.erode((there == 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    hair = (there > 0) & ~inner & (down < -0.55) & (down > -1.2)
    return face[(np.abs(face - usual) < 3 * spread).all(1)], [colour[wall & (out > 0) & (np.abs(down) < 1.2)],
                                                              colour[hair]]


LOW, BIN, BINS = np.array([0, -40, -50.0]), np.array([4, 2.5, 2.5]), np.array([26, 49, 49])
EVEN = 1 / float(BINS.prod())
"""Of colours, in L*a*b*."""
AS_FACE, AS_EAR, AS_OTHERS = (12.0, 4.0, 4.0), (6.0, 3.0, 3.0), (5.0, 2.5, 2.5)
"""How far colours spread about those learnt: an ear is redder than its face, and shaded."""
SHARES = (0.45, 0.35, 0.4)
"""How likely what is no skin is wall, hair, or as what lies beside the ear."""


def log_odds(colour: Float[np.ndarray, "a b 3"], skins: Sequence[Float[np.ndarray, "_ 3"]],
             others: Sequence[Float[np.ndarray, "_ 3"]], most: float) -> Float[np.ndarray, "a b"]:
    """L of every pixel. skins: of the face, perhaps of the ear; others: of wall, hair, perhaps of what lies beside."""
    place = tuple(np.moveaxis(binned(colour), -1, 0))
    known = [density(s, spread)[place] for s, spread in zip(skins, (AS_FACE, AS_EAR), strict=False)]
    told = [(share, density(o, AS_OTHERS)[place]) for share, o in zip(SHARES, others, strict=False) if len(o) > 20]
    is_skin = np.mean(known, axis=0)
    is_not = sum(share * p for share, p in told) / max(sum(share for share, _ in told), 1e-9) if told else 0.0
    return np.asarray(np.clip(np.log((is_skin + 0.3 * EVEN) / (is_not + 0.3 * EVEN)), -most, most))


def binned(colour: Float[np.ndarray, "*n 3"]) -> Int[np.ndarray, "*n 3"]:
    """Bins of colours."""
    return np.asarray(np.clip(np.rint((colour - LOW) / BIN).astype(int), 0, BINS - 1))


def density(colours: Float[np.ndarray, "n 3"], spread: tuple[float, float, float]) -> Float[np.ndarray, "k l m"]:
    """How common each bin is among colours that spread so far."""
    flat = np.ravel_multi_index(tuple(binned(colours).T), tuple(BINS))
    counts = np.bincount(flat, minlength=int(BINS.prod())).reshape(BINS).astype(float)
    soft = gaussian_filter(counts, np.array(spread) / BIN, mode="constant")
    return np.asarray(soft / max(soft.sum(), 1e-9))


def points_at(r_mm: Float[np.ndarray, "a *r"], height_mm: float) -> Float[np.ndarray, "a *r 2"]:
    """Places so far along the rays of a root that lies so much lower than usual."""
    angle = np.radians(ANGLES_DEG).reshape(-1, *(1,) * (r_mm.ndim - 1))
    return np.stack([ROOT_MM[0] + r_mm * np.cos(angle), ROOT_MM[1] + height_mm + r_mm * np.sin(angle) / SQUEEZE], -1)


def on_grid(values: Float[np.ndarray, "h w"], height_mm: float) -> Float[np.ndarray, "a r"]:
    """A window's values along the rays."""
    at = points_at(np.broadcast_to(R_MM, (len(ANGLES_DEG), len(R_MM))), height_mm)
    at = ((at - [X_MM[0], Y_MM[0]]) * PER_MM).astype(np.float32)
    return cv2.remap(values.astype(np.float32), at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def usual_r() -> Float[np.ndarray, "a"]:
    """How far out the usual ear ends on each ray."""
    off = (USUAL_MM - ROOT_MM) * [1, SQUEEZE]
    return np.interp(ANGLES_DEG, np.degrees(np.arctan2(off[:, 1], off[:, 0])), np.linalg.norm(off, axis=1))


def on_rays(odds: Float[np.ndarray, "h w"], steep: Float[np.ndarray, "h w"], height_mm: float,
            options: OutlineOptions) -> tuple[Float[np.ndarray, "a"], float]:
    """The best outline from a root so low, r on each ray, and what it gains."""
    on_ray = on_grid(odds, height_mm)
    area_mm2 = R_MM * STEP_MM * np.radians(ANGLES_DEG[1] - ANGLES_DEG[0]) / SQUEEZE
    gain = options.inside * np.cumsum(on_ray * area_mm2, 1)
    gain += options.edge * np.clip(contrast(on_ray) / 4, 0, 1) * on_grid(steep, height_mm)
    d = R_MM - usual_r()[:, None]
    cost = options.near * d**2 - gain
    chosen, total = cheapest(cost, d, options.bend, NEAR)
    return R_MM[chosen], -float(total)


def contrast(on_ray: Float[np.ndarray, "a r"], reach: int = 3) -> Float[np.ndarray, "a r"]:
    """L of the last samples before a place less that of the first ones beyond."""
    wide = np.pad(on_ray, ((0, 0), (reach, reach)), mode="edge")
    sums = np.cumsum(np.pad(wide, ((0, 0), (1, 0))), 1)
    count = on_ray.shape[1]
    before, here, beyond = (sums[:, k:k + count] for k in (1, reach + 1, 2 * reach))
    return np.asarray((here - before) / reach - (beyond - here) / (reach - 1))


def edges_on(odds: Float[np.ndarray, "h w"], height_mm: float, r_mm: Float[np.ndarray, "a"]) -> Float[np.ndarray, "a"]:
    """How clearly an outline parts skin from what is none, on each ray."""
    column = np.rint((r_mm - R_MM[0]) / STEP_MM).astype(int)
    return np.asarray(contrast(on_grid(odds, height_mm))[np.arange(len(column)), column])


def within(points_mm: Float[np.ndarray, "n 2"], shape: tuple[int, ...]) -> tuple[Bool[np.ndarray, "h w"],
                                                                                 Bool[np.ndarray, "h w"]]:
    """The window's pixels well within an outline, out from the face, and those a little beyond it."""
    root = [[0.0, points_mm[-1, 1]], [0.0, points_mm[0, 1]]]
    inside = inside_of(np.concatenate([points_mm, root]), shape)
    out = (np.arange(shape[1]) / PER_MM + X_MM[0] > 2)[None]
    small, large = (np.ones((n, n), np.uint8) for n in (5, 17))
    return ((cv2.erode(inside, small) > 0) & out,
            (cv2.dilate(inside, large) > 0) & (cv2.dilate(inside, small) == 0) & out)


def inside_of(ring_mm: Float[np.ndarray, "n 2"], shape: tuple[int, ...]) -> UInt8[np.ndarray, "h w"]:
    """The window's pixels within a ring."""
    out = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(out, [np.rint((ring_mm - [X_MM[0], Y_MM[0]]) * PER_MM).astype(int)], 1)
    return out


BESIDE_MM, MIDDLE, SHARP = (2.0, 8.0), (0.15, 0.85), 0.6
"""What a rim that is set back uncovers lies so far beside it; where of its height this is asked; and an edge of loose
hair is as steep."""


def busy_beside(points_mm: Float[np.ndarray, "n 2"], steep: Float[np.ndarray, "h w"]) -> float:
    """Share of what lies beside an outline that has sharp edges. What it hides cannot be guessed."""
    ends = points_mm[[-1, 0]] * [0, 1] + [X_MM[0], 0]
    inside = inside_of(np.concatenate([points_mm, ends]), steep.shape)
    apart = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5) / PER_MM
    y = (np.arange(steep.shape[0]) / PER_MM + Y_MM[0] - points_mm[:, 1].min()) / max(np.ptp(points_mm[:, 1]), 1.0)
    there = (apart > BESIDE_MM[0]) & (apart < BESIDE_MM[1]) & ((y > MIDDLE[0]) & (y < MIDDLE[1]))[:, None]
    return float((steep[there] > SHARP).mean()) if there.any() else 1.0


EVENLY_MM, CORNER_MM, CORNER_DEG = 1.0, 5.0, 40.0
"""Where an outline turns inwards by so much, over so far to either side, an ear ends and the head begins."""


def whole_ear(points_mm: Float[np.ndarray, "a 2"], edge: Float[np.ndarray, "a"]) -> EarOutline:
    """The part of what rays met that is an ear: from its outermost point both ways to the next hollow corner."""
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))])
    even = np.arange(0, along[-1], EVENLY_MM)
    points = np.stack([np.interp(even, along, points_mm[:, k]) for k in (0, 1)], 1)
    clear = np.interp(even, along, edge)
    middle = int(np.argmax(points[:, 0]))
    turns = turning_deg(points)
    hollow = np.flatnonzero(turns < -CORNER_DEG)
    first, last = hollow[hollow < middle], hollow[hollow > middle]
    start = deepest(turns, first, -1) if len(first) else 0
    end = deepest(turns, last, 1) + 1 if len(last) else len(points)
    return EarOutline(points_mm=points[start:end], edge=clear[start:end], skin=1.0, busy=0.0)


def deepest(turns: Float[np.ndarray, "n"], hollow: Int[np.ndarray, "m"], way: int) -> int:
    """The middle of the corner that is met first, going forwards (1) or back (-1)."""
    hollow = hollow[::way]
    corner = hollow[:int(np.argmax(np.append(np.abs(np.diff(hollow)) > 1, True))) + 1]
    return int(corner[np.argmin(turns[corner])])


def turning_deg(points_mm: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "n"]:
    """How far a line turns at each point, clockwise, as an ear's outline does; 0 near its ends."""
    reach = round(CORNER_MM / EVENLY_MM)
    turns = np.zeros(len(points_mm))
    if len(points_mm) > 2 * reach:
        come, go = points_mm[reach:-reach] - points_mm[:-2 * reach], points_mm[2 * reach:] - points_mm[reach:-reach]
        turns[reach:-reach] = np.degrees(np.arctan2(come[:, 0] * go[:, 1] - come[:, 1] * go[:, 0], (come * go).sum(1)))
    return turns
