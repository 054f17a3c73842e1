"""Sheets, heat maps, turntable and film."""

import dataclasses
from pathlib import Path

import av
import numpy as np
import pytest

from core.errors import UsageError
from core.mesh import Mesh
from render.draw import MARK, marked, scaled, tagged
from render.film import FilmOptions, film
from render.heat import HeatOptions, color_bar, heat_colors, heat_map, motion_mm
from render.movie import write_movie
from render.rasterize import Rasterizer
from render.sheets import change, contact_sheet, pair, save_views, view_pictures
from render.turntable import TurntableOptions, orbit, turntable
from render.views import standard_cameras
from tests.core.builders import sphere
from tests.render.scenes import front_camera, noise

SIZE = (96, 120)


def head() -> Mesh:
    ball = sphere(100)
    return ball.moved(np.tile([0.0, -25, -75], (len(ball.vertices_mm), 1)))


def bump(mesh: Mesh) -> np.ndarray:
    moved = np.zeros((len(mesh.vertices_mm), 3))
    moved[:, 2] = 6 * np.exp(-((mesh.vertices_mm - [0, -25, 25]) ** 2).sum(1) / 400)
    return moved


def frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_no_displacement_gives_the_same_bytes() -> None:
    """Also when the head is built anew, as another run of the program would."""
    mesh, texture = head(), noise(1)
    cameras = standard_cameras(mesh, SIZE)
    still = view_pictures(mesh, texture, np.zeros_like(mesh.vertices_mm), cameras)
    for view in still.values():
        assert view.before.tobytes() == view.after.tobytes()
    again = view_pictures(mesh.moved(np.zeros_like(mesh.vertices_mm)), texture, bump(mesh), cameras)
    assert all(again[name].before.tobytes() == still[name].before.tobytes() for name in cameras)
    assert any(again[name].after.tobytes() != still[name].after.tobytes() for name in cameras)


def test_after_differs_only_near_the_change() -> None:
    mesh = head()
    moved = np.where(np.linalg.norm(bump(mesh), axis=1, keepdims=True) > 0.05, bump(mesh), 0)
    view = view_pictures(mesh, noise(2), moved, {"frontal": standard_cameras(mesh, SIZE)["frontal"]})["frontal"]
    differs = np.abs(view.before.astype(int) - view.after).max(-1) > 1
    y, x = np.nonzero(differs)
    assert len(x) > 20
    assert np.hypot(x - 47.5, y - 59.5).max() < 70 * view.px_per_mm


def test_heat_scale_is_fixed_and_signed() -> None:
    options = HeatOptions(limit_mm=4.0)
    values = np.array([-9.0, -4, -1, 0, 1, 4, 9])
    colors = heat_colors(values, options)
    assert np.array_equal(colors[0], colors[1]) and np.array_equal(colors[5], colors[6])
    assert colors[4, 0] > colors[4, 2] and colors[2, 2] > colors[2, 0]  # out is red, in is blue
    assert np.ptp(colors[3]) < 12  # no motion is grey
    bar = color_bar(300, 60, options)
    strip = bar[12, 30:270].astype(float)
    assert np.abs(strip[0] - colors[1]).max() <= 1 and np.abs(strip[-1] - colors[5]).max() <= 1
    size = heat_colors(np.linspace(0, 4, 9), HeatOptions(kind="size", limit_mm=4.0)) @ [0.3, 0.6, 0.1]
    assert np.all(np.diff(size[1:]) < 0)  # steadily darker, also in grey


def test_motion_is_measured_along_the_normal() -> None:
    """A globe that grows by 2 mm moves +2 mm everywhere; one that turns moves along the surface only."""
    mesh, camera = sphere(60, 60, 120), front_camera()
    seen = Rasterizer(mesh)(camera)
    growth = mesh.vertices_mm / 60 * 2
    turn = np.cross([0, 1.0, 0], mesh.vertices_mm) * 0.02
    grown, turned = (motion_mm(seen, mesh, d) for d in (growth, turn))
    assert np.abs(grown[seen.covered] - 2).max() < 0.01
    assert np.abs(turned).max() < 0.01
    size = motion_mm(seen, mesh, turn, HeatOptions(kind="size"))
    assert 1.1 < size.max() < 1.21
    assert not grown[~seen.covered].any()


def test_heat_map_shows_no_colour_without_motion() -> None:
    mesh, camera = sphere(60), front_camera()
    flat = heat_map(Rasterizer(mesh), camera, np.zeros_like(mesh.vertices_mm))
    warm = heat_map(Rasterizer(mesh), camera, mesh.vertices_mm / 60 * 3)
    assert np.ptp(flat[60, 80].astype(int)) < 12
    assert warm[60, 80, 0].astype(int) - warm[60, 80, 2] > 60


def test_scale_bar_has_its_length() -> None:
    shown = scaled(np.full((400, 300, 3), 128, np.uint8), px_per_mm=3.7)
    ink = np.all(shown == (28, 32, 36), axis=-1)
    assert ink.sum(1).max() == 37


def test_every_simulated_picture_carries_the_mark() -> None:
    mesh = head()
    views = view_pictures(mesh, None, bump(mesh), {"frontal": standard_cameras(mesh, (240, 300))["frontal"]})
    view = views["frontal"]

    def red(picture: np.ndarray) -> int:
        return int(np.sum((picture[..., 0] > 120) & (picture[..., 1:].max(-1) < 80)))

    assert red(view.after) == 0 and red(marked(view.after)) > 50 and "SIMULATION" in MARK
    half = pair(view, "Frontal").shape[1] // 2
    assert red(pair(view, "Frontal")[:, half:]) > 50 and red(pair(view, "Frontal")[:, :half]) == 0
    assert red(contact_sheet(views, "t")) > 50 and red(change(view)) > 50


def test_labels_fit_small_pictures() -> None:
    small = np.full((60, 40, 3), 100, np.uint8)
    assert tagged(small, "Right oblique: before").shape == small.shape


def test_sheet_and_files(tmp_path: Path) -> None:
    mesh = head()
    views = view_pictures(mesh, noise(3), bump(mesh), standard_cameras(mesh, SIZE))
    sheet = contact_sheet(views, "Rhinoplasty")
    assert sheet.shape[0] > 3 * SIZE[1] and sheet.shape[1] > len(views) * SIZE[0]
    written = save_views(tmp_path, views, "Rhinoplasty")
    assert len(written) == 4 * len(views) + 1 and all(path.stat().st_size > 100 for path in written)
    assert {"frontal_before.png", "left_lateral_after.png", "sheet.png"} <= {path.name for path in written}


def test_turntable_turns_and_comes_back(tmp_path: Path) -> None:
    mesh = head()
    options = TurntableOptions(frames=10, size_wh=SIZE, reach_deg=60.0)
    yaws = np.array([np.degrees(np.arctan2(c.position_mm[0], c.position_mm[2] + 53)) for c in orbit(mesh, options)])
    assert yaws[0] == pytest.approx(-60, abs=1) and yaws[5] == pytest.approx(60, abs=1)
    assert np.allclose(yaws[1:], yaws[1:][::-1], atol=0.2)
    shown = frames(turntable(tmp_path / "pair.mp4", mesh, noise(4), bump(mesh), options))
    assert len(shown) == 10 and shown[0].shape == (SIZE[1], 2 * SIZE[0], 3)
    alone = frames(turntable(tmp_path / "one.mp4", mesh, noise(4), None, options))
    assert len(alone) == 10 and alone[0].shape == (SIZE[1], SIZE[0], 3)


def test_movie_refuses_odd_sizes(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="even"):
        write_movie(tmp_path / "odd.mp4", [np.zeros((9, 8, 3), np.uint8)], (8, 9))
    assert not list(tmp_path.iterdir())


FILM = FilmOptions(frames=24, size_wh=(90, 160), focal_px=100.0, seed=3)


def test_film_keeps_the_truth(tmp_path: Path) -> None:
    """Frames, keys of the truth, the sweep's reach, and the head where its poses say."""
    mesh = head()
    marks = np.random.default_rng(0).normal(size=(478, 3))
    shown = frames(film(tmp_path, mesh, noise(5), marks, FILM))
    truth = np.load(tmp_path / "truth.npz")
    assert len(shown) == 24 and shown[0].shape == (160, 90, 3)
    assert set(truth) == {"verts", "tris", "K", "cam_from_head", "landmarks478"}
    assert truth["cam_from_head"].shape == (24, 4, 4) and np.array_equal(truth["landmarks478"], marks)
    rotation = truth["cam_from_head"][:, :3, :3]
    assert np.allclose(rotation @ rotation.transpose(0, 2, 1), np.eye(3))
    yaw = np.degrees(np.arctan2(rotation[:, 0, 2], -rotation[:, 2, 2]))
    pitch = np.degrees(np.arcsin(rotation[:, 1, 2]))
    assert 50 < yaw.max() < 65 and -65 < yaw.min() < -50 and abs(yaw[0]) < 5
    assert pitch[-8:].max() > 8 and pitch[-8:].min() < -8


def test_film_has_a_still_room_and_a_changing_head(tmp_path: Path) -> None:
    shown = np.stack(frames(film(tmp_path, head(), noise(6), np.zeros((478, 3)), FILM))).astype(float)
    spread = shown.std(0).mean(-1)
    assert np.median(spread[:12]) < 4 < np.median(spread[60:100, 30:60])


def test_film_repeats_with_its_seed(tmp_path: Path) -> None:
    short = dataclasses.replace(FILM, frames=3)
    paths = [film(tmp_path / name, head(), noise(7), np.zeros((478, 3)), options) for name, options in
             (("a", short), ("b", short), ("c", dataclasses.replace(short, seed=4)))]
    first, same, other = (np.stack(frames(path)) for path in paths)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)
