"""Models that a user added, tiny; and four views of a plane with a mask, a control picture and texture coordinates."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from core import added  # noqa: E402
from core.camera import Camera  # noqa: E402
from synth.diffusion import Canvas, DiffusionOptions, Loaded, canvas, load  # noqa: E402
from synth.weights import add_weights  # noqa: E402
from tests.synth.diffusion import tiny  # noqa: E402


@pytest.fixture(scope="session")
def given(tmp_path_factory):
    """Folders as a person has them."""
    home = tmp_path_factory.mktemp("given")
    tiny.write_sd15(home / "sd15")
    tiny.write_controlnet(home / "face" / "diffusion_sd15")
    tiny.write_controlnet(home / "face", width=1024)
    (home / "ip" / "models").mkdir(parents=True)
    tiny.write_ip_adapter(home / "ip" / "models")
    tiny.write_lcm_lora(home / "lcm")
    return home


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def added_folder(given, tmp_path_factory) -> Path:
    """A folder of added models, all but LCM-LoRA."""
    place = tmp_path_factory.mktemp("added")
    with at(place):
        for name, folder in (("sd15", "sd15"), ("controlnet", "face"), ("ip-adapter", "ip")):
            add_weights(name, given / folder, True)
    return place


@contextlib.contextmanager
def at(place: Path) -> Iterator[None]:
    """Added models lie there while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(added.WHERE, str(place))
        yield


@pytest.fixture(autouse=True)
def added_home(added_folder, monkeypatch) -> None:
    """Every test here finds them, and no test elsewhere."""
    monkeypatch.setenv(added.WHERE, str(added_folder))


@pytest.fixture(scope="session")
def full(added_folder) -> Loaded:
    """Models of controlnet_ip on the processor."""
    with at(added_folder):
        return load(options(mode="controlnet_ip"))


def options(**changed) -> DiffusionOptions:
    """Few steps, on the processor, with enough strength to see."""
    return DiffusionOptions(**{"steps": 4, "strength": 0.75, "device": "cpu", "guidance": 3.0, "seed": 7, **changed})


def views(count: int = 4, **given) -> list[Canvas]:
    """A plane that slides past the camera: pictures, masks, lines, texture coordinates."""
    made = []
    for number in range(count):
        K = np.array([[200.0, 0, 50 - 2 * number], [0, 200.0, 75], [0, 0, 1]])
        camera = Camera(K_px=K, cam_from_head=np.eye(4), size_wh=(100, 150))
        made.append(canvas(f"view{number}", tiny.picture(number), tiny.disc(x=50.0 - number), camera,
                           control=lines, uv=plane, size_px=tiny.SIZE_PX, **given))
    return made


def lines(camera: Camera) -> np.ndarray:
    """A cross where the optical axis meets the picture."""
    made = np.zeros((camera.size_wh[1], camera.size_wh[0], 3), np.uint8)
    x, y = np.rint(camera.K_px[:2, 2]).astype(int).clip(2, tiny.SIZE_PX - 3)
    made[y - 1:y + 1], made[:, x - 1:x + 1] = (10, 200, 10), (10, 180, 10)
    return made


def plane(camera: Camera) -> np.ndarray:
    """Texture coordinates of the plane z = 1000 mm."""
    w, h = camera.size_wh
    ray = np.stack(np.meshgrid((np.arange(w) - camera.K_px[0, 2]) / camera.K_px[0, 0],
                               (np.arange(h) - camera.K_px[1, 2]) / camera.K_px[1, 1]), -1)
    return 0.5 + ray / 2
