"""A head made of formulas: an ellipsoid with a nose, lips and a chin, two eyeballs, texture coordinates, pins, regions.

About 5 000 vertices, mirror symmetric in positions and triangles. Not a likeness: it has a dorsum, a tip, alae, a
columella, an upper lip and a chin where a face has them, so that what works on it is likely to work on a head model.
"""

from functools import lru_cache

import numpy as np

from core.anatomy import Anatomy
from core.mesh import Mesh
from core.surface import SurfacePoints
from deform3d.nearest import Triangles

RADII_MM = np.array([74.0, 112.0, 95.0])
CENTRE_MM = np.array([0.0, -18.0, -80.0])
COLUMNS, ROWS = 72, 72
PINS_XY_MM = {
    "tr": (0, 75), "g": (0, 22), "n": (0, 8), "se": (0, 3), "rhi": (0, -14), "supratip": (0, -27), "prn": (0, -35.5),
    "c": (0, -40.5), "sn": (0, -45), "ls": (0, -57), "sto": (0, -62), "li": (0, -67), "sl": (0, -76), "pg": (0, -87),
    "gn": (0, -96), "me": (0, -103),
    "al_l": (17, -39), "ac_l": (20.5, -40), "sbal_l": (11, -44.5), "en_l": (17, 0), "ex_l": (45, 0),
    "ch_l": (25, -62), "go_l": (52, -78), "t_l": (70, -10),
}
"""Where the landmarks stand in front view; the patient's right mirrors the left."""


def bell(x: np.ndarray, centre: float, width: float) -> np.ndarray:
    """A Gaussian bump of height one."""
    return np.exp(-((x - centre) / width) ** 2 / 2)


def step_down(y: np.ndarray, at: float, width: float) -> np.ndarray:
    """1 above `at`, 0 below, smooth over `width`."""
    return 1 / (1 + np.exp(-(y - at) / width))


def relief_mm(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far the face stands out in front of the ellipsoid."""
    along = np.clip((3 - y) / 39, 0, 1)  # 0 at sellion, 1 at the tip
    ridge = 21 * along ** 1.2 * step_down(y, -41, 1.6) * bell(x, 0, 6.5 + 3.5 * along) * step_down(-y, -12, 4)
    hump = 1.2 * bell(x, 0, 4) * bell(y, -13, 7)
    alae = 8 * (bell(x, 12, 4) + bell(x, -12, 4)) * bell(y, -38, 4.5)
    lips = 5 * bell(x, 0, 15) * (bell(y, -57, 4) + bell(y, -67, 4))
    chin = 7 * bell(x, 0, 14) * bell(y, -88, 8)
    return ridge + hump + alae + lips + chin


def spaced(count: int, dense: float, half: float) -> np.ndarray:
    """`count` + 1 numbers from -half to half, denser around 0."""
    t = np.linspace(-1, 1, count + 1)
    return half * (dense * t + (1 - dense) * t ** 3)


def skin() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles, texture coordinates and their triangles of a closed skin."""
    lon, lat = spaced(COLUMNS, 0.45, np.pi), spaced(ROWS, 0.45, np.pi / 2) - 0.0
    lat = np.clip(lat - 0.18 * np.cos(lat) ** 2, -np.pi / 2, np.pi / 2)  # centre the fine rows on the nose
    grid = np.stack(np.meshgrid(lon[:-1], lat[1:-1]), -1).reshape(-1, 2)
    unit = np.stack([np.cos(grid[:, 1]) * np.sin(grid[:, 0]), np.sin(grid[:, 1]),
                     np.cos(grid[:, 1]) * np.cos(grid[:, 0])], 1)
    points = np.concatenate([unit, [[0, -1, 0], [0, 1, 0]]]) * RADII_MM + CENTRE_MM
    front = np.clip(points[:, 2] - CENTRE_MM[2], 0, None) / RADII_MM[2]
    points[:, 2] += relief_mm(points[:, 0], points[:, 1]) * np.minimum(1, 3 * front)
    faces, corners = [], []
    south, north, wide = len(points) - 2, len(points) - 1, COLUMNS + 1
    for r in range(ROWS):
        for c in range(COLUMNS):
            at = [(south if q == 0 else north if q == ROWS else (q - 1) * COLUMNS + (p % COLUMNS), q * wide + p)
                  for q, p in ((r, c), (r, c + 1), (r + 1, c + 1), (r + 1, c))]
            split = ((0, 1, 2), (0, 2, 3)) if c < COLUMNS // 2 else ((0, 1, 3), (1, 2, 3))
            for triangle in split:
                vertex = [at[k][0] for k in triangle]
                if len(set(vertex)) == 3:
                    faces.append(vertex)
                    corners.append([at[k][1] for k in triangle])
    u, v = np.meshgrid(np.linspace(0, 1, wide), np.linspace(1, 0, ROWS + 1))
    return points, np.array(faces), np.stack([u, v], -1).reshape(-1, 2), np.array(corners)


def eyeball(x: float) -> tuple[np.ndarray, np.ndarray]:
    """A small sphere of its own behind the lids."""
    lon, lat = np.meshgrid(np.arange(12) * np.pi / 6, np.linspace(-np.pi / 2, np.pi / 2, 9)[1:-1])
    unit = np.stack([np.cos(lat) * np.sin(lon), np.sin(lat), np.cos(lat) * np.cos(lon)], -1).reshape(-1, 3)
    points = np.concatenate([unit, [[0, -1, 0], [0, 1, 0]]]) * 12 + [x, 0, -16]
    faces = []
    for r in range(-1, 7):
        for c in range(12):
            a, b = max(r, 0) * 12 + c, max(r, 0) * 12 + (c + 1) % 12
            d, e = (r + 1) * 12 + c, (r + 1) * 12 + (c + 1) % 12
            if r == -1:
                faces.append([84, b, a])
            elif r == 6:
                faces.append([a, b, 85])
            else:
                faces += [[a, b, e], [a, e, d]]
    return points, np.array(faces)


def soft_box(points: np.ndarray, x: tuple[float, float], y: tuple[float, float], edge: float = 2.0) -> np.ndarray:
    """Weights of a box in front view, 1 inside, fading to 0 over `edge` mm outside; the front half of the head only."""
    def side(value: np.ndarray, low: float, high: float) -> np.ndarray:
        return np.clip(1 - np.maximum(low - value, value - high) / edge, 0, 1)
    front = np.clip((points[:, 2] + 60) / 10, 0, 1)
    return side(points[:, 0], *x) * side(points[:, 1], *y) * front


@lru_cache(maxsize=1)
def procedural_head() -> tuple[Mesh, Anatomy]:
    """The head and its anatomy."""
    points, faces, uv, faces_uv = skin()
    count = len(points)
    left, left_faces = eyeball(31.0)
    right, right_faces = eyeball(-31.0)
    vertices = np.concatenate([points, left, right])
    eyes = np.concatenate([left_faces + count, right_faces + count + len(left)])
    mesh = Mesh(vertices_mm=vertices, faces=np.concatenate([faces, eyes]), uv=uv,
                faces_uv=np.concatenate([faces_uv, np.zeros_like(eyes)]))
    return mesh, Anatomy(pins478=SurfacePoints(face=np.zeros(478, int), bary=np.tile([1.0, 0, 0], (478, 1))),
                         **pins(mesh, np.arange(len(faces))), **regions(vertices, count, len(left)))


def pins(mesh: Mesh, skin_faces: np.ndarray) -> dict:
    """Landmarks by casting each front-view position onto the skin."""
    both = {}
    for name, (x, y) in PINS_XY_MM.items():
        both[name] = (x, y)
        if name.endswith("_l"):
            both[name[:-2] + "_r"] = (-x, y)
    found = [in_front(mesh, skin_faces, x, y) for x, y in both.values()]
    return {"pin_names": tuple(both), "pin_points": SurfacePoints(face=np.concatenate([p.face for p in found]),
                                                                  bary=np.concatenate([p.bary for p in found]))}


def in_front(mesh: Mesh, skin_faces: np.ndarray, x: float, y: float) -> SurfacePoints:
    """The skin at a position in front view."""
    flat = Mesh(vertices_mm=mesh.vertices_mm * [1, 1, 0], faces=mesh.faces, uv=mesh.uv, faces_uv=mesh.faces_uv)
    forward = mesh.face_normals()[skin_faces, 2] > 0
    rows = skin_faces[forward]
    row, bary = Triangles(flat.vertices_mm[flat.faces[rows]]).nearest(np.array([x, y, 0.0]))
    return SurfacePoints(face=rows[[row]], bary=bary[None])


def regions(points: np.ndarray, skin_count: int, eye_count: int) -> dict:
    """Soft boxes in front view, and the eyeballs."""
    boxes = {"nose": ((-24, 24), (-46, 6)), "lips": ((-29, 29), (-70, -53)), "eyelids_l": ((16, 47), (-8, 9)),
             "eyelids_r": ((-47, -16), (-8, 9)), "brow_l": ((8, 50), (14, 22)), "brow_r": ((-50, -8), (14, 22)),
             "chin": ((-40, 40), (-112, -72)), "jaw": ((-70, 70), (-112, -72)), "cheek_l": ((26, 70), (-72, -12)),
             "cheek_r": ((-70, -26), (-72, -12)), "forehead": ((-60, 60), (24, 80))}
    weights = {name: soft_box(points, *box) for name, box in boxes.items()}
    weights["nose"] *= np.clip((26 - np.abs(points[:, 0]) + (points[:, 1] + 42) * -0.25) / 6, 0, 1)
    weights["neck"] = np.clip((-90 - points[:, 1]) / 10, 0, 1)
    weights["mouth_interior"] = np.zeros(len(points))
    for side in "lr":
        weights[f"ear_{side}"] = soft_box(points, (70, 80) if side == "l" else (-80, -70), (-30, 20))
        weights[f"eye_{side}"] = np.zeros(len(points))
    for name in weights:
        weights[name][skin_count:] = 0
    weights["eye_l"][skin_count:skin_count + eye_count] = 1
    weights["eye_r"][skin_count + eye_count:] = 1
    return {"region_names": tuple(weights), "region_weights": np.stack(list(weights.values()))}
