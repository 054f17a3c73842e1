"""Photos for tests: NASA's portrait that scikit-image carries, and stills of the demo's film, whose truth is known."""

from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from core.transforms import head_angles_rad
from previsage.portrait import portrait


@cache
def face() -> np.ndarray:
    """A face of 220 px in a picture of 576 px (RGB)."""
    return cv2.resize(portrait(), (576, 576), interpolation=cv2.INTER_AREA)


def portrait_file(folder: Path, name: str = "anna.png") -> Path:
    """The face as a file."""
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(face()).save(folder / name)
    return folder / name


def stills(video: Path, yaws_deg: tuple[float, ...], folder: Path) -> list[tuple[Path, np.ndarray]]:
    """The frames of the demo's film nearest to some yaws, as files, each with its true angles (rad)."""
    truth = np.array([head_angles_rad(T) for T in np.load(video.parent / "truth.npz")["cam_from_head"]])
    with av.open(str(video)) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    made = []
    for yaw in yaws_deg:
        k = int(np.abs(truth[:, 0] - np.radians(yaw)).argmin())
        made.append((folder / f"yaw_{yaw:+.0f}.png", truth[k]))
        Image.fromarray(frames[k]).save(made[-1][0])
    return made
