"""Head models by name. Each back end is one file and one row here; how one is added: `add_model`."""

from core.backends import resolve
from core.face_model import FaceModel
from recon.user_models import record_of

MODELS = {"anny": "recon.anny_head:load", "flame": "recon.flame:load", "ict": "recon.ict:load"}
DEFAULT_MODEL = "anny"


def load_model(name: str = DEFAULT_MODEL) -> FaceModel:
    """A head model by name; UsageError lists the known ones, or says how to add one that is not here."""
    model: FaceModel = resolve(MODELS, name, "head model")()
    return model


def model_mark(name: str) -> str:
    """Checksum of an added model's file, so that a stage runs again when another one was added; empty for the embedded
    one, which counts as code. PrevisageError: its record is damaged."""
    kept = record_of(name)
    return "" if kept is None else str(kept["file"]["sha256"])
