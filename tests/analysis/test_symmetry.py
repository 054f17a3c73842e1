import numpy as np
import pytest

from analysis.spots import REGIONS, evened, mirror478, sides, spot_of, spots
from analysis.symmetry import moved, symmetry_of_points
from core.transforms import head_rotation
from recon.models import load_model

SD = np.full(478, 0.4)


def even_points():
    model = load_model()
    return evened(model.mean_mesh().points(model.anatomy.pins478))


def with_brow(mm):
    points = even_points()
    points[[336, 296, 334, 300, 293], 1] -= mm
    return points


def test_mirror_images_are_an_involution_and_every_spot_is_a_true_pair():
    twin = mirror478()
    assert np.array_equal(twin[twin], np.arange(478))
    points = even_points()
    for spot in spots():
        left, right = sides(spot, points)
        assert np.abs(left - right * [-1, 1, 1]).max() < 1e-9, spot.name
        assert spot.middle == (abs(left[0]) < 1e-9) and (spot.middle or left[0] > 5), spot.name
    assert {s.region for s in spots()} == set(REGIONS)


def test_a_pair_that_is_none_is_refused():
    row = {"label": "", "region": "mouth", "left": [61, 13], "counts": ["height"], "visible_mm": 3}
    with pytest.raises(ValueError, match="neither"):
        spot_of("wrong", row, {291})
    with pytest.raises(ValueError, match="unknown"):
        spot_of("wrong", {**row, "left": [291], "region": "ear"}, {291})


@pytest.mark.parametrize("angles", [(0.0, 0.0, 0.0), (0.03, 0.0, 0.0), (0.0, 0.05, 0.0), (0.0, 0.0, -0.03),
                                    (0.02, 0.02, 0.02)])
def test_a_symmetric_face_scores_100_however_it_is_turned_and_placed(angles):
    points = even_points() @ head_rotation(*angles).T + [1.5, -4, 2]
    found = symmetry_of_points(points, SD)
    assert found.score == pytest.approx(100, abs=0.5)
    assert max(np.nanmax(np.abs(d.value_mm)) for d in found.differences) < 0.6


def test_a_brow_that_drops_is_told_in_mm_and_lowers_the_score_step_by_step():
    scores = []
    for mm in range(7):
        found = symmetry_of_points(with_brow(mm), SD)
        brows = found.region("brows")
        assert brows.difference_mm == pytest.approx(-mm, abs=0.35)
        assert abs(brows.difference_mm + mm) < 1.96 * brows.sd_mm
        assert found.region("mouth").score > 97
        scores.append(found.score)
    assert all(np.diff(scores[1:]) < 0) and scores[0] > 99.9 and scores[6] < 80


@pytest.mark.parametrize("mm", [2.0, 4.0, 6.0])
def test_a_chin_beside_the_midline_is_told_in_mm(mm):
    points = even_points()
    points[199, 0] += mm
    assert symmetry_of_points(points, SD).region("jaw").difference_mm == pytest.approx(mm, abs=0.5)


def test_the_mirror_image_has_the_same_score_and_the_opposite_differences():
    points = with_brow(4.0)
    one, other = (symmetry_of_points(p, SD) for p in (points, points[mirror478()] * [-1, 1, 1]))
    assert one.score == pytest.approx(other.score, abs=1e-9)
    for a, b in zip(one.differences, other.differences, strict=True):
        assert np.allclose(a.value_mm, -b.value_mm, equal_nan=True, atol=1e-9)


def test_a_side_that_no_camera_saw_gives_no_score():
    seen = np.ones(478)
    for spot in spots():
        if spot.region == "cheeks":
            seen[list(spot.right)] = 0.2
    found = symmetry_of_points(with_brow(3.0), SD, seen)
    assert found.region("cheeks") is None and "cheek" in found.missing
    assert found.regions["brows"] is not None and "cheeks: not measured" in found.lines()
    nothing = symmetry_of_points(even_points(), SD, np.zeros(478))
    assert nothing.score is None and nothing.told()["score"] is None


def test_after_an_operation_only_what_it_moves_changes():
    before = symmetry_of_points(with_brow(4.0), SD)
    lift = np.zeros((478, 3))
    lift[[336, 296, 334, 300, 293], 1] = 4.0
    after = moved(before, lift)
    assert after.region("brows").score > before.region("brows").score + 30
    assert after.region("brows").difference_mm == pytest.approx(0, abs=0.4)
    for a, b in zip(before.differences, after.differences, strict=True):
        assert a.spot.region == "brows" or np.array_equal(a.value_mm, b.value_mm, equal_nan=True)
    same = moved(before, np.zeros((478, 3)))
    assert same.score == before.score
