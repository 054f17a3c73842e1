"""Structure from motion: the true cameras from pictures on disk; refusals with a cause; the change of frame."""

import dataclasses

import numpy as np
import pytest

from core.transforms import rotation_from_vector, umeyama
from recon.sfm import Motion, Rejected, SfmOptions, in_head_frame, sift_of, structure_from_motion, view_pairs
from recon.skin import skin_masks, still_skin, without
from render.rasterize import rasterize
from tests.recon.turning import turning


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return turning(tmp_path_factory.mktemp("turning"))


@pytest.fixture(scope="module")
def masks(film):
    whole = skin_masks(film.mesh, still_skin(film.model.anatomy), film.cameras, film.seen.points_px,
                      film.pictures.__getitem__, rasterize)
    return [without(m, p) for m, p in zip(whole, film.seen.points_px, strict=True)]


@pytest.fixture(scope="module")
def motion(film, masks):
    found = structure_from_motion(film.folder, film.names, film.pictures.__getitem__, masks, film.seen, film.bundle)
    assert isinstance(found, Motion), found
    return found


def centres(cams):
    return -np.einsum("nij,ni->nj", cams[:, :3, :3], cams[:, :3, 3])


def test_cameras_are_recovered_to_a_fraction_of_a_degree(film, motion):
    assert motion.placed.all()
    truth = np.stack([c.cam_from_head for c in film.cameras])
    size, turn, shift = umeyama(centres(motion.cam_from_head), centres(truth))
    off = np.linalg.norm(size * centres(motion.cam_from_head) @ turn.T + shift - centres(truth), axis=1)
    ours, theirs = motion.cam_from_head[:, :3, :3], truth[:, :3, :3]
    u, _, vt = np.linalg.svd(np.einsum("nij,nik->jk", theirs, ours))  # the turn that suits all cameras best
    relative = ours @ (u @ vt).T @ theirs.transpose(0, 2, 1)
    angle = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    assert np.median(angle) < 0.3 and np.median(off) < 2.0
    assert abs(motion.focal_px[0] / film.cameras[0].K_px[0, 0] - 1) < 0.03


def test_points_lie_under_their_sightings_and_near_the_head(film, motion):
    t = motion.tracks
    cam = np.einsum("mij,mj->mi", motion.cam_from_head[t.view, :3, :3], motion.points[t.point])
    cam += motion.cam_from_head[t.view, :3, 3]
    px = motion.focal_px[0] * cam[:, :2] / cam[:, 2:] + (film.seen.size_wh[0] - 1) / 2
    assert np.median(np.linalg.norm(px - t.px, axis=1)) < 0.6
    assert np.bincount(t.point).min() >= SfmOptions().least_length
    away = np.linalg.norm(motion.points - film.bundle.landmarks.mean(0), axis=1)
    assert np.percentile(away, 99) < 150  # on the head, in its frame, not somewhere in the room


def test_plain_skin_is_refused_with_a_reason(film, masks):
    plain = [np.full_like(p, 150) for p in film.pictures]
    found = structure_from_motion(film.folder, film.names, plain.__getitem__, masks, film.seen, film.bundle)
    assert isinstance(found, Rejected) and found.reason


def test_a_way_that_fails_says_why_and_the_next_one_is_tried(film, masks, monkeypatch):
    """Mapping is made to fail: the landmarks' cameras are adjusted all the same. Where that fails too, all is told."""
    def broken(words):
        def fail(*_):
            raise RuntimeError(words)
        return fail

    monkeypatch.setattr("recon.sfm.pycolmap.incremental_mapping", broken("[mapper.cc:7]\n no initial pair"))
    found = structure_from_motion(film.folder, film.names, film.pictures.__getitem__, masks, film.seen, film.bundle)
    assert isinstance(found, Motion) and found.report["how"] == "triangulation from the landmarks' cameras"
    assert found.report["note"].startswith("incremental mapping failed: [mapper.cc:7] no initial pair; ")
    monkeypatch.setattr("recon.sfm.pycolmap.triangulate_points", broken("no points"))
    found = structure_from_motion(film.folder, film.names, film.pictures.__getitem__, masks, film.seen, film.bundle)
    assert isinstance(found, Rejected)
    assert "; incremental mapping failed: [mapper.cc:7] no initial pair; " in found.reason
    assert found.reason.endswith("; triangulation from the landmarks' cameras failed: no points")


def test_an_impossible_lens_is_refused(film, masks):
    sure = dataclasses.replace(film.seen, focal_px=film.seen.focal_px * 2, focal_sd=np.array([0.01]))
    found = structure_from_motion(film.folder, film.names, film.pictures.__getitem__, masks, sure, film.bundle)
    assert isinstance(found, Rejected) and "focal" in found.reason


def test_a_scene_in_any_frame_comes_into_the_head_frame(film):
    cams = film.bundle.cam_from_head
    turn, size, shift = rotation_from_vector(np.array([0.3, -1.1, 0.7])), 0.02, np.array([3.0, -1.0, 5.0])
    points = np.random.default_rng(0).normal(0, 60, (40, 3))
    elsewhere = np.tile(np.eye(4), (len(cams), 1, 1))  # x' = size * turn x + shift
    elsewhere[:, :3, :3] = cams[:, :3, :3] @ turn.T
    elsewhere[:, :3, 3] = size * cams[:, :3, 3] - elsewhere[:, :3, :3] @ shift
    placed = np.ones(len(cams), bool)
    placed[2] = False
    elsewhere[2] = np.nan
    moved, there, away = in_head_frame(elsewhere, size * points @ turn.T + shift, placed, film.bundle.focal_px,
                                       film.seen, film.bundle)
    assert np.isnan(moved[2]).all()
    assert away < np.radians(2.0)  # the landmarks' own triangulation is not the model's pins, so not to the last bit
    np.testing.assert_allclose(there, points, atol=6.0)
    px = np.einsum("nij,pj->npi", moved[placed, :3, :3], there) + moved[placed, None, :3, 3]
    before = np.einsum("nij,pj->npi", cams[placed, :3, :3], points) + cams[placed, None, :3, 3]
    np.testing.assert_allclose(px[..., :2] / px[..., 2:], before[..., :2] / before[..., 2:], atol=1e-9)


def test_pairs_are_views_from_about_the_same_side_and_neighbours(film):
    pairs = view_pairs(film.bundle, 0.2)
    assert {(k, k + 1) for k in range(len(film.cameras) - 1)} <= set(pairs)
    assert all(a < b for a, b in pairs) and (0, len(film.cameras) - 1) not in pairs


def test_no_feature_lies_outside_the_mask(film, masks):

    place, descriptor = sift_of(film.pictures[8], masks[8], SfmOptions(features=500))
    at = np.floor(place[:, :2]).astype(int)
    assert len(place) > 100 and descriptor.shape == (len(place), 128)
    assert (masks[8][at[:, 1], at[:, 0]] > 0).mean() > 0.98
    empty = sift_of(film.pictures[8], np.zeros_like(masks[8]), SfmOptions())
    assert empty[0].shape == (0, 4) and empty[1].shape == (0, 128)
