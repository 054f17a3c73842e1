"""Seen: what a differentiable rasteriser tells of one picture."""

from typing import TYPE_CHECKING

from core.records import record

if TYPE_CHECKING:
    import torch


@record
class Seen:
    """Tensors of one picture; bary and depth_mm follow the vertices' gradient. face (H,W) or -1; bary (H,W,3)."""

    face: "torch.Tensor"
    bary: "torch.Tensor"
    depth_mm: "torch.Tensor"
