"""Turntable: the head turns from side to side, before and after together."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from core.anatomy import Anatomy
from core.camera import Camera
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from core.texture import Texture
from render.draw import marked, tagged
from render.mipmap import Mipmap
from render.movie import write_movie
from render.picture import AS_SEEN, PictureOptions, photograph
from render.rasterize import Rasterizer
from render.views import framing, standing


@record
class TurntableOptions:
    """frames and fps give the length; size_wh is one head's picture (even sides); reach_deg how far it turns each way.

    crf: H.264 quality, lower is better.
    """

    frames: int = 90
    fps: int = 30
    size_wh: tuple[int, int] = (480, 600)
    reach_deg: float = 60.0
    crf: int = 20
    picture: PictureOptions = AS_SEEN


TURNTABLE = TurntableOptions()
"""Three seconds there and back."""


def turntable(path: Path, mesh: Mesh, texture: Texture | None, displacement_mm: Float[np.ndarray, "v 3"] | None = None,
              options: TurntableOptions = TURNTABLE, anatomy: Anatomy | None = None,
              progress: Progress = silent) -> Path:
    """Write the MP4: one head, or before | after when a displacement is given. Both are framed from before."""
    cameras = orbit(mesh, options, anatomy)
    heads = 1 if displacement_mm is None else 2
    size_wh = (options.size_wh[0] * heads, options.size_wh[1])
    write_movie(path, turning(mesh, texture, displacement_mm, cameras, options, progress), size_wh, options.fps,
                options.crf)
    return path


def orbit(mesh: Mesh, options: TurntableOptions = TURNTABLE, anatomy: Anatomy | None = None) -> list[Camera]:
    """Cameras from the patient's right to the left and back, slow at the ends; the last leads into the first."""
    frame = framing(mesh, anatomy)
    turn = 2 * np.pi * np.arange(options.frames) / options.frames
    azimuths = -np.radians(options.reach_deg) * np.cos(turn)
    return [standing(float(a), 0.0, frame, options.size_wh) for a in azimuths]


def turning(mesh: Mesh, texture: Texture | None, displacement_mm: Float[np.ndarray, "v 3"] | None,
            cameras: list[Camera], options: TurntableOptions, progress: Progress) -> Iterator[
                UInt8[np.ndarray, "h w 3"]]:
    """The movie's pictures, one by one; the simulated head carries the mark."""
    skin = None if texture is None else Mipmap(texture)
    before = Rasterizer(mesh)
    after = None if displacement_mm is None else Rasterizer(mesh.moved(displacement_mm))
    for number, camera in enumerate(cameras):
        progress(number / len(cameras), "turntable")
        shown = photograph(before, camera, skin, options.picture)
        if after is None:
            yield shown
        else:
            changed = photograph(after, camera, skin, options.picture, before=before.surface)
            yield np.concatenate([tagged(shown, "before"), marked(tagged(changed, "after"))], 1)
