"""The standard clinical views (clinical.md section 4, photo protocol) as cameras.

Letters: azimuth a of the camera about the head's vertical axis, positive towards the patient's left; elevation e above
the Frankfort horizontal. The camera stands 1.2 m away, which fixes the perspective; the focal length, the same in all
views, is what frames the whole head, as if the picture of a 100 mm lens (full frame) were cropped to it.
"left" always names the side of the patient that is shown.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.camera import Camera
from core.mesh import Mesh
from core.records import record
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid

DISTANCE_MM = 1200.0
"""Camera to face: within the 1 to 1.5 m of the protocol."""

BOTTOM_MM, TOP_MM = -120.0, 60.0
"""Chin and hairline from the line of the eye corners, where no anatomy tells: adult gnathion and trichion."""

MARGIN_MM = 14.0
"""Air around the head's outline, and below the chin."""

NOSE_TO_FACE_MM = 47.0
"""How far behind the nose tip the views from below and above aim: the middle of the face's surface."""


@record
class StandardView:
    """Where the camera stands: azimuth towards the patient's left and elevation, in degrees; label for people."""

    label: str
    azimuth_deg: float
    elevation_deg: float


VIEWS: dict[str, StandardView] = {
    "frontal": StandardView(label="Frontal", azimuth_deg=0.0, elevation_deg=0.0),
    "left_oblique": StandardView(label="Left oblique", azimuth_deg=45.0, elevation_deg=0.0),
    "left_lateral": StandardView(label="Left lateral", azimuth_deg=90.0, elevation_deg=0.0),
    "right_oblique": StandardView(label="Right oblique", azimuth_deg=-45.0, elevation_deg=0.0),
    "right_lateral": StandardView(label="Right lateral", azimuth_deg=-90.0, elevation_deg=0.0),
    "basal": StandardView(label="Basal", azimuth_deg=0.0, elevation_deg=-60.0),
    "cephalic": StandardView(label="Cephalic", azimuth_deg=0.0, elevation_deg=55.0),
}
"""In the order of a contact sheet."""


@record
class Framing:
    """What a picture shows: the point in its middle (head frame), the height and width of the head there (mm), and the
    middle of the face, at which the tilted views aim."""

    centre_mm: Float[np.ndarray, "3"]
    height_mm: float
    width_mm: float
    face_mm: Float[np.ndarray, "3"]


def framing(mesh: Mesh, anatomy: Anatomy | None = None) -> Framing:
    """The whole head above the chin, in one scale for all views: crown, occiput and nose tip keep a margin.

    The chin and the hairline are the anatomy's pins when it has them.
    """
    chin, hairline = BOTTOM_MM, TOP_MM
    if anatomy is not None and {"tr", "me"} <= set(anatomy.pin_names):
        hairline, chin = (float(mesh.points(anatomy.pin(name))[0, 1]) for name in ("tr", "me"))
    points = mesh.vertices_mm[mesh.vertices_mm[:, 1] > chin]
    if len(points) < 3 or chin >= hairline:  # not a head in the head frame: show all of it
        points = mesh.vertices_mm
        chin, hairline = float(points[:, 1].min()), float(points[:, 1].max())
    low, high = points.min(0), points.max(0)
    centre = np.array([0.0, (chin + high[1]) / 2, (low[2] + high[2]) / 2])
    halves = np.array([half_size(points - centre, float(np.radians(v.azimuth_deg))) for v in VIEWS.values()
                       if v.elevation_deg == 0])
    width, height = 2 * (halves.max(0) + MARGIN_MM)
    return Framing(centre_mm=centre, height_mm=float(height), width_mm=float(width),
                   face_mm=np.array([0.0, (chin + hairline) / 2, high[2] - NOSE_TO_FACE_MM]))


def half_size(points_mm: Float[np.ndarray, "n 3"], azimuth_rad: float) -> Float[np.ndarray, "2"]:
    """How far points reach sideways and up or down from the middle of a level view, in mm at the middle's distance."""
    across = np.array([np.cos(azimuth_rad), 0, -np.sin(azimuth_rad)])
    towards = np.array([np.sin(azimuth_rad), 0, np.cos(azimuth_rad)])
    enlarged = DISTANCE_MM / np.maximum(DISTANCE_MM - points_mm @ towards, 1)
    return np.array([np.abs(points_mm @ across * enlarged).max(), np.abs(points_mm[:, 1] * enlarged).max()])


def standing(azimuth_rad: float, elevation_rad: float, frame: Framing, size_wh: tuple[int, int],
             distance_mm: float = DISTANCE_MM) -> Camera:
    """A camera on a sphere about the framed point, upright, showing at least the frame's height and width."""
    width, height = size_wh
    focal = distance_mm * min(height / frame.height_mm, width / frame.width_mm)
    K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1.0]])
    seen = head_rotation(0.0, elevation_rad, 0.0) @ head_rotation(-azimuth_rad, 0.0, 0.0)
    rotation = OPENCV_FROM_HEAD @ seen
    return Camera(K_px=K, size_wh=size_wh,
                  cam_from_head=rigid(rotation, np.array([0, 0, distance_mm]) - rotation @ frame.centre_mm))


def tilted(frame: Framing, points_mm: Float[np.ndarray, "n 3"], elevation_rad: float, size_wh: tuple[int, int]
           ) -> Framing:
    """The frame for a camera above or below: aimed at the face, but not so low that the head's top is cut off."""
    aimed = dataclasses.replace(frame, centre_mm=frame.face_mm)
    camera = standing(0.0, elevation_rad, aimed, size_wh)
    px_per_mm = camera.K_px[0, 0] / DISTANCE_MM
    missing_mm = MARGIN_MM - float(camera.px_from_points(points_mm)[:, 1].min()) / px_per_mm
    up = -camera.cam_from_head[1, :3]
    return dataclasses.replace(aimed, centre_mm=aimed.centre_mm + max(missing_mm, 0.0) * up)


def standard_cameras(mesh: Mesh, size_wh: tuple[int, int], anatomy: Anatomy | None = None) -> dict[str, Camera]:
    """A camera for every standard view, by name. Frame the mesh before the operation and use it for both pictures."""
    frame, cameras = framing(mesh, anatomy), {}
    for name, view in VIEWS.items():
        elevation = float(np.radians(view.elevation_deg))
        this = frame if elevation == 0 else tilted(frame, mesh.vertices_mm, elevation, size_wh)
        cameras[name] = standing(float(np.radians(view.azimuth_deg)), elevation, this, size_wh)
    return cameras
