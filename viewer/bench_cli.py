"""`previsage bench`: how good and how fast this version is, on captures whose truth is known."""

import contextlib
import shlex
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core.errors import PrevisageError, UsageError
from core.progress import Progress, silent
from viewer.terminal import current, say

if TYPE_CHECKING:
    from typer import Context
else:
    Context = typer.Context.__base__  # what typer hands over, wherever this version of it keeps the class

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False, no_args_is_help=False)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for results and for errors.")]
RECONSTRUCT = (sys.executable, "-m", "viewer.cli", "reconstruct")


class Quality(StrEnum):
    """As for `previsage reconstruct`."""

    fast = "fast"
    full = "full"


@app.callback(invoke_without_command=True)
def bench(context: Context, json_: Json = False) -> None:
    """How good and how fast this version is, on captures whose truth is known.

    \b
      previsage bench recon captures -o results/today
    """
    if context.invoked_subcommand is None:
        raise UsageError("usage", "Say what to measure: recon.", "See: previsage bench --help")


@app.command()
def recon(
    folders: Annotated[list[Path], typer.Argument(
        metavar="FOLDER...", help="Captures with truth, or folders that hold some.")],
    output: Annotated[Path, typer.Option(
        "-o", "--output", metavar="PREFIX", help="Writes PREFIX.md and PREFIX.json.")] = Path("recon"),
    quality: Annotated[Quality, typer.Option(help="As for `previsage reconstruct`.")] = Quality.full,
    ipd: Annotated[bool, typer.Option(
        "--ipd", help="Type each capture's true distance between the pupils (`ipd_mm` of its head.npz).")] = False,
    keep: Annotated[Path | None, typer.Option(
        "--keep", metavar="DIR", help="Keep the cases there; without it they are deleted.")] = None,
    json_: Json = False,
) -> None:
    """Reconstruct every capture with truth, and compare: shape, size, cameras, stated uncertainty, time, memory.

    A capture is a folder with video.mp4 and truth.npz: verts and tris of the head (mm, x to the person's left, y up, z
    out of the face), K, cam_from_head of every frame, landmarks478. `previsage demo` leaves one in CASE/demo.

    One after the other, each in a process of its own, so leave the machine alone meanwhile. Rows of earlier runs stay
    in PREFIX.json until the same capture is measured again at the same quality, with --ipd or without.

    Exit code 1 when a capture could not be reconstructed or scored; its row says why, and the others go on.

    \b
      previsage bench recon captures -o results/today
      previsage bench recon captures/anna --quality fast --ipd
      previsage bench recon demo-case/demo --keep cases --json
    """
    from core.files import write_bytes
    from previsage import bench as work
    from previsage import bench_page as page
    from previsage import bench_record as record

    files = {kind: output.with_name(output.name.removesuffix(".md").removesuffix(".json") + f".{kind}")
             for kind in ("md", "json")}
    captures = work.captures_in(folders)
    record.read(files["json"])  # a wrong -o is noticed before the work
    how = [*(["--quality", quality.value] if quality != Quality.full else []), *["--ipd"] * ipd]
    run = record.stamp(shlex.join(["previsage", "bench", "recon", *record.relative(folders), *how]))
    setting = work.Setting(command=RECONSTRUCT, quality=quality.value, ipd=ipd, keep=keep)

    def done(row: dict[str, Any]) -> None:
        write_bytes(files["md"], page.page(record.add(files["json"], row, run)).encode())

    try:
        with lines(list(captures)) as progress_of:
            rows = work.measure_all(captures, setting, progress_of, done)
    except KeyboardInterrupt as stopped:
        raise PrevisageError("interrupted", "Stopped.", "Captures that were finished are in the tables; the same "
                             "command measures all of them again.") from stopped
    current.get().result({"rows": [row | {"missed": page.missed(row)} for row in rows], "files": list(files.values())},
                         lambda: show(rows, list(files.values())))
    if any(row["state"] != "done" for row in rows):
        raise typer.Exit(1)


@contextlib.contextmanager
def lines(names: list[str]) -> Iterator[Callable[[str], Progress]]:
    """A line of progress per capture on stderr while the block runs; silence when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda name: silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.fields[name]}", markup=False), BarColumn(16), TimeElapsedColumn(),
               TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks = {name: bars.add_task("waiting", total=1.0, start=False, name=name) for name in names}

        def progress_of(name: str) -> Progress:
            bars.start_task(tasks[name])
            return lambda fraction, message: bars.update(tasks[name], completed=fraction, description=message)

        yield progress_of


def show(rows: list[dict[str, Any]], files: list[Path]) -> None:
    """The tables as a person reads them: bars first, misses bold and marked with `!`."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from previsage import bench_page as page

    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for title, columns in page.TABLES:
        drawn = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False,
                      padding=(0, 1, 0, 0), header_style="dim")
        for name in ("capture", "how"):
            drawn.add_column(name, overflow="fold")
        for column in columns:
            drawn.add_column(column.title, justify="right")
        for name, kind in page.kinds(rows, columns):
            drawn.add_row(Text(name, "dim"), "", *(Text(page.bar_cell(kind, c), "dim") for c in columns))
        for row in rows:
            late = page.missed(row)
            cells = [Text(f"{text}!", "bold") if c.key in late and (text := page.cell(row, c))
                     else Text(page.cell(row, c)) for c in columns]
            if row["state"] != "done":
                cells[0] = Text(row["state"], "bold")
            drawn.add_row(Text(row["capture"]), page.setting(row), *cells)
        console.print(drawn)
        say()
    for text in page.failures(rows):
        say(text)
    say("! beyond its bar")
    for file in files:
        say(str(file))
