"""Room: the still surroundings a filmed head turns in: a wall full of corners and edges, lamps, and a hand-held path.

Letters: all directions in camera axes (x right, y down, z forward), because camera and room stand still.
"""

import cv2
import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from core.records import record
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid

POSTERS = 45
"""Bright and dark rectangles on the wall: what a careless structure from motion would lock onto."""

SWEEP_KEYS = ((0.0, 0.0, 0.0), (0.06, 0.0, 0.0), (0.28, 1.0, 0.0), (0.36, 1.0, 0.0), (0.62, -1.0, 0.0),
              (0.70, -1.0, 0.0), (0.84, 0.0, 0.0), (0.90, 0.0, 1.0), (0.96, 0.0, -1.0), (1.0, 0.0, 0.0))
"""(time, yaw, pitch) as shares: still, to one side, to the other, back, then a nod."""

JITTER_DEG, JITTER_MM, JITTER_FRAMES = (0.5, 0.4, 0.4), (2.0, 2.0, 4.0), 6.0
"""Standard deviations of the hand and neck, and over how many frames they wander."""


@record
class Lamp:
    """A distant lamp: unit direction towards it (camera axes) and how much of each colour it gives."""

    towards: tuple[float, float, float]
    color: tuple[float, float, float]


LAMPS = (Lamp(towards=(-0.45, -0.60, -0.66), color=(0.52, 0.49, 0.46)),
         Lamp(towards=(0.75, -0.15, -0.64), color=(0.18, 0.20, 0.23)))
"""A warm window to the left above, a cool wall to the right."""

AMBIENT, GLOSS, GLOSS_POWER = 0.46, 0.05, 16.0
"""Light from everywhere; the strength and narrowness of the skin's sheen."""


@record
class Lighting:
    """Lamps, light from everywhere, and how strongly skin shines."""

    lamps: tuple[Lamp, ...] = LAMPS
    ambient: float = AMBIENT
    gloss: float = GLOSS


ROOM = Lighting()
"""The demo's."""


def wall(size_wh: tuple[int, int], rng: np.random.Generator) -> Float[np.ndarray, "h w 3"]:
    """The background, sRGB 0..255."""
    width, height = size_wh
    shade = np.linspace(150, 120, height, dtype=np.float32)[:, None, None]
    picture = np.ascontiguousarray(np.broadcast_to(shade, (height, width, 3)))
    for _ in range(POSTERS):
        centre = rng.uniform(0, 1, 2) * (width, height)
        corners = cv2.boxPoints((tuple(centre), tuple(rng.uniform(0.04, 0.3, 2) * width), float(rng.uniform(-20, 20))))
        cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], rng.uniform(40, 225, 3).tolist(), cv2.LINE_AA)
    grain = cv2.resize(rng.normal(0, 9, (height // 2, width // 2, 3)).astype(np.float32), (width, height))
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 1.2) + grain, 0, 255)


def lamp_light(normal: Float[np.ndarray, "n 3"], to_camera: Float[np.ndarray, "n 3"],
               lighting: Lighting = ROOM) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Diffuse light by colour, and sheen (Blinn-Phong), on unit normals; both relative to white."""
    diffuse = np.full(normal.shape, lighting.ambient, np.float32)
    sheen = np.zeros(len(normal), np.float32)
    for lamp in lighting.lamps:
        towards = np.array(lamp.towards, np.float32)
        towards /= np.linalg.norm(towards)
        color = np.array(lamp.color, np.float32)
        diffuse += np.maximum(normal @ towards, 0)[:, None] * color
        half = towards + to_camera
        half /= np.sqrt(np.einsum("nk,nk->n", half, half))[:, None]
        sheen += color.mean() * np.maximum(np.einsum("nk,nk->n", normal, half), 0) ** np.float32(GLOSS_POWER)
    return diffuse, np.float32(lighting.gloss) * sheen


def sweep(frames: int, yaw_deg: float, pitch_deg: float, distance_mm: float, turning_point_mm: Float[np.ndarray, "3"],
          rng: np.random.Generator) -> Float[np.ndarray, "n 4 4"]:
    """cam_from_head of every frame: the head turns about a point of the neck, the camera trembles."""
    time, yaw, pitch = np.array(SWEEP_KEYS).T
    now = np.linspace(0, 1, frames)
    yaws = smooth(np.interp(now, time, yaw), frames / 60) * yaw_deg
    pitches = smooth(np.interp(now, time, pitch), frames / 120) * pitch_deg
    tremble = wander(frames, (*JITTER_DEG, *JITTER_MM), rng)
    poses = []
    for i in range(frames):
        angles = np.radians(np.array([yaws[i], pitches[i], 0.0]) + tremble[i, :3])
        rotation = OPENCV_FROM_HEAD @ head_rotation(*(float(a) for a in angles))
        poses.append(rigid(rotation, np.array([0, 0, distance_mm]) + tremble[i, 3:] - rotation @ turning_point_mm))
    return np.stack(poses)


def smooth(values: Float[np.ndarray, "n"], frames: float) -> Float[np.ndarray, "n"]:
    """Take the corners off a motion."""
    return gaussian_filter1d(values, frames, mode="nearest")


def wander(frames: int, deviations: tuple[float, ...], rng: np.random.Generator) -> Float[np.ndarray, "n k"]:
    """Slow random motions with the given standard deviations."""
    reach = int(4 * JITTER_FRAMES)
    slow = gaussian_filter1d(rng.standard_normal((frames + 2 * reach, len(deviations))), JITTER_FRAMES, axis=0)
    gain = np.sqrt(2 * np.sqrt(np.pi) * JITTER_FRAMES)  # smoothing divides the deviation of white noise by this
    return slow[reach:reach + frames] * gain * deviations
