"""What several commands share: their arguments, and the lock on a case."""

import contextlib
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from core.errors import PrevisageError
from core.progress import Progress
from previsage.job import working_on
from viewer.terminal import current

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for results and for errors.")]
CaseArg = Annotated[Path, typer.Argument(metavar="CASE", help="Folder of the case.")]
PlanOption = Annotated[str | None, typer.Option("--plan", metavar="ID", help="A plan that was predicted.")]


class Band(StrEnum):
    """Which result."""

    low = "low"
    mean = "mean"
    high = "high"


@contextlib.contextmanager
def work(case: Path) -> Iterator[Progress]:
    """Progress for a piece of work, which has the case to itself. PrevisageError: another process works on the case."""
    with contextlib.ExitStack() as stack:
        if (case / "case.json").is_file() and not stack.enter_context(working_on(case)):
            raise PrevisageError("busy", f"Another process works on {case}.", "Wait for it, or stop it.")
        yield stack.enter_context(current.get().progress())
