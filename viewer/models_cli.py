"""`previsage models`: the head models, and adding one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from viewer import shown
from viewer.terminal import current

if TYPE_CHECKING:
    from typer import Context
else:
    Context = typer.Context.__base__  # what typer hands over, wherever this version of it keeps the class

app = typer.Typer(rich_markup_mode=None, add_completion=False, pretty_exceptions_enable=False)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object, for results and for errors.")]


@app.callback(invoke_without_command=True)
def models(context: Context, json_: Json = False) -> None:
    """The head models that can be fitted, and whether they are here; `add` brings one in.

    \b
      previsage models
      previsage models add ict ICT-FaceKit --accept-licence
      previsage reconstruct anna.mp4 -o cases/anna --model ict
    """
    from previsage.head_models import head_models

    if context.invoked_subcommand is None:
        found = head_models()
        current.get().result({"models": found}, lambda: shown.models(found))


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="flame | ict", help="Which model it is.")],
    path: Annotated[Path, typer.Argument(metavar="FILE | FOLDER", help="FLAME's pickle, or an ICT-FaceKit checkout.")],
    accept_licence: Annotated[bool, typer.Option(
        "--accept-licence", help="You have read the model's licence and accept it; without this it is shown.")] = False,
    json_: Json = False,
) -> None:
    """Check and convert a head model that you have; it is kept in your data folder, and its file runs nothing.

    The folder is $PREVISAGE_MODELS, or previsage/models in your data folder. Takes one to two minutes.

    \b
      previsage models add flame flame2023_Open.pkl --accept-licence
      previsage models add ict ICT-FaceKit --accept-licence
    """
    from previsage.head_models import add_head_model

    terminal = current.get()
    with terminal.progress() as progress:
        record = add_head_model(name, path, accept_licence, progress)
    terminal.result(record, lambda: shown.added_model(record))
