"""Where Previsage keeps what belongs to a person and not to a case: added models, the signing key."""

import os
import sys
from pathlib import Path
from typing import Literal


def own_folder(variable: str, kind: Literal["data", "config"], inside: str = "") -> Path:
    """What an environment variable names, else `previsage/<inside>` in the user's folder of that kind; not made."""
    if given := os.environ.get(variable):
        return Path(given)
    home = Path.home()
    if sys.platform == "win32":
        name, usual = ("LOCALAPPDATA", "Local") if kind == "data" else ("APPDATA", "Roaming")
        base = Path(os.environ.get(name) or home / "AppData" / usual)
    elif sys.platform == "darwin":
        base = home / "Library" / "Application Support"
    elif kind == "data":
        base = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    return base / "previsage" / inside
