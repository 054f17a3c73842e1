"""Buffers: what a picture is made from, per pixel: normals, where the face changes, how far one millimetre reaches."""

import cv2
import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh
from core.records import record


@record
class MaskOptions:
    """low_mm: displacement where the mask starts; full_mm: where it is one; feather_px: softness beyond the edge."""

    low_mm: float = 0.05
    full_mm: float = 0.5
    feather_px: float = 8.0


MASK = MaskOptions()
"""From what is visible (0.05 mm) to what is plain (0.5 mm)."""


def normals(fragments: Fragments, mesh: Mesh) -> Float[np.ndarray, "h w 3"]:
    """Smooth unit normals in head axes, zero where the mesh is not seen."""
    return unit(fragments.interpolate(mesh.vertex_normals(), mesh.faces))


def camera_normals(fragments: Fragments, mesh: Mesh, camera: Camera) -> Float[np.ndarray, "h w 3"]:
    """Smooth unit normals in camera axes (x right, y down, z away), zero where the mesh is not seen."""
    return normals(fragments, mesh) @ camera.cam_from_head[:3, :3].T.astype(np.float32)


def unit(vectors: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
    """Vectors with length one; zero stays zero."""
    length = np.sqrt(vectors[..., :1] ** 2 + vectors[..., 1:2] ** 2 + vectors[..., 2:] ** 2)
    return vectors / np.maximum(length, 1e-12)  # far below the shortest sum of two unit normals that has a direction


def change_mask(fragments: Fragments, mesh: Mesh, displacement_mm: Float[np.ndarray, "v 3"],
                options: MaskOptions = MASK) -> Float[np.ndarray, "h w"]:
    """Where the face moves, 0..1, feathered: one wherever it moves by `full_mm`, soft outside, zero without motion."""
    size = np.linalg.norm(displacement_mm, axis=1, keepdims=True)
    moved = fragments.interpolate(size, mesh.faces)[..., 0]
    core = np.clip((moved - options.low_mm) / (options.full_mm - options.low_mm), 0, 1).astype(np.float32)
    core = core * core * (3 - 2 * core)
    if options.feather_px <= 0 or not core.any():
        return core
    reach = 2 * round(options.feather_px) + 1
    grown = cv2.dilate(core, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))
    return np.maximum(core, cv2.GaussianBlur(grown, (0, 0), options.feather_px / 2))


def px_per_mm(fragments: Fragments, camera: Camera) -> float:
    """Pixels per millimetre at the face: focal length over the median depth of what the middle of the picture shows.

    Raises ValueError when the camera sees no surface.
    """
    height, width = fragments.face.shape
    middle = fragments.depth_mm[height // 3:-(height // 3) or None, width // 3:-(width // 3) or None]
    seen = middle[np.isfinite(middle)]
    if not seen.size:
        seen = fragments.depth_mm[fragments.covered]
    if not seen.size:
        raise ValueError("the camera sees no surface, so a millimetre has no length in its picture")
    return float(camera.K_px[0, 0] / np.median(seen))
