"""Swelling: a layer over the final result, along the skin's normals, high where the operation was."""

from functools import lru_cache

import numpy as np
import potpourri3d
from jaxtyping import Float
from scipy.sparse import csc_array, diags_array
from scipy.sparse.linalg import spsolve

from core.anatomy import Anatomy
from core.errors import PrevisageError
from core.healing import WEEK_MONTHS
from core.mesh import Mesh
from core.procedure import Procedure
from core.sides import Side
from deform3d.handles import Places
from deform3d.kernels import wendland

MONTHS = (WEEK_MONTHS, 2 * WEEK_MONTHS, 1.0, 2.0, 3.0, 6.0, 9.0, 12.0)
"""The states that are kept with a prediction, one week to twelve months after the operation."""
SPREAD_MM = 8.0
"""Fluid has no edge: the layer is evened over about this distance along the skin."""
DRY = ("eye_l", "eye_r", "mouth_interior")
"""Parts that do not swell."""


def swelling_mm(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, side: Side | None = None) -> Float[
        np.ndarray, "v 3"]:
    """The layer at 100 %: amplitude times the largest factor of the regions that a vertex lies in, times those of the
    landmarks around it, evened. Kept for the last few heads and procedures, for the steps' values do not change it.

    side: the only side that was operated on; the other stays exactly as it is.
    """
    return layer_mm(mesh, anatomy, procedure.model_dump_json(), side).copy()


@lru_cache(maxsize=4)
def layer_mm(mesh: Mesh, anatomy: Anatomy, procedure_json: str, side: Side | None) -> Float[np.ndarray, "v 3"]:
    """As `swelling_mm`, worked out."""
    procedure = Procedure.model_validate_json(procedure_json)
    healing = procedure.healing
    if healing is None:
        return np.zeros_like(mesh.vertices_mm)
    missing = sorted(r for r in healing.regions if not anatomy.has(r))
    if missing:
        raise PrevisageError("missing_region", f"This head has no region {', '.join(missing)}, which swells after "
                             f"{procedure.name}.", f"It has: {', '.join(anatomy.region_names)}.")
    height = np.max([factor * anatomy.region(region) for region, factor in healing.regions.items()], axis=0)
    for pin, more in healing.around.items():
        away = np.linalg.norm(mesh.vertices_mm - mesh.points(Places(mesh, anatomy, procedure).point(pin))[0], axis=1)
        height = height * (1 + (more.factor - 1) * wendland(away / more.radius_mm))
    other = mesh.vertices_mm[:, 0] * {"left": -1.0, "right": 1.0, None: 0.0}[side] > 0
    dry = other | (np.max([anatomy.region(r) for r in DRY if r in anatomy.region_names], axis=0, initial=0) >= 0.05)
    even = evened(mesh, height, dry)
    return healing.amplitude_mm.mean * even[:, None] * evened_normals(mesh)


def evened(mesh: Mesh, height: Float[np.ndarray, "v"], dry: np.ndarray) -> Float[np.ndarray, "v"]:
    """The height after diffusion along the skin over `SPREAD_MM`: (M + s^2 L) h' = M h, exactly 0 where it is dry."""
    stiffness, mass = operators(mesh)
    free = np.flatnonzero(~dry)
    system = (diags_array(mass) + SPREAD_MM**2 / 4 * stiffness).tocsc()[free][:, free]
    out = np.zeros(len(height))
    out[free] = spsolve(system, (mass * height)[free])
    return np.maximum(out, 0)


@lru_cache(maxsize=2)
def evened_normals(mesh: Mesh) -> Float[np.ndarray, "v 3"]:
    """Unit normals without the skin's own small relief, along which a layer would spread out spikes."""
    stiffness, mass = operators(mesh)
    system = (diags_array(mass) + 4.0 * stiffness).tocsc()
    smooth = spsolve(system, mass[:, None] * mesh.vertex_normals())
    length = np.linalg.norm(smooth, axis=1, keepdims=True)
    return smooth / np.where(length > 1e-12, length, 1)


@lru_cache(maxsize=2)
def operators(mesh: Mesh) -> tuple[csc_array, Float[np.ndarray, "v"]]:
    """Cotangent stiffness and lumped mass (mm2) of a mesh."""
    stiffness = potpourri3d.cotan_laplacian(mesh.vertices_mm, mesh.faces, denom_eps=1e-6)
    return csc_array(stiffness), np.maximum(potpourri3d.vertex_areas(mesh.vertices_mm, mesh.faces), 1e-9)
