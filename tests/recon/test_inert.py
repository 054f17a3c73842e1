"""Pickles are read, never run: what a head model may hold comes back exact; everything else is refused untouched."""

import io
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csc_matrix, csr_matrix
from scipy.sparse import random as random_sparse

from core.errors import InputRefused
from recon import inert
from recon.inert import read_arrays
from tests.recon.flame_file import Ch, Python2Pickler, pretended_chumpy

RNG = np.random.default_rng(0)
ARRAYS = {
    "doubles": RNG.normal(size=(4, 3, 2)), "by columns": np.asfortranarray(RNG.normal(size=(5, 4))),
    "unsigned": RNG.integers(0, 2**32, (6, 3), np.uint32), "bytes": RNG.integers(0, 255, 9, np.uint8),
    "big endian": RNG.normal(size=7).astype(">f4"), "switches": np.array([True, False]), "strided": np.arange(20)[::3],
    "none": np.zeros((0, 3)), "scalar": np.float64(2.5), "count": np.int64(-7)}


class Runs:
    """Unpickled in the usual way, this calls `call(*given)`."""

    def __init__(self, call, *given) -> None:
        self.call, self.given = call, given

    def __reduce__(self):
        return self.call, self.given


def written(path: Path, value, protocol: int | None = None) -> Path:
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_and_numbers_of_every_protocol_come_back_exact(tmp_path, protocol):
    found = read_arrays(written(tmp_path / "a.pkl", {**ARRAYS, "text": "lbs", "number": 3, "nothing": None}, protocol))
    for name, value in ARRAYS.items():
        assert np.array_equal(found[name], value), name
        if isinstance(value, np.ndarray):
            assert found[name].dtype == value.dtype.newbyteorder("=") and found[name].shape == value.shape
    assert (found["text"], found["number"], found["nothing"]) == ("lbs", 3, None)


def test_python_2s_strings_are_read(tmp_path):
    stream = io.BytesIO()
    Python2Pickler(stream, 2).dump({"doubles": ARRAYS["doubles"], "text": "lbs"})
    (tmp_path / "a.pkl").write_bytes(stream.getvalue())
    found = read_arrays(tmp_path / "a.pkl")
    assert np.array_equal(found["doubles"], ARRAYS["doubles"]) and found["text"] == "lbs"


@pytest.mark.parametrize("kind", [csc_matrix, csr_matrix])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_sparse_matrices_are_written_out(tmp_path, kind, protocol):
    matrix = kind(random_sparse(5, 300, 0.05, random_state=1))
    found = read_arrays(written(tmp_path / "a.pkl", {"m": matrix}, protocol))["m"]
    assert np.array_equal(found, matrix.toarray()) and found.any()


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_chumpy_objects_give_the_array_they_hold(tmp_path, protocol):
    with pretended_chumpy():
        written(tmp_path / "a.pkl", {"v": Ch(ARRAYS["doubles"])}, protocol)
        written(tmp_path / "computed.pkl", {"v": Ch(Ch(ARRAYS["doubles"]))}, protocol)
    assert np.array_equal(read_arrays(tmp_path / "a.pkl")["v"], ARRAYS["doubles"])
    with pytest.raises(InputRefused, match="holds no array"):
        read_arrays(tmp_path / "computed.pkl")


def attacks(marker: Path) -> dict[str, object]:
    """Pickles that make `marker` when they are unpickled in the usual way."""
    touch = Runs(os.mkdir, str(marker))
    array = np.empty(1, object)
    array[0] = touch
    with_state = Ch(np.zeros(2))
    with_state.x = touch
    sparse = csc_matrix(np.eye(2))
    sparse.data = touch
    return {"at the top": touch, "in the dictionary": {"v_template": touch}, "as a key": {Hashed(touch): 1},
            "in a list": {"f": [touch]}, "in an array of objects": {"f": array},
            "in a chumpy object": {"f": with_state}, "in a sparse matrix": {"J_regressor": sparse},
            "by eval": {"f": Runs(eval, f"__import__('os').mkdir({str(marker)!r})")},
            "by getattr": {"f": Runs(getattr, Runs(__import__, "os"), "mkdir")}}


class Hashed(tuple):
    """A dictionary's key that brings something along."""

    def __new__(cls, inner):
        made = super().__new__(cls, ())
        made.inner = inner
        return made


@pytest.mark.parametrize("kind", sorted(attacks(Path("x"))))
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_runs_something_is_refused_and_runs_nothing(tmp_path, kind, protocol):
    marker = tmp_path / "made"
    with pretended_chumpy():
        content = pickle.dumps(attacks(marker)[kind], protocol)
        if kind != "by getattr":
            pickle.loads(content)
            assert marker.is_dir(), "the attack is alive"
            marker.rmdir()
    (tmp_path / "a.pkl").write_bytes(content)
    with pytest.raises(InputRefused) as refused:
        read_arrays(tmp_path / "a.pkl")
    assert refused.value.code == "unsafe_pickle" and "run" in refused.value.message
    assert not marker.exists()


@pytest.mark.parametrize("module", ["os", "posix", "nt", "subprocess", "builtins", "__builtin__", "numpy", "numpy.core",
                                    "scipy.sparse", "copyreg", "_codecs", "collections", "pickle", "chumpyx"])
@pytest.mark.parametrize("name", ["system", "eval", "__import__", "load", "getattr", "loads", "decode"])
def test_only_the_listed_names_are_known(tmp_path, module, name):
    (tmp_path / "a.pkl").write_bytes(b"c" + f"{module}\n{name}\n".encode() + b".")
    with pytest.raises(InputRefused, match=f"{module}.{name}"):
        read_arrays(tmp_path / "a.pkl")


def test_no_name_stands_for_anything_real():
    """Every known name is a class of the module itself, and the classes cannot be altered from a pickle."""
    stands_for = {cls for names in inert.NAMES.values() for cls in names.values()}
    assert all(issubclass(cls, inert.Inert) and cls.__module__ == inert.__name__ for cls in stands_for)
    for cls in stands_for:
        with pytest.raises(pickle.UnpicklingError):
            cls.__setstate__ = None


@pytest.mark.parametrize("state", [b"}(X\x0b\x00\x00\x00__setstate__K\x01u", b"N}(X\x07\x00\x00\x00__new__K\x01u\x86"])
def test_a_pickle_cannot_alter_the_reader(tmp_path, state):
    """BUILD on a class, with a state for its __dict__ and with one for setattr."""
    before = vars(inert.Array).copy()
    (tmp_path / "a.pkl").write_bytes(b"\x80\x02cnumpy\nndarray\n" + state + b"b.")
    with pytest.raises(InputRefused):
        read_arrays(tmp_path / "a.pkl")
    assert dict(vars(inert.Array)) == dict(before)


def test_chumpys_name_gives_no_way_out(tmp_path):
    """Protocol 4 names with dots are looked up attribute by attribute; here they are one inert name."""
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04\x8c\x06chumpy\x8c\x09os.system\x93\x8c\x04true\x85R.")
    with pytest.raises(InputRefused, match="no dictionary"):
        read_arrays(tmp_path / "a.pkl")


def test_truncated_and_foreign_files_are_named(tmp_path):
    whole = pickle.dumps({k: ARRAYS[k] for k in ("doubles", "unsigned")}, 2)
    for length in [*range(0, len(whole), 7), len(whole) - 1]:
        (tmp_path / "cut.pkl").write_bytes(whole[:length])
        with pytest.raises(InputRefused) as refused:
            read_arrays(tmp_path / "cut.pkl")
        assert refused.value.code == "bad_pickle" and "cut.pkl" in refused.value.message, length
    for k, content in enumerate([b"PK\3\4 a zip", b"not a pickle", pickle.dumps([1, 2]), pickle.dumps("text")]):
        (tmp_path / f"{k}.pkl").write_bytes(content)
        with pytest.raises(InputRefused, match=f"{k}.pkl"):
            read_arrays(tmp_path / f"{k}.pkl")


def test_flipped_bytes_are_refused_or_harmless(tmp_path):
    """Whatever one wrong byte does, it ends in our own error or in a dictionary of plain values."""
    whole = bytearray(pickle.dumps({"doubles": ARRAYS["doubles"], "m": csc_matrix(np.eye(3))}, 2))
    rng = np.random.default_rng(3)
    outcomes = {"refused": 0, "read": 0}
    for _ in range(400):
        content = whole.copy()
        content[rng.integers(len(content))] = rng.integers(256)
        (tmp_path / "a.pkl").write_bytes(content)
        try:
            found = read_arrays(tmp_path / "a.pkl")
        except InputRefused:
            outcomes["refused"] += 1
        else:
            outcomes["read"] += 1
            assert all(v is None or isinstance(v, np.ndarray | str | int | float) for v in found.values())
    assert min(outcomes.values()) > 20


def test_arrays_of_anything_but_numbers_are_refused(tmp_path):
    for array in (np.array(["a"]), np.array([1, "x"], object), np.zeros(2, [("a", float)]), np.zeros(1, "M8[s]")):
        with pytest.raises(InputRefused, match="plain numbers"):
            read_arrays(written(tmp_path / "a.pkl", {"a": array}, 2))
