"""Weights of the generative modes: which there are, which are here, and adding what a person has."""

from pathlib import Path
from typing import Any

from core.errors import PrevisageError, UsageError
from core.progress import Progress, silent
from previsage.head_models import ADDABLE, add_head_model
from synth.diffusion.options import MODES, NEEDS
from synth.own_networks import NETWORKS, add_network
from synth.weight_kinds import KINDS

MODE_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors")


def weight_rows() -> list[dict[str, Any]]:
    """All weights: whether they were added and are still there, under which licence, how to get them."""
    return [one_row(name) for name in (*KINDS, *NETWORKS)]


def one_row(name: str) -> dict[str, Any]:
    """One kind of weights; files are looked for, not summed."""
    from core.added import record_of

    kind = KINDS[name] if name in KINDS else NETWORKS[name]
    row = {"name": name, "default": False, "installed": False, "licence": kind.licence.name,
           "what": f"{kind.title}: {kind.what}", "get": kind.how(name)}
    try:
        kept = record_of(name)
    except PrevisageError as error:
        return {**row, "get": str(error)}
    if kept is None:
        return row
    home = Path(str(kept.get("folder", "")))
    lost = [file for file in kept.get("files", {}) if not (home / file).is_file()]
    if lost:
        return {**row, "get": f"{lost[0]} is no longer in {home}: put it back, or add it again."}
    return {**row, "installed": True, "get": "", "title": kept["title"], "folder": home, "record": kept}


def modes_here() -> dict[str, str]:
    """Each generative mode, and what it lacks; empty when it can paint."""
    from previsage.versions import installed

    packages = [name for name in MODE_PACKAGES if installed(name) is None]
    here = {row["name"] for row in weight_rows() if row["installed"]}
    lacks = {}
    for mode in MODES:
        missing = [*packages, *(name for name in NEEDS[mode] if name not in here)]
        lacks[mode] = ", ".join(missing)
    return lacks


def add_model(name: str, path: Path | None, accepted: bool, download: bool = False,
              progress: Progress = silent) -> dict[str, Any]:
    """Add a head model or weights; the record kept beside it.

    UsageError: no such model, its licence is not accepted, no path where one is needed. InputRefused: the path is
    something else. PrevisageError: a download failed.
    """
    if name in KINDS:
        from synth.weights import add_weights

        return add_weights(name, path, accepted, download, progress)
    if name in NETWORKS and not download:
        return add_network(name, path, accepted, progress)
    if name not in (*ADDABLE, *NETWORKS) and name != "anny":
        raise UsageError("unknown_model", f"There is no model called {name!r} to add.",
                         f"Known: {', '.join((*ADDABLE, *KINDS, *NETWORKS))}.")
    if download:
        raise UsageError("no_download", f"{name} cannot be fetched by this program.",
                         f"{ADDABLE[name][2]}." if name in ADDABLE else NETWORKS[name].how(name) if name in NETWORKS
                         else "It comes with Previsage.")
    if path is None:
        raise UsageError("usage", f"Which file or folder is {name}?", "previsage models add --help")
    return add_head_model(name, path, accepted, progress)
