"""Observations: what the fit knows of a capture: landmarks in pixels, how far to trust them, and the lens's hint."""

import numpy as np
from jaxtyping import Float, Int

from core.capture import Capture
from core.errors import InputRefused
from core.records import freeze, record
from recon.face478 import face_height_px

UNKNOWN_FOCAL = 0.62
"""Focal length over the picture's diagonal when nothing is said: a phone's main camera, 26 mm equivalent, cropped a
little by video stabilisation (26 / 43.27 = 0.60)."""
UNKNOWN_FOCAL_SD, KNOWN_FOCAL_SD = 0.18, 0.03
"""Spread of ln(focal): of a film without a hint; with one from metadata."""
USUAL_MM, USUAL_SD = 800.0, 0.4
"""Distance at which faces are photographed: from selfies (350 mm) to studio portraits (1.5 to 2 m); spread of its
logarithm."""
CROPPED_SD = 0.5
"""Spread of ln(focal / diagonal) of a photo that may have been cropped."""
FACE_MM = 190.0
"""Height of the 478 points' extent on the model's average face."""


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


def lens_prior(height_px: float, size_wh: tuple[int, int], hint_px: float | None) -> tuple[float, float]:
    """Focal length (px) of a photo and the spread of its logarithm: from metadata, or from a phone's lens, the height
    of the face and a usual distance."""
    if hint_px is not None:
        return hint_px, KNOWN_FOCAL_SD
    by_lens, by_distance = UNKNOWN_FOCAL * float(np.hypot(*size_wh)), USUAL_MM * height_px / FACE_MM
    weight = np.array([CROPPED_SD**-2, USUAL_SD**-2])
    log = weight @ np.log([by_lens, by_distance]) / weight.sum()
    return float(np.exp(log)), float(weight.sum() ** -0.5)


def observations(capture: Capture) -> Observations:
    """Gather the landmarks of a capture. Frames of one size and focal hint share a lens."""
    frames = [f for f in capture.frames if f.landmarks is not None]
    if len(frames) < 3:
        raise InputRefused("too_few_views", "Fewer than three pictures show the face.",
                           "Film a slow head rotation, or add photos from the front and both sides.")
    keys = [(f.size_wh, f.focal_hint_px) for f in frames]
    lenses = list(dict.fromkeys(keys))
    photos = capture.kind == "photos"
    guesses = [photo_lens(capture, *key) if photos else film_lens(*key) for key in lenses]
    return Observations(
        points_px=np.stack([f.landmarks.points for f in frames if f.landmarks]),
        visible=np.stack([f.landmarks.confidence > 0.02 for f in frames if f.landmarks]).astype(float),
        size_wh=np.array([f.size_wh for f in frames]), lens=np.array([lenses.index(k) for k in keys]),
        focal_px=np.array([focal for focal, _ in guesses]), focal_sd=np.array([sd for _, sd in guesses]))


def film_lens(size_wh: tuple[int, int], hint_px: float | None) -> tuple[float, float]:
    """Focal length (px) of a film, which a phone took whole, and the spread of its logarithm."""
    return (hint_px, KNOWN_FOCAL_SD) if hint_px else (UNKNOWN_FOCAL * float(np.hypot(*size_wh)), UNKNOWN_FOCAL_SD)


def photo_lens(capture: Capture, size_wh: tuple[int, int], hint_px: float | None) -> tuple[float, float]:
    """The same of the photos of one size and hint, which may be cropped and taken by any camera."""
    heights = [face_height_px(f.landmarks.points) for f in capture.frames
               if f.landmarks and (f.size_wh, f.focal_hint_px) == (size_wh, hint_px)]
    return lens_prior(float(np.median(heights)), size_wh, hint_px)
