"""Pictures of a case: standard views, the head over the person's own frames, turntable; glue of head and render."""

from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.prediction import Prediction
from core.progress import Progress, silent
from core.reconstruction import Reconstruction, View
from core.store import load_picture, save_png
from render.buffers import px_per_mm
from render.certainty import certainty_sheet
from render.draw import tagged
from render.heat import heat_map
from render.mipmap import Mipmap
from render.picture import AS_SEEN, Skin, as_bytes, photograph, smooth
from render.rasterize import Rasterizer
from render.sheets import Views, label_of, save_view, save_views, view_pictures
from render.turntable import TurntableOptions, turntable
from render.views import standard_cameras
from render.wireframe import overlay, pinned, project_landmarks, wireframe

SIZE_WH = (640, 800)
"""Standard views."""
TURNTABLE = TurntableOptions(frames=60, fps=20)
"""Three seconds there and back."""
CAPTURED = 5
"""How many of the person's own pictures are used."""


def standard(head: Reconstruction, prediction: Prediction | None, folder: Path, progress: Progress = silent) -> list[
        Path]:
    """The clinical views and a sheet of them: of the head alone NAME.png, of a plan before, after, pair and change."""
    cameras = standard_cameras(head.mesh, SIZE_WH, head.anatomy)
    if prediction is None:
        return alone(head, cameras, folder, progress)
    moved_mm = prediction.total_mm()
    pictures = view_pictures(head.mesh, head.texture, moved_mm, cameras, progress=progress)
    written = save_views(folder, pictures, str(prediction.plan["id"]))
    return written + wireframes(head, None, cameras, folder, "before") + wireframes(head, moved_mm, cameras, folder,
                                                                                  "after")


def alone(head: Reconstruction, cameras: dict[str, Camera], folder: Path, progress: Progress) -> list[Path]:
    """NAME.png of every camera, a sheet of them, their wireframes, and certainty.png: how far off the skin may lie."""
    rasterizer, skin = Rasterizer(head.mesh), Mipmap(head.texture)
    written, row = [], []
    for number, (name, camera) in enumerate(cameras.items()):
        progress(number / len(cameras), f"view {name}")
        shown = photograph(rasterizer, camera, skin)
        row.append(tagged(shown, label_of(name)))
        written.append(folder / f"{name}.png")
        save_png(written[-1], shown)
    written.append(folder / "sheet.png")
    save_png(written[-1], np.concatenate(row, 1))
    written.append(folder / "certainty.png")
    save_png(written[-1], certainty_sheet(head.mesh, head.uncertainty_mm, head.seen, cameras, head.face_seen))
    return written + wireframes(head, None, cameras, folder)


def wireframes(head: Reconstruction, moved_mm: Float[np.ndarray, "v 3"] | None, cameras: dict[str, Camera],
               folder: Path, moment: str = "") -> list[Path]:
    """NAME_wireframe[_MOMENT].png: the 478 landmarks of every camera, before or after the operation."""
    mesh = head.mesh if moved_mm is None else head.mesh.moved(moved_mm)
    rasterizer, landmarks = Rasterizer(mesh), pinned(mesh, head.anatomy.pins478)
    written = []
    for name, camera in cameras.items():
        written.append(folder / f"{name}_wireframe{moment and '_' + moment}.png")
        save_png(written[-1], wireframe(project_landmarks(landmarks, camera, rasterizer), camera.size_wh))
    return written


def turning(head: Reconstruction, prediction: Prediction | None, folder: Path, progress: Progress = silent) -> list[
        Path]:
    """turntable.mp4: the head, or before beside after."""
    moved_mm = None if prediction is None else prediction.total_mm()
    return [turntable(folder / "turntable.mp4", head.mesh, head.texture, moved_mm, TURNTABLE, head.anatomy, progress)]


def captured(head: Reconstruction, prediction: Prediction | None, folder: Path, case: Path,
             progress: Progress = silent) -> list[Path]:
    """The head drawn into some of the pictures it was made from: with the fit's wireframe, or before and after a plan.

    In a folder `captured`, because a plan's own sheet and views have the same names.
    """
    views = spread(head.views)
    skin = Mipmap(head.texture)
    before = Rasterizer(head.mesh)
    after = None if prediction is None else Rasterizer(head.mesh.moved(prediction.total_mm()))
    written = []
    for number, view in enumerate(views):
        progress(number / len(views), f"picture {view.source}")
        frame, name = load_picture(case / view.path)[..., :3], f"captured_{number + 1}"
        shown = over(frame, before, view.camera, skin)
        if prediction is None or after is None:
            landmarks = project_landmarks(head.landmarks, view.camera, before)
            written += save_all(folder / "captured", {name: shown, f"{name}_frame": frame,
                                                      f"{name}_wireframe": overlay(frame, landmarks)})
            continue
        fragments = before(view.camera)
        pictures = Views(before=shown, after=over(frame, after, view.camera, skin, before),
                         difference=heat_map(before, view.camera, prediction.total_mm(), fragments=fragments),
                         px_per_mm=px_per_mm(fragments, view.camera))
        written += save_view(folder / "captured", name, pictures, bool(np.any(prediction.displacement_mm)))
    return written


def spread(views: tuple[View, ...]) -> list[View]:
    """Some views, evenly from one side of the turn to the other."""
    ordered = sorted(views, key=lambda v: v.camera.head_angles_rad[0])
    return [ordered[k] for k in np.unique(np.linspace(0, len(ordered) - 1, CAPTURED).round().astype(int))]


def over(frame: UInt8[np.ndarray, "h w 3"], rasterizer: Rasterizer, camera: Camera, skin: Mipmap,
         before: Rasterizer | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """The head as the camera sees it, drawn over the frame."""
    seen = Skin(rasterizer.surface, camera, skin, AS_SEEN, None if before is None else before.surface)
    seen.background = frame.astype(np.float32)
    return as_bytes(smooth(rasterizer, camera, seen, rasterizer(camera)))


def save_all(folder: Path, pictures: dict[str, np.ndarray]) -> list[Path]:
    """Write pictures under their names."""
    for name, picture in pictures.items():
        save_png(folder / f"{name}.png", picture)
    return [folder / f"{name}.png" for name in pictures]
