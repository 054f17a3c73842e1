"""What a photo says of a face beside the plan: its symmetry, before and after, and its skin tone, each with its doubt.

    NAME_symmetry.png      the photo (beside it the result) with left against right in mm, coloured
    NAME_skin_tone.png     the photo with the skin that was measured
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from analysis.outline_symmetry import Shown
from analysis.photo_symmetry import photo_symmetry
from analysis.skin_tone import SkinTone, skin_tone
from analysis.symmetry import Symmetry, moved
from core.camera import Camera
from core.errors import InputRefused
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.records import record
from core.store import save_png
from previsage.asymmetry import symmetry_sheet, tone_sheet
from previsage.photo import PhotoResult
from previsage.photo_output import in_srgb, name_of, origin_of
from previsage.photo_study import Study
from previsage.photo_visit import Visit
from previsage.rasterizer import rasterizer
from recon.one_photo import PhotoHead
from synth.provenance import export


@record
class Front:
    """The part of a photo that shows the head, in sRGB, with its camera and its landmarks there."""

    picture: UInt8[np.ndarray, "h w 3"]
    camera: Camera
    marks: Landmarks2D
    head: PhotoHead


def front_of(study: Study) -> Front:
    """Of a photo whose face was found."""
    rows, columns = study.window
    points = study.head.face.points_px[:, :2] - [columns.start, rows.start]
    marks = Landmarks2D(scheme=MEDIAPIPE478, points=points, confidence=study.head.visible)
    return Front(picture=np.ascontiguousarray(study.srgb[study.window]), camera=study.camera, marks=marks,
                 head=study.head)


def symmetry_of(front: Front, others: Sequence[Shown] = ()) -> Symmetry:
    """Left against right in mm, the head's pose removed. others: more photos that the same head drives."""
    head = front.head
    return photo_symmetry(front.picture, front.camera, head.mesh, head.anatomy, front.marks, rasterizer(), others)


def symmetry_after(before: Symmetry, result: PhotoResult) -> Symmetry:
    """What the plan makes of it: nothing is detected anew, for a detector hides asymmetry."""
    pins = result.head.anatomy.pins478
    return moved(before, pins.on(result.prediction.total_mm(), result.head.mesh.faces))


def tone_of(front: Front) -> SkinTone:
    """The skin's tone. InputRefused: the photo says nothing of it."""
    return skin_tone(front.picture, front.marks, front.camera, front.head.mesh, rasterizer())


def save_visit_symmetry(made: Visit, folder: Path) -> tuple[Path, dict[str, Any], list[str]]:
    """The sheet of the photo that is most from the front, with what the others of the same head add: the cheeks."""
    seen = [(p.study, p.result) for p in made.photos if p.study is not None]
    study, result = min(seen, key=lambda p: abs(p[0].head.angles_deg[0]))
    same = [front_of(other) for other, _ in seen
            if other is not study and other.head.neutral is study.head.neutral]
    return save_symmetry(study, result, folder, [
        Shown(picture=f.picture, camera=f.camera, mesh=f.head.mesh) for f in same])


def save_symmetry(study: Study, result: PhotoResult | None, folder: Path, others: Sequence[Shown] = ()) -> tuple[
        Path, dict[str, Any], list[str]]:
    """The sheet, its record and its lines. others: more photos that the same head drives."""
    front = front_of(study)
    before = symmetry_of(front, others)
    told: dict[str, Any] = {"before": before.told()}
    lines = [f"Symmetry  {line}" for line in before.lines()]
    if result is None:
        path = folder / f"{Path(study.photo.name).stem}_symmetry.png"
        save_png(path, symmetry_sheet(front.picture, front.camera, front.head.mesh, before))
        return path, told, lines
    changed = symmetry_after(before, result)
    told["after"] = changed.told()
    picture = in_srgb(np.ascontiguousarray(result.output[study.window]), study.photo)
    after = (picture, front.head.mesh.moved(result.prediction.total_mm()), changed)
    path = folder / f"{name_of(result)}_symmetry.png"
    export(path, symmetry_sheet(front.picture, front.camera, front.head.mesh, before, after), origin_of(result))
    return path, told, [*lines, *(f"After     {line}" for line in changed.lines())]


def save_tone(study: Study, folder: Path) -> tuple[Path | None, dict[str, Any], list[str]]:
    """The sheet (None where the photo says nothing of the skin), its record and its lines."""
    front = front_of(study)
    try:
        tone = tone_of(front)
    except InputRefused as error:
        return None, {"refused": error.message, "what_to_do": error.hint}, [f"Skin      {error}"]
    path = folder / f"{Path(study.photo.name).stem}_skin_tone.png"
    save_png(path, tone_sheet(front.picture, tone))
    return path, tone.told(), [f"Skin      {line}" for line in tone.lines()]
