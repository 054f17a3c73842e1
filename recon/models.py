"""Head models by name. Each back end is one file and one row here; FLAME and ICT come as rows of their own."""

from core.backends import resolve
from core.face_model import FaceModel

MODELS = {"anny": "recon.anny_head:load"}
DEFAULT_MODEL = "anny"


def load_model(name: str = DEFAULT_MODEL) -> FaceModel:
    """A head model by name; UsageError lists the known ones."""
    model: FaceModel = resolve(MODELS, name, "head model")()
    return model
