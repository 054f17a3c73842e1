"""Photometric refinement: the skin moves along its normals until pictures taken from different sides agree on it.

For a reference view k and a companion j, every other pixel p of k sees a place X(p) of the surface; a differentiable
rasteriser says where, as a function of the offsets d (V,). The residual compares two logs of grey, each freed of the
light that fell there (nine spherical harmonics of the normal, `recon.light`):

    r = [log I_j(pixel of X in j) - log lit_j(n)] - [log I_k(p) - log lit_k(n)]      less its median in the pair

The surface's own colour drops out; what remains follows d through the place in j (the gradient of its picture) and
through the normal (shading). Minimised is   sum rho(r / noise) + d' (stiffness L'L + hold) d / 2   with L the uniform
Laplacian and rho of Geman and McClure, by descent whose steps are shaped by  diag(h) + stiffness L'L + hold:  h is the
Gauss-Newton diagonal, estimated by one more gradient with random signs (Hutchinson). Outlines are left to others.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import scipy.sparse as sparse
from jaxtyping import Float, UInt8

from core.camera import Camera
from core.errors import UsageError
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from recon.dense import DenseOptions, companions
from recon.graph import laplacian
from recon.light import FLOOR, GAMMA, LIMB, Light
from recon.surface import factor

See = Callable[[Any, Any, Camera], Any]
"""A differentiable rasteriser: vertices (V,3) and faces (F,3) as tensors, a camera; face, bary and depth_mm (H,W)."""


@record
class PhotometricOptions:
    """rounds: steps. pairs: companions of each view, between `apart_rad` from it. least_noise: of a log grey (1 sd;
    the residuals of the first round say how much there is). blur_px: both pictures are blurred so far. share: how many
    independent looks a pixel is worth, for neighbours err alike. stiffness, hold_mm, most_mm: as of `recon.surface`.
    hidden_mm: tolerance of visibility. least_cosine: of the surface against the line of sight."""

    rounds: int = 8
    pairs: int = 3
    apart_rad: tuple[float, float] = (0.10, 0.45)
    least_noise: float = 0.01
    blur_px: float = 1.0
    share: float = 0.5
    stiffness: float = 60.0
    hold_mm: float = 1.0
    most_mm: float = 3.0
    hidden_mm: float = 2.0
    least_cosine: float = 0.3


DEFAULTS = PhotometricOptions()


class Look:
    """One view: its camera, the log of its grey, where it shows skin, and how its light stood."""

    def __init__(self, torch: Any, camera: Camera, picture: UInt8[np.ndarray, "h w 3"],
                 mask: UInt8[np.ndarray, "h w"], exposure: float, options: PhotometricOptions) -> None:
        width, height = camera.size_wh
        self.camera, self.exposure = camera, exposure
        self.small = camera.resized((width // 2, height // 2))
        grey = cv2.GaussianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), options.blur_px)
        self.log = torch.from_numpy(np.log(np.maximum(grey, 2.0) / 255))[None, None]
        self.mask = torch.from_numpy((mask > 0).astype(np.float32))[None, None]
        self.pose = torch.from_numpy(np.array(camera.cam_from_head, np.float32))
        self.K = torch.from_numpy(np.array(camera.K_px, np.float32))

    def project(self, points: Any) -> tuple[Any, Any]:
        """Pixels (n,2) and depths (n,) of head-frame points."""
        cam = points @ self.pose[:3, :3].T + self.pose[:3, 3]
        return (cam[:, :2] / cam[:, 2:].clamp(min=1e-3)) @ self.K[:2, :2].T + self.K[:2, 2], cam[:, 2]


class Pictures:
    """All views, and how their skin differs for given offsets."""

    def __init__(self, mesh: Mesh, skin: Float[np.ndarray, "v"], looks: Sequence[Look], light: Light, see: See,
                 torch: Any, options: PhotometricOptions) -> None:
        self.torch, self.looks, self.see, self.options, self.light = torch, looks, see, options, light
        self.base = torch.from_numpy(mesh.vertices_mm.astype(np.float32))
        self.faces = torch.from_numpy(mesh.faces.astype(np.int64))
        normals = mesh.vertex_normals()
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        self.along = torch.from_numpy(normals.astype(np.float32))
        self.skin = torch.from_numpy(skin.astype(np.float32))
        self.harmonic = torch.from_numpy(light.coefficients.mean(1).astype(np.float32))
        towards = np.stack([look.camera.position_mm for look in looks])
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        choice = DenseOptions(neighbours=options.pairs, apart_rad=options.apart_rad)
        self.pairs = {k: companions(towards, k, choice) for k in range(len(looks))}
        self.noise = 1.0
        with torch.no_grad():
            first = self.residuals(torch.zeros(len(skin)))
        middle = float(torch.cat(first).abs().median()) if first else 0.0
        self.noise = max(1.48 * middle, options.least_noise)

    def normals(self, vertices: Any) -> Any:
        """Unit vertex normals (V,3) that follow the vertices."""
        a, b, c = vertices[self.faces].unbind(1)
        across = self.torch.linalg.cross(b - a, c - a)
        total = self.torch.zeros_like(vertices)
        for corner in range(3):
            total = total.index_add(0, self.faces[:, corner], across)
        return total / total.norm(dim=1, keepdim=True).clamp(min=1e-9)

    def log_lit(self, normal: Any, look: Look) -> Any:
        """Log of what the light makes of grey skin with these head-frame normals."""
        n = normal
        if self.light.frame == "room":
            n = n @ look.pose[:3, :3].T
            n = self.torch.cat([n[:, :2], n[:, 2:].clamp(max=-LIMB)], 1)
            n = n / n.norm(dim=1, keepdim=True)
        x, y, z = n.unbind(1)
        basis = self.torch.stack([x * 0 + 1, x, y, z, x * y, y * z, x * z, x * x - y * y, 3 * z * z - 1], 1)
        return ((basis @ self.harmonic).clamp(min=FLOOR).log() + look.exposure) / GAMMA

    def residuals(self, offsets: Any) -> list[Any]:
        """Residuals over their noise of every pair of views, as differentiable tensors."""
        torch, out = self.torch, []
        vertices = self.base + offsets[:, None] * self.along
        normals = self.normals(vertices)
        seen = [self.see(vertices, self.faces, look.small) for look in self.looks]
        for k, look in enumerate(self.looks):
            corners = self.faces[seen[k].face.clamp(min=0)]
            bary = seen[k].bary
            centre = torch.from_numpy(look.camera.position_mm.astype(np.float32))
            place = (bary[..., None] * vertices[corners]).sum(2)
            normal = (bary[..., None] * normals[corners]).sum(2)
            normal = normal / normal.norm(dim=2, keepdim=True).clamp(min=1e-6)
            usable = (seen[k].face >= 0) & ((bary * self.skin[corners]).sum(2) > 0.5)
            usable &= facing(place, normal, centre) > self.options.least_cosine
            place, normal = place[usable], normal[usable]
            if len(place) == 0:
                continue
            here, _ = look.project(place.detach())
            mine = at(torch, look.log, here) - self.log_lit(normal, look)
            good = at(torch, look.mask, here) > 0.99
            for j in self.pairs[k]:
                other = self.looks[j]
                px, depth = other.project(place)
                half = (px.detach() + 0.5) / 2 - 0.5
                met = at(torch, torch.where(seen[j].face >= 0, seen[j].depth_mm.detach(), 0.0)[None, None], half)
                away = torch.from_numpy(other.camera.position_mm.astype(np.float32))
                both = good & (at(torch, other.mask, px.detach()) > 0.99) & (
                    (met - depth.detach()).abs() < self.options.hidden_mm)
                both &= facing(place.detach(), normal.detach(), away) > self.options.least_cosine
                if int(both.sum()) < 200:
                    continue
                r = (at(torch, other.log, px[both]) - self.log_lit(normal[both], other) - mine[both])
                out.append((r - r.detach().median()) / self.noise)
        return out

    def cost(self, residuals: list[Any]) -> Any:
        """Robust cost (Geman-McClure) of all residuals, less its most for each: one that falls out of sight gains
        nothing by it."""
        total = self.torch.zeros(())
        for r in residuals:
            total = total - (1 / (1 + r * r)).sum()
        return self.options.share * total

    def slope(self, offsets: np.ndarray, rng: np.random.Generator) -> tuple[float, np.ndarray, np.ndarray]:
        """Cost, its gradient (V,), and the Gauss-Newton diagonal (V,), estimated."""
        torch = self.torch
        d = torch.from_numpy(offsets.astype(np.float32)).requires_grad_(True)
        residuals = self.residuals(d)
        if not residuals:
            return 0.0, np.zeros(len(offsets)), np.zeros(len(offsets))
        cost = self.cost(residuals)
        probe = torch.zeros(())
        for r in residuals:
            sign = torch.from_numpy(rng.choice([-1.0, 1.0], len(r)).astype(np.float32))
            probe = probe + (sign * r / (1 + r.detach() ** 2)).sum()
        gradient, = torch.autograd.grad(cost, d, retain_graph=True)
        signed, = torch.autograd.grad(probe, d)
        return (float(cost.detach()), gradient.numpy().astype(float),
                2 * self.options.share * signed.numpy().astype(float) ** 2)

    def value(self, offsets: np.ndarray) -> float:
        """The cost alone."""
        with self.torch.no_grad():
            return float(self.cost(self.residuals(self.torch.from_numpy(offsets.astype(np.float32)))))


def facing(place: Any, normal: Any, centre: Any) -> Any:
    """Cosine between normals and the way to a camera."""
    way = centre - place
    return (way * normal).sum(-1) / way.norm(dim=-1).clamp(min=1e-6)


def at(torch: Any, values: Any, px: Any) -> Any:
    """Values (1,1,H,W) between pixels, bilinear; 0 beyond the edge."""
    height, width = values.shape[2:]
    scale = torch.tensor([width, height], dtype=px.dtype)
    grid = (2 * px + 1) / scale - 1
    return torch.nn.functional.grid_sample(values, grid[None, None], align_corners=False)[0, 0, 0]


def agreed(mesh: Mesh, skin: Float[np.ndarray, "v"], cameras: Sequence[Camera],
           pictures: Sequence[UInt8[np.ndarray, "h w 3"]], masks: Sequence[UInt8[np.ndarray, "h w"]], light: Light,
           see: See, options: PhotometricOptions = DEFAULTS, progress: Progress = silent) -> tuple[Mesh, dict]:
    """The mesh with its skin (weight (V,)) moved until the pictures agree; and what that took.

    light: its exposures are those of these pictures, in order. UsageError: torch is not installed.
    """
    try:
        torch = importlib.import_module("torch")
    except ImportError as error:
        raise UsageError("no_torch", f"The photometric refinement cannot run here: {error}.",
                         "Install torch, or leave --photometric out.") from error
    looks = [Look(torch, c, p, m, float(e), options) for c, p, m, e in zip(
        cameras, pictures, masks, light.exposure.mean(1), strict=True)]
    views = Pictures(mesh, skin, looks, light, see, torch, options)
    smooth = laplacian(mesh.faces, len(skin))
    tied = options.stiffness * (smooth.T @ smooth) + sparse.diags(options.hold_mm**-2 + (1 - skin) * 1e4)
    near = sparse.identity(len(skin)) - smooth  # the mean of the neighbours
    rng, d = np.random.default_rng(0), np.zeros(len(skin))
    costs = []
    for turn in range(options.rounds):
        progress(turn / options.rounds, f"Comparing the skin between pictures, round {turn + 1}")
        cost, gradient, diagonal = views.slope(d, rng)
        whole = cost + 0.5 * float(d @ (tied @ d))
        costs.append(round(whole, 1))
        for _ in range(2):  # one probe is noisy: neighbours know about the same
            diagonal = 0.5 * diagonal + 0.5 * (near @ diagonal)
        step = -factor((tied + sparse.diags(2 * diagonal)).tocsc()).solve(gradient + tied @ d)
        for share in (1.0, 0.4, 0.15):
            tried = np.clip(d + share * step, -options.most_mm, options.most_mm)
            if views.value(tried) + 0.5 * float(tried @ (tied @ tried)) < whole:
                d = tried
                break
        else:
            break
    along = views.along.numpy().astype(float)
    return mesh.moved(d[:, None] * along), {"costs": costs, "moved_mm": round(float(np.abs(d[skin > 0.5]).mean()), 3)}
