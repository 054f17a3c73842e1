"""Helpers: every shipped step, mirrored and re-meshed heads."""

import numpy as np

from core import Anatomy, Mesh, SurfacePoints
from core.subdivide import finer
from deform3d import catalogue


def every_step():
    """(procedure, step) of the shipped catalogue."""
    return [(p, s) for p in catalogue().values() for s in p.steps]


def mirrored(mesh: Mesh, anatomy: Anatomy) -> tuple[Mesh, Anatomy]:
    """The head in a mirror: x negated, triangles turned, sides renamed."""
    other = {"l": "r", "r": "l"}
    def name(n: str) -> str:
        return n[:-1] + other[n[-1]] if n.endswith(("_l", "_r")) else n
    order = [0, 2, 1]
    flipped = Mesh(vertices_mm=mesh.vertices_mm * [-1, 1, 1], faces=mesh.faces[:, order], uv=mesh.uv,
                   faces_uv=mesh.faces_uv[:, order])
    def pins(p: SurfacePoints) -> SurfacePoints:
        return SurfacePoints(face=p.face, bary=p.bary[:, order])
    return flipped, Anatomy(pins478=pins(anatomy.pins478), pin_names=tuple(map(name, anatomy.pin_names)),
                            pin_points=pins(anatomy.pin_points), region_names=tuple(map(name, anatomy.region_names)),
                            region_weights=anatomy.region_weights)


def remeshed(mesh: Mesh, anatomy: Anatomy) -> tuple[Mesh, Anatomy]:
    """The same surface with four times the triangles; the first vertices are the old ones."""
    return finer(mesh, anatomy, np.ones(len(mesh.vertices_mm), bool))[:2]
