"""Tracks: points of the skin followed from frame to frame by optical flow, for cameras and depth that landmarks miss.

Landmark networks put the points where an average face has them (measured: noses 3 to 5 mm too flat at 20 degrees of
yaw); the skin's own texture does not. Corners inside the face are followed between neighbouring frames in the order of
the head's turn (pyramidal Lucas-Kanade, checked forwards and backwards). Eyes and mouth, which move, are left out.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from core.records import freeze, record

OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)
MOVING = ((33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
          (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466),
          (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185))


@record
class TrackOptions:
    """How the skin is followed.

    corners: followed at once at most. spacing: between new ones, as a share of the picture's width. check_px: forwards
    and backwards must agree. least_views: shorter tracks are dropped. largest_step_rad: frames further apart in yaw are
    not linked (flow would fail).
    """

    corners: int = 350
    spacing: float = 0.012
    check_px: float = 0.5
    least_views: int = 4
    largest_step_rad: float = 0.20


DEFAULTS = TrackOptions()
EDGE_PX = 8
"""Beside the places looked at, so that corners are judged as in the whole picture."""


@record
class Tracks:
    """M sightings: view (M,), point (M,) numbers from 0, px (M,2)."""

    view: Int[np.ndarray, "m"]
    point: Int[np.ndarray, "m"]
    px: Float[np.ndarray, "m 2"]

    def __post_init__(self) -> None:
        freeze(self, view=(self.view, np.int64), point=(self.point, np.int64), px=(self.px, float))

    @property
    def count(self) -> int:
        """Number of points."""
        return int(self.point.max()) + 1 if len(self.point) else 0


def skin_mask(points_px: Float[np.ndarray, "478 2"], shape: tuple[int, int]) -> UInt8[np.ndarray, "h w"]:
    """255 on the still skin inside the landmarks, 0 on eyes, mouth and outside; a margin off the outline."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [cv2.convexHull(points_px[list(OVAL)].astype(np.int32))], 255)
    for loop in MOVING:
        cv2.fillPoly(mask, [cv2.convexHull(points_px[list(loop)].astype(np.int32))], 0)
    margin = max(3, int(0.02 * np.ptp(points_px[:, 1])))
    return cv2.erode(mask, np.ones((margin, margin), np.uint8), borderValue=0)


def flow(before: UInt8[np.ndarray, "h w"], after: UInt8[np.ndarray, "h w"], points: Float[np.ndarray, "n 2"],
         guess: Float[np.ndarray, "n 2"], check_px: float) -> tuple[Float[np.ndarray, "n 2"], Bool[np.ndarray, "n"]]:
    """Where points went, and which came back to their place when followed backwards."""
    settings = {"winSize": (21, 21), "maxLevel": 2, "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
                "criteria": (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)}
    start = points.astype(np.float32).reshape(-1, 1, 2)
    first = guess.astype(np.float32).reshape(-1, 1, 2)
    there, ok, _ = cv2.calcOpticalFlowPyrLK(before, after, start, first, **settings)
    back, ok_back, _ = cv2.calcOpticalFlowPyrLK(after, before, there, start.copy(), **settings)
    good = (ok.ravel() == 1) & (ok_back.ravel() == 1) & (np.linalg.norm(back - start, axis=2).ravel() < check_px)
    return there.reshape(-1, 2).astype(float), good


def landmark_motion(points: Float[np.ndarray, "n 2"], before: Float[np.ndarray, "478 2"],
                    after: Float[np.ndarray, "478 2"]) -> Float[np.ndarray, "n 2"]:
    """First guess of where points go: with the mean motion of their nearest landmarks."""
    near = np.argsort(np.linalg.norm(points[:, None] - before[None, :468], axis=2), axis=1)[:, :6]
    return points + (after - before)[near].mean(1)


def corners(grey: UInt8[np.ndarray, "h w"], room: UInt8[np.ndarray, "h w"], most: int, spacing_px: float,
            ) -> Float[np.ndarray, "n 2"]:
    """Corners within `room` (not 0), so far apart; looked for around it alone."""
    if most < 1 or not room.any():
        return np.zeros((0, 2))
    x, y, width, height = cv2.boundingRect(room)
    part = np.s_[max(y - EDGE_PX, 0):y + height + EDGE_PX, max(x - EDGE_PX, 0):x + width + EDGE_PX]
    found = cv2.goodFeaturesToTrack(grey[part], most, 0.003, spacing_px, mask=room[part])
    if found is None:
        return np.zeros((0, 2))
    found += np.array([part[1].start, part[0].start], np.float32)
    return cv2.cornerSubPix(grey, found, (3, 3), (-1, -1), (cv2.TERM_CRITERIA_COUNT, 10, 0.01)).reshape(-1, 2)


def follow(pictures: Callable[[int], UInt8[np.ndarray, "h w 3"]], landmarks_px: Float[np.ndarray, "n 478 2"],
           yaw_rad: Float[np.ndarray, "n"], groups: Sequence[int], options: TrackOptions = DEFAULTS) -> Tracks:
    """Follow the skin through the views in the order of their yaw. `groups`: views of one lens share a number."""
    order = np.argsort(yaw_rad)
    views, names, places = [], [], []
    alive, alive_names, born = np.zeros((0, 2)), np.zeros(0, int), 0
    previous: tuple[int, np.ndarray] | None = None
    equal = cv2.createCLAHE(clipLimit=3.0, tileGridSize=(8, 8))
    for view in order:
        grey = equal.apply(cv2.cvtColor(pictures(int(view)), cv2.COLOR_RGB2GRAY))
        mask = skin_mask(landmarks_px[view], grey.shape)
        linked = (previous is not None and groups[previous[0]] == groups[view] and previous[1].shape == grey.shape
                  and yaw_rad[view] - yaw_rad[previous[0]] < options.largest_step_rad)
        if linked and previous is not None and len(alive):
            guess = landmark_motion(alive, landmarks_px[previous[0]], landmarks_px[view])
            alive, good = flow(previous[1], grey, alive, guess, options.check_px)
            xy = np.clip(np.rint(alive).astype(int), 0, [grey.shape[1] - 1, grey.shape[0] - 1])
            good &= mask[xy[:, 1], xy[:, 0]] > 0
            alive, alive_names = alive[good], alive_names[good]
        else:
            alive, alive_names = alive[:0], alive_names[:0]
        spacing = max(3.0, options.spacing * grey.shape[1])
        room = mask.copy()
        for x, y in alive:
            cv2.circle(room, (round(x), round(y)), int(spacing), 0, -1)
        fresh = corners(grey, room, options.corners - len(alive), spacing)
        if len(fresh):
            alive = np.concatenate([alive, fresh])
            alive_names = np.concatenate([alive_names, born + np.arange(len(fresh))])
            born += len(fresh)
        views.append(np.full(len(alive), view))
        names.append(alive_names.copy())
        places.append(alive.copy())
        previous = (int(view), grey)
    return long_enough(np.concatenate(views), np.concatenate(names), np.concatenate(places), options.least_views)


def long_enough(view: np.ndarray, name: np.ndarray, px: np.ndarray, least_views: int) -> Tracks:
    """Only tracks seen in enough views, numbered from 0."""
    length = np.bincount(name) if len(name) else np.zeros(0, int)
    keep = length[name] >= least_views if len(name) else np.zeros(0, bool)
    numbers = np.cumsum(length >= least_views) - 1
    return Tracks(view=view[keep], point=numbers[name[keep]] if keep.any() else name[keep], px=px[keep])
