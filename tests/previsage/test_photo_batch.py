"""Batch: a row a photo; what is done is not done again; one bad photo does not stop the others."""

import csv
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from core import PrevisageError, UsageError
from core.progress import Progress
from previsage.photo import PhotoResult, asked_plan, begin, carried_out
from previsage.photo_batch import batch, folder_names, photos_in
from previsage.photo_output import save_result
from tests.previsage.photos import portrait_file

CALLS: list[str] = []


def make(photo: Path, folder: Path, progress: Progress) -> list[PhotoResult]:
    CALLS.append(photo.name)
    result = carried_out(begin(photo), asked_plan("rhinoplasty", 60, None), "tps")
    save_result(result, folder)
    return [result]


def rows_of(file: Path) -> list[dict[str, Any]]:
    with open(file, newline="", encoding="utf-8-sig") as handle:
        return list(csv.DictReader(handle))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    portrait_file(folder, "anna.png")
    Image.new("RGB", (200, 150), (80, 120, 160)).save(folder / "sky.jpg")
    (folder / "broken.jpg").write_bytes(b"no photo")
    (folder / "notes.txt").write_text("not read")
    (folder / ".hidden.jpg").write_bytes(b"")
    (folder / "album.jpg").mkdir()
    return folder


def test_every_photo_has_a_row_and_is_made_once(photos: Path, tmp_path: Path) -> None:
    CALLS.clear()
    rows = batch(photos_in([photos]), tmp_path / "out", make, "key")
    assert {r["photo"]: r["outcome"] for r in rows} == {"anna.png": "done", "broken.jpg": "refused",
                                                        "sky.jpg": "refused"}
    told = rows_of(tmp_path / "out" / "photos.csv")
    assert [r["photo"] for r in told] == ["anna.png", "broken.jpg", "sky.jpg"]
    assert told[0]["view"] == "frontal" and float(told[0]["motion_left"]) == pytest.approx(1, abs=0.1)
    assert "no photo" in told[1]["reason"] and told[2]["what_to_do"]
    assert (tmp_path / "out" / "anna" / "anna_rhinoplasty_tps_after.png").is_file()
    assert CALLS == ["anna.png", "broken.jpg", "sky.jpg"]
    assert batch(photos_in([photos]), tmp_path / "out", make, "key") == rows
    assert len(CALLS) == 3, "nothing twice"
    batch(photos_in([photos]), tmp_path / "out", make, "another key")
    assert len(CALLS) == 6


def test_a_stopped_batch_goes_on(photos: Path, tmp_path: Path) -> None:
    def stopped(photo: Path, folder: Path, progress: Progress) -> list[PhotoResult]:
        if photo.name == "broken.jpg":
            raise KeyboardInterrupt
        return make(photo, folder, progress)

    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        batch(photos_in([photos]), tmp_path / "out", stopped, "key")
    assert CALLS == ["anna.png"] and len(rows_of(tmp_path / "out" / "photos.csv")) == 1
    batch(photos_in([photos]), tmp_path / "out", make, "key")
    assert CALLS == ["anna.png", "broken.jpg", "sky.jpg"]


def test_a_full_disk_and_a_wrong_plan_stop_the_batch(photos: Path, tmp_path: Path) -> None:
    for error in (PrevisageError("disk_full", "full", "x"), UsageError("beyond_clamp", "too much", "x")):
        def failing(photo: Path, folder: Path, progress: Progress, error: PrevisageError = error
                    ) -> list[PhotoResult]:
            raise error

        with pytest.raises(PrevisageError) as stopped:
            batch(photos_in([photos]), tmp_path / "out", failing, "key")
        assert stopped.value is error


def test_names_of_folders_do_not_meet() -> None:
    assert folder_names([Path("a/x.jpg"), Path("a/x.png"), Path("b/x.png"), Path("y.jpg")]) == [
        "x_jpg", "x_png", "x_png_2", "y"]


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no photo"):
        photos_in([tmp_path])
    with pytest.raises(UsageError, match="no file or folder"):
        photos_in([tmp_path / "gone"])
