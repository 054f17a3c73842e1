"""Pictures, photos and clips that the tests make themselves, and the faces of a head that turns as told."""

import struct
from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from core.transforms import OPENCV_FROM_HEAD, head_rotation
from recon.detect import Detector, Face
from recon.face478 import cam_from_head_rotation

SHARED = Path(__file__).parents[3] / "shared" / "data"


def shared(name: str) -> Path:
    """A file of the data beside the repository; the test is skipped where it is missing."""
    path = SHARED / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not on this machine")
    return path


def asymmetric(width: int = 480, height: int = 320) -> np.ndarray:
    """Red upper left corner, green upper right, blue lower left, white lower right, grey between."""
    picture = np.full((height, width, 3), 90, np.uint8)
    h, w = height // 4, width // 4
    picture[:h, :w], picture[:h, -w:] = (220, 30, 30), (30, 200, 30)
    picture[-h:, :w], picture[-h:, -w:] = (30, 30, 220), (240, 240, 240)
    return picture


def faststart(source: Path, target: Path) -> Path:
    """The same clip with its index in front, as phones write it."""
    with av.open(str(source)) as old, av.open(str(target), "w", options={"movflags": "faststart"}) as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(old.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return target


def corners(picture: np.ndarray) -> str:
    """The colours of a picture's corners as letters, reading order: `RGBW` is upright."""
    found = ""
    for y in (0.1, 0.9):
        for x in (0.1, 0.9):
            color = picture[int(y * picture.shape[0]), int(x * picture.shape[1])].astype(int)
            found += "W" if color.min() > 180 else "RGB"[int(color.argmax())]
    return found


def clip(path: Path, pictures: Iterable[np.ndarray], codec: str = "libx264", rate: int = 30,
         ticks: list[int] | None = None, matrix: list[int] | None = None, pixels: str = "yuv420p", crf: int = 18,
         container: str | None = None) -> Path:
    """Encode a clip. ticks: presentation times in 1/1000 s. matrix: display matrix, nine numbers in 16.16."""
    pictures = list(pictures)
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pixels
        if codec == "libx264":
            stream.options = {"crf": str(crf), "preset": "ultrafast"}
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if ticks is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        for k, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if ticks is not None:
                frame.pts, frame.time_base = ticks[k], stream.codec_context.time_base
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def claim_duration(path: Path, seconds: float) -> None:
    """Overwrite the durations in an MP4's headers (mvhd, tkhd, mdhd), as a hostile or broken file may state them."""
    data = bytearray(path.read_bytes().replace(b"edts", b"free"))  # the edit list would cut it short again
    timescale: dict[bytes, int] = {}
    for box, scale_at, duration_at in ((b"mvhd", 16, 20), (b"mdhd", 16, 20), (b"tkhd", None, 24)):
        at = data.find(box)
        assert at > 0
        if scale_at is not None:
            timescale[box] = struct.unpack_from(">I", data, at + scale_at)[0]
        struct.pack_into(">I", data, at + duration_at, int(seconds * timescale.get(box, timescale[b"mvhd"])))
    stts = data.find(b"stts")  # one run of equal frame durations: stretch it
    count = struct.unpack_from(">I", data, stts + 12)[0]
    struct.pack_into(">I", data, stts + 16, int(seconds * timescale[b"mdhd"] / count))
    path.write_bytes(bytes(data))


@cache
def astronaut() -> np.ndarray:
    """scikit-image's portrait of Eileen Collins (NASA, public domain), 512 x 512."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut())


@cache
def detector() -> Detector:
    """One detector for all tests: it takes a second to load."""
    return Detector()


@cache
def frontal_face() -> Face:
    """The astronaut's face, turned to look straight into the camera: a real 478-point shape."""
    face = detector().follow(astronaut(), None)
    assert face is not None
    level = OPENCV_FROM_HEAD @ cam_from_head_rotation(face.points_px).T
    points = (face.points_px - face.points_px.mean(0)) @ level.T
    return Face(points_px=points, spread_px=face.spread_px, presence=1.0)


def turned_face(yaw_deg: float, pitch_deg: float = 0.0, roll_deg: float = 0.0, size_px: float = 200.0,
                center_px: tuple[float, float] = (240.0, 160.0)) -> Face:
    """The same face turned as told (degrees), `size_px` high."""
    rotation = head_rotation(*np.radians([yaw_deg, pitch_deg, roll_deg]))
    front = frontal_face()
    points = front.points_px @ (OPENCV_FROM_HEAD @ rotation @ OPENCV_FROM_HEAD).T * (size_px / front.height_px)
    return Face(points_px=points + [*center_px, 0.0], spread_px=np.full(478, 0.003 * size_px), presence=1.0)


def save_jpeg(path: Path, picture: np.ndarray, **options: object) -> Path:
    """A photo."""
    Image.fromarray(picture).save(path, "JPEG", quality=95, **options)
    return path
