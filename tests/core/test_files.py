"""Atomic writes: whatever stops a write, the old file or folder is whole, and what is left behind can be swept."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import PrevisageError
from core.files import LEFTOVER, digest, plain, read_json, sha256, sweep, whole_folder, write_bytes, write_json

JSON = st.recursive(st.none() | st.booleans() | st.integers(-2**53, 2**53) | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3))


def failing(code: int) -> Callable[..., None]:
    """A system call that fails with an error number."""
    def call(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))
    return call


@given(JSON.filter(lambda value: value is not None))
def test_json_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    write_json(path, value)
    expected = plain(value)
    assert read_json(path) == expected
    assert repr(read_json(path)) == repr(expected), "floats and ints keep their type and every bit"


def test_plain_makes_numpy_paths_and_infinities_readable() -> None:
    value = {1: np.float32(0.5), "a": np.arange(3), "p": Path("x/y"), "n": float("nan"), "i": np.inf, "t": (np.True_,)}
    assert plain(value) == {"1": 0.5, "a": [0, 1, 2], "p": "x/y", "n": None, "i": None, "t": [True]}
    json.dumps(plain(value), allow_nan=False)


def test_a_digest_knows_every_change_but_not_the_order_of_keys() -> None:
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": (1, 2), "a": 1})
    assert len({digest(v) for v in ({"a": 1}, {"a": 2}, {"a": 1.5}, {"a": "1"}, {"b": 1}, [1], [[1]])}) == 7


def test_sha256_is_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe"])
def test_damaged_json_has_a_name(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "fit.json").write_bytes(content)
    with pytest.raises(PrevisageError) as refused:
        read_json(tmp_path / "fit.json")
    assert refused.value.code == "case_damaged" and "fit.json" in refused.value.message


@pytest.mark.parametrize("call", ["os.replace", "os.fsync"])
def test_a_full_disk_is_named_and_the_old_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, b"old")
    with monkeypatch.context() as broken:
        broken.setattr(call, failing(errno.ENOSPC))
        with pytest.raises(PrevisageError) as refused:
            write_bytes(path, b"new")
    assert refused.value.code == "disk_full" and "a.bin" in str(refused.value) and "space" in refused.value.hint
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("code, name", [(errno.EDQUOT, "disk_full"), (errno.EROFS, "not_writable")])
def test_other_refusals_of_the_disk_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, name: str
) -> None:
    monkeypatch.setattr(os, "replace", failing(code))
    with pytest.raises(PrevisageError) as refused:
        write_bytes(tmp_path / "a", b"new")
    assert refused.value.code == name


def test_an_input_that_cannot_be_read_is_not_called_unwritable(tmp_path: Path) -> None:
    """A stage reads its inputs while its folder is open: the error must name the input, not the case."""
    upload = str(tmp_path / "upload.jpg")
    with pytest.raises(PermissionError, match="upload"), whole_folder(tmp_path / "capture"):
        raise PermissionError(errno.EACCES, "Permission denied", upload)
    with pytest.raises(PrevisageError, match="cannot be written"), whole_folder(tmp_path / "capture") as folder:
        raise PermissionError(errno.EACCES, "Permission denied", str(folder / "0.png"))


def test_a_missing_input_keeps_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "recon") as folder:
        (folder / "nothing").read_bytes()
    assert os.listdir(tmp_path) == []


def old_and_new(tmp_path: Path) -> Path:
    """A folder with an old result."""
    target = tmp_path / "recon"
    with whole_folder(target) as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "a").write_text("old")
    return target


def assert_old_is_whole(target: Path) -> None:
    assert [p.relative_to(target).as_posix() for p in sorted(target.rglob("*"))] == ["sub", "sub/a"]
    assert (target / "sub" / "a").read_text() == "old"


def test_a_whole_folder_replaces_the_old_one_entirely(tmp_path: Path) -> None:
    target = old_and_new(tmp_path)
    with whole_folder(target) as folder:
        (folder / "b").write_text("new")
        assert_old_is_whole(target)
    assert os.listdir(target) == ["b"] and os.listdir(tmp_path) == ["recon"]


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt, SystemExit, GeneratorExit])
def test_a_crash_inside_leaves_the_old_folder(tmp_path: Path, stop: type[BaseException]) -> None:
    target = old_and_new(tmp_path)
    with pytest.raises(stop), whole_folder(target) as folder:
        (folder / "b").write_text("half")
        raise stop
    assert_old_is_whole(target)
    assert os.listdir(tmp_path) == ["recon"]


@pytest.mark.parametrize("stop", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_a_stop_between_the_two_renames_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: BaseException
) -> None:
    target, rename = old_and_new(tmp_path), os.replace

    def second_fails(source: Path, destination: Path) -> None:
        if LEFTOVER.fullmatch(Path(source).name) and ".tmp-" in Path(source).name:
            raise stop
        rename(source, destination)

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", second_fails)
        with pytest.raises((PrevisageError, KeyboardInterrupt)), whole_folder(target) as folder:
            (folder / "b").write_text("new")
    assert_old_is_whole(target)
    assert os.listdir(tmp_path) == ["recon"]


def test_sweep_puts_back_what_a_kill_between_the_renames_left(tmp_path: Path) -> None:
    target = old_and_new(tmp_path)
    os.replace(target, tmp_path / ".recon.old-0123abcd")
    (tmp_path / ".recon.tmp-0123abcd").mkdir()
    sweep(tmp_path)
    assert_old_is_whole(target)
    assert os.listdir(tmp_path) == ["recon"]


def test_sweep_deletes_leftovers_at_every_depth_and_nothing_else(tmp_path: Path) -> None:
    keep = ["case.json", ".hidden", ".git/config", "recon/.notes.tmp-x", "plans/a/plan.json"]
    drop = [".case.json.tmp-00000000", "plans/.a.tmp-0a1b2c3d/x", "plans/a/.views.tmp-ffffffff/1.png",
            "plans/.a.old-0a1b2c3d/x"]
    for name in keep + drop:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    sweep(tmp_path)
    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()) == sorted(keep)


KILLED = """
import os, sys, time
from pathlib import Path
from core import files

real = os.fsync
def stall(handle):
    real(handle)
    print("half way", flush=True)
    time.sleep(60)
os.fsync = stall
target = Path(sys.argv[2])
if sys.argv[1] == "file":
    files.write_bytes(target, b"new" * 100000)
else:
    with files.whole_folder(target) as folder:
        (folder / "b").write_text("new")
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_kill_9_in_the_middle_leaves_the_old_and_only_hidden_files(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "a.bin" if kind == "file" else old_and_new(tmp_path)
    if kind == "file":
        write_bytes(target, b"old")
    child = subprocess.Popen([sys.executable, "-c", KILLED, kind, str(target)], stdout=subprocess.PIPE, text=True,
                             env={**os.environ, "PYTHONPATH": os.getcwd()})
    assert child.stdout is not None and child.stdout.readline() == "half way\n"
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    leftovers = [name for name in os.listdir(tmp_path) if name != target.name]
    assert leftovers and all(LEFTOVER.fullmatch(name) for name in leftovers)
    sweep(tmp_path)
    assert os.listdir(tmp_path) == [target.name]
    if kind == "file":
        assert target.read_bytes() == b"old"
    else:
        assert_old_is_whole(target)


def test_writers_of_one_file_never_mix(tmp_path: Path) -> None:
    """Every moment between two writes a reader sees one of the contents, whole."""
    from concurrent.futures import ThreadPoolExecutor

    path, contents = tmp_path / "a", [bytes([n]) * 50_000 for n in range(4)]
    write_bytes(path, contents[0])
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(write_bytes, path, contents[n % 4]) for n in range(24)]
        while not all(job.done() for job in jobs):
            assert path.read_bytes() in contents
            time.sleep(0.001)
    for job in jobs:
        job.result()
    assert os.listdir(tmp_path) == ["a"]


def test_nothing_is_left_of_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError), whole_folder(tmp_path / "file" / "recon"):
        pytest.fail("the block must not run")
    shutil.rmtree(tmp_path)
