"""Symmetry and skin tone of one photo, before and after a plan."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.plan import Plan, PlannedProcedure
from previsage.photo import asked_plan, begin, carried_out
from previsage.photo_measures import front_of, save_symmetry, save_tone, symmetry_after, symmetry_of
from previsage.photo_study import Study
from synth.provenance import verify
from tests.previsage.photos import face, portrait_file


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A face that is its own mirror image."""
    folder = tmp_path_factory.mktemp("even")
    mirror = begin(portrait_file(folder)).face
    middle = float(mirror.points_px[[168, 6, 1, 152], 0].mean())
    half = int(min(middle, 576 - middle)) - 1
    part = face()[:, round(middle) - half:round(middle) + half + 1]
    even = ((part.astype(int) + part[:, ::-1]) // 2).astype(np.uint8)
    Image.fromarray(even).save(folder / "even.png")
    return begin(folder / "even.png")


def test_an_even_face_scores_high_and_a_one_sided_plan_lowers_it(study: Study) -> None:
    before = symmetry_of(front_of(study))
    assert before.score is not None and before.score > 95
    one_sided = Plan(id="one", procedures=[PlannedProcedure(procedure="brow_lift",
                                                            values={"brow_mm": {"left": 5.0, "right": 0.0}})])
    after = symmetry_after(before, carried_out(study, one_sided, "tps"))
    assert after.score is not None and after.score < before.score - 5
    brows = after.region("brows")
    assert brows is not None and brows.difference_mm > 2, "the left brow is higher"
    both = symmetry_after(before, carried_out(study, asked_plan("brow_lift", 100, None), "tps"))
    assert both.score == pytest.approx(before.score, abs=3)


def test_the_sheets_are_written(study: Study, tmp_path: Path) -> None:
    result = carried_out(study, asked_plan("brow_lift", 60, None), "warp3d")
    path, told, lines = save_symmetry(study, result, tmp_path)
    assert verify(path).status == "genuine" and set(told) == {"before", "after"} and any("After" in x for x in lines)
    alone, told, _ = save_symmetry(study, None, tmp_path)
    assert alone.name == "even_symmetry.png" and set(told) == {"before"}
    drawn, tone, lines = save_tone(study, tmp_path)
    assert drawn is not None and drawn.is_file() and tone["interval95_deg"][0] < tone["ita_deg"]
    assert any("Not a Fitzpatrick type" in line for line in lines)


def test_a_grey_photo_says_nothing_of_the_skin(tmp_path: Path) -> None:
    grey = np.repeat(face().mean(-1, keepdims=True), 3, -1).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    drawn, tone, lines = save_tone(begin(tmp_path / "grey.png"), tmp_path)
    assert drawn is None and tone["refused"] and lines
