"""What tests of several packages share: a film of the demo head, made once and kept while the code stays as it is."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from core.face_model import FaceModel
from core.mesh import Mesh
from previsage.versions import code_version
from recon import user_models
from recon.models import load_model

CODE = ("core", "recon", "render", "data/models")


@pytest.fixture(scope="session", autouse=True)
def own_keys(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pictures made by tests are signed with a key of their own, not with the person's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREVISAGE_CONFIG", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(scope="session")
def demo_video(pytestconfig: pytest.Config) -> Path:
    """A short clip of the demo's head, which turns 55 degrees to both sides, 480 x 854, with its truth beside."""
    from previsage.portrait import portrait_head
    from render.film import FilmOptions, film

    options = FilmOptions(frames=40, size_wh=(480, 854), focal_px=533.0, yaw_deg=55.0)
    kept = pytestconfig.cache.mkdir(f"demo_video-{code_version(*CODE)[:16]}")
    if not (kept / "video.mp4").is_file():
        making = kept / f"making-{os.getpid()}"
        head = portrait_head(side=1024)
        film(making, head.mesh, head.texture, head.landmarks478_mm, options)
        for name in ("truth.npz", "video.mp4"):
            (making / name).replace(kept / name)
        making.rmdir()
    return kept / "video.mp4"


@pytest.fixture(scope="session")
def made_case(demo_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished case of `demo_video` with the plan `nose`; read it only, or copy it."""
    import previsage
    from tests.previsage.made import FAST, nose

    case = tmp_path_factory.mktemp("made") / "case"
    previsage.reconstruct([demo_video], case, FAST)
    previsage.predict(case, nose())
    return case


@pytest.fixture(scope="session")
def still_video(demo_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of the same head that does not turn: the first frame of `demo_video`, over and over."""
    import av

    from render.movie import write_movie

    with av.open(str(demo_video)) as container:
        first = next(container.decode(video=0)).to_ndarray(format="rgb24")
    path = tmp_path_factory.mktemp("still") / "still.mp4"
    write_movie(path, (first for _ in range(30)), (first.shape[1], first.shape[0]))
    return path


@pytest.fixture(scope="session")
def model() -> FaceModel:
    """The embedded head."""
    return load_model()


@pytest.fixture(scope="session")
def mesh(model: FaceModel) -> Mesh:
    """Its mean."""
    return model.mean_mesh()


@pytest.fixture(scope="session")
def pin(model: FaceModel, mesh: Mesh) -> dict[str, np.ndarray]:
    """Where the mean's anthropometric landmarks lie (mm)."""
    return dict(zip(model.anatomy.pin_names, mesh.points(model.anatomy.pin_points), strict=True))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of added models for one module."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("models")
        patch.setenv(user_models.WHERE, str(place))
        yield place


@pytest.fixture(scope="session", autouse=True)
def small_pictures() -> Iterator[None]:
    """Smaller standard views: what is tested does not need their pixels, which take most of the time."""
    from previsage import pictures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SIZE_WH", (240, 300))
        yield
