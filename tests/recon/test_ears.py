"""The head's ears are drawn to the photo: on known ears, without folds, or left alone with the reason."""

import cv2
import numpy as np
import pytest
from PIL import Image

from core.mesh import Mesh
from previsage.photo import begin
from previsage.photo_study import Study
from recon.ear_outline import silhouette
from recon.ears import EARS, LIMITS, EarLimits, Rays, doubt_of, in_common, with_ears
from render.rasterize import rasterize
from tests.previsage.eared import photographed
from tests.previsage.photos import portrait_file


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    path = tmp_path_factory.mktemp("ears") / "known.png"
    Image.fromarray(photographed()[0]).save(path)
    return begin(path)


def seen_in(study: Study, picture: np.ndarray, limits: EarLimits = LIMITS) -> dict:
    return with_ears(study.head, study.camera, picture, study.person, rasterize, limits)[1]


def folded(before: Mesh, after: Mesh) -> tuple[int, int]:
    """Edges whose triangles meet at less than 60 degrees after and at more than a right angle before; of how many."""
    corners = np.sort(before.faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2), axis=1)
    order = np.lexsort(corners.T)
    same = (np.diff(corners[order], axis=0) == 0).all(1)
    pairs = np.stack([order[:-1][same], order[1:][same]], 1) // 3
    cosines = []
    for mesh in (before, after):
        p = mesh.vertices_mm[mesh.faces]
        normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
        size = np.linalg.norm(normal, axis=1)
        normal /= np.maximum(size, 1e-9)[:, None]
        cosines.append(np.where(size[pairs].min(1) > 0.2, (normal[pairs[:, 0]] * normal[pairs[:, 1]]).sum(1), 1.0))
    moved = np.any(before.vertices_mm != after.vertices_mm, axis=1)[before.faces[pairs[:, 0]]].any(1)
    return int(((cosines[0] > 0) & (cosines[1] < -0.5)).sum()), int(moved.sum())


def test_known_ears_are_found_and_the_heads_laid_on_them(study: Study) -> None:
    covered = photographed()[1][study.window]
    fitted = rasterize(study.head.mesh, study.camera).covered
    for ear, seen in study.eared.ears.items():
        assert not seen.doubt
        true = silhouette(seen.frame, covered)
        rim = seen.outline.points_mm[seen.outline.points_mm[:, 0] > 12]  # farther in, hair ends the pictured one
        gaps = np.linalg.norm(rim[:, None] - true.points_mm, axis=2).min(1)
        assert np.sqrt((gaps**2).mean()) < 0.8, ear
        assert in_common(silhouette(seen.frame, fitted), true) < 0.5 < 0.8 < seen.shared
        drawn = rasterize(study.eared.head.mesh, study.camera).covered
        assert in_common(silhouette(seen.frame, drawn), true) > 0.8


def test_ears_move_and_nothing_far_from_them_and_nothing_folds(study: Study) -> None:
    before, after = study.head.mesh, study.eared.head.mesh
    moved = np.linalg.norm(after.vertices_mm - before.vertices_mm, axis=1)
    anatomy = study.head.anatomy
    ears = np.max([anatomy.region(e) for e in EARS], axis=0)
    assert moved[ears > 0.9].max() > 4
    assert not moved[np.maximum(anatomy.region("nose"), anatomy.region("lips")) > 0.1].any()
    assert np.array_equal(study.eared.head.neutral.vertices_mm, study.head.neutral.vertices_mm)
    folds, edges = folded(before, after)
    assert folds < 0.003 * edges
    depth = [study.camera.cam_from_points(m.vertices_mm)[:, 2] for m in (before, after)]
    assert np.allclose(*depth)


def test_hair_over_an_ear_is_said(study: Study) -> None:
    picture = np.ascontiguousarray(study.srgb[study.window]).copy()
    seen = study.eared.ears["ear_l"]
    low, high = (seen.frame.px(np.array(p)) for p in ((-2.0, -60.0), (44.0, 22.0)))
    cv2.rectangle(picture, np.rint(low).astype(int).tolist(), np.rint(high).astype(int).tolist(), (45, 38, 34), -1)
    found = seen_in(study, picture)
    assert "hair" in found["ear_l"].doubt and not found["ear_r"].doubt


def test_loose_hair_beside_an_ear_is_said(study: Study) -> None:
    picture = np.ascontiguousarray(study.srgb[study.window]).copy()
    seen = study.eared.ears["ear_r"]
    for x in np.arange(seen.outline.points_mm[:, 0].max() - 6, 44, 2.5):
        ends = [np.rint(seen.frame.px(np.array([x + lean, y]))).astype(int).tolist() for lean, y in ((4, -60), (0, 60))]
        strand = np.zeros(picture.shape[:2], np.uint8)
        cv2.line(strand, *ends, 1, 2)
        picture[(strand > 0) & ~study.person] = (45, 38, 34)
    found = seen_in(study, picture)
    assert found["ear_r"].doubt and not found["ear_l"].doubt


def test_what_cannot_be_told_is_said(study: Study) -> None:
    seen, shape = study.eared.ears["ear_l"], study.part.shape
    assert doubt_of("ear_l", seen.frame, seen.outline, 0.0, shape, LIMITS) == ""
    assert "turned by 20" in doubt_of("ear_l", seen.frame, seen.outline, -20.0, shape, LIMITS)
    assert "turned by 8" in doubt_of("ear_l", seen.frame, seen.outline, 8.0, shape, LIMITS), "the one behind"
    assert doubt_of("ear_l", seen.frame, seen.outline, -8.0, shape, LIMITS) == "", "the one in front"
    assert "pixels" in doubt_of("ear_l", seen.frame, seen.outline, 0.0, shape, EarLimits(px_per_mm=5.0))
    assert "edge" in doubt_of("ear_l", seen.frame, seen.outline, 0.0, (shape[0], shape[1] // 2), LIMITS)
    assert "stands out" in doubt_of("ear_l", seen.frame, seen.outline, 0.0, shape, EarLimits(out_mm=40.0))
    assert all(e.doubt for e in seen_in(study, study.part, EarLimits(shared=0.999)).values())


def test_an_ear_that_is_not_believed_stays_where_it_is(study: Study) -> None:
    head, seen = with_ears(study.head, study.camera, study.part, study.person, rasterize, EarLimits(out_mm=60.0))
    assert all(e.doubt for e in seen.values())
    assert np.array_equal(head.mesh.vertices_mm, study.head.mesh.vertices_mm)


def test_a_portrait_with_long_hair_shows_no_ears(tmp_path) -> None:  # type: ignore[no-untyped-def]
    assert all(e.doubt for e in begin(portrait_file(tmp_path)).eared.ears.values())


def test_rays_go_there_and_back(study: Study) -> None:
    outline = study.eared.ears["ear_l"].outline
    rays = Rays.of(outline)
    assert np.allclose(rays.place(*rays.polar(outline.points_mm)), outline.points_mm)
