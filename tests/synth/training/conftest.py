"""Tiny models that a user added, and a set of small pairs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from synth.training import write_pairs  # noqa: E402
from synth.weights import add_weights  # noqa: E402
from tests.synth.diffusion import tiny  # noqa: E402
from tests.synth.diffusion.conftest import at  # noqa: E402
from tests.synth.training.made import pair, write_nets  # noqa: E402


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory) -> Path:
    """A folder of added models: SD 1.5 in small, and a ControlNet."""
    place = tmp_path_factory.mktemp("base")
    with at(place / "added"):
        add_weights("sd15", tiny.write_sd15(place / "sd15"), True)
        add_weights("controlnet", tiny.write_controlnet(place / "net"), True)
    return place / "added"


@pytest.fixture(scope="module", autouse=True)
def base_home(base_folder) -> Iterator[None]:
    """Every test of a module here finds them, and no test elsewhere."""
    with at(base_folder):
        yield


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    """Twelve pairs in shards of five."""
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder, pair, 12, 5, {"kind": "discs"})
    return folder


@pytest.fixture(scope="session")
def nets(tmp_path_factory) -> dict[str, str]:
    """Landmark, identity and perceptual networks in small."""
    return write_nets(tmp_path_factory.mktemp("nets"))
