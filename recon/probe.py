"""Probe: what the uploaded files are, told from their first bytes, and whether a video is within the limits.

Nothing is decoded here. A name or an extension is never believed.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from core.errors import InputRefused
from core.records import record

Kind = Literal["video", "photo"]

CODECS = ("h264", "hevc", "av1", "libdav1d", "vp9", "libvpx-vp9", "vp8", "libvpx", "prores", "mjpeg", "mpeg4", "gif")
"""Decoders that may run, under FFmpeg's names; phones, browsers and cameras write nothing else."""

HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"mif1", b"hevc", b"hevx")
MAKE_A_VIDEO = "Supply a video of a slow head rotation (MP4, MOV or WebM), or at least 3 photos from different sides."
MAKE_A_TURN = "Film a slow turn to both sides, up to 60 degrees each. One view is enough only for the photo path (the" \
              " 2D baseline)."
FROM_ONE_SIDE = "Add photos from both sides, or film a slow turn. `previsage photo FOLDER --visit --procedure NAME -o" \
                " OUT` fits one head to photos from one side, whose depth is then mostly the model's."


@record
class Limits:
    """What is accepted. Lengths of time in s, sizes in bytes or px.

    longest_side_px applies to a video's longer side, shortest_side_px to its shorter one; photo_px is a photo's area.
    """

    file_bytes: int = 200_000_000
    duration_s: tuple[float, float] = (0.5, 120.0)
    longest_side_px: tuple[int, int] = (320, 4096)
    shortest_side_px: int = 240
    video_frames: int = 10
    photo_px: int = 50_000_000
    photo_side_px: int = 200
    photos: int = 300


@record
class Sniffed:
    """One file: its kind, and the container (FFmpeg's demuxer name for videos, the format for photos)."""

    path: Path
    kind: Kind
    container: str


@record
class Inputs:
    """The files of one capture, in order; `ignored` names what else lay in a folder."""

    kind: Literal["video", "photos"]
    files: tuple[Sniffed, ...]
    ignored: tuple[str, ...]


def container_of(head: bytes) -> tuple[Kind, str] | None:
    """Kind and container of a file that starts with `head` (at least 16 bytes), None when it is neither."""
    if head[4:8] == b"ftyp":
        if head[8:12] in HEIF_BRANDS:
            return "photo", "heif"
        return ("photo", "avif") if head[8:12] in (b"avif", b"avis") else ("video", "mov")
    if head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "video", "mov"  # QuickTime files from before `ftyp`
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return "video", "avi"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "photo", "webp"
    starts: tuple[tuple[bytes, Kind, str], ...] = (
        (b"\x1aE\xdf\xa3", "video", "matroska"), (b"GIF8", "video", "gif"), (b"\xff\xd8\xff", "photo", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "photo", "png"), (b"II*\0", "photo", "tiff"), (b"MM\0*", "photo", "tiff"),
        (b"BM", "photo", "bmp"))
    return next(((kind, name) for magic, kind, name in starts if head.startswith(magic)), None)


def sniff(path: Path) -> Sniffed | None:
    """Look at a file's first bytes; None when it is no picture. InputRefused when it cannot be read or is empty."""
    try:
        with open(path, "rb") as handle:
            head = handle.read(16)
    except OSError as error:
        raise unreadable(path, error) from error
    if not head:
        raise InputRefused("empty_file", f"{path.name} is empty.", "Copy the file again from the phone or camera.")
    found = container_of(head.ljust(16, b"\0"))
    return None if found is None else Sniffed(path=path, kind=found[0], container=found[1])


def unreadable(path: Path, error: OSError) -> InputRefused:
    """The refusal for a file or folder that is missing or that may not be read."""
    if isinstance(error, FileNotFoundError):
        return InputRefused("missing_file", f"There is no file or folder {path}.", "Check the path.")
    return InputRefused("unreadable", f"{path} cannot be read ({error.strerror or error}).",
                        "Check its permissions, or copy it to another folder.")


def natural_key(name: str) -> tuple:
    """Sort key by which photo 2 comes before photo 10."""
    return tuple((1, int(part), "") if part.isdigit() else (0, 0, part.lower()) for part in re.split(r"(\d+)", name))


def files_in(folder: Path) -> list[Path]:
    """The visible files of a folder in natural order; sub-folders are not searched."""
    try:
        files = [p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file()]
    except OSError as error:
        raise unreadable(folder, error) from error
    if not files:
        raise InputRefused("empty_folder", f"{folder} holds no files.", MAKE_A_VIDEO)
    return sorted(files, key=lambda p: natural_key(p.name))


def gather(inputs: Sequence[Path], limits: Limits) -> Inputs:
    """Sort the inputs into one video or several photos; InputRefused for anything else."""
    found: list[Sniffed] = []
    ignored: list[str] = []
    for path in inputs:
        folder = path.is_dir()
        for file in files_in(path) if folder else [path]:
            if folder and file.stat().st_size == 0:
                ignored.append(file.name)
                continue
            sniffed = sniff(file)
            if sniffed is not None:
                found.append(sniffed)
            elif folder:
                ignored.append(file.name)
            else:
                raise InputRefused("not_a_picture", f"{file.name} is neither a video nor a photo, whatever its name "
                                   "says.", MAKE_A_VIDEO)
    return one_capture(found, ignored, limits)


def one_capture(found: list[Sniffed], ignored: list[str], limits: Limits) -> Inputs:
    """Refuse mixtures, too few and too many files."""
    videos = [f for f in found if f.kind == "video"]
    if not found:
        raise InputRefused("no_pictures", "There is no video and no photo in what was given.", MAKE_A_VIDEO)
    if len(videos) > 1 or (videos and len(found) > 1):
        raise InputRefused("mixed_input", f"{len(videos)} videos and {len(found) - len(videos)} photos were given.",
                           "Supply either one video or several photos of one visit, not both.")
    for file in found:
        check_size(file.path, limits)
    if videos:
        return Inputs(kind="video", files=tuple(videos), ignored=tuple(ignored))
    if len(found) > limits.photos:
        raise InputRefused("too_many_photos", f"{len(found)} photos were given; {limits.photos} is the limit.",
                           "Choose the sharp ones from different sides.")
    check_photo_count(len(found), found[0].path.name)
    return Inputs(kind="photos", files=tuple(found), ignored=tuple(ignored))


def check_photo_count(count: int, name: str) -> None:
    """One or two photos are not enough for 3D."""
    if count == 1:
        raise InputRefused("single_photo", f"{name} is one photo; one photo gives the 2D baseline.",
                           "3D needs a head rotation video or at least 3 photos from different sides.")
    if count == 2:
        raise InputRefused("two_photos", "Two photos are too few for 3D.",
                           "3D needs a head rotation video or at least 3 photos from different sides.")


def check_size(path: Path, limits: Limits) -> None:
    """Refuse files above the size limit."""
    size = path.stat().st_size
    if size > limits.file_bytes:
        raise InputRefused("file_too_large", f"{path.name} has {size / 1e6:.0f} MB; {limits.file_bytes / 1e6:.0f} MB "
                           "is the limit.", "Film at 1080p for 10 to 20 seconds, or cut the clip on the phone.")


@record
class VideoFacts:
    """What a video's headers claim, before anything is decoded. duration_s and frames are None when not stated."""

    stream: int
    codec: str
    size_wh: tuple[int, int]
    duration_s: float | None
    frames: int | None


def video_facts(message: dict, name: str) -> VideoFacts:
    """The one usable video stream among those a container lists; InputRefused when there is none, or more than one."""
    streams = [s for s in message["streams"] if not s["cover"]]
    if not streams:
        what = "has sound but no picture" if message["audio"] else "holds no video"
        raise InputRefused("no_video_stream", f"{name} {what}.", MAKE_A_VIDEO)
    usable = [s for s in streams if s["codec"] in CODECS]
    if not usable:
        raise InputRefused("codec_refused", f"{name} is coded as {streams[0]['codec'] or 'something unknown'}, which "
                           "is not accepted.", "Export it as MP4 with H.264 or HEVC.")
    if len(usable) > 1:
        raise InputRefused("several_video_streams", f"{name} holds {len(usable)} video tracks.",
                           "Export it as an ordinary video with one track (not cinematic or spatial).")
    s = usable[0]
    duration = s["duration_s"] if s["duration_s"] is not None else message["duration_s"]
    return VideoFacts(stream=s["index"], codec=s["codec"], size_wh=(s["width"], s["height"]), duration_s=duration,
                      frames=s["frames"] or None)


def check_facts(facts: VideoFacts, name: str, limits: Limits) -> None:
    """Refuse what the headers already show to be too large, too small or too long."""
    w, h = facts.size_wh
    low, high = limits.longest_side_px
    if max(w, h) > high:
        raise InputRefused("video_too_large", f"{name} has {w} x {h} pixels; {high} a side is the limit.",
                           "Film at 1080p or 4K.")
    if max(w, h) < low or min(w, h) < limits.shortest_side_px:
        raise InputRefused("video_too_small", f"{name} has only {w} x {h} pixels.",
                           f"Film at 1080p; at least {low} x {limits.shortest_side_px} pixels are needed.")
    if facts.duration_s is not None:
        check_duration(facts.duration_s, name, limits)


def check_duration(duration_s: float, name: str, limits: Limits) -> None:
    """Refuse clips that are too short to show a rotation, or too long to be one."""
    low, high = limits.duration_s
    if duration_s > high:
        raise InputRefused("video_too_long", f"{name} lasts {clock(duration_s)}; {high:.0f} seconds is the limit.",
                           "Cut it to the head rotation: 10 to 20 seconds are enough.")
    if duration_s < low:
        raise InputRefused("video_too_short", f"{name} lasts {duration_s:.2f} seconds.",
                           "Film a slow head rotation of 10 to 20 seconds.")


def clock(seconds: float) -> str:
    """A duration for people."""
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
