"""Capture: the pictures a reconstruction is made from."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from core.landmarks import Landmarks2D
from core.records import record


@record
class Frame:
    """One upright picture. `path` is relative to the capture's folder; `source` names the upload it came from."""

    path: str
    source: str
    time_s: float
    size_wh: tuple[int, int]
    landmarks: Landmarks2D | None
    sharpness: float
    focal_hint_px: float | None = None


@record
class Capture:
    """Chosen frames of one visit, in order. `kind` is `video` (one camera, a moving head) or `photos`."""

    folder: Path
    kind: str
    frames: tuple[Frame, ...]
    quality: dict

    def __post_init__(self) -> None:
        if self.kind not in ("video", "photos"):
            raise ValueError(f"a capture is a video or photos, not {self.kind!r}")

    def picture(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """Decode one frame, RGB."""
        from PIL import Image

        with Image.open(self.folder / self.frames[index].path) as image:
            return np.asarray(image.convert("RGB"))
