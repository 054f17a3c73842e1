"""Anthropometric landmarks and regions on the template, found from its shape and from the 478 pins.

Names follow Farkas; `_l` is the patient's left. Points with a MediaPipe twin take its pin; the others are the extremes
and turning points of the mid-sagittal profile that define them, or lie at a stated distance (marked E, an assumption).
"""

import numpy as np

from core.mesh import Mesh
from tools.head_model.pins import BROWS, LIPS, closest, inside_loop

MIDLINE_PINS = {"ls": 0, "li": 17, "sto": 13}
PAIRED_PINS = {"en": (362, 133), "ex": (263, 33), "ps": (386, 159), "pi": (374, 145), "p": (473, 468), "ch": (291, 61),
               "cph": (267, 37), "ac": (358, 129), "sbal": (327, 98), "brow_mid": (334, 105)}
EYELIDS = ([446, 261, 448, 449, 450, 451, 452, 453, 464, 413, 441, 442, 443, 444, 445, 342],
           [226, 31, 228, 229, 230, 231, 232, 233, 244, 189, 221, 222, 223, 224, 225, 113])
NOSE = [168, 193, 245, 188, 114, 217, 126, 142, 129, 98, 97, 2, 326, 327, 358, 371, 355, 437, 343, 412, 465, 417]
FOREHEAD = [21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 300, 293, 334, 296, 336, 9, 107, 66, 105, 63, 70]
CHIN = [18, 83, 182, 194, 204, 211, 170, 176, 148, 152, 377, 400, 395, 431, 424, 418, 406, 313]
CHEEKS = ([345, 346, 347, 348, 329, 371, 423, 426, 427, 411, 376, 352],
          [116, 117, 118, 119, 100, 142, 203, 206, 207, 187, 147, 123])
OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
JAW = [361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 215, 61, 17, 291, 435]
INNER_LIPS = [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
EDGE_TEXTURE_UNITS = 0.012


def profile(mesh: Mesh, y_high, y_low, step=0.25):
    """Mid-sagittal profile (y, z) from above down: the foremost point of the surface at each height."""
    import open3d as o3d

    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(o3d.core.Tensor(mesh.vertices_mm.astype(np.float32)),
                        o3d.core.Tensor(mesh.faces.astype(np.uint32)))
    y = np.arange(y_high, y_low, -step)
    rays = np.column_stack([np.zeros_like(y), y, np.full_like(y, 400), *np.tile([[0.0], [0], [-1]], len(y))])
    z = 400 - scene.cast_rays(o3d.core.Tensor(rays.astype(np.float32)))["t_hit"].numpy().astype(float)
    return y[np.isfinite(z)], z[np.isfinite(z)]


def between(y, high, low):
    """Rows of a profile between two heights."""
    return np.flatnonzero((y <= high) & (y >= low))


def midline_points(mesh: Mesh, pin):
    """Names -> (x=0, y, z) of the mid-sagittal landmarks. `pin(i)` is the position of MediaPipe point i."""
    y, z = profile(mesh, pin(10)[1] + 10, pin(152)[1] - 25)
    at = lambda row: np.array([0, y[row], z[row]])  # noqa: E731
    far = lambda rows, sign: rows[np.argmax(sign * z[rows])]  # noqa: E731
    prn = far(between(y, pin(168)[1], pin(2)[1]), 1)
    sn_rows = between(y, pin(4)[1], pin(0)[1])
    chord = depth_below_chord(y[sn_rows], z[sn_rows])
    sn = sn_rows[np.argmax(chord)]
    eye_line = (pin(133)[1] + pin(362)[1]) / 2
    se = far(between(y, eye_line + 18, eye_line - 8), -1)
    g = far(between(y, pin(9)[1] + 14, pin(9)[1] - 6), 1)
    sl_rows = between(y, pin(17)[1], pin(152)[1])
    pg = far(between(y, pin(18)[1] - 6, pin(152)[1] + 2), 1)
    sl = far(between(y, pin(17)[1], y[pg]), -1)
    me = sl_rows[-1]
    height = lambda share: y[se] + share * (y[prn] - y[se])  # noqa: E731
    row_at = lambda level: int(np.argmin(np.abs(y - level)))  # noqa: E731
    level = {"tr": pin(10)[1], "n": y[se] + 3, "rhi": height(0.45), "supratip": height(0.85),
             "c": y[prn] + 0.6 * (y[sn] - y[prn]), "gn": y[pg] + 0.6 * (y[me] - y[pg])}
    points = {name: at(row_at(v)) for name, v in level.items()}
    points |= {"prn": at(prn), "sn": at(sn), "se": at(se), "g": at(g), "pg": at(pg), "sl": at(sl), "me": at(me)}
    return points


def depth_below_chord(y, z):
    """How far each profile point lies behind the straight line between the first and the last (mm)."""
    a, b = np.array([y[0], z[0]]), np.array([y[-1], z[-1]])
    along = (b - a) / np.linalg.norm(b - a)
    offset = np.column_stack([y, z]) - a
    return offset[:, 1] * along[0] * np.sign(along[0]) * -1 - offset[:, 0] * along[1] * np.sign(along[0]) * -1


def side_points(mesh: Mesh, pin, ear, tragus, side):
    """Names -> positions of one side's landmarks without a MediaPipe twin. side: +1 left, -1 right."""
    v, n = mesh.vertices_mm, mesh.vertex_normals()
    ala = (v[:, 1] < pin(4)[1] + 6) & (v[:, 1] > pin(2)[1] - 2) & (v[:, 2] > pin(129)[2]) & (np.abs(v[:, 0]) < 24)
    al = v[np.flatnonzero(ala)[np.argmax(side * v[ala, 0])]]
    pupil = pin(473 if side > 0 else 468)
    or_ = pupil + [0, -17, 0]  # E: the infraorbital rim lies about 17 mm below the pupil
    t = v[tragus]
    zone = (v[:, 1] < pupil[1]) & (v[:, 1] > pin(2)[1] - 5) & (v[:, 2] > t[2] + 12) & (ear < 0.5)
    zy = v[np.flatnonzero(zone)[np.argmax(side * v[zone, 0])]]
    jaw = (side * v[:, 0] > 25) & (np.abs(v[:, 1] - pin(61)[1]) < 15) & (np.abs(v[:, 2] - t[2] - 6) < 12)
    go = np.median(v[jaw & (np.abs(n[:, 1] + 0.35) < 0.35)], 0)  # E: where the ramus turns under, at mouth height
    return {"al": al, "or": or_, "zy": zy, "t": t, "go": go}


def tragi(mesh: Mesh, ears):
    """Vertex of each tragion: the foremost skin of the ear at the notch, 8 mm above the ear's middle (E)."""
    found = []
    for ear in ears:
        rows = np.flatnonzero(ear > 0.95)
        y = mesh.vertices_mm[rows, 1]
        rows = rows[np.abs(y - np.median(y) - 8) < 5]
        found.append(rows[np.argmax(mesh.vertices_mm[rows, 2])])
    return found


def anthropometric(mesh: Mesh, pins478, ears, tragus):
    """Names and surface points of every anthropometric landmark. `ears`, `tragus`: of the left and the right side."""
    positions = mesh.points(pins478)
    pin = lambda i: positions[i]  # noqa: E731
    points = midline_points(mesh, pin)
    points |= {name: pin(i) * [0, 1, 1] for name, i in MIDLINE_PINS.items()}
    for name, (left, right) in PAIRED_PINS.items():
        points[name + "_l"], points[name + "_r"] = pin(left), pin(right)
    for k, (side, ending) in enumerate(((1, "_l"), (-1, "_r"))):
        points |= {name + ending: p for name, p in side_points(mesh, pin, ears[k], tragus[k], side).items()}
    names = tuple(points)
    return names, closest(mesh, np.stack([points[n] for n in names]))


def regions(mesh: Mesh, pins478, uv_of_vertex, on_face_island, ears, eyes, lining):
    """Names and (R,V) weights in [0, 1], soft over a few millimetres."""
    pins_uv = pins478.on(mesh.uv, mesh.faces_uv)

    def loop(*indices):
        weights = [np.clip(inside_loop(uv_of_vertex, pins_uv[i]) / EDGE_TEXTURE_UNITS + 1, 0, 1) for i in indices]
        return np.max(weights, 0) * on_face_island

    pin = mesh.points(pins478)
    y, z = mesh.vertices_mm[:, 1], mesh.vertices_mm[:, 2]
    face = loop(OVAL)
    soft = lambda x: np.clip(x / 10 + 0.5, 0, 1)  # noqa: E731
    below = soft(pin[152, 1] - 4 - y)
    table = {
        "nose": loop(NOSE), "lips": loop(LIPS), "eyelids_l": loop(EYELIDS[0]), "eyelids_r": loop(EYELIDS[1]),
        "eye_l": eyes[0], "eye_r": eyes[1], "ear_l": ears[0], "ear_r": ears[1], "brow_r": loop(BROWS[0]),
        "brow_l": loop(BROWS[1]), "forehead": loop(FOREHEAD), "cheek_l": loop(CHEEKS[0]), "cheek_r": loop(CHEEKS[1]),
        "chin": loop(CHIN), "jaw": loop(JAW), "face": face, "mouth_interior": lining,
        "neck": below * on_face_island * (1 - face),
        "scalp": soft(y - np.where(z > 0, pin[10, 1], pin[234, 1])) * on_face_island * (1 - face)}
    return tuple(table), np.stack(list(table.values()))
