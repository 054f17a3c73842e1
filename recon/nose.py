"""The nose, measured again from the nose that was found.

Its wings and rims bend within a patch of flow, which then tells less than all of what is left; a second measurement,
from a start that is already near, has less to tell; and once the nostrils are open, the skin across them no longer
hides where the columella ends. Views farther apart may be compared, too, and only the nose and what is next to it has
to be looked at: a few seconds.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree

from core.anatomy import Anatomy
from core.camera import Camera
from core.fragments import Rasterize
from core.mesh import Mesh
from recon.dense import DenseOptions, joined, measure_depths
from recon.graph import edges_of, neighbours
from recon.nostrils import spread
from recon.outline import OutlineOptions, measure_outlines
from recon.skin import all_skin, others, outlined
from recon.surface import SurfaceOptions, offsets

Picture = UInt8[np.ndarray, "h w 3"]
REACH_MM, MARGIN_MM = 8.0, 8.0
"""Skin so far from the nose moves with it; so much around that is drawn, for what it hides and is hidden by."""
APART_RAD = 0.7
"""Views up to so far apart are compared."""
REFERENCES = 12
"""More views in which depth is measured brought the nose no nearer to the truth."""
STIFFER = 15.0
"""Offsets are held so much more alike than on the whole face: they are small, and the nose is already formed; looser,
the nostrils' rims come out lumpy."""


def nose_again(mesh: Mesh, anatomy: Anatomy, inside: Bool[np.ndarray, "v"], cameras: Sequence[Camera],
               pictures: Callable[[int], Picture], masks: Sequence[UInt8[np.ndarray, "h w"]], rasterize: Rasterize,
               dense: DenseOptions, outline: OutlineOptions, surface: SurfaceOptions) -> Mesh:
    """The mesh with its nose where the pictures say when they are compared through this mesh.

    inside: vertices within the open nostrils, which nothing measures: they follow their rims.
    """
    dense = dataclasses.replace(dense, apart_rad=(dense.apart_rad[0], APART_RAD), references=REFERENCES)
    surface = dataclasses.replace(surface, stiffness=STIFFER * surface.stiffness)
    away = from_nose(mesh, anatomy)
    near = away < REACH_MM
    skin, rim = ((weight * (near & ~inside)) for weight in (all_skin(anatomy), outlined(anatomy)))
    movable = (1 - others(anatomy)) * near
    part, own = cut_out(mesh, (away[mesh.faces] < REACH_MM + MARGIN_MM).any(1))
    depths = joined(measure_depths(part, skin[own], cameras, pictures, masks, rasterize, dense),
                    measure_outlines(part, rim[own], cameras, pictures, rasterize, outline))
    along, _ = offsets(part, depths, movable[own], surface)
    move = np.zeros_like(mesh.vertices_mm)
    move[own] = along[:, None] * part.vertex_normals()
    if inside.any():
        move[inside] = spread(move, neighbours(*edges_of(mesh.faces), len(move)), inside)
    return mesh.moved(move)


def from_nose(mesh: Mesh, anatomy: Anatomy) -> Float[np.ndarray, "v"]:
    """How far (mm) every vertex is from the nose; inf farther off than it matters."""
    nose = mesh.vertices_mm[anatomy.region("nose") > 0.5]
    return np.asarray(cKDTree(nose).query(mesh.vertices_mm, distance_upper_bound=REACH_MM + MARGIN_MM)[0])


def cut_out(mesh: Mesh, chosen: Bool[np.ndarray, "f"]) -> tuple[Mesh, np.ndarray]:
    """The chosen triangles as a mesh of their own (without texture), and which vertices they have."""
    own, corner = np.unique(mesh.faces[chosen], return_inverse=True)
    faces = corner.reshape(-1, 3)
    return Mesh(vertices_mm=mesh.vertices_mm[own], faces=faces, uv=np.zeros((1, 2)), faces_uv=0 * faces), own
