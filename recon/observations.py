"""Observations: what the fit knows of a capture: landmarks in pixels, how far to trust them, and the lens's hint."""

import numpy as np
from jaxtyping import Float, Int

from core.capture import Capture
from core.errors import InputRefused
from core.records import freeze, record

UNKNOWN_FOCAL = 0.62
"""Focal length over the picture's diagonal when nothing is said: a phone's main camera, 26 mm equivalent, cropped a
little by video stabilisation (26 / 43.27 = 0.60)."""
UNKNOWN_FOCAL_SD, KNOWN_FOCAL_SD = 0.18, 0.03
"""Spread of ln(focal): without a hint; with one from metadata."""


@record
class Observations:
    """N views: points_px (N,478,2), visible (N,478) in [0, 1], size_wh (N,2), lens (N,) index of the shared lens,
    focal_px (G,) first guess and focal_sd (G,) of its logarithm per lens."""

    points_px: Float[np.ndarray, "n 478 2"]
    visible: Float[np.ndarray, "n 478"]
    size_wh: Int[np.ndarray, "n 2"]
    lens: Int[np.ndarray, "n"]
    focal_px: Float[np.ndarray, "g"]
    focal_sd: Float[np.ndarray, "g"]

    def __post_init__(self) -> None:
        freeze(self, points_px=(self.points_px, float), visible=(self.visible, float),
               size_wh=(self.size_wh, np.int64), lens=(self.lens, np.int64), focal_px=(self.focal_px, float),
               focal_sd=(self.focal_sd, float))


def observations(capture: Capture) -> Observations:
    """Gather the landmarks of a capture. Frames of one size and focal hint share a lens."""
    frames = [f for f in capture.frames if f.landmarks is not None]
    if len(frames) < 3:
        raise InputRefused("too_few_views", "Fewer than three pictures show the face.",
                           "Film a slow head rotation, or add photos from the front and both sides.")
    keys = [(f.size_wh, f.focal_hint_px) for f in frames]
    lenses = list(dict.fromkeys(keys))
    return Observations(
        points_px=np.stack([f.landmarks.points for f in frames if f.landmarks]),
        visible=np.stack([f.landmarks.confidence > 0.02 for f in frames if f.landmarks]).astype(float),
        size_wh=np.array([f.size_wh for f in frames]), lens=np.array([lenses.index(k) for k in keys]),
        focal_px=np.array([hint or UNKNOWN_FOCAL * np.hypot(*size) for size, hint in lenses]),
        focal_sd=np.array([KNOWN_FOCAL_SD if hint else UNKNOWN_FOCAL_SD for _, hint in lenses]))
