"""Decode: upright RGB frames of a video, from a child process that may crash, swell or hang without harm to us."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np
from jaxtyping import UInt8

from core.errors import InputRefused
from core.records import record
from recon.probe import Limits, Sniffed, VideoFacts, check_duration, check_facts, video_facts

CHILD = Path(__file__).with_name("decode_child.py")
MESSAGE_BYTES = 1_000_000
"""A message line is never longer; more means that the child has lost its head."""


@record
class DecodeOptions:
    """How a video is decoded.

    frames: about this many are handed out, evenly in time. longest_px: larger pictures are reduced to this longer side.
    memory_bytes, cpu_s: limits of the child (address space, processor time). wait_s: longest wait for one message.
    """

    frames: int = 150
    longest_px: int = 1920
    memory_bytes: int = 4_000_000_000
    cpu_s: int = 600
    wait_s: float = 60.0


DEFAULTS = DecodeOptions()


@record
class VideoFrame:
    """One upright frame. index: its number in the stream. time_s: since the first frame (NaN when not stated)."""

    index: int
    time_s: float
    picture: UInt8[np.ndarray, "h w 3"]
    was_hdr: bool


class Video:
    """A video being decoded: `with Video(...) as video: for frame in video.frames(): ...`; leaving kills the child.

    `facts` are the headers; `packets`, `decoded` and `damaged` are known after the last frame.
    """

    def __init__(self, source: Sniffed, limits: Limits, options: DecodeOptions = DEFAULTS) -> None:
        self.name = source.path.name
        self.limits = limits
        self.options = options
        self.packets = self.decoded = 0
        self.damaged = False
        self._source = source

    def __enter__(self) -> "Video":
        o = self.options
        command = [sys.executable, "-I", str(CHILD), str(self._source.path.resolve()), self._source.container,
                   str(o.memory_bytes), str(o.cpu_s)]
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "AV_", "FF"))}
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment,
                                       stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            self.facts = self._probe()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kill the child and everything it started."""
        if self._child.poll() is None:
            kill(self._child)
        self._child.wait()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()

    def frames(self) -> Iterator[VideoFrame]:
        """Yield the frames; InputRefused when fewer than the limit can be decoded."""
        self._request()
        while True:
            message, payload = self._receive()
            if "end" in message:
                break
            yield self._frame(message, payload)
        self.decoded = int(message["end"]["decoded"])
        self.damaged = self.damaged or bool(message["end"]["broke_off"])
        self._need_frames(self.decoded)

    def _probe(self) -> VideoFacts:
        message, _ = self._receive()
        facts = video_facts(message["facts"], self.name)
        check_facts(facts, self.name, self.limits)
        return facts

    def _request(self) -> None:
        high = self.limits.longest_side_px[1]
        most = int(self.limits.duration_s[1] * 250)  # no phone films more than 240 pictures a second
        self._send({"stream": self.facts.stream, "count": self.options.frames, "longest_px": self.options.longest_px,
                    "max_px": high * high, "most": most})
        scan = self._receive()[0]["scan"]
        self.packets = int(scan["packets"])
        self.damaged = bool(scan["cut"])
        if scan["duration_s"] is not None:
            check_duration(scan["duration_s"] * (1 + 1 / max(1, self.packets)), self.name, self.limits)
        if self.packets > most:
            raise InputRefused("too_many_frames", f"{self.name} has more than {most} frames.",
                               "Film at 30 or 60 frames a second, 10 to 20 seconds.")
        self._need_frames(self.packets)
        self._send({"go": True})

    def _need_frames(self, count: int) -> None:
        if count < self.limits.video_frames:
            raise InputRefused("too_few_frames", f"Only {count} frames of {self.name} can be decoded.",
                               "The file may be cut off or damaged: copy it again, or film again.")

    def _frame(self, message: dict, payload: bytes) -> VideoFrame:
        f = message["frame"]
        h, w = int(f["height"]), int(f["width"])
        if len(payload) != h * w * 3:
            raise self._broken()
        time_s = float("nan") if f["time_s"] is None else float(f["time_s"])
        return VideoFrame(index=int(f["index"]), time_s=time_s, was_hdr=bool(f["hdr"]),
                          picture=np.frombuffer(payload, np.uint8).reshape(h, w, 3))

    def _send(self, request: dict) -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(json.dumps(request).encode() + b"\n")
            self._child.stdin.flush()
        except BrokenPipeError as error:
            raise self._broken() from error

    def _receive(self) -> tuple[dict, bytes]:
        """The next message; the child is killed when it does not come in time."""
        assert self._child.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            kill(self._child)

        timer = threading.Timer(self.options.wait_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            message, payload = read_message(self._child.stdout, 3 * self.options.longest_px**2)
        except ValueError as error:
            raise self._too_slow() if late.is_set() else self._broken() from error
        finally:
            timer.cancel()
        if "failed" in message:
            raise self._failed(message["failed"])
        return message, payload

    def _failed(self, why: str) -> InputRefused:
        if why == "memory":
            return InputRefused("video_needs_memory", f"{self.name} needs more memory than a video may use.",
                                "Film at 1080p, or export it as an ordinary MP4.")
        return InputRefused("unreadable_video", f"{self.name} cannot be opened as a video: it is damaged or cut off.",
                            "Copy it again from the phone, or film again.")

    def _broken(self) -> InputRefused:
        return InputRefused("decoder_stopped", f"The decoder gave up on {self.name}: the file is damaged.",
                            "Copy it again from the phone, or film again.")

    def _too_slow(self) -> InputRefused:
        return InputRefused("decoder_timeout", f"Decoding {self.name} took too long.",
                            "Export it as an ordinary 1080p MP4, or film again.")


def read_message(pipe: IO[bytes], most_bytes: int) -> tuple[dict, bytes]:
    """One message of the child; ValueError when the pipe ends or the message is not one."""
    line = pipe.readline(MESSAGE_BYTES)
    if not line.endswith(b"\n"):
        raise ValueError("the child stopped")
    message = json.loads(line)
    size = int(message["bytes"])
    if not 0 <= size <= most_bytes:
        raise ValueError("the child's message is too large")
    payload = pipe.read(size) if size else b""
    if len(payload) != size:
        raise ValueError("the child stopped within a message")
    return message, payload


def kill(child: subprocess.Popen) -> None:
    """End the child and its session at once."""
    try:
        if hasattr(os, "killpg"):
            os.killpg(child.pid, signal.SIGKILL)
        else:
            child.kill()
    except ProcessLookupError:
        pass  # it ended by itself in the meantime
