"""Rims: the picture's own edge of a nose before the cheek is found, and only there."""

import cv2
import numpy as np
import pytest

from core.correspondence import Correspondence
from synth.nose_rims import RIMS, backwards, moving, rims_off
from synth.outlines import last_before_jumps
from tests.synth.bent import bent

SHIFTS = [(0.0, 0.0), (1.5, 0.0), (-1.5, 0.0), (0.0, 1.5)]


def lit() -> tuple[Correspondence, np.ndarray]:
    """A nose before a cheek, seen from the side, and the window's picture, in which the nose is lighter."""
    s = bent(35.0, (0.0, 0.0, -3.0))
    flow = s.seen.correspondence
    picture = s.before[flow.window].astype(np.float32)
    return flow, np.where((flow.depth_before_mm < inner(flow)[1])[..., None], picture + 50, picture)


def inner(flow: Correspondence) -> tuple[np.ndarray, float]:
    """The nose's rim before the cheek, and the depth between both."""
    depth = np.minimum(flow.depth_before_mm, np.float32(1e6))
    skin = cv2.erode(np.isfinite(flow.depth_before_mm).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    rim = last_before_jumps(depth, RIMS.jump_mm) & skin & moving(flow, RIMS)
    return rim, float(depth[rim].max()) + 1


@pytest.mark.parametrize("by_px", SHIFTS)
def test_a_rim_beside_the_pictured_one_is_laid_on_it(by_px: tuple[float, float]) -> None:
    flow, picture = lit()
    shown = cv2.warpAffine(picture, np.float32([[1, 0, by_px[0]], [0, 1, by_px[1]]]), picture.shape[1::-1],
                           flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    r, (rim, _) = rims_off(shown, flow), inner(flow)
    assert r is not None and rim.sum() > 10
    n = backwards(np.minimum(flow.depth_before_mm, np.float32(1e6)), flow.px_per_mm)[rim]
    assert np.median(np.abs((r[rim] * n).sum(1) - n @ by_px)) < 0.55


def test_a_picture_without_edges_tells_nothing() -> None:
    flow, picture = lit()
    assert rims_off(np.full_like(picture, 120), flow) is None


def test_far_from_a_rim_all_stays() -> None:
    flow, picture = lit()
    r, (rim, _) = rims_off(picture, flow), inner(flow)
    assert r is not None
    away = cv2.distanceTransform((~rim).astype(np.uint8), cv2.DIST_L2, 5)
    assert not r[away > (RIMS.inside_mm + RIMS.reach_mm) * flow.px_per_mm + 4].any()
