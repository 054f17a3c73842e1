"""Silhouette: an outline that lies beside the pictured one is laid on it, and only where the picture tells."""

import dataclasses

import cv2
import numpy as np
import pytest

from core.channels import length
from synth.backdrop import signed_distance
from synth.contours import beyond
from synth.silhouette import outline_off
from synth.warp3d import despeckled, warp3d, warped
from tests.synth.bent import Bent, bent

PLAIN = np.float32([60, 90, 120])
OFF_PX = 8.0


@pytest.fixture(scope="module")
def profile() -> Bent:
    """The nose in profile, before a wall of one colour."""
    s = bent(90.0)
    scene = object.__new__(Bent)
    scene.__dict__.update(s.__dict__)
    scene.wall = np.broadcast_to(PLAIN, s.wall.shape).astype(np.float32)
    scene.before, scene.true_after = (scene.filmed(r) for r in s.rasterizers)
    scene.plate = dataclasses.replace(s.plate, rgb=scene.wall)
    return scene


def beside(picture: np.ndarray, by_px: tuple[float, float]) -> np.ndarray:
    """The picture, so far to the right and down."""
    move = np.float32([[1, 0, by_px[0]], [0, 1, by_px[1]]])
    return cv2.warpAffine(picture, move, picture.shape[1::-1], flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)


def found(scene: Bent, frame: np.ndarray) -> np.ndarray | None:
    """r in the window."""
    flow = scene.seen.correspondence
    return outline_off(frame[flow.window].astype(np.float32), flow, None, None, 2.0)


@pytest.mark.parametrize("by_px", [(OFF_PX, 0.0), (-OFF_PX, 0.0)])
def test_a_head_beside_the_pictured_one_is_laid_on_its_outline(profile: Bent, by_px: tuple[float, float]) -> None:
    r = found(profile, beside(profile.before, by_px))
    assert r is not None
    flow = profile.seen.correspondence
    s = signed_distance(np.isfinite(flow.depth_before_mm))
    even = cv2.GaussianBlur(s, (0, 0), 2)
    out = -np.stack([cv2.Sobel(even, cv2.CV_32F, 1, 0), cv2.Sobel(even, cv2.CV_32F, 0, 1)], -1)
    out /= np.maximum(length(out), 1e-6)[..., None]
    edge = (s > 0) & (s < 1.5) & (flow.mask > 0.5) & (np.abs(out @ np.float32(by_px)) > 0.8 * OFF_PX)
    assert edge.sum() > 10
    along = (r * out).sum(-1)[edge] / (out @ np.float32(by_px))[edge]
    assert abs(np.median(along) - 1) < 0.3  # the outline bends within the millimetres over which r is evened


def test_an_outline_that_is_met_stays(profile: Bent) -> None:
    assert found(profile, profile.before) is None


def test_a_picture_without_an_outline_tells_nothing(profile: Bent) -> None:
    noise = np.random.default_rng(0).integers(0, 255, profile.before.shape, dtype=np.uint8)
    assert found(profile, noise) is None


def test_a_nose_that_was_fitted_beside_the_pictured_one_leaves_no_rim(profile: Bent, monkeypatch: pytest.MonkeyPatch
                                                                      ) -> None:
    by_px = (-OFF_PX, 0.0) if profile.seen.correspondence.flow_px[..., 0].mean() > 0 else (OFF_PX, 0.0)
    frame, truth = (beside(p, by_px) for p in (profile.before, profile.true_after))
    inside = profile.inside > 0.5

    def error() -> float:
        made = warp3d(frame, profile.seen.correspondence, None, profile.plate, profile.skins, misfit_mm=2.0)
        return float(np.mean((made.astype(float) - truth)[inside] ** 2))

    laid = error()
    monkeypatch.setattr("synth.warp3d.outline_off", lambda *_: None)
    assert laid < 0.7 * error()


def test_the_plan_is_told_where_the_picture_shows_the_head(profile: Bent) -> None:
    """The guard measures there; a head that lies right is asked as it was."""
    asked = profile.seen.correspondence
    frame = beside(profile.before, (OFF_PX, 0.0))
    pictured = length(frame[asked.window] - PLAIN) > 30
    told = warped(frame, asked, None, profile.plate, profile.skins, misfit_mm=2.0).flow
    assert told is not None
    wrong = [(np.isfinite(flow.depth_before_mm) != pictured).mean() for flow in (told, asked)]
    assert wrong[0] < 0.5 * wrong[1]
    met = warped(profile.before, asked, None, profile.plate, profile.skins, misfit_mm=2.0).flow
    assert met is not None and np.array_equal(met.depth_before_mm, asked.depth_before_mm)


def test_specks_are_taken_from_the_motion_and_edges_stay() -> None:
    own = np.zeros((40, 40, 2), np.float32)
    own[:, 20:, 0] = 4.0
    clean = own.copy()
    own[10, 8], own[25, 30] = (3.0, 0.0), (0.0, 2.0)
    everywhere = np.ones((40, 40), bool)
    assert np.array_equal(despeckled(own, everywhere, outline=False), clean)
    assert np.array_equal(despeckled(own, ~everywhere, outline=False), own)
    assert np.array_equal(despeckled(own, ~everywhere, outline=True), clean)


def test_skin_that_runs_away_to_an_outline_is_not_behind_it_and_a_cheek_is() -> None:
    """Columns: near skin 400 mm | skin beside it, 3 or 10 mm deeper | nothing."""
    for deeper, expected in ((3.0, False), (10.0, True)):
        depth = np.full((30, 60), 400.0 + deeper, np.float32)
        depth[:, :30], depth[15:, 30:] = 400.0, np.inf
        flow = np.zeros((30, 60, 2), np.float32)
        flow[:, :30, 0] = 2.0
        bare = np.isinf(depth)
        found = beyond(depth, flow, 2.0, np.ones_like(bare), bare)
        assert found is not None
        assert found.behind[14, 33] == expected and found.behind[20, 33] and found.behind[0, 33]
