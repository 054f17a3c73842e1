"""The command `verify`: whether a picture is as Previsage made it."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from viewer.common import Json
from viewer.terminal import current, say


def verify(
    pictures: Annotated[list[Path], typer.Argument(
        metavar="PICTURE...", help="PNG or JPEG files; or movies and others with a .provenance.json beside them.")],
    json_: Json = False,
) -> None:
    """Whether pictures are as they were signed when they were made, how they were made, and by whom.

    Exit code 0 when all are genuine. Keys of other installations that you trust go into the configuration folder, as
    trusted/NAME.pub.

    \b
      previsage verify for-anna/left_oblique_after.png
      previsage verify --json *.png
    """
    from synth import provenance

    found = {path: provenance.verify(path) for path in pictures}
    current.get().result(
        {"pictures": [{"file": path, **dataclasses.asdict(one)} for path, one in found.items()]},
        lambda: say("\n".join(f"{path}: {one.status}. {one.sentence}" for path, one in found.items())))
    if any(one.status != "genuine" for one in found.values()):
        raise typer.Exit(1)
