"""Photoreal pictures from rendered buffers: empty in this version; issues D (warp, diffusion) and E fill it."""
