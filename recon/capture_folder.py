"""Capture folder: the chosen frames of an intake as files, and a Capture read back from them.

    capture.json      kind, frames, angles (null where no face was found: profiles)
    landmarks.npz     points (F,478,2) px and confidence (F,478), to the last bit; NaN where no face was found
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from core.capture import Capture, Frame
from core.errors import PrevisageError
from core.files import read_json, write_json
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.records import record
from core.store import save_npz
from recon.quality import Measure


@record
class Candidate:
    """A frame that shows the face and is written in the folder. order: its number among the analysed frames."""

    order: int
    path: str
    source: str
    time_s: float
    size_wh: tuple[int, int]
    focal_hint_px: float | None
    measure: Measure


@record
class Lost:
    """A frame or photo without a face, written in the folder like a `Candidate`."""

    order: int
    path: str
    source: str
    time_s: float
    size_wh: tuple[int, int]


def write_capture(folder: Path, kind: str, kept: Sequence[Candidate], lost: Sequence[Lost]) -> None:
    """capture.json and landmarks.npz, in the order of time. A frame without a face is as sharp as the nearest with."""
    blank = np.full((478, 2), np.nan), np.zeros(478)
    points, confidence, frames = [], [], []
    for one in sorted(list[Candidate | Lost]([*kept, *lost]), key=lambda f: f.order):
        shown = min(kept, key=lambda c: abs(c.order - one.order))
        marks = one.measure.face.landmarks() if isinstance(one, Candidate) else None
        points.append(marks.points if marks else blank[0])
        confidence.append(marks.confidence if marks else blank[1])
        frames.append({"path": one.path, "source": one.source, "time_s": one.time_s, "size_wh": one.size_wh,
                       "sharpness": shown.measure.sharpness, "focal_hint_px": shown.focal_hint_px,
                       "angles_deg": [round(a, 2) for a in shown.measure.angles_deg] if marks else None})
    save_npz(folder / "landmarks.npz", points=np.array(points), confidence=np.array(confidence))
    write_json(folder / "capture.json", {"kind": kind, "scheme": MEDIAPIPE478, "frames": frames})


def load_capture(folder: Path) -> Capture:
    """Read a capture back; PrevisageError when a file is missing or damaged."""
    content, quality = read_json(folder / "capture.json"), read_json(folder / "quality.json")
    try:
        with np.load(folder / "landmarks.npz") as marks:
            points, confidence = marks["points"], marks["confidence"]
        frames = tuple(
            Frame(path=f["path"], source=f["source"], time_s=float("nan") if f["time_s"] is None else f["time_s"],
                  size_wh=tuple(f["size_wh"]), sharpness=f["sharpness"], focal_hint_px=f["focal_hint_px"],
                  landmarks=Landmarks2D(scheme=content["scheme"], points=points[k], confidence=confidence[k])
                  if np.isfinite(points[k]).all() else None)
            for k, f in enumerate(content["frames"]))
        return Capture(folder=folder, kind=content["kind"], frames=frames, quality=quality)
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise PrevisageError("case_damaged", f"A file of {folder} is missing or damaged.",
                             "Run `previsage reconstruct` again with the same arguments.") from error
