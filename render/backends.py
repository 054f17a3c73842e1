"""Rasterisers by name; each row is one file. PyTorch3D (GPU) takes its own row when it comes."""

RASTERIZERS = {"open3d": "render.rasterize:rasterize"}
