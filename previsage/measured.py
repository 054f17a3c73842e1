"""Measured: a command in a process of its own: what it said, and the time and memory it took."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from core.records import record

LAUNCH = Path(__file__).with_name("launch.py")
PATIENCE_S = 10.0
"""How long an interrupted command may take to clean up."""


@record
class Measured:
    """exit: of the command (128 + n: ended by signal n); wall_s, cpu_s (descendants included); peak_bytes: resident
    memory of the largest process among it and its descendants. None when the time limit ended it."""

    exit: int
    out: str
    err: str
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_bytes: int | None = None


def measured(command: Sequence[str], limit_s: float, env: dict[str, str] | None = None) -> Measured:
    """Run a command to its end, or to the limit; it never outlives this call."""
    with tempfile.TemporaryDirectory() as scratch:
        took = Path(scratch) / "took.json"
        with open(Path(scratch) / "out", "w+") as out, open(Path(scratch) / "err", "w+") as err:
            call = [sys.executable, "-I", "-S", str(LAUNCH), str(took), *command]
            with started(call, out.fileno(), err.fileno(), env) as process:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(limit_s)
                code = process.poll()
            out.seek(0)
            err.seek(0)
            said, complained = out.read(), err.read()
        numbers = json.loads(took.read_text()) if code is not None and took.is_file() else {}
    return Measured(exit=124 if code is None else code, out=said, err=complained, **numbers)


@contextlib.contextmanager
def started(call: list[str], out: int, err: int, env: dict[str, str] | None) -> Iterator[subprocess.Popen]:
    """The process, in a session of its own; whatever is left of it when the block ends is ended."""
    process = subprocess.Popen(call, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=env, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE_S)
