"""Differentiable rasteriser on the CPU: Open3D says which triangle a pixel sees, torch says where on it.

Letters: a ray of direction r = K^-1 (u, v, 1) leaves the camera centre; a triangle with corners a, b, c in camera axes
is met at weights proportional to  r.(b x c), r.(c x a), r.(a x b)  (Cramer's rule), and its depth is that of the
corners, so weighted. These are perspective-correct barycentrics, and they follow the corners' gradient exactly as
long as a pixel keeps its triangle; outlines have no gradient. It is the twin that decides what PyTorch3D must give.
"""

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

from core.camera import Camera
from core.errors import UsageError
from core.mesh import Mesh
from render.rasterize import rasterize
from render.seen import Seen

if TYPE_CHECKING:
    import torch

INSTALL = "Install it: pip install torch."


def seen_from_vertices(vertices_mm: "torch.Tensor", faces: "torch.Tensor", camera: Camera) -> Seen:
    """Differentiable: depth and barycentrics follow (V,3) head-frame vertices in mm; a camera without distortion.

    UsageError: torch is not installed, or the lens is bent.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise UsageError("no_torch", f"Torch cannot be used here: {error}.", INSTALL) from error
    if np.any(camera.distortion):
        raise UsageError("lens_distortion", "The differentiable rasteriser takes pictures without lens distortion.",
                         "Undistort the picture first, and give the camera zeros.")
    triangles = faces.cpu().numpy()
    mesh = Mesh(vertices_mm=vertices_mm.detach().cpu().numpy().astype(float), faces=triangles,
                uv=np.zeros((len(vertices_mm), 2)), faces_uv=triangles)
    met = rasterize(mesh, camera)
    rows, columns = np.nonzero(met.covered)

    def like(values: np.ndarray) -> Any:
        return torch.as_tensor(values, dtype=vertices_mm.dtype, device=vertices_mm.device)

    ray = like(np.column_stack([columns, rows, np.ones(len(rows))]) @ np.linalg.inv(camera.K_px).T)
    pose = like(np.array(camera.cam_from_head))
    a, b, c = (vertices_mm @ pose[:3, :3].T + pose[:3, 3])[faces[torch.as_tensor(
        met.face[rows, columns].astype(np.int64), device=faces.device)]].unbind(1)
    weight = torch.stack([(ray * torch.linalg.cross(p, q)).sum(1) for p, q in ((b, c), (c, a), (a, b))], 1)
    weight = weight / weight.sum(1, keepdim=True)
    depth = weight[:, 0] * a[:, 2] + weight[:, 1] * b[:, 2] + weight[:, 2] * c[:, 2]
    height, width = met.face.shape
    place = torch.as_tensor(rows * width + columns, device=vertices_mm.device)
    bary = like(np.zeros((height * width, 3))).index_put((place,), weight)
    depth = like(np.full(height * width, np.inf)).index_put((place,), depth)
    return Seen(face=torch.as_tensor(met.face.astype(np.int64), device=vertices_mm.device),
                bary=bary.reshape(height, width, 3), depth_mm=depth.reshape(height, width))
