"""What a person added to the program: head models and weights, one folder each, with a record of where it came from.

    <models>/<name>/model.json   title, licence, accepted when, checksums and sizes

<models> is $PREVISAGE_MODELS, or `previsage/models` in the user's data folder.
"""

import dataclasses
import datetime
from pathlib import Path
from typing import Any

from core.errors import PrevisageError, UsageError
from core.files import read_json
from core.places import own_folder
from core.records import record

RECORD = "model.json"
WHERE = "PREVISAGE_MODELS"


@record
class Licence:
    """What a model's owner allows. terms: where the full text stands. forbids: a sentence. cite: what to cite."""

    name: str
    holder: str
    terms: str
    forbids: str
    cite: str


def folder() -> Path:
    """Where added models are kept."""
    return own_folder(WHERE, "data", "models")


def accepted_record(name: str, title: str, licence: Licence) -> dict[str, Any]:
    """The part of a record that all added models have: what it is, its licence, and that it was accepted today."""
    return {"name": name, "title": title, "licence": dataclasses.asdict(licence),
            "licence_accepted": datetime.datetime.now(datetime.UTC).date().isoformat()}


def record_of(name: str) -> dict[str, Any] | None:
    """The record of an added model, or None when it was never added. PrevisageError: the record is damaged."""
    if not (folder() / name / RECORD).is_file():
        return None
    try:
        kept = read_json(folder() / name / RECORD)
        if "title" in kept and "name" in kept["licence"] and ("sha256" in kept.get("file", {}) or kept["files"]):
            return dict(kept)
    except (PrevisageError, KeyError, TypeError, AttributeError) as error:
        raise damaged(name) from error
    raise damaged(name)


def damaged(name: str) -> PrevisageError:
    """The error of a model whose files are not as they were kept."""
    return PrevisageError("model_damaged", f"The model {name} in {folder() / name} is damaged.",
                          f"Add it again: previsage models add {name} PATH.")


def licence_first(title: str, licence: Licence) -> UsageError:
    """The licence, before anything is kept."""
    return UsageError(
        "licence_not_accepted", f"{title} is under {licence.name}, {licence.holder}. It forbids: {licence.forbids}",
        f"Read the terms at {licence.terms}, then run the same command with --accept-licence. Cite: {licence.cite}.")
