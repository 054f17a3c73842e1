"""Anthropometric landmarks and regions on the template, found from its shape and from the 478 pins.

Names follow Farkas; `_l` is the patient's left. Where the shape defines a landmark it is found there (`shape`); the
others take the pin of their MediaPipe twin, or lie at a stated distance (marked E, an assumption).
"""

import numpy as np

from core.mesh import Mesh
from tools.head_model import mirror, shape
from tools.head_model.pins import BROWS, LIPS, inside_loop
from tools.head_model.surface import Sight, closest

MIDLINE_PINS = {"ls": 0, "li": 17}
PAIRED_PINS = {"en": 362, "p": 473, "ch": 291, "cph": 267, "brow_mid": 334}
"""Names -> numbers of MediaPipe points; the paired ones of the left side."""

OVAL = [10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149,
        150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109]
LOOPS = {
    "nose": [168, 193, 245, 188, 114, 217, 126, "ac_r", "sbal_r", "sn", "sbal_l", "ac_l", 355, 437, 343, 412, 465, 417],
    "lips": LIPS, "brow_r": BROWS[0], "brow_l": BROWS[1],
    "eyelids_l": [446, 261, 448, 449, 450, 451, 452, 453, 464, 413, 441, 442, 443, 444, 445, 342],
    "eyelids_r": [226, 31, 228, 229, 230, 231, 232, 233, 244, 189, 221, 222, 223, 224, 225, 113],
    "forehead": [21, 54, 103, 67, 109, 10, 338, 297, 332, 284, 251, 300, 293, 334, 296, 336, 9, 107, 66, 105, 63, 70],
    "cheek_l": [345, 346, 347, 348, 329, 371, 423, 426, 427, 411, 376, 352],
    "cheek_r": [116, 117, 118, 119, 100, 142, 203, 206, 207, 187, 147, 123],
    "chin": [18, 83, 182, 194, 204, 211, 170, 176, 148, 152, 377, 400, 395, 431, 424, 418, 406, 313],
    "jaw": [361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150, 136, 172, 58, 132, 215, 61, 17, 291, 435],
    "face": OVAL}
"""Regions of the skin by the pins around them: MediaPipe numbers and names."""
EDGE_TEXTURE_UNITS = 0.012


def left_points(sight: Sight, pin, named, is_eyeball, ear):
    """Names -> positions of the paired landmarks of the left side. `ear`: weights (V,) of the left one.

    `named`: what is known of the midline.
    """
    found = {name: pin(i) for name, i in PAIRED_PINS.items()}
    found |= shape.wing(sight, named["prn"], named["sn"])
    found |= shape.base_of_wing(sight, found["al"], named["prn"], named["ls"])
    found |= shape.lids(sight, is_eyeball, found["p"])
    found |= shape.tragion(sight, np.median(sight.mesh.vertices_mm[ear > 0.95], 0)[1:])
    found |= shape.cheekbone(sight, found["t"])
    found |= shape.jaw_angle(sight, found["t"], found["ch"])
    return found | {"or": found["p"] + [0, -17, 0]}  # E: the infraorbital rim lies about 17 mm below the pupil


def anthropometric(mesh: Mesh, pins478, parts):
    """Names and surface points of every anthropometric landmark, exactly symmetric."""
    sight, positions = Sight(mesh), mesh.points(pins478)
    pin = lambda i: positions[i]  # noqa: E731
    middle = shape.midline(sight, pin) | {name: pin(i) for name, i in MIDLINE_PINS.items()}
    left = left_points(sight, pin, middle, parts.eyes.max(0)[mesh.faces].min(1) > 0.5, parts.ears[0])
    on_left = closest(mesh, list(left.values()))
    names = (*middle, *(f"{name}_l" for name in left), *(f"{name}_r" for name in left))
    return names, mirror.joined(mirror.on_midline(mesh, parts.partner, np.stack(list(middle.values()))), on_left,
                                mirror.mirrored(on_left, mesh.faces, parts.partner))


def loops(mesh: Mesh, pins478, named, uv_of_vertex):
    """A function: numbers or names of pins around a region -> weights (V,), 1 inside and soft outside."""
    at = dict(enumerate(pins478.on(mesh.uv, mesh.faces_uv)))
    at |= {name: point.on(mesh.uv, mesh.faces_uv)[0] for name, point in named.items()}

    def loop(around):
        return np.clip(inside_loop(uv_of_vertex, [at[i] for i in around]) / EDGE_TEXTURE_UNITS + 1, 0, 1)

    return loop


def regions(mesh: Mesh, pins478, named, parts):
    """Names and (R,V) weights in [0, 1], soft over a few millimetres, exactly symmetric. `named`: name -> pin."""
    loop, pin = loops(mesh, pins478, named, parts.uv), mesh.points(pins478)
    y, z = mesh.vertices_mm[:, 1], mesh.vertices_mm[:, 2]
    soft = lambda x: np.clip(x / 10 + 0.5, 0, 1)  # noqa: E731
    table = {name: loop(around) * parts.face_island for name, around in LOOPS.items()}
    elsewhere = parts.face_island * (1 - table["face"])
    table |= {"neck": soft(pin[152, 1] - 4 - y) * elsewhere,
              "scalp": soft(y - np.where(z > 0, pin[10, 1], pin[234, 1])) * elsewhere,
              "mouth_interior": parts.lining(mesh, pin[152, 1])}
    table |= {f"{part}_{side}": weights for part, both in (("eye", parts.eyes), ("ear", parts.ears))
              for side, weights in zip("lr", both, strict=True)}
    return tuple(table), mirror.evened_weights(tuple(table), np.stack(list(table.values())), parts.partner)
