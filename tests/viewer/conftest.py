"""What tests of the command line share."""

from collections.abc import Callable

import pytest

from viewer import cli


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """call(*words) -> exit code, stdout, stderr."""
    def run(*words: object) -> tuple[int, str, str]:
        code = cli.run([str(w) for w in words])
        said = capsys.readouterr()
        return code, said.out, said.err
    return run
