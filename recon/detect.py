"""Detect: the 478 points of a capture's one face, how far each can be trusted, and whether a second person is there.

The network looks at each face several times, on crops that are slightly moved, turned and mirrored. On three rendered
captures (45 frames each, 377 px faces, against the points' own places on the true surface) the median error within 10
degrees of yaw was 1.38 px with one look, 1.16 with two (one mirrored), 0.97 with four and 0.92 with six; whole-frame
MediaPipe had 1.50 (static) and 1.45 (tracking). Beyond 25 degrees the points slide over the surface and looks no longer
help: 4.1, 6.7 and 9.3 px at 25 to 40, 40 to 55 and over 55 degrees. `expected_error` carries that to whoever fits.
"""

import functools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
from jaxtyping import Float, UInt8

from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.records import freeze, record
from recon.face478 import OUTER_EYE, angles_rad, face_height_px, facing, roll_only_rad, topology, unhidden
from recon.landmark_net import FaceBox, FaceFinder, LandmarkNet, Patch, Region, cut, patch_around

MARGIN = 1.5
"""Side of the crop over the face's larger extent, as MediaPipe was trained."""

LOOKS = ((1.00, 0.00, 0.00, 0.00, False), (1.00, 0.00, 0.00, 0.00, True),
         (1.08, 0.06, 0.02, 0.00, False), (0.94, -0.06, -0.02, 0.01, True),
         (1.04, -0.10, 0.01, 0.02, False), (0.97, 0.10, 0.00, -0.02, True))
"""Crops of one face: scale, turn (rad), shift (of the side) and whether mirrored."""


AT_ONCE = 2
"""Looks that are taken side by side, each by a network of its own; which one takes it changes nothing."""


@record
class DetectOptions:
    """How faces are looked at.

    looks: crops averaged per face (2 to 6). least_presence: network's probability below which there is no face.
    most_spread: looks that differ by more than this share of the face's height (median over the points) saw no face:
    real ones stay under 0.018, ears and letters that fool the network begin at 0.032. least_height_px: smaller faces
    are not used. rival_area: a second face of more than this share of the first one's area counts as a second person.
    """

    looks: int = 4
    least_presence: float = 0.6
    most_spread: float = 0.025
    least_height_px: float = 48.0
    rival_area: float = 0.5


DEFAULTS = DetectOptions()


@record
class Face:
    """One detected face. points_px: x right, y down, z away. spread_px: sd between looks. presence in [0, 1]."""

    points_px: Float[np.ndarray, "478 3"]
    spread_px: Float[np.ndarray, "478"]
    presence: float

    def __post_init__(self) -> None:
        freeze(self, points_px=(self.points_px, float), spread_px=(self.spread_px, float))

    @property
    def height_px(self) -> float:
        """Extent of the face along its own vertical."""
        return face_height_px(self.points_px)

    @property
    def angles_rad(self) -> Float[np.ndarray, "3"]:
        """Rough yaw, pitch, roll."""
        return angles_rad(self.points_px)

    def landmarks(self) -> Landmarks2D:
        """The points with their confidence."""
        return self._landmarks

    @functools.cached_property
    def _landmarks(self) -> Landmarks2D:
        return Landmarks2D(scheme=MEDIAPIPE478, points=self.points_px[:, :2], confidence=confidence(self))


def expected_error(face: Face) -> Float[np.ndarray, "478"]:
    """Expected error of each point as a share of the face's height (1 sd).

    Fitted to the medians measured on the rendered captures (module header), in % of the height, yaw in degrees:
    0.25 + 0.00065 yaw^2, 2.2 times that for the outline, which slides as the head turns, plus up to 0.7 where the
    surface is seen edge on; and the spread between the looks, which tells what is hard about this very picture.
    """
    yaw_deg = np.degrees(face.angles_rad[0])
    turned = np.full(len(face.points_px), 0.25 + 0.00065 * yaw_deg**2)
    turned[topology().outline] *= 2.2
    edge = 0.7 * np.exp(-np.clip(facing(face.points_px), 0, 1) / 0.15)
    return np.hypot(0.01 * (turned + edge), face.spread_px / face.height_px)


def confidence(face: Face) -> Float[np.ndarray, "478"]:
    """How far a point can be trusted, in [0, 1]: presence x visibility / (1 + (expected error / 1 % of the height)^2).

    Points that face away or lie behind the nose get 0; an expected error of 1 % of the face's height gives one half.
    """
    visible = np.clip(facing(face.points_px) / 0.1, 0, 1) * unhidden(face.points_px)
    return face.presence * visible / (1 + (expected_error(face) / 0.01) ** 2)


class Detector:
    """Keeps the graphs loaded; every method is a function of its arguments alone."""

    def __init__(self, options: DetectOptions = DEFAULTS) -> None:
        self.options = options
        self._nets: SimpleQueue[LandmarkNet] = SimpleQueue()
        for _ in range(AT_ONCE):
            self._nets.put(LandmarkNet())
        self._pool = ThreadPoolExecutor(AT_ONCE)
        self.boxes = FaceFinder()

    def look(self, patch: Patch, region: Region, mirrored: bool = False,
             ) -> tuple[Float[np.ndarray, "478 3"] | None, float]:
        """The 478 points seen in one crop and the presence; points and region are in the picture's pixels."""
        region = patch.region(region)
        crop = cut(patch, region)
        net = self._nets.get()
        try:
            points, presence = net(crop[:, ::-1] if mirrored else crop)
        finally:
            self._nets.put(net)
        if points is None:
            return None, presence
        if mirrored:
            points = points[topology().mirror]
            points[:, 0] = len(crop) - 1 - points[:, 0]
        to = region.picture_from_crop(len(crop))
        scale = region.side_px / len(crop) * patch.factor
        xy = patch.to_picture(points[:, :2] @ to[:, :2].T + to[:, 2])
        return np.column_stack([xy, points[:, 2] * scale]), presence

    def face_in(self, picture: UInt8[np.ndarray, "h w 3"], region: Region, looks: int | None = None) -> Face | None:
        """The face in or near a region: found once, then looked at again from its own place."""
        patch = patch_around(picture, region)
        points, presence = self.look(patch, region)
        if points is None or presence < self.options.least_presence:
            return None
        base = region_of(points)

        def again(scale: float, turn: float, dx: float, dy: float, mirrored: bool) -> tuple[np.ndarray | None, float]:
            moved = Region(center_px=base.center_px + np.array([dx, dy]) * base.side_px, side_px=base.side_px * scale,
                           roll_rad=base.roll_rad + turn)
            return self.look(patch, moved, mirrored)

        found = list(self._pool.map(again, *zip(*LOOKS[:looks or self.options.looks], strict=True)))
        seen = np.array([points for points, _ in found if points is not None])
        if len(seen) < 2:
            return None
        face = Face(points_px=seen.mean(0), spread_px=np.linalg.norm(seen.std(0)[:, :2], axis=1),
                    presence=float(np.mean([presence for _, presence in found])))
        return face if self.believable(face) else None

    def believable(self, face: Face) -> bool:
        """False for what only looked like a face: too small, improbable, or seen differently at every look."""
        o = self.options
        return bool(face.presence >= o.least_presence and face.height_px >= o.least_height_px
                    and np.median(face.spread_px) <= o.most_spread * face.height_px)

    def follow(self, picture: UInt8[np.ndarray, "h w 3"], last: Face | None, boxes: Sequence[FaceBox] | None = None,
               ) -> Face | None:
        """The face of the next picture: near its last place, else the nearest (or else the largest) face found."""
        if last is not None:
            face = self.face_in(picture, region_of(last.points_px))
            if face is not None and close(face, last):
                return face
        for box in sorted(self.boxes(picture) if boxes is None else boxes, key=lambda b: order(b, last)):
            face = self.face_in(picture, region_of_box(box))
            if face is not None:
                return face
        return None

    def has_rival(self, picture: UInt8[np.ndarray, "h w 3"], face: Face, boxes: Sequence[FaceBox]) -> bool:
        """True when another face in the picture is nearly as large."""
        center, size = face.points_px[:468, :2].mean(0), face.height_px
        for box in boxes:
            if np.linalg.norm(box.center_px - center) < 0.6 * max(size, box.side_px):
                continue
            other = self.face_in(picture, region_of_box(box), looks=2)
            if other is None or np.linalg.norm(other.points_px[:468, :2].mean(0) - center) < 0.5 * size:
                continue
            if other.height_px**2 > self.options.rival_area * size**2:
                return True
        return False

    def turns_to_upright(self, pictures: Sequence[UInt8[np.ndarray, "..."]]) -> int:
        """Quarter turns (counter-clockwise, as np.rot90) that make the faces of a set stand upright; 0 when in doubt.

        0 is kept when it finds a face in more than half of the pictures; else the turn that finds clearly more wins.
        """
        score = []
        for turns in range(4):
            score.append(sum(self.upright_score(np.ascontiguousarray(np.rot90(p, turns))) for p in pictures))
            if turns == 0 and score[0] > 0.5 * len(pictures):
                return 0
        best = int(np.argmax(score))
        return best if score[best] > 1.5 * score[0] else 0

    def upright_score(self, picture: UInt8[np.ndarray, "h w 3"]) -> float:
        """1 when the picture's largest face stands upright (within 45 degrees), 0 when it does not or there is none."""
        face = self.follow(picture, None)
        return float(face is not None and abs(roll_only_rad(face.points_px)) < np.pi / 4)


def region_of(points_px: Float[np.ndarray, "478 3"]) -> Region:
    """The crop around known points: the eyes level, the face in the middle."""
    roll = roll_only_rad(points_px)
    c, s = np.cos(roll), np.sin(roll)
    to_level = np.array([[c, s], [-s, c]])
    level = points_px[:468, :2] @ to_level.T
    low, high = level.min(0), level.max(0)
    return Region(center_px=to_level.T @ ((low + high) / 2), side_px=MARGIN * float((high - low).max()), roll_rad=roll)


def region_of_box(box: FaceBox) -> Region:
    """The crop around a face box."""
    return Region(center_px=box.center_px, side_px=MARGIN * box.side_px, roll_rad=box.roll_rad)


def order(box: FaceBox, last: Face | None) -> float:
    """Which box to try first: the one nearest to the last face, or the largest."""
    if last is None:
        return -box.side_px
    return float(np.linalg.norm(box.center_px - last.points_px[:468, :2].mean(0)))


def close(face: Face, last: Face) -> bool:
    """True when a face may be the last one, a moment later: it moved by less than half its size."""
    moved = np.linalg.norm(face.points_px[list(OUTER_EYE), :2].mean(0) - last.points_px[list(OUTER_EYE), :2].mean(0))
    return bool(moved < 0.5 * last.height_px and 0.67 < face.height_px / last.height_px < 1.5)
