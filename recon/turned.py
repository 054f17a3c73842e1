"""Turned: a profile photo seen as if the head looked towards the camera, to find in it what the landmark network knows.

The network was taught faces that look at it: at 60 degrees it says 54, at 90 nothing. But a head that is roughly laid
on the photo can be turned back with the photo as its skin; its far half wears the near half's mirror image. There the
network is at home, and where it sees an eye's corner or a nostril on that skin, there it is in the photo. A head laid
on wrongly only wears the face in the wrong place; that is what the next round of the fit corrects.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from core.camera import Camera
from core.face_model import FaceModel
from core.fragments import Fragments, Rasterize
from core.mesh import Mesh
from core.records import record
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from recon.contour import Contour
from recon.detect import Detector
from recon.face478 import IRIS_ROWS, facing, topology, unhidden
from recon.landmark_net import Region, patch_around

SIDE_PX, WIDE_MM, AWAY_MM = 224, 240.0, 960.0
"""The turned view: its side, what it spans at the head, and how far its camera stands."""
TURN_RAD = np.radians(45.0)
"""How far the head is still turned away in it: less smears the front, of which a profile shows little."""
LOOKS = ((1.0, 0.0, False), (1.0, 0.0, True), (0.93, 0.05, False), (1.07, -0.05, True))
"""Size and turn (rad) of the crops that are looked at, and whether mirrored."""
MIDLINE_MM = 3.0
GRAZING = 0.1
"""A landmark counts from this cosine to the photo's camera on, fully from 0.3 more."""
MIRROR = np.array([-1.0, 1.0, 1.0])


@record
class Seen:
    """Landmarks found on the turned head. rows (n,): which; photo_px (n,2): where they are in the photo; trust (n,);
    spread_mm (n,): how much the looks differ; presence: the network's own opinion that it saw a face."""

    rows: Int[np.ndarray, "n"]
    photo_px: Float[np.ndarray, "n 2"]
    trust: Float[np.ndarray, "n"]
    spread_mm: Float[np.ndarray, "n"]
    presence: float


def turned_camera(yaw_rad: float, middle_mm: Float[np.ndarray, "3"]) -> Camera:
    """Looks at the face's middle, the head turned by `yaw_rad`."""
    focal, half = SIDE_PX * AWAY_MM / WIDE_MM, SIDE_PX / 2 - 0.5
    R = OPENCV_FROM_HEAD @ head_rotation(yaw_rad, 0.0, 0.0)
    return Camera(K_px=np.array([[focal, 0, half], [0, focal, half], [0, 0, 1.0]]), size_wh=(SIDE_PX, SIDE_PX),
                  cam_from_head=rigid(R, np.array([0.0, 0.0, AWAY_MM]) - R @ middle_mm))


def worn(mesh: Mesh, eyes: Bool[np.ndarray, "f"], photo: Camera, contour: Contour, drawn: Fragments,
         side: int) -> tuple[Float[np.ndarray, "s t 2"], Bool[np.ndarray, "s t"]]:
    """Where in the photo each pixel of the turned view takes its colour, and whether it is a mirror image.

    side: 1 when the photo shows the patient's right side, else -1. What lies before the background in the photo takes
    the nearest colour of the person.
    """
    at = drawn.interpolate(mesh.vertices_mm, mesh.faces).astype(float)
    normal = drawn.interpolate(mesh.vertex_normals(), mesh.faces).astype(float)

    def cosine(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        way = photo.position_mm - points
        size = np.linalg.norm(way, axis=-1) * np.linalg.norm(normals, axis=-1)
        out: np.ndarray = (way * normals).sum(-1) / np.maximum(size, 1e-9)
        return out

    own, other = cosine(at, normal), cosine(at * MIRROR, normal * MIRROR)
    near = at[..., 0] * side < MIDLINE_MM
    mirrored = (other > own) & ~(near & ((own > -GRAZING) | eyes[drawn.face]))
    px = np.nan_to_num(photo.px_from_points(np.where(mirrored[..., None], at * MIRROR, at)))
    height, width = contour.inside.shape
    x, y = np.moveaxis(np.clip(np.rint(px).astype(int), 0, [width - 1, height - 1]), 2, 0)
    nearest = contour.nearest_inside[:, y, x]
    return np.where(contour.inside[y, x][..., None], px, np.stack([nearest[1], nearest[0]], -1)), mirrored


def look_turned(model: FaceModel, mesh: Mesh, photo: Camera, picture: UInt8[np.ndarray, "h w 3"], contour: Contour,
                side: int, detector: Detector, rasterize: Rasterize) -> Seen | None:
    """The near side's landmarks, seen on the turned head; None where the network sees no face."""
    pins = mesh.points(model.anatomy.pins478)
    camera = turned_camera(side * TURN_RAD, np.array([0.0, pins[[168, 2], 1].mean(), 0.0]))
    drawn = rasterize(mesh, camera)
    eyes = np.max([model.anatomy.region(f"eye_{s}")[mesh.faces] for s in "lr"], axis=0).max(1) > 0.5
    from_px, mirrored = worn(mesh, eyes, photo, contour, drawn, side)
    shown = cv2.remap(picture, from_px.astype(np.float32), None, cv2.INTER_LINEAR)
    shown[~drawn.covered] = 128
    found, presence = looked(shown, detector)
    if len(found) < 2:
        return None
    points = found.mean(0)
    at = np.clip(np.rint(points[:, :2]).astype(int), 0, SIDE_PX - 1)
    where = cv2.remap(from_px.astype(np.float32), points[:, :2].astype(np.float32)[:, None], None,
                      cv2.INTER_LINEAR)[:, 0].astype(float)
    seen = drawn.covered[at[:, 1], at[:, 0]] & ~mirrored[at[:, 1], at[:, 0]] & (facing(points) > 0.15) & (
        unhidden(points) > 0)
    seen[topology().outline] = seen[IRIS_ROWS] = False
    trust = np.clip((facing(in_pixels(pins, photo)) - GRAZING) / 0.3, 0, 1) * seen
    rows = np.flatnonzero(trust > 0.02)
    spread = np.linalg.norm(found.std(0)[:, :2], axis=1) * WIDE_MM / SIDE_PX
    return Seen(rows=rows, photo_px=where[rows], trust=trust[rows], spread_mm=spread[rows], presence=presence)


def looked(shown: UInt8[np.ndarray, "s s 3"], detector: Detector) -> tuple[Float[np.ndarray, "k 478 3"], float]:
    """The looks that saw a face, and the mean presence of all."""
    found, scores = [], []
    for size, turn, mirror in LOOKS:
        region = Region(center_px=np.full(2, SIDE_PX / 2 - 0.5), side_px=SIDE_PX * size, roll_rad=turn)
        points, presence = detector.look(patch_around(shown, region), region, mirror)
        scores.append(presence)
        if points is not None:
            found.append(points)
    return np.array(found, float).reshape(-1, 478, 3), float(np.mean(scores))


def in_pixels(points_mm: Float[np.ndarray, "n 3"], camera: Camera) -> Float[np.ndarray, "n 3"]:
    """Points as the network gives them: px right, px down, depth in pixels at the head's own distance."""
    depth = camera.cam_from_points(points_mm)[:, 2]
    middle = camera.cam_from_head[2, 3]
    return np.column_stack([camera.px_from_points(points_mm), (depth - middle) * camera.K_px[0, 0] / middle])
