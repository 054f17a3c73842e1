"""Lids: what lies behind their edges follows them, and eyeballs of human size rest against them from behind.

Flow sees lids, but neither what they turn inwards to nor the sockets' lining. Moved along its own normal, or not at
all, that part came out through the skin; and the model's eyeballs (15.6 mm) are larger than anybody's, so that lids,
once they lay where the pictures show them, cut through them. Letters: c centre, r radius of an eyeball.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.records import record
from core.surface import SurfacePoints
from recon.complete import membrane
from recon.face478 import OUTER_EYE
from recon.graph import edges_of, laplacian, neighbours
from recon.nostrils import spread
from recon.surface import factor, rows_of

EYE_RINGS = {"r": (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
             "l": (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)}
"""The lids' edges, from the outer corner over the lower lid."""
MIDDLE = [k for k in range(16) if k % 8 not in (0, 1, 7)]
"""Of each ring, what is neither a corner nor next to one."""
BEYOND_MM, AROUND_MM = 1.0, 3.0
"""So far outside the edges (along the skin) nothing measures a lid; over so much of it normals are averaged."""
NEAR_MM = 9.0
"""Skin farther from an edge is no lid."""
SHARE = 12 / 87
"""Radius of an eyeball over the distance of the eyes' outer corners, both medians of adults; eyeballs hardly differ."""
THICK_MM = 0.3
"""How far the edges, where landmarks lie, stand off the eyeball."""
EDGE_SD_MM, SIDE_SD_MM, DEPTH_SD_MM = 0.5, 1.0, 8.0
"""How well an edge says where the eyeball is; how well the model does across and along the line of sight."""
LINING_MM, SKIN_MM = (0.2, 0.4), 0.6
"""How far outside the eyeball its socket's lining lies, and the lids' skin at least."""
PULL = 10.0
"""Weight of the edges against the lids' smoothness, when they are bent onto the eyeball."""
CORNER_MM = 2.0
"""Beside the corners a lid is drawn forwards onto the eyeball by less; what lies deeper is not over it."""
CORNEA, LIMBUS = 0.65, 0.49
"""Radii of the cornea and of its rim over the eyeball's: 7.8 and 5.9 mm of 12."""


def behind_lids(mesh: Mesh, anatomy: Anatomy) -> Bool[np.ndarray, "v"]:
    """What lies behind both eyes' lids, and `BEYOND_MM` around their edges."""
    return np.any([region_behind(mesh, anatomy, side, BEYOND_MM) for side in EYE_RINGS], axis=0)


def ways(mesh: Mesh, anatomy: Anatomy, behind: Bool[np.ndarray, "v"]) -> Float[np.ndarray, "v 3"]:
    """Unit vectors along which a vertex moves: its normal, and on the lids the mean one around (their own turn away
    within a millimetre, and a lid moved along them crumples)."""
    normals = mesh.vertex_normals()
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
    lids = np.max([anatomy.region(f"eyelids_{side}") for side in EYE_RINGS], axis=0)[:, None].astype(float)
    mean = membrane(mesh, normals, (~behind).astype(float), np.zeros_like(normals), AROUND_MM)
    out = (1 - lids) * normals + lids * mean
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9))


def followed(mesh: Mesh, move: Float[np.ndarray, "v 3"], behind: Bool[np.ndarray, "v"]) -> Mesh:
    """The mesh moved, what lies behind the lids' edges with the lids around it."""
    move = move.copy()
    move[behind] = spread(move, neighbours(*edges_of(mesh.faces), len(move)), behind)
    return mesh.moved(move)


def seated(mesh: Mesh, anatomy: Anatomy, seen_mm: Float[np.ndarray, "478 3"], known: Bool[np.ndarray, "478"]) -> Mesh:
    """The head with its eyeballs resting against its lids from behind, and nothing of lids and linings inside them.

    seen_mm: where the landmarks are seen from the front (how deep is not asked), of those that are `known`.
    """
    out, near = mesh.vertices_mm.copy(), neighbours(*edges_of(mesh.faces), len(mesh.vertices_mm))
    lining = anatomy.region("mouth_interior") > 0.5
    corners = mesh.points(anatomy.pins478[list(OUTER_EYE)])
    r = SHARE * float(np.linalg.norm(corners[0] - corners[1]))
    for side, ring in EYE_RINGS.items():
        ball, behind = anatomy.region(f"eye_{side}") > 0.5, region_behind(mesh, anatomy, side, 0.0)
        before, size = middle(out[ball])
        pins = anatomy.pins478[list(ring)]
        edge = mesh.points(pins)
        edge[known[list(ring)], :2] = seen_mm[list(ring)][known[list(ring)], :2]
        gaze = mesh.points(anatomy.pin(f"p_{side}"))[0] - before
        eye = Eye(c=before + [0, 0, size - r], r=r, gaze=gaze / np.linalg.norm(gaze))
        eye = eye.resting(edge)
        skin = ~behind & ~ball
        out += bent(mesh.faces, pins, eye.in_front(edge) - mesh.points(pins), ~ball & (
            behind | (cKDTree(edge).query(out)[0] < NEAR_MM)))
        towards = (out[ball] - before) / size
        out[ball] = eye.c + eye.reach(towards)[:, None] * towards
        bag, between = behind & lining, behind & ~lining
        out[bag] = eye.off(out[bag], *LINING_MM)
        out[between] = spread(out, near, between)
        out[between] = eye.off(out[between], LINING_MM[0])
        out[skin] = eye.off(out[skin], SKIN_MM)
    return mesh.with_vertices(out)


def bent(faces: Int[np.ndarray, "f 3"], pins: SurfacePoints, move: Float[np.ndarray, "k 3"],
         free: Bool[np.ndarray, "v"]) -> Float[np.ndarray, "v 3"]:
    """Moves of all vertices, smooth ones of the free ones, that take pins along."""
    count, own = len(free), np.flatnonzero(free)
    P = rows_of(pins, faces, count)[:, own]
    L = laplacian(faces, count)[:, own]
    out = np.zeros((count, 3))
    out[own] = factor(L.T @ L + PULL * P.T @ P).solve(np.asarray(PULL * P.T @ move))
    return out


@record
class Eye:
    """An eyeball: its centre (mm), radius (mm) and where it looks (unit vector), where its cornea is."""

    c: Float[np.ndarray, "3"]
    r: float
    gaze: Float[np.ndarray, "3"]

    def reach(self, towards: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
        """How far (mm) it reaches from c in these directions (unit vectors)."""
        back = np.sqrt(1 - LIMBUS**2) - np.sqrt(CORNEA**2 - LIMBUS**2)  # of the cornea's centre
        ahead = towards @ self.gaze
        far = back * ahead + np.sqrt(np.maximum(CORNEA**2 - back**2 * (1 - ahead**2), 0))
        return np.asarray(self.r * np.where(ahead > 0, np.maximum(far, 1), 1))

    def resting(self, edge: Float[np.ndarray, "16 3"]) -> "Eye":
        """The eye moved to where the lids' edges, its corners and what is next to them aside, rest on it."""
        there, start = edge[MIDDLE], self.c
        prior = np.array([SIDE_SD_MM, SIDE_SD_MM, DEPTH_SD_MM])
        eye = self
        for _ in range(10):
            far = np.linalg.norm(there - eye.c, axis=1)
            towards = (there - eye.c) / far[:, None]
            J = np.concatenate([-towards / EDGE_SD_MM, np.diag(1 / prior)])
            off = np.concatenate([(far - eye.reach(towards) - THICK_MM) / EDGE_SD_MM, (eye.c - start) / prior])
            eye = dataclasses.replace(eye, c=eye.c - np.linalg.lstsq(J, off, rcond=None)[0])
        return eye

    def in_front(self, edge: Float[np.ndarray, "16 3"]) -> Float[np.ndarray, "16 3"]:
        """The edges moved along z until they rest on the skin's side of it; the corners never backwards."""
        out = edge.copy()
        for _ in range(5):
            far = np.linalg.norm(out - self.c, axis=1)
            towards = (out - self.c) / far[:, None]
            out[:, 2] += (self.reach(towards) + SKIN_MM - far) / np.maximum(towards[:, 2], 0.5)
        corners = np.setdiff1d(np.arange(len(edge)), MIDDLE)
        ahead = (out - edge)[corners, 2]
        out[corners, 2] = edge[corners, 2] + np.where(ahead < CORNER_MM, np.maximum(ahead, 0), 0)
        return out

    def off(self, points: Float[np.ndarray, "n 3"], least_mm: float, most_mm: float = np.inf) -> Float[
            np.ndarray, "n 3"]:
        """Points drawn along their lines from c until they are so far outside of it."""
        far = np.maximum(np.linalg.norm(points - self.c, axis=1), 1e-9)
        reach = self.reach((points - self.c) / far[:, None])
        kept = np.clip(far, reach + least_mm, reach + most_mm)
        return np.where((kept == far)[:, None], points, self.c + (points - self.c) * (kept / far)[:, None])


def region_behind(mesh: Mesh, anatomy: Anatomy, side: str, beyond_mm: float) -> Bool[np.ndarray, "v"]:
    """The lining of an eye's socket, and the lids from there to their edges and `beyond_mm` farther."""
    edge = mesh.points(anatomy.pins478[list(EYE_RINGS[side])])
    away, nearest = cKDTree(edge).query(mesh.vertices_mm)
    ball = anatomy.region(f"eye_{side}") > 0.5
    reach = 3 * middle(mesh.vertices_mm[ball])[1]
    lining = (anatomy.region("mouth_interior") > 0.5) & (
        np.linalg.norm(mesh.vertices_mm - mesh.vertices_mm[ball].mean(0), axis=1) < reach / 2)
    i, j = edges_of(mesh.faces)
    far = np.linalg.norm(mesh.vertices_mm[i] - mesh.vertices_mm[j], axis=1)
    graph = csr_matrix((far, (i, j)), shape=(len(away),) * 2)
    along = dijkstra(graph, directed=False, indices=np.flatnonzero(lining), min_only=True, limit=4 * NEAR_MM)
    own = anatomy.pins478[list(EYE_RINGS[side])]
    at_edge = (along[mesh.faces[own.face]] * own.bary).sum(1)
    return lining | (~ball & (away < NEAR_MM) & (along < at_edge[nearest] + beyond_mm))


def middle(points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "3"], float]:
    """Centre and radius of the sphere through an eyeball's vertices (|p|^2 = 2 c . p + r^2 - c^2)."""
    *c, rest = np.linalg.lstsq(np.column_stack([2 * points, np.ones(len(points))]), (points**2).sum(1), rcond=None)[0]
    return np.array(c), float(np.sqrt(rest + np.dot(c, c)))
