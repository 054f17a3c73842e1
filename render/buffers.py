"""Buffers: what a picture is made from, per pixel: normals, and how far one millimetre reaches."""

import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.fragments import Fragments
from core.mesh import Mesh


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
