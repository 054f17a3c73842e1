"""Visit: one person's head in photos from the front and from the side, as `recon.one_photo` has it of a photo alone.

Photos from the front give the proportions; outlines from the side then draw what those leave open, mostly depth
(`recon.side_photos`). One head at rest stands in every photo.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import UInt8

from core.face_model import FaceModel
from core.fragments import Rasterize
from core.records import record
from recon.detect import Detector, Face
from recon.one_photo import WHOLE, PhotoHead, adjusted, heads
from recon.photo_lens import lens_by_outline
from recon.profile import shown_from_side
from recon.side_photos import with_sides
from recon.views import HeadOptions, in_mm, origin_of, true_scale

Picture = UInt8[np.ndarray, "h w 3"]


@record
class Shot:
    """One photo of a visit. face: as the landmarks see it; of no use from the side. focal_px: from metadata."""

    picture: Picture
    face: Face
    focal_px: float | None


@record
class Together:
    """The head in every photo from the front, and in those from the side that its outline explains, by number; why it
    does not explain the others."""

    fronts: tuple[PhotoHead, ...]
    sides: dict[int, PhotoHead]
    refused: dict[int, str]


def fit_visit(model: FaceModel, fronts: Sequence[Shot], sides: Sequence[Shot], rasterize: Rasterize,
              detector: Detector, foreground: Callable[[np.ndarray], np.ndarray], ipd_mm: float | None = None,
              ) -> Together:
    """One person's head in all photos. InputRefused: no head explains those from the front."""
    views, bundle = adjusted(model, [s.picture for s in fronts], [s.face for s in fronts],
                             [s.focal_px for s in fronts], rasterize)
    lensed = lens_by_outline(views, WHOLE, foreground)
    if lensed is not None:
        views, bundle = lensed.views, lensed.bundle
    measure = true_scale(views, bundle, HeadOptions(ipd_mm=ipd_mm))
    diagonal = [float(np.linalg.norm(shot.picture.shape[:2])) for shot in (*fronts, *sides)]
    usual = float(np.median(bundle.focal_px / diagonal[:len(fronts)]))  # the same camera, as far as one knows
    focals = [s.focal_px or usual * d for s, d in zip(sides, diagonal[len(fronts):], strict=True)]
    drawn = with_sides(model, bundle, views.neutral(bundle), [s.picture for s in sides], focals, detector, foreground,
                       rasterize)
    own = bundle.landmarks - drawn.head.points(model.anatomy.pins478)
    told = heads(views, bundle, lambda: bundle, drawn.head, own, [s.face for s in fronts], measure,
                 flat=bool(drawn.found))
    neutral, scale = told[0].neutral, measure[0]
    origin = origin_of(drawn.head, model.anatomy)
    return Together(fronts=tuple(told), refused=drawn.refused, sides={
        k: shown_from_side(side.read, neutral, in_mm(side.camera, origin, scale), *measure, bundle.identity,
                           told[0].doubt, rasterize) for k, side in drawn.found.items()})
