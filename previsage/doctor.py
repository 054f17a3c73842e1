"""Doctor: what this installation has, what it lacks, and how to get it."""

import importlib.util
import platform
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from core.records import record
from previsage.head_models import head_models
from previsage.versions import LIBRARIES, installed
from previsage.weights import modes_here, weight_rows

ENOUGH_GB = 2.0
"""Free disk below which a case may not fit: a long 4K upload, its frames, textures and pictures."""

OPTIONAL = {
    "pyvista": ("desktop window (previsage view)", "pip install 'previsage[desktop]'"),
    "torch": ("diffusion pictures", "pip install 'previsage[diffusion]'"),
    "pytorch3d": ("the rasteriser on a GPU (PREVISAGE_RASTERIZER=pytorch3d)",
                  "build it from the source of facebookresearch/pytorch3d; there is no wheel (docs/dependencies.md)"),
    "onnxruntime": ("restorers and metric networks as .onnx", "pip install 'previsage[restore]'"),
    "distributed": ("jobs on other computers", "pip install 'previsage[cluster]'"),
}
"""Package: what it gives, and how to get it."""


@record
class Check:
    """One line: state is ok, missing (needed) or optional (not there, not needed)."""

    name: str
    state: Literal["ok", "missing", "optional"]
    found: str
    hint: str = ""


def examine(folder: Path = Path(".")) -> list[Check]:
    """Every check; `folder` is where cases will be written."""
    groups: tuple[Callable[[], list[Check]], ...] = (programs, models, weights, pages, graphics, optional)
    return [*(check for group in groups for check in group()), disk(folder)]


def programs() -> list[Check]:
    """Python and the libraries that decide results."""
    ours = installed("previsage")
    checks = [Check(name="previsage", state="ok", found=ours or "run from its source"),
              Check(name="python", state="ok" if (3, 11) <= sys.version_info[:2] < (3, 13) else "missing",
                    found=f"{platform.python_version()}, {platform.machine()}, {platform.system()}",
                    hint="" if (3, 11) <= sys.version_info[:2] < (3, 13) else "Use Python 3.11 or 3.12.")]
    for name in LIBRARIES:
        found = installed(name)
        checks.append(Check(name=name, state="ok" if found else "missing", found=found or "not installed",
                            hint="" if found else "Install previsage again."))
    return checks


def models() -> list[Check]:
    """The embedded head, and those that a person may add."""
    return [Check(name=f"head model {m['name']}",
                  state="ok" if m["installed"] else "missing" if m["default"] else "optional",
                  found=m.get("title", "packaged") if m["installed"] else "not there", hint=m["get"])
            for m in head_models()]


def weights() -> list[Check]:
    """Weights of the generative modes, and which modes can paint; warp3d, the default, needs none of them."""
    checks = [Check(name=f"weights {row['name']}", state="ok" if row["installed"] else "optional",
                    found=row.get("title", "") if row["installed"] else "not there", hint=row["get"])
              for row in weight_rows()]
    return checks + [Check(name=f"mode {mode}", state="optional" if lacks else "ok", found="" if lacks else "ready",
                           hint=f"It lacks: {lacks}. Pictures come from warp3d without it." if lacks else "")
                     for mode, lacks in modes_here().items()]


def pages() -> list[Check]:
    """The web client, which is built with the package."""
    spec = importlib.util.find_spec("viewer")
    built = spec is not None and spec.submodule_search_locations is not None and any(
        (Path(place) / "web" / "static" / "index.html").is_file() for place in spec.submodule_search_locations)
    return [Check(name="web pages", state="ok" if built else "missing", found="built" if built else "not built",
                  hint="" if built else "Install previsage again, or `npm ci && npm run build` in viewer/web/client.")]


def graphics() -> list[Check]:
    """A graphics card, which nothing needs yet."""
    card = shutil.which("nvidia-smi") is not None
    return [Check(name="graphics card", state="ok" if card else "optional", found="NVIDIA" if card else "none",
                  hint="" if card else "Not needed: everything runs on the processor.")]


def optional() -> list[Check]:
    """Extras."""
    return [Check(name=name, state="ok" if installed(name) else "optional", found=installed(name) or "not installed",
                  hint="" if installed(name) else f"For {gives}: {how}") for name, (gives, how) in OPTIONAL.items()]


def disk(folder: Path) -> Check:
    """Free space where cases will be written."""
    free_gb = shutil.disk_usage(folder).free / 1e9
    enough = free_gb >= ENOUGH_GB
    return Check(name="free disk", state="ok" if enough else "missing", found=f"{free_gb:.1f} GB",
                 hint="" if enough else f"A case may need {ENOUGH_GB:g} GB.")
