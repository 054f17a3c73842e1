"""Relight: skin that the photo shows brighter than the fitted head's normals have it is not lit once more."""

import numpy as np

from core.correspondence import Correspondence
from synth.relight import light_ratio

SIZE, SKIN = 240, np.array([180, 140, 120], np.float32)


def lamp(n: np.ndarray) -> np.ndarray:
    """Light from above."""
    return np.repeat(1 + 0.3 * n[..., 1:2], 3, -1).astype(np.float32)


def floor() -> Correspondence:
    """Skin whose middle faces down before, and to the front after; around it all faces to the front."""
    y, x = np.mgrid[:SIZE, :SIZE]
    middle = np.hypot(x - SIZE / 2, y - SIZE / 2) < 45
    after = np.broadcast_to(np.array([0, 0, 1.0]), (SIZE, SIZE, 3))
    before = np.where(middle[..., None], [0, -0.8, 0.6], after)
    depth, every = np.full((SIZE, SIZE), 500.0), np.ones((SIZE, SIZE), bool)
    return Correspondence(left=0, top=0, flow_px=np.zeros((SIZE, SIZE, 2)), depth_after_mm=depth,
                          depth_before_mm=depth, from_depth_mm=depth, moved=every, normals_before=before,
                          normals_after=after, mask=np.ones((SIZE, SIZE)), px_per_mm=2.0)


def at_the_middle(frame: np.ndarray | None) -> float:
    """The factor of the middle."""
    return float(light_ratio(floor(), lamp, frame)[SIZE // 2, SIZE // 2, 0])


def test_skin_in_the_shade_that_the_head_has_there_is_lit() -> None:
    dark = SKIN * lamp(floor().normals_before)
    assert at_the_middle(dark.astype(np.uint8)) > 0.97 * at_the_middle(None) > 1.2


def test_skin_as_bright_as_beside_it_is_not_lit_once_more() -> None:
    bright = np.broadcast_to(SKIN, (SIZE, SIZE, 3))
    assert 0.98 < at_the_middle(bright.astype(np.uint8)) < 1.03
