"""What a person or a machine sees of a command: progress on stderr, one result on stdout, errors with what to do.

With `--json` stdout carries exactly one JSON object, for results and for errors alike. Progress is drawn only when
stderr is a terminal; otherwise the command is quiet.
"""

import contextlib
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from core.errors import PrevisageError
from core.files import plain
from core.progress import Progress, silent


class Terminal:
    """Where a command writes."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress]:
        """A bar on stderr while the block runs, or silence."""
        if not sys.stderr.isatty():
            yield silent
            return
        from rich.console import Console
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        columns = (BarColumn(24), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.description}",
                                                                                      markup=False))
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task("starting", total=1.0)
            yield lambda fraction, message: bars.update(task, completed=fraction, description=message)

    def result(self, record: dict[str, Any], show: Callable[[], None]) -> None:
        """The one result: as JSON, or as `show` prints it."""
        if self.as_json:
            print(json.dumps(plain(record), ensure_ascii=False, allow_nan=False))
        else:
            show()

    def failure(self, error: PrevisageError) -> int:
        """Say what went wrong and what to do; the exit code."""
        if self.as_json:
            print(json.dumps({"error": {"code": error.code, "message": error.message, "hint": error.hint,
                                        "exit_code": error.exit_code}}, ensure_ascii=False))
        else:
            say_error(error)
        return error.exit_code


current: ContextVar[Terminal] = ContextVar("terminal")
"""Where the running command writes."""


def quiet_libraries() -> None:
    """Keep what native libraries write to stderr (their start-up notices) off the terminal; Python's stderr stays.

    `PREVISAGE_NATIVE_LOG=1` lets it through.
    """
    if os.environ.get("PREVISAGE_NATIVE_LOG"):
        return
    sys.stderr.flush()
    ours = os.fdopen(os.dup(2), "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stderr = ours


def say(text: str = "") -> None:
    """A line for people; paths are never broken."""
    print(text)


def say_error(error: PrevisageError) -> None:
    """The sentence, and below it what to do."""
    word = "refused" if error.exit_code == 3 else "error"
    print(f"previsage: {word}: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


def table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout, as wide as the terminal."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(*columns, title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False,
                  header_style="dim")
    for row in rows:
        drawn.add_row(*row)
    width = None if sys.stdout.isatty() else 160
    Console(markup=False, highlight=False, width=width).print(drawn)


def unexpected(error: Exception) -> PrevisageError:
    """An error nobody foresaw, with a name; its traceback goes to stderr for the report."""
    if isinstance(error, MemoryError):
        return PrevisageError("out_of_memory", "This computer's memory is too small for this input.",
                              "Close other programs, or use a shorter or smaller video.")
    if isinstance(error, OSError):
        return PrevisageError("system", f"The system refused: {error}.",
                              "Check the path, its permissions and the disk.")
    traceback.print_exception(error, file=sys.stderr)
    return PrevisageError("internal", f"Previsage itself failed ({type(error).__name__}: {error}).",
                          "Please report this with the lines above; finished stages are kept.")
