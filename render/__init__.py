"""Mesh and camera to pictures and buffers. Imports core only."""
