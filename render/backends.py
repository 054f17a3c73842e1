"""Rasterisers by name; each row is one file."""

RASTERIZERS = {
    "open3d": "render.rasterize:rasterize",
    "pytorch3d": "render.pytorch3d_backend:rasterize",
}

DIFFERENTIABLE = {
    "open3d": "render.torch_backend:seen_from_vertices",
    "pytorch3d": "render.pytorch3d_backend:seen_from_vertices",
}
"""The same choice where gradients are asked for: the first needs torch, and is the twin that decides what is right."""
