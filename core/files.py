"""Atomic writes: a temporary file or folder beside the target, fsync, rename. A crash leaves the old or the new."""

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import PrevisageError

LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<kind>tmp|old)-[0-9a-f]{8}")
"""Names of temporary files and folders; a killed run may leave them behind."""


def beside(target: Path, kind: str, mark: str) -> Path:
    """The hidden neighbour of `target` that it is written to (`tmp`) or moved to (`old`)."""
    return target.with_name(f".{target.name}.{kind}-{mark}")


def concerns(path: Path, culprit: str | bytes | int | None) -> bool:
    """True when an error about the file `culprit` is one of writing `path`: itself, a parent, or its temporary twin."""
    if not isinstance(culprit, str):
        return culprit is None
    file = Path(culprit)
    return path.is_relative_to(file) or any(p.name.startswith(f".{path.name}.") for p in (file, *file.parents))


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a full or read-only disk into a named error; an input that cannot be read stays what it is."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise PrevisageError("disk_full", f"The disk is full while writing {path.name}.",
                                 "Free some space, then run the same command again: finished stages are kept."
                                 ) from error
        if error.errno in (errno.EACCES, errno.EROFS) and concerns(path, error.filename):
            raise PrevisageError("not_writable", f"{path} cannot be written.",
                                 "Choose another folder with -o, or change its permissions.") from error
        raise


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to disk (a no-op where the system does not allow it)."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a whole file, or nothing."""
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = beside(path, "tmp", uuid.uuid4().hex[:8])
        try:
            with open(temporary, "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)


def plain(value: Any) -> Any:
    """JSON-ready copy: arrays to lists, paths to strings, non-finite numbers to None."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, Path):
        return value.as_posix()
    return value


def write_json(path: Path, value: Any) -> None:
    """Write JSON a person can read."""
    write_bytes(path, (json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> Any:
    """Read JSON; a damaged file is a named error."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise PrevisageError("case_damaged", f"{path.name} is missing or damaged.",
                             "Run `previsage reconstruct` again with the same arguments.") from error


def sha256(path: Path) -> str:
    """Checksum of a file."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(value: Any) -> str:
    """Checksum of a JSON-ready value; the key by which a stage knows its inputs."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


@contextlib.contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `target` when the block ends well, and vanishes when it does not."""
    with disk_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        mark = uuid.uuid4().hex[:8]
        temporary, old = beside(target, "tmp", mark), beside(target, "old", mark)
        try:
            temporary.mkdir()
            yield temporary
            sync_tree(temporary)
            if target.exists():
                os.replace(target, old)
            os.replace(temporary, target)
            sync_folder(target.parent)
        finally:
            if old.exists() and not target.exists():
                os.replace(old, target)  # stopped between the two renames
            shutil.rmtree(old, ignore_errors=True)
            shutil.rmtree(temporary, ignore_errors=True)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and itself, to disk."""
    for path in folder.rglob("*"):
        if path.is_dir():
            sync_folder(path)
        elif path.is_file():
            with open(path, "rb") as handle:
                os.fsync(handle.fileno())
    sync_folder(folder)


def sweep(folder: Path) -> None:
    """Delete what killed writes left anywhere below `folder`; an old result whose successor never came is put back."""
    for path in sorted(folder.rglob(".*"), key=lambda p: len(p.parts)):
        match = LEFTOVER.fullmatch(path.name)
        if match is None or not path.exists():
            continue
        target = path.with_name(match["name"])
        if match["kind"] == "old" and not target.exists():
            os.replace(path, target)
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
