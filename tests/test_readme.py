"""The README's Python runs as it stands, and what it points to is there."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def block(language: str) -> str:
    """The README's only block of a language."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


def test_the_fifteen_lines_run(made_case: Path, demo_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                               capsys: pytest.CaptureFixture[str]) -> None:
    """On a case that is half done: the head is there (so it must not be made again), the plan is not."""
    shutil.copytree(made_case, tmp_path / "cases" / "anna")
    shutil.copy(demo_video, tmp_path / "video.mp4")
    head = tmp_path / "cases" / "anna" / "recon" / "stage.json"
    before = head.stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    code = block("python")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    exec(compile(code, "README.md", "exec"), {})
    said = capsys.readouterr().out.splitlines()
    assert head.stat().st_mtime_ns == before
    assert re.fullmatch(r"\d+ views, lengths from \S+ ± \d+\.\d %", said[0])
    errors = [float(line.split(": ")[1].split()[0]) for line in said if line.endswith("mm off the plan")]
    assert errors and max(errors) < 0.1
    pictures = [Path(line) for line in said if line.endswith(".png")]
    assert pictures and all(p.is_file() and "gentle" in p.parts for p in pictures)


@pytest.mark.parametrize("page", ["README.md", "docs/results/README.md"])
def test_links_lead_somewhere(page: str) -> None:
    """Relative links only: what is outside cannot be checked here."""
    text = (ROOT / page).read_text("utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)", text) if not link.startswith("http")]
    assert links and [link for link in links if not ((ROOT / page).parent / link).exists()] == []


def test_the_commands_are_the_command_line() -> None:
    """Every command named in the README exists, and the other way around."""
    from viewer.cli import app

    named = {word for line in re.findall(r"^previsage (.*)$", README, re.MULTILINE)
             for word in re.findall(r"[a-z]+", line.split(" [")[0].split(" CASE")[0].split(" VIDEO")[0])}
    groups = {group.name for group in app.registered_groups}
    assert named == groups | {command.name or command.callback.__name__ for command in app.registered_commands}
