"""Film: a textured head as a phone on the table would see it turn, with the truth kept for measuring.

The embedded demo films its own capture with this. Camera and light stand still and the head turns, as in a real
capture: so the light on the skin changes from frame to frame.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.store import save_npz
from core.texture import Texture
from render.buffers import unit
from render.mipmap import Mipmap
from render.mix import of_vertices
from render.movie import write_movie
from render.picture import PictureOptions, Skin, as_bytes, smooth
from render.rasterize import Hits, Rasterizer
from render.room import ROOM, Lighting, lamp_light, sweep, wall
from render.surface import Surface

NOISE_PICTURES = 4
"""Sensor noise is drawn this often and shifted at random for every frame: drawing it anew takes longer than filming."""


NECK_Y_MM = -30.0
"""The head turns about a vertical axis; this height of it, the tip of the nose, stays in the picture's middle."""


EDGE_RAYS = 5
"""Rays in an edge pixel: noise and compression hide what more would add."""


@record
class FilmOptions:
    """frames, fps, size_wh (even sides): the clip. focal_px: 1.1 widths is a phone's main lens held upright.

    yaw_deg: how far the head turns each way; pitch_deg: the nod. distance_mm: camera to head.
    noise: sensor noise, standard deviation in grey levels of 255. crf: H.264 quality, lower is better.
    seed: decides wall, tremble and noise.
    """

    frames: int = 90
    fps: int = 30
    size_wh: tuple[int, int] = (720, 1280)
    focal_px: float = 800.0
    yaw_deg: float = 60.0
    pitch_deg: float = 15.0
    distance_mm: float = 420.0
    noise: float = 2.5
    crf: int = 20
    seed: int = 0


FILM = FilmOptions()
"""Three seconds of a phone at arm's length."""


class FilmedSkin(Skin):
    """Skin under the room's lamps, in front of the wall. The light is worked out at the vertices: it varies slowly."""

    def __init__(self, surface: Surface, camera: Camera, mipmap: Mipmap, background: np.ndarray,
                 lighting: Lighting = ROOM) -> None:
        super().__init__(surface, camera, mipmap, PictureOptions())
        self.background = background
        cam_from_head = camera.cam_from_head.astype(np.float32)
        place = surface.vertices_mm @ cam_from_head[:3, :3].T + cam_from_head[:3, 3]
        diffuse, sheen = lamp_light(surface.normals @ cam_from_head[:3, :3].T, unit(-place), lighting)
        self.vertex_light = np.column_stack([diffuse, sheen])

    def lit(self, color: Float[np.ndarray, "n 3"], hits: Hits) -> Float[np.ndarray, "n 3"]:
        """The texture as reflectance under ambient, diffuse and glossy light; squares stand for sRGB's power of 2.2."""
        light = of_vertices(hits.face, hits.bary, self.surface.mesh.faces, self.vertex_light)
        reflected = np.square(color * np.float32(1 / 255)) * light[:, :3] + light[:, 3:]
        return 255 * np.sqrt(np.minimum(reflected, 1))


def film(folder: Path, mesh: Mesh, texture: Texture, landmarks478_mm: Float[np.ndarray, "478 3"],
         options: FilmOptions = FILM, progress: Progress = silent) -> Path:
    """Write video.mp4 and truth.npz (verts, tris, K, cam_from_head, landmarks478) into the folder; the video's path."""
    rng = np.random.default_rng(options.seed)
    cameras = film_cameras(mesh, options, rng)
    background = wall(options.size_wh, rng)
    write_movie(folder / "video.mp4", filmed(mesh, texture, cameras, background, options, rng, progress),
                options.size_wh, options.fps, options.crf)
    save_npz(folder / "truth.npz", verts=mesh.vertices_mm.astype(np.float32), tris=mesh.faces.astype(np.uint32),
             K=cameras[0].K_px, cam_from_head=np.stack([c.cam_from_head for c in cameras]),
             landmarks478=landmarks478_mm)
    return folder / "video.mp4"


def film_cameras(mesh: Mesh, options: FilmOptions, rng: np.random.Generator) -> list[Camera]:
    """The phone's camera relative to the turning head, frame by frame."""
    width, height = options.size_wh
    K = np.array([[options.focal_px, 0, (width - 1) / 2], [0, options.focal_px, (height - 1) / 2], [0, 0, 1.0]])
    low, high = mesh.vertices_mm.min(0), mesh.vertices_mm.max(0)
    level = NECK_Y_MM if low[1] < NECK_Y_MM < high[1] else (low[1] + high[1]) / 2
    axis = np.array([0.0, level, (low[2] + high[2]) / 2])
    poses = sweep(options.frames, options.yaw_deg, options.pitch_deg, options.distance_mm, axis, rng)
    return [Camera(K_px=K, cam_from_head=pose, size_wh=options.size_wh) for pose in poses]


def filmed(mesh: Mesh, texture: Texture, cameras: list[Camera], background: Float[np.ndarray, "h w 3"],
           options: FilmOptions, rng: np.random.Generator, progress: Progress) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The frames, one by one."""
    rasterizer, mipmap = Rasterizer(mesh), Mipmap(texture)
    noise = options.noise * rng.standard_normal((NOISE_PICTURES, *background.shape), np.float32)
    for number, camera in enumerate(cameras):
        progress(number / len(cameras), "filming the demo head")
        skin = FilmedSkin(rasterizer.surface, camera, mipmap, background)
        frame = smooth(rasterizer, camera, skin, rasterizer(camera), EDGE_RAYS)
        grain = noise[rng.integers(NOISE_PICTURES)]
        shift = int(rng.integers(background.shape[0]))
        frame[:len(frame) - shift] += grain[shift:]
        frame[len(frame) - shift:] += grain[:shift]
        yield as_bytes(frame)
