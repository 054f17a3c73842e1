"""Uploads: multipart form data written to disk as it arrives, under names the server makes, never more than allowed.

Starlette's own form parser spools to the system's temporary folder first; a patient's face should not pass through a
folder that others read, so the parts are written where they stay.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from viewer.web.problems import Refused

LIMIT_BYTES = 200_000_000
"""Of one upload, all files together."""
MAX_PHOTOS = 60
MAX_FIELD_BYTES = 1000
VIDEO_TYPES = frozenset({".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi"})
PHOTO_TYPES = frozenset({".jpg", ".jpeg", ".png", ".heic", ".heif", ".webp", ".tif", ".tiff", ".bmp"})


class Upload:
    """One form on its way to `folder`: `files` are the names given, in order, `fields` the text."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[str] = []
        self.fields: dict[str, str] = {}
        self.complete = False
        self._headers: dict[bytes, bytes] = {}
        self._header = [b"", b""]
        self._name = ""
        self._text = b""
        self._file: BinaryIO | None = None

    def callbacks(self) -> Any:
        """What the parser calls."""
        return {"on_part_begin": self._begin, "on_header_field": lambda d, a, b: self._add_header(0, d[a:b]),
                "on_header_value": lambda d, a, b: self._add_header(1, d[a:b]), "on_header_end": self._header_end,
                "on_headers_finished": self._open, "on_part_data": lambda d, a, b: self._data(d[a:b]),
                "on_part_end": self._end, "on_end": self._finish}

    def close(self) -> None:
        """Close the file that is being written."""
        if self._file:
            self._file.close()
            self._file = None

    def _finish(self) -> None:
        self.complete = True

    def _begin(self) -> None:
        self._headers, self._header = {}, [b"", b""]

    def _add_header(self, side: int, piece: bytes) -> None:
        self._header[side] += piece

    def _header_end(self) -> None:
        self._headers[self._header[0].lower()] = self._header[1]
        self._header = [b"", b""]

    def _open(self) -> None:
        options = parse_options_header(self._headers.get(b"content-disposition", b""))[1]
        self._name = options.get(b"name", b"").decode("utf-8", "replace")
        self._text = b""
        if b"filename" in options:
            self._file = open(self.folder / self._next_name(options[b"filename"].decode("utf-8", "replace")), "xb")

    def _next_name(self, given: str) -> str:
        """A name of the server's making; only the kind of file is taken from the given one."""
        kind = Path(given.replace("\\", "/")).suffix.lower()
        if kind not in VIDEO_TYPES | PHOTO_TYPES:
            raise Refused(415, "unknown_file_type", f"A file of type {kind or 'without a name'!r} cannot be used.",
                          "Upload a video (MP4, MOV, WebM) or photos (JPEG, PNG, HEIC).")
        if len(self.files) >= MAX_PHOTOS:
            raise Refused(413, "too_many_files", f"More than {MAX_PHOTOS} files.", "Choose the best photos.")
        self.files.append(f"{len(self.files) + 1:04d}{kind}")
        return self.files[-1]

    def _data(self, piece: bytes) -> None:
        if self._file:
            self._file.write(piece)
        else:
            self._text += piece
            if len(self._text) > MAX_FIELD_BYTES:
                raise Refused(413, "field_too_long", "A field of the form is too long.")

    def _end(self) -> None:
        if self._file:
            self.close()
        else:
            self.fields[self._name] = self._text.decode("utf-8", "replace").strip()


async def receive_form(
    content_type: str, declared_bytes: int | None, chunks: AsyncIterator[bytes], folder: Path
) -> Upload:
    """Write the files of a form into `folder`. Refused: too large, not a form, no usable files, or cut off."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data" or b"boundary" not in options:
        raise Refused(415, "no_form", "An upload is sent as a multipart form.")
    if declared_bytes is not None and declared_bytes > LIMIT_BYTES:
        raise too_large()
    upload = Upload(folder)
    parser = MultipartParser(options[b"boundary"], upload.callbacks())
    received = 0
    try:
        async for chunk in chunks:
            received += len(chunk)
            if received > LIMIT_BYTES:
                raise too_large()
            parser.write(chunk)
        parser.finalize()
    except MultipartParseError as error:
        raise Refused(400, "damaged_form", "The upload is damaged.", "Send it again.") from error
    finally:
        upload.close()
    if not upload.complete:
        raise Refused(400, "cut_off", "The upload ended too early.", "Send it again.")
    check_files(upload)
    return upload


def too_large() -> Refused:
    """The refusal of more than the limit."""
    return Refused(413, "too_large", f"The upload is larger than {LIMIT_BYTES // 1_000_000} MB.",
                   "Film about 10 seconds at 1080p, or send fewer photos.")


def check_files(upload: Upload) -> None:
    """One video, or photos; never both, never nothing."""
    videos = [name for name in upload.files if Path(name).suffix in VIDEO_TYPES]
    if not upload.files:
        raise Refused(422, "no_files", "Nothing was uploaded.", "Choose a video or several photos.")
    if videos and len(upload.files) > 1:
        raise Refused(422, "one_video", "Upload one video, or photos only.", "Make one case for each video.")
    if any(not (upload.folder / name).stat().st_size for name in upload.files):
        raise Refused(422, "empty_file", "A file of the upload is empty.", "Choose it again.")
