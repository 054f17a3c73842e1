"""The 478-point face as a shape: mirror image, triangles, rough pose and expression, all from one detection.

Points are (478, 3) in px, camera axes: x right, y down, z away from the camera (MediaPipe's weak-perspective depth).
"""

import functools
import json
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Int

from core.landmarks import COUNT, MEDIAPIPE478
from core.records import record
from core.transforms import head_angles_rad, rigid

TABLE = Path(__file__).parents[1] / "data" / "landmarks" / "mediapipe478.json"

# Patient's right / left, by MediaPipe number (the right eye is on the picture's left).
OUTER_EYE = (33, 263)
EYE_WIDTH = ((33, 133), (263, 362))
EYE_HEIGHTS = (((160, 144), (158, 153)), ((387, 373), (385, 380)))
BROW_OVER_EYE = ((105, 159), (334, 386))
IRIS_WIDTH = ((469, 471), (474, 476))
IRISES = ((*IRIS_WIDTH[0], 468, *EYE_WIDTH[0]), (*IRIS_WIDTH[1], 473, *EYE_WIDTH[1][::-1]))
"""Right and left: both ends of the iris's horizontal diameter, its centre, both corners of the eye."""
IRIS_ROWS = slice(468, 478)
INNER_LIPS = (13, 14)
MOUTH_CORNERS = (61, 291)
FOREHEAD = (10, 151, 9)
UNDER_NOSE = (2, 164)
PITCH_OF_FACE_PLANE_RAD = 0.045
"""How far the line forehead - subnasale of MediaPipe's mesh leans in a level head; median of the rendered captures."""


@record
class Topology:
    """Facts about the scheme.

    mirror: the number of each point's mirror image. left: points on the patient's left, without the midline. outline:
    points of the face's oval. triangles: wound so that normals leave the face.
    """

    mirror: Int[np.ndarray, "478"]
    left: Int[np.ndarray, "p"]
    outline: Int[np.ndarray, "o"]
    triangles: Int[np.ndarray, "t 3"]


@functools.cache
def topology() -> Topology:
    """The table; ValueError when its counts are wrong or the mirror is no mirror."""
    table = json.loads(TABLE.read_text("utf-8"))
    mirror, triangles = np.array(table["mirror"]), np.array(table["triangles"])
    if len(mirror) != COUNT[MEDIAPIPE478] or not np.array_equal(mirror[mirror], np.arange(len(mirror))):
        raise ValueError(f"{TABLE.name}: the mirror does not map 478 points onto themselves")
    if triangles.shape[1] != 3 or triangles.max() >= len(mirror):
        raise ValueError(f"{TABLE.name}: a triangle names a point that is not there")
    return Topology(mirror=mirror, left=np.array(table["left"]), outline=np.array(table["outline"]),
                    triangles=triangles)


def cam_from_head_rotation(points_px: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation of the head in camera axes, from the mesh's own symmetry: no model and no focal length are needed.

    The patient's left is the mean direction across all mirrored pairs; up is from subnasale to the forehead,
    which the jaw does not move.
    """
    t = topology()
    left = unit((points_px[t.left] - points_px[t.mirror[t.left]]).sum(0))
    up = points_px[list(FOREHEAD)].mean(0) - points_px[list(UNDER_NOSE)].mean(0)
    up = unit(up - (up @ left) * left)
    axes = np.stack([left, up, np.cross(left, up)], 1)
    c, s = np.cos(PITCH_OF_FACE_PLANE_RAD), np.sin(PITCH_OF_FACE_PLANE_RAD)
    return axes @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def unit(v: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """The direction of a vector."""
    return v / np.linalg.norm(v)


def angles_rad(points_px: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "3"]:
    """Rough yaw (positive: to the patient's left), pitch (positive: nodding down) and roll of the head."""
    return head_angles_rad(rigid(cam_from_head_rotation(points_px), np.zeros(3)))


def roll_only_rad(points_px: Float[np.ndarray, "478 d"]) -> float:
    """Angle of the outer eye corners in the picture."""
    across = points_px[OUTER_EYE[1], :2] - points_px[OUTER_EYE[0], :2]
    return float(np.arctan2(across[1], across[0]))


def face_height_px(points_px: Float[np.ndarray, "478 d"]) -> float:
    """Extent of the face along its own vertical."""
    roll = roll_only_rad(points_px)
    along = points_px[:468, :2] @ np.array([-np.sin(roll), np.cos(roll)])
    return float(np.ptp(along))


@record
class Expression:
    """Pose-free measures of a face's expression, as fractions of the face's height (eyes to mouth), `eye` of its width.

    mouth: gap between the inner lips. eye: openness of the better visible eye. brow: height of the brow over that eye.
    smile: width of the mouth.
    """

    mouth: float
    eye: float
    brow: float
    smile: float


def expression(points_px: Float[np.ndarray, "478 3"]) -> Expression:
    """Measure the expression in space, so that turning the head does not change it (to first order)."""
    height = distance(points_px[list(OUTER_EYE)].mean(0), points_px[list(MOUTH_CORNERS)].mean(0))
    side = 0 if angles_rad(points_px)[0] > 0 else 1  # the face turned to the left shows the patient's right eye
    width = distance(*points_px[list(EYE_WIDTH[side])])
    open_ = np.mean([distance(*points_px[list(pair)]) for pair in EYE_HEIGHTS[side]])
    return Expression(mouth=distance(*points_px[list(INNER_LIPS)]) / height, eye=float(open_ / width),
                      brow=distance(*points_px[list(BROW_OVER_EYE[side])]) / height,
                      smile=distance(*points_px[list(MOUTH_CORNERS)]) / height)


def distance(a: Float[np.ndarray, "3"], b: Float[np.ndarray, "3"]) -> float:
    """Length of a line."""
    return float(np.linalg.norm(a - b))


def facing(points_px: Float[np.ndarray, "478 3"]) -> Float[np.ndarray, "478"]:
    """Cosine between each point's surface normal and the way to the camera: 1 face on, 0 edge on, < 0 facing away.

    The iris points, which lie on no triangle, take the mean of their eye's corners.
    """
    t = topology().triangles
    a, b, c = (points_px[t[:, k]] for k in range(3))
    area_normal = np.cross(b - a, c - a)
    corners, count = t.T.ravel(), len(points_px)
    normal = np.stack([np.bincount(corners, np.tile(area_normal[:, k], 3), count) for k in range(3)], 1)
    cosine = -normal[:, 2] / np.maximum(np.linalg.norm(normal, axis=1), 1e-9)  # a point without area has no normal
    for rows, (outer, inner) in ((slice(468, 473), EYE_WIDTH[0]), (slice(473, 478), EYE_WIDTH[1])):
        cosine[rows] = (cosine[outer] + cosine[inner]) / 2
    return cosine


def unhidden(points_px: Float[np.ndarray, "478 3"], grid_px: int = 160) -> Float[np.ndarray, "478"]:
    """1 where no other part of the face lies in front of a point (the nose in front of the far cheek), else 0.

    Painter's algorithm: triangles are drawn far to near on a small grid with their depth, then each point is compared.
    """
    low = points_px[:, :2].min(0)
    scale = (grid_px - 1) / np.ptp(points_px[:, :2], axis=0).max()
    grid = (points_px[:, :2] - low) * scale
    t = topology().triangles
    depth = points_px[t, 2].mean(1)
    picture = np.full((grid_px, grid_px), np.inf, np.float32)
    order = np.argsort(-depth)
    for corners, far in zip(np.rint(grid[t]).astype(np.int32)[order], depth[order].tolist(), strict=True):
        cv2.fillConvexPoly(picture, corners, far)
    x, y = np.clip(np.rint(grid).astype(int), 0, grid_px - 1).T
    thick = 0.06 * np.ptp(points_px[:, 1])  # triangles are up to this deep; nearer neighbours do not hide a point
    return (points_px[:, 2] - picture[y, x] < thick).astype(float)
