"""The case folder: the only contract between stages, the command line, the web and the desktop.

    case.json                id, created, versions
    capture/                 chosen frames, capture.json, quality.json
    recon/                   the head: mesh.ply, head.glb, texture.png, landmarks478.npy, cameras.json, fit.json ...
    plans/<id>/              plan.json, displacement.npy, predicted.glb, views/*.png

A stage writes a whole folder at once and a manifest (`stage.json`) with it, so that an interrupted run leaves either
the old result or the new one. A stage whose manifest carries the same key is not run again.
"""

import datetime
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import InputRefused, PrevisageError
from core.files import LEFTOVER, digest, disk_errors, read_json, sha256, sweep, whole_folder, write_json

SCHEMA = 1
MANIFEST = "stage.json"


class Case:
    """A case on disk. `Case.open` reads an existing one, `Case.create` makes the folder if it is not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)

    @classmethod
    def open(cls, folder: Path) -> "Case":
        """An existing case; InputRefused when the folder is none."""
        case = cls(folder)
        if not (case.folder / "case.json").is_file():
            raise InputRefused("no_case", f"{folder} is not a Previsage case.",
                               "Make one with `previsage reconstruct VIDEO -o CASE`.")
        if read_json(case.folder / "case.json").get("schema") != SCHEMA:
            raise InputRefused("other_schema", f"{folder} was written by another version of Previsage.",
                               "Open it with that version, or reconstruct it again.")
        return case

    @classmethod
    def create(cls, folder: Path, versions: dict[str, str]) -> "Case":
        """Open the case, or make it. A folder that holds other things is refused, so that nothing is overwritten."""
        folder = Path(folder)
        if (folder / "case.json").is_file():
            return cls.open(folder)
        if folder.exists() and (not folder.is_dir() or any(not LEFTOVER.fullmatch(p.name) for p in folder.iterdir())):
            raise InputRefused("not_empty", f"{folder} exists and is not a Previsage case.",
                               "Choose a new or empty folder with -o.")
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "case.json", {
            "schema": SCHEMA, "id": uuid.uuid4().hex, "versions": versions,
            "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")})
        return cls(folder)

    @property
    def recon(self) -> Path:
        """Folder of the reconstruction."""
        return self.folder / "recon"

    def plan(self, plan_id: str) -> Path:
        """Folder of one plan."""
        return self.folder / "plans" / plan_id

    def plan_ids(self) -> list[str]:
        """Plans that are predicted, oldest first."""
        manifests = sorted((self.folder / "plans").glob(f"*/{MANIFEST}"), key=lambda p: p.stat().st_mtime)
        return [p.parent.name for p in manifests if not p.parent.name.startswith(".")]

    def sweep(self) -> None:
        """Delete what a killed run left behind, and put back an old result whose successor never came."""
        sweep(self.folder)

    def stage_key(self, name: str) -> str | None:
        """The key of the stored result of a stage, or None when there is none or a file of it is missing or altered."""
        folder = self.folder / name
        try:
            manifest = read_json(folder / MANIFEST)
            key, outputs = str(manifest["key"]), dict(manifest["outputs"])
        except (PrevisageError, KeyError, TypeError, ValueError):
            return None  # no manifest, or not one of ours: as good as no result
        for file, known in outputs.items():
            if not (folder / file).is_file() or sha256(folder / file) != known:
                return None
        return key

    def run_stage(self, name: str, inputs: Any, work: Callable[[Path], None]) -> bool:
        """Run `work(folder)` unless its result for the same inputs is there; True when it ran.

        `inputs` is any JSON-ready value that decides the result: hashes of files, options, code version.
        """
        key = digest(inputs)
        if self.stage_key(name) == key:
            return False
        with whole_folder(self.folder / name) as folder:
            work(folder)
            outputs = {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
            write_json(folder / MANIFEST, {"key": key, "inputs": inputs, "outputs": outputs})
        return True
