"""Rasteriser of PyTorch3D (BSD-3-Clause), on a GPU where there is one: the same `Fragments`, or differentiable tensors.

Frames. Ours: camera axes x right, y down, z forward (mm); pixels (u, v) with centres at integers, so the picture spans
-0.5 .. W - 0.5. PyTorch3D's rasteriser: x left, y up, z forward, the shorter side s = min(W, H) of the picture spans -1
.. 1 and the longer one W / s or H / s times that; its pixel i, counted from the right and from below, has the centre
-S/s + (2 i + 1) / s (`PixToNonSquareNdc` in its source). Our u is its W - 1 - u, hence

    x = (W - 1 - 2 u) / s        y = (H - 1 - 2 v) / s        z = depth in mm

and the depth and the barycentrics that it returns, perspective corrected, are ours without a change. Vertices go
through the lens's distortion, edges between them stay straight: on triangles of a few mm that is far below a pixel.

The Open3D twin decides what is right (tests/render/test_pytorch3d.py). A triangle that reaches behind the camera is
left out here. Without a GPU every pixel tries every triangle: small pictures only.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.errors import UsageError
from core.fragments import Fragments
from core.mesh import Mesh
from render.seen import Seen

if TYPE_CHECKING:
    import torch

INSTALL = ("PyTorch3D has no wheel: install torch, then build it from its source with the same compiler and CUDA "
           "(`pip install --no-build-isolation` on a checkout of facebookresearch/pytorch3d), or leave the choice of "
           "the rasteriser at open3d.")
BEHIND = -1.0
"""Depth given to what lies behind the camera: PyTorch3D leaves out triangles that reach below zero."""


def library() -> tuple[ModuleType, ModuleType, ModuleType]:
    """torch, pytorch3d.structures and its rasteriser; UsageError says what to install."""
    try:
        return (importlib.import_module("torch"), importlib.import_module("pytorch3d.structures"),
                importlib.import_module("pytorch3d.renderer.mesh.rasterize_meshes"))
    except ImportError as error:
        raise UsageError("no_pytorch3d", f"The rasteriser pytorch3d cannot be used here: {error}.", INSTALL) from error


def device_name() -> str:
    """Where PyTorch3D would work: `cuda` when torch sees a GPU and PyTorch3D was built for it, else `cpu`."""
    torch = library()[0]
    extension = importlib.import_module("pytorch3d._C")
    return "cuda" if torch.cuda.is_available() and hasattr(extension, "_rasterize_meshes_coarse") else "cpu"


def ndc_from_px(pixels_px: Float[np.ndarray, "*n 2"], size_wh: tuple[int, int]) -> Float[np.ndarray, "*n 2"]:
    """Image points in the plane of PyTorch3D's rasteriser."""
    size = np.array(size_wh, float)
    return (size - 1 - 2 * pixels_px) / size.min()


def ndc_from_points(points_mm: Float[np.ndarray, "n 3"], camera: Camera) -> Float[np.ndarray, "n 3"]:
    """Head-frame points as PyTorch3D's rasteriser wants them: x left, y up, z the depth in mm."""
    flat = ndc_from_px(camera.px_from_points(points_mm), camera.size_wh)
    depth = camera.cam_from_points(points_mm)[:, 2]
    before = np.isfinite(flat).all(1)
    return np.where(before[:, None], np.column_stack([flat, depth]), [0.0, 0.0, BEHIND])


def rasterize(mesh: Mesh, camera: Camera) -> Fragments:
    """See a mesh through one camera (`core.fragments.Rasterize`). UsageError: PyTorch3D is not installed."""
    torch = library()[0]
    where = device_name()
    points = torch.as_tensor(ndc_from_points(mesh.vertices_mm, camera), dtype=torch.float32, device=where)
    faces = torch.as_tensor(np.array(mesh.faces), dtype=torch.int64, device=where)
    seen = seen_from_ndc(points, faces, camera.size_wh)
    face = seen.face.cpu().numpy()
    empty = face < 0
    return Fragments(face=face, bary=np.where(empty[..., None], 0, seen.bary.cpu().numpy()),
                     depth_mm=np.where(empty, np.inf, seen.depth_mm.cpu().numpy()))


def seen_from_vertices(vertices_mm: "torch.Tensor", faces: "torch.Tensor", camera: Camera) -> Seen:
    """Differentiable: depth and barycentrics follow (V,3) head-frame vertices in mm; a camera without distortion."""
    torch = library()[0]
    if np.any(camera.distortion):
        raise UsageError("lens_distortion", "The differentiable rasteriser takes pictures without lens distortion.",
                         "Undistort the picture first, and give the camera zeros.")
    pose = torch.as_tensor(np.array(camera.cam_from_head), dtype=vertices_mm.dtype, device=vertices_mm.device)
    K = torch.as_tensor(np.array(camera.K_px), dtype=vertices_mm.dtype, device=vertices_mm.device)
    cam = vertices_mm @ pose[:3, :3].T + pose[:3, 3]
    depth = cam[:, 2:]
    px = (cam[:, :2] / depth.clamp(min=1e-6)) @ K[:2, :2].T + K[:2, 2]
    size = torch.tensor(camera.size_wh, dtype=vertices_mm.dtype, device=vertices_mm.device)
    return seen_from_ndc(torch.cat([(size - 1 - 2 * px) / size.min(), depth], 1), faces, camera.size_wh)


def seen_from_ndc(points: "torch.Tensor", faces: "torch.Tensor", size_wh: tuple[int, int]) -> Seen:
    """PyTorch3D's rasteriser itself: the nearest triangle of each pixel, both of its sides seen."""
    _, structures, rasterizer = library()
    face, depth, bary, _ = rasterizer.rasterize_meshes(
        structures.Meshes(verts=[points.float()], faces=[faces]), image_size=(size_wh[1], size_wh[0]), blur_radius=0.0,
        faces_per_pixel=1, perspective_correct=True, cull_backfaces=False)
    return Seen(face=face[0, ..., 0], bary=bary[0, ..., 0, :], depth_mm=depth[0, ..., 0])
