"""A file with FLAME's keys, shapes and number types, made here: the embedded head, bent, in FLAME's counts and metres.

Written as Python 2 wrote it: protocol 2, byte strings, chumpy objects (a class of that name, made without chumpy), a
sparse joint regressor. Which vertex of the embedded head became which one is known.
"""

import pickle
import struct
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy.sparse import csc_matrix
from scipy.spatial import ConvexHull

from core.face_model import FaceModel
from core.transforms import rotation_from_vector
from recon.flame import EXPRESSIONS, JAW, JOINTS, SHAPES, TRIANGLES, VERTICES
from tests.recon.heads import person

MOVED_MM, TURNED_RAD, SIZE = np.array([3.0, 40.0, 20.0]), 0.03, 0.97


def skin_of(model: FaceModel) -> tuple[np.ndarray, np.ndarray]:
    """The embedded head's skin with its linings: triangles, and the old vertex of each new one."""
    ball = np.maximum(model.anatomy.region("eye_l"), model.anatomy.region("eye_r")) > 0.5
    used, inverse = np.unique(model.faces[~ball[model.faces].any(1)], return_inverse=True)
    return inverse.reshape(-1, 3), used


def sphere(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Evenly spread points of a unit sphere and its outward triangles."""
    k = np.arange(count) + 0.5
    polar, around = np.arccos(1 - 2 * k / count), np.pi * (1 + 5**0.5) * k
    points = np.column_stack([np.cos(around) * np.sin(polar), np.sin(around) * np.sin(polar), np.cos(polar)])
    faces = ConvexHull(points).simplices
    a, b, c = points[faces].transpose(1, 0, 2)
    inward = (np.cross(b - a, c - a) * a).sum(1) < 0
    return points, np.where(inward[:, None], faces[:, ::-1], faces)


def bent(points: np.ndarray, seed: int) -> np.ndarray:
    """Displacements (mm) of a slow wave with random phases, symmetric left to right: a shape no model made."""
    rng = np.random.default_rng(seed)
    across = np.column_stack([np.abs(points[:, 0]), points[:, 1:]])
    wave = sum(np.sin(across @ rng.normal(0, 0.03, 3) + rng.uniform(0, 6))[:, None] * rng.normal(0, 1.0, 3)
               for _ in range(6))
    return np.asarray(wave * np.column_stack([np.tanh(points[:, 0] / 20), np.ones((len(points), 2))]))


def flame_like(model: FaceModel, seed: int = 5) -> SimpleNamespace:
    """arrays: as FLAME's file has them. old (S,): the embedded head's vertex of each of the first S skin vertices.
    head_from_old: the place (mm, the file's frame) of any embedded vertex."""
    faces, old = skin_of(model)
    shaped = model.template_mm + np.tensordot(person(model, seed, sd=0.5), model.identity_basis_mm, 1)
    shaped = SIZE * (shaped + bent(shaped, seed)) @ rotation_from_vector(np.array([TURNED_RAD, 0, 0])).T + MOVED_MM
    skin = shaped[old]
    while len(skin) == len(old) or (VERTICES - len(skin)) % 2:  # two balls must fill what the skin leaves
        crown, new = int(np.argmax(skin[faces].mean(1)[:, 1])), len(skin)
        a, b, c = faces[crown]
        skin = np.concatenate([skin, skin[[a, b, c]].mean(0, keepdims=True)])
        faces = np.concatenate([np.delete(faces, crown, 0), [[a, b, new], [b, c, new], [c, a, new]]])
    each = (VERTICES - len(skin)) // 2
    faces = trimmed(faces, len(faces) + 2 * (2 * each - 4) - TRIANGLES)
    points, ball = sphere(each)
    eyes, ball_faces = [], []
    for k, name in enumerate(("eye_l", "eye_r")):
        at = shaped[model.anatomy.region(name) > 0.5]
        middle = (at.min(0) + at.max(0)) / 2
        eyes.append(middle + points * np.linalg.norm(at - middle, axis=1).mean())
        ball_faces.append(ball + len(skin) + k * each)
    template = np.concatenate([skin, *eyes])
    full = np.concatenate([faces, *ball_faces])
    assert template.shape == (VERTICES, 3) and full.shape == (TRIANGLES, 3)
    return SimpleNamespace(arrays=arrays_of(model, template, full, old, each, seed), old=old, placed_mm=shaped)


def trimmed(faces: np.ndarray, count: int) -> np.ndarray:
    """The triangles without some at the neck's rim; every removed one had just one edge on it, so no vertex goes."""
    while count:
        edge = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
        _, inverse, times = np.unique(edge, axis=0, return_inverse=True, return_counts=True)
        gone: list[int] = []
        taken: set[int] = set()
        for row in np.flatnonzero((times[inverse.ravel()] == 1).reshape(-1, 3).sum(1) == 1):
            if len(gone) < count and not taken & set(faces[row].tolist()):
                gone.append(int(row))
                taken |= set(faces[row].tolist())
        assert gone
        faces, count = np.delete(faces, gone, 0), count - len(gone)
    return faces


def arrays_of(model: FaceModel, template: np.ndarray, faces: np.ndarray, old: np.ndarray, each: int,
              seed: int) -> dict[str, Any]:
    """FLAME's dictionary in FLAME's number types, lengths in metres."""
    rng = np.random.default_rng(seed)
    directions = np.zeros((VERTICES, 3, SHAPES + EXPRESSIONS))
    basis = model.identity_basis_mm[:, old].astype(float)
    directions[:len(old), :, :len(basis)] = np.moveaxis(basis, 0, 2) / 1000
    for k, name in enumerate(("eye_l", "eye_r")):  # eyeballs follow their modes as a whole
        first = VERTICES - (2 - k) * each
        mean = model.identity_basis_mm[:, model.anatomy.region(name) > 0.5].astype(float).mean(1)
        directions[first:first + each, :, :len(mean)] = mean.T / 1000
    directions[:, :, 0] += template * 5e-5  # the strongest mode also makes the head 5 % larger
    actions = model.expression_basis_mm[:, old].astype(float)
    directions[:len(old), :, SHAPES:SHAPES + len(actions)] = np.moveaxis(actions, 0, 2) / 3000
    weights = np.zeros((VERTICES, JOINTS))
    low = 1 / (1 + np.exp((template[:, 1] - np.percentile(template[:, 1], 40)) / 10))
    weights[:, JAW], weights[:, 1] = low, 1 - low
    near = np.array([np.argsort(np.linalg.norm(template - template.mean(0) + [0, 20.0 * j, 0], axis=1))[:4]
                     for j in range(JOINTS)])
    regressor = csc_matrix((np.full(4 * JOINTS, 0.25), (np.repeat(np.arange(JOINTS), 4), near.ravel())),
                           shape=(JOINTS, VERTICES))
    metres = template / 1000
    return {"v_template": metres, "f": faces.astype(np.uint32), "shapedirs": directions,
            "posedirs": rng.normal(0, 1e-4, (VERTICES, 3, 36)), "J_regressor": regressor, "weights": weights,
            "kintree_table": np.array([[4294967295, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
            "J": regressor @ metres, "bs_style": "lbs", "bs_type": "lrotmin"}


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes texts and bytes alike as Python 2's strings."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_string(self, text: str | bytes) -> None:
        raw = text.encode("latin1") if isinstance(text, str) else text
        self.write(pickle.BINSTRING + struct.pack("<i", len(raw)) + raw)
        self.memoize(text)

    dispatch[bytes] = dispatch[str] = save_string


class Ch:
    """Stands in for chumpy's array while a file is written."""

    def __init__(self, x: np.ndarray) -> None:
        self.x, self._dirty_vars, self._itr, self._depends_on_deps = x, {"x"}, None, False


Ch.__module__, Ch.__qualname__ = "chumpy.ch", "Ch"


@contextmanager
def pretended_chumpy() -> Iterator[None]:
    """`chumpy.ch.Ch` can be named, as a pickler insists."""
    modules = {"chumpy": types.ModuleType("chumpy"), "chumpy.ch": types.ModuleType("chumpy.ch")}
    modules["chumpy.ch"].Ch = Ch
    assert not modules.keys() & sys.modules.keys()
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in modules:
            del sys.modules[name]


def write_flame(path: Path, arrays: dict[str, Any]) -> Path:
    """Write as FLAME 2020 was written."""
    with pretended_chumpy(), open(path, "wb") as handle:
        made = {k: Ch(v) if k in ("shapedirs", "v_template") else v for k, v in arrays.items()}
        Python2Pickler(handle, 2).dump(made)
    return path
