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
from tests.recon.test_profile import seen_from


@pytest.fixture(scope="module")
def photos(demo_video: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("visit")
    found = [path for path, _ in stills(demo_video, (45.0, 0.0), folder)]
    Image.fromarray(seen_from(-82.0)[0]).save(folder / "side.png")  # the same head; no landmarks are found
    found.append(folder / "side.png")
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


def test_from_the_front_the_head_lies_on_the_landmarks_and_from_the_side_it_is_turned_so_far(made: Visit) -> None:
    side, *fronts = (p.result.head for p in made.photos if p.result is not None)
    assert abs(side.angles_deg[0] + 82) < 10 and not np.array_equal(side.identity_cov, np.eye(len(side.identity)))
    for head, share in zip(fronts, (0.006, 0.02), strict=True):  # at 45 degrees the network's points slide by more
        px = head.camera.px_from_points(head.mesh.points(head.anatomy.pins478))
        seen = (head.visible > 0) & (np.arange(478) < 468)
        off = np.linalg.norm(px - head.face.points_px[:, :2], axis=1)[seen]
        assert np.median(off) < share * head.face.height_px


def test_photos_come_in_the_order_of_the_turn_with_a_verdict_each(made: Visit) -> None:
    views = [p.verdict.view for p in made.photos if p.verdict is not None]
    assert views == ["left profile", "frontal", "right three-quarter"]
    assert made.missing == ("left three-quarter", "right profile")
    assert made.photos[-1].photo.name == "sky.jpg" and "No face" in made.photos[-1].reason


def test_the_page_and_the_record(made: Visit, tmp_path: Path) -> None:
    sheet, told, *rest = save_visit(made, asked_plan("mentoplasty", 60, None), "warp3d", tmp_path)
    assert verify(sheet).status == "genuine" and len(rest) == 9
    record = read_json(told)
    assert record["shared_head"] and record["missing_views"] == ["left three-quarter", "right profile"]
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
