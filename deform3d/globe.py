"""Eyelids glide on the globe: what moves up goes forward or back so that its distance from the centre stays.

c centre of the globe (mm), r its radius; for a lid vertex x with displacement u, p = x + u - c and rho = |x - c|:
z' = sqrt(rho^2 - p_x^2 - p_y^2) replaces p_z, so the lid margin moves by the planned millimetres as seen from the
front. The correction fades with the height of the skin over the globe, and towards the sides, where that turns away.

A step along the skin's normal (a bag that flattens, a groove that is filled) is meant to change that distance. Then
the skin only keeps off the globe: with h the height over it before, d by how much the step lowers it, and
m = h - min(h, LID_MM) the room that there is, it goes down by d / (1 + (d / m)^4)^(1/4), always less than m.
"""

import numpy as np
from jaxtyping import Bool, Float

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.sides import SIDES
from deform3d.geodesic import smoothstep

FADES_MM = (2.0, 4.0)
"""Skin up to the first height above the globe is lid and rests on it; above the second it lies on fat and muscle, and
no longer follows the globe's shape."""
LID_MM = 0.8
"""Thickness of a lid: no step along the normal brings the skin nearer to the globe, unless it was nearer before."""
SIDEWAYS = (0.15, 0.5)
"""Below the first number of z / rho a point lies beside the globe and is left; above the second it rests on it."""
NODES = np.array([[0.108103018168070, 0.445948490915965, 0.445948490915965],
                  [0.816847572980459, 0.091576213509771, 0.091576213509771]])
SHARES = np.array([0.223381589678011, 0.109951743655322])
"""Dunavant's rule of degree 4 (1985): places on a triangle, as they stand and turned twice, and each one's share. The
sums of `sphere` are then integrals over the surface, the same however it is cut into triangles."""


class Globes:
    """The two globes of a head, as spheres through the front of the eyes: each square millimetre counts as it is seen
    from the front, and the back not at all."""

    def __init__(self, mesh: Mesh, anatomy: Anatomy) -> None:
        """A head without eye regions has none, and its lids are not held."""
        names = [f"eye_{side[0]}" for side in SIDES if f"eye_{side[0]}" in anatomy.region_names]
        self.spheres = [sphere(*front(mesh, anatomy.region(name) > 0.5)) for name in names]

    def held(self, position: Float[np.ndarray, "n 3"], move: Float[np.ndarray, "n 3"], along_normal: bool = False) -> (
            Float[np.ndarray, "n 3"]):
        """Displacements of places with the lids on the globes; `along_normal` only keeps them off."""
        return (self.off_globe if along_normal else self.on_globe)(position, move)

    def on_globe(self, position: Float[np.ndarray, "n 3"], move: Float[np.ndarray, "n 3"]) -> Float[
            np.ndarray, "n 3"]:
        """Displacements of places, corrected along z."""
        out = move.copy()
        for centre, radius in self.spheres:
            before = position - centre
            rho = np.linalg.norm(before, axis=1)
            rests = 1 - smoothstep((rho - radius - FADES_MM[0]) / (FADES_MM[1] - FADES_MM[0]))
            rests *= smoothstep((before[:, 2] / np.maximum(rho, 1e-9) - SIDEWAYS[0]) / (SIDEWAYS[1] - SIDEWAYS[0]))
            rows = np.flatnonzero((rests > 0) & move.any(1))
            after = before[rows] + move[rows]
            depth = np.sqrt(np.maximum(rho[rows]**2 - after[:, 0]**2 - after[:, 1]**2, 0))
            out[rows, 2] += rests[rows] * (depth - after[:, 2])
        return out

    def off_globe(self, position: Float[np.ndarray, "n 3"], move: Float[np.ndarray, "n 3"]) -> Float[
            np.ndarray, "n 3"]:
        """Displacements of places, shortened so that no skin comes nearer to a globe than a lid is thick."""
        out = move.copy()
        for centre, radius in self.spheres:
            before = position - centre
            height = np.linalg.norm(before, axis=1) - radius
            after = before + move
            rho = np.linalg.norm(after, axis=1)
            lowered = height + radius - rho
            rows = np.flatnonzero(move.any(1) & (lowered > 0) & (height > -LID_MM) & (before[:, 2] > 0))
            d, room = lowered[rows], np.maximum(height[rows] - LID_MM, 1e-9)
            less = d * room / (d**4 + room**4)**0.25
            out[rows] += after[rows] * ((d - less) / rho[rows])[:, None]
        return out


def front(mesh: Mesh, part: Bool[np.ndarray, "v"]) -> tuple[Float[np.ndarray, "n 3"], Float[np.ndarray, "n"]]:
    """Places on the triangles of a part that look forward, and how much of the part as seen from the front each one
    stands for (mm2)."""
    corners = mesh.vertices_mm[mesh.faces[part[mesh.faces].all(1)]]
    one, two = np.moveaxis(corners[:, 1:] - corners[:, :1], 1, 0)
    seen = np.maximum(one[:, 0] * two[:, 1] - one[:, 1] * two[:, 0], 0) / 2
    nodes = np.concatenate([np.roll(NODES, turn, axis=1) for turn in range(3)])
    return (nodes @ corners).reshape(-1, 3), np.outer(seen, np.tile(SHARES, 3)).ravel()


def sphere(points: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, "n"] | None = None) -> tuple[
        Float[np.ndarray, "3"], float]:
    """Centre and radius (mm) of the sphere nearest to some points: |p|^2 = 2 c . p + r^2 - c^2, solved for c."""
    root = np.ones(len(points)) if weights is None else np.sqrt(weights)
    system = np.column_stack([2 * points, np.ones(len(points))])
    *centre, rest = np.linalg.lstsq(root[:, None] * system, root * (points**2).sum(1), rcond=None)[0]
    return np.array(centre), float(np.sqrt(rest + np.dot(centre, centre)))
