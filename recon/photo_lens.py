"""Lens of photos: how far their cameras stood away, told by where the person ends before the background.

Landmarks lie within a few centimetres of depth, and say little of the distance. Ears, temples and skull lie ten
centimetres behind the nose, and a near camera shows them narrower. So the fit is tried with lenses of several lengths,
and the one is taken with which landmarks, model and outline agree best: the least of the sum of their costs (twice the
negative logarithm of the likelihood).

A head broader than the model takes it for looks like one farther away. On three rendered heads at 0.35 to 1.6 m the
inverse of the distance came out 0.46 per metre off (root mean square): 18 to 22 % too far at 0.35 m, within 5 % at
0.55 m, 16 to 35 % too near at 0.9 m, 37 to 57 % at 1.6 m. By landmarks alone: 21 to 27 % too far, 7 to 13, 32 to 40
and 55 to 62 % too near. The weights below were settled on these heads.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from core.camera import Camera
from core.mesh import Mesh
from core.progress import Progress, silent
from core.records import record
from recon.bundle import Bundle, BundleOptions, adjust, cost
from recon.contour import Contour, contour_of, placed
from recon.observations import KNOWN_FOCAL_SD
from recon.outline import bounding
from recon.views import Views

RATIOS = np.exp(np.linspace(np.log(0.4), np.log(3.2), 8))
"""Lengths that are tried, over the first guess."""
HELD_SD = 0.02
"""How closely the fits hold ln(focal): they know no outlines, and would draw it to what the landmarks ask for."""
OUTLINE_MM, LOST_MM, ASIDE_MM, TURN_MM = 1.5, 4.0, 6.0, 12.0
"""Spread of the model's outline about the true one; what is farther off hardly counts more (Geman-McClure); a contour's
point that lies farther aside, or turned by about as much, is another line."""
READINGS = 8.0
"""An outline counts as so many independent readings: the model errs alike over some 4 cm of it."""
ABOVE_MENTON_MM = 25.0
"""The outline is compared from there up; below, neck and collar lie behind it."""
INVERSE_SD_PER_MM = 0.46e-3
"""Spread of the inverse of the distance, see above."""
LEAST = 20
"""Points of an outline that say anything."""


@record
class Lensed:
    """views: with their lenses held at the length found; bundle: the fit there; sd: spread of ln(length)."""

    views: Views
    bundle: Bundle
    sd: float


def lens_by_outline(views: Views, options: BundleOptions, person: Callable[[np.ndarray], np.ndarray],
                    progress: Progress = silent) -> Lensed | None:
    """The photos with lenses as their outlines ask for. person: their mask in a picture. None: a lens is known, or no
    outline is clear."""
    if (views.seen.focal_sd <= KNOWN_FOCAL_SD).any():
        return None
    pictures = [views.picture(k) for k in range(len(views))]
    contours = {k: c for k, p in enumerate(pictures) if (c := contour_of(p, person(p))) is not None}
    if len(contours) < 2:
        return None
    total = np.log(RATIOS) ** 2 * np.mean(views.seen.focal_sd**-2)
    for row, ratio in enumerate(RATIOS):
        progress(row / len(RATIOS), "Reading the distance off the outlines")
        held = scaled(views, float(ratio))
        bundle = adjust(views.model, held.seen, options)
        head, cameras = views.neutral(bundle), held.cameras(bundle)
        total[row] += cost(views.model, held.seen, bundle, options) + sum(
            apart(head, views, cameras[k], contour) for k, contour in contours.items())
    held = scaled(views, float(np.exp(valley(np.log(RATIOS), total))))
    bundle = adjust(views.model, held.seen, options)
    away_mm = float(np.median([np.linalg.norm(c.position_mm) for c in held.cameras(bundle)]))
    return Lensed(views=held, bundle=bundle, sd=away_mm * INVERSE_SD_PER_MM)


def loosened(bundle: Bundle, sd: float) -> Bundle:
    """The fit with what its lenses, and so the distances of its cameras, are really good to."""
    centre = camera_centres(bundle)
    return dataclasses.replace(
        bundle, focal_sd=np.hypot(bundle.focal_sd, sd),
        centre_cov=bundle.centre_cov + sd**2 * centre[:, :, None] * centre[:, None, :])


def camera_centres(bundle: Bundle) -> Float[np.ndarray, "n 3"]:
    """Where the cameras stand, in the head's axes."""
    pose = bundle.cam_from_head
    return -np.einsum("nji,nj->ni", pose[:, :3, :3], pose[:, :3, 3])


def scaled(views: Views, ratio: float) -> Views:
    """The same views with all lenses longer by a ratio, and held there."""
    seen = dataclasses.replace(views.seen, focal_px=views.seen.focal_px * ratio,
                               focal_sd=np.full(len(views.seen.focal_px), HELD_SD))
    return Views(views.model, seen, views.taken, views.rasterize, views.lenses)


def valley(x: Float[np.ndarray, "n"], total: Float[np.ndarray, "n"]) -> float:
    """Where the parabola through the least cost and its neighbours is least."""
    least = int(np.clip(total.argmin(), 1, len(x) - 2))
    a, b, _ = np.polyfit(x[least - 1:least + 2], total[least - 1:least + 2], 2)
    return float(np.clip(-b / (2 * a), x[0], x[-1])) if a > 0 else float(x[total.argmin()])


def apart(head: Mesh, views: Views, camera: Camera, contour: Contour) -> float:
    """Cost of the distances between the head's outline and the person's. Hair may stand out from the scalp; the scalp
    may not stand out from the person."""
    anatomy = views.model.anatomy
    outline = bounding(head, 1 - np.minimum(1, 2 * anatomy.region("neck")), camera, views.rasterize)
    outline = outline.at(outline.points_mm[:, 1] > head.points(anatomy.pin("me"))[0, 1] + ABOVE_MENTON_MM)
    if len(outline.px) < LEAST:
        return 0.0
    px_per_mm = float(np.median(camera.K_px[0, 0] / camera.cam_from_points(outline.points_mm)[:, 2]))
    near = contour.tree(px_per_mm, TURN_MM).query(placed(outline.px, outline.out, px_per_mm, TURN_MM))[1]
    away = (contour.px[near] - outline.px) / px_per_mm
    off = (away * outline.out).sum(1)
    aside = np.linalg.norm(away - off[:, None] * outline.out, axis=1)
    hair = (outline.on.on(anatomy.region("scalp")[:, None], head.faces)[:, 0] > 0.5) & (off > 0)
    off = np.where(hair, 0, np.where(aside < ASIDE_MM, off, np.inf))
    lost = 1 - 1 / (1 + (off / LOST_MM) ** 2)
    return float(READINGS * (LOST_MM / OUTLINE_MM) ** 2 * lost.mean())
