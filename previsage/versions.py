"""Versions: which program made a case, and a mark of the code by which a stage knows that it must run again."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from core.files import digest, sha256

ROOT = Path(__file__).resolve().parents[1]
LIBRARIES = ("numpy", "scipy", "mediapipe", "opencv-contrib-python", "open3d", "av", "numba", "potpourri3d")


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def versions() -> dict[str, str]:
    """Previsage, Python and the libraries that decide results."""
    found = {name: installed(name) for name in ("previsage", *LIBRARIES)}
    return {"python": platform.python_version(), **{name: v for name, v in found.items() if v}}


@cache
def code_version(*parts: str) -> str:
    """Checksum of every Python file and table below some folders (or single files) of the installation: it never goes
    stale by hand."""
    files = sorted(p for part in parts for p in ((ROOT / part).rglob("*") if (ROOT / part).is_dir() else [ROOT / part])
                   if p.suffix in (".py", ".json", ".yaml", ".npz") and p.is_file())
    return digest([(p.relative_to(ROOT).as_posix(), sha256(p)) for p in files])
