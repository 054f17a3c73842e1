"""What benchmarks measured, kept in one JSON file: a newer row of the same capture and setting replaces the older."""

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import PrevisageError
from core.files import plain, read_json, write_json
from previsage.versions import ROOT, versions

CODE = ("analysis", "core", "data", "previsage", "recon", "render", "viewer")


def stamp(command: str) -> dict[str, Any]:
    """What ran: commit, day, versions, machine, and the command to type again."""
    return {"command": command, "commit": commit(), "when": datetime.date.today().isoformat(), "hardware": hardware(),
            "versions": versions()}


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of an earlier run, none when there was none. PrevisageError: the file is something else."""
    if not path.exists():
        return []
    try:
        rows = read_json(path)["rows"]
        for row in rows:
            key(row)
    except (PrevisageError, KeyError, TypeError) as error:
        raise PrevisageError("bench_damaged", f"{path} is no record of a benchmark.",
                             "Choose another -o, or remove the file.") from error
    return rows


def add(path: Path, row: dict[str, Any], run: dict[str, Any]) -> list[dict[str, Any]]:
    """Put a row into the record in place of the older one of the same capture and setting; all rows, in order."""
    rows = [*(old for old in read(path) if key(old) != key(row)), {**plain(row), "run": run}]
    rows.sort(key=key)
    write_json(path, {"rows": rows})
    return rows


def key(row: dict[str, Any]) -> tuple[bool, bool, str]:
    """By what rows are told apart and ordered: full before fast, without a typed distance before with one."""
    return row["quality"] != "full", bool(row["typed_ipd"]), str(row["capture"])


def commit(root: Path = ROOT) -> str:
    """The commit that ran, marked when the working tree differs from it; `unknown` outside a checkout."""
    def git(*words: str) -> str:
        try:
            return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            return ""

    top = git("rev-parse", "--show-toplevel")
    if not top or Path(top).resolve() != root.resolve():
        return "unknown"
    return git("rev-parse", "--short", "HEAD") + ("+changes" if git("status", "-s", "--", *CODE) else "")


def hardware() -> str:
    """Processor, cores and memory."""
    info = Path("/proc/cpuinfo")
    models = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
              ] if info.is_file() else []
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, no GPU used"


def relative(paths: Sequence[Path]) -> list[str]:
    """Paths as they can be typed from here, so that a record names no machine."""
    return [os.path.relpath(path) for path in paths]
