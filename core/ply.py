"""PLY: the surface in millimetres with a colour per vertex, for any other program."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from core.files import write_bytes
from core.mesh import Mesh


def write_ply(path: Path, mesh: Mesh, colors: UInt8[np.ndarray, "v 3"]) -> None:
    """Binary little-endian PLY: float32 millimetres, uint8 colours, triangles."""
    vertices = np.zeros(len(mesh.vertices_mm), [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    vertices["xyz"], vertices["rgb"] = mesh.vertices_mm, colors
    faces = np.zeros(len(mesh.faces), [("n", "u1"), ("abc", "<i4", 3)])
    faces["n"], faces["abc"] = 3, mesh.faces
    header = ("ply\nformat binary_little_endian 1.0\n"
              "comment millimetres; head frame: x patient's left, y up, z forward\n"
              f"element vertex {len(vertices)}\n"
              + "".join(f"property float {a}\n" for a in "xyz")
              + "".join(f"property uchar {c}\n" for c in ("red", "green", "blue"))
              + f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n")
    write_bytes(path, header.encode("ascii") + vertices.tobytes() + faces.tobytes())
