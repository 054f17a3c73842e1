"""`previsage models`: head models and weights of the generative modes, and adding one."""

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
    """Head models and weights of the generative modes, and whether they are here; `add` brings one in.

    \b
      previsage models
      previsage models add ict ICT-FaceKit --accept-licence
      previsage models add sd15 --download --accept-licence
      previsage reconstruct anna.mp4 -o cases/anna --model ict
    """
    from previsage.head_models import head_models
    from previsage.weights import weight_rows

    if context.invoked_subcommand is None:
        found = [*head_models(), *weight_rows()]
        current.get().result({"models": found}, lambda: shown.models(found))


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="flame | ict | sd15 | controlnet | ip-adapter | lcm-lora",
                                        help="Which model it is.")],
    path: Annotated[Path | None, typer.Argument(
        metavar="[FILE | FOLDER]", help="What you have of it; weights may lie in the Hugging Face cache instead.",
        show_default=False)] = None,
    accept_licence: Annotated[bool, typer.Option(
        "--accept-licence", help="You have read the model's licence and accept it; without this it is shown.")] = False,
    download: Annotated[bool, typer.Option(
        "--download", help="Fetch the weights first: the only command that uses the network.")] = False,
    json_: Json = False,
) -> None:
    """Check a model that you have and keep it ready; nothing of its file is run.

    Head models are converted into $PREVISAGE_MODELS (or previsage/models in your data folder), which takes one to two
    minutes. Weights stay where they are; their checksums are kept there.

    \b
      previsage models add flame flame2023_Open.pkl --accept-licence
      previsage models add ict ICT-FaceKit --accept-licence
      previsage models add sd15 stable-diffusion-v1-5 --accept-licence
      previsage models add controlnet --download --accept-licence
    """
    from previsage.weights import add_model

    terminal = current.get()
    with terminal.progress() as progress:
        record = add_model(name, path, accept_licence, download, progress)
    terminal.result(record, lambda: shown.added_model(record))
