"""Eyelids glide on the globe: what moves up goes forward or back so that its distance from the centre stays.

c centre of the globe (mm), r its radius; for a lid vertex x with displacement u, p = x + u - c and rho = |x - c|:
z' = sqrt(rho^2 - p_x^2 - p_y^2) replaces p_z, so the lid margin moves by the planned millimetres as seen from the
front. The correction fades with the height of the skin over the globe, and towards the sides, where that turns away.
"""

import numpy as np
from jaxtyping import Float

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.sides import SIDES
from core.surface import SurfacePoints
from deform3d.geodesic import smoothstep

FADES_MM = 5.0
"""Skin this far above the globe lies on fat and muscle, and no longer follows its shape."""
SIDEWAYS = (0.15, 0.5)
"""Below the first number of z / rho a point lies beside the globe and is left; above the second it rests on it."""


class Globes:
    """The two globes of a head, as spheres through the front of the eyes."""

    def __init__(self, mesh: Mesh, anatomy: Anatomy) -> None:
        """A head without eye regions has none, and its lids are not held."""
        names = [f"eye_{side[0]}" for side in SIDES if f"eye_{side[0]}" in anatomy.region_names]
        self.spheres = [sphere(mesh.vertices_mm[anatomy.region(name) > 0.5]) for name in names]
        self.position = mesh.vertices_mm
        self.faces = mesh.faces

    def held(self, displacement_mm: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "v 3"]:
        """A displacement field with the lids on the globes."""
        return self.on_globe(self.position, displacement_mm)

    def held_at(self, points: SurfacePoints, asked_mm: Float[np.ndarray, "h 3"]) -> Float[np.ndarray, "h 3"]:
        """The same for handles."""
        return self.on_globe(points.on(self.position, self.faces), asked_mm)

    def on_globe(self, position: Float[np.ndarray, "n 3"], move: Float[np.ndarray, "n 3"]) -> Float[
            np.ndarray, "n 3"]:
        """Displacements of places, corrected along z."""
        out = move.copy()
        for centre, radius in self.spheres:
            before = position - centre
            rho = np.linalg.norm(before, axis=1)
            rests = 1 - smoothstep((rho - radius) / FADES_MM)
            rests *= smoothstep((before[:, 2] / np.maximum(rho, 1e-9) - SIDEWAYS[0]) / (SIDEWAYS[1] - SIDEWAYS[0]))
            rows = np.flatnonzero((rests > 0) & move.any(1))
            after = before[rows] + move[rows]
            depth = np.sqrt(np.maximum(rho[rows]**2 - after[:, 0]**2 - after[:, 1]**2, 0))
            out[rows, 2] += rests[rows] * (depth - after[:, 2])
        return out


def sphere(points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "3"], float]:
    """Centre and radius (mm) of the sphere nearest to some points: |p|^2 = 2 c . p + r^2 - c^2, solved for c."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    *centre, rest = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    return np.array(centre), float(np.sqrt(rest + np.dot(centre, centre)))
