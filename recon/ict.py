"""ICT-FaceKit's Light model (MIT) from a checkout's `FaceXModel` folder: OBJ files in cm, one per mode and expression.

Its skin and its outer eyeballs (sclera with cornea) are used. Teeth, gums, tongue, inner irises, tear film, occlusion
meshes and lashes are left out, by the vertex ranges of its own README.
"""

import json
import re
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from core.errors import InputRefused
from core.face_model import FaceModel
from core.files import digest, sha256
from core.progress import Progress, silent
from recon.foreign import EYE_L, EYE_R, SKIN, ForeignHead
from recon.user_models import Licence, Source, load_user_model

NEUTRAL, TABLE = "generic_neutral_mesh.obj", "vertex_indices.json"
VERTICES, MM_PER_UNIT = 26719, 10.0
SKIN_RANGE, LINING_RANGE = (0, 14062), (11248, 14062)
SCLERA_L_RANGE, SCLERA_R_RANGE = (21451, 22221), (23021, 23791)
NOT_EXPRESSIONS = re.compile(r"identity\d+|generic_neutral_mesh|PupilDilate_[LR]")
MIT = Licence(
    name="MIT", holder="USC Institute for Creative Technologies",
    terms="https://github.com/ICT-VGL/ICT-FaceKit/blob/master/LICENSE",
    forbids="Leaving out the copyright notice when it is passed on.",
    cite="Li et al., Learning Formation of Physically-Based Face Attributes, CVPR 2020")


def load() -> FaceModel:
    """The converted model. UsageError: it was never added; PrevisageError: its file is damaged."""
    return load_user_model("ict")


def describe(folder: Path) -> Source:
    """The Light model in a folder: its licence, and a checksum over the files that are read.

    InputRefused: the folder has no neutral OBJ.
    """
    home = folder_of(folder)
    files = [home / name for name in (NEUTRAL, *identity_files(home), *expression_files(home))]
    return Source(title="ICT Face Model Light", licence=MIT, sha256=digest([(p.name, sha256(p)) for p in files]),
                  bytes=sum(p.stat().st_size for p in files))


def read(folder: Path, progress: Progress = silent) -> ForeignHead:
    """The head of a checkout. InputRefused: no neutral OBJ, no modes, or a mesh of another topology."""
    home = folder_of(folder)
    identities, expressions = identity_files(folder), expression_files(folder)
    if not identities:
        raise refused(f"{home.name} holds no identity000.obj and following", "no_identity_modes")
    neutral, faces = neutral_mesh(home / NEUTRAL)
    parts = [np.arange(*r) for r in (SKIN_RANGE, SCLERA_L_RANGE, SCLERA_R_RANGE)]
    rows = np.concatenate(parts)
    part = np.repeat([SKIN, EYE_L, EYE_R], [len(p) for p in parts])
    new = np.full(VERTICES, -1)
    new[rows] = np.arange(len(rows))
    kept = new[faces]
    kept = kept[(kept >= 0).all(1)]
    template = neutral[rows] * MM_PER_UNIT

    def moved(names: list[str], start: float, end: float) -> Float[np.ndarray, "m v 3"]:
        out = np.zeros((len(names), len(rows), 3), np.float32)
        for k, name in enumerate(names):
            progress(start + (end - start) * k / len(names), f"Reading {name}")
            out[k] = vertices(home / name)[rows] * MM_PER_UNIT - template
        return out

    identity = moved(identities, 0.0, 0.65)
    actions = moved(expressions, 0.65, 1.0)
    actions[:, part != SKIN] = 0  # gaze is not fitted, and a turned ball is no linear motion
    eyes = np.stack([(template[part == e].min(0) + template[part == e].max(0)) / 2 for e in (EYE_L, EYE_R)])
    return ForeignHead(name="ict", template_mm=template, faces=kept, part=part,
                       lining=(rows >= LINING_RANGE[0]) & (rows < LINING_RANGE[1]), identity_basis_mm=identity,
                       expression_names=tuple(Path(n).stem for n in expressions), expression_basis_mm=actions,
                       joint_names=("eye_l", "eye_r"), joints_mm=eyes)


def folder_of(folder: Path) -> Path:
    """The folder with the neutral mesh: the given one, or its FaceXModel. InputRefused: neither has it."""
    for home in (folder, folder / "FaceXModel"):
        if (home / NEUTRAL).is_file():
            return home
    raise refused(f"{folder} holds no {NEUTRAL}, nor does its folder FaceXModel", "not_ict")


def identity_files(folder: Path) -> list[str]:
    """Names of the identity modes, in their order."""
    return sorted(p.name for p in folder_of(folder).glob("identity[0-9]*.obj"))


def expression_files(folder: Path) -> list[str]:
    """Names of the expressions: those of the model's own table, or every OBJ that is neither neutral nor identity."""
    home = folder_of(folder)
    try:
        names = [f"{n}.obj" for n in json.loads((home / TABLE).read_text("utf-8"))["expressions"]]
    except (OSError, ValueError, KeyError, TypeError):
        names = sorted(p.name for p in home.glob("*.obj") if not NOT_EXPRESSIONS.fullmatch(p.stem))
    return [n for n in names if (home / n).is_file()]


def vertices(file: Path) -> Float[np.ndarray, "v 3"]:
    """Vertex positions of an OBJ file. InputRefused: truncated, or not the topology."""
    try:
        rows = re.findall(r"^v[ \t]+(\S+)[ \t]+(\S+)[ \t]+(\S+)", file.read_text("ascii"), re.MULTILINE)
        found = np.array(rows, dtype=float).reshape(-1, 3)
    except (OSError, ValueError) as error:
        raise refused(f"{file.name} cannot be read as an OBJ file", "bad_obj") from error
    if len(found) != VERTICES or not np.isfinite(found).all():
        raise refused(f"{file.name} has {len(found)} vertices, not {VERTICES}", "wrong_shape")
    return found


def neutral_mesh(file: Path) -> tuple[Float[np.ndarray, "v 3"], Int[np.ndarray, "f 3"]]:
    """Positions (cm) and triangles; quads are cut along their shorter diagonal."""
    found = vertices(file)
    rows = [line.split()[1:] for line in file.read_text("ascii").splitlines() if line.startswith("f ")]
    try:
        corners = [[int(c.split("/")[0]) - 1 for c in row] for row in rows]
    except ValueError as error:
        raise refused(f"{file.name} cannot be read as an OBJ file", "bad_obj") from error
    quads = np.array([c for c in corners if len(c) == 4], int).reshape(-1, 4)
    faces = np.array([c for c in corners if len(c) == 3], int).reshape(-1, 3)
    if len(quads) + len(faces) != len(corners) or not len(quads):
        raise refused(f"{file.name} has faces that are neither triangles nor quads", "wrong_shape")
    if min(map(min, corners)) < 0 or max(map(max, corners)) >= len(found):
        raise refused(f"{file.name} has a face that names a vertex that does not exist", "wrong_shape")
    a, b = (np.linalg.norm(found[quads[:, i]] - found[quads[:, i + 2]], axis=1) for i in (0, 1))
    split = np.where((a <= b)[:, None], quads[:, [0, 1, 2, 0, 2, 3]], quads[:, [0, 1, 3, 1, 2, 3]]).reshape(-1, 3)
    return found, np.concatenate([split, faces])


def refused(what: str, code: str) -> InputRefused:
    """The error, with where the model comes from."""
    return InputRefused(code, f"This is no ICT-FaceKit checkout: {what}.",
                        "Clone github.com/ICT-VGL/ICT-FaceKit (MIT) and give its folder.")
