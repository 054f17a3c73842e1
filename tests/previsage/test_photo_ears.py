"""Otoplasty in one photo: ears that it shows are set back on the side that is meant, and nothing else moves."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import InputRefused
from core.plan import Plan, PlannedProcedure
from previsage.ear_studio import EarStudio
from previsage.photo import PhotoResult, asked_plan, begin, carried_out, moved_ears
from previsage.photo_modes import average_moves, studio_of
from previsage.photo_study import Study
from recon.ear_outline import find_outline
from tests.previsage.eared import photographed


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    path = tmp_path_factory.mktemp("otoplasty") / "known.png"
    Image.fromarray(photographed()[0]).save(path)
    return begin(path)


def rim_mm(study: Study, made: PhotoResult, ear: str) -> np.ndarray:
    """How far out an ear's rim reaches in the picture after, over the middle of its height."""
    seen = study.eared.ears[ear]
    px = study.camera.px_from_points(study.head.mesh.points(study.head.anatomy.pins478))
    line = find_outline(seen.frame, px, np.ascontiguousarray(made.raw[study.window]), study.person).points_mm
    low, high = seen.outline.points_mm[:, 1].min(), seen.outline.points_mm[:, 1].max()
    heights = np.linspace(low + 0.2 * (high - low), low + 0.7 * (high - low), 20)
    return np.array([line[np.abs(line[:, 1] - y) < 1.5, 0].max() for y in heights])


@pytest.fixture(scope="module")
def whole(study: Study) -> PhotoResult:
    return carried_out(study, asked_plan("otoplasty", 100, None))


def test_both_ears_are_set_back_as_far_as_planned(study: Study, whole: PhotoResult) -> None:
    none, half = (carried_out(study, asked_plan("otoplasty", i, None)) for i in (0, 50))
    assert whole.shown and none.unchanged
    studio = studio_of(study.eared, whole.prediction, ["otoplasty"], False)
    assert isinstance(studio, EarStudio)
    for ear, back in zip(("ear_r", "ear_l"), studio.setbacks(), strict=True):
        start = rim_mm(study, none, ear)
        moved = [float(np.median(start - rim_mm(study, made, ear))) for made in (half, whole)]
        asked = float(np.median(back.asked_mm[(back.asked_mm > 0.8 * back.asked_mm.max())]))
        assert 3 < moved[1] == pytest.approx(asked, rel=0.25)
        assert moved[0] == pytest.approx(moved[1] / 2, abs=0.4)


def test_outside_the_mask_nothing_changes_and_the_face_stays(study: Study, whole: PhotoResult) -> None:
    changed = (whole.raw != whole.photo.picture).any(-1)
    assert changed.any() and not changed[whole.mask == 0].any()
    x, y = np.rint(whole.landmarks_before[[1, 61, 291, 33, 263, 152]]).astype(int).T
    assert not whole.mask[y, x].any()
    assert np.array_equal(whole.landmarks_before, whole.landmarks_after)


def test_one_side_leaves_the_other(study: Study) -> None:
    plan = Plan(id="left", procedures=[PlannedProcedure(procedure="otoplasty", intensity=100, side="left")])
    assert moved_ears(average_moves(plan.model_dump_json(), "mean").prediction) == ["ear_l"]
    made = carried_out(study, plan)
    changed = (made.raw != made.photo.picture).any(-1)
    middle = int(made.landmarks_before[1, 0])
    assert changed[:, middle:].any() and not changed[:, :middle].any(), "the patient's left is on the right"


def test_ears_and_a_nose_together_are_what_each_is_alone(study: Study, whole: PhotoResult) -> None:
    nose = asked_plan("rhinoplasty", 60, None)
    both = carried_out(study, Plan(id="both", procedures=[*nose.procedures, *whole.plan.procedures]))
    alone = carried_out(study, nose)
    box = np.s_[:, 350:550]  # the face, without ears
    apart = np.abs(both.raw.astype(int) - alone.raw)
    assert apart[box].max() <= 4, "the light is that of a head with other ears"
    ears = whole.mask > 0
    assert np.array_equal(both.raw[ears], whole.raw[ears]) and both.mask[ears].min() > 0


def test_what_needs_no_ears_is_not_drawn_with_them(tmp_path: Path) -> None:
    path = tmp_path / "known.png"
    Image.fromarray(photographed()[0]).save(path)
    fresh = begin(path)
    carried_out(fresh, asked_plan("rhinoplasty", 40, None))
    assert "eared" not in fresh.__dict__, "it takes time"


def test_a_turned_head_is_refused_with_the_ear_that_may_be_planned(tmp_path: Path) -> None:
    Image.fromarray(photographed(11.0)[0]).save(tmp_path / "turned.png")
    turned = begin(tmp_path / "turned.png")
    with pytest.raises(InputRefused, match=r"left ear: the head is turned by 1\d°") as refused:
        carried_out(turned, asked_plan("otoplasty", 60, None))
    assert "right ear alone" in refused.value.hint
    alone = Plan(id="right", procedures=[PlannedProcedure(procedure="otoplasty", intensity=60, side="right")])
    assert not carried_out(turned, alone).unchanged
