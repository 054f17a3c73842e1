"""A symmetric head before a camera, without a detector: what a photo and its fit would be if both were exact."""

import functools

import numpy as np

from analysis.spots import evened
from benchmarks.symmetry import bent, camera, picture
from core.camera import Camera
from core.landmarks import MEDIAPIPE478, Landmarks2D
from core.mesh import Mesh
from recon.models import load_model
from render.complexion import complexion
from render.mipmap import Mipmap

RESPONSE = 0.6
"""The share of a true difference that the made-up detector shows, as the real one does."""


@functools.cache
def head() -> tuple[Mesh, Mipmap]:
    mesh = load_model().mean_mesh()
    return mesh, Mipmap(complexion(mesh, load_model().anatomy, 5, 768)[0])


def pins(mesh: Mesh) -> np.ndarray:
    return mesh.points(load_model().anatomy.pins478)


@functools.cache
def photo(pose: tuple[float, float, float], kind: str = "", mm: float = 0.0) -> tuple[np.ndarray, Camera, Landmarks2D]:
    """Picture, camera and marks of the head, bent by a known amount."""
    mesh, skin = head()
    seen_by = camera(*pose)
    shown = bent(mesh, kind, mm) if kind else mesh
    true = pins(shown)
    even = evened(pins(mesh))
    marks = seen_by.px_from_points(even + RESPONSE * (true - even))
    return picture(shown, skin, seen_by), seen_by, Landmarks2D(scheme=MEDIAPIPE478, points=marks,
                                                               confidence=np.ones(478))
