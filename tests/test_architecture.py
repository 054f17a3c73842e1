"""The house stays as drawn: layers, back-end tables, short files, cards, and no trace of one machine."""

import ast
import hashlib
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from importlinter import cli as importlinter

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "recon", "deform3d", "render", "synth", "analysis", "previsage", "viewer", "data")
LONGEST = 400
CORE_MAY_IMPORT = {"core", "numpy", "pydantic", "jaxtyping", "PIL"}

REGISTRY = re.compile(r"(registry\.npmjs|registry\.yarnpkg|pypi\.org|pythonhosted|download\.pytorch|rubygems|crates\.io"
                      r"|proxy\.golang|anaconda\.org)", re.IGNORECASE)
MACHINE_PATH = re.compile(r"(?<![\w.~$}/-])/(?:work|home|root|Users|mnt|srv|data|scratch)/[\w.-]+")
BACK_END = re.compile(r"[a-z_]\w*(?:\.[a-z_]\w*)+:[a-zA-Z_]\w*")


def tracked() -> list[Path]:
    """Files that git knows; in a tree without git (an unpacked sdist) every file that is not a build product."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0 and done.stdout:
        return [p for p in (ROOT / name for name in done.stdout.split("\0") if name) if p.is_file()]
    skip = {".venv", "node_modules", "static", "__pycache__", "dist"}
    return [p for p in ROOT.rglob("*") if p.is_file() and not skip.intersection(p.relative_to(ROOT).parts)]


def modules(*packages: str) -> Iterator[Path]:
    """Python files of packages."""
    for package in packages:
        yield from (p for p in sorted((ROOT / package).rglob("*.py")) if "node_modules" not in p.parts)


def texts() -> Iterator[tuple[str, str]]:
    """Name and content of every tracked text file."""
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8192]:
            yield path.relative_to(ROOT).as_posix(), content.decode("utf-8", "replace")


def found(
    pattern: re.Pattern[str], files: Iterator[tuple[str, str]], exempt: frozenset[str] = frozenset()
) -> list[str]:
    """`file: match` for every match outside the exempt files."""
    return [f"{name}: {match[0]}" for name, text in files if name not in exempt for match in pattern.finditer(text)]


# --- layers ---------------------------------------------------------------------------------------------------------


def test_every_package_is_there_and_typed() -> None:
    for package in PACKAGES:
        assert (ROOT / package / "__init__.py").is_file(), package
        assert package == "data" or (ROOT / package / "py.typed").is_file(), package


def test_the_layers_hold(capsys: pytest.CaptureFixture[str]) -> None:
    assert importlinter.lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0, \
        capsys.readouterr().out


def test_the_contract_notices_a_stage_that_imports_another(tmp_path: Path) -> None:
    """The same contract on a small copy of the house, with one wrong import."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    (tmp_path / "viewer" / "cli.py").write_text("import previsage\nimport recon\nimport core\nimport data\n")

    def lint() -> int:
        command = [sys.executable, "-c", "import sys; sys.path.insert(0, '.'); from importlinter import cli; "
                   "sys.exit(cli.lint_imports(no_cache=True))"]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode

    assert lint() == 0
    for wrong in ("recon/a.py: import render", "core/a.py: import recon", "core/b.py: import data",
                  "previsage/a.py: import viewer", "data/a.py: import core"):
        file, line = wrong.split(": ")
        (tmp_path / file).write_text(line + "\n")
        assert lint() == 1, wrong
        (tmp_path / file).unlink()


def imported(source: str) -> set[str]:
    """Top-level names that a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(str(node.module).split(".")[0])
    return names


def test_core_needs_only_numpy_pydantic_and_pillow() -> None:
    assert imported("import os.path\ndef f():\n    from torch.nn import x") == {"os", "torch"}
    for path in modules("core"):
        foreign = imported(path.read_text()) - set(sys.stdlib_module_names) - CORE_MAY_IMPORT
        assert not foreign, f"{path.name} imports {foreign}"


def test_tests_and_tools_are_not_imported_by_the_packages() -> None:
    for path in modules(*PACKAGES):
        assert not imported(path.read_text()) & {"tests", "tools", "anny"}, path.relative_to(ROOT)


# --- back ends ------------------------------------------------------------------------------------------------------


def back_ends(source: str) -> list[str]:
    """String constants of the form `package.module:function`."""
    return [node.value for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and BACK_END.fullmatch(node.value)]


def test_back_end_tables_stay_in_their_package_and_resolve() -> None:
    assert back_ends("T = {'a': 'render.cpu:draw', 'b': 'text: more', 'c': '12:30'}") == ["render.cpu:draw"]
    seen = []
    for path in modules(*PACKAGES):
        package = path.relative_to(ROOT).parts[0]
        for entry in back_ends(path.read_text()):
            module, function = entry.split(":")
            if module.split(".")[0] not in PACKAGES:
                continue
            if package not in ("viewer", "previsage"):
                assert module.startswith(package + "."), f"{path} reaches into another package: {entry}"
            file = importlib.util.find_spec(module)
            assert file is not None and file.origin is not None, f"{entry}: no such module"
            names = {n.name for n in ast.parse(Path(file.origin).read_text()).body
                     if isinstance(n, ast.FunctionDef | ast.ClassDef)}
            assert function in names, f"{entry}: no such function"
            seen.append(entry)
    assert seen, "no back-end table found: this check looks at nothing"


# --- files ----------------------------------------------------------------------------------------------------------


def test_no_file_is_longer_than_a_sitting() -> None:
    long = [(p.relative_to(ROOT).as_posix(), n) for p in modules(*PACKAGES)
            if (n := p.read_text().count("\n")) > LONGEST]
    assert not long, "look for a second noun in these"


def test_no_registry_host_is_named() -> None:
    this = Path(__file__).relative_to(ROOT).as_posix()
    assert found(REGISTRY, iter([("lock", '"resolved": "https://registry.npmjs.org/x"')])) == ["lock: registry.npmjs"]
    assert found(REGISTRY, texts(), frozenset({this})) == []


def test_no_path_of_one_machine_is_named() -> None:
    this = Path(__file__).relative_to(ROOT).as_posix()
    samples = "open('/home/anna/x') '/srv/app' ../shared/data/x https://a.org/home/b ./data/x $HOME/data/y /data/z"
    assert found(MACHINE_PATH, iter([("s", samples)])) == ["s: /home/anna", "s: /srv/app", "s: /data/z"]
    assert found(MACHINE_PATH, texts(), frozenset({this})) == []


# --- cards ----------------------------------------------------------------------------------------------------------


def card_of(path: Path, root: Path) -> str:
    """What a data file says of itself (`card`, `source`, `licence` of a YAML or JSON table), or the Markdown beside it.

    The Markdown is `<stem>.md`, or a `README.md` in the file's folder or above that names the file.
    """
    own = ""
    if path.suffix in (".json", ".yaml", ".yml"):
        table = json.loads(path.read_text()) if path.suffix == ".json" else yaml.safe_load(path.read_text())
        keys = ("card", "source", "sources", "licence", "license")
        own = json.dumps({k: table[k] for k in keys if k in table}) if isinstance(table, dict) else ""
    beside = [path.with_suffix(".md")]
    above = [folder / "README.md" for folder in path.parents if folder.is_relative_to(root)]
    named = [p.read_text() for p in above if p.is_file() and path.name in p.read_text()]
    return own + "".join(p.read_text() for p in beside if p.is_file()) + "".join(named)


def card_faults(path: Path, root: Path) -> list[str]:
    """What the card of one data file lacks: a source, a licence and, for a binary file, its SHA-256."""
    card = card_of(path, root)
    faults = [word for word, pattern in (("source", r"source"), ("licence", r"licen[cs]e"))
              if not re.search(pattern, card, re.IGNORECASE)]
    if b"\0" in path.read_bytes()[:8192] and hashlib.sha256(path.read_bytes()).hexdigest() not in card:
        faults.append("sha256")
    return faults


def data_files() -> list[Path]:
    """Every tracked table and model."""
    return [p for p in tracked() if p.is_relative_to(ROOT / "data") and p.suffix not in (".py", ".md")
            and p.name != "py.typed"]


def test_every_data_file_has_a_card() -> None:
    assert data_files()
    faults = {p.name: lacking for p in data_files() if (lacking := card_faults(p, ROOT / "data"))}
    assert not faults, "these cards lack something"


def test_the_card_check_notices_what_is_missing(tmp_path: Path) -> None:
    model, table = tmp_path / "head.npz", tmp_path / "table.json"
    model.write_bytes(b"PK\0\1")
    table.write_text('{"source": "a book"}')
    assert card_faults(model, tmp_path) == ["source", "licence", "sha256"]
    assert card_faults(table, tmp_path) == ["licence"]
    (tmp_path / "head.md").write_text("Source: x. Licence: CC0. SHA-256: " + "0" * 64)
    assert card_faults(model, tmp_path) == ["sha256"]
    (tmp_path / "head.md").write_text("Source: x. Licence: CC0. " + hashlib.sha256(b"PK\0\1").hexdigest())
    assert card_faults(model, tmp_path) == []
    (tmp_path / "README.md").write_text("`table.json`: licence MIT")
    assert card_faults(table, tmp_path) == []
