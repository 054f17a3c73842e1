"""Rasterisers by name; each row is one file."""

RASTERIZERS = {
    "open3d": "render.rasterize:rasterize",
    "pytorch3d": "render.pytorch3d_backend:rasterize",
}
