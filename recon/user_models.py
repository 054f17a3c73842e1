"""Head models that a person added: one folder each, with the converted model and a record of where it came from.

    <models>/<name>/model.npz    the FaceModel, plain arrays
    <models>/<name>/model.json   title, licence, accepted when, checksums and sizes of the source and of model.npz

<models>: `core.added`. A model is copied there by `previsage models add`; nothing is ever fetched.
"""

import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from core.added import RECORD, WHERE, Licence, accepted_record, damaged, folder, record_of
from core.errors import UsageError
from core.face_model import FaceModel
from core.files import sha256, whole_folder, write_json
from core.records import record
from core.store import load_npz, save_npz
from recon.model_file import arrays_of, model_from_arrays

__all__ = ["WHERE", "Licence", "Source", "folder", "load_user_model", "record_of", "save_user_model"]
MODEL = "model.npz"


@record
class Source:
    """What a person gave: its title and licence, checksum and size in bytes."""

    title: str
    licence: Licence
    sha256: str
    bytes: int


def save_user_model(name: str, model: FaceModel, source: Source, embedded: str) -> dict[str, Any]:
    """Keep a converted model with its record, whole or not at all; the record.

    embedded: checksum of the embedded head whose landmarks and regions it carries.
    """
    with whole_folder(folder() / name) as place:
        save_npz(place / MODEL, **arrays_of(model))
        kept = {
            **accepted_record(name, source.title, source.licence),
            "source": {"sha256": source.sha256, "bytes": source.bytes},
            "file": {"sha256": sha256(place / MODEL), "bytes": (place / MODEL).stat().st_size},
            "carried_from_embedded_sha256": embedded, "vertices": len(model.template_mm),
            "identity_modes": len(model.identity_basis_mm), "facial_actions": len(model.expression_names)}
        write_json(place / RECORD, kept)
    return kept


def load_user_model(name: str) -> FaceModel:
    """An added model. UsageError: it was never added; PrevisageError: its files are damaged."""
    kept, file = record_of(name), folder() / name / MODEL
    if kept is None:
        raise UsageError("model_not_added", f"The head model {name} is not on this computer.",
                         f"Add it once: previsage models add {name} PATH. See `previsage models`.")
    if not file.is_file():
        raise damaged(name)
    return read_model(name, file, str(kept["file"].get("sha256")), file.stat().st_mtime_ns)


@lru_cache(maxsize=2)
def read_model(name: str, file: Path, checksum: str, changed_ns: int) -> FaceModel:
    """The model in a file whose checksum is known; kept while the file stays as it is."""
    if sha256(file) != checksum:
        raise damaged(name)
    try:
        return model_from_arrays(name, load_npz(file))
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise damaged(name) from error
