"""The person's choice of a rasteriser."""

import importlib.util
from pathlib import Path

import pytest

import previsage
from core import UsageError
from previsage.doctor import optional
from previsage.rasterizer import VARIABLE, differentiable, rasterizer, rasterizer_name
from render.rasterize import rasterize


def test_open3d_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for nothing in (None, ""):
        monkeypatch.delenv(VARIABLE, raising=False)
        if nothing is not None:
            monkeypatch.setenv(VARIABLE, nothing)
        assert rasterizer_name() == "open3d" and rasterizer() is rasterize


@pytest.mark.parametrize("name, words", [("crayon", "open3d, pytorch3d"), ("pytorch3d", "facebookresearch/pytorch3d")])
def test_what_cannot_be_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str,
                                                   words: str) -> None:
    if name == "pytorch3d" and importlib.util.find_spec("pytorch3d"):
        pytest.skip("PyTorch3D is installed here")
    monkeypatch.setenv(VARIABLE, name)
    with pytest.raises(UsageError) as caught:
        previsage.reconstruct([tmp_path / "film.mp4"], tmp_path / "case")
    assert words in (caught.value.hint or "") and not (tmp_path / "case").exists()


def test_pytorch3d_sees_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    if not importlib.util.find_spec("pytorch3d"):
        pytest.skip("PyTorch3D is not installed: it has to be built from source")
    monkeypatch.setenv(VARIABLE, "pytorch3d")
    assert rasterizer().__module__ == "render.pytorch3d_backend"


def test_the_doctor_names_it() -> None:
    row = next(c for c in optional() if c.name == "pytorch3d")
    assert row.state == "ok" or ("PREVISAGE_RASTERIZER" in row.hint and "no wheel" in row.hint)


def test_gradients_come_from_the_twin_of_the_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setenv(VARIABLE, "open3d")
    assert differentiable().__module__ == "render.torch_backend"
    monkeypatch.setenv(VARIABLE, "pytorch3d")
    assert differentiable().__module__ == "render.pytorch3d_backend"


def test_without_torch_the_photometric_refinement_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch,
                                                                             tmp_path: Path) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *rest: None if name == "torch" else found(name, *rest))
    with pytest.raises(UsageError, match="needs torch"):
        previsage.reconstruct([tmp_path / "film.mp4"], tmp_path / "case",
                              previsage.ReconstructOptions(photometric=True))
    assert not (tmp_path / "case").exists()
