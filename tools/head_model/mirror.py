"""Left and right: the template's mirror symmetry, and pins and regions that keep it exactly.

Letters: V vertices, F triangles. `partner` (V,) names each vertex's mirror image; it is its own inverse.
"""

import numpy as np
from scipy.spatial import cKDTree

from core.mesh import Mesh
from core.surface import SurfacePoints
from tools.head_model.surface import closest, settled

OTHER_SIDE = [-1, 1, 1]


def vertex_partner(vertices_mm):
    """For each vertex its left-right twin, by position (Anny's skin is symmetric to a micrometre)."""
    distance, partner = cKDTree(vertices_mm).query(vertices_mm * OTHER_SIDE)
    if distance.max() > 0.5 or not np.array_equal(partner[partner], np.arange(len(partner))):
        raise ValueError(f"the default head is not symmetric: {distance.max():.2f} mm")
    return partner


def reflected(vertices_mm, partner):
    """Heads (..., V, 3) as seen in a mirror, in the same topology."""
    return vertices_mm[..., partner, :] * OTHER_SIDE


def evened(vertices_mm, partner):
    """A head half way between itself and its mirror image: exactly symmetric."""
    return (vertices_mm + reflected(vertices_mm, partner)) / 2


def evened_weights(names, weights, partner):
    """Regions (R,V), each averaged with the mirror image of its own other side (`_l` and `_r`, or itself)."""
    ending = {"_l": "_r", "_r": "_l"}
    other = [names.index(n[:-2] + ending[n[-2:]] if n[-2:] in ending else n) for n in names]
    return (weights + weights[other][:, partner]) / 2


def mirrored(points: SurfacePoints, faces, partner) -> SurfacePoints:
    """The points' mirror images, on the mirrored triangles."""
    row = {tuple(sorted(face)): k for k, face in enumerate(faces.tolist())}
    twin = partner[faces[points.face]]
    face = np.array([row[tuple(sorted(corners))] for corners in twin.tolist()])
    corner = np.argmax(faces[face][:, :, None] == twin[:, None, :], axis=2)
    return SurfacePoints(face=face, bary=np.take_along_axis(points.bary, corner, 1))


def on_midline(mesh: Mesh, partner, points_mm) -> SurfacePoints:
    """The nearest points of the midline: the edges between vertices that are their own mirror images."""
    own = partner[mesh.faces] == mesh.faces
    face, first = np.nonzero(own & np.roll(own, -1, axis=1))
    second = (first + 1) % 3
    a, b = mesh.vertices_mm[mesh.faces[face, first]], mesh.vertices_mm[mesh.faces[face, second]]
    along = b - a
    share = np.clip(((points_mm[:, None] - a) * along).sum(2) / (along**2).sum(1), 0, 1)
    best = np.argmin(np.linalg.norm(a + share[..., None] * along - points_mm[:, None], axis=2), axis=1)
    rows, bary = np.arange(len(points_mm)), np.zeros((len(points_mm), 3))
    bary[rows, first[best]], bary[rows, second[best]] = 1 - share[rows, best], share[rows, best]
    return settled(mesh, face[best], bary)


def joined(*points: SurfacePoints) -> SurfacePoints:
    """Several batches as one."""
    return SurfacePoints(face=np.concatenate([p.face for p in points]), bary=np.concatenate([p.bary for p in points]))


def even_points(mesh: Mesh, partner, points_mm, twin, among=slice(None)) -> SurfacePoints:
    """Surface points nearest to (n,3) mm that mirror each other exactly; `twin` (n,) names each point's other side.

    A point that is its own twin lies on the midline; of a pair the left one is sought, among the triangles `among`, and
    the right one mirrored.
    """
    middle = (points_mm + points_mm[twin] * OTHER_SIDE) / 2
    alone = twin == np.arange(len(twin))
    left = np.flatnonzero(~alone & (middle[:, 0] > 0))
    face, bary = np.zeros(len(twin), np.int32), np.zeros((len(twin), 3))
    found = closest(mesh, middle[left], among)
    for rows, points in ((left, found), (twin[left], mirrored(found, mesh.faces, partner)),
                         (np.flatnonzero(alone), on_midline(mesh, partner, middle[alone]))):
        face[rows], bary[rows] = points.face, points.bary
    return SurfacePoints(face=face, bary=bary)
