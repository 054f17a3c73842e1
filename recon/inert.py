"""Inert: read the arrays out of a pickle without running anything of it.

A pickle is a program: it names functions and calls them. Here every name it may use stands for an inert class of this
file that only keeps what it was called with; every other name is refused before anything is called. Not even numpy's
own unpickling code runs: arrays are put together afterwards from their bytes, shape and plain number type.

Understood: numpy arrays and scalars (protocols 0 to 5, Python 2 and 3), scipy's sparse matrices by columns and rows,
and chumpy's objects that hold an array in `x`, as old body models have them; chumpy itself is not needed.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import InputRefused

MOST_BYTES = 1 << 30
"""Body models have some 50 MB."""
MOST_VALUES = 1 << 27
"""No array of a body model has more elements."""
NUMBER = "biuf"
"""Kinds of plain numbers."""


class Sealed(type):
    """Classes that a pickle cannot alter."""

    def __setattr__(cls, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"a pickle may not set {name}")


class Inert(metaclass=Sealed):
    """Something a pickle made: the arguments of its making, and the state it was given."""

    __slots__ = ("given", "state")
    given: tuple[Any, ...]
    state: Any

    def __new__(cls, *given: Any) -> "Inert":
        """Keep the arguments."""
        made = object.__new__(cls)
        made.given, made.state = given, None
        return made

    def __init__(self, *given: Any) -> None:
        """Everything is done by then."""

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __hash__(self) -> int:
        return id(self)


class Array(Inert):
    """numpy.ndarray, or what numpy's `_reconstruct` and `_frombuffer` make."""


class FromBuffer(Inert):
    """A numpy array of protocol 5: bytes, type, shape, order."""


class Scalar(Inert):
    """A numpy scalar: type, bytes."""


class Dtype(Inert):
    """numpy.dtype."""


class Columns(Inert):
    """A sparse matrix by columns (csc)."""


class Rows(Inert):
    """A sparse matrix by rows (csr)."""


class Chumpy(Inert):
    """Any object of chumpy."""


class Rebuilt(Inert):
    """copyreg's `_reconstructor`: a class, its base, the base's value."""

    def __new__(cls, *given: Any) -> Any:
        """An empty object of one of the classes here."""
        if len(given) == 3 and isinstance(given[0], type) and issubclass(given[0], Inert):
            return given[0]()
        raise pickle.UnpicklingError("an object of an unknown class")


class Encoded(Inert):
    """`_codecs.encode(text, "latin1")` or `bytes()`: how Python 3 writes bytes for Python 2."""


class Object(Inert):
    """The base of all classes."""


class Several(Inert):
    """A set or an ordered dictionary; none of a model's arrays is one."""

    __slots__ = ()

    def __setitem__(self, key: Any, value: Any) -> None:
        """What is in it is of no use here."""


NAMES: dict[str, dict[str, type]] = {
    "numpy": {"ndarray": Array, "dtype": Dtype},
    "numpy.core.multiarray": {"_reconstruct": Array, "scalar": Scalar},
    "numpy.core.numeric": {"_frombuffer": FromBuffer},
    "scipy.sparse.csc": {"csc_matrix": Columns, "csc_array": Columns},
    "scipy.sparse.csr": {"csr_matrix": Rows, "csr_array": Rows},
    "copyreg": {"_reconstructor": Rebuilt}, "_codecs": {"encode": Encoded},
    "builtins": {"object": Object, "bytes": Encoded, "bytearray": Encoded, "set": Several, "frozenset": Several},
    "collections": {"OrderedDict": Several},
}
"""What a pickle may name: module -> name -> the inert class that stands for it."""
OTHER_SPELLINGS = {
    "numpy._core.multiarray": "numpy.core.multiarray", "numpy._core.numeric": "numpy.core.numeric",
    "scipy.sparse._csc": "scipy.sparse.csc", "scipy.sparse._csr": "scipy.sparse.csr", "copy_reg": "copyreg",
    "__builtin__": "builtins",
}


class Reader(pickle.Unpickler):
    """An unpickler that knows only the names above."""

    def find_class(self, module: str, name: str) -> Any:
        """The inert class behind a name. InputRefused: any other name, before anything is called."""
        known = NAMES.get(OTHER_SPELLINGS.get(module, module), {}).get(name)
        if known is not None:
            return known
        if module == "chumpy" or module.startswith("chumpy."):
            return Chumpy
        raise InputRefused("unsafe_pickle", f"The file asks to run {module}.{name}, which no head model needs.",
                           "Nothing of it was run. Take the file from where the model is published.")

    def persistent_load(self, pid: Any) -> Any:
        """No model refers to anything outside itself."""
        raise pickle.UnpicklingError("a reference to something outside the file")


def read_arrays(path: Path) -> dict[str, Any]:
    """The dictionary that a pickle holds, its arrays as numpy's, sparse matrices made dense.

    InputRefused: the file asks to run something, is truncated, or is no pickled dictionary.
    """
    if path.stat().st_size > MOST_BYTES:
        raise damaged(path, "it is larger than any head model")
    try:
        made = Reader(io.BytesIO(path.read_bytes()), encoding="latin1").load()
        if not isinstance(made, dict):
            raise ValueError("it holds no dictionary")
        return {str(key): plain_value(value) for key, value in made.items()}
    except InputRefused:
        raise
    except Exception as error:  # whatever a damaged pickle raises in the interpreter of pickles
        raise damaged(path, str(error) or type(error).__name__) from error


def plain_value(value: Any) -> Any:
    """A value that the reader made, as numbers, texts and arrays; anything else as None."""
    if isinstance(value, Chumpy):
        state: Any = value.state
        inner = state.get("x") if isinstance(state, dict) else None
        if inner is None or isinstance(inner, Chumpy):
            raise ValueError("a chumpy object of it holds no array")
        return plain_value(inner)
    if isinstance(value, Columns | Rows):
        return dense(value)
    if isinstance(value, Inert):
        return array(value)
    return value if isinstance(value, str | int | float | bool) else None


def array(made: Inert) -> Any:
    """The array or number that was pickled; None for what is neither."""
    if isinstance(made, Array) and isinstance(made.state, tuple) and len(made.state) == 5:
        _, shape, kind, by_columns, content = made.state
        return shaped(content, dtype_of(kind), shape, "F" if by_columns else "C")
    if isinstance(made, FromBuffer) and len(made.given) >= 3:
        content, kind, shape = made.given[:3]
        return shaped(content, dtype_of(kind), shape, made.given[3] if len(made.given) > 3 else "C")
    if isinstance(made, Scalar) and len(made.given) == 2:
        return shaped(made.given[1], dtype_of(made.given[0]), (), "C").item()
    return None


def dtype_of(made: Any) -> "np.dtype[Any]":
    """A plain number type from its pickled name and byte order; ValueError for objects, records and times."""
    if not (isinstance(made, Dtype) and made.given and isinstance(made.given[0], str)):
        raise ValueError("an array of it holds no plain numbers")
    name, order = made.given[0], made.state[1] if isinstance(made.state, tuple) and len(made.state) > 1 else "="
    if name[:1] not in NUMBER or not name[1:].isdigit() or order not in ("<", ">", "=", "|"):
        raise ValueError("an array of it holds no plain numbers")
    return np.dtype(("" if order == "|" else order) + name)


def shaped(content: Any, kind: "np.dtype[Any]", shape: Any, order: str) -> np.ndarray:
    """Bytes as an array in this machine's byte order."""
    if isinstance(content, Encoded):
        content = content.given[0] if content.given else ""
    if isinstance(content, str):
        content = content.encode("latin1")
    if isinstance(content, pickle.PickleBuffer):
        content = content.raw()
    if not (isinstance(shape, tuple) and all(isinstance(n, int) and 0 <= n <= MOST_VALUES for n in shape)):
        raise ValueError("an array of it has no shape")
    values = np.frombuffer(content, kind).astype(kind.newbyteorder("=")) if len(content) else np.zeros(
        0, kind.newbyteorder("="))
    return values.reshape(shape, order="F" if order == "F" else "C")


def dense(made: Inert) -> np.ndarray:
    """A sparse matrix written out."""
    state = made.state
    if not isinstance(state, dict):
        raise ValueError("a sparse matrix of it has no content")
    data, index, start = (plain_value(state[k]) for k in ("data", "indices", "indptr"))
    rows, columns = (int(n) for n in state["_shape" if "_shape" in state else "shape"])
    lines, places = (columns, rows) if isinstance(made, Columns) else (rows, columns)
    if rows * columns > MOST_VALUES or len(start) != lines + 1 or index.size != data.size:
        raise ValueError("a sparse matrix of it does not fit its shape")
    out = np.zeros((lines, places), data.dtype)
    if start[0] != 0 or start[-1] != data.size or (np.diff(start) < 0).any() or (index < 0).any():
        raise ValueError("a sparse matrix of it does not fit its shape")
    np.add.at(out, (np.repeat(np.arange(lines), np.diff(start)), index), data)
    return out.T if isinstance(made, Columns) else out


def damaged(path: Path, why: str) -> InputRefused:
    """The error."""
    return InputRefused("bad_pickle", f"{path.name} cannot be read as a head model's pickle: {why}.",
                        "Take the file again from where the model is published, and do not unpack or convert it.")
