"""The desktop viewer: what it shows, without a window; and one picture drawn off screen."""

import builtins
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.case import Case
from core.certainty import WITHIN_95
from core.errors import InputRefused, PrevisageError, UsageError
from core.mesh import Mesh
from core.store import save_prediction, save_reconstruction
from core.texture import Texture
from render.certainty import half_width_colors
from tests.core.builders import prediction, reconstruction
from viewer import desktop


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A globe with a red left and a blue right half, and a plan of two steps."""
    rng = np.random.default_rng(8)
    head = reconstruction(rng)
    rgb = np.zeros((32, 64, 3), np.uint8)
    rgb[:, 32:], rgb[:, :32] = (200, 40, 40), (40, 40, 200)
    head = dataclasses.replace(head, texture=Texture(rgb=rgb, seen=np.full((32, 64), 255, np.uint8)),
                               delit=None, uncertainty_mm=np.ones(len(head.mesh.vertices_mm)),
                               seen=(head.mesh.vertices_mm[:, 0] > -10).astype(float))
    push = np.zeros((2, len(head.mesh.vertices_mm), 3))
    push[0, :, 2] = 3 * np.exp(-((head.mesh.vertices_mm - [0, 0, 90]) ** 2).sum(1) / 500)
    push[1, :, 1] = push[0, :, 2]
    plan = dataclasses.replace(prediction(rng, head), displacement_mm=push, step_values=(2.0, -4.0))
    folder = tmp_path_factory.mktemp("desktop") / "case"
    made = Case.create(folder, {"previsage": "0"})
    made.run_stage("recon", 1, lambda at: save_reconstruction(at, head))
    made.run_stage("plans/nose", 1, lambda at: save_prediction(at, head, plan))
    return folder


def by_vertex(mesh: Mesh, shown: desktop.DesktopHead, values: list[float]) -> np.ndarray:
    """Drawn positions put back to the mesh's vertices."""
    vertices = np.zeros_like(mesh.vertices_mm)
    vertices[mesh.faces] = shown.points_mm(np.array(values))[shown.triangles]
    return vertices


def test_sliders_move_from_the_stored_displacement(case: Path) -> None:
    shown = desktop.load_head(case, "nose")
    mesh, steps = shown.head.mesh, shown.steps_mm
    assert np.array_equal(by_vertex(mesh, shown, [0.0, 0.0]), mesh.vertices_mm)
    assert np.allclose(by_vertex(mesh, shown, [2.0, -4.0]), mesh.vertices_mm + steps.sum(0), atol=1e-12)
    assert np.allclose(by_vertex(mesh, shown, [1.0, 0.0]), mesh.vertices_mm + 0.5 * steps[0], atol=1e-12)
    assert shown.labels == ("Dorsal hump", "Tip rotation") and shown.units == ("mm", "deg")


def test_seams_keep_both_texture_coordinates(case: Path) -> None:
    shown = desktop.load_head(case, None)
    mesh = shown.head.mesh
    assert np.array_equal(shown.uv[shown.triangles], mesh.uv[mesh.faces_uv])


def test_a_step_of_zero_does_not_move(case: Path) -> None:
    shown = desktop.load_head(case, "nose")
    shown.planned = np.array([0.0, -4.0])
    assert np.array_equal(by_vertex(shown.head.mesh, shown, [5.0, 0.0]), shown.head.mesh.vertices_mm)


def test_unknown_names_list_the_known(case: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nose"):
        desktop.load_head(case, "ears")
    with pytest.raises(UsageError, match="left_lateral"):
        desktop.load_head(case, None).camera("sideways")
    with pytest.raises(InputRefused, match="not a Previsage case"):
        desktop.load_head(tmp_path, None)


def test_without_pyvista_it_says_what_to_install(case: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def missing(name: str, *args: object, **kwargs: object) -> object:
        if name == "pyvista":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(PrevisageError, match=r"pip install previsage\[desktop\]") as caught:
        desktop.screenshot(case, "nose", tmp_path / "x.png")
    assert caught.value.exit_code == 1 and not (tmp_path / "x.png").exists()


def test_without_a_screen_it_names_the_screenshot(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyvista", reason="the extra [desktop] is not installed")
    monkeypatch.setattr(desktop.sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(PrevisageError, match="--screenshot"):
        desktop.view(case)


def test_off_screen_picture_has_the_sides_right(case: Path, tmp_path: Path) -> None:
    """The globe's left half is red: at the right of the frontal picture, and all of a left profile."""
    pytest.importorskip("pyvista", reason="the extra [desktop] is not installed")
    front = drawn(desktop.screenshot(case, "nose", tmp_path / "front.png"))
    assert front.shape[:2] == desktop.WINDOW_WH[::-1]
    middle_row = front[front.shape[0] // 2]
    quarter = front.shape[1] // 4
    assert middle_row[3 * quarter, 0] > 150 > middle_row[quarter, 0]
    assert middle_row[quarter, 2] > 150 > middle_row[3 * quarter, 2]
    side = drawn(desktop.screenshot(case, "nose", tmp_path / "side.png", "left_lateral"))
    assert side[side.shape[0] // 2, side.shape[1] // 2, 0] > 150


def test_certainty_has_its_colours_its_stripes_and_a_bar(case: Path, tmp_path: Path) -> None:
    """The left half, seen, has the scale's colour of 1.96 mm; the right half is grey and striped, after a plan too."""
    pytest.importorskip("pyvista", reason="the extra [desktop] is not installed")
    picture = drawn(desktop.screenshot(case, "nose", tmp_path / "sure.png", show="certainty"))
    height, width = picture.shape[:2]
    rows = slice(height // 2 - 60, height // 2 + 60)
    left, right = picture[rows, 3 * width // 4 - 40:3 * width // 4], picture[rows, width // 4:width // 4 + 40]
    wanted = half_width_colors(np.array([WITHIN_95 * 1.0]))[0]
    assert np.abs(left.mean((0, 1)) / left.mean() - wanted / wanted.mean()).max() < 0.1, "the hue, whatever the shade"
    assert np.ptp(right, axis=-1).max() < 12 and right[..., 0].std() > 15, "greys, in stripes"
    bar = picture[:, 30:60].reshape(-1, 3)
    ends = half_width_colors(np.array([0.2, 4.8]))
    assert all(np.abs(bar - end).max(1).min() < 14 for end in ends), "the bar shows both ends of the scale"
    skin = drawn(desktop.screenshot(case, "nose", tmp_path / "skin.png"))
    assert (np.abs(skin - picture).max(-1) > 30).mean() > 0.2


@pytest.mark.parametrize("plan", [None, "nose"])
def test_with_a_plan_certainty_says_that_it_is_of_the_filmed_head(case: Path, plan: str | None) -> None:
    pytest.importorskip("pyvista", reason="the extra [desktop] is not installed")
    desktop.quiet()
    shown = desktop.DesktopHead(desktop.load_head(case, "nose").head, None) if plan is None else desktop.load_head(
        case, plan)
    stage = desktop.Stage(shown, off_screen=True)
    try:
        said = " ".join(stage.certainty.words.GetInput().split())
        assert "95 %" in said and (desktop.OF_THE_FILMED_HEAD in said) == (plan is not None)
    finally:
        stage.plotter.close()


def test_the_certainty_key_goes_there_and_back(case: Path) -> None:
    pytest.importorskip("pyvista", reason="the extra [desktop] is not installed")
    desktop.quiet()
    stage = desktop.Stage(desktop.load_head(case, "nose"), off_screen=True)
    try:
        assert stage.actor.GetVisibility() and not stage.certainty.sure.GetVisibility()
        stage.sureness()
        assert stage.certainty.sure.GetVisibility() and not stage.actor.GetVisibility()
        after = stage.certainty.sure.mapper.GetInput().GetBounds()
        stage.toggle()
        assert after != stage.certainty.sure.mapper.GetInput().GetBounds(), "before and after"
        stage.sureness()
        assert stage.actor.GetVisibility() and not stage.certainty.bar.GetVisibility()
    finally:
        stage.plotter.close()


def drawn(png: Path) -> np.ndarray:
    with Image.open(png) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)
