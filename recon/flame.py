"""FLAME (2020, 2023, 2023 Open) from the pickle that its publishers hand to registered users; read without smplx,
chumpy or torch, and without running anything of the file (`inert`).

    v = T + S b + ... (Li, Bolkart, Black, Li & Romero, Learning a model of facial shape and expression from 4D scans,
    2017). T `v_template` in metres, S `shapedirs`: 300 identity and 100 expression directions, one sd each.

The neutral head is T + S b: joints and skinning stay out of it. Skinning enters only as facial actions, one jaw
rotation at full strength each, made linear: P is `posedirs`, w the jaw's column of `weights`, J its joint,
    moved = w (R - 1)(T - J) + P (R - 1)
Expressions have no natural full strength, so each direction becomes two actions of three standard deviations.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from core.errors import InputRefused
from core.face_model import FaceModel
from core.files import sha256
from core.progress import Progress, silent
from core.transforms import rotation_from_vector
from recon.foreign import EYE_L, EYE_R, SKIN, ForeignHead
from recon.inert import read_arrays
from recon.user_models import Licence, Source, load_user_model

VERTICES, TRIANGLES, SHAPES, EXPRESSIONS, JOINTS = 5023, 9976, 300, 100, 5
JAW = 2
"""Row of the jaw among root, neck, jaw, left eye, right eye."""
JOINT_NAMES = ("root", "neck", "jaw", "eye_l", "eye_r")
MM_PER_UNIT = 1000.0
DIRECTIONS, STRENGTH_SD = 50, 3.0
"""Expression directions kept (they are in order of variance), and an action's full strength."""
JAW_ACTIONS = {"jawOpen": (np.radians(20), 0.0, 0.0), "jawLeft": (0.0, np.radians(6), 0.0),
               "jawRight": (0.0, -np.radians(6), 0.0)}
"""Rotation vectors of the jaw, rad: x to the patient's left, y up."""
SHAPES_OF = {"v_template": (VERTICES, 3), "f": (TRIANGLES, 3), "shapedirs": (VERTICES, 3, SHAPES + EXPRESSIONS),
             "posedirs": (VERTICES, 3, 36), "J_regressor": (JOINTS, VERTICES), "weights": (VERTICES, JOINTS),
             "kintree_table": (2, JOINTS)}
CITE = "Li et al., Learning a model of facial shape and expression from 4D scans, SIGGRAPH Asia 2017"
HOLDER = "Max Planck Institute for Intelligent Systems"
TERMS = "https://flame.is.tue.mpg.de/modellicense.html"
RESEARCH = Licence(
    name="FLAME model licence (non-commercial research)", holder=HOLDER, terms=TERMS, cite=CITE,
    forbids="Every use but non-commercial research, and passing the model or a copy of it on.")
OPEN = Licence(
    name="CC BY 4.0 (FLAME 2023 Open)", holder=HOLDER, terms=TERMS, cite=CITE,
    forbids="Use without attribution, and what its publishers prohibit (pornography and deepfakes among it).")


def load() -> FaceModel:
    """The converted model. UsageError: it was never added; PrevisageError: its file is damaged."""
    return load_user_model("flame")


def describe(path: Path) -> Source:
    """Which FLAME a file is, by its name: only one that says `Open` is taken for FLAME 2023 Open, the freer one.

    InputRefused: there is no such file.
    """
    if not path.is_file():
        raise InputRefused("no_file", f"There is no file {path}.",
                           "Give FLAME's own pickle, for instance generic_model.pkl, flame2023.pkl or "
                           "flame2023_Open.pkl.")
    name = path.name.lower()
    open_one = "open" in name
    title = "FLAME 2023 Open" if open_one else "FLAME 2023" if "2023" in name else "FLAME"
    return Source(title=title, licence=OPEN if open_one else RESEARCH, sha256=sha256(path),
                  bytes=path.stat().st_size)


def read(path: Path, progress: Progress = silent) -> ForeignHead:
    """The head in a FLAME pickle. InputRefused: it asks to run something, is truncated, or is another model."""
    progress(0.0, f"Reading {path.name}")
    a = checked(read_arrays(path), path)
    template = a["v_template"] * MM_PER_UNIT
    directions = np.moveaxis(a["shapedirs"] * MM_PER_UNIT, 2, 0).astype(np.float32)
    part = parts_of(template, a["f"].astype(int), path)
    joints = a["J_regressor"] @ template
    actions = jaw_actions(template, joints[JAW], a["weights"][:, JAW],
                          a["posedirs"][:, :, 9 * (JAW - 1):9 * JAW] * MM_PER_UNIT)
    strong = STRENGTH_SD * directions[SHAPES:SHAPES + DIRECTIONS]
    basis = np.concatenate([np.stack(list(actions.values())), strong, -strong])
    basis[:, part != SKIN] = 0  # gaze is not fitted
    names = [f"expression{k + 1:02d}{sign}" for sign in "+-" for k in range(DIRECTIONS)]
    return ForeignHead(name="flame", template_mm=template, faces=a["f"].astype(np.int32), part=part, lining=None,
                       identity_basis_mm=directions[:SHAPES], expression_names=(*actions, *names),
                       expression_basis_mm=basis, joint_names=JOINT_NAMES, joints_mm=joints)


def checked(arrays: Mapping[str, Any], path: Path) -> dict[str, np.ndarray]:
    """The arrays that are used, in double precision. InputRefused: one is missing, of another shape, or not finite."""
    out = {}
    for key, shape in SHAPES_OF.items():
        value = arrays.get(key)
        if not isinstance(value, np.ndarray):
            raise other(path, f"it has no array {key!r}")
        if value.shape != shape:
            raise other(path, f"{key!r} has the shape {value.shape}, not {shape}")
        out[key] = value.astype(float)
        if not np.isfinite(out[key]).all():
            raise other(path, f"{key!r} holds numbers that are not finite")
    if out["f"].min() < 0 or out["f"].max() >= VERTICES:
        raise other(path, "a face names a vertex that does not exist")
    height = np.ptp(out["v_template"][:, 1])
    if not 0.15 < height < 0.6:
        raise other(path, f"its head is {height:.3g} m high")
    return out


def parts_of(template_mm: Float[np.ndarray, "v 3"], faces: np.ndarray, path: Path) -> np.ndarray:
    """Skin and eyeballs: the largest connected piece, and the two next ones, by their side.

    InputRefused: there are no two eyeballs of an eyeball's size.
    """
    edge = faces[:, [[0, 1], [1, 2]]].reshape(-1, 2)
    label = connected_components(coo_matrix((np.ones(len(edge)), edge.T), (len(template_mm),) * 2), directed=False)[1]
    order = np.argsort(-np.bincount(label))
    part = np.full(len(template_mm), SKIN)
    eyes = [np.flatnonzero(label == k) for k in order[1:3]]
    if len(eyes) < 2 or not all(18 < np.ptp(template_mm[rows], axis=0).max() < 40 for rows in eyes):
        raise other(path, "it has no two eyeballs apart from the skin")
    for rows in eyes:
        part[rows] = EYE_L if template_mm[rows, 0].mean() > 0 else EYE_R
    return part


def jaw_actions(template_mm: Float[np.ndarray, "v 3"], jaw_mm: Float[np.ndarray, "3"], weight: Float[np.ndarray, "v"],
                corrective_mm: Float[np.ndarray, "v 3 9"]) -> dict[str, Float[np.ndarray, "v 3"]]:
    """Displacements (mm) of linear blend skinning when only the jaw turns, with its pose correctives."""
    out = {}
    for name, vector in JAW_ACTIONS.items():
        turned = rotation_from_vector(np.array(vector)) - np.eye(3)
        moved = weight[:, None] * ((template_mm - jaw_mm) @ turned.T)
        out[name] = (moved + corrective_mm @ turned.ravel()).astype(np.float32)
    return out


def other(path: Path, why: str) -> InputRefused:
    """The error."""
    return InputRefused("wrong_shape", f"{path.name} is no FLAME head: {why}.",
                        "Give FLAME's own pickle, for instance generic_model.pkl, flame2023.pkl or "
                        "flame2023_Open.pkl, as it was published.")
