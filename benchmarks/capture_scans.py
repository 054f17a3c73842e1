"""Two scans of real people as heads to film, in mm: one with its own texture, one painted here.

`lps`: Infinite, 3D Head Scan by Lee Perry-Smith (CC BY 3.0). `meshmonk`: MeshMonk's DemoFace (Apache-2.0).
"""

import json
import struct
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.spatial import cKDTree

from benchmarks.filming import Actor

LPS_MM_PER_UNIT = 52.2
"""The scan has no unit. Head breadth (3.15 units), outer eye corners (1.67) and sellion to menton (2.13) ask for 48.5,
53.6 and 57.7 mm per unit if each is the mean of adult men (153, 89.4 and 122.7 mm); this is their mean in the log,
weighted by the spread between men. It is good to about 6 %, so only the shape error of this film means anything."""
SPIKE_MM, SPIKE_ROUNDS = 3.0, 6
EYE_REACH_MM = 18.0
IRIS_WIDTH_MM, PUPIL_WIDTH_MM = 11.7, 3.6
LIPS = ((61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185),
        (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191))
BROWS = ((70, 63, 105, 66, 107, 55, 65, 52, 53, 46), (300, 293, 334, 296, 336, 285, 295, 282, 283, 276))
LIDS = ((33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246),
        (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466))
"""MediaPipe's contours: outer and inner lips, the brows, the eye openings."""
SKIN, LIP, BROW, SCLERA, IRIS, PUPIL, LASH, HAIR, SHIRT, GAP = (
    (206, 160, 134), (176, 98, 92), (74, 54, 42), (226, 220, 212), (84, 104, 112), (16, 14, 14), (62, 44, 38),
    (92, 74, 62), (70, 92, 128), (92, 44, 42))
PAINT_MM = 0.1


def lps(folder: Path) -> Actor:
    """The textured scan: a bald man, eyes closed, one hole under the jaw left as it is."""
    verts, tris, uv = glb_mesh(folder / "LeePerrySmith.glb")
    picture = np.ascontiguousarray(cv2.imread(str(folder / "color.jpg"))[..., ::-1])
    return Actor(verts_mm=verts * LPS_MM_PER_UNIT, tris=tris, uv=uv[tris], texture=picture,
                 centre_mm=(-4.0, 72.0, 18.0), skin_detail=0.05, noise_seed=31,
                 facts={"eyes": "closed", "iris_width_mm": None, "mm_per_unit": LPS_MM_PER_UNIT,
                        "scale": "from adult means, good to about 6 %: score the shape error only"})


def glb_mesh(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "t 3"], Float[np.ndarray, "v 2"]]:
    """Positions, triangles and uv of the only primitive of a binary glTF; its node's transform is not asked.

    The v of this file counts from the bottom, as head_capture's does (glTF's own counts from the top).
    """
    blob = path.read_bytes()
    size = struct.unpack_from("<I", blob, 12)[0]
    told, body = json.loads(blob[20:20 + size]), blob[28 + size:]
    primitive = told["meshes"][0]["primitives"][0]

    def array(index: int) -> np.ndarray:
        accessor = told["accessors"][index]
        view = told["bufferViews"][accessor["bufferView"]]
        kind = {5123: "<u2", 5125: "<u4", 5126: "<f4"}[accessor["componentType"]]
        width = {"SCALAR": 1, "VEC2": 2, "VEC3": 3}[accessor["type"]]
        if view.get("byteStride", np.dtype(kind).itemsize * width) != np.dtype(kind).itemsize * width:
            raise ValueError(f"{path.name} has interleaved vertices.")
        start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
        return np.frombuffer(body, kind, accessor["count"] * width, start).reshape(-1, width)

    wanted = primitive["attributes"]
    return (array(wanted["POSITION"]).astype(float), array(primitive["indices"]).astype(np.int64).reshape(-1, 3),
            array(wanted["TEXCOORD_0"]).astype(float))


def meshmonk(folder: Path, tool: ModuleType) -> Actor:
    """The untextured scan, its spikes drawn in, painted where MediaPipe finds brows, eyes and lips on its clay."""
    verts, tris = obj_mesh(folder / "DemoFace_10K.obj")
    tris = largest_piece(verts, tris)
    verts, spikes = without_spikes(verts, tris)
    verts = np.concatenate([verts, tool.Head(verts, tris).normals], 1)  # finer triangles keep the coarse ones' shading
    for _ in range(2):
        verts, tris = finer(verts, tris)
    marks = clay_landmarks(tool, verts[:, :3], tris)
    eyes = np.stack([np.nanmean(marks[list(lids)], 0) for lids in LIDS])
    for _ in range(2):  # an iris edge to 0.15 mm
        near = (np.linalg.norm(verts[tris, :3].mean(1)[:, None] - eyes, axis=2) < EYE_REACH_MM).any(1)
        verts, split = finer(verts, tris[near])
        tris = np.concatenate([tris[~near], split])
    verts, normals = verts[:, :3], verts[:, 3:]
    return Actor(verts_mm=verts, tris=tris, normals=normals, colors=paint(verts, marks, tool),
                 centre_mm=(15.0, 20.0, 15.0), skin_detail=0.10, noise_seed=32,
                 facts={"eyes": "open, painted on the scan's lids and eyeballs", "iris_width_mm": IRIS_WIDTH_MM,
                        "vertices_drawn_in": int(spikes.sum()), "back_of_head": "open, as scanned"})


def obj_mesh(path: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "t 3"]]:
    """Positions and triangles of an OBJ file."""
    rows = [line.split() for line in path.read_text("ascii").splitlines()]
    return (np.array([r[1:4] for r in rows if r[:1] == ["v"]], float),
            np.array([[c.split("/")[0] for c in r[1:4]] for r in rows if r[:1] == ["f"]], np.int64) - 1)


def largest_piece(verts: Float[np.ndarray, "v 3"], tris: Int[np.ndarray, "t 3"]) -> Int[np.ndarray, "u 3"]:
    """The triangles of the biggest connected piece; its unused vertices stay."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    ends = tris[:, [0, 1, 1, 2]].reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), ends.T), (len(verts), len(verts)))
    _, piece = connected_components(graph, directed=False)
    return tris[piece[tris[:, 0]] == np.bincount(piece[tris].ravel()).argmax()]


def without_spikes(verts: Float[np.ndarray, "v 3"], tris: Int[np.ndarray, "t 3"]
                   ) -> tuple[Float[np.ndarray, "v 3"], Bool[np.ndarray, " v"]]:
    """Vertices farther than SPIKE_MM from the median of two rings of neighbours, drawn to it; and which they were."""
    ends = np.unique(np.sort(tris[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1), axis=0)
    near: list[list[int]] = [[] for _ in verts]
    for a, b in ends:
        near[a].append(b)
        near[b].append(a)
    rings = [list({*ring, *(c for b in ring for c in near[b])} - {i}) for i, ring in enumerate(near)]
    out, drawn = verts.copy(), np.zeros(len(verts), bool)
    for _ in range(SPIKE_ROUNDS):
        middle = np.stack([np.median(out[ring], 0) if ring else out[i] for i, ring in enumerate(rings)])
        spread = np.array([np.median(np.linalg.norm(out[ring] - middle[i], axis=1)) if ring else np.inf
                           for i, ring in enumerate(rings)])
        bad = np.linalg.norm(out - middle, axis=1) > np.maximum(SPIKE_MM, 2.0 * spread)
        out[bad] = middle[bad]
        drawn |= bad
    return out, drawn


def finer(verts: Float[np.ndarray, "v d"], tris: Int[np.ndarray, "t 3"]
          ) -> tuple[Float[np.ndarray, "w d"], Int[np.ndarray, "u 3"]]:
    """Each triangle cut in four at the middles of its edges: more vertices to paint, the same surface.

    What else a vertex has beside its place (columns of verts) becomes the mean of both ends.
    """
    edges = np.sort(tris[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), 1)
    ends, middle = np.unique(edges, axis=0, return_inverse=True)
    m = middle.reshape(-1, 3) + len(verts)
    a, b, c = tris.T
    four = np.stack([a, m[:, 0], m[:, 2], m[:, 0], b, m[:, 1], m[:, 2], m[:, 1], c, *m.T], 1)
    return np.concatenate([verts, verts[ends].mean(1)]), four.reshape(-1, 3)


def clay_landmarks(tool: ModuleType, verts: Float[np.ndarray, "v 3"], tris: Int[np.ndarray, "t 3"]
                   ) -> Float[np.ndarray, "478 3"]:
    """MediaPipe's landmarks on the bare surface seen from the front. RuntimeError: it finds no face."""
    size = (1200, 900)
    K = np.array([[1400.0, 0, 450], [0, 1400.0, 600], [0, 0, 1]])
    P = np.diag([1.0, -1.0, -1.0, 1.0])
    P[:3, 3] = np.array([0, 0, 520.0]) - P[:3, :3] @ (15.0, 20.0, 15.0)
    head = tool.Head(verts, tris, colors=np.full((len(verts), 3), 190, np.uint8))
    hit, tri, bary = head.cast(K, P, size[1], size[0])
    picture = np.full((*size, 3), 0.3)
    picture[hit] = head.shade(tri, bary, P, [(np.array([-.4, -.6, -.7]), np.full(3, 0.6))], 0.3)
    found = tool.landmarks478(head, (picture * 255).astype(np.uint8), K, P)
    if not np.isfinite(found).all(1).sum() > 400:
        raise RuntimeError("No face was found on the clay; the paint has no place.")
    return found


def paint(verts: Float[np.ndarray, "v 3"], marks: Float[np.ndarray, "478 3"], tool: ModuleType
          ) -> UInt8[np.ndarray, "v 3"]:
    """Skin with blotches, short hair, a shirt; and, from the front, brows, eyes and lips."""
    rng = np.random.default_rng(5)
    x, y, z = (verts - marks[168]).T
    patch = tool.solid_noise(verts, 22.0, rng)[:, None] * (6, -5, -5)
    color = np.array(SKIN, float) + patch
    flush = np.exp(-((np.abs(x) - 38) / 16)**2 - ((y + 38) / 18)**2) + 0.8 * np.exp(-(x / 12)**2 - ((y + 42) / 12)**2)
    color += (flush * (z > -60))[:, None] * (10, -14, -12)
    stubble = np.clip(1 - np.hypot(x / 52, (y + 92) / 34), 0, 0.5)[:, None] * 0.35
    color = color * (1 - stubble) + np.array((120, 112, 112)) * stubble
    edge = 7 * tool.solid_noise(verts, 9.0, rng)
    hair = np.clip(np.maximum(-z - 62 - np.clip(30 - y, 0, 50) * 0.9 + edge, 0) / 10, 0, 1)
    hair = hair * np.where(z < -118, y > -50, y > 12)  # round the ear
    color += (np.array(HAIR) - color) * hair[:, None]
    collar = np.where(z > -70, np.abs(x) > np.clip(0.55 * (215 + y), 0, 60), np.hypot(x, (z + 80) * 1.1) > 62)
    shirt = (y < -118) & collar & ~((y > -150) & (z > -60) & (np.abs(x) < 72))
    color[shirt] = SHIRT + 6 * tool.solid_noise(verts[shirt], 4.0, rng)[:, None]
    return frontal_paint(verts, np.clip(color, 0, 255), marks)


def frontal_paint(verts: Float[np.ndarray, "v 3"], color: Float[np.ndarray, "v 3"], marks: Float[np.ndarray, "478 3"]
                  ) -> UInt8[np.ndarray, "v 3"]:
    """Brows, eyes and lips drawn in the frontal plane, PAINT_MM per pixel, and laid on the surface under them."""
    origin = np.nanmin(marks[:, :2], 0) - 10
    size = np.ceil((np.nanmax(marks[:, :2], 0) + 10 - origin) / PAINT_MM).astype(int)
    sheet, alpha = np.zeros((size[1], size[0], 3), np.float32), np.zeros((size[1], size[0]), np.float32)

    def lay(mask: Float[np.ndarray, "h w"], paint: tuple[int, int, int], soft_mm: float, strength: float = 1.0) -> None:
        part = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), soft_mm / PAINT_MM) * strength
        sheet[:] = sheet * (1 - part[..., None]) + np.array(paint, np.float32) * part[..., None]
        alpha[:] = alpha * (1 - part) + part

    def area(rows: tuple[int, ...]) -> Float[np.ndarray, "h w"]:
        mask = np.zeros(alpha.shape, np.uint8)
        outline = marks[list(rows), :2]
        cv2.fillPoly(mask, [np.round((outline[np.isfinite(outline[:, 0])] - origin) / PAINT_MM).astype(np.int32)], 1)
        return mask.astype(np.float32)

    def disc(at: Float[np.ndarray, "2"], width_mm: float) -> Float[np.ndarray, "h w"]:
        mask = np.zeros(alpha.shape, np.uint8)
        cv2.circle(mask, tuple(np.round((at - origin) / PAINT_MM).astype(int).tolist()),
                   round(width_mm / 2 / PAINT_MM), 1, -1)
        return mask.astype(np.float32)

    lay(area(LIPS[0]), LIP, 0.8, 0.85)
    lay(cv2.dilate(area(LIPS[1]), np.ones((7, 3))), GAP, 0.4, 0.7)
    for brow in BROWS:
        lay(area(brow), BROW, 1.2, 0.8)
    for lids in LIDS:
        opening = area(lids)
        middle = np.nanmean(marks[list(lids), :2], 0)
        around = cv2.dilate(opening, np.ones((15, 15)))
        lay(around, LASH, 0.4, 0.85)
        lay(opening, SCLERA, 0.25)
        lay(opening * disc(middle, IRIS_WIDTH_MM), IRIS, 0.15)
        ring = disc(middle, IRIS_WIDTH_MM) - disc(middle, IRIS_WIDTH_MM - 1.2)
        lay(opening * ring, PUPIL, 0.2, 0.6)
        lay(opening * disc(middle, PUPIL_WIDTH_MM), PUPIL, 0.15)
    finite = np.isfinite(marks).all(1)
    away, _ = cKDTree(marks[finite]).query(verts)
    px = (verts[:, :2] - origin) / PAINT_MM
    on = (away < 15) & (px >= 0).all(1) & (px < size - 1).all(1)
    row, column = np.round(px[on, ::-1]).astype(int).T
    a = alpha[row, column][:, None]
    shade = sheet[row, column] / np.maximum(a, 1e-6)
    color = color.copy()
    color[on] = color[on] * (1 - a) + shade * a
    return np.clip(color, 0, 255).astype(np.uint8)
