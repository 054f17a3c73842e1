"""Shards: training pairs in plain tar files, a fixed number of pairs each, every file written whole or not at all.

    <folder>/pairs-000012.tar      <number>.before.png .after.png .control.png .mask.png .json, for each pair
    <folder>/pairs.json            how many, how large, who made them; checksum of every shard

Pair n depends on the seed and n only, so shards can be made in any order, on any machine, and made again alike.
"""

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from core.errors import InputRefused, UsageError
from core.files import digest, read_json, sha256, write_bytes, write_json
from core.progress import Progress, silent
from core.records import freeze, record

INDEX = "pairs.json"
LANDMARKS = 478


@record
class Pair:
    """One training pair, all at one square size: the picture before and after, the control picture of after, the
    surgical mask (0..1), where the 478 landmarks of after lie (px, NaN where unknown), the prompt, and what it is.
    """

    before: UInt8[np.ndarray, "s s 3"]
    after: UInt8[np.ndarray, "s s 3"]
    control: UInt8[np.ndarray, "s s 3"]
    mask: Float[np.ndarray, "s s"]
    landmarks_px: Float[np.ndarray, "478 2"]
    prompt: str
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        freeze(self, before=(self.before, np.uint8), after=(self.after, np.uint8), control=(self.control, np.uint8),
               mask=(self.mask, np.float32), landmarks_px=(self.landmarks_px, np.float32))


Make = Callable[[int], Pair]
"""Pair number n. It must depend on n alone."""


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"pairs-{number:06d}.tar"


def shard_bytes(make: Make, numbers: Iterable[int]) -> bytes:
    """The pairs of some numbers as a tar, the same bytes whenever the same pairs are made."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for number in numbers:
            pair = make(number)
            told = {"prompt": pair.prompt, "facts": pair.facts,
                    "landmarks_px": [[None if np.isnan(v) else round(float(v), 3) for v in p]
                                     for p in pair.landmarks_px]}
            parts = {"before.png": png(pair.before), "after.png": png(pair.after), "control.png": png(pair.control),
                     "mask.png": png(np.rint(pair.mask * 255).astype(np.uint8)),
                     "json": json.dumps(told, sort_keys=True).encode()}
            for name, content in parts.items():
                entry = tarfile.TarInfo(f"{number:08d}.{name}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def png(values: np.ndarray) -> bytes:
    """A picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def write_shard(folder: Path, make: Make, number: int, first: int, count: int) -> dict[str, Any]:
    """Make one shard, unless it is there already; its name, pairs and checksum."""
    path = folder / shard_name(number)
    if not path.is_file():
        write_bytes(path, shard_bytes(make, range(first, first + count)))
    return {"file": path.name, "pairs": count, "first": first, "sha256": sha256(path)}


def write_pairs(folder: Path, make: Make, count: int, per_shard: int, recipe: dict[str, Any],
                progress: Progress = silent, spread: Callable[..., Iterator[Any]] | None = None) -> dict[str, Any]:
    """Make all shards of a set and its index; shards that are there are kept, so a stopped run goes on.

    recipe: what decides the pairs (seed, size, kind ...): it is written beside them, and shards of another recipe are
    refused. spread: runs the shards elsewhere (`cluster.on_cluster`); without it they are made one after the other.
    UsageError: counts that make no sense, or a folder of another set.
    """
    if count < 1 or per_shard < 1:
        raise UsageError("bad_count", f"{count} pairs in shards of {per_shard} make no set.", "Both are at least 1.")
    told = {"recipe": recipe, "pairs": count, "per_shard": per_shard}
    mark = folder / "recipe.json"
    if mark.is_file() and read_json(mark) != told:
        raise UsageError("other_pairs", f"{folder} holds pairs of another recipe.", "Choose another folder with -o.")
    write_json(mark, told)
    jobs = [(folder, make, number, first, min(per_shard, count - first))
            for number, first in enumerate(range(0, count, per_shard))]
    made = []
    for done in (spread(write_shard, jobs) if spread else (write_shard(*job) for job in jobs)):
        made.append(done)
        progress(len(made) / len(jobs), f"{sum(d['pairs'] for d in made)} of {count} pairs")
    index = {**told, "shards": sorted(made, key=lambda d: d["file"])}
    write_json(folder / INDEX, index)
    return index


class Pairs:
    """The pairs of a folder, by number. InputRefused: no set, not finished, or a shard is missing or was altered."""

    def __init__(self, folder: Path, check: bool = True) -> None:
        self.folder = folder
        if not (folder / INDEX).is_file():
            unfinished = (folder / "recipe.json").is_file()
            raise InputRefused("no_pairs", f"{folder} holds no {'finished ' if unfinished else ''}set of pairs.",
                               "Make one with `previsage train pairs`; the same command goes on where it stopped.")
        self.index = read_json(folder / INDEX)
        self.shards = self.index["shards"]
        for shard in self.shards:
            path = folder / shard["file"]
            if not path.is_file() or (check and sha256(path) != shard["sha256"]):
                raise InputRefused("pairs_damaged", f"{shard['file']} is missing or was altered.",
                                   "Delete it and make the pairs again: whole shards are kept.")
        self.places = {number: (folder / shard["file"]) for shard in self.shards
                       for number in range(shard["first"], shard["first"] + shard["pairs"])}

    def __len__(self) -> int:
        return len(self.places)

    def mark(self) -> str:
        """Checksum of the whole set."""
        return digest([s["sha256"] for s in self.shards])

    def __getitem__(self, number: int) -> Pair:
        path = self.places[number]
        where = offsets(path, path.stat().st_mtime_ns)
        with open(path, "rb") as file:
            def part(name: str) -> bytes:
                start, size = where[f"{number:08d}.{name}"]
                file.seek(start)
                return file.read(size)

            told = json.loads(part("json"))
            pictures = {name: np.asarray(Image.open(io.BytesIO(part(f"{name}.png"))))
                        for name in ("before", "after", "control", "mask")}
        marks = np.array([[np.nan if v is None else v for v in p] for p in told["landmarks_px"]], np.float32)
        return Pair(before=pictures["before"], after=pictures["after"], control=pictures["control"],
                    mask=pictures["mask"].astype(np.float32) / 255, landmarks_px=marks, prompt=told["prompt"],
                    facts=told["facts"])


@lru_cache(maxsize=4096)
def offsets(path: Path, changed_ns: int) -> dict[str, tuple[int, int]]:
    """Where each file of a tar begins, and its size; looked up once."""
    with tarfile.open(path) as tar:
        return {entry.name: (entry.offset_data, entry.size) for entry in tar}
