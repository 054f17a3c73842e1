"""Back ends: a table from name to "module:function", resolved when used."""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from core.errors import UsageError


def resolve(table: Mapping[str, str], name: str, what: str) -> Callable[..., Any]:
    """The function behind a name; UsageError lists the known names."""
    if name not in table:
        raise UsageError("unknown_" + what.replace(" ", "_"), f"There is no {what} called {name!r}.",
                         f"Known: {', '.join(sorted(table))}.")
    module, function = table[name].split(":")
    return getattr(importlib.import_module(module), function)
