"""Frozen, keyword-only records whose arrays cannot be changed after construction."""

import dataclasses
from typing import Any, dataclass_transform

import numpy as np


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def record(cls: type) -> type:
    """Make `cls` a frozen, keyword-only, identity-compared dataclass."""
    return dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)


def freeze(owner: object, **arrays: tuple[Any, Any]) -> None:
    """Store read-only copies of arrays on a frozen record: `freeze(self, points=(points, float))`. An array that owns
    its numbers and is read-only already is kept as it is: copying a field of a head takes as long as a tenth of it."""
    for name, (values, dtype) in arrays.items():
        whole = isinstance(values, np.ndarray) and values.base is None and not values.flags.writeable
        kept = values if whole and values.dtype == np.dtype(dtype) else np.array(values, dtype=dtype)
        kept.flags.writeable = False
        object.__setattr__(owner, name, kept)
