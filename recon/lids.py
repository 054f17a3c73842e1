"""Lids: what lies behind their edges follows them, and eyeballs of human size rest against them from behind.

Flow sees lids, but neither what they turn inwards to nor the sockets' lining. Moved along its own normal, or not at all,
that part came out through the skin; and the model's eyeballs (15.6 mm) are larger than anybody's, so that lids, once
they lay where the pictures show them, cut through them. Letters: c centre, r radius of an eyeball.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import cKDTree

from core.anatomy import Anatomy
from core.mesh import Mesh
from recon.complete import membrane
from recon.graph import edges_of, neighbours
from recon.nostrils import spread

EYE_RINGS = {"r": (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
             "l": (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)}
"""The lids' edges, from the outer corner over the lower lid."""
BEYOND_MM, AROUND_MM = 1.0, 3.0
"""So far outside the edges (along the skin) nothing measures a lid; over so much of it normals are averaged."""
NEAR_MM = 9.0
"""Skin farther from an edge is no lid."""
SMALLER = 0.8
"""Radius of an eyeball over that of the model's, 15.6 mm: adults' are 12 mm and hardly differ."""
THICK_MM = 0.2
"""How far the edges, where landmarks lie, stand off the eyeball."""
EDGE_SD_MM, SIDE_SD_MM, DEPTH_SD_MM = 0.5, 1.0, 8.0
"""How well an edge says where the eyeball is; how well the model does across and along the line of sight."""
LINING_MM, SKIN_MM = (0.2, 0.4), 0.6
"""How far outside the eyeball its socket's lining lies, and the lids' skin at least."""
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


def seated(mesh: Mesh, anatomy: Anatomy) -> Mesh:
    """The head with its eyeballs resting against its lids from behind, and nothing of lids and linings inside them."""
    out = mesh.vertices_mm.copy()
    near = neighbours(*edges_of(mesh.faces), len(out))
    for side, ring in EYE_RINGS.items():
        ball = anatomy.region(f"eye_{side}") > 0.5
        before, size = middle(out[ball])
        edge = mesh.points(anatomy.pins478[list(ring)])
        r = SMALLER * size
        gaze = mesh.points(anatomy.pin(f"p_{side}"))[0] - before
        gaze /= np.linalg.norm(gaze)
        c = centre(edge, before + [0, 0, size - r], r, gaze)
        towards = (out[ball] - before) / size
        out[ball] = c + r * far_out(towards, gaze)[:, None] * towards
        behind = region_behind(mesh, anatomy, side, 0.0)
        lining = behind & (anatomy.region("mouth_interior") > 0.5)
        out[lining] = held_off(out[lining], c, *(np.full(lining.sum(), r + away) for away in LINING_MM))
        for part, least_mm in ((behind & ~lining, LINING_MM[0]), (~behind & ~ball, SKIN_MM)):
            if least_mm == LINING_MM[0]:
                out[part] = spread(out, near, part)
            rows = np.flatnonzero(part & (np.linalg.norm(out - c, axis=1) < 1.5 * r))
            line = out[rows] - c
            least = r * far_out(line / np.linalg.norm(line, axis=1, keepdims=True), gaze) + least_mm
            out[rows] = held_off(out[rows], c, least, np.full(len(rows), np.inf))
    return mesh.with_vertices(out)


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


def centre(edge: Float[np.ndarray, "16 3"], start: Float[np.ndarray, "3"], r: float, gaze: Float[np.ndarray, "3"],
           ) -> Float[np.ndarray, "3"]:
    """Where an eyeball is that the lids' edges, its corners and what is next to them aside, rest on."""
    there = edge[[k for k in range(16) if k % 8 not in (0, 1, 7)]]
    prior = np.array([SIDE_SD_MM, SIDE_SD_MM, DEPTH_SD_MM])
    c = start
    for _ in range(10):
        far = np.linalg.norm(there - c, axis=1)
        towards = (there - c) / far[:, None]
        J = np.concatenate([-towards / EDGE_SD_MM, np.diag(1 / prior)])
        off = np.concatenate([(far - r * far_out(towards, gaze) - THICK_MM) / EDGE_SD_MM, (c - start) / prior])
        c = c - np.linalg.lstsq(J, off, rcond=None)[0]
    return c


def far_out(towards: Float[np.ndarray, "n 3"], gaze: Float[np.ndarray, "3"]) -> Float[np.ndarray, "n"]:
    """How far an eyeball of radius 1, with its cornea where it looks, reaches in these directions (unit vectors)."""
    back = np.sqrt(1 - LIMBUS**2) - np.sqrt(CORNEA**2 - LIMBUS**2)  # of the cornea's centre
    ahead = towards @ gaze
    far = back * ahead + np.sqrt(np.maximum(CORNEA**2 - back**2 * (1 - ahead**2), 0))
    return np.where(ahead > 0, np.maximum(far, 1), 1)


def held_off(points: Float[np.ndarray, "n 3"], c: Float[np.ndarray, "3"], least_mm: Float[np.ndarray, "n"],
             most_mm: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n 3"]:
    """Points drawn along their lines from c until they lie between two distances from it."""
    far = np.maximum(np.linalg.norm(points - c, axis=1), 1e-9)
    return np.asarray(c + (points - c) * (np.clip(far, least_mm, most_mm) / far)[:, None])


def middle(points: Float[np.ndarray, "n 3"]) -> tuple[Float[np.ndarray, "3"], float]:
    """Centre and radius of the sphere through an eyeball's vertices (|p|^2 = 2 c . p + r^2 - c^2)."""
    *c, rest = np.linalg.lstsq(np.column_stack([2 * points, np.ones(len(points))]), (points**2).sum(1), rcond=None)[0]
    return np.array(c), float(np.sqrt(rest + np.dot(c, c)))
