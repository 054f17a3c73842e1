"""Add a head model that a person has: show its licence, check its file, convert it once, keep it."""

from pathlib import Path
from typing import Any

from core.added import licence_first
from core.backends import resolve
from core.errors import UsageError
from core.fragments import Rasterize
from core.progress import Progress, part, silent
from recon.adopt import adopt
from recon.anny_head import checksum
from recon.foreign import ForeignHead
from recon.models import DEFAULT_MODEL, load_model
from recon.user_models import Source, save_user_model

DESCRIBE = {"flame": "recon.flame:describe", "ict": "recon.ict:describe"}
"""What a path is, told without converting it."""
READ = {"flame": "recon.flame:read", "ict": "recon.ict:read"}


def add_model(name: str, path: Path, accepted: bool, rasterize: Rasterize, progress: Progress = silent) -> dict[
        str, Any]:
    """Convert a model that a person has and keep it; the record that is kept beside it. `rasterize`: render's skill.

    accepted: the person read the licence and accepts it. UsageError: no such model, or the licence is not accepted.
    InputRefused: the path is not that model.
    """
    if name == DEFAULT_MODEL:
        raise UsageError("model_is_embedded", f"The head model {name} comes with Previsage.",
                         f"Models to add: {', '.join(sorted(READ))}.")
    source: Source = resolve(DESCRIBE, name, "head model to add")(path)
    if not accepted:
        raise licence_first(source.title, source.licence)
    head: ForeignHead = resolve(READ, name, "head model to add")(path, part(progress, 0.0, 0.2))
    model = adopt(head, load_model(DEFAULT_MODEL), rasterize, progress=part(progress, 0.2, 1.0))
    progress(1.0, "Done: the model is ready")
    return save_user_model(name, model, source, checksum())
