"""A picture bent by the motions of landmarks: a thin plate that is clamped round its edge, evaluated on a coarse grid.

The plate is a disc that is clamped at its rim, so the bend and its slope are exactly 0 there: its Green's function is
    G(x, p) = (a b - r^2 ln(1 + a b / r^2)) / 2,   a = 1 - |x|^2,  b = 1 - |p|^2,  r = |x - p|      (unit disc)
(T. Boggio, Rend. Circ. Mat. Palermo 20, 1905; for warps S. Marsland and C. Twining, IEEE TMI 23, 2004). It is positive
definite, so one joint solve makes every landmark land, and no border points are needed. A region narrower than the
disc multiplies the bend by a window m that falls to 0 at the region's edge:  u(x) = m(x) sum_j c_j G(x, p_j).

u is known on a grid of nodes, and cubic splines (C2) between them. A point x of the picture goes to y = x + u(x); the
picture is drawn backwards, so x(y) is found at the nodes by Newton's method.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from jaxtyping import Bool, Float, Shaped, UInt8
from scipy.linalg import cho_factor, cho_solve
from scipy.ndimage import map_coordinates, spline_filter

from core.errors import UsageError
from core.records import freeze, record
from synth.inverse import inverted

RIDGE = 1e-10
"""Added to the diagonal (whose entries are about 1), so that landmarks in the same place do no harm."""
BAND_ROWS = 256
"""Rows that are drawn at once: bounds the memory of the map."""
SINGLE = 2e-8
"""Largest error of the sum in single precision, over the sum of the forces; measured 6e-9 on 478 random points."""
CACHED = 256
"""Nodes evaluated at once: small enough for the processor's cache."""
POOL = ThreadPoolExecutor(2)
"""The functions that take longest (logarithms, splines) let another thread work meanwhile."""
WIDEST = 32767
"""OpenCV's remap counts pixels in 16 bits."""


@record
class ThinPlateOptions:
    """reach: without a region the disc is so many times the landmarks' largest distance from their middle.

    feather: width of the window at the region's edge, and still_feather at still parts, as shares of the region's
    radius (of the circle of the same area). least_window: landmarks where the region's window is below it are left to
    follow and land short; pulling them would tear the skin beside them. least_jacobian: areas shrink to no less than
    this; the whole motion is reduced until it holds. step: distance of the nodes is step * sqrt(radius), in px, so that
    the splines' error stays below 0.1 px at any size. cubic: resample with cubics, which ring less, instead of Lanczos
    windows, which keep more grain.
    """

    reach: float = 1.5
    feather: float = 0.25
    still_feather: float = 0.07
    least_window: float = 0.4
    least_jacobian: float = 0.15
    step: float = 0.2
    cubic: bool = False


THIN_PLATE = ThinPlateOptions()
"""For a face that fills a third of a portrait or more."""


@record
class Warp:
    """A bend, ready to be applied to pictures of one size.

    size_wh: of the picture. corner_xy, step_px: node (k, l) lies at corner + (k + 0.5) step - 0.5, in px.
    back_px (gh, gw, 2): where the picture at a node comes from, minus the node. inside: what may change in the disc
    about centre_px (None: all of it). share: how much of the asked motion is done; below 1 when more would fold the
    picture. landed_px (L, 2): where the landmarks went.
    """

    size_wh: tuple[int, int]
    corner_xy: tuple[int, int]
    step_px: int
    back_px: Float[np.ndarray, "gh gw 2"]
    centre_px: Float[np.ndarray, "2"]
    radius_px: float
    inside: Bool[np.ndarray, "h w"] | None
    share: float
    landed_px: Float[np.ndarray, "l 2"]

    def __post_init__(self) -> None:
        freeze(self, back_px=(self.back_px, float), landed_px=(self.landed_px, float))

    @property
    def still(self) -> bool:
        """True when nothing moves."""
        return not np.any(self.back_px)


def warped(picture: UInt8[np.ndarray, "h w c"], from_px: Float[np.ndarray, "l 2"], to_px: Float[np.ndarray, "l 2"],
           region: Shaped[np.ndarray, "h w"] | None = None, still: Shaped[np.ndarray, "h w"] | None = None,
           options: ThinPlateOptions = THIN_PLATE) -> UInt8[np.ndarray, "h w c"]:
    """The picture with its landmarks moved; `find` and `apply` in one."""
    return apply(picture, find((picture.shape[1], picture.shape[0]), from_px, to_px, region, still, options), options)


def find(size_wh: tuple[int, int], from_px: Float[np.ndarray, "l 2"], to_px: Float[np.ndarray, "l 2"],
         region: Shaped[np.ndarray, "h w"] | None = None, still: Shaped[np.ndarray, "h w"] | None = None,
         options: ThinPlateOptions = THIN_PLATE) -> Warp:
    """The bend that takes landmarks of the picture to their new places; landmarks that stay hold the skin.

    region: what may change (above 0); outside nothing does. still: what must not move (above 0.5): teeth, sclera, iris,
    spectacles; landmarks on it and close beside it land short, as `landed_px` tells. UsageError: landmarks are not
    finite, or masks of another size.
    """
    check(size_wh, from_px, to_px, region, still)
    move = to_px - from_px
    if not np.any(move) or (region is not None and not np.any(region > 0)):
        return nothing(size_wh, from_px)
    plate = Plate(size_wh, from_px, move, region, still, options)
    bend = plate.bend(plate.nodes_px, plate.window)
    share = unfolded_share(bend / plate.step, options.least_jacobian)
    bend = share * bend
    filtered = np.stack([spline_filter(bend[..., k], mode="nearest") for k in range(2)], -1)
    landed = from_px + at_nodes(filtered, plate.in_nodes(from_px))
    back = inverted(bend, filtered, plate.step)
    return Warp(size_wh=size_wh, corner_xy=plate.corner, step_px=plate.step, back_px=back, centre_px=plate.centre,
                radius_px=plate.radius, inside=plate.inside, share=share, landed_px=landed)


def check(size_wh: tuple[int, int], from_px: np.ndarray, to_px: np.ndarray, region: np.ndarray | None,
          still: np.ndarray | None) -> None:
    """Refuse what cannot be meant."""
    if not (np.isfinite(from_px).all() and np.isfinite(to_px).all()):
        raise UsageError("landmarks", "A landmark of the picture is not a number.", "Leave out what is not seen.")
    for name, mask in (("region", region), ("still parts", still)):
        if mask is not None and mask.shape != (size_wh[1], size_wh[0]):
            raise UsageError("mask_size", f"The mask of the {name} is {mask.shape[1]}x{mask.shape[0]}, the picture "
                             f"{size_wh[0]}x{size_wh[1]}.", "Make it from the same picture.")
    if max(size_wh) > WIDEST:
        raise UsageError("picture_size", f"A side of the picture is longer than {WIDEST} px.", "Make it smaller.")


def nothing(size_wh: tuple[int, int], points_px: Float[np.ndarray, "l 2"]) -> Warp:
    """The bend that changes nothing."""
    return Warp(size_wh=size_wh, corner_xy=(0, 0), step_px=1, back_px=np.zeros((0, 0, 2)), centre_px=np.zeros(2),
                radius_px=0.0, inside=None, share=1.0, landed_px=points_px)


class Plate:
    """The disc, its nodes, its window, and the joint solution for the landmarks."""

    def __init__(self, size_wh: tuple[int, int], from_px: np.ndarray, move_px: np.ndarray, region: np.ndarray | None,
                 still: np.ndarray | None, options: ThinPlateOptions) -> None:
        self.inside = None if region is None and still is None else changing(size_wh, region, still)
        beyond = 1.5 * np.linalg.norm(move_px, axis=1).max() + 1  # where the picture ends, the face goes on
        if region is None:
            middle = (from_px.min(0) + from_px.max(0)) / 2 if len(from_px) < 3 else from_px.mean(0)
            spread = np.linalg.norm(from_px - middle, axis=1).max()
            self.radius = float(max(options.reach * spread, 6 * np.linalg.norm(move_px, axis=1).max(), 8.0))
            low = np.maximum(middle - self.radius, -beyond)
            high = np.minimum(middle + self.radius, np.array(size_wh) - 1 + beyond)
            typical = self.radius
        else:
            x, y, w, h = cv2.boundingRect((region > 0).astype(np.uint8))
            low, high = np.array([x, y]) - 0.5, np.array([x + w, y + h]) - 0.5
            low = low - beyond * (low <= 0)
            high = high + beyond * (high >= np.array(size_wh) - 1)
            middle, self.radius = (low + high) / 2, float(np.linalg.norm(high - low) / 2)
            typical = float(np.sqrt(np.count_nonzero(region > 0) / np.pi))
        self.centre = middle
        finest = options.feather * typical if still is None else options.still_feather * typical
        self.step = max(1, round(min(options.step * np.sqrt(typical), finest / 4)))
        count = np.maximum(np.ceil((high - low) / self.step).astype(int), 1) + 2  # beyond each edge a node stays 0
        corner = np.floor((low + high) / 2 + 0.5 - count * self.step / 2 + 0.5).astype(int)
        self.corner = (int(corner[0]), int(corner[1]))
        self.shape = (int(count[1]), int(count[0]))
        k = np.stack(np.meshgrid(np.arange(count[0]), np.arange(count[1])), -1)
        self.nodes_px: Float[np.ndarray, "gh gw 2"] = corner + (k + 0.5) * self.step - 0.5
        edge, beside = self.windows(region, still, options.feather * typical, options.still_feather * typical)
        self.window = edge * beside
        self.solve(from_px, move_px, edge, options.least_window)

    def in_nodes(self, points_px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Pixels as (column, row) of the grid."""
        return (points_px - np.array(self.corner) + 0.5) / self.step - 0.5

    def windows(self, region: np.ndarray | None, still: np.ndarray | None, feather_px: float,
                still_feather_px: float) -> tuple[Float[np.ndarray, "gh gw"], Float[np.ndarray, "gh gw"]]:
        """1 inside, 0 outside the region; 1 beside, 0 on still parts; with two continuous derivatives between."""
        made = np.ones((2, *self.shape))
        if region is not None:
            made[0] = smoothstep(self.distance(region > 0) / feather_px)
        if still is not None:
            made[1] = smoothstep(self.distance(still <= 0.5) / still_feather_px)
        return made[0], made[1]

    def distance(self, mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "gh gw"]:
        """Distance to the outside of a mask at the nodes (px); beyond the picture the mask goes on as at its border."""
        height, width = mask.shape
        (x, y), (rows, columns) = self.corner, self.shape
        right, bottom = x + columns * self.step, y + rows * self.step
        cut = mask[max(y, 0):min(bottom, height), max(x, 0):min(right, width)].astype(np.uint8)
        cut = cv2.copyMakeBorder(cut, max(-y, 0), max(bottom - height, 0), max(-x, 0), max(right - width, 0),
                                 cv2.BORDER_REPLICATE)
        far = cv2.distanceTransform(cut, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) if not cut.all() else np.full(
            cut.shape, 1e6, np.float32)
        return cv2.resize(far, (columns, rows), interpolation=cv2.INTER_AREA).astype(float)

    def solve(self, from_px: Float[np.ndarray, "l 2"], move_px: Float[np.ndarray, "l 2"],
              edge: Float[np.ndarray, "gh gw"], least: float) -> None:
        """Forces at the landmarks, so that each lands, were it not for still parts beside it."""
        window = map_coordinates(edge, self.in_nodes(from_px).T[::-1], order=3, mode="nearest")
        place = self.on_disc(from_px)
        held = (np.sum(place**2, -1) < 1) & (window >= least)
        self.place = place[held]
        wanted = move_px[held] / window[held][:, None]
        matrix = greens_function(self.place, self.place)
        matrix[np.diag_indices_from(matrix)] += RIDGE
        self.force = cho_solve(cho_factor(matrix, overwrite_a=True, check_finite=False), wanted, check_finite=False) \
            if held.any() else np.zeros((0, 2))

    def on_disc(self, points_px: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Pixels in the unit disc."""
        return (points_px - self.centre) / self.radius

    def bend(self, points_px: Float[np.ndarray, "*n 2"], window: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n 2"]:
        """u at points, in px: the dense evaluation, which the grid stands for."""
        place = self.on_disc(points_px)
        moves = (np.sum(place**2, -1) < 1) & (window > 0)
        bend = np.zeros(points_px.shape)
        rounding = SINGLE * float(np.abs(self.force).sum())
        kind = np.float32 if rounding < 0.003 else np.float64  # px; single precision is twice as fast
        inner, points, force = (a.astype(kind) for a in (place[moves], self.place, self.force))
        found = np.empty(inner.shape)

        def evaluate(k: int) -> None:
            found[k:k + CACHED] = greens_function(inner[k:k + CACHED], points) @ force

        list(POOL.map(evaluate, range(0, len(inner), CACHED)))
        bend[moves] = window[moves][:, None] * found
        return bend


def greens_function(x: Float[np.ndarray, "n 2"], p: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "n m"]:
    """Boggio's function of the clamped disc; 0.5 at its middle under a load there."""
    xx, pp = np.sum(x**2, -1)[:, None], np.sum(p**2, -1)
    r2 = np.hstack([x, xx, np.ones_like(xx)]) @ np.vstack([-2 * p.T, np.ones_like(pp), pp])
    np.maximum(r2, 1e-24, out=r2)  # rounding may make it negative; r^2 ln r^2 goes to 0
    ab = (1 - xx) * (1 - pp)
    log = ab / r2
    log += 1
    np.log(log, out=log)
    log *= r2
    ab -= log
    ab *= 0.5
    return ab


def smoothstep(t: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    """0 below 0, 1 above 1, and two continuous derivatives."""
    t = np.clip(t, 0, 1)
    return t**3 * (t * (6 * t - 15) + 10)


def changing(size_wh: tuple[int, int], region: np.ndarray | None, still: np.ndarray | None) -> Bool[np.ndarray, "h w"]:
    """Pixels that may change."""
    free = np.ones((size_wh[1], size_wh[0]), bool) if region is None else region > 0
    return free if still is None else free & (still <= 0.5)


def unfolded_share(bend: Float[np.ndarray, "gh gw 2"], least: float) -> float:
    """The largest share in [0, 1] of a bend (in steps of the grid) at which no corner of a cell shrinks below `least`.

    The determinant of 1 + s grad u is 1 + s t + s^2 d with trace t and determinant d of grad u.
    """
    right, down = np.diff(bend, axis=1), np.diff(bend, axis=0)
    share = 1.0
    for a in (right[:-1], right[1:]):
        for b in (down[:, :-1], down[:, 1:]):
            t, d = a[..., 0] + b[..., 1], a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
            low, high = 0.0, share
            if (1 + high * t + high**2 * d).min() >= least:
                continue
            for _ in range(20):
                middle = (low + high) / 2
                good = (1 + middle * t + middle**2 * d).min() >= least
                low, high = (middle, high) if good else (low, middle)
            share = low
    return share


def at_nodes(filtered: Float[np.ndarray, "gh gw 2"], where: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
    """Cubic spline of node values at (column, row)."""
    at = np.stack([where[..., 1], where[..., 0]])
    return np.stack(list(POOL.map(lambda k: map_coordinates(filtered[..., k], at, order=3, mode="nearest",
                                                            prefilter=False), range(2))), -1)


def apply(picture: UInt8[np.ndarray, "h w c"], warp: Warp, options: ThinPlateOptions = THIN_PLATE) -> UInt8[
        np.ndarray, "h w c"]:
    """The bent picture. What lies outside the region, or does not move, keeps its bytes; what comes from beyond the
    picture's border is its mirror image. UsageError: a picture of another size.
    """
    if (picture.shape[1], picture.shape[0]) != warp.size_wh:
        raise UsageError("picture_size", f"The bend is for {warp.size_wh[0]}x{warp.size_wh[1]} px, the picture has "
                         f"{picture.shape[1]}x{picture.shape[0]}.", "Find it for this picture's own landmarks.")
    result = picture.copy()
    how = cv2.INTER_CUBIC if options.cubic else cv2.INTER_LANCZOS4
    for rows, columns, source in maps(warp):
        drawn = cv2.remap(picture, source[..., 0], source[..., 1], how, borderMode=cv2.BORDER_REFLECT_101)
        keep = inside(warp, rows, columns)
        np.copyto(result[rows, columns], drawn.reshape(*keep.shape, -1), where=keep[..., None])
    return result


def inside(warp: Warp, rows: slice, columns: slice) -> Bool[np.ndarray, "h w"]:
    """Pixels of a band that may change."""
    y, x = np.arange(rows.start, rows.stop), np.arange(columns.start, columns.stop)
    near = (y[:, None] - warp.centre_px[1])**2 + (x - warp.centre_px[0])**2 < warp.radius_px**2
    return near if warp.inside is None else near & warp.inside[rows, columns]


def maps(warp: Warp) -> Iterator[tuple[slice, slice, Float[np.ndarray, "h w 2"]]]:
    """Bands of the picture that move by more than 1/100 px, and where each of their pixels comes from (float32, px)."""
    (x, y), (rows, columns), step = warp.corner_xy, warp.back_px.shape[:2], warp.step_px
    moving = np.abs(warp.back_px).max(-1, initial=0) > 0.01
    if not moving.any():
        return
    first_row, last_row = np.flatnonzero(moving.any(1))[[0, -1]]
    first_column, last_column = np.flatnonzero(moving.any(0))[[0, -1]]
    left, right = max(x + (first_column - 1) * step, x, 0), min(x + (last_column + 2) * step, warp.size_wh[0])
    top, bottom = max(y + (first_row - 1) * step, y, 0), min(y + (last_row + 2) * step, warp.size_wh[1])
    right, bottom = min(right, x + columns * step), min(bottom, y + rows * step)
    if right <= left:
        return
    across = spline_matrix(columns, (np.arange(left, right) - x + 0.5) / step - 0.5)
    half = [spline_filter(warp.back_px[..., k]).astype(np.float32) @ across.T for k in range(2)]
    for start in range(top, bottom, BAND_ROWS):
        stop = min(start + BAND_ROWS, bottom)
        down = spline_matrix(rows, (np.arange(start, stop) - y + 0.5) / step - 0.5)
        source = np.stack([down @ part for part in half], -1)
        source[..., 0] += np.arange(left, right, dtype=np.float32)
        source[..., 1] += np.arange(start, stop, dtype=np.float32)[:, None]
        yield slice(start, stop), slice(left, right), source


def spline_matrix(nodes: int, at: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n nodes"]:
    """Weights of the nodes' cubic B-spline coefficients at places counted in nodes; what lies beyond them, where the
    bend is 0, counts as the last."""
    first = np.floor(at).astype(int)
    t = at - first
    weights = np.column_stack([(1 - t)**3, 3 * t**3 - 6 * t**2 + 4, 1 + 3 * t * (1 + t - t**2), t**3]) / 6
    matrix = np.zeros((len(at), nodes), np.float32)
    np.add.at(matrix, (np.arange(len(at))[:, None], np.clip(first[:, None] + np.arange(-1, 3), 0, nodes - 1)), weights)
    return matrix
