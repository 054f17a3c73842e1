"""Weights of the generative modes, which a person has and adds once: checked, licensed, pinned, never run as a pickle.

    <models>/<name>/model.json   title, licence, revision, the folder the files lie in, SHA-256 and bytes of each

The files stay where they are (a folder, or the Hugging Face cache); their checksums are compared before each use.
Nothing is fetched, unless a person asks for it with `models add NAME --download`.
"""

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.added import RECORD, accepted_record, damaged, folder, licence_first, record_of
from core.errors import InputRefused, PrevisageError, UsageError
from core.files import sha256, whole_folder, write_json
from core.progress import Progress, silent
from synth.weight_kinds import KINDS, Kind

Fetch = Callable[[str, str, tuple[str, ...]], Path]
"""(repository, revision, patterns) -> the folder of its snapshot."""


def kind_of(name: str) -> Kind:
    """The kind of that name. UsageError lists the known ones."""
    if name not in KINDS:
        raise UsageError("unknown_weights", f"There are no weights called {name!r}.",
                         f"Known: {', '.join(sorted(KINDS))}.")
    return KINDS[name]


def add_weights(name: str, path: Path | None, accepted: bool, download: bool = False, progress: Progress = silent,
                fetch: Fetch | None = None) -> dict[str, Any]:
    """Check weights and remember them with their checksums; the record.

    path: the folder or file; without it the Hugging Face cache at the pinned revision, which `download` fills first.
    UsageError: no such weights, licence not accepted, both a path and a download. InputRefused: no, other or broken
    files, a pickle. PrevisageError: the download failed.
    """
    kind = kind_of(name)
    if not accepted:
        raise licence_first(kind.title, kind.licence)
    if download:
        if path is not None:
            raise UsageError("path_or_download", "Give a path or --download, not both.")
        progress(0.0, f"Fetching {kind.repository}")
        path = fetched(kind, fetch or from_hub)
    home = (path if path is not None else cached(name, kind)).expanduser().resolve()
    if not home.exists():
        raise InputRefused("no_file", f"There is no folder or file {home}.", f"Give {kind.give}.")
    if home.is_relative_to((folder() / name).resolve()):
        raise UsageError("path_in_models", f"{home} is where Previsage keeps its own record of {name}.",
                         "Put the weights into another folder.")
    chosen = kind.choose(home)
    files: dict[str, dict[str, Any]] = {}
    names = sorted(chosen.files)
    for number, relative in enumerate(names):
        progress(number / len(names), f"Checksum of {relative}")
        file = chosen.folder / relative
        files[relative] = {"sha256": sha256(file), "bytes": file.stat().st_size}
    record = {**accepted_record(name, kind.title, kind.licence), "folder": str(chosen.folder), "files": files,
              "bytes": sum(int(f["bytes"]) for f in files.values()), "revision": revision_of(chosen.folder),
              "repository": kind.repository, "note": chosen.note}
    with whole_folder(folder() / name) as place:
        write_json(place / RECORD, record)
    progress(1.0, "Done: the weights are ready")
    return record


def weights(name: str) -> Path:
    """The folder of added weights, each file's checksum compared.

    UsageError: they were never added. PrevisageError: a file is missing or was altered.
    """
    kind, record = kind_of(name), record_of(name)
    if record is None:
        raise UsageError("weights_not_added", f"{kind.title} ({name}) is not on this computer.",
                         f"It is optional; pictures without it come from warp3d. To have it: {kind.how(name)}")
    return whole_files(name, record)


def whole_files(name: str, record: dict[str, Any]) -> Path:
    """The folder of what was added, each file's checksum compared. PrevisageError: a file is missing or was altered."""
    if "files" not in record or "folder" not in record:
        raise damaged(name)
    home = Path(record["folder"])
    for relative, known in record["files"].items():
        file = home / relative
        if not file.is_file():
            raise PrevisageError("weights_missing", f"{relative} of {name} is no longer in {home}.",
                                 f"Put it back, or add the weights again: previsage models add {name} PATH.")
        state = file.stat()
        if state.st_size != known["bytes"] or checksum(file, state.st_size, state.st_mtime_ns) != known["sha256"]:
            raise PrevisageError("weights_altered", f"{relative} of {name} is not the file that was added: its "
                                 "checksum differs.", f"Fetch it anew, then: previsage models add {name} PATH.")
    return home


def files_of(name: str) -> tuple[str, ...]:
    """The names of the files of added weights, relative to their folder; empty when they were never added."""
    record = record_of(name)
    return () if record is None else tuple(record.get("files", {}))


@lru_cache(maxsize=64)
def checksum(file: Path, size: int, changed_ns: int) -> str:
    """SHA-256, once per process while the file stays as it is."""
    return sha256(file)


def weights_mark() -> dict[str, str]:
    """Checksums of all added weights, so that a stage runs again when others were added. PrevisageError: a record is
    damaged."""
    marks = {}
    for name in KINDS:
        record = record_of(name)
        if record is not None:
            marks[name] = ",".join(f["sha256"] for _, f in sorted(record.get("files", {}).items()))
    return marks


def hub_cache() -> Path:
    """Where the Hugging Face libraries keep what they fetched."""
    if os.environ.get("HF_HUB_CACHE"):
        return Path(os.environ["HF_HUB_CACHE"])
    home = os.environ.get("HF_HOME")
    base = Path(home) if home else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return base / "hub"


def cached(name: str, kind: Kind) -> Path:
    """The pinned revision in the Hugging Face cache. InputRefused: it is not there."""
    snapshots = hub_cache() / f"models--{kind.repository.replace('/', '--')}" / "snapshots"
    if (snapshots / kind.revision).is_dir():
        return snapshots / kind.revision
    others = sorted(p.name for p in snapshots.iterdir()) if snapshots.is_dir() else []
    there = f" Other revisions are there: {', '.join(others)}; name one by its path." if others else ""
    raise InputRefused("not_in_cache", f"{kind.repository} at revision {kind.revision[:12]} is not in the Hugging "
                       f"Face cache.{there}", kind.how(name))


def revision_of(home: Path) -> str | None:
    """The commit that a folder of the Hugging Face cache stands for."""
    parts = home.parts
    return parts[parts.index("snapshots") + 1] if "snapshots" in parts[:-1] else None


def fetched(kind: Kind, fetch: Fetch) -> Path:
    """Fetch the pinned revision. PrevisageError: it failed."""
    try:
        return fetch(kind.repository, kind.revision, kind.patterns)
    except ImportError as error:
        raise UsageError("no_hub", "Fetching needs the package huggingface_hub.",
                         "pip install 'previsage[diffusion]', or copy the files and give their folder.") from error
    except (OSError, ValueError) as error:
        raise PrevisageError("download_failed", f"{kind.repository} could not be fetched ({type(error).__name__}).",
                             f"Check the connection and run it again, or: {kind.by_hand}") from error


def from_hub(repository: str, revision: str, patterns: tuple[str, ...]) -> Path:
    """The only place of this program that reaches for the network, at a person's word."""
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
