"""The stage that draws a plan on the person's own frames, on the case that the session makes once."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import previsage
from core import Camera, PrevisageError, UsageError, View
from core.files import read_json, write_json
from core.reconstruction import Reconstruction
from core.store import load_picture, save_png
from core.transforms import OPENCV_FROM_HEAD, head_rotation, rigid
from previsage import photoreal_stage
from previsage.photoreal_stage import BEYOND, CELL_WH, Photoreal, cut, cut_box
from previsage.studio import Studio, spread
from synth.guard import Check, Verdict
from synth.own_networks import add_network
from synth.provenance import verify
from tests.previsage.made import nose

Files = dict[str, int]
RIMS = (16, 14, 14)


@pytest.fixture(scope="module")
def drawn(made_case: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the case with three frames drawn."""
    case = Path(shutil.copytree(made_case, tmp_path_factory.mktemp("photoreal") / "case"))
    previsage.photoreal(case, frames=3)
    return case


@pytest.fixture
def case(drawn: Path, tmp_path: Path) -> Path:
    """A copy of that."""
    return Path(shutil.copytree(drawn, tmp_path / "case"))


def times(folder: Path) -> Files:
    return {p.relative_to(folder).as_posix(): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_every_frame_has_its_pictures_and_its_findings(drawn: Path) -> None:
    folder = drawn / "plans" / "nose" / "photoreal" / "warp3d"
    kept = read_json(folder / "photoreal.json")
    assert len(kept["frames"]) == 3 and kept["mode"] == "warp3d" and kept["light"]
    yaws = [f["angles_deg"][0] for f in kept["frames"]]
    assert yaws == sorted(yaws) and yaws[0] < -35 and abs(yaws[1]) < 10 and yaws[2] > 35
    for frame in kept["frames"]:
        names = [f"{frame['frame']}_{kind}.png" for kind in ("before", "after", "pair")]
        assert [n for n in names if not (folder / n).is_file()] == []
        assert frame["photoreal"] and frame["guard"]["passed"], frame["reason"]
    assert (folder / "sheet.png").is_file() and not (folder / "turn.mp4").exists()


def test_the_frame_is_the_capture_and_the_result_has_its_size(drawn: Path) -> None:
    folder = drawn / "plans" / "nose" / "photoreal" / "warp3d"
    for frame in read_json(folder / "photoreal.json")["frames"]:
        before = load_picture(folder / f"{frame['frame']}_before.png")
        after = load_picture(folder / f"{frame['frame']}_after.png")
        assert np.array_equal(before, load_picture(drawn / "capture" / "frames" / f"{frame['frame']}.jpg"))
        change = np.any(before != after, axis=-1)
        assert after.shape == before.shape and 0.002 < change.mean() < 0.2  # the nose, and the mark


def test_the_same_call_does_nothing_again(case: Path) -> None:
    before = times(case)
    again = previsage.photoreal(case, "nose", frames=3)
    assert times(case) == before and len(again.frames) == 3


def test_a_damaged_picture_is_made_again(case: Path) -> None:
    path = next((case / "plans/nose/photoreal/warp3d").glob("*_after.png"))
    whole, written = load_picture(path), path.read_bytes()
    path.write_bytes(written[:100])
    previsage.photoreal(case, "nose", frames=3)
    assert np.array_equal(load_picture(path), whole)  # its record says when it was made


def test_every_result_carries_a_record_that_holds_until_it_is_altered(case: Path) -> None:
    folder = case / "plans/nose/photoreal/warp3d"
    for name in ("*_after.png", "*_pair.png", "sheet.png"):
        assert verify(next(folder.glob(name))).status == "genuine"
    path = next(folder.glob("*_after.png"))
    picture = np.array(load_picture(path))
    picture[0, 0] ^= 1
    save_png(path, picture)
    assert verify(path).status in ("altered", "unsigned")


def test_another_band_is_another_result_beside(case: Path, tmp_path: Path) -> None:
    made = previsage.photoreal(case, "nose", frames=1, band="high", folder=tmp_path / "out")
    assert (case / "plans/nose/photoreal/warp3d_high/sheet.png").is_file() and made.band == "high"
    assert made.folder == tmp_path / "out" and {p.name for p in made.files} >= {"sheet.png", "photoreal.json"}
    assert (case / "plans/nose/photoreal/warp3d/sheet.png").is_file()


def test_a_plan_of_nothing_gives_the_frames_themselves(case: Path) -> None:
    previsage.predict(case, nose("still", 0))
    made = previsage.photoreal(case, "still", frames=2)
    assert not any(f["changes"] for f in made.frames)
    for frame in made.frames:
        before, after = (load_picture(made.folder / f"{frame['frame']}_{k}.png") for k in ("before", "after"))
        assert np.array_equal(before, after)


def test_spectacles_stay_where_they_were_photographed(case: Path) -> None:
    head, prediction = previsage.load(case), previsage.predict(case, nose())
    view = spread(head.views, 3)[1]
    put_on(case, head, view)
    made = Studio(case, head, prediction.total_mm()).made(view)
    assert made.seen is not None
    after, drawn = made.dressed(made.picture), (made.photographed == RIMS).all(-1)
    moved = np.zeros(drawn.shape, bool)
    moved[made.seen.correspondence.window] = made.seen.correspondence.mask > 0
    assert (drawn & moved).sum() > 20 and made.worn[drawn].mean() > 0.9  # the bridge is on the skin that moves
    assert np.array_equal(after[made.worn], made.photographed[made.worn])
    assert (made.picture[drawn & moved].astype(int).sum(-1) > 2 * sum(RIMS)).mean() > 0.9  # beneath it is skin
    assert (after != made.photographed).any(-1)[moved].mean() > 0.5
    quality = read_json(case / "capture" / "quality.json")
    write_json(case / "capture" / "quality.json", {**quality, "checks": []})
    assert not Studio(case, head, prediction.total_mm()).made(view).worn.any()


def put_on(case: Path, head: Reconstruction, view: View) -> None:
    """Round rims and a low bridge, drawn into a frame, and the capture's verdict on them."""
    points = view.camera.px_from_points(head.mesh.points(head.anatomy.pins478))
    span = np.linalg.norm(points[263] - points[33])
    frame = load_picture(case / view.path)[..., :3].copy()
    middles = [np.rint((points[a] + points[b]) / 2 + [0, 0.1 * span]).astype(int) for a, b in ((33, 133), (263, 362))]
    for middle in middles:
        cv2.circle(frame, tuple(middle.tolist()), round(0.24 * span), RIMS, round(0.04 * span))
    across = [np.rint(m + [s * 0.24 * span, 0]).astype(int).tolist() for m, s in zip(middles, (1, -1), strict=True)]
    cv2.line(frame, *across, RIMS, round(0.04 * span))
    save_png(case / view.path, frame)
    quality = read_json(case / "capture" / "quality.json")
    checks = [{**c, "value": "worn"} if c["name"] == "glasses" else c for c in quality["checks"]]
    write_json(case / "capture" / "quality.json", {**quality, "checks": checks})


def test_what_the_guard_refuses_is_replaced_and_said(case: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = Verdict(checks=(Check(name="tint", status="failed", value=9.0, limit="2", sentence="It is far too green."),))
    monkeypatch.setattr(photoreal_stage, "guard", lambda *a, **k: bad)
    made = previsage.photoreal(case, "nose", frames=1)
    assert not made.frames[0]["photoreal"] and "too green" in made.frames[0]["reason"]
    assert "refused" in made.frames[0]["label"]


def test_without_weights_the_painting_modes_say_so_and_leave_the_warp(
        case: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREVISAGE_MODELS", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "empty"))
    shutil.rmtree(case / "plans/nose/photoreal")
    with pytest.raises(PrevisageError):
        previsage.photoreal(case, "nose", "img2img", frames=1)
    assert (case / "plans/nose/photoreal/warp3d/sheet.png").is_file()
    assert not (case / "plans/nose/photoreal/img2img").exists()


def test_a_stored_picture_is_made_again_when_the_identity_network_was_altered(
        case: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PREVISAGE_MODELS", str(tmp_path / "models"))
    file = tmp_path / "pooled.pt"
    torch.jit.script(torch.nn.Sequential(torch.nn.AvgPool2d(14), torch.nn.Flatten())).save(str(file))
    add_network("identity", file, accepted=True)
    seen = previsage.photoreal(case, "nose", frames=1)
    assert likeness(seen) == {"passed"} and not seen.ran.get("notes")
    kept = times(seen.folder)
    assert times(previsage.photoreal(case, "nose", frames=1).folder) == kept
    whole = file.read_bytes()
    file.write_bytes(whole + b"\0")
    altered = previsage.photoreal(case, "nose", frames=1)
    assert likeness(altered) == {"not checked"} and "is not the file that was added" in altered.ran["notes"][0]
    file.unlink()
    assert "no longer in" in previsage.photoreal(case, "nose", frames=1).ran["notes"][0]
    file.write_bytes(whole)
    assert likeness(previsage.photoreal(case, "nose", frames=1)) == {"passed"}


def likeness(made: Photoreal) -> set[str]:
    """What the guard found of the likeness."""
    return {c["status"] for f in made.frames for c in f["guard"]["checks"] if c["name"].startswith("likeness")}


@pytest.mark.parametrize(("given", "code"), [
    ({"mode": "magic"}, "unknown_mode"), ({"frames": 0}, "bad_photoreal"), ({"plan_id": "lip"}, "no_plan"),
    ({"seed": 3}, "bad_option")])
def test_what_cannot_be_meant_is_said(case: Path, given: dict, code: str) -> None:
    with pytest.raises(UsageError) as error:
        previsage.photoreal(case, **given)
    assert error.value.code == code


def test_frames_are_spread_over_the_turn_whatever_the_film_lingers_on() -> None:
    yaws = [0, 1, 2, 0, 1, -1, -60, -31, 29, 61, 0, 1]
    K = np.array([[500.0, 0, 50], [0, 500.0, 50], [0, 0, 1]])
    views = tuple(View(path=f"{k}.jpg", source=str(k), reprojection_px=1.0, camera=Camera(
        K_px=K, size_wh=(100, 100), cam_from_head=rigid(
            OPENCV_FROM_HEAD @ head_rotation(float(np.radians(yaw)), 0.0, 0.0), np.array([0.0, 0.0, 500.0]))))
        for k, yaw in enumerate(yaws))
    chosen = [round(np.degrees(v.camera.head_angles_rad[0])) for v in spread(views, 5)]
    assert chosen in ([-60, -31, 0, 29, 61], [-61, -29, 0, 31, 60])
    assert len(spread(views, 99)) == len(views)


@pytest.mark.parametrize(("low", "high"), [((300, 200), (500, 450)), ((0, 10), (260, 330)), ((620, 400), (790, 640)),
                                           ((10, 20), (780, 630))])
def test_a_cut_shows_all_points_and_no_more_than_the_picture_where_it_can(low: tuple[int, int], high: tuple[int, int],
                                                                          ) -> None:
    width, height = 800, 650
    left, top, right, bottom = cut_box(np.array([low, high], float), (width, height))
    assert left <= low[0] and top <= low[1] and right >= high[0] and bottom >= high[1]
    assert (right - left) / (bottom - top) == pytest.approx(CELL_WH[0] / CELL_WH[1], rel=0.02)
    within = left >= 0 and top >= 0 and right <= width and bottom <= height
    assert within == ((high[0] - low[0]) * 1.08 * CELL_WH[1] / CELL_WH[0] <= height)
    shown = cut(np.full((height, width, 3), 9, np.uint8), (left, top, right, bottom))
    assert shown.shape == (CELL_WH[1], CELL_WH[0], 3)
    assert set(np.unique(shown)) == {9} if within else {9, BEYOND} <= set(np.unique(shown))
