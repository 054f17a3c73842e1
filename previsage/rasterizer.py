"""Which rasteriser sees the head: `open3d` (everywhere), or `pytorch3d` (a GPU) where a person built and chose it."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from core.backends import resolve
from core.camera import Camera
from core.errors import UsageError
from core.fragments import Rasterize
from core.mesh import Mesh
from render.backends import DIFFERENTIABLE, RASTERIZERS

VARIABLE = "PREVISAGE_RASTERIZER"
OURS = "open3d"
"""The one that is installed with the program."""


def rasterizer_name() -> str:
    """The person's choice."""
    return os.environ.get(VARIABLE) or OURS


def rasterizer() -> Rasterize:
    """The chosen rasteriser, tried on one triangle, so that what is missing is said before the work begins.

    UsageError: there is no such rasteriser, or its package is not installed.
    """
    chosen: Rasterize = resolve(RASTERIZERS, rasterizer_name(), "rasterizer")
    faces = np.array([[0, 1, 2]])
    K = np.array([[4.0, 0, 3.5], [0, 4.0, 3.5], [0, 0, 1]])
    chosen(Mesh(vertices_mm=np.array([[-9.0, -9, 10], [9, -9, 10], [0, 9, 10]]), faces=faces, uv=np.zeros((3, 2)),
                faces_uv=faces), Camera(K_px=K, cam_from_head=np.eye(4), size_wh=(8, 8)))
    return chosen


def differentiable() -> Callable[..., Any]:
    """The differentiable twin of the chosen rasteriser. UsageError: torch or PyTorch3D is not installed."""
    if importlib.util.find_spec("torch") is None:
        raise UsageError("no_torch", "The photometric refinement needs torch.",
                         "Install it (pip install torch), or leave --photometric out.")
    chosen: Callable[..., Any] = resolve(DIFFERENTIABLE, rasterizer_name(), "rasterizer")
    return chosen
