"""Chin: seen from the side, the border between chin and neck of the fitted head is laid on the pictured one.

The fitted chin ends some millimetres below the pictured one. Before the wall the outline tells (`silhouette`); before
the neck nothing did, and the pictured neck's uppermost millimetres moved as the chin does: a chin that advances drew
them out into a ledge. So where the photo shows the border clearly (`jaw`), under the chin, the fitted head is moved
there, along the wall beside it, too, for the outline to stay one.
"""

import cv2
import numpy as np
from jaxtyping import Bool, Float

from core.channels import length
from core.correspondence import Correspondence
from core.records import record
from synth.jaw import JawOptions, Rays, border, evened, fitted, rays_about, spread, upon


@record
class ChinOptions:
    """under: rays that run so far down the face lie under the chin; nearest_mm: those that meet the detected outline so
    near to the mouth do not. fewest_mm: so much of the border before the neck must tell. A corner of chin and neck is
    where the person, asked as far as deep_mm beyond the detected outline, ends farther by rises_mm, within_mm along it
    (in half of 32 stills from three quarters). moves: the chin, inside_mm within the detected outline, moves by more
    than this share of the plan's largest motion (chins: 0.74 at least, face lifts: 0.28 at most)."""

    under: float = 0.5
    nearest_mm: float = 12.0
    fewest_mm: float = 4.0
    deep_mm: float = 18.0
    rises_mm: float = 8.0
    within_mm: float = 3.0
    inside_mm: float = 8.0
    moves: float = 0.5


CHIN = ChinOptions()
BORDER = JawOptions(fitted_mm=(-8.0, 16.0), jump_mm=5.0)
"""Seen from the side the fitted border may lie farther off, and steps less."""


def chin_off(frame: Float[np.ndarray, "h w 3"], flow: Correspondence, person: Bool[np.ndarray, "h w"],
             face_px: Float[np.ndarray, "478 2"], options: ChinOptions = CHIN, jaw: JawOptions = BORDER) -> Float[
                 np.ndarray, "h w 2"] | None:
    """r of every pixel of the window, px; None where the head is not turned, the border is met, or nothing tells.
    person: who is seen. face_px: the detected landmarks, in the window."""
    mm = flow.px_per_mm
    rays = rays_about(face_px, jaw.step_mm * mm)
    far = np.linalg.norm(rays.at_px - rays.middle_px, axis=1)
    if far.min() >= jaw.turned_mm * mm:
        return None
    under = (rays.down > options.under) & (far > options.nearest_mm * mm)
    if not under.any():
        return None
    first, last = np.flatnonzero(under)[[0, -1]]
    part = slice(first, last + 1)
    rays = Rays(middle_px=rays.middle_px, at_px=rays.at_px[part], way=rays.way[part], down=rays.down[part])
    own = fitted(flow.depth_before_mm, rays, mm, jaw)
    if not np.isfinite(own).any() or not moves(flow, rays, options):
        return None
    t = np.arange(jaw.t_mm[0], jaw.t_mm[1], jaw.step_mm)
    shown = border(frame, rays, t, mm, jaw)
    off = np.minimum(shown - own, 0)
    told = np.isfinite(off) & (off > -jaw.most_mm)
    neck = told & upon(person, rays, np.nan_to_num(shown) * mm, jaw.beside_mm * mm)
    if neck.sum() * 2 * jaw.step_mm < options.fewest_mm or not corner(person, rays, mm, options):
        return None
    even = evened(np.where(told, off, 0), told, jaw)
    if np.abs(even).max() < jaw.from_mm:
        return None
    return spread(flow.mask.shape, rays, own, even, mm, jaw)


def corner(person: Bool[np.ndarray, "h w"], rays: Rays, mm: float, options: ChinOptions) -> bool:
    """Whether the neck's outline comes from behind the chin's, and the one does not go over into the other along soft
    skin: all at once the person ends much farther beyond the detected outline."""
    t = np.arange(0, options.deep_mm, BORDER.step_mm)
    x, y = (np.rint(p).astype(int) for p in rays.places(t * mm))
    height, width = person.shape
    within = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    seen = within & person[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    ends = np.logical_and.accumulate(seen, 1).sum(1) * BORDER.step_mm
    apart = round(options.within_mm / (2 * BORDER.step_mm))
    return bool((np.abs(ends[apart:] - ends[:-apart]) >= options.rises_mm).any())


def moves(flow: Correspondence, rays: Rays, options: ChinOptions) -> bool:
    """Whether the chin itself moves, within the detected outline: a lifted neck moves beyond it."""
    x, y = (p[:, None] for p in (rays.at_px - options.inside_mm * flow.px_per_mm * rays.way).astype(np.float32).T)
    size = length(flow.flow_px).astype(np.float32)
    return bool(np.percentile(cv2.remap(size, x, y, cv2.INTER_LINEAR), 75) > options.moves * size.max())
