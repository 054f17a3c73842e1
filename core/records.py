"""Frozen, keyword-only records whose arrays cannot be changed after construction."""

import dataclasses
from typing import Any, dataclass_transform

import numpy as np


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def record(cls: type) -> type:
    """Make `cls` a frozen, keyword-only, identity-compared dataclass."""
    return dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)


def freeze(owner: object, **arrays: tuple[Any, Any]) -> None:
    """Store read-only copies of arrays on a frozen record: `freeze(self, points=(points, float))`. What another record
    froze is shared."""
    for name, (values, dtype) in arrays.items():
        copy = values if frozen(values, dtype) else np.array(values, dtype=dtype)
        copy.flags.writeable = False
        object.__setattr__(owner, name, copy)


def frozen(values: Any, dtype: Any) -> bool:
    """Whether this is an array of that kind with memory of its own that was made read-only."""
    return (isinstance(values, np.ndarray) and values.dtype == dtype and not values.flags.writeable
            and values.flags.owndata)


def given(values: np.ndarray) -> np.ndarray:
    """An array that its maker lets go of, read-only from now on: `freeze` takes it as it is."""
    values.flags.writeable = False
    return values
