"""What the browser may know of a case folder: a summary, and the files on a short list."""

import re
from pathlib import Path
from typing import Any

from core.case import Case
from core.errors import PrevisageError
from core.files import read_json
from previsage.job import FINAL, Job, read_job
from viewer.web.problems import Refused

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""Of cases, plans and views; no separators and no leading dot, so that a name never leaves its folder."""
VIEWS = ("recon/views", "views")
"""Where the pictures of the head without a plan may lie."""


def open_case(root: Path, name: str) -> Case:
    """The case of that name. Refused: there is none."""
    folder = root / name
    if not NAME.fullmatch(name) or not folder.resolve().is_relative_to(root.resolve()) or not folder.is_dir():
        raise Refused(404, "no_case", "There is no such case.", "It may have been deleted; go back to the list.")
    return Case.open(folder)


def case_names(root: Path) -> list[str]:
    """Every case under the root, newest first."""
    files = [p for p in root.glob("*/case.json") if NAME.fullmatch(p.parent.name)]
    return [p.parent.name for p in sorted(files, key=lambda p: p.stat().st_mtime, reverse=True)]


def summary(root: Path, name: str) -> dict[str, Any]:
    """One line of the list. A case that cannot be read is shown as damaged, with the reason."""
    try:
        case = open_case(root, name)
        job = read_job(case.folder)
        return {"id": name, "label": label(case), "created": read_json(case.folder / "case.json")["created"],
                "state": state(case, job), "job": public(job), "plan_count": len(case.plan_ids()),
                "thumbnail": thumbnail(case) is not None, "error": None}
    except PrevisageError as error:
        return {"id": name, "label": name, "created": "", "state": "damaged", "job": None, "plan_count": 0,
                "thumbnail": False, "error": {"code": error.code, "message": error.message, "hint": error.hint}}


def detail(root: Path, name: str) -> dict[str, Any]:
    """Everything a case's page shows."""
    case = open_case(root, name)
    head = has_head(case)
    fit = read_json(case.recon / "fit.json") if head else {}
    return {**summary(root, name), "head": head, "quality": (case.folder / "capture" / "quality.png").is_file(),
            "verdict": verdict(case), "scale": fit.get("scale"), "model": fit.get("model"), "views": view_names(case),
            "plans": [plan(case, plan_id) for plan_id in case.plan_ids()] if head else []}


def label(case: Case) -> str:
    """What the person called it, else the folder's name."""
    file = case.folder / "web.json"
    return (read_json(file).get("label") if file.is_file() else "") or case.folder.name


def has_head(case: Case) -> bool:
    """Whether the reconstruction is there."""
    return (case.recon / "head.glb").is_file() and (case.recon / "fit.json").is_file()


def state(case: Case, job: Job | None) -> str:
    """Of the case as a whole: at work, ready, or how the last job ended without a head."""
    if job is not None and job.state not in FINAL:
        return job.state
    if has_head(case):
        return "ready"
    return "empty" if job is None else job.state


def public(job: Job | None) -> dict[str, Any] | None:
    """A job without what only the machine needs."""
    return None if job is None else job.model_dump(mode="json", exclude={"pid", "inputs"})


def verdict(case: Case) -> Any:
    """The capture's quality as the reconstruction judged it."""
    file = case.folder / "capture" / "quality.json"
    return read_json(file) if file.is_file() else None


def plan(case: Case, plan_id: str) -> dict[str, Any]:
    """One prediction: its steps with the asked values (the morph targets, in order), and what it says of itself."""
    folder = case.plan(plan_id)
    record = read_json(folder / "prediction.json")
    steps = [{"name": n, "label": lab, "value": v, "unit": u} for n, lab, v, u in zip(
        record["step_names"], record["step_labels"], record["step_values"], record["step_units"], strict=True)]
    return {"id": plan_id, "plan": record["plan"], "steps": steps, "warnings": record["warnings"],
            "couplings": record["couplings"], "swelling_percent": record["swelling_percent"],
            "volume_added_ml": record["volume_added_ml"], "volume_removed_ml": record["volume_removed_ml"],
            "views": sorted(p.stem for p in (folder / "views").glob("*.png"))}


def view_folder(case: Case) -> Path | None:
    """Where the head's own pictures lie, or None before they are rendered."""
    return next((case.folder / f for f in VIEWS if any((case.folder / f).glob("*.png"))), None)


def view_names(case: Case) -> list[str]:
    """The head's own pictures."""
    folder = view_folder(case)
    return sorted(p.stem for p in folder.glob("*.png")) if folder else []


def thumbnail(case: Case) -> Path | None:
    """The picture that stands for a case: the rendered front view, else the middle frame of the capture."""
    folder = view_folder(case)
    fronts = sorted(p for p in folder.glob("*.png") if "front" in p.stem) if folder else []
    frames = sorted(p for p in (case.folder / "capture").rglob("*") if p.suffix in (".jpg", ".png")
                    and p.name != "quality.png")
    return fronts[0] if fronts else frames[len(frames) // 2] if frames else None


def file_of(case: Case, name: str) -> Path:
    """A file the browser may fetch. Refused: not on the list, or not there."""
    match name.split("/"):
        case ["head.glb"]:
            found: Path | None = case.recon / "head.glb"
        case ["quality.png"]:
            found = case.folder / "capture" / "quality.png"
        case ["views", view] if NAME.fullmatch(view):
            folder = view_folder(case)
            found = folder / view if folder and view.endswith(".png") else None
        case ["plans", plan_id, "predicted.glb"] if NAME.fullmatch(plan_id):
            found = case.plan(plan_id) / "predicted.glb"
        case ["plans", plan_id, "views", view] if NAME.fullmatch(plan_id) and NAME.fullmatch(view):
            found = case.plan(plan_id) / "views" / view if view.endswith(".png") else None
        case _:
            found = None
    if found is None or not found.is_file() or not found.resolve().is_relative_to(case.folder.resolve()):
        raise Refused(404, "no_file", "There is no such file.")
    return found
