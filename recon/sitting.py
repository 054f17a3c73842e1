"""Sitting: bare heads are painted plainly, pictured from many sides, and the detector asked where its 478 points fall.

H heads, P pictures. A ray through a detection meets the surface (a hit), which is where the landmark lies, unless the
ray slips between the lips, over a lid onto the eyeball, or past the nose onto the cheek. There only the departure
counts, the way from where the pin is thought to be straight to the ray: it says nothing of depth.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.errors import InputRefused
from core.fragments import Fragments, Rasterize
from core.mesh import Mesh
from core.records import record
from core.surface import SurfacePoints
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from recon.detect import Detector
from recon.foreign import EYE_L, EYE_R, SKIN, ForeignHead, bare
from recon.scale import IRIS_MM

SKIN_RGB, LIP_RGB, BROW_RGB = (205, 160, 138), (168, 88, 84), (70, 50, 42)
SCLERA_RGB, IRIS_RGB, PUPIL_RGB = (236, 232, 228), (96, 66, 44), (12, 10, 10)
BACKGROUND, FROM_ABOVE = 150.0, (0.15, 0.3, 0.94)
SIDE_PX, DISTANCE_MM = 560, 600.0
LEAST_SEEN = 0.5
"""Share of the pictures in which a landmark must be seen to be believed."""
LEAST_FACING = 0.15
"""Cosine between a pin's normal and the way to the camera below which the pin counts as hidden."""
HIDDEN_MM, DEEP_MM = 3.0, 12.0
"""A pin this much behind the first surface is hidden; a hit this much before or behind its pin is on another part."""

Detect = Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, "478 2"] | None]


def detector() -> Detect:
    """Previsage's own detector: a picture's 478 points (px), or None. The pins must be where *it* puts the points."""
    seen = Detector()

    def detect(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "478 2"] | None:
        face = seen.follow(picture, None)
        return None if face is None else face.points_px[:, :2]

    return detect


@record
class Looks:
    """P pictures. hits_mm: template positions under the landmarks, NaN where a ray meets what the landmark cannot lie
    on. departures_mm: vectors in the head's axes from each pin, on its own head, straight to its ray; NaN if hidden."""

    hits_mm: Float[np.ndarray, "p 478 3"]
    departures_mm: Float[np.ndarray, "p 478 3"]


class Sitting:
    """One head model before the detector; `rasterize` is render's skill."""

    def __init__(self, head: ForeignHead, rasterize: Rasterize, detect: Detect) -> None:
        self.head, self.rasterize, self.detect = head, rasterize, detect
        self.colors = bare_colors(head)

    def paint(self, lips: Float[np.ndarray, "v"], brows: Float[np.ndarray, "v"]) -> None:
        """Lips and brows in their colours, by weights over the vertices."""
        for weight, color in ((lips, LIP_RGB), (brows, BROW_RGB)):
            share = np.clip(weight, 0, 1)[:, None]
            self.colors = self.colors * (1 - share) + np.array(color, float) * share

    def first_points(self) -> Float[np.ndarray, "478 3"]:
        """Roughly where the points lie on the template: median over near-frontal pictures of the surface under them.

        NaN where a ray misses the head. InputRefused: no face is seen, so this is no upright head that faces +z.
        """
        low, high = self.head.template_mm.min(0), self.head.template_mm.max(0)
        middle = np.array([(low[0] + high[0]) / 2, high[1] - 130.0, high[2] - 40])
        wide = self.under(camera_about(middle, 0.0, 0.0, 2 * SIDE_PX, 2 * DISTANCE_MM))
        if wide is None or not np.isfinite(wide).any():
            raise no_face()
        turns = [(yaw, pitch) for pitch in (-0.12, 0.0, 0.12) for yaw in (-0.15, 0.0, 0.15)]
        middle = np.nanmedian(wide, axis=0)
        found = [self.under(camera_about(middle, *turn, SIDE_PX, DISTANCE_MM)) for turn in turns]
        seen = [points for points in found if points is not None]
        if len(seen) < LEAST_SEEN * len(turns):
            raise no_face()
        return centre_and_scatter(np.array(seen))[0]

    def under(self, camera: Camera) -> Float[np.ndarray, "478 3"] | None:
        """The template's surface under the points of one picture; NaN beside it; None when no face was found."""
        mesh = self.head.mesh()
        seen = self.rasterize(mesh, camera)
        px = self.detect(picture(seen, mesh, self.colors, camera, np.array(FROM_ABOVE)))
        if px is None:
            return None
        x, y = np.clip(np.rint(px).astype(int), 0, np.array(camera.size_wh) - 1).T
        hit = SurfacePoints(face=np.maximum(seen.face[y, x], 0), bary=seen.bary[y, x].astype(float))
        return np.where((seen.face[y, x] >= 0)[:, None], mesh.points(hit), np.nan)

    def looks(self, heads_mm: Float[np.ndarray, "h v 3"], pins: SurfacePoints, yaw_rad: float,
              rng: np.random.Generator) -> Looks:
        """One picture of each head, a little turned, nodded and lit at random; heads without a found face are left
        out. `pins` are where the landmarks are thought to lie; the cameras look at their middle."""
        hits, departures = [np.zeros((0, len(pins), 3))], [np.zeros((0, len(pins), 3))]
        for vertices in heads_mm:
            mesh = bare(vertices, self.head.faces)
            pin = mesh.points(pins)
            camera = camera_about(np.median(pin, axis=0), yaw_rad + rng.uniform(-0.08, 0.08), rng.uniform(-0.2, 0.2),
                                  SIDE_PX, rng.uniform(420, 900))
            light = rng.normal(0, 0.4, 3) + [0, 0.3, 1]
            seen = self.rasterize(mesh, camera)
            px = self.detect(picture(seen, mesh, self.colors * rng.uniform(0.6, 1.1), camera, light))
            if px is None:
                continue
            missed = across(pin, px, camera)
            departures.append(np.where(shown(mesh, pins, seen, camera)[:, None], missed, np.nan)[None])
            hits.append(self.hit(mesh, pin, px, seen, camera)[None])
        return Looks(hits_mm=np.concatenate(hits), departures_mm=np.concatenate(departures))

    def hit(self, mesh: Mesh, pin_mm: Float[np.ndarray, "478 3"], px: Float[np.ndarray, "478 2"], seen: Fragments,
            camera: Camera) -> Float[np.ndarray, "478 3"]:
        """Template positions of what the rays meet first; NaN where that is no skin (for the irises: no eyeball), or
        much nearer or farther than the pin."""
        x, y = np.clip(np.rint(px).astype(int), 0, np.array(camera.size_wh) - 1).T
        met = SurfacePoints(face=np.maximum(seen.face[y, x], 0), bary=seen.bary[y, x].astype(float))
        corners, outer = self.head.faces[met.face], self.head.part == SKIN
        if self.head.lining is not None:
            outer &= ~self.head.lining
        right = np.concatenate([outer[corners[:468]].all(1), (self.head.part[corners[468:]] != SKIN).all(1)])
        apart = np.abs(camera.cam_from_points(mesh.points(met)) - camera.cam_from_points(pin_mm))[:, 2]
        right &= (seen.face[y, x] >= 0) & (apart < DEEP_MM)
        return np.where(right[:, None], self.head.mesh().points(met), np.nan)


def across(points_mm: Float[np.ndarray, "n 3"], px: Float[np.ndarray, "n 2"], camera: Camera) -> Float[
        np.ndarray, "n 3"]:
    """Vectors from points straight to the rays through pixels."""
    rotation, centre = camera.cam_from_head[:3, :3], camera.position_mm
    ray = np.column_stack([(px - camera.K_px[:2, 2]) / np.diag(camera.K_px)[:2], np.ones(len(px))]) @ rotation
    ray /= np.linalg.norm(ray, axis=1, keepdims=True)
    return np.asarray(centre + ray * ((points_mm - centre) * ray).sum(1, keepdims=True) - points_mm)


def shown(mesh: Mesh, pins: SurfacePoints, seen: Fragments, camera: Camera) -> np.ndarray:
    """True where a pin faces the camera and nothing stands before it."""
    pin = mesh.points(pins)
    to_pin = pin - camera.position_mm
    to_pin /= np.linalg.norm(to_pin, axis=1, keepdims=True)
    facing = -(pins.on(mesh.vertex_normals(), mesh.faces) * to_pin).sum(1)
    x, y = np.clip(np.rint(camera.px_from_points(pin)).astype(int), 0, np.array(camera.size_wh) - 1).T
    depth = camera.cam_from_points(pin)[:, 2]
    return np.asarray((facing > LEAST_FACING) & (depth < seen.depth_mm[y, x] + HIDDEN_MM))


def centre_and_scatter(points: Float[np.ndarray, "p 478 3"]) -> tuple[Float[np.ndarray, "478 3"],
                                                                       Float[np.ndarray, "478"]]:
    """Median over pictures and RMS scatter (mm) about it; NaN and inf where fewer than half the pictures show it."""
    seen = np.isfinite(points[..., 0])
    known = seen.mean(0) >= LEAST_SEEN
    filled = np.where(known[:, None], points, 0.0)
    centre = np.nanmedian(filled, axis=0)
    off = np.clip(((filled - centre) ** 2).sum(2), 0, 15.0**2)
    spread = np.sqrt(np.nanmean(off, axis=0))
    return np.where(known[:, None], centre, np.nan), np.where(known, spread, np.inf)


def camera_about(middle_mm: Float[np.ndarray, "3"], yaw_rad: float, pitch_rad: float, side_px: int, distance_mm: float,
                 ) -> Camera:
    """A square picture of the head turned and nodded about a point, which lies in its middle."""
    rotation = OPENCV_FROM_HEAD @ head_rotation(yaw_rad, pitch_rad, 0.0)
    focal, center = side_px * 1.9, (side_px - 1) / 2
    K = np.array([[focal, 0, center], [0, focal, center], [0, 0, 1.0]])
    return Camera(K_px=K, cam_from_head=rigid(rotation, np.array([0, 0, distance_mm]) - rotation @ middle_mm),
                  size_wh=(side_px, side_px))


def bare_colors(head: ForeignHead) -> Float[np.ndarray, "v 3"]:
    """A colour per vertex: plain skin, white eyeballs with brown irises."""
    out = np.tile(np.array(SKIN_RGB, float), (len(head.part), 1))
    for eye in (EYE_L, EYE_R):
        rows = np.flatnonzero(head.part == eye)
        ball = head.template_mm[rows]
        middle = (ball.min(0) + ball.max(0)) / 2
        beside = np.where(ball[:, 2] > middle[2], np.linalg.norm((ball - middle)[:, :2], axis=1), np.inf)
        out[rows] = np.where((beside < IRIS_MM / 2)[:, None], IRIS_RGB, SCLERA_RGB)
        out[rows] = np.where((beside < IRIS_MM / 5)[:, None], PUPIL_RGB, out[rows])
    return out


def picture(seen: Fragments, mesh: Mesh, colors: Float[np.ndarray, "v 3"], camera: Camera,
            light: Float[np.ndarray, "3"]) -> UInt8[np.ndarray, "h w 3"]:
    """The colours under one light (a direction in camera-aligned head axes: y up, z to the camera), on plain grey."""
    normal = seen.interpolate(mesh.vertex_normals(), mesh.faces) @ camera.cam_from_head[:3, :3].T @ OPENCV_FROM_HEAD
    normal /= np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9)
    facing = np.clip(normal @ (light / np.linalg.norm(light)), 0, None)
    shade = seen.interpolate(colors, mesh.faces) * (0.25 + 0.8 * facing)[..., None] + 30 * facing[..., None] ** 20
    return np.clip(np.where(seen.covered[..., None], shade, BACKGROUND), 0, 255).astype(np.uint8)


def no_face() -> InputRefused:
    """The error."""
    return InputRefused("no_face_on_model", "No face was found on the model's template.",
                        "The file is damaged, or no upright head that faces +z in the units that it should have.")
