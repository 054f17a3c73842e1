"""Movie: pictures into an H.264 MP4 that phones, browsers and slides play."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np

from core.errors import UsageError
from core.files import write_bytes


def write_movie(path: Path, pictures: Iterable[np.ndarray], size_wh: tuple[int, int], fps: int = 30,
                crf: int = 20, preset: str = "veryfast") -> None:
    """Encode RGB pictures (H,W,3) bytes as yuv420p; the file appears whole or not at all. Sides must be even."""
    width, height = size_wh
    if width % 2 or height % 2:
        raise UsageError("odd_size", f"A movie needs an even width and height, not {width} x {height}.",
                         "Choose an even size.")
    with tempfile.TemporaryDirectory() as scratch:  # the index moves to the front at the end, which needs a real file
        encoded = Path(scratch) / "movie.mp4"
        with av.open(str(encoded), "w", options={"movflags": "faststart"}) as container:
            stream = container.add_stream("libx264", rate=fps, options={"crf": str(crf), "preset": preset})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for picture in pictures:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        write_bytes(path, encoded.read_bytes())
