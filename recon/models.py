"""Head models by name. Each back end is one file and one row here; how one is added: `add_model`."""

from core.backends import resolve
from core.face_model import FaceModel

MODELS = {"anny": "recon.anny_head:load", "flame": "recon.flame:load", "ict": "recon.ict:load"}
DEFAULT_MODEL = "anny"


def load_model(name: str = DEFAULT_MODEL) -> FaceModel:
    """A head model by name; UsageError lists the known ones, or says how to add one that is not here."""
    model: FaceModel = resolve(MODELS, name, "head model")()
    return model
