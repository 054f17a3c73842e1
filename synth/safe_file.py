"""A safetensors file, read without torch: eight bytes with a JSON header's length, the header, the numbers."""

import json
from pathlib import Path
from typing import Any

from core.errors import InputRefused

PICKLES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl"})
MOST_HEADER_BYTES = 100_000_000


def header(path: Path) -> dict[str, Any]:
    """The header: dtype, shape and place of every tensor. InputRefused: the file is something else."""
    with open(path, "rb") as file:
        start = file.read(8)
        length = int.from_bytes(start, "little")
        text = file.read(length) if 2 <= length <= MOST_HEADER_BYTES else b""
    try:
        if len(text) != length:
            raise ValueError("the header ends early")
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("the header is no table")
    except ValueError as error:
        with open(path, "rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                raise pointer(path) from error
        raise InputRefused("not_safetensors", f"{path.name} is no safetensors file, or is cut short.",
                           "Fetch it anew from where it is published.") from error
    return found


def check_whole(path: Path) -> None:
    """InputRefused: the file is cut short, longer than its tensors, or something else."""
    tensors = [t for name, t in header(path).items() if name != "__metadata__"]
    with open(path, "rb") as file:
        begins = 8 + int.from_bytes(file.read(8), "little")
    try:
        wanted = begins + max((int(t["data_offsets"][1]) for t in tensors), default=0)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise InputRefused("not_safetensors", f"{path.name} is no safetensors file: its header names no tensors.",
                           "Fetch it anew from where it is published.") from error
    if path.stat().st_size != wanted:
        raise InputRefused("truncated", f"{path.name} has {path.stat().st_size} bytes, its header says {wanted}.",
                           "The download was cut short: fetch it anew.")


def names_in(path: Path) -> frozenset[str]:
    """The names of the tensors."""
    return frozenset(header(path)) - {"__metadata__"}


def pointer(path: Path) -> InputRefused:
    """A file of a few bytes that only says where the true one lies."""
    return InputRefused("git_lfs_pointer", f"{path.name} is a Git LFS pointer, not the weights.",
                        "Run `git lfs pull` in its folder, or fetch the file itself.")
