"""Visit: photos of one person from several sides share a head; what cannot be used is left out with a word."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core import InputRefused
from core.files import read_json
from previsage.photo import asked_plan
from previsage.photo_visit import Visit, save_visit, visit
from synth.provenance import verify
from tests.previsage.photos import portrait_file, stills


@pytest.fixture(scope="module")
def photos(demo_video: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("visit")
    found = [path for path, _ in stills(demo_video, (45.0, 0.0, -45.0), folder)]
    Image.new("RGB", (200, 150), (80, 120, 160)).save(folder / "sky.jpg")
    return [*found, folder / "sky.jpg"]


@pytest.fixture(scope="module")
def made(photos: list[Path]) -> Visit:
    return visit(photos, asked_plan("mentoplasty", 60, None))


def test_one_head_drives_all_views(made: Visit) -> None:
    heads = [p.result.head for p in made.photos if p.result is not None]
    assert made.shared and len(heads) == 3
    assert all(h.neutral is heads[0].neutral and h.scale is heads[0].scale for h in heads)
    moves = [p.result.prediction.total_mm() for p in made.photos if p.result is not None]
    assert all(np.array_equal(m, moves[0]) for m in moves)


def test_photos_come_in_the_order_of_the_turn_with_a_verdict_each(made: Visit) -> None:
    views = [p.verdict.view for p in made.photos if p.verdict is not None]
    assert views == ["left three-quarter", "frontal", "right three-quarter"]
    assert made.missing == ("right profile", "left profile")
    assert made.photos[-1].photo.name == "sky.jpg" and "No face" in made.photos[-1].reason


def test_the_page_and_the_record(made: Visit, tmp_path: Path) -> None:
    sheet, told, *rest = save_visit(made, asked_plan("mentoplasty", 60, None), "warp3d", tmp_path)
    assert verify(sheet).status == "genuine" and len(rest) == 9
    record = read_json(told)
    assert record["shared_head"] and record["missing_views"] == ["right profile", "left profile"]
    assert [p["verdict"] for p in record["photos"]][-1] == "red"


def test_different_people_are_fitted_alone_with_a_word(photos: list[Path], tmp_path: Path) -> None:
    other = portrait_file(tmp_path)
    with Image.open(other) as picture:  # another face: broader by a third, and longer below the eyes
        picture.resize((800, 576)).save(tmp_path / "broad.png")
    mixed = visit([photos[0], tmp_path / "broad.png"], asked_plan("rhinoplasty", 60, None), "tps")
    assert not mixed.shared and "different people" in mixed.notes[0]


def test_one_usable_photo_says_so(photos: list[Path]) -> None:
    alone = visit([photos[1], photos[-1]], asked_plan("rhinoplasty", 60, None), "tps")
    assert not alone.shared and "One photo" in alone.notes[0]


def test_no_usable_photo_is_refused(photos: list[Path]) -> None:
    with pytest.raises(InputRefused, match="None of the photos"):
        visit([photos[-1]], asked_plan("rhinoplasty", 60, None))
