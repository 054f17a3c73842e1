"""The standard clinical views (clinical.md section 4, photo protocol) as cameras.

Letters: azimuth a of the camera about the head's vertical axis, positive towards the patient's left; elevation e above
the Frankfort horizontal. The camera stands 1.2 m away, which fixes the perspective; the focal length is what frames the
face, as if the picture of a 100 mm lens (full frame) were cropped to it.
"left" always names the side of the patient that is shown.
"""

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.camera import Camera
from core.mesh import Mesh
from core.records import record
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid

DISTANCE_MM = 1200.0
"""Camera to face: within the 1 to 1.5 m of the protocol."""

TOP_MM, BOTTOM_MM = 92.0, -142.0
"""Above the hairline and below the chin, from the line of the eye corners: adult trichion and gnathion plus air."""

MARGIN_MM = 22.0
"""Air above trichion and below gnathion when the anatomy tells where they are."""

WIDTH_MM = 196.0
"""What a picture must at least be wide: a broad head with its ears."""

BEHIND_FACE_MM = 78.0
"""The middle of a profile lies this far behind the foremost point: nose to ear fills the picture evenly."""


TILTED_FORWARD = 0.45
"""Share of the way from the middle of the head to the nose tip at which the tilted views aim."""


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
    """What a picture shows: the point in its middle (head frame) and the height and width of the face there (mm)."""

    centre_mm: Float[np.ndarray, "3"]
    height_mm: float
    width_mm: float


def framing(mesh: Mesh, anatomy: Anatomy | None = None) -> Framing:
    """The face from above the hairline to below the chin; from its pins when the anatomy has them."""
    top, bottom = TOP_MM, BOTTOM_MM
    if anatomy is not None and {"tr", "me"} <= set(anatomy.pin_names):
        top = float(mesh.points(anatomy.pin("tr"))[0, 1]) + MARGIN_MM
        bottom = float(mesh.points(anatomy.pin("me"))[0, 1]) - MARGIN_MM
    y, z = mesh.vertices_mm[:, 1], mesh.vertices_mm[:, 2]
    of_face = (y > bottom) & (y < top)
    if not of_face.any():  # not a head in the head frame: show all of it
        top, bottom, of_face = float(y.max()), float(y.min()), np.ones(len(y), bool)
    front = float(z[of_face].max())
    centre = np.array([0.0, (top + bottom) / 2, front - BEHIND_FACE_MM])
    return Framing(centre_mm=centre, height_mm=top - bottom, width_mm=WIDTH_MM)


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


def tilted(frame: Framing, elevation_rad: float) -> Framing:
    """The frame for a camera above or below: aimed at the face's surface, which the head's depth would push aside."""
    forward = BEHIND_FACE_MM * abs(np.sin(elevation_rad)) * TILTED_FORWARD
    return Framing(centre_mm=frame.centre_mm + np.array([0, 0, forward]), height_mm=frame.height_mm,
                   width_mm=frame.width_mm)


def standard_cameras(mesh: Mesh, size_wh: tuple[int, int], anatomy: Anatomy | None = None) -> dict[str, Camera]:
    """A camera for every standard view, by name. Frame the mesh before the operation and use it for both pictures."""
    frame = framing(mesh, anatomy)
    angles = {name: (np.radians(v.azimuth_deg), np.radians(v.elevation_deg)) for name, v in VIEWS.items()}
    return {name: standing(float(a), float(e), tilted(frame, float(e)), size_wh) for name, (a, e) in angles.items()}
