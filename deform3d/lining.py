"""What lies behind the skin goes with it: the floor of the mouth when the skin below the chin is drawn up.

x a vertex of the lining, y_j those of the skin, a_j their outward normals, as long as their share of the area (mm2),
d_j = |y_j - x|, h the least d_j of skin that x lies behind, phi the procedure's kernel, R its support, f its field.

    w_j   = max(0, a_j . (y_j - x)) (1 - (d_j / 3 h)^2)^2 / d_j^8       the skin before x, the nearest most
    f(x)  = sum_j w_j phi(d_j / R) f(y_j) / sum_j w_j

So a pull fades through the tissue as it does along the skin, and what is thin goes as one. phi falls by 2.1 / R at
most, so skin that comes up by less than R / 2 does not reach it. f stays linear in what the handles are asked.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_array

from core.anatomy import SKIN, Anatomy
from core.mesh import Mesh, scatter_add
from core.procedure import Procedure
from deform3d.compiled import compiled
from deform3d.ground import from_nearest
from deform3d.kernels import KERNELS

WIDTH = 3.0
"""Skin so many times as far off as the nearest does not count."""


def with_lining(mesh: Mesh, anatomy: Anatomy, procedure: Procedure, cardinal: Float[np.ndarray, "v h"],
                handles_mm: Float[np.ndarray, "m 3"], support_mm: float, still: Bool[np.ndarray, "v"]) -> Float[
                    np.ndarray, "v h"]:
    """The field, followed by the regions that the procedure names, within the support of the moved handles; vertices
    that are `still` stay so."""
    if not procedure.follows:
        return cardinal
    lining, place = np.max([anatomy.region(r) for r in procedure.follows], axis=0), mesh.vertices_mm
    behind = np.flatnonzero((lining > 0) & ~still & (from_nearest(place, handles_mm) < support_mm))
    skin = np.flatnonzero((lining == 0) & (anatomy.region(SKIN) == 1))
    area = scatter_add(len(place), mesh.faces, np.repeat(mesh.face_normals() / 6, 3, axis=0))
    first, column, weight, away_mm = before(place[behind], place[skin], area[skin], support_mm)
    pulls = csr_array((weight * KERNELS[procedure.kernel](away_mm / support_mm), column, first),
                      shape=(len(behind), len(skin)))
    out = cardinal.copy()
    out[behind] += lining[behind, None] * (pulls @ cardinal[skin] - cardinal[behind])
    return out


@compiled
def before(points, skin, area, support):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """The skin before every point, as rows of a sparse matrix: where each starts, which skin, its weight (a row sums
    to 1) and how far it is. A row is empty when no skin lies within the support."""
    first, near = np.zeros(len(points) + 1, np.int64), np.empty(len(skin))
    column, weight, away = [0 for _ in range(0)], [0.0 for _ in range(0)], [0.0 for _ in range(0)]
    for p in range(len(points)):
        least, total = support * support, 0.0
        for s in range(len(skin)):
            x, y, z = skin[s, 0] - points[p, 0], skin[s, 1] - points[p, 1], skin[s, 2] - points[p, 2]
            near[s] = x * x + y * y + z * z
            if near[s] < least and area[s, 0] * x + area[s, 1] * y + area[s, 2] * z > 0:
                least = near[s]
        for s in range(len(skin)):
            if least < support * support and near[s] < WIDTH * WIDTH * least:
                x, y, z = skin[s, 0] - points[p, 0], skin[s, 1] - points[p, 1], skin[s, 2] - points[p, 2]
                facing = area[s, 0] * x + area[s, 1] * y + area[s, 2] * z
                if facing > 0:
                    column.append(s)
                    weight.append(facing * (1 - near[s] / (WIDTH * WIDTH * least))**2 / near[s]**4)
                    away.append(np.sqrt(near[s]))
                    total += weight[-1]
        for c in range(first[p], len(column)):
            weight[c] /= total
        first[p + 1] = len(column)
    return first, np.array(column), np.array(weight), np.array(away)
