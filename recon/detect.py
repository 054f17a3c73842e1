"""Detect: the 478 points of the one face of a capture, its confidence, and the refusal when two people share the picture.

The network is looked at several times per face, on crops that are slightly moved, turned and mirrored; the mean is steadier
than one look (docs/results of the intake), and the spread between looks is part of the confidence.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8

from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.records import freeze, record
from recon.face478 import OUTER_EYE, angles_rad, facing, roll_only_rad, topology, unhidden
from recon.landmark_net import FaceBox, FaceFinder, LandmarkNet, Region, cut

MARGIN = 1.5
"""Side of the crop over the face's larger extent, as MediaPipe was trained."""

LOOKS = ((1.00, 0.00, 0.00, 0.00, False), (1.00, 0.00, 0.00, 0.00, True),
         (1.08, 0.06, 0.02, 0.00, False), (0.94, -0.06, -0.02, 0.01, True),
         (1.04, -0.10, 0.01, 0.02, False), (0.97, 0.10, 0.00, -0.02, True))
"""Crops of one face: scale, turn (rad), shift (of the side) and whether mirrored."""


@record
class DetectOptions:
    """How faces are looked at.

    looks: crops averaged per face (1 to 6). least_presence: network's probability below which there is no face.
    rival_area: a second face of more than this share of the first one's area counts as a second person.
    """

    looks: int = 4
    least_presence: float = 0.6
    rival_area: float = 0.5


@record
class Face:
    """One detected face. points_px (478,3): x right, y down, z away. spread_px (478,): sd between looks. presence in [0, 1]."""

    points_px: Float[np.ndarray, "478 3"]
    spread_px: Float[np.ndarray, "478"]
    presence: float

    def __post_init__(self) -> None:
        freeze(self, points_px=(self.points_px, float), spread_px=(self.spread_px, float))

    @property
    def height_px(self) -> float:
        """Extent of the face along its own vertical."""
        roll = roll_only_rad(self.points_px)
        along = self.points_px[:468, :2] @ np.array([-np.sin(roll), np.cos(roll)])
        return float(np.ptp(along))

    @property
    def angles_rad(self) -> Float[np.ndarray, "3"]:
        """Rough yaw, pitch, roll."""
        return angles_rad(self.points_px)

    def landmarks(self) -> Landmarks2D:
        """The points with their confidence."""
        return Landmarks2D(scheme=MEDIAPIPE478, points=self.points_px[:, :2], confidence=confidence(self))


def confidence(face: Face) -> Float[np.ndarray, "478"]:
    """How far a point can be trusted, in [0, 1]: presence x visibility x agreement between looks.

    Hidden points get 0. A point seen under the angle a is trusted with cos(a) smoothed to reach 1 at 45 degrees.
    Looks that differ by 1 % of the face's height halve the trust.
    """
    slant = np.clip(facing(face.points_px) / np.cos(np.pi / 4), 0, 1)
    agreement = 1 / (1 + (face.spread_px / (0.01 * face.height_px)) ** 2)
    return face.presence * slant * unhidden(face.points_px) * agreement


class Detector:
    """Keeps the graphs loaded; every method is a function of its arguments alone."""

    def __init__(self, options: DetectOptions = DetectOptions()) -> None:
        self.options = options
        self._net = LandmarkNet()
        self.boxes = FaceFinder()

    def look(self, picture: UInt8[np.ndarray, "h w 3"], region: Region, mirrored: bool = False,
             ) -> tuple[Float[np.ndarray, "478 3"] | None, float]:
        """The 478 points seen in one crop, in the picture's pixels, and the presence."""
        crop = cut(picture, region)
        points, presence = self._net(crop[:, ::-1] if mirrored else crop)
        if points is None:
            return None, presence
        if mirrored:
            points = points[topology().mirror]
            points[:, 0] = len(crop) - 1 - points[:, 0]
        to = region.picture_from_crop(len(crop))
        scale = region.side_px / len(crop)
        return np.column_stack([points[:, :2] @ to[:, :2].T + to[:, 2], points[:, 2] * scale]), presence

    def face_in(self, picture: UInt8[np.ndarray, "h w 3"], region: Region, looks: int | None = None) -> Face | None:
        """The face in or near a region: found once, then looked at again from its own place."""
        points, presence = self.look(picture, region)
        if points is None or presence < self.options.least_presence:
            return None
        base = region_of(points)
        seen, scores = [], []
        for scale, turn, dx, dy, mirrored in LOOKS[:looks or self.options.looks]:
            moved = Region(center_px=base.center_px + np.array([dx, dy]) * base.side_px, side_px=base.side_px * scale,
                           roll_rad=base.roll_rad + turn)
            points, presence = self.look(picture, moved, mirrored)
            scores.append(presence)
            if points is not None:
                seen.append(points)
        if not seen or np.mean(scores) < self.options.least_presence:
            return None
        stack = np.array(seen)
        return Face(points_px=stack.mean(0), spread_px=np.linalg.norm(stack.std(0)[:, :2], axis=1),
                    presence=float(np.mean(scores)))

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
            other = self.face_in(picture, region_of_box(box), looks=1)
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
