"""The decoding child: opens one video with FFmpeg and writes messages to stdout. It imports nothing of ours.

    decode_child.py FILE DEMUXER MEMORY_BYTES CPU_S

A damaged or hostile file may crash or swell FFmpeg; only this process suffers. Each message is a line of JSON, followed
by as many raw bytes as its `bytes` says. The child tells the headers; waits for a line on stdin that says how to
decode; tells what a scan of the packets found; waits for leave; then streams upright RGB frames.

Letters: E scene light and L display light, both linear, R'G'B' the coded signal in [0, 1].
"""

import contextlib
import json
import os
import sys
from typing import Any

import numpy as np

ERRORS_AT_MOST = 200
"""After so many undecodable packets the rest of the file is given up."""

PQ, HLG = 16, 18  # AVColorTransferCharacteristic
WHITE_NITS = 203.0  # diffuse white of HDR pictures (ITU-R BT.2408)
RGB709_FROM_2020 = np.array([[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]])
"""Linear light from BT.2020 to BT.709 primaries (ITU-R BT.2087, table 4 inverted)."""


def limit_resources(memory_bytes: int, cpu_s: int) -> None:
    """Cap address space and processor time where the system can (not on Windows)."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def say(message: dict, payload: bytes = b"") -> None:
    """Write one message."""
    line = json.dumps({**message, "bytes": len(payload)}).encode() + b"\n"
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.write(payload)
    sys.stdout.buffer.flush()


def describe(container: Any) -> dict:
    """The headers: every video stream, whether there is sound, the container's duration."""
    streams = []
    for s in container.streams.video:
        rate = s.duration * s.time_base if s.duration is not None and s.time_base else None
        codec = s.codec_context
        streams.append({"index": s.index, "codec": codec.name if codec else "", "width": s.width if codec else 0,
                        "height": s.height if codec else 0, "frames": s.frames,
                        "duration_s": None if rate is None else float(rate),
                        "cover": "attached_pic" in str(s.disposition)})
    return {"streams": streams, "audio": len(container.streams.audio),
            "duration_s": None if container.duration is None else container.duration / 1e6}


def scan(container: Any, stream: Any, most: int) -> tuple[list[int], bool]:
    """Presentation times of all packets in stream ticks, without decoding; whether the file broke off."""
    import av

    ticks: list[int] = []
    try:
        for packet in container.demux(stream):
            if packet.size and len(ticks) <= most:
                ticks.append(packet.pts if packet.pts is not None else -1)
    except av.error.FFmpegError:
        return ticks, True
    return ticks, bool(stream.frames and len(ticks) < stream.frames)


def evenly_in_time(ticks: list[int], count: int) -> set[int]:
    """About `count` presentation ticks, evenly spread over the clip's time (not its frame numbers)."""
    known = np.unique([t for t in ticks if t >= 0])
    if len(known) <= count:
        return set(known.tolist())
    wanted = np.linspace(known[0], known[-1], count)
    right = np.clip(np.searchsorted(known, wanted), 1, len(known) - 1)
    nearest = np.where(wanted - known[right - 1] <= known[right] - wanted, right - 1, right)
    return set(known[nearest].tolist())


def display_matrix(frame: Any) -> np.ndarray:
    """The linear part of the display matrix (2,2): display x, y = matrix @ coded x, y (y down)."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return np.eye(2)
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32)[:5] / 65536
    return np.array([[a, c], [b, d]])


def upright(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a display matrix's quarter turns and flips (front cameras) to a picture."""
    (a, c), (b, d) = matrix
    if abs(a) + abs(d) >= abs(b) + abs(c):
        flip_x, flip_y = a < 0, d < 0
    else:
        picture, flip_x, flip_y = picture.swapaxes(0, 1), c < 0, b < 0
    return picture[::-1 if flip_y else 1, ::-1 if flip_x else 1]


def hlg_to_light(signal: np.ndarray) -> np.ndarray:
    """HLG R'G'B' to display light, 1 = diffuse white (ITU-R BT.2100 table 5, a 1000 cd/m2 display, gamma 1.2)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luminance = np.maximum(scene @ np.array([0.2627, 0.6780, 0.0593]), 1e-6)  # the power below has no value at black
    return scene * luminance[..., None] ** 0.2 * (1000 / WHITE_NITS)


def pq_to_light(signal: np.ndarray) -> np.ndarray:
    """PQ R'G'B' to display light, 1 = diffuse white (ITU-R BT.2100 table 4)."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    p = signal ** (1 / m2)
    return (np.maximum(p - c1, 0) / (c2 - c3 * p)) ** (1 / m1) * (10000 / WHITE_NITS)


def light_to_srgb(light_2020: np.ndarray) -> np.ndarray:
    """Display light in BT.2020 to sRGB bytes; above 0.8 of white a shoulder rolls highlights off."""
    light = np.maximum(light_2020 @ RGB709_FROM_2020.T, 0)
    knee = 0.8
    over = np.maximum(light - knee, 0)
    light = np.where(light > knee, knee + (1 - knee) * over / (over + (1 - knee)), light)
    signal = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)
    return np.rint(np.clip(signal, 0, 1) * 255).astype(np.uint8)


def to_srgb(coded: np.ndarray, transfer: int) -> np.ndarray:
    """16-bit HLG or PQ R'G'B' to 8-bit sRGB, in strips to keep memory low."""
    to_light = hlg_to_light if transfer == HLG else pq_to_light
    strips = [light_to_srgb(to_light(coded[y:y + 64].astype(np.float32) / np.float32(65535)))
              for y in range(0, len(coded), 64)]
    return np.concatenate(strips)


def rgb(frame: Any, longest_px: int, aspect: float) -> tuple[np.ndarray, bool]:
    """An upright 8-bit sRGB picture, its longer side at most `longest_px`; whether HDR was converted."""
    w, h = frame.width * max(aspect, 1.0), frame.height * max(1 / aspect, 1.0)
    scale = min(1.0, longest_px / max(w, h))
    size = {"width": max(2, round(w * scale)), "height": max(2, round(h * scale)),
            "interpolation": "AREA" if scale < 1 else "BICUBIC"}
    hdr = int(frame.color_trc) in (PQ, HLG)
    picture = frame.reformat(format="rgb48le" if hdr else "rgb24", **size).to_ndarray()
    if hdr:
        picture = to_srgb(picture, int(frame.color_trc))
    return np.ascontiguousarray(upright(picture, display_matrix(frame))), hdr


def stream_frames(container: Any, stream: Any, request: dict) -> dict:
    """Decode, send the wanted frames, return the closing account."""
    import av

    wanted = set(request["ticks"])
    stride = max(1, -(-request["packets"] // request["count"]))
    aspect = float(stream.sample_aspect_ratio or 1)
    start = min(wanted) if wanted else 0
    decoded = errors = 0
    broke_off = False
    packets = container.demux(stream)
    while errors < ERRORS_AT_MOST:
        try:
            frames = next(packets).decode()
        except StopIteration:
            break
        except av.error.FFmpegError:
            errors += 1
            broke_off = True
            continue
        for frame in frames:
            index, decoded = decoded, decoded + 1
            if frame.is_corrupt or not (frame.pts in wanted if wanted else index % stride == 0):
                broke_off = broke_off or frame.is_corrupt
                continue
            picture, hdr = rgb(frame, request["longest_px"], aspect)
            time_s = float((frame.pts - start) * stream.time_base) if frame.pts is not None else None
            say({"frame": {"index": index, "time_s": time_s, "height": picture.shape[0], "width": picture.shape[1],
                           "hdr": hdr}}, picture.tobytes())
    return {"decoded": decoded, "errors": errors, "broke_off": broke_off}


def open_video(path: str, demuxer: str) -> Any:
    """Open with one demuxer only, so that no playlist or concatenation file can name other files."""
    import av

    return av.open(path, format=demuxer, metadata_errors="ignore")


def work(path: str, demuxer: str) -> None:
    """Tell the headers, wait for the request, scan, stream."""
    with open_video(path, demuxer) as container:
        say({"facts": describe(container)})
    request = json.loads(sys.stdin.readline() or "null")
    if request is None:
        return
    with open_video(path, demuxer) as container:
        stream = container.streams[request["stream"]]
        ticks, cut = scan(container, stream, request["most"])
        base = float(stream.time_base) if stream.time_base else 0.0
    known = [t for t in ticks if t >= 0]
    say({"scan": {"packets": len(ticks), "cut": cut,
                  "duration_s": (max(known) - min(known)) * base if len(known) > 1 else None}})
    if json.loads(sys.stdin.readline() or "null") is None:
        return
    with open_video(path, demuxer) as container:
        stream = container.streams[request["stream"]]
        stream.codec_context.options = {"max_pixels": str(request["max_px"])}
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = 2
        chosen = evenly_in_time(ticks, request["count"]) if len(known) == len(ticks) else set()
        say({"end": stream_frames(container, stream, {**request, "ticks": list(chosen), "packets": len(ticks)})})


def main(path: str, demuxer: str, memory_bytes: str, cpu_s: str) -> int:
    """Run; every failure becomes a message."""
    limit_resources(int(memory_bytes), int(cpu_s))
    import av

    av.logging.set_level(None)
    try:
        work(path, demuxer)
    except MemoryError:
        say({"failed": "memory"})
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # the parent has gone; let the exit be silent
    except (av.error.FFmpegError, OSError, ValueError, IndexError) as error:
        say({"failed": "memory" if getattr(error, "errno", 0) == 12 else "unreadable", "detail": str(error)[:200]})
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
