"""Sides: pictures of the head from the side, in which no face is found, join those in which one is.

A film's frames are placed by the skin that they share with the others (`recon.placing`), photos by their outline
(`recon.side_photos`). They serve outlines and texture; their landmarks are carried on by the head and count nowhere.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from core.camera import Camera
from core.capture import Capture, Frame
from core.mesh import Mesh
from core.progress import Progress
from recon.bundle import Bundle
from recon.detect import Detector
from recon.foreground import Foreground
from recon.lens import bending, straightened
from recon.observations import KNOWN_FOCAL_SD
from recon.placing import place
from recon.side_photos import with_sides
from recon.skin import outlined
from recon.views import Views

DOUBLED = 2.0
"""A profile's camera errs by so many times as much as that of the nearest view (measured on films: 1.0 to 2.0)."""


def with_profiles(views: Views, capture: Capture, ends: tuple[Frame, ...], bundle: Bundle, progress: Progress) -> tuple[
        Views, Capture, Bundle]:
    """All three with those of a film's frames without a face that the skin could place behind the others; their
    residual is that of the skin."""
    if not ends:
        return views, capture, bundle
    frames, count = (*capture.frames, *ends), len(capture.frames)
    nearest = beside(capture, ends)
    lens = np.append(views.seen.lens, views.seen.lens[nearest])
    everything = dataclasses.replace(capture, frames=frames)

    def straight(k: int) -> np.ndarray:
        picture = everything.picture(k)
        return straightened(picture, views.lenses[lens[k]]) if views.lenses else picture

    found = place(views.neutral(bundle), outlined(views.model.anatomy), [*views.cameras(bundle), *[None] * len(ends)],
                  np.array([f.time_s for f in frames]), straight, views.rasterize, progress=progress)
    rows = sorted(found)
    near = [nearest[k - count] for k in rows]
    return grown(views, capture, bundle, [frames[k] for k in rows], [found[k].camera for k in rows],
                 [found[k].residual_px for k in rows], lens[rows], bundle.centre_cov[near])


def with_side_photos(views: Views, capture: Capture, ends: tuple[Frame, ...], bundle: Bundle, head: Mesh,
                     progress: Progress) -> tuple[Views, Capture, Bundle, Mesh, dict[str, str]]:
    """The first three with the photos from the side that show no face behind the others, the head drawn to their
    outlines, and by name why a photo could not be read. Each has a lens of its own, as long, for its size, as that of
    the nearest photo, and straight."""
    if not ends:
        return views, capture, bundle, head, {}
    progress(0.0, "Reading the photos from the side")
    nearest, seen = beside(capture, ends), views.seen
    share = [np.hypot(*end.size_wh) / np.hypot(*seen.size_wh[k]) for end, k in zip(ends, nearest, strict=True)]
    focals = [float(bundle.focal_px[seen.lens[k]] * s) for k, s in zip(nearest, share, strict=True)]
    of_sides = dataclasses.replace(capture, frames=ends)
    sides = with_sides(views.model, bundle, head, [of_sides.picture(k) for k in range(len(ends))], focals, Detector(),
                       Foreground(), views.rasterize)
    rows = sorted(sides.found)
    own = np.array([focals[k] for k in rows])
    known = np.full(len(rows), KNOWN_FOCAL_SD)
    seen = dataclasses.replace(seen, focal_px=np.append(seen.focal_px, own), focal_sd=np.append(seen.focal_sd, known))
    lenses = [*views.lenses, *(bending(focals[k], 0.0, ends[k].size_wh) for k in rows)] if views.lenses else ()
    count = len(bundle.focal_px)
    bundle = dataclasses.replace(bundle, focal_px=np.append(bundle.focal_px, own),
                                 focal_sd=np.append(bundle.focal_sd, known))
    wider = Views(views.model, seen, views.taken, views.rasterize, lenses)
    views, capture, bundle = grown(wider, capture, bundle, [ends[k] for k in rows],
                                   [sides.found[k].camera for k in rows], [sides.found[k].off_px for k in rows],
                                   count + np.arange(len(rows)), bundle.centre_cov[[nearest[k] for k in rows]])
    return views, capture, bundle, sides.head, {ends[k].source: why for k, why in sides.refused.items()}


def beside(capture: Capture, ends: Sequence[Frame]) -> list[int]:
    """The nearest frame in time to each, by number."""
    return [min(range(len(capture.frames)), key=lambda k: abs(capture.frames[k].time_s - end.time_s)) for end in ends]


def grown(views: Views, capture: Capture, bundle: Bundle, frames: Sequence[Frame], cameras: Sequence[Camera],
          residual_px: Sequence[float], lens: Int[np.ndarray, "m"], nearest_cov: Float[np.ndarray, "m 3 3"]) -> tuple[
              Views, Capture, Bundle]:
    """All three with more frames behind the others. nearest_cov: of the centre of each one's nearest camera."""
    if not frames:
        return views, capture, bundle

    def longer(values: np.ndarray, more: Sequence[np.ndarray | float] | np.ndarray) -> np.ndarray:
        return np.concatenate([values, np.array(more).reshape(len(frames), *values.shape[1:])])

    seen, none = views.seen, np.zeros((len(frames), 478))
    seen = dataclasses.replace(
        seen, points_px=longer(seen.points_px, [c.px_from_points(bundle.landmarks) for c in cameras]),
        visible=longer(seen.visible, none), lens=longer(seen.lens, lens),
        size_wh=longer(seen.size_wh, [np.array(f.size_wh) for f in frames]))
    bundle = dataclasses.replace(
        bundle, cam_from_head=longer(bundle.cam_from_head, [c.cam_from_head for c in cameras]),
        expression=longer(bundle.expression, [np.median(bundle.expression, 0)] * len(frames)),
        centre_cov=longer(bundle.centre_cov, DOUBLED**2 * nearest_cov),
        reprojection_px=longer(bundle.reprojection_px, residual_px), weight=longer(bundle.weight, none))
    capture = dataclasses.replace(capture, frames=(*capture.frames, *frames))
    return Views(views.model, seen, capture.picture, views.rasterize, views.lenses), capture, bundle
